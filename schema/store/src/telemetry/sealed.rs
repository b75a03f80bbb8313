//! A chunk that takes the place of hot runs, before it is written.

use memcloud_domain::Reading;

use super::chunk;
use super::rows::to_signed;
use crate::StoreError;

/// What is to be written for some runs.
pub(super) struct Sealed {
    pub(super) hem_no: i64,
    /// How many runs it takes the place of.
    pub(super) runs: usize,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) readings: i64,
    pub(super) payload: Vec<u8>,
}

impl Sealed {
    /// Packs the oldest readings of a HEM, which lie in so many runs.
    pub(super) fn of(hem_no: i64, readings: &[Reading], runs: usize) -> Result<Self, StoreError> {
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
            return Err(StoreError::Damaged {
                what: format!("the count of hot readings of HEM no. {hem_no}"),
                reason: "there are none".to_owned(),
            });
        };
        let payload = chunk::seal(readings).map_err(|_| StoreError::Invalid {
            what: "a chunk of readings",
            reason: format!("{} readings of HEM no. {hem_no} cannot be packed", readings.len()),
        })?;
        Ok(Self {
            hem_no,
            runs,
            first_seq: to_signed(first.seq.0),
            last_seq: to_signed(last.seq.0),
            min_ts: readings.iter().map(|reading| reading.taken().0).min().unwrap_or(0),
            max_ts: readings.iter().map(|reading| reading.ts.0).max().unwrap_or(0),
            readings: i64::try_from(readings.len()).unwrap_or(i64::MAX),
            payload,
        })
    }

    /// How many readings.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.readings).unwrap_or(0)
    }
}
