//! What `why` says, word for word.

use memcloud_domain::{CommandState, NodeAction};
use memcloud_microgrid::dispatch::Link;

use crate::house::{BATTERY, CHARGER, FRIDGE, GRID, HEATER, House, limit, on, power};

#[test]
fn the_winner_the_limit_and_the_outranked_are_named() {
    let mut house = House::new();
    house.wish("self-consumption", 10, BATTERY, power(500.0));
    house.wish("peak-shaving", 20, BATTERY, power(3_000.0));
    assert_eq!(
        house.sentence(BATTERY),
        "The battery charges at 2.0 kW: peak-shaving asked for 3.0 kW, limited by the node's maximum of 2.0 kW; self-consumption (priority 10) was outranked."
    );
    let because = house.orders.last().unwrap().history[0].because.clone().unwrap();
    assert_eq!(
        because,
        "Peak-shaving asked for 3.0 kW, limited by the node's maximum of 2.0 kW; self-consumption (priority 10) was outranked."
    );
}

#[test]
fn nothing_asked_for_is_said_so() {
    let house = House::new();
    assert_eq!(house.sentence(GRID), "Nothing is ordered of the grid: nobody asks for anything.");
    assert_eq!(house.dispatcher.why_all(house.now).len(), 5);
}

#[test]
fn an_absurd_wish_is_refused_with_the_limit_and_said_once_in_the_log_of_the_job() {
    let mut house = House::new();
    for _ in 0..5 {
        house.wish("mad", 0, BATTERY, power(1e6));
        house.pass(1);
    }
    assert!(house.orders.is_empty());
    assert_eq!(
        house.sentence(BATTERY),
        "Nothing is ordered of the battery; mad asked for 1.0 MW and was refused, since the node's limit is 2.0 kW, and what is so far beyond it is taken for a mistake."
    );
    assert_eq!(house.said.len(), 1);
    assert_eq!(
        house.said[0].1,
        "the wish of 1.0 MW for the battery of home-1 was refused, since the node's limit is 2.0 kW, and what is so far beyond it is taken for a mistake"
    );
    assert_eq!(house.dispatcher.figures().refused_by_envelope, 1);
}

#[test]
fn what_someone_at_home_set_is_said_with_its_times() {
    let mut house = House::new();
    house.press(HEATER, Some(true), None, None);
    assert_eq!(
        house.sentence(HEATER),
        "Someone at home switched the heater on at 14:00, which holds until 16:00."
    );
    house.wish("load-priority", 5, HEATER, on(false));
    assert_eq!(
        house.sentence(HEATER),
        "Someone at home switched the heater on at 14:00, which holds until 16:00; load-priority (priority 5) was outranked."
    );
    house.press(BATTERY, None, Some(5_000.0), Some(86_400));
    assert_eq!(
        house.sentence(BATTERY),
        "Someone at home set the battery to 5.0 kW at 14:00, which holds until 2 Jul 2026, 14:00, but it is to charge at 2.0 kW, limited by the node's maximum of 2.0 kW."
    );
    let why = house.why(HEATER);
    assert_eq!(why.claims[0].asker, None);
    assert_eq!(
        why.claims[1].because,
        "someone at home switched the heater on at 14:00, which holds until 16:00 and goes first"
    );
}

#[test]
fn a_command_that_is_turned_down_says_who_goes_first() {
    let mut house = House::new();
    house.command("c1", 10, BATTERY, power(1_000.0), Some(3_600));
    house.command("c2", 0, BATTERY, power(-1_000.0), Some(3_600));
    assert_eq!(
        house.refused[0].1,
        "Anna asked for a discharge at 1.0 kW of the battery, but anna (priority 10) asked for 1.0 kW until 15:00, which goes first."
    );
}

#[test]
fn what_is_not_answered_or_not_seen_is_not_claimed() {
    let mut house = House::new();
    house.acks = false;
    house.command_because("c1", BATTERY, power(-1_500.0), "the feeder is warm");
    assert_eq!(
        house.sentence(BATTERY),
        "The battery is to discharge at 1.5 kW (its HEM has not answered yet): anna asked for a discharge at 1.5 kW (the feeder is warm)."
    );
    house.becomes("c1", CommandState::Acknowledged, None);
    house.becomes("c1", CommandState::Ineffective, None);
    assert_eq!(
        house.sentence(BATTERY),
        "The battery is to discharge at 1.5 kW, though its readings do not show it: anna asked for a discharge at 1.5 kW (the feeder is warm)."
    );
}

#[test]
fn a_limit_and_a_power_are_told_together() {
    let mut house = House::new();
    house.command("c1", 0, CHARGER, limit(4_000.0), Some(600));
    house.wish("solar-charging", 0, CHARGER, power(7_000.0));
    assert_eq!(
        house.sentence(CHARGER),
        "The charger stays at or under 4.0 kW and draws 4.0 kW: anna asked for at most 4.0 kW, solar-charging asked for 7.0 kW, limited by the limit of 4.0 kW that anna set."
    );
}

#[test]
fn what_cannot_be_says_why() {
    let mut house = House::new();
    house.wish("load-priority", 0, FRIDGE, on(false));
    assert_eq!(
        house.sentence(FRIDGE),
        "Nothing is ordered of the fridge; load-priority asked for it to be off and was refused, since it is critical, and jobs never switch off or hold down what is critical."
    );
    house.wish("a", 0, HEATER, power(100.0));
    assert!(
        house.sentence(HEATER).ends_with("since its home did not declare that it takes set-power.")
    );
    let mut nodes = crate::house::nodes();
    nodes[1].rated_watts = None;
    nodes[1].controls = Some(vec![NodeAction::SetPower]);
    house.redeclare(nodes);
    house.wish("a", 0, BATTERY, power(60_000.0));
    assert!(
        house
            .sentence(BATTERY)
            .ends_with("since a node that declared no bounds is told at most 50.0 kW.")
    );
}

#[test]
fn what_waits_and_what_was_turned_down_by_the_home_is_said() {
    let mut house = House::new();
    house.wish("a", 0, BATTERY, power(1_000.0));
    house.becomes("order-00001", CommandState::Refused, Some("the battery is empty"));
    assert_eq!(
        house.sentence(BATTERY),
        "The battery is to charge at 1.0 kW but waits a minute, since its HEM turned the last order down: the battery is empty: a asked for 1.0 kW."
    );
    house.link(Link::Down);
    house.pass(120);
    assert_eq!(
        house.sentence(BATTERY),
        "The battery is to charge at 1.0 kW once its HEM is connected: a asked for 1.0 kW; its HEM is not connected now."
    );
    assert_eq!(house.orders.len(), 1);
}

#[test]
fn what_goes_back_to_its_default_is_said() {
    let mut house = House::new();
    house.wish("a", 0, CHARGER, power(5_000.0));
    house.withdraw("a", CHARGER);
    assert_eq!(
        house.sentence(CHARGER),
        "The charger is to be held at 0 W, its home's default: a wants nothing of it any more."
    );
    house.pass(61);
    assert_eq!(
        house.sentence(CHARGER),
        "Nothing is ordered of the charger: nobody asks for anything."
    );
}
