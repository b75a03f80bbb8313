//! What anybody relies on who stores telemetry, asked of the SQLite adapter through its port.

use std::collections::BTreeMap;

use chrono::DateTime;
use chrono_tz::{America, Europe, Tz};
use diesel::connection::SimpleConnection;
use memcloud_domain::{
    Entry, Epoch, HemEvent, HemId, MicrogridId, NodeId, NodeReading, Order, Quantity, Reading,
    Refusal, RefusalCode, Seq, Series, SeriesSubject, TimeRange, Timestamp, WattHours, Watts,
};
use proptest::prelude::*;

use super::*;
use crate::telemetry::buckets::{HOUR, Level, MINUTE, Plan, QUARTER};
use crate::telemetry::rollup::Bucket;
use crate::telemetry::{Retention, series};

mod clocks;
mod damage;
mod runs;

/// 2026-03-02T00:00:00Z.
const T0: i64 = 1_772_409_600_000;
const SMALL_CHUNKS: SqliteOptions =
    SqliteOptions { readers: 2, writer_cache_kib: 1_024, chunk_readings: 10, keep_hot: 5 };

fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

fn session(name: &str) -> NewSession {
    NewSession { hem: hem(name), microgrid: MicrogridId::new("fontana").unwrap() }
}

fn reading(seq: u64, ts: i64, watts: f64, wh_in: Option<f64>) -> Entry {
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

fn event(seq: u64, ts: i64) -> Entry {
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

fn refused(seq: u64) -> Entry {
    let (seq, received) = (Seq(seq), Timestamp(T0));
    Entry::Refused(Refusal { seq, received, code: RefusalCode::BadTime })
}

struct House {
    store: SqliteTelemetry,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::with(SMALL_CHUNKS)
    }

    fn with(options: SqliteOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteTelemetry::open(Location::new(folder.path().join("iot.db")), options).unwrap();
        Self { store, folder }
    }

    fn open(&self, name: &str) -> SessionOpened {
        self.store.open_sessions(&[session(name)]).unwrap()[0]
    }

    fn commit(&self, name: &str, epoch: u64, entries: Vec<Entry>) -> CommitOutcome {
        let element = HemEntries { hem: hem(name), epoch: Epoch(epoch), entries };
        self.store.commit(&[element], Timestamp(T0)).unwrap().remove(0)
    }

    /// Does an upkeep task until nothing is left of it.
    fn upkeep(&self, task: UpkeepTask, now: i64) -> usize {
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
    fn roll_up(&self) {
        for days in 1..5 {
            self.upkeep(UpkeepTask::RollUp, T0 + (40 + days) * 24 * HOUR);
        }
        assert_eq!(self.store.figures().unwrap().dirty_buckets, 0);
    }

    fn after(&self, name: &str, after: u64, limit: usize) -> HemBatch {
        self.store.entries_after(&hem(name), Seq(after), limit).unwrap()
    }

    fn page(
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
    fn seqs(&self, name: &str, range: TimeRange, order: Order) -> Vec<u64> {
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

    fn series(&self, quantity: Quantity, from: i64, to: i64, points: usize, zone: Tz) -> Series {
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

#[test]
fn each_session_raises_the_epoch_and_keeps_the_mark() {
    let house = House::new();
    assert_eq!(house.open("h"), SessionOpened { epoch: Epoch(1), mark: Seq(0) });
    house.commit("h", 1, vec![reading(4, T0, 1.0, None)]);
    let both = house.store.open_sessions(&[session("h"), session("other"), session("h")]).unwrap();
    let expected = [(2, 4), (1, 0), (3, 4)]
        .map(|(epoch, mark)| SessionOpened { epoch: Epoch(epoch), mark: Seq(mark) });
    assert_eq!(both, expected);
}

#[test]
fn what_is_sent_again_is_a_replay_and_stored_once_whether_hot_or_sealed() {
    let house = House::new();
    house.open("h");
    let entries: Vec<Entry> =
        (1..=40).map(|seq| reading(seq, T0 + seq.cast_signed() * 1_000, 1.0, None)).collect();
    house.commit("h", 1, entries.clone());
    for _ in 0..2 {
        let again = house.commit("h", 1, entries.clone());
        let microgrid = MicrogridId::new("fontana").unwrap();
        assert_eq!(again, CommitOutcome::Stored { microgrid, after: Seq(40), through: Seq(40) });
        assert_eq!(house.after("h", 0, 100).entries, entries);
        house.upkeep(UpkeepTask::Seal, T0);
    }
    let figures = house.store.figures().unwrap();
    assert_eq!((figures.hot_readings, figures.sealed_readings, figures.chunks), (10, 30, 3));
}

#[test]
fn a_replay_within_a_batch_is_left_out_of_what_is_fresh() {
    let element = HemEntries {
        hem: hem("h"),
        epoch: Epoch(1),
        entries: vec![refused(3), refused(5), refused(5), refused(4), refused(6)],
    };
    let fresh: Vec<u64> = element.into_fresh(Seq(3)).iter().map(|entry| entry.seq().0).collect();
    assert_eq!(fresh, [5, 6]);
}

#[test]
fn a_lower_epoch_writes_nothing() {
    let house = House::new();
    house.open("h");
    house.open("h");
    assert_eq!(house.commit("h", 1, vec![reading(1, T0, 1.0, None)]), CommitOutcome::Fenced);
    assert_eq!(house.commit("stranger", 1, vec![refused(1)]), CommitOutcome::Fenced);
    assert_eq!(house.after("h", 0, 10).entries, []);
    assert_eq!(house.open("h").mark, Seq(0));
}

#[test]
fn readings_events_and_refusals_come_back_in_one_order_with_a_chain_of_marks() {
    let house = House::new();
    house.open("h");
    let entries: Vec<Entry> = (1..=60)
        .filter(|seq| seq % 11 != 0)
        .map(|seq| match seq % 5 {
            0 => event(seq, T0),
            1 => refused(seq),
            _ => reading(seq, T0 + seq.cast_signed(), 2.0, None),
        })
        .collect();
    house.commit("h", 1, entries.clone());
    house.upkeep(UpkeepTask::Seal, T0);
    let (mut found, mut after) = (Vec::new(), 0);
    while after < 60 {
        let batch = house.after("h", after, 8);
        assert_eq!(batch.after, Seq(after));
        assert!(batch.entries.len() <= 8 && batch.through > batch.after);
        found.extend(batch.entries);
        after = batch.through.0;
    }
    assert_eq!(found, entries);
    assert_eq!(house.after("h", 60, 8).through, Seq(60));
}

#[test]
fn pages_cover_hot_and_sealed_readings_in_both_directions_and_by_time() {
    let house = House::new();
    house.open("h");
    // The clock of this HEM jumps back and forth.
    let at = |seq: u64| T0 + (seq * 37 % 50).cast_signed() * 1_000;
    let entries = (1..=50).map(|seq| reading(seq, at(seq), 1.0, None)).collect();
    house.commit("h", 1, entries);
    house.upkeep(UpkeepTask::Seal, T0);
    let all: Vec<u64> = (1..=50).collect();
    let everything = TimeRange::default();
    assert_eq!(house.seqs("h", everything, Order::Ascending), all);
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(house.seqs("h", everything, Order::Descending), reversed);
    let range = TimeRange { from: Some(Timestamp(T0 + 10_000)), to: Some(Timestamp(T0 + 30_000)) };
    let inside: Vec<u64> =
        all.iter().copied().filter(|seq| (10..30).contains(&(seq * 37 % 50))).collect();
    assert_eq!(house.seqs("h", range, Order::Ascending), inside);
    assert_eq!(house.seqs("stranger", everything, Order::Ascending), [0_u64; 0]);
}

#[test]
fn the_latest_reading_has_the_newest_value_of_each_node() {
    let house = House::new();
    house.open("h");
    let of_node = |seq: u64, ts: i64, node: u8, watts: f64| {
        let mut one = NodeReading::empty(NodeId(node));
        one.watts = Some(Watts(watts));
        let (seq, ts) = (Seq(seq), Timestamp(ts));
        Entry::Reading(Reading { seq, ts, received: ts, nodes: vec![one] })
    };
    let mut entries: Vec<Entry> =
        (1..=30).map(|seq| of_node(seq, T0 + seq.cast_signed(), 2, seq as f64)).collect();
    entries.push(of_node(31, T0 + 40, 1, 7.0));
    // A late one: its time counts, not its number.
    entries.push(of_node(32, T0 - 5_000, 2, 999.0));
    house.commit("h", 1, entries);
    house.upkeep(UpkeepTask::Seal, T0);
    let latest = house.store.latest_reading(&hem("h")).unwrap().unwrap();
    let watts: Vec<(u8, f64)> =
        latest.nodes.iter().map(|node| (node.node.0, node.watts.unwrap().0)).collect();
    assert_eq!(
        (latest.seq, latest.ts, watts),
        (Seq(31), Timestamp(T0 + 40), vec![(1, 7.0), (2, 30.0)])
    );
    assert_eq!(house.store.latest_reading(&hem("stranger")).unwrap(), None);
}

/// What a series must be, from nothing but the readings.
fn model(readings: &[Reading], quantity: Quantity, plan: &Plan, from: i64, to: i64) -> Series {
    let of_level = |readings: Vec<&Reading>| {
        let mut by_bucket: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
        for reading in readings {
            let start = plan.level.start(reading.ts.0, plan.zone);
            by_bucket.entry(start).or_default().push(reading.clone());
        }
        by_bucket
            .iter()
            .filter_map(|(start, all)| Some((*start, *Bucket::of(all).nodes.get(&1)?)))
            .collect::<BTreeMap<i64, _>>()
    };
    let from = plan.level.start(from, plan.zone);
    let before = of_level(readings.iter().filter(|one| one.ts.0 < from).collect());
    // Roll-ups are whole: a range that ends within a bucket has all of it.
    let mut inside = of_level(readings.iter().filter(|one| one.ts.0 >= from).collect());
    inside.retain(|start, _| *start < to);
    let parts = series::parts_of(quantity, before.values().next_back(), &inside);
    series::series(quantity, plan, &parts)
}

fn assert_close(one: &Series, other: &Series) {
    assert_eq!(one.points.len(), other.points.len(), "{one:?}\n{other:?}");
    for (one, other) in one.points.iter().zip(&other.points) {
        assert_eq!((one.ts, one.estimated), (other.ts, other.estimated));
        for (one, other) in [(one.min, other.min), (one.mean, other.mean), (one.max, other.max)] {
            assert!((one - other).abs() < 1e-3, "{one} is not {other}");
        }
    }
}

#[derive(Debug, Clone)]
struct Arrival {
    ts: i64,
    watts: i32,
    counted: Option<u32>,
    then: u8,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let one =
        (0_i64..60 * HOUR, -900_i32..900, proptest::option::of(0_u32..5_000), 0_u8..12).prop_map(
            |(offset, watts, counted, then)| Arrival { ts: T0 + offset, watts, counted, then },
        );
    proptest::collection::vec(one, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes late, and however roll-ups and sealing fall between: every series is what the
    /// readings alone say, at once and for ever after.
    #[test]
    fn a_series_is_right_whenever_readings_arrive_and_upkeep_runs(arrivals in arrivals()) {
        let house = House::new();
        house.store.set_time_zone(&MicrogridId::new("fontana").unwrap(), America::St_Johns).unwrap();
        house.open("h");
        let mut readings = Vec::new();
        for (seq, arrival) in (1..).zip(&arrivals) {
            let counted = arrival.counted.map(f64::from);
            let entry = reading(seq, arrival.ts, f64::from(arrival.watts), counted);
            let Entry::Reading(taken) = &entry else { unreachable!() };
            readings.push(taken.clone());
            house.commit("h", 1, vec![entry]);
            match arrival.then {
                0 => { house.store.upkeep(UpkeepTask::Seal, Timestamp(T0)).unwrap(); }
                1 | 2 => {
                    let now = Timestamp(T0 + 90 * HOUR);
                    house.store.upkeep(UpkeepTask::RollUp, now).unwrap();
                }
                _ => {}
            }
        }
        for pass in 0..2 {
            for quantity in [Quantity::Watts, Quantity::EnergyIn, Quantity::EnergyOut] {
                for (from, to, points) in [
                    (T0, T0 + 60 * HOUR, 4_000),
                    (T0 + 7 * HOUR, T0 + 60 * HOUR, 300),
                    (T0 + 20 * MINUTE, T0 + 50 * HOUR, 60),
                    (T0, T0 + 96 * HOUR, 6),
                ] {
                    let plan = Plan::new(from, to, points, America::St_Johns, Level::Minute);
                    let expected = model(&readings, quantity, &plan, from, to);
                    let series = house.series(quantity, from, to, points, America::St_Johns);
                    prop_assert_eq!(series.step_seconds, expected.step_seconds);
                    assert_close(&series, &expected);
                }
            }
            if pass == 0 {
                house.roll_up();
            }
        }
    }
}

#[test]
fn a_minute_that_is_touched_while_it_is_rolled_up_is_rolled_up_again() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 10.0, None)]);
    let (now, seen) = (Timestamp(T0 + HOUR), house.store.commits.load(Ordering::Acquire));
    let due = house
        .store
        .read(|connection| house.store.make(connection, Level::Minute, seen, &[], now))
        .unwrap();
    house.commit("h", 1, vec![reading(2, T0 + 1_000, 30.0, None)]);
    house.store.write(|connection| house.store.replace(connection, &due.made, seen, now)).unwrap();
    let watts = |house: &House| house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC);
    assert_eq!(watts(&house).points[0].mean, 20.0);
    house.roll_up();
    assert_eq!(watts(&house).points[0].mean, 20.0);
}

#[test]
fn a_reading_after_its_minute_was_rolled_up_marks_it_again() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 10.0, None)]);
    house.roll_up();
    house.commit("h", 1, vec![reading(2, T0 + 1_000, 30.0, None)]);
    assert_eq!(house.store.figures().unwrap().dirty_buckets, 1);
    house.roll_up();
    assert_eq!(house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC).points[0].mean, 20.0);
}

