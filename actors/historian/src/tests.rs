//! The historian as sockets, subscribers and operators meet it: over a real store in memory, in
//! simulated time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use memcloud_domain::messages::{
    CloseSession, Durability, GetLatestReading, GetSeries, HemBatch, ListMarks, ListReadings,
    OpenSession, Order, ReadEntriesAfter, ReadingsCommitted, SeriesSubject, SessionOpened,
    StoreEntries, TimeRange,
};
use memcloud_domain::{
    Entry, Epoch, HemId, MicrogridId, NodeId, NodeReading, Quantity, Reading, Refusal, RefusalCode,
    Seq, Timestamp, Watts,
};
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{Retention, SqliteTelemetry, TelemetryStore};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, Universe};
use tokio::sync::watch;

use crate::{
    FlushAndStop, GetHealth, Historian, HistorianConfig, HistorianMetrics, Maintenance,
    MaintenanceConfig, ThrottledStore,
};

/// 2026-03-02T00:00:00Z.
const T0: i64 = 1_772_409_600_000;
const SOON: Duration = Duration::from_secs(5);

/// Tests crash the historian with it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Crash;

impl Handler<Crash> for Historian {
    type Result = ();
    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        panic!("as the test wants it");
    }
}

/// Stands for the bus.
struct Subscriber(Arc<Mutex<Vec<ReadingsCommitted>>>);

impl Actor for Subscriber {
    type Context = Context<Self>;
}
impl Observe for Subscriber {}
memcloud_supervision::supervised!(Subscriber);

impl Handler<ReadingsCommitted> for Subscriber {
    type Result = ();
    fn handle(&mut self, message: ReadingsCommitted, _: &mut Self::Context) {
        self.0.lock().unwrap().push(message);
    }
}

struct World {
    scope: Scope,
    historian: Child<Historian>,
    subscriber: Child<Subscriber>,
    published: Arc<Mutex<Vec<ReadingsCommitted>>>,
    store: Arc<ThrottledStore<SqliteTelemetry>>,
    metrics: Arc<HistorianMetrics>,
}

/// An open connection of a HEM.
struct Connection {
    hem: HemId,
    epoch: Epoch,
    mark: Seq,
    durable: watch::Receiver<Durability>,
}

impl World {
    fn new(scope: Scope) -> Self {
        let options = SqliteOptions { chunk_readings: 20, keep_hot: 5, ..SqliteOptions::default() };
        let telemetry = SqliteTelemetry::open(Location::Memory, options).unwrap();
        let store = Arc::new(ThrottledStore::new(telemetry, 0));
        let metrics = Arc::new(HistorianMetrics::default());
        let published = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&published);
        let subscriber =
            scope.supervise(ChildSpec::new("subscriber"), move |_| Subscriber(Arc::clone(&inbox)));
        let port = subscriber.port::<ReadingsCommitted>();
        let (given, counted) = (Arc::clone(&store), Arc::clone(&metrics));
        let historian = scope.supervise(ChildSpec::new("historian").mailbox(4_096), move |scope| {
            let store: Arc<dyn TelemetryStore> = Arc::clone(&given) as _;
            let counted = Arc::clone(&counted);
            Historian::new(scope, HistorianConfig::default(), store, port.clone(), counted)
        });
        Self { scope, historian, subscriber, published, store, metrics }
    }

    async fn try_open(&self, hem: &str, microgrid: &str) -> Option<Connection> {
        let (sender, durable) = watch::channel(Durability { through: Seq::NONE, fenced: false });
        let hem = HemId::new(hem).unwrap();
        let ask = OpenSession {
            hem: hem.clone(),
            microgrid: MicrogridId::new(microgrid).unwrap(),
            durable: sender,
        };
        let SessionOpened { epoch, mark } = self.historian.ask(ask, SOON).await.unwrap().ok()?;
        Some(Connection { hem, epoch, mark, durable })
    }

    async fn open(&self, hem: &str) -> Connection {
        self.try_open(hem, "fontana").await.unwrap()
    }

    fn hand_over(&self, connection: &Connection, entries: Vec<Entry>) {
        let (hem, epoch) = (connection.hem.clone(), connection.epoch);
        self.historian.tell(StoreEntries { hem, epoch, entries }).unwrap();
    }

    async fn pass(&self, millis: u64) {
        self.scope.clock().sleep(Duration::from_millis(millis)).await;
    }

    fn published(&self) -> Vec<HemBatch> {
        let published = self.published.lock().unwrap();
        published.iter().flat_map(|message| message.batches.iter().cloned()).collect()
    }

    async fn stored(&self, hem: &str) -> Vec<u64> {
        let hem = HemId::new(hem).unwrap();
        let ask = ReadEntriesAfter { hem, after: Seq::NONE, limit: 1_000 };
        let batch = self.historian.ask(ask, SOON).await.unwrap().unwrap();
        batch.entries.iter().map(|entry| entry.seq().0).collect()
    }

    /// No entry is unaccounted for.
    fn assert_balanced(&self) {
        let m = &self.metrics;
        let known = m.stored.get() + m.refused.get() + m.replayed.get() + m.dropped.get();
        assert_eq!(m.received.get(), known + m.waiting.get());
    }
}

