//! Some hundred readings of a HEM, sealed: a column per node and quantity, each compressed on its
//! own. Decimals become whole numbers first, where that loses nothing; every bit comes back.
//!
//! A chunk: a version, the count, the columns of number, time and delay, the layouts (which nodes a
//! reading has, in which order), the layout of each reading, and then per node its eight columns and
//! whether it is on.

use memcloud_domain::{NodeId, NodeReading, Reading, Seq, Timestamp};
use pco::standalone::{simple_compress, simple_decompress_into};
use pco::{ChunkConfig, DeltaSpec};

use super::decimal::{
    Bytes, MAX_PLACES, Malformed, Style, digits, from_digits, put_bytes, put_number, put_signed,
    put_varint,
};
use super::row::FIELDS;

const VERSION: u8 = 1;
/// No chunk holds more; a damaged count must not reserve the machine's memory.
pub const MAX_READINGS: usize = 65_536;

const ABSENT: u8 = 0;
const CONSTANT: u8 = 1;
const STEADY: u8 = 2;
const PACKED: u8 = 3;
const RAW: u8 = 4;
/// `PACKED` with so many digits after the point is `DECIMAL + places`.
const DECIMAL: u8 = 16;
const LEVEL: usize = 8;

/// Seals readings, ascending by number.
///
/// # Errors
/// [`Malformed`] when there are none or more than [`MAX_READINGS`].
pub fn seal(readings: &[Reading]) -> Result<Vec<u8>, Malformed> {
    if readings.is_empty() || readings.len() > MAX_READINGS {
        return Err(Malformed);
    }
    let mut out = vec![VERSION];
    put_varint(&mut out, readings.len() as u64);
    let column = |value: fn(&Reading) -> i64| readings.iter().map(value).collect::<Vec<i64>>();
    put_integers(&mut out, &column(|reading| reading.seq.0.cast_signed()))?;
    put_integers(&mut out, &column(|reading| reading.ts.0))?;
    put_integers(&mut out, &column(|reading| reading.received.0.wrapping_sub(reading.ts.0)))?;

    let mut layouts: Vec<Vec<u8>> = Vec::new();
    let mut layout_of = Vec::with_capacity(readings.len());
    for reading in readings {
        let layout: Vec<u8> = reading.nodes.iter().map(|node| node.node.0).collect();
        let known = layouts.iter().position(|known| *known == layout);
        let index = known.unwrap_or(layouts.len());
        if known.is_none() {
            layouts.push(layout);
        }
        layout_of.push(i64::try_from(index).map_err(|_| Malformed)?);
    }
    put_varint(&mut out, layouts.len() as u64);
    for layout in &layouts {
        put_bytes(&mut out, layout);
    }
    put_integers(&mut out, &layout_of)?;

    for (node, occurrence) in tracks_of(&layouts) {
        let samples: Vec<&NodeReading> =
            readings.iter().filter_map(|reading| nth(reading, node, occurrence)).collect();
        for field in &FIELDS {
            let values: Vec<Option<f64>> =
                samples.iter().map(|sample| (field.get)(sample)).collect();
            put_optional(&mut out, &values, field.style)?;
        }
        let known: Vec<bool> = samples.iter().map(|sample| sample.on.is_some()).collect();
        let on: Vec<bool> = samples.iter().filter_map(|sample| sample.on).collect();
        put_flags(&mut out, &known);
        put_flags(&mut out, &on);
    }
    Ok(out)
}

/// The readings again.
///
/// # Errors
/// [`Malformed`] for bytes that [`seal`] did not write.
pub fn open(chunk: &[u8]) -> Result<Vec<Reading>, Malformed> {
    let mut bytes = Bytes::new(chunk);
    if bytes.byte()? != VERSION {
        return Err(Malformed);
    }
    let count = bytes.length()?;
    if count == 0 || count > MAX_READINGS {
        return Err(Malformed);
    }
    let seqs = integers(&mut bytes, count)?;
    let times = integers(&mut bytes, count)?;
    let delays = integers(&mut bytes, count)?;
    let layout_count = bytes.length()?;
    if layout_count == 0 || layout_count > count {
        return Err(Malformed);
    }
    let layouts = (0..layout_count)
        .map(|_| bytes.bytes().map(<[u8]>::to_vec))
        .collect::<Result<Vec<Vec<u8>>, Malformed>>()?;
    let layout_of = integers(&mut bytes, count)?;

    let mut readings = Vec::with_capacity(count);
    for ((seq, ts), (delay, layout)) in
        seqs.into_iter().zip(times).zip(delays.into_iter().zip(layout_of))
    {
        let layout =
            usize::try_from(layout).ok().and_then(|index| layouts.get(index)).ok_or(Malformed)?;
        let nodes = layout.iter().map(|node| NodeReading::empty(NodeId(*node))).collect();
        readings.push(Reading {
            seq: Seq(seq.cast_unsigned()),
            ts: Timestamp(ts),
            received: Timestamp(ts.wrapping_add(delay)),
            nodes,
        });
    }
    for (node, occurrence) in tracks_of(&layouts) {
        let mut samples: Vec<&mut NodeReading> = readings
            .iter_mut()
            .filter_map(|reading| {
                reading.nodes.iter_mut().filter(|sample| sample.node.0 == node).nth(occurrence)
            })
            .collect();
        for field in &FIELDS {
            let values = optional(&mut bytes, samples.len(), field.style)?;
            for (sample, value) in samples.iter_mut().zip(values) {
                if let Some(value) = value {
                    (field.set)(sample, value);
                }
            }
        }
        let known = flags(&mut bytes, samples.len())?;
        let on = flags(&mut bytes, known.iter().filter(|known| **known).count())?;
        let knowing = samples.iter_mut().zip(&known).filter(|(_, known)| **known);
        for ((sample, _), on) in knowing.zip(on) {
            sample.on = Some(on);
        }
    }
    if bytes.is_empty() { Ok(readings) } else { Err(Malformed) }
}

