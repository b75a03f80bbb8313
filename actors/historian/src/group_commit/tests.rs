//! The core against a real store, with HEMs that come and go and a store that does, too.

use std::collections::BTreeMap;

use memcloud_domain::{Reading, Refusal, RefusalCode};
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{SqliteTelemetry, TelemetryStore};
use proptest::prelude::*;

use super::*;
use crate::ThrottledStore;

const AT: Timestamp = Timestamp(1_772_409_600_000);

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Open(usize),
    HandOver { hem: usize, count: u64, stale: bool },
    Close(usize),
    Wait(u64),
    FinishJob,
    GoAway,
    ComeBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_usize..3).prop_map(Step::Open),
        8 => (0_usize..3, 1_u64..40, proptest::bool::weighted(0.1))
            .prop_map(|(hem, count, stale)| Step::HandOver { hem, count, stale }),
        1 => (0_usize..3).prop_map(Step::Close),
        6 => (0_u64..400).prop_map(Step::Wait),
        6 => Just(Step::FinishJob),
        1 => Just(Step::GoAway),
        1 => Just(Step::ComeBack),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A HEM's connection as its socket sees it.
struct Socket {
    epoch: Epoch,
    next: u64,
    handed_over: u64,
    durable: watch::Receiver<Durability>,
}

/// An `OpenSession` that waits for its answer.
struct Asking {
    hem: usize,
    durable: watch::Receiver<Durability>,
    answer: oneshot::Receiver<Result<SessionOpened, Unavailable>>,
}

struct World {
    core: GroupCommit,
    metrics: Arc<HistorianMetrics>,
    store: ThrottledStore<SqliteTelemetry>,
    now: Instant,
    job: Option<Job>,
    sockets: BTreeMap<usize, Vec<Socket>>,
    asking: Vec<Asking>,
    published: BTreeMap<HemId, (Seq, Vec<u64>)>,
    alarms: Vec<HemId>,
}

impl World {
    fn new() -> Self {
        let options = SqliteOptions::default();
        let telemetry = SqliteTelemetry::open(Location::Memory, options).unwrap();
        let metrics = Arc::new(HistorianMetrics::default());
        let policy = CommitPolicy { entries: 50, max_entries: 90, ..CommitPolicy::default() };
        Self {
            core: GroupCommit::new(policy, Arc::clone(&metrics)),
            metrics,
            store: ThrottledStore::new(telemetry, 0),
            now: Instant::now(),
            job: None,
            sockets: BTreeMap::new(),
            asking: Vec::new(),
            published: BTreeMap::new(),
            alarms: Vec::new(),
        }
    }

    fn hem(number: usize) -> HemId {
        HemId::new(&format!("hem-{number}")).unwrap()
    }

    fn feed(&mut self, event: Event) {
        for effect in self.core.accept(event, self.now) {
            match effect {
                Effect::Answer(reply, answer) => {
                    let _ = reply.send(answer);
                }
                Effect::Run(job) => {
                    assert!(self.job.replace(job).is_none(), "two jobs in flight");
                }
                Effect::Publish(committed) => {
                    for batch in committed.batches.iter() {
                        let (mark, seqs) = self.published.entry(batch.hem.clone()).or_default();
                        assert_eq!(*mark, batch.after, "a gap in what is published");
                        *mark = batch.through;
                        seqs.extend(batch.entries.iter().map(|entry| entry.seq().0));
                    }
                }
                Effect::Alarm { hem, .. } => self.alarms.push(hem),
            }
        }
        self.welcome();
    }

    /// Sockets whose question was answered begin from the mark.
    fn welcome(&mut self) {
        let mut still = Vec::new();
        for mut asking in std::mem::take(&mut self.asking) {
            match asking.answer.try_recv() {
                Ok(Ok(SessionOpened { epoch, mark })) => {
                    let socket = Socket {
                        epoch,
                        next: mark.0 + 1,
                        handed_over: mark.0,
                        durable: asking.durable,
                    };
                    self.sockets.entry(asking.hem).or_default().push(socket);
                }
                Ok(Err(_)) => {}
                Err(oneshot::error::TryRecvError::Empty) => still.push(asking),
                Err(oneshot::error::TryRecvError::Closed) => panic!("never answered"),
            }
        }
        self.asking = still;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(hem) => {
                let (sender, durable) =
                    watch::channel(Durability { through: Seq::NONE, fenced: false });
                let (reply, answer) = oneshot::channel();
                let microgrid = MicrogridId::new("fontana").unwrap();
                let session = NewSession { hem: Self::hem(hem), microgrid };
                self.asking.push(Asking { hem, durable, answer });
                self.feed(Event::Open(Opening { session, durable: sender, reply }));
            }
            Step::HandOver { hem, count, stale } => {
                let Some(sockets) = self.sockets.get_mut(&hem) else { return };
                let place = if stale { 0 } else { sockets.len() - 1 };
                let Some(socket) = sockets.get_mut(place) else { return };
                let entries = (socket.next..socket.next + count).map(entry).collect();
                socket.next += count;
                socket.handed_over = socket.next - 1;
                let epoch = socket.epoch;
                self.feed(Event::Entries(HemEntries { hem: Self::hem(hem), epoch, entries }));
            }
            Step::Close(hem) => {
                let Some(socket) = self.sockets.get(&hem).and_then(|all| all.last()) else {
                    return;
                };
                let epoch = socket.epoch;
                self.feed(Event::Close { hem: Self::hem(hem), epoch });
            }
            Step::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                self.feed(Event::Tick);
            }
            Step::FinishJob => {
                let Some(job) = self.job.take() else { return };
                let report = job.run(&self.store, AT);
                drop(job);
                self.feed(Event::Finished { report, took: Duration::from_millis(3), at: AT });
            }
            Step::GoAway => self.store.go_away("full"),
            Step::ComeBack => self.store.come_back(),
        }
        let m = &self.metrics;
        let known = m.stored.get() + m.refused.get() + m.replayed.get() + m.dropped.get();
        assert_eq!(m.received.get(), known + self.core.waiting() as u64);
    }
}