fn reading(seq: u64) -> Entry {
    let mut node = NodeReading::empty(NodeId(1));
    node.watts = Some(Watts(seq as f64));
    let ts = Timestamp(T0 + seq.cast_signed() * 1_000);
    Entry::Reading(Reading { seq: Seq(seq), ts, received: ts, nodes: vec![node] })
}

fn readings(seqs: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    seqs.map(reading).collect()
}

fn through(connection: &Connection) -> u64 {
    connection.durable.borrow().through.0
}

#[test]
fn a_commit_comes_when_a_thousand_wait_or_the_oldest_has_waited_20_ms() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let home = world.open("home").await;
        world.hand_over(&home, readings(1..=999));
        world.pass(15).await;
        assert_eq!(through(&home), 0);
        world.pass(10).await;
        assert_eq!(through(&home), 999);
        world.hand_over(&home, readings(1_000..=1_500));
        world.hand_over(&home, readings(1_501..=2_000));
        world.pass(1).await;
        assert_eq!(through(&home), 2_000);
        assert_eq!((world.metrics.commits.get(), world.metrics.commit_sizes.sum()), (2, 2_000));
        world.assert_balanced();
    });
}

#[test]
fn what_is_published_is_stored_and_its_marks_are_a_chain() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let one = world.open("one").await;
        let other = world.try_open("other", "elsewhere").await.unwrap();
        for round in 0..5 {
            world.hand_over(&one, readings(round * 10 + 1..=round * 10 + 10));
            world.hand_over(&other, readings(round * 3 + 1..=round * 3 + 2));
            world.pass(30).await;
        }
        for (hem, last) in [(&one, 50), (&other, 14)] {
            let (mut mark, mut seen) = (Seq::NONE, Vec::new());
            for batch in world.published().iter().filter(|batch| batch.hem == hem.hem) {
                assert_eq!(batch.after, mark);
                mark = batch.through;
                seen.extend(batch.entries.iter().map(|entry| entry.seq().0));
            }
            assert_eq!((mark, through(hem)), (Seq(last), last));
            assert_eq!(seen, world.stored(hem.hem.as_str()).await);
        }
        let published = world.published.lock().unwrap();
        assert!(published.iter().all(|message| {
            let expected = if message.microgrid.as_str() == "fontana" { "one" } else { "other" };
            message.batches.iter().all(|batch| batch.hem.as_str() == expected)
        }));
    });
}

#[test]
fn a_replay_is_acknowledged_and_counted_but_not_published_again() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let first = world.open("home").await;
        world.hand_over(&first, readings(1..=10));
        world.pass(30).await;
        let second = world.open("home").await;
        assert_eq!(second.mark, Seq(10));
        let mut again = readings(5..=12);
        let refusal =
            Refusal { seq: Seq(13), received: Timestamp(T0), code: RefusalCode::Malformed };
        again.push(Entry::Refused(refusal));
        world.hand_over(&second, again);
        world.pass(30).await;
        assert_eq!(through(&second), 13);
        let seqs: Vec<Vec<u64>> = world
            .published()
            .iter()
            .map(|batch| batch.entries.iter().map(|entry| entry.seq().0).collect())
            .collect();
        assert_eq!(seqs, [(1..=10).collect::<Vec<u64>>(), vec![11, 12, 13]]);
        let m = &world.metrics;
        assert_eq!((m.stored.get(), m.replayed.get(), m.refused.get()), (12, 6, 1));
        world.assert_balanced();
    });
}

#[test]
fn a_welcome_is_a_barrier_for_what_earlier_connections_handed_over() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let first = world.open("home").await;
        world.hand_over(&first, readings(1..=7));
        // No time passes: what waits is committed before the mark is read.
        let second = world.open("home").await;
        assert_eq!((second.mark, second.epoch), (Seq(7), Epoch(2)));
        assert!(first.durable.borrow().fenced);
        world.hand_over(&first, readings(8..=9));
        world.hand_over(&second, readings(8..=8));
        world.pass(30).await;
        assert_eq!((through(&first), through(&second)), (7, 8));
        assert_eq!(world.stored("home").await, (1..=8).collect::<Vec<u64>>());
        assert_eq!(world.metrics.dropped.get(), 2);
        world.assert_balanced();
    });
}