/// The nodes that occur, each as often as it occurs in one reading: a board may say a node twice.
fn tracks_of(layouts: &[Vec<u8>]) -> Vec<(u8, usize)> {
    let mut tracks = std::collections::BTreeSet::new();
    for layout in layouts {
        let mut seen = [0_usize; 256];
        for node in layout {
            if let Some(count) = seen.get_mut(usize::from(*node)) {
                tracks.insert((*node, *count));
                *count += 1;
            }
        }
    }
    tracks.into_iter().collect()
}

fn nth(reading: &Reading, node: u8, occurrence: usize) -> Option<&NodeReading> {
    reading.nodes.iter().filter(|sample| sample.node.0 == node).nth(occurrence)
}

/// Whole numbers: all the same, at a steady pace, or packed.
fn put_integers(out: &mut Vec<u8>, values: &[i64]) -> Result<(), Malformed> {
    let Some(first) = values.first() else { return Ok(()) };
    let mut pairs = values.windows(2).map(|pair| match pair {
        [one, next] => next.wrapping_sub(*one),
        _ => 0,
    });
    let pace = pairs.next().unwrap_or(0);
    if pairs.all(|other| other == pace) {
        out.push(STEADY);
        put_signed(out, *first);
        put_signed(out, pace);
        return Ok(());
    }
    out.push(PACKED);
    put_packed(out, values)
}

fn integers(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    match bytes.byte()? {
        STEADY => {
            let (first, pace) = (bytes.signed()?, bytes.signed()?);
            let steps = std::iter::successors(Some(first), |last| Some(last.wrapping_add(pace)));
            Ok(steps.take(count).collect())
        }
        PACKED => packed(bytes, count),
        _ => Err(Malformed),
    }
}

fn put_packed(out: &mut Vec<u8>, values: &[i64]) -> Result<(), Malformed> {
    // Counters and times grow; other measurements wander. Which of the two is smaller is tried out.
    let mut best: Option<Vec<u8>> = None;
    for delta in [DeltaSpec::NoOp, DeltaSpec::TryConsecutive(1)] {
        let config = ChunkConfig::default().with_compression_level(LEVEL).with_delta_spec(delta);
        let packed = simple_compress(values, &config).map_err(|_| Malformed)?;
        if best.as_ref().is_none_or(|best| packed.len() < best.len()) {
            best = Some(packed);
        }
    }
    put_bytes(out, &best.unwrap_or_default());
    Ok(())
}

fn packed(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
    let mut values = vec![0_i64; count];
    let progress = simple_decompress_into(bytes.bytes()?, &mut values).map_err(|_| Malformed)?;
    if progress.n_processed == count && progress.finished { Ok(values) } else { Err(Malformed) }
}

/// A column in which some may be absent.
fn put_optional(out: &mut Vec<u8>, values: &[Option<f64>], style: Style) -> Result<(), Malformed> {
    let present: Vec<f64> = values.iter().copied().flatten().collect();
    let Some(first) = present.first().copied() else {
        out.push(ABSENT);
        return Ok(());
    };
    let is_constant = present.iter().all(|value| value.to_bits() == first.to_bits());
    if is_constant {
        out.push(CONSTANT);
    } else if let Some((places, whole)) = as_decimals(&present, style) {
        out.push(DECIMAL + places);
        put_packed(out, &whole)?;
    } else {
        out.push(RAW);
        let config = ChunkConfig::default().with_compression_level(LEVEL);
        put_bytes(out, &simple_compress(&present, &config).map_err(|_| Malformed)?);
    }
    if is_constant {
        put_number(out, first, style);
    }
    put_flags(out, &values.iter().map(Option::is_some).collect::<Vec<bool>>());
    Ok(())
}