#[test]
fn days_follow_the_time_zone_of_their_microgrid_also_when_it_changes() {
    let house = House::new();
    let fontana = MicrogridId::new("fontana").unwrap();
    house.store.set_time_zone(&fontana, Europe::Berlin).unwrap();
    house.open("h");
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
    let (from, to) = (at("2026-03-28T00:00:00+01:00"), at("2026-03-31T00:00:00+02:00"));
    // 100 Wh a quarter over the day on which the clocks go forward: it has 23 hours.
    let entries = (0..=(to - from) / QUARTER)
        .zip(1..)
        .map(|(quarter, seq)| {
            reading(seq, from + quarter * QUARTER, 400.0, Some(100.0 * quarter as f64))
        })
        .collect();
    house.commit("h", 1, entries);
    house.roll_up();
    let energies = |zone: Tz, from: i64, to: i64| {
        let series = house.series(Quantity::EnergyIn, from, to, 3, zone);
        series.points.iter().map(|point| (point.ts.0, point.mean)).collect::<Vec<(i64, f64)>>()
    };
    let days =
        ["2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"]
            .map(at);
    let expected = [(days[0], 9_500.0), (days[1], 9_200.0), (days[2], 9_600.0)];
    assert_eq!(energies(Europe::Berlin, from, to), expected);
    // Asked in another zone before and after the microgrid moves there: the same.
    let (from, to) = (at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"));
    let in_utc = energies(Tz::UTC, from, to);
    assert_eq!(in_utc.len(), 3);
    house.store.set_time_zone(&fontana, Tz::UTC).unwrap();
    house.roll_up();
    assert_eq!(energies(Tz::UTC, from, to), in_utc);
}

#[test]
fn retention_removes_raw_data_and_minutes_but_not_what_was_made_of_them() {
    let house = House::new();
    house.open("h");
    let entries = (0..200_u64)
        .map(|n| reading(n + 1, T0 + n.cast_signed() * 10 * MINUTE, 60.0, Some(n as f64 * 10.0)))
        .chain([event(201, T0), event(202, T0 + 33 * HOUR), refused(203)])
        .collect();
    house.commit("h", 1, entries);
    house.upkeep(UpkeepTask::Seal, T0);
    house.roll_up();
    let total = |house: &House| {
        let series = house.series(Quantity::EnergyIn, T0, T0 + 48 * HOUR, 3, Tz::UTC);
        series.points.iter().map(|point| point.mean).sum::<f64>()
    };
    assert_eq!(total(&house), 1_990.0);
    let raw = std::time::Duration::from_secs(24 * 3_600);
    let task = UpkeepTask::Retain(Retention { raw, minute: raw });
    // One hour more than a day before this moment is hour 20.
    assert!(house.upkeep(task, T0 + 45 * HOUR) > 100);
    let left = house.seqs("h", TimeRange::default(), Order::Ascending);
    // Chunks go whole, hot readings one by one.
    assert!(left[0] > 20 * 6 - 10 && left[0] <= 20 * 6 + 1, "{}", left[0]);
    assert_eq!(left.len() as u64, 200 - left[0] + 1);
    let query = PageQuery {
        hem: hem("h"),
        range: TimeRange::default(),
        after: None,
        limit: 10,
        order: Order::Ascending,
    };
    assert_eq!(house.store.events(&query).unwrap().items.len(), 1);
    assert_eq!(house.store.refusals(&query).unwrap().items.len(), 0);
    assert_eq!(total(&house), 1_990.0);
    // Fine questions about the time before are answered from quarters.
    let series = house.series(Quantity::EnergyIn, T0, T0 + 24 * HOUR, 5_000, Tz::UTC);
    assert_eq!(series.step_seconds, 900);
    assert_eq!(house.upkeep(task, T0 + 45 * HOUR), 0);
    assert_eq!(
        house.commit("h", 1, vec![reading(5, T0, 0.0, None)]),
        CommitOutcome::Stored {
            microgrid: MicrogridId::new("fontana").unwrap(),
            after: Seq(203),
            through: Seq(203),
        }
    );
}

#[test]
fn raw_data_that_waits_to_be_rolled_up_is_not_removed() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 60.0, None)]);
    let task = UpkeepTask::Retain(Retention::default());
    assert_eq!(house.upkeep(task, T0 + 365 * 24 * HOUR), 0);
    house.roll_up();
    assert_eq!(house.upkeep(task, T0 + 365 * 24 * HOUR), 1);
}

