//! What one commit stored of a HEM, as one hot row: its readings one after the other, each with the
//! steps from the number and the time before it. Not compressed: that is what sealing is for.

use memcloud_domain::{Reading, Seq, Timestamp};

use super::decimal::{Bytes, Malformed, put_signed, put_varint};
use super::row::{put_reading, take_reading};

/// No run holds more, so that whoever looks for one reading does not decode thousands.
pub const MAX_READINGS: usize = 100;
/// What a reading of eight nodes takes up, about.
const USUAL_BYTES: usize = 192;

/// Readings of a HEM, ascending by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The number of its first reading.
    pub first_seq: i64,
    /// The number of its last reading.
    pub last_seq: i64,
    /// The earliest moment at which one of its readings was taken, Unix milliseconds.
    pub min_ts: i64,
    /// The latest time that one says. So whoever looks by either finds it.
    pub max_ts: i64,
    /// How many there are.
    pub readings: i64,
    /// The readings.
    pub payload: Vec<u8>,
}

impl Run {
    /// A run of these readings, ascending by number; nothing where there are none.
    #[must_use]
    pub fn of(readings: &[&Reading]) -> Option<Self> {
        let (first, last) = (readings.first()?, readings.last()?);
        let min_ts = readings.iter().map(|reading| reading.taken().0).min()?;
        let max_ts = readings.iter().map(|reading| reading.ts.0).max()?;
        let mut payload = Vec::with_capacity(readings.len() * USUAL_BYTES);
        let (mut seq, mut ts) = (first.seq.0, min_ts);
        for reading in readings {
            put_varint(&mut payload, reading.seq.0.wrapping_sub(seq));
            put_signed(&mut payload, reading.ts.0.wrapping_sub(ts));
            put_reading(&mut payload, reading);
            (seq, ts) = (reading.seq.0, reading.ts.0);
        }
        Some(Self {
            first_seq: i64::try_from(first.seq.0).ok()?,
            last_seq: i64::try_from(last.seq.0).ok()?,
            min_ts,
            max_ts,
            readings: i64::try_from(readings.len()).ok()?,
            payload,
        })
    }

    /// The readings again, ascending by number.
    ///
    /// # Errors
    /// [`Malformed`] for what [`Run::of`] did not make.
    pub fn open(&self) -> Result<Vec<Reading>, Malformed> {
        let count = usize::try_from(self.readings).map_err(|_| Malformed)?;
        let mut seq = u64::try_from(self.first_seq).map_err(|_| Malformed)?;
        let mut ts = self.min_ts;
        // Every reading takes some bytes: a damaged count must not reserve the machine's memory.
        if count == 0 || count > self.payload.len() {
            return Err(Malformed);
        }
        let mut readings = Vec::with_capacity(count);
        let mut bytes = Bytes::new(&self.payload);
        for _ in 0..count {
            let step = bytes.varint()?;
            // Numbers only grow; only the first begins where the run does.
            if (step == 0) != readings.is_empty() {
                return Err(Malformed);
            }
            seq = seq.checked_add(step).ok_or(Malformed)?;
            ts = ts.wrapping_add(bytes.signed()?);
            readings.push(take_reading(&mut bytes, Seq(seq), Timestamp(ts))?);
        }
        let is_whole = bytes.is_empty() && i64::try_from(seq) == Ok(self.last_seq);
        if is_whole { Ok(readings) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::row::tests::{reading, typical};

    fn run_of(readings: &[Reading]) -> Option<Run> {
        Run::of(&readings.iter().collect::<Vec<&Reading>>())
    }

    fn ascending() -> impl Strategy<Value = Vec<Reading>> {
        proptest::collection::vec(reading(), 1..30).prop_map(|mut readings| {
            readings.sort_by_key(|reading| reading.seq);
            readings.dedup_by_key(|reading| reading.seq);
            readings
        })
    }

    proptest! {
        #[test]
        fn any_readings_come_back_bit_by_bit(readings in ascending()) {
            let run = run_of(&readings).unwrap();
            prop_assert_eq!(format!("{:?}", run.open().unwrap()), format!("{readings:?}"));
            prop_assert!(readings.iter().all(|one| (run.min_ts..=run.max_ts).contains(&one.ts.0)));
        }

        #[test]
        fn a_damaged_run_is_an_error_or_other_readings_but_never_a_panic(
            place: prop::sample::Index, bits in 1_u8.., readings in 0_i64..200, first_seq: i64,
        ) {
            let run = run_of(&(1..50).map(typical).collect::<Vec<Reading>>()).unwrap();
            let mut payload = run.payload.clone();
            payload[place.index(run.payload.len())] ^= bits;
            let _ = Run { payload, ..run.clone() }.open();
            let _ = Run { readings, ..run.clone() }.open();
            let _ = Run { first_seq, ..run }.open();
        }

        #[test]
        fn a_cut_run_is_an_error(keep: prop::sample::Index) {
            let run = run_of(&(1..50).map(typical).collect::<Vec<Reading>>()).unwrap();
            let payload = run.payload[..keep.index(run.payload.len())].to_vec();
            prop_assert_eq!(Run { payload, ..run }.open(), Err(Malformed));
        }
    }

    #[test]
    fn a_run_of_one_is_two_zeros_and_the_reading_as_the_migration_writes_it() {
        let one = typical(7);
        let mut payload = vec![0, 0];
        put_reading(&mut payload, &one);
        assert_eq!(run_of(&[one]).unwrap().payload, payload);
    }

    #[test]
    fn nothing_is_no_run() {
        assert_eq!(run_of(&[]), None);
    }
}