#[test]
fn while_the_store_is_away_acks_wait_and_nothing_is_lost() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let home = world.open("home").await;
        world.store.go_away("database or disk is full");
        world.hand_over(&home, readings(1..=10));
        world.pass(1_000).await;
        world.hand_over(&home, readings(11..=20));
        world.pass(60_000).await;
        assert_eq!((through(&home), world.published().len()), (0, 0));
        let health = world.historian.ask(GetHealth, SOON).await.unwrap();
        assert!(health.away.unwrap().reason.contains("disk is full"));
        assert!(health.away_for > Duration::from_secs(60));
        assert_eq!(health.waiting, 20);
        assert!(world.try_open("other", "fontana").await.is_none());
        world.store.come_back();
        world.pass(10_000).await;
        assert_eq!(through(&home), 20);
        assert_eq!(world.stored("home").await, (1..=20).collect::<Vec<u64>>());
        assert_eq!(world.historian.ask(GetHealth, SOON).await.unwrap().away, None);
        assert!(world.try_open("other", "fontana").await.is_some());
        world.assert_balanced();
    });
}

#[test]
fn a_store_that_was_away_without_traffic_is_found_to_be_back() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        world.store.go_away("locked");
        assert!(world.try_open("home", "fontana").await.is_none());
        world.store.come_back();
        world.pass(10_000).await;
        assert_eq!(world.historian.ask(GetHealth, SOON).await.unwrap().away, None);
    });
}

#[test]
fn a_crash_fences_every_session_and_what_is_sent_again_is_stored_once() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let first = world.open("home").await;
        world.hand_over(&first, readings(1..=10));
        world.pass(30).await;
        world.hand_over(&first, readings(11..=20));
        world.historian.tell(Crash).unwrap();
        // This one waits in the mailbox over the restart: it must not make its mark jump the lost.
        world.hand_over(&first, readings(21..=30));
        world.pass(5_000).await;
        assert!(first.durable.borrow().fenced);
        assert_eq!(through(&first), 10);
        let second = world.open("home").await;
        assert_eq!(second.mark, Seq(10));
        world.hand_over(&second, readings(11..=30));
        world.pass(30).await;
        assert_eq!(world.stored("home").await, (1..=30).collect::<Vec<u64>>());
        world.assert_balanced();
    });
}

#[test]
fn nobody_on_the_bus_slows_or_loses_a_commit() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let home = world.open("home").await;
        world.subscriber.stop(SOON).await;
        world.hand_over(&home, readings(1..=10));
        world.pass(30).await;
        assert_eq!(through(&home), 10);
        assert_eq!((world.metrics.dropped_hints.get(), world.metrics.published.get()), (1, 0));
    });
}

#[test]
fn entries_that_can_never_be_stored_end_their_own_session_and_hold_up_nobody_else() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let (good, bad) = (world.open("good").await, world.open("bad").await);
        world.store.reject(bad.hem.clone());
        world.hand_over(&bad, readings(1..=5));
        world.hand_over(&good, readings(1..=5));
        world.pass(1_000).await;
        assert_eq!((through(&good), through(&bad)), (5, 0));
        assert!(bad.durable.borrow().fenced && !good.durable.borrow().fenced);
        assert_eq!(world.historian.ask(GetHealth, SOON).await.unwrap().away, None);
        world.hand_over(&good, readings(6..=9));
        world.pass(1_000).await;
        assert_eq!(through(&good), 9);
        world.assert_balanced();
    });
}

#[test]
fn entries_over_which_the_store_panics_end_their_own_session_and_hold_up_nobody_else() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let (good, bad) = (world.open("good").await, world.open("bad").await);
        world.store.crash_on(bad.hem.clone());
        world.hand_over(&bad, readings(1..=5));
        world.hand_over(&good, readings(1..=5));
        world.pass(60_000).await;
        assert_eq!((through(&good), through(&bad)), (5, 0));
        assert!(bad.durable.borrow().fenced && !good.durable.borrow().fenced);
        assert_eq!(world.historian.ask(GetHealth, SOON).await.unwrap().away, None);
        world.assert_balanced();
    });
}

