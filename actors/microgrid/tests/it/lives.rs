//! Leases, renewals, what the ledger tells, and a dispatcher that begins anew.

use std::sync::Arc;

use memcloud_domain::{CommandState, Entry};
use memcloud_microgrid::DispatchLimits;
use memcloud_microgrid::dispatch::{Event, Link};

use crate::house::{BATTERY, CHARGER, HEATER, House, hem, on, power};

#[test]
fn a_lease_is_renewed_before_it_ends_while_its_wish_stands() {
    let mut house = House::new();
    for _ in 0..20 {
        house.wish_for("a", 0, BATTERY, power(1_000.0), 300);
        house.pass(60);
    }
    // 20 minutes, leases of 5, renewed with a third left.
    assert!((5..=8).contains(&house.orders.len()), "{}", house.orders.len());
    let ends = house.orders.windows(2).map(|pair| {
        let lease = std::time::Duration::from_millis(pair[0].lease_ms.unwrap());
        (pair[0].issued.plus(lease), pair[1].issued)
    });
    for (end, next) in ends {
        assert!(next < end, "renewed before it ended");
    }
    assert!(house.moved[1..].iter().all(|moved| *moved == 0.0), "a renewal moves nothing");
    house.pass(600);
    let orders = house.orders.len();
    house.pass(3_600);
    assert_eq!(house.orders.len(), orders, "nobody wishes it any more");
    assert_eq!(house.dispatcher.figures().wishes_standing, 0);
}

#[test]
fn what_its_hem_refuses_is_tried_again_after_a_minute_and_a_command_is_not() {
    let mut house = House::new();
    house.wish_for("a", 0, BATTERY, power(1_000.0), 3_600);
    house.becomes("order-00001", CommandState::Failed, Some("no answer from the inverter"));
    house.pass(50);
    assert_eq!(house.orders.len(), 1);
    house.pass(20);
    assert_eq!(house.orders.len(), 2);
    house.command("c1", 0, CHARGER, power(1_000.0), Some(600));
    house.becomes("c1", CommandState::Refused, Some("the cable is not plugged in"));
    let orders = house.orders.len();
    house.pass(300);
    assert_eq!(house.orders.len(), orders);
}

#[test]
fn what_reverted_is_ordered_again_only_while_it_is_wanted() {
    let mut house = House::new();
    house.wish_for("a", 0, BATTERY, power(1_000.0), 3_600);
    house.becomes("order-00001", CommandState::Acknowledged, None);
    house.becomes("order-00001", CommandState::Reverted, None);
    assert_eq!(house.orders.len(), 2);
    house.command("c1", 0, CHARGER, power(1_000.0), Some(600));
    house.becomes("c1", CommandState::Acknowledged, None);
    house.becomes("c1", CommandState::Reverted, None);
    assert_eq!(house.orders.len(), 3);
}

#[test]
fn the_next_wish_waits_for_the_homes_answer_but_not_for_ever_and_a_person_does_not_wait() {
    let mut house = House::new();
    house.acks = false;
    house.wish("a", 0, BATTERY, power(500.0));
    house.wish("a", 0, BATTERY, power(600.0));
    assert_eq!(house.orders.len(), 1);
    house.becomes("order-00001", CommandState::Acknowledged, None);
    assert_eq!(house.last(), (BATTERY, power(600.0).into()));
    house.wish("a", 0, BATTERY, power(700.0));
    house.pass(16);
    assert_eq!(house.last(), (BATTERY, power(700.0).into()), "after a quarter of a minute");
    house.command("c1", 0, BATTERY, power(-100.0), Some(60));
    assert_eq!(house.last(), (BATTERY, power(-100.0).into()));
}

#[test]
fn a_command_that_was_cancelled_gives_the_node_back() {
    let mut house = House::new();
    house.wish("a", 0, BATTERY, power(500.0));
    house.command("c1", 0, BATTERY, power(1_000.0), Some(600));
    house.becomes("c1", CommandState::Cancelled, None);
    assert_eq!(house.last(), (BATTERY, power(500.0).into()));
}

#[test]
fn a_hem_that_is_away_gets_no_wishes_but_commands_and_the_wishes_follow_when_it_is_back() {
    let mut house = House::new();
    house.link(Link::Down);
    house.wish("a", 0, BATTERY, power(500.0));
    assert!(house.orders.is_empty());
    house.command("c1", 0, HEATER, on(false), None);
    assert_eq!(house.orders.len(), 1, "the ledger holds it");
    house.link(Link::Up);
    assert_eq!(house.last(), (BATTERY, power(500.0).into()));
}

