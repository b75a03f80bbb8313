//! What REST, MEMWeb and the live feed hear of the status monitor.

use std::time::Duration;

use memcloud_domain::messages::{HemDisconnected, HemRemoved};
use memcloud_domain::{Epoch, Watts};
use memcloud_status::{ForgetHem, GetHemStatus, GetMicrogridStatus, ListHemStatuses};
use memcloud_supervision::Universe;

use crate::neighbours::{
    SOON, START, Shelves, Told, committed, connected, fontana, hem, monitor, now, reading,
};

fn of(name: &str) -> GetHemStatus {
    GetHemStatus { hem: hem(name) }
}

#[test]
fn a_home_that_falls_silent_is_told_to_be_inactive_after_a_minute_and_offline_when_its_socket_ends()
{
    Universe::run(START, async |scope| {
        let told = Told::default();
        let monitor = monitor(&scope, &Shelves::default(), &told);
        let started = now(&scope);
        monitor.tell(connected("a", 1, started)).unwrap();
        monitor.tell(committed("a", 1, reading(1, started, 500.0))).unwrap();
        let status = monitor.ask(of("a"), SOON).await.unwrap().unwrap();
        assert!(status.online && status.active);
        assert_eq!(status.totals.import_watts, Watts(500.0));

        scope.clock().sleep(Duration::from_secs(59)).await;
        assert!(monitor.ask(of("a"), SOON).await.unwrap().unwrap().active);
        scope.clock().sleep(Duration::from_secs(2)).await;
        let status = monitor.ask(of("a"), SOON).await.unwrap().unwrap();
        assert!(status.online && !status.active);
        let last = told.0.lock().unwrap().last().cloned().unwrap();
        assert!(!last.status.active, "told without anything being heard");
        let late_by = last.at.since(started.plus(Duration::from_secs(60)));
        assert!(late_by <= Duration::from_millis(200), "{late_by:?}");

        let end = HemDisconnected {
            hem: hem("a"),
            microgrid: fontana(),
            epoch: Epoch(1),
            at: now(&scope),
            reason: "silent".to_owned(),
        };
        monitor.tell(end).unwrap();
        let microgrid = GetMicrogridStatus { microgrid: fontana() };
        let microgrid = monitor.ask(microgrid, SOON).await.unwrap();
        assert_eq!((microgrid.known, microgrid.online, microgrid.active), (1, 0, 0));
        assert!(!told.0.lock().unwrap().last().unwrap().status.online);
    });
}

#[test]
fn a_home_that_reports_ten_times_a_second_is_told_of_once_a_second() {
    Universe::run(START, async |scope| {
        let told = Told::default();
        let monitor = monitor(&scope, &Shelves::default(), &told);
        monitor.tell(connected("a", 1, now(&scope))).unwrap();
        for seq in 1..=100 {
            scope.clock().sleep(Duration::from_millis(100)).await;
            monitor.tell(committed("a", 1, reading(seq, now(&scope), 500.0))).unwrap();
        }
        scope.clock().sleep(Duration::from_secs(2)).await;
        let changes = told.0.lock().unwrap().clone();
        // One for the connection, one for becoming active, then one a second.
        assert!((11..=13).contains(&changes.len()), "{} changes", changes.len());
        assert_eq!(changes.last().unwrap().status.mark.0, 100, "the last one says all");
    });
}

#[test]
fn after_a_restart_of_the_cloud_the_newest_values_come_from_the_historian_a_few_at_a_time() {
    Universe::run(START, async |scope| {
        let shelves = Shelves::default();
        let stored = now(&scope);
        for number in 0..100 {
            let name = hem(&format!("h{number}"));
            shelves.0.lock().unwrap().readings.insert(name, reading(7, stored, 250.0));
        }
        let monitor = monitor(&scope, &shelves, &Told::default());
        scope.clock().sleep(Duration::from_secs(600)).await;
        for number in 0..100 {
            monitor.tell(connected(&format!("h{number}"), 2, now(&scope))).unwrap();
        }
        scope.clock().sleep(Duration::from_secs(20)).await;
        let everyone = ListHemStatuses { limit: 1_000, ..ListHemStatuses::default() };
        let page = monitor.ask(everyone, SOON).await.unwrap();
        assert_eq!((page.items.len(), page.next), (100, None));
        for status in &page.items {
            assert!(status.online && !status.active, "what is stored is ten minutes old");
            assert_eq!(status.totals.consumption_watts, Watts(250.0));
            assert_eq!(status.nodes[1].ts, stored);
        }
        let shelf = shelves.0.lock().unwrap();
        assert_eq!((shelf.asked, shelf.most_at_a_time), (100, 8));
    });
}

#[test]
fn a_historian_that_is_away_is_asked_again() {
    Universe::run(START, async |scope| {
        let shelves = Shelves::default();
        shelves.0.lock().unwrap().away = true;
        shelves.0.lock().unwrap().readings.insert(hem("a"), reading(7, now(&scope), 250.0));
        let monitor = monitor(&scope, &shelves, &Told::default());
        monitor.tell(connected("a", 2, now(&scope))).unwrap();
        scope.clock().sleep(Duration::from_secs(60)).await;
        let asked = shelves.0.lock().unwrap().asked;
        assert!((5..=12).contains(&asked), "{asked} times in a minute");
        assert!(monitor.ask(of("a"), SOON).await.unwrap().unwrap().nodes.is_empty());
        shelves.0.lock().unwrap().away = false;
        scope.clock().sleep(Duration::from_secs(10)).await;
        let status = monitor.ask(of("a"), SOON).await.unwrap().unwrap();
        assert_eq!(status.totals.consumption_watts, Watts(250.0));
    });
}

#[test]
fn a_home_that_is_forgotten_or_removed_is_known_no_more() {
    Universe::run(START, async |scope| {
        let monitor = monitor(&scope, &Shelves::default(), &Told::default());
        for name in ["a", "b"] {
            monitor.tell(connected(name, 1, now(&scope))).unwrap();
        }
        monitor.ask(ForgetHem { hem: hem("a") }, SOON).await.unwrap();
        monitor.ask(HemRemoved { hem: hem("b"), microgrid: fontana() }, SOON).await.unwrap();
        assert_eq!(monitor.ask(of("a"), SOON).await, Ok(None));
        assert_eq!(monitor.ask(of("b"), SOON).await, Ok(None));
        scope.clock().sleep(Duration::from_secs(120)).await;
        assert_eq!(
            monitor.ask(of("a"), SOON).await,
            Ok(None),
            "no answer under way brings it back"
        );
    });
}

#[test]
fn the_tree_shows_how_many_homes_it_knows() {
    Universe::run(START, async |scope| {
        let monitor = monitor(&scope, &Shelves::default(), &Told::default());
        monitor.ask(connected("a", 1, now(&scope)), SOON).await.unwrap();
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.children[0].actor, "StatusMonitor");
        assert_eq!(picture.children[0].observed["hems"], 1);
    });
}
