//! What anybody relies on who stores telemetry, asked of an adapter through its port. Every adapter
//! passes all of it: each behaviour is a function of a [`Place`], where fresh stores are made.

mod commits;
mod pages;
mod processes;
mod series;
mod upkeep;

pub(crate) use commits::*;
pub(crate) use pages::*;
pub(crate) use processes::*;
pub(crate) use series::*;
pub(crate) use upkeep::*;

use chrono_tz::Tz;
use memcloud_domain::{
    Entry, Epoch, HemBatch, HemEvent, HemId, MicrogridId, NodeId, NodeReading, Order, Page,
    Quantity, Reading, Refusal, RefusalCode, Seq, Series, SeriesSubject, SessionOpened, TimeRange,
    Timestamp, WattHours, Watts,
};

use super::buckets::HOUR;
use super::{
    CommitOutcome, HemEntries, NewSession, PageQuery, SeriesQuery, TelemetryStore, UpkeepTask,
};

/// 2026-03-02T00:00:00Z.
pub(crate) const T0: i64 = 1_772_409_600_000;
/// So few readings make a chunk, so that little data is sealed already.
pub(crate) const CHUNK_READINGS: usize = 10;
/// So many stay hot.
pub(crate) const KEEP_HOT: usize = 5;

/// Where a store keeps what it is given: all stores that are opened in a place are one, as if several
/// processes had it open, or one after the other. What is in a place goes with it.
pub(crate) trait Place {
    /// The adapter.
    type Store: TelemetryStore;
    /// How often a property is tried.
    const CASES: u32;

    /// A place with nothing in it.
    fn fresh() -> Self;

    /// Opens the store with [`CHUNK_READINGS`] and [`KEEP_HOT`].
    fn open(&self) -> Self::Store;
}

/// Makes a test of each behaviour.
macro_rules! behaves_as_a_telemetry_store {
    ($place:ty, if $there:expr) => {
        $crate::telemetry::suite::behaviours!($place, $there,
            each_session_raises_the_epoch_and_keeps_the_mark
            what_is_sent_again_is_a_replay_and_stored_once_whether_hot_or_sealed
            a_lower_epoch_writes_nothing
            readings_events_and_refusals_come_back_in_one_order_with_a_chain_of_marks
            everything_is_there_after_opening_the_store_again
            a_replay_that_overlaps_a_run_stores_only_what_is_above_it
            a_hem_that_moved_is_stored_for_its_new_microgrid
            marks_are_told_by_id_and_by_microgrid
            pages_cover_hot_and_sealed_readings_in_both_directions_and_by_time
            the_latest_reading_has_the_newest_value_of_each_node
            pages_are_right_wherever_runs_and_chunks_begin
            a_series_is_right_whenever_readings_arrive_and_upkeep_runs
            a_reading_after_its_minute_was_rolled_up_marks_it_again
            days_follow_the_time_zone_of_their_microgrid_also_when_it_changes
            retention_removes_raw_data_and_minutes_but_not_what_was_made_of_them
            raw_data_that_waits_to_be_rolled_up_is_not_removed
            a_counter_dated_ahead_adds_no_energy_that_was_never_used
            what_another_process_wrote_between_two_commits_is_heeded
            two_processes_that_commit_for_the_same_hem_store_each_number_once
        );
    };
}
pub(crate) use behaves_as_a_telemetry_store;

macro_rules! behaviours {
    ($place:ty, $there:expr, $($behaviour:ident)*) => {
        $(#[test]
        fn $behaviour() {
            if $there {
                $crate::telemetry::suite::$behaviour::<$place>();
            }
        })*
    };
}
pub(crate) use behaviours;

pub(crate) fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

pub(crate) fn session(name: &str) -> NewSession {
    NewSession { hem: hem(name), microgrid: fontana() }
}

pub(crate) fn reading(seq: u64, ts: i64, watts: f64, wh_in: Option<f64>) -> Entry {
    let mut node = NodeReading::empty(NodeId(1));
    node.watts = Some(Watts(watts));
    node.wh_in = wh_in.map(WattHours);
    Entry::Reading(Reading {
        seq: Seq(seq),
        ts: Timestamp(ts),
        received: Timestamp(ts + 40),
        nodes: vec![node],
    })
}

