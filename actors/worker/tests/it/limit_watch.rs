//! When an alarm begins and ends, and what missing data does to it.

use std::time::Duration;

use memcloud_domain::Timestamp;
use memcloud_worker::apps::limit_watch::{Hysteresis, LimitWatch, Phase, Transition};
use memcloud_worker::{EnergyApp, Outcome};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Bench, GRID, LOAD, at, dated_ahead, entry, power, roster};

const NOW: &str = "2026-07-01T12:00:00Z";

fn configuration() -> serde_json::Value {
    json!({"limit_watts": 5_000, "hold_seconds": 30, "clear_seconds": 20, "stale_seconds": 10})
}

/// Two homes, each importing as given, for so many seconds; answers what came of each second.
struct Days {
    bench: Bench<LimitWatch>,
    second: i64,
}

impl Days {
    fn begin() -> Self {
        let bench = Bench::new(configuration(), roster("Europe/Zurich", &["home-1", "home-2"]));
        Self { bench, second: 0 }
    }

    fn now(&self) -> i64 {
        at(NOW) + self.second * 1_000
    }

    fn pass(&mut self, seconds: i64, imports: [Option<f64>; 2]) -> Vec<(i64, Outcome)> {
        let mut found = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            let now = self.now();
            let seq = u64::try_from(self.second).unwrap();
            let of = |import: f64| vec![power(GRID, -import), power(LOAD, import)];
            let entries = ["home-1", "home-2"]
                .into_iter()
                .zip(imports)
                .filter_map(|(name, import)| Some((name, vec![entry(seq, now, of(import?))])))
                .collect();
            let outcome = self.bench.step(now, entries);
            if outcome != Outcome::default() {
                found.push((self.second, outcome));
            }
        }
        found
    }
}

#[test]
fn a_clock_that_was_ahead_for_a_while_does_not_freeze_a_homes_import() {
    let mut days = Days::begin();
    days.pass(5, [Some(1_000.0), Some(1_000.0)]);
    let ahead = dated_ahead(entry(6, days.now(), vec![power(GRID, -1_000.0)]), 20);
    days.bench.step(days.now(), vec![("home-1", vec![ahead])]);
    assert!(!days.pass(40, [Some(6_000.0), Some(1_000.0)]).is_empty(), "the alarm comes");
}

#[test]
fn an_import_that_no_home_can_have_breaks_neither_the_watch_nor_its_saved_state() {
    let mut days = Days::begin();
    days.pass(20, [Some(2_000.0), Some(2_000.0)]);
    days.pass(1, [Some(1.7e308), Some(1.7e308)]);
    assert!(days.pass(40, [Some(2_000.0), Some(2_000.0)]).is_empty());
}