fn optional(
    bytes: &mut Bytes<'_>,
    count: usize,
    style: Style,
) -> Result<Vec<Option<f64>>, Malformed> {
    enum Column<'a> {
        Constant(f64),
        Decimal(u8, &'a [u8]),
        Raw(&'a [u8]),
    }
    let column = match bytes.byte()? {
        ABSENT => return Ok(vec![None; count]),
        CONSTANT => Column::Constant(bytes.number(style)?),
        RAW => Column::Raw(bytes.bytes()?),
        code if (DECIMAL..=DECIMAL + MAX_PLACES).contains(&code) => {
            Column::Decimal(code - DECIMAL, bytes.bytes()?)
        }
        _ => return Err(Malformed),
    };
    let present = flags(bytes, count)?;
    let held = present.iter().filter(|present| **present).count();
    let values: Vec<f64> = match column {
        Column::Constant(value) => vec![value; held],
        Column::Decimal(places, data) => {
            let mut whole = vec![0_i64; held];
            decompress(data, &mut whole)?;
            whole.into_iter().map(|digits| from_digits(digits, places)).collect()
        }
        Column::Raw(data) => {
            let mut values = vec![0.0_f64; held];
            decompress(data, &mut values)?;
            values
        }
    };
    let mut values = values.into_iter();
    Ok(present.into_iter().map(|present| if present { values.next() } else { None }).collect())
}

fn decompress<T: pco::data_types::Number>(data: &[u8], into: &mut [T]) -> Result<(), Malformed> {
    let progress = simple_decompress_into(data, into).map_err(|_| Malformed)?;
    if progress.n_processed == into.len() && progress.finished { Ok(()) } else { Err(Malformed) }
}

/// All values as digits with the same number of places, where that loses nothing.
fn as_decimals(values: &[f64], style: Style) -> Option<(u8, Vec<i64>)> {
    (style.places..=MAX_PLACES).chain(0..style.places).find_map(|places| {
        let whole: Option<Vec<i64>> = values.iter().map(|value| digits(*value, places)).collect();
        whole.map(|whole| (places, whole))
    })
}

/// Yes and no, as the lengths of their runs; the first run is of yes.
fn put_flags(out: &mut Vec<u8>, flags: &[bool]) {
    let mut runs: Vec<u64> = Vec::new();
    let mut current = true;
    let mut run = 0;
    for flag in flags {
        if *flag != current {
            runs.push(run);
            run = 0;
            current = *flag;
        }
        run += 1;
    }
    runs.push(run);
    put_varint(out, runs.len() as u64);
    for run in runs {
        put_varint(out, run);
    }
}

fn flags(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<bool>, Malformed> {
    let runs = bytes.length()?;
    let mut flags = Vec::with_capacity(count);
    let mut current = true;
    for _ in 0..runs {
        let run = bytes.length()?;
        if run > count - flags.len() {
            return Err(Malformed);
        }
        flags.extend(std::iter::repeat_n(current, run));
        current = !current;
    }
    if flags.len() == count { Ok(flags) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::row::tests::{reading, typical};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_readings_come_back_bit_by_bit(
            readings in proptest::collection::vec(reading(), 1..40),
        ) {
            let sealed = seal(&readings).unwrap();
            let opened = open(&sealed).unwrap();
            prop_assert_eq!(format!("{opened:?}"), format!("{readings:?}"));
        }

        #[test]
        fn a_damaged_chunk_is_an_error_or_other_readings_but_never_a_panic(
            place: prop::sample::Index, bits in 1_u8..,
        ) {
            let readings: Vec<Reading> = (1..50).map(typical).collect();
            let mut sealed = seal(&readings).unwrap();
            let place = place.index(sealed.len());
            sealed[place] ^= bits;
            let _ = open(&sealed);
        }

        #[test]
        fn a_cut_chunk_is_an_error(keep: prop::sample::Index) {
            let readings: Vec<Reading> = (1..50).map(typical).collect();
            let sealed = seal(&readings).unwrap();
            prop_assert_eq!(open(&sealed[..keep.index(sealed.len())]), Err(Malformed));
        }
    }

    #[test]
    fn six_hundred_typical_readings_take_at_most_40_bytes_each() {
        let readings: Vec<Reading> = (1..=600).map(typical).collect();
        let sealed = seal(&readings).unwrap();
        assert_eq!(open(&sealed).unwrap(), readings);
        assert!(sealed.len() <= 600 * 40, "{} bytes each", sealed.len() / 600);
    }

    #[test]
    fn a_node_that_is_said_twice_in_a_reading_is_kept_twice() {
        let mut readings: Vec<Reading> = (1..=3).map(typical).collect();
        let twin = readings[1].nodes[4];
        readings[1].nodes.insert(0, twin);
        assert_eq!(open(&seal(&readings).unwrap()).unwrap(), readings);
    }

    #[test]
    fn nothing_is_no_chunk() {
        assert_eq!(seal(&[]), Err(Malformed));
    }
}