#[test]
fn a_flush_commits_what_waits_and_ends_the_historian() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let home = world.open("home").await;
        world.hand_over(&home, readings(1..=10));
        world.historian.ask(FlushAndStop, Duration::from_millis(1)).await.unwrap();
        assert_eq!(through(&home), 10);
        world.historian.ended().await;
        let mark = world.store.marks(None).unwrap()[0].mark;
        assert_eq!(mark, Seq(10));
    });
}

#[test]
fn a_closed_sessions_entries_are_still_stored() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let home = world.open("home").await;
        world.hand_over(&home, readings(1..=3));
        let (hem, epoch) = (home.hem.clone(), home.epoch);
        world.historian.tell(CloseSession { hem, epoch }).unwrap();
        world.pass(30).await;
        assert_eq!(world.stored("home").await, [1, 2, 3]);
        assert_eq!(world.metrics.sessions.get(), 0);
    });
}

#[test]
fn five_thousand_sessions_open_in_few_transactions() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let opens = (0..5_000).map(|number| {
            let world = &world;
            async move { world.try_open(&format!("home-{number}"), "fontana").await.is_some() }
        });
        let opened = futures_util::future::join_all(opens).await;
        assert!(opened.iter().all(|opened| *opened));
        let marks = world.historian.ask(ListMarks { microgrid: None }, SOON).await.unwrap();
        assert_eq!(marks.unwrap().len(), 5_000);
    });
}

#[test]
fn what_was_stored_can_be_asked_for() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope);
        let home = world.open("home").await;
        world.hand_over(&home, readings(1..=30));
        world.pass(30).await;
        let hem = home.hem.clone();
        let page = ListReadings {
            hem: hem.clone(),
            range: TimeRange::default(),
            after: None,
            limit: 3,
            order: Order::Descending,
        };
        let page = world.historian.ask(page, SOON).await.unwrap().unwrap();
        assert_eq!((page.items[0].seq, page.next), (Seq(30), Some(Seq(28))));
        let latest = GetLatestReading { hem: hem.clone() };
        let latest = world.historian.ask(latest, SOON).await.unwrap().unwrap().unwrap();
        assert_eq!(latest.nodes[0].watts, Some(Watts(30.0)));
        let series = GetSeries {
            subject: SeriesSubject::Node(hem, NodeId(1)),
            quantity: Quantity::Watts,
            from: Timestamp(T0),
            to: Timestamp(T0 + 3_600_000),
            points: 60,
            time_zone: "Europe/Berlin".to_owned(),
        };
        let series = world.historian.ask(series, SOON).await.unwrap().unwrap();
        assert_eq!((series.points.len(), series.points[0].mean), (1, 15.5));
    });
}

#[test]
fn maintenance_rolls_up_seals_and_outlives_a_store_that_is_away() {
    Universe::run(T0, async |scope| {
        let world = World::new(scope.clone());
        let (store, metrics) = (Arc::clone(&world.store), Arc::clone(&world.metrics));
        scope.supervise(ChildSpec::new("maintenance"), move |scope| {
            let store: Arc<dyn TelemetryStore> = Arc::clone(&store) as _;
            let day = Duration::from_secs(24 * 3_600);
            let config = MaintenanceConfig {
                roll_up_every: Duration::from_secs(600),
                seal_every: Duration::from_secs(600),
                retain_every: Duration::from_secs(3_600),
                checkpoint_every: Duration::from_secs(3_600),
                retention: Retention { raw: 3 * day, minute: 3 * day },
                ..MaintenanceConfig::default()
            };
            Maintenance::new(scope, &config, store, Arc::clone(&metrics))
        });
        let home = world.open("home").await;
        world.hand_over(&home, readings(1..=60));
        world.pass(30).await;
        world.store.go_away("locked");
        world.pass(1_000_000).await;
        assert!(world.metrics.failed_upkeep.get() > 0);
        assert_eq!((world.metrics.sealed.get(), world.metrics.rolled_up.get()), (0, 0));
        world.store.come_back();
        world.pass(2 * 24 * 3_600 * 1_000).await;
        let figures = world.store.figures().unwrap();
        assert_eq!((figures.hot_readings, figures.sealed_readings), (20, 40));
        assert_eq!(figures.dirty_buckets, 0);
        // Two minutes, a quarter, an hour and a day.
        assert_eq!(world.metrics.rolled_up.get(), 5);
        // Longer than raw data is kept.
        world.pass(2 * 24 * 3_600 * 1_000).await;
        let figures = world.store.figures().unwrap();
        assert_eq!((figures.hot_readings, figures.sealed_readings), (0, 0));
    });
}
