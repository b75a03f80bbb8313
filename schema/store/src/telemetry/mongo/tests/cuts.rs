//! A process that dies, or loses its server, at any message of what it writes. Afterwards everything is
//! there or nothing; others go on, and what is asked again is done once.

use std::thread;

use memcloud_domain::{Entry, Order, TimeRange};

use super::proxy::{Cut, Proxy};
use super::*;
use crate::telemetry::Retention;
use crate::telemetry::suite::refused;

const IMPATIENT: MongoOptions = MongoOptions {
    server_selection: Duration::from_millis(500),
    // Longer than it takes to tell that a transaction was abandoned.
    patience: Duration::from_millis(2_500),
    ..SMALL_CHUNKS
};
/// As many messages as the longest of these writes takes, and more.
const MESSAGES: usize = 9;
/// So many cuts are tried at a time.
const AT_A_TIME: usize = 9;

/// A store whose way to the server can be cut, beside one whose way cannot.
struct Crossing {
    house: House,
    proxy: Proxy,
    far: MongoTelemetry,
}

impl Crossing {
    fn new() -> Self {
        let house = House::new();
        let (_, rest) = house.place.server.split_once("://").unwrap();
        let hosts = rest.split(['/', '?']).next().unwrap();
        let first = hosts.rsplit('@').next().unwrap().split(',').next().unwrap();
        let proxy = Proxy::to(first);
        let url = format!("mongodb://{}/{}?directConnection=true", proxy.address, house.place.name);
        let far = MongoTelemetry::open(&url, IMPATIENT).unwrap();
        Self { house, proxy, far }
    }