#[test]
fn an_alarm_comes_when_the_import_stays_over_the_limit_and_ends_when_it_stays_below() {
    let mut days = Days::begin();
    assert!(days.pass(20, [Some(2_000.0), Some(2_000.0)]).is_empty());
    assert!(days.pass(29, [Some(4_000.0), Some(2_000.0)]).is_empty(), "not yet long enough");
    assert!(days.pass(5, [Some(1_000.0), Some(2_000.0)]).is_empty(), "so it begins anew");
    let found = days.pass(40, [Some(4_000.0), Some(2_500.0)]);
    let [(second, began)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(*second, 54 + 31);
    assert!(began.urgent);
    let alarm = &began.results[0];
    assert_eq!((alarm.kind.as_str(), alarm.subject.as_str()), ("limit-alarm", "microgrid"));
    assert_eq!(alarm.from.0, at(NOW) + 55_000, "since it went over the limit");
    assert_eq!(alarm.body["ended"], false);
    assert_eq!(alarm.body["peak_watts"], 6_500.0);

    // Between the two values nothing changes, for as long as it likes.
    let standing = days.pass(300, [Some(4_700.0), Some(0.0)]);
    assert!(standing.iter().all(|(_, outcome)| outcome.results[0].body["ended"] == false));
    assert!(standing.len() <= 5, "a standing alarm is reported once a minute");
    let found = days.pass(60, [Some(1_000.0), Some(1_000.0)]);
    let ended: Vec<_> =
        found.iter().filter(|(_, outcome)| outcome.results[0].body["ended"] == true).collect();
    let [(_, ended)] = ended.as_slice() else { panic!("{found:?}") };
    assert_eq!(ended.results[0].from, alarm.from, "the same alarm");
    assert_eq!(ended.results[0].body["peak_watts"], 6_500.0);
}

#[test]
fn export_of_one_home_offsets_the_import_of_another() {
    let mut days = Days::begin();
    assert!(days.pass(120, [Some(9_000.0), Some(-5_000.0)]).is_empty());
}

#[test]
fn a_stale_home_keeps_its_last_value_for_a_while_and_is_named() {
    let mut days = Days::begin();
    days.pass(5, [Some(3_000.0), Some(3_000.0)]);
    let found = days.pass(60, [Some(3_000.0), None]);
    let alarm = &found[0].1.results[0];
    assert_eq!(alarm.body["import_watts"], 6_000.0);
    assert_eq!(alarm.body["stale_homes"], json!(["home-2"]));
    // After a quarter of an hour its value is no longer believed.
    let found = days.pass(1_000, [Some(3_000.0), None]);
    assert!(found.iter().any(|(_, outcome)| outcome.results[0].body["ended"] == true));
}

#[test]
fn when_too_many_homes_are_silent_it_says_so_and_judges_nothing() {
    let mut days = Days::begin();
    days.pass(50, [Some(4_000.0), Some(4_000.0)]);
    let found = days.pass(100, [None, None]);
    let [(_, blind)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(blind.results[0].kind, "limit-blind");
    assert_eq!(blind.results[0].body["stale"], 2);
    assert!(blind.urgent);
    let found = days.pass(5, [Some(4_000.0), Some(4_000.0)]);
    assert_eq!(found[0].1.results[0].body["ended"], true);
    // The alarm from before stands: that it had ended was never seen.
    let found = days.pass(60, [Some(0.0), Some(0.0)]);
    assert!(found.iter().any(|(_, outcome)| outcome.results[0].kind == "limit-alarm"
        && outcome.results[0].body["ended"] == true));
}

#[test]
fn back_fill_from_yesterday_does_not_change_what_is_true_now() {
    let mut days = Days::begin();
    days.pass(5, [Some(1_000.0), Some(1_000.0)]);
    let now = days.now();
    let old = (0..100)
        .map(|minute| {
            let ts = now - 86_400_000 + minute * 60_000;
            entry(u64::try_from(minute).unwrap() + 1_000, ts, vec![power(GRID, -50_000.0)])
        })
        .collect();
    assert_eq!(days.bench.step(now, vec![("home-1", old)]), Outcome::default());
    assert!(days.pass(60, [Some(1_000.0), Some(1_000.0)]).is_empty());
}

#[test]
fn a_wrong_setting_is_refused_with_what_it_may_be() {
    for (setting, sentence) in [
        (json!({"limit_watts": 1e12}), "limit_watts is 1000000000000; it may be 0 to 1000000000"),
        (json!({"clear_watts": 20_000}), "clear_watts is 20000; it may be 0 to limit_watts, 10000"),
        (json!({"stale_seconds": 1}), "stale_seconds is 1; it may be 5 to 86400"),
        (json!({"max_stale_share": 2}), "max_stale_share is 2; it may be 0 to 1"),
    ] {
        let error = LimitWatch::new(serde_json::from_value(setting).unwrap()).unwrap_err();
        assert_eq!(error, sentence);
    }
}

proptest! {
    /// Whatever the import does: an alarm begins only after `hold` above the limit, ends only after
    /// `clear_after` below the lower value, and the two alternate.
    #[test]
    fn hysteresis_never_flaps(
        values in prop::collection::vec((1_i64..20, 0.0_f64..100.0), 1..300),
        hold in 0_u64..30,
        clear_after in 0_u64..30,
    ) {
        let hysteresis = Hysteresis {
            raise_above: 60.0,
            clear_below: 40.0,
            hold: Duration::from_secs(hold),
            clear_after: Duration::from_secs(clear_after),
        };
        let mut phase = Phase::default();
        let mut now = 0;
        let (mut not_above, mut not_below) = (-1, -1);
        let mut is_on = false;
        for (span, value) in values {
            now += span * 1_000;
            if value <= 60.0 {
                not_above = now;
            }
            if value >= 40.0 {
                not_below = now;
            }
            match hysteresis.accept(&mut phase, Timestamp(now), value) {
                Some(Transition::Began(since)) => {
                    prop_assert!(!is_on);
                    is_on = true;
                    prop_assert!(since.0 > not_above, "over the limit all the while");
                    prop_assert!(now - since.0 >= i64::try_from(hold).unwrap() * 1_000);
                }
                Some(Transition::Ended(..)) => {
                    prop_assert!(is_on);
                    is_on = false;
                    prop_assert!(now - not_below >= i64::try_from(clear_after).unwrap() * 1_000);
                    prop_assert!(value < 40.0);
                }
                None => {}
            }
        }
    }
}