#[test]
fn everything_is_there_after_opening_the_file_again() {
    let house = House::new();
    house.open("h");
    let entries: Vec<Entry> = (1..=30).map(|seq| reading(seq, T0, 1.0, None)).collect();
    house.commit("h", 1, entries.clone());
    house.upkeep(UpkeepTask::Seal, T0);
    let House { store, folder } = house;
    drop(store);
    let store =
        SqliteTelemetry::open(Location::new(folder.path().join("iot.db")), SMALL_CHUNKS).unwrap();
    let house = House { store, folder };
    assert_eq!(house.after("h", 0, 100).entries, entries);
    assert_eq!(house.open("h"), SessionOpened { epoch: Epoch(2), mark: Seq(30) });
    // A minute that was dirty before is still rolled up with all that came after.
    house.commit("h", 2, vec![reading(31, T0, 32.0, None)]);
    house.roll_up();
    assert_eq!(house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC).points[0].mean, 2.0);
}

/// Breaks the writer, sees that a commit fails for a reason that may pass and leaves nothing, lets
/// the next one heal.
fn breaks_and_heals(sabotage: &str, reason: &str) {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 1.0, None)]);
    lock(&house.store.writer).as_mut().unwrap().batch_execute(sabotage).unwrap();
    let many: Vec<Entry> = (2..2_000).map(|seq| reading(seq, T0, seq as f64 / 7.0, None)).collect();
    let element = HemEntries { hem: hem("h"), epoch: Epoch(1), entries: many };
    let error = house.store.commit(std::slice::from_ref(&element), Timestamp(T0)).unwrap_err();
    assert!(error.is_temporary());
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(house.after("h", 0, 10).through, Seq(1));
    house.store.commit(&[element], Timestamp(T0)).unwrap();
    assert_eq!(house.after("h", 1_998, 10).through, Seq(1_999));
}

