//! What an engine holds of HEMs, as rows: the few questions that a store asks of its engine, within
//! one snapshot. What is made of the answers is the same for every engine.

use std::ops::ControlFlow;

use chrono_tz::Tz;
use memcloud_domain::{HemId, HemMark, MicrogridId, Reading, RefusalCode, Seq, Timestamp};

use super::buckets::Level;
use super::run::Run;
use crate::StoreError;

/// Which time of a reading counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// What the HEM said.
    Said,
    /// When it was taken: a time ahead of the receipt counts as the receipt.
    Taken,
}

/// Between which numbers and times of a HEM is looked; all ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) hem_no: i64,
    pub(super) time: Time,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
}

impl Window {
    /// All that there is of a HEM.
    pub(super) fn all(hem_no: i64) -> Self {
        Self {
            hem_no,
            time: Time::Said,
            first_seq: i64::MIN,
            last_seq: i64::MAX,
            min_ts: i64::MIN,
            max_ts: i64::MAX,
        }
    }

    pub(super) fn holds(&self, reading: &Reading) -> bool {
        let seq = to_signed(reading.seq.0);
        let time = match self.time {
            Time::Said => reading.ts,
            Time::Taken => reading.taken(),
        };
        (self.first_seq..=self.last_seq).contains(&seq)
            && (self.min_ts..=self.max_ts).contains(&time.0)
    }
}

/// Which end of a window comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    Newest,
}

/// A HEM that was ever welcomed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HemRow {
    pub(super) hem_no: i64,
    pub(super) mark: i64,
    pub(super) epoch: i64,
    /// The time zone in which its day roll-ups were made.
    pub(super) day_zone: Tz,
}

/// A sealed chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkRow {
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) payload: Vec<u8>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventRow {
    pub(super) seq: i64,
    pub(super) ts: i64,
    pub(super) payload: Vec<u8>,
}

/// A refused number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusalRow {
    pub(super) seq: i64,
    pub(super) received: i64,
    pub(super) code: String,
}

/// A roll-up: its start and its bytes.
pub(super) type RollupRow = (i64, Vec<u8>);

/// A bucket that must be made anew; of a minute, from which number on readings came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirtyRow {
    pub(super) bucket: i64,
    pub(super) from_seq: i64,
}

/// Whether the next run is wanted.
pub(super) type Wanting = Result<ControlFlow<()>, StoreError>;

/// One snapshot of an engine.
pub(super) trait Rows {
    /// The HEM, if it is known.
    fn hem(&mut self, hem: &HemId) -> Result<Option<HemRow>, StoreError>;

    /// Marks and epochs by id.
    fn marks(&mut self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError>;

    /// Goes through the hot runs that touch a window, from one end on, as long as `take` wants more.
    fn runs(
        &mut self,
        window: &Window,
        end: End,
        take: &mut dyn FnMut(Run) -> Wanting,
    ) -> Result<(), StoreError>;

    /// The chunk at the end of a window that touches it.
    fn chunk(&mut self, window: &Window, end: End) -> Result<Option<ChunkRow>, StoreError>;

    /// Events in a window, from one end on.
    fn events(
        &mut self,
        window: &Window,
        end: End,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// Refused numbers in a window, by the time of receipt, from one end on.
    fn refusals(
        &mut self,
        window: &Window,
        end: End,
        limit: usize,
    ) -> Result<Vec<RefusalRow>, StoreError>;

    /// The roll-ups of a level that begin in `from..to`, oldest first.
    fn rollups(
        &mut self,
        hem_no: i64,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Vec<RollupRow>, StoreError>;

    /// The roll-ups of a level that begin before a moment, newest first.
    fn rollups_before(
        &mut self,
        hem_no: i64,
        level: Level,
        moment: i64,
        limit: usize,
    ) -> Result<Vec<RollupRow>, StoreError>;

    /// Where the oldest roll-up of a level begins.
    fn first_rollup(&mut self, hem_no: i64, level: Level) -> Result<Option<i64>, StoreError>;

    /// Between which numbers the readings lie that minutes were made from, of those that were made.
    fn minute_spans(&mut self, hem_no: i64, minutes: &[i64])
    -> Result<Vec<(i64, i64)>, StoreError>;

    /// The dirty buckets of a level that begin in `from..to`, oldest first.
    fn dirty(
        &mut self,
        hem_no: i64,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Vec<DirtyRow>, StoreError>;

    /// The newest dirty bucket of a level that begins before a moment.
    fn newest_dirty_before(
        &mut self,
        hem_no: i64,
        level: Level,
        moment: i64,
    ) -> Result<Option<i64>, StoreError>;
}

/// Numbers and epochs are below 2^63 by their types' own bounds.
pub(super) fn to_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_signed(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A time zone as it is stored.
pub(super) fn parse_zone(zone: &str) -> Tz {
    zone.parse().unwrap_or(Tz::UTC)
}

/// A HEM's mark, as it is stored.
pub(super) fn mark_of(hem: &str, mark: i64, epoch: i64) -> Result<HemMark, StoreError> {
    let hem = HemId::new(hem).map_err(|error| StoreError::Damaged {
        what: "the id of a HEM".to_owned(),
        reason: error.to_string(),
    })?;
    let (mark, epoch) = (Seq(from_signed(mark)), memcloud_domain::Epoch(from_signed(epoch)));
    Ok(HemMark { hem, mark, epoch })
}

/// Whose a HEM is, as it is stored.
pub(super) fn microgrid_of(hem: &HemId, microgrid: &str) -> Result<MicrogridId, StoreError> {
    MicrogridId::new(microgrid).map_err(|error| StoreError::Damaged {
        what: format!("the microgrid of HEM {hem}"),
        reason: error.to_string(),
    })
}

pub(super) fn damaged(what: &str, hem_no: i64, at: i64) -> StoreError {
    StoreError::Damaged {
        what: format!("{what} {at} of HEM no. {hem_no}"),
        reason: "its payload is not of the form that was written".to_owned(),
    }
}

impl RefusalRow {
    pub(super) fn open(self, hem_no: i64) -> Result<memcloud_domain::Refusal, StoreError> {
        let known = [
            RefusalCode::Malformed,
            RefusalCode::BadTime,
            RefusalCode::TooOld,
            RefusalCode::BatchTooLong,
        ];
        let code = known.into_iter().find(|code| code.as_str() == self.code);
        let code = code.ok_or_else(|| damaged("refused number", hem_no, self.seq))?;
        let (seq, received) = (Seq(from_signed(self.seq)), Timestamp(self.received));
        Ok(memcloud_domain::Refusal { seq, received, code })
    }
}
