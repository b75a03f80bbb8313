//! How a roll-up lies in its row: each node behind its length, so that a reader of one node skips
//! the others, and every number in few bytes without loss.

use super::decimal::{Bytes, Malformed, Style, put_bytes, put_number, put_signed, put_varint};
use super::rollup::{Bucket, Counter, NodeBucket, Power, Sample, Stat};

const STYLES: [Style; 6] = [
    Style::signed(1),
    Style::positive(1),
    Style::signed(2),
    Style::signed(1),
    Style::positive(2),
    Style::positive(3),
];
const COUNTER: Style = Style::positive(1);
const ENERGY: Style = Style::positive(6);
const COUNTED_IN: u64 = 1 << 6;
const COUNTED_OUT: u64 = 1 << 7;
const POWER: u64 = 1 << 8;

/// The bytes of a bucket that begins at a moment.
#[must_use]
pub fn encode(bucket: &Bucket, start: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut one = Vec::new();
    for (node, held) in &bucket.nodes {
        one.clear();
        put_node(&mut one, held, start);
        out.push(*node);
        put_bytes(&mut out, &one);
    }
    out
}

/// The bucket again.
///
/// # Errors
/// [`Malformed`] for bytes that [`encode`] did not write.
pub fn decode(payload: &[u8], start: i64) -> Result<Bucket, Malformed> {
    let mut bytes = Bytes::new(payload);
    let mut bucket = Bucket::default();
    while !bytes.is_empty() {
        let node = bytes.byte()?;
        bucket.nodes.insert(node, node_bucket(bytes.bytes()?, start)?);
    }
    Ok(bucket)
}

/// Only one node of the bucket.
///
/// # Errors
/// [`Malformed`] for bytes that [`encode`] did not write.
pub fn decode_node(payload: &[u8], start: i64, node: u8) -> Result<Option<NodeBucket>, Malformed> {
    let mut bytes = Bytes::new(payload);
    while !bytes.is_empty() {
        let (id, held) = (bytes.byte()?, bytes.bytes()?);
        if id == node {
            return node_bucket(held, start).map(Some);
        }
    }
    Ok(None)
}

fn put_node(out: &mut Vec<u8>, node: &NodeBucket, start: i64) {
    let mut shape = 0;
    for (bit, stat) in node.stats.iter().enumerate() {
        if stat.is_some() {
            shape |= 1 << bit;
        }
    }
    for (present, bit) in [
        (node.counted_in.is_some(), COUNTED_IN),
        (node.counted_out.is_some(), COUNTED_OUT),
        (node.power.is_some(), POWER),
    ] {
        if present {
            shape |= bit;
        }
    }
    put_varint(out, shape);
    for (stat, style) in node.stats.iter().zip(STYLES) {
        if let Some(stat) = stat {
            put_stat(out, stat, style);
        }
    }
    for counter in [&node.counted_in, &node.counted_out].into_iter().flatten() {
        put_counter(out, counter, start);
    }
    if let Some(power) = &node.power {
        put_power(out, power, start);
    }
}

fn node_bucket(payload: &[u8], start: i64) -> Result<NodeBucket, Malformed> {
    let mut bytes = Bytes::new(payload);
    let shape = bytes.varint()?;
    let mut node = NodeBucket::default();
    for (bit, (stat, style)) in node.stats.iter_mut().zip(STYLES).enumerate() {
        if shape & (1 << bit) != 0 {
            *stat = Some(read_stat(&mut bytes, style)?);
        }
    }
    if shape & COUNTED_IN != 0 {
        node.counted_in = Some(read_counter(&mut bytes, start)?);
    }
    if shape & COUNTED_OUT != 0 {
        node.counted_out = Some(read_counter(&mut bytes, start)?);
    }
    if shape & POWER != 0 {
        node.power = Some(read_power(&mut bytes, start)?);
    }
    if bytes.is_empty() { Ok(node) } else { Err(Malformed) }
}

fn put_stat(out: &mut Vec<u8>, stat: &Stat, style: Style) {
    let is_constant = stat.min.to_bits() == stat.max.to_bits();
    put_varint(out, (stat.count << 1) | u64::from(is_constant));
    put_number(out, stat.min, style);
    if !is_constant {
        put_number(out, stat.max, style);
    }
    if !is_constant || stat.count != 1 {
        put_number(out, stat.sum, style);
    }
}