pub(crate) fn event(seq: u64, ts: i64) -> Entry {
    Entry::Event(HemEvent {
        seq: Seq(seq),
        ts: Timestamp(ts),
        received: Timestamp(ts + 7),
        kind: "relay-tripped".to_owned(),
        node: Some(NodeId(3)),
        on: Some(false),
        watts: None,
        until: None,
        text: Some("too hot".to_owned()),
    })
}

pub(crate) fn refused(seq: u64) -> Entry {
    let (seq, received) = (Seq(seq), Timestamp(T0));
    Entry::Refused(Refusal { seq, received, code: RefusalCode::BadTime })
}

pub(crate) fn stored(after: u64, through: u64) -> CommitOutcome {
    CommitOutcome::Stored { microgrid: fontana(), after: Seq(after), through: Seq(through) }
}

pub(crate) fn fontana() -> MicrogridId {
    MicrogridId::new("fontana").unwrap()
}

/// A reading of second `seq`.
pub(crate) fn at(seq: u64) -> Entry {
    reading(seq, T0 + seq.cast_signed() * 1_000, 1.0, None)
}

/// How a property is tried: what fails is printed whole.
pub(crate) fn config<P: Place>() -> proptest::test_runner::Config {
    let failure_persistence = None;
    proptest::test_runner::Config { cases: P::CASES, failure_persistence, ..Default::default() }
}

/// A store, and what is asked of it.
pub(crate) struct House<P: Place> {
    pub(crate) store: P::Store,
    pub(crate) place: P,
}

impl<P: Place> House<P> {
    pub(crate) fn new() -> Self {
        let place = P::fresh();
        Self { store: place.open(), place }
    }

    /// After the store was closed, and opened again.
    pub(crate) fn opened_again(self) -> Self {
        let Self { store, place } = self;
        drop(store);
        Self { store: place.open(), place }
    }

    pub(crate) fn open(&self, name: &str) -> SessionOpened {
        self.store.open_sessions(&[session(name)]).unwrap()[0]
    }

    pub(crate) fn commit(&self, name: &str, epoch: u64, entries: Vec<Entry>) -> CommitOutcome {
        let element = HemEntries { hem: hem(name), epoch: Epoch(epoch), entries };
        self.store.commit(&[element], Timestamp(T0)).unwrap().remove(0)
    }

    /// Does an upkeep task until nothing is left of it.
    pub(crate) fn upkeep(&self, task: UpkeepTask, now: i64) -> usize {
        let mut done = 0;
        for _ in 0..10_000 {
            let step = self.store.upkeep(task, Timestamp(now)).unwrap();
            done += step.done;
            if !step.more {
                return done;
            }
        }
        panic!("the upkeep never ends");
    }

    /// Rolls up until all that is due long after the data is done.
    pub(crate) fn roll_up(&self) {
        for days in 1..5 {
            self.upkeep(UpkeepTask::RollUp, T0 + (40 + days) * 24 * HOUR);
        }
        assert_eq!(self.store.figures().unwrap().dirty_buckets, 0);
    }

    pub(crate) fn after(&self, name: &str, after: u64, limit: usize) -> HemBatch {
        self.store.entries_after(&hem(name), Seq(after), limit).unwrap()
    }

    pub(crate) fn page(
        &self,
        name: &str,
        range: TimeRange,
        after: Option<u64>,
        order: Order,
    ) -> Page<Reading> {
        let query = PageQuery { hem: hem(name), range, after: after.map(Seq), limit: 7, order };
        self.store.readings(&query).unwrap()
    }

    /// The numbers of all pages.
    pub(crate) fn seqs(&self, name: &str, range: TimeRange, order: Order) -> Vec<u64> {
        let (mut seqs, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(name, range, after, order);
            seqs.extend(page.items.iter().map(|reading| reading.seq.0));
            match page.next {
                Some(next) => after = Some(next.0),
                None => return seqs,
            }
        }
    }

    pub(crate) fn series(
        &self,
        quantity: Quantity,
        from: i64,
        to: i64,
        points: usize,
        zone: Tz,
    ) -> Series {
        let query = SeriesQuery {
            subject: SeriesSubject::Node(hem("h"), NodeId(1)),
            quantity,
            from: Timestamp(from),
            to: Timestamp(to),
            points,
            time_zone: zone,
        };
        self.store.series(&query).unwrap()
    }
}