    /// Asks until it is done: the way is open again, the driver finds out by itself.
    fn persist<T>(&self, mut ask: impl FnMut(&MongoTelemetry) -> Result<T, StoreError>) -> T {
        for _ in 0..60 {
            match ask(&self.far) {
                Ok(done) => return done,
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
        panic!("the store never heals");
    }
}

/// Tries a cut at each message, each with a database of its own. Says how many came to it.
fn at_every_cut(kinds: &[fn(usize) -> Cut], check: impl Fn(&Crossing, Cut) + Sync) -> usize {
    let cuts = (1..=MESSAGES).flat_map(|at| kinds.iter().map(move |kind| kind(at)));
    let cuts: Vec<Cut> = cuts.collect();
    let mut came = 0;
    for some in cuts.chunks(AT_A_TIME) {
        thread::scope(|threads| {
            let tries: Vec<_> = some
                .iter()
                .map(|cut| {
                    let check = &check;
                    threads.spawn(move || {
                        let crossing = Crossing::new();
                        check(&crossing, *cut);
                        let was_cut = crossing.proxy.was_cut();
                        crossing.proxy.heal();
                        was_cut
                    })
                })
                .collect();
            for one in tries {
                came += usize::from(one.join().unwrap());
            }
        });
    }
    came
}

fn element(epoch: u64, entries: Vec<Entry>) -> [HemEntries; 1] {
    [HemEntries { hem: hem("h"), epoch: Epoch(epoch), entries }]
}

#[test]
fn a_commit_that_is_cut_off_anywhere_is_there_whole_or_not_at_all_and_asked_again_is_there_once() {
    let Some(_) = server() else { return };
    let came = at_every_cut(&[Cut::Before, Cut::After], |crossing, cut| {
        let Crossing { house, proxy, far } = crossing;
        far.open_sessions(&[session("h")]).unwrap();
        let mut entries: Vec<Entry> = (1..=8).map(at).collect();
        entries.push(refused(9));
        proxy.cut_at(cut);
        let outcome = far.commit(&element(1, entries.clone()), Timestamp(T0));
        let found = house.after("h", 0, 100).entries;
        match &outcome {
            Ok(outcome) => assert_eq!((outcome, &found), (&vec![stored(0, 9)], &entries)),
            Err(error) => {
                assert!(error.is_temporary(), "{error}");
                assert!(found.is_empty() || found == entries, "{cut:?}: {found:?}");
            }
        }
        // Asked again over the same way.
        proxy.heal();
        let again = crossing.persist(|far| far.commit(&element(1, entries.clone()), Timestamp(T0)));
        assert!(again == [stored(0, 9)] || again == [stored(9, 9)], "{again:?}");
        assert_eq!(house.after("h", 0, 100).entries, entries);
        assert_eq!(house.store.figures().unwrap().hot_readings, 8);
    });
    assert!(came >= 10, "only {came} cuts came to anything");
}

#[test]
fn a_process_that_died_within_a_commit_keeps_nobody_from_taking_its_hems_over() {
    let Some(_) = server() else { return };
    at_every_cut(&[Cut::After], |crossing, cut| {
        let Crossing { house, proxy, far } = crossing;
        far.open_sessions(&[session("h")]).unwrap();
        proxy.cut_at(cut);
        let lost = far.commit(&element(1, (1..=8).map(at).collect()), Timestamp(T0));
        // The other process, at once.
        let opened = house.open("h");
        assert_eq!(opened.epoch, Epoch(2));
        assert!(opened.mark == Seq(0) && lost.is_err() || opened.mark == Seq(8), "{cut:?}");
        let first = opened.mark.0 + 1;
        let entries: Vec<Entry> = (first..=20).map(at).collect();
        assert_eq!(house.commit("h", 2, entries), stored(opened.mark.0, 20));
        proxy.heal();
        let late = element(1, (1..=30).map(at).collect());
        let outcome = crossing.persist(|far| far.commit(&late, Timestamp(T0)));
        assert_eq!(outcome, [CommitOutcome::Fenced]);
        let all: Vec<u64> = (1..=20).collect();
        assert_eq!(house.seqs("h", TimeRange::default(), Order::Ascending), all);
    });
}

#[test]
fn upkeep_that_is_cut_off_anywhere_loses_and_doubles_nothing() {
    let Some(_) = server() else { return };
    let retention = Retention { raw: Duration::from_secs(3_600), ..Retention::default() };
    let old = T0 + 40 * 24 * HOUR;
    for (task, now) in [
        (UpkeepTask::Seal, T0),
        (UpkeepTask::RollUp, old),
        (UpkeepTask::Retain(retention), T0 + 3 * HOUR),
    ] {
        let came = at_every_cut(&[Cut::After], |crossing, cut| {
            let Crossing { house, proxy, far } = crossing;
            house.open("h");
            let entries: Vec<Entry> = (1..=40)
                .map(|seq| reading(seq, T0 + seq.cast_signed() * 1_000, 6.0, Some(seq as f64)))
                .collect();
            for part in entries.chunks(5) {
                house.commit("h", 1, part.to_vec());
            }
            let keeps = matches!(task, UpkeepTask::Retain(_));
            if keeps {
                house.upkeep(UpkeepTask::Seal, T0);
                house.roll_up();
            }
            proxy.cut_at(cut);
            let _ = far.upkeep(task, Timestamp(now));
            let energy = || {
                let series = house.series(Quantity::EnergyIn, T0, T0 + 24 * HOUR, 1, Tz::UTC);
                series.points.iter().map(|point| point.mean).sum::<f64>()
            };
            let figures = || {
                let figures = house.store.figures().unwrap();
                figures.hot_readings + figures.sealed_readings
            };
            let left = house.after("h", 0, 100).entries;
            assert!(left == entries || keeps && entries.ends_with(&left), "{cut:?}: {left:?}");
            assert_eq!(figures(), left.len() as u64);
            assert_eq!(energy(), 39.0);
            // The other process does all of it at once.
            house.upkeep(task, now);
            let left = house.after("h", 0, 100).entries;
            assert!(left == entries || keeps && left.is_empty(), "{cut:?}: {left:?}");
            assert_eq!(figures(), left.len() as u64);
            assert_eq!(energy(), 39.0);
        });
        assert!(came >= 4, "only {came} cuts came to anything: {task:?}");
    }
}