fn read_stat(bytes: &mut Bytes<'_>, style: Style) -> Result<Stat, Malformed> {
    let code = bytes.varint()?;
    let (count, is_constant) = (code >> 1, code & 1 == 1);
    let min = bytes.number(style)?;
    let max = if is_constant { min } else { bytes.number(style)? };
    let sum = if is_constant && count == 1 { min } else { bytes.number(style)? };
    if count == 0 { Err(Malformed) } else { Ok(Stat { count, min, max, sum }) }
}

/// A single sample is said once.
fn is_single(first: &Sample, last: &Sample, rest: &[f64]) -> bool {
    first.ts == last.ts
        && first.value.to_bits() == last.value.to_bits()
        && rest.iter().all(|value| value.to_bits() == 0)
}

fn put_counter(out: &mut Vec<u8>, counter: &Counter, start: i64) {
    let single = counter.resets == 0 && is_single(&counter.first, &counter.last, &[counter.grown]);
    out.push(u8::from(single));
    put_signed(out, counter.first.ts - start);
    put_number(out, counter.first.value, COUNTER);
    if !single {
        put_signed(out, counter.last.ts - counter.first.ts);
        put_number(out, counter.last.value, COUNTER);
        put_number(out, counter.grown, COUNTER);
        put_varint(out, counter.resets);
    }
}

fn read_counter(bytes: &mut Bytes<'_>, start: i64) -> Result<Counter, Malformed> {
    let single = bytes.byte()? == 1;
    let first = read_sample(bytes, start, COUNTER)?;
    if single {
        return Ok(Counter::of(first));
    }
    let last = read_sample(bytes, first.ts, COUNTER)?;
    let (grown, resets) = (bytes.number(COUNTER)?, bytes.varint()?);
    Ok(Counter { first, last, grown, resets })
}

fn put_power(out: &mut Vec<u8>, power: &Power, start: i64) {
    let style = Style::signed(1);
    let single = is_single(&power.first, &power.last, &[power.wh_in, power.wh_out]);
    out.push(u8::from(single));
    put_signed(out, power.first.ts - start);
    put_number(out, power.first.value, style);
    if !single {
        put_signed(out, power.last.ts - power.first.ts);
        put_number(out, power.last.value, style);
        put_number(out, power.wh_in, ENERGY);
        put_number(out, power.wh_out, ENERGY);
    }
}

fn read_power(bytes: &mut Bytes<'_>, start: i64) -> Result<Power, Malformed> {
    let style = Style::signed(1);
    let single = bytes.byte()? == 1;
    let first = read_sample(bytes, start, style)?;
    if single {
        return Ok(Power::of(first));
    }
    let last = read_sample(bytes, first.ts, style)?;
    Ok(Power { first, last, wh_in: bytes.number(ENERGY)?, wh_out: bytes.number(ENERGY)? })
}

fn read_sample(bytes: &mut Bytes<'_>, since: i64, style: Style) -> Result<Sample, Malformed> {
    let ts = since.checked_add(bytes.signed()?).ok_or(Malformed)?;
    Ok(Sample { ts, value: bytes.number(style)? })
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{Reading, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::row::tests::{node, typical};

    proptest! {
        #[test]
        fn any_bucket_comes_back(
            samples in proptest::collection::vec((0_i64..60_000, node()), 0..40),
        ) {
            let readings: Vec<Reading> = samples.into_iter().zip(1..).map(|((ts, node), seq)| {
                Reading { nodes: vec![node], ts: Timestamp(ts), ..typical(seq) }
            }).collect();
            let bucket = Bucket::of(&readings);
            let bytes = encode(&bucket, 0);
            prop_assert_eq!(format!("{:?}", decode(&bytes, 0).unwrap()), format!("{bucket:?}"));
            for (node, held) in &bucket.nodes {
                let one = decode_node(&bytes, 0, *node).unwrap();
                prop_assert_eq!(format!("{one:?}"), format!("{:?}", Some(held)));
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(noise: Vec<u8>, start: i64) {
            let _ = decode(&noise, start);
        }
    }

    #[test]
    fn a_minute_of_one_reading_takes_little_more_than_the_reading() {
        let reading = typical(5);
        let bytes = encode(&Bucket::of(std::slice::from_ref(&reading)), reading.ts.0);
        assert!(bytes.len() <= 340, "{} bytes", bytes.len());
    }
}