#[test]
fn a_full_disk_is_away_with_its_reason_and_heals() {
    breaks_and_heals("PRAGMA max_page_count = 1", "full");
}

#[test]
fn a_read_only_file_is_away_with_its_reason_and_heals() {
    breaks_and_heals("PRAGMA query_only = ON", "readonly");
}

#[test]
fn a_locked_file_is_away_with_its_reason_and_heals() {
    let house = House::new();
    house.open("h");
    let mut other =
        SqliteConnection::establish(&house.folder.path().join("iot.db").to_string_lossy()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let element =
        HemEntries { hem: hem("h"), epoch: Epoch(1), entries: vec![reading(1, T0, 1.0, None)] };
    let error = house.store.commit(std::slice::from_ref(&element), Timestamp(T0)).unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("locked"), "{error}");
    // Reading goes on meanwhile.
    assert_eq!(house.after("h", 0, 10).through, Seq(0));
    other.batch_execute("ROLLBACK").unwrap();
    house.store.commit(&[element], Timestamp(T0)).unwrap();
    assert_eq!(house.after("h", 0, 10).through, Seq(1));
}

#[test]
fn a_store_in_memory_does_all_the_same() {
    let store = SqliteTelemetry::open(Location::Memory, SMALL_CHUNKS).unwrap();
    store.open_sessions(&[session("h")]).unwrap();
    let entries: Vec<Entry> = (1..=30).map(|seq| reading(seq, T0, 1.0, None)).collect();
    let element = HemEntries { hem: hem("h"), epoch: Epoch(1), entries };
    store.commit(&[element], Timestamp(T0)).unwrap();
    store.upkeep(UpkeepTask::Seal, Timestamp(T0)).unwrap();
    assert_eq!(store.entries_after(&hem("h"), Seq(0), 100).unwrap().entries.len(), 30);
    assert_eq!(store.marks(None).unwrap().len(), 1);
    let other = MicrogridId::new("other").unwrap();
    assert_eq!(store.marks(Some(&other)).unwrap(), []);
}