fn entry(seq: u64) -> Entry {
    if seq.is_multiple_of(7) {
        let code = RefusalCode::TooOld;
        return Entry::Refused(Refusal { seq: Seq(seq), received: AT, code });
    }
    Entry::Reading(Reading { seq: Seq(seq), ts: AT, received: AT, nodes: Vec::new() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_lost_doubled_or_acknowledged_too_early(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            // An ack never says more than the disk.
            for (hem, sockets) in &world.sockets {
                let marks = world.store.marks(None).unwrap();
                let mark = marks.iter().find(|one| one.hem == World::hem(*hem)).unwrap().mark;
                for socket in sockets {
                    prop_assert!(socket.durable.borrow().through <= mark);
                }
            }
        }
        world.step(Step::ComeBack);
        for _ in 0..200 {
            world.step(Step::FinishJob);
            world.step(Step::Wait(6_000));
        }
        prop_assert!(world.alarms.is_empty() && world.core.is_idle() && world.asking.is_empty());
        prop_assert_eq!(world.core.health(), &StoreHealth::Healthy);
        for (hem, sockets) in &world.sockets {
            let hem = World::hem(*hem);
            let current = sockets.last().unwrap();
            let durability = *current.durable.borrow();
            prop_assert!(durability.fenced || durability.through.0 == current.handed_over);
            let older = &sockets[..sockets.len() - 1];
            prop_assert!(older.iter().all(|socket| socket.durable.borrow().fenced));
            let (mut stored, mut after) = (Vec::new(), Seq::NONE);
            loop {
                let batch = world.store.entries_after(&hem, after, 500).unwrap();
                stored.extend(batch.entries.iter().map(|entry| entry.seq().0));
                if batch.through == after { break }
                after = batch.through;
            }
            let expected: Vec<u64> = (1..=after.0).collect();
            prop_assert_eq!(&stored, &expected);
            let published = world.published.remove(&hem).unwrap_or_default();
            prop_assert_eq!((published.0, &published.1), (after, &expected));
        }
    }
}

#[test]
fn a_retry_waits_longer_each_time_up_to_its_bound() {
    let mut world = World::new();
    world.step(Step::Open(0));
    world.step(Step::FinishJob);
    world.step(Step::GoAway);
    world.step(Step::HandOver { hem: 0, count: 60, stale: false });
    let mut pauses = Vec::new();
    for _ in 0..9 {
        world.step(Step::FinishJob);
        let pause = world.core.deadline().unwrap() - world.now;
        pauses.push(pause.as_millis());
        world.step(Step::Wait(u64::try_from(pause.as_millis()).unwrap()));
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
}

#[test]
fn what_follows_entries_that_could_not_be_stored_does_not_move_the_mark_over_them() {
    let mut world = World::new();
    for hem in 0..2 {
        world.step(Step::Open(hem));
        world.step(Step::FinishJob);
    }
    world.store.reject(World::hem(0));
    world.step(Step::HandOver { hem: 0, count: 30, stale: false });
    world.step(Step::HandOver { hem: 1, count: 30, stale: false });
    // In flight now; these wait behind it.
    world.step(Step::HandOver { hem: 0, count: 5, stale: false });
    world.step(Step::HandOver { hem: 1, count: 5, stale: false });
    world.step(Step::FinishJob);
    world.step(Step::FinishJob);
    assert_eq!(world.alarms, [World::hem(0)]);
    world.step(Step::ComeBack);
    world.step(Step::Wait(100));
    world.step(Step::FinishJob);
    let marks: Vec<u64> = world.store.marks(None).unwrap().iter().map(|one| one.mark.0).collect();
    assert_eq!(marks, [0, 35]);
}