#[test]
fn nothing_is_decided_before_it_is_known_what_is_open() {
    let mut house = House::unknown(DispatchLimits::default());
    house.wish("a", 0, BATTERY, power(500.0));
    house.command("c1", 0, HEATER, on(false), None);
    house.tell_roster();
    assert!(house.orders.is_empty());
    house.tell(Event::Open { records: Vec::new(), asked: house.now });
    assert_eq!(house.orders.len(), 2);
}

#[test]
fn a_dispatcher_that_begins_anew_keeps_what_was_decided() {
    let mut before = House::new();
    before.command("c1", 0, BATTERY, power(1_800.0), Some(600));
    before.becomes("c1", CommandState::Acknowledged, None);
    before.wish("a", 3, CHARGER, power(5_000.0));
    before.becomes("order-00002", CommandState::Acknowledged, None);

    let mut house = House::unknown(DispatchLimits::default());
    house.tell_roster();
    house.orders = before.orders.clone();
    house.tell(Event::Open { records: before.orders.clone(), asked: house.now });
    assert_eq!(house.orders.len(), 2, "nothing is sent again");
    // The command still holds the node.
    house.wish("b", 100, BATTERY, power(-500.0));
    assert_eq!(house.orders.len(), 2);
    assert!(house.sentence(BATTERY).starts_with("The battery charges at 1.8 kW: anna asked for"));
    // The job's order stands as its wish, which its next wish replaces.
    assert!(house.sentence(CHARGER).starts_with("The charger draws 5.0 kW: a asked for"));
    house.wish("a", 3, CHARGER, power(5_000.0));
    assert_eq!(house.orders.len(), 2);
    house.wish("a", 3, CHARGER, power(4_000.0));
    assert_eq!(house.last(), (CHARGER, power(4_000.0).into()));
    house.wish_for("b", 100, BATTERY, power(-500.0), 3_600);
    house.pass(700);
    assert_eq!(house.last(), (BATTERY, power(-500.0).into()), "its lease is over");
}

#[test]
fn an_order_whose_placement_was_lost_is_found_in_the_ledger() {
    let mut before = House::new();
    let record = before.command("c1", 0, BATTERY, power(1_800.0), Some(600));
    let mut house = House::new();
    house.answers = vec![memcloud_domain::messages::Placement::HemIsBusy];
    house.offer((*record).clone());
    assert!(house.orders.is_empty());
    house.tell(Event::Open { records: vec![Arc::clone(&before.orders[0])], asked: house.now });
    house.pass(60);
    assert!(house.orders.is_empty(), "it is in the ledger already");
}

#[test]
fn what_the_ledger_lists_no_more_holds_no_more() {
    let mut house = House::new();
    house.wish_for("a", 0, BATTERY, power(1_000.0), 3_600);
    house.pass(30);
    house.tell(Event::Open { records: Vec::new(), asked: house.now });
    assert_eq!(house.orders.len(), 2, "ordered again");
}

#[test]
fn a_hole_in_the_hints_makes_dispatch_look_for_presses_in_the_store() {
    let mut house = House::new();
    house.wish("a", 0, BATTERY, power(500.0));
    assert_eq!(house.looked_back, 1);
    house.measure(&[(BATTERY, 0.0)]);
    house.past = vec![house.press_event(HEATER, Some(true), None, None)];
    let mut event = house.press_event(BATTERY, Some(true), None, None);
    event.kind = "booted".to_owned();
    let batch = memcloud_domain::HemBatch {
        hem: hem("home-1"),
        epoch: memcloud_domain::Epoch(1),
        after: memcloud_domain::Seq(1_000),
        through: memcloud_domain::Seq(1_001),
        entries: vec![Entry::Event(event)],
    };
    house.tell(Event::Stored(Arc::new(vec![batch])));
    house.wish("a", 0, HEATER, on(false));
    assert_eq!(house.looked_back, 2);
    assert_eq!(house.orders.len(), 1, "someone at home had pressed");
}

#[test]
fn a_node_that_is_declared_no_more_and_a_home_that_goes_take_their_wishes_along() {
    let mut house = House::new();
    house.wish("a", 0, BATTERY, power(500.0));
    house.wish("a", 0, HEATER, on(false));
    let mut nodes = crate::house::nodes();
    nodes.remove(3);
    house.redeclare(nodes);
    assert_eq!(house.dispatcher.figures().wishes_standing, 1);
    house.redeclare(Vec::new());
    assert_eq!(house.dispatcher.figures().wishes_standing, 0);
    assert!(house.dispatcher.why_all(house.now).is_empty());
}
