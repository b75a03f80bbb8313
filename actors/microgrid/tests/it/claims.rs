//! Who goes before whom, what narrows what, and what comes back.

use memcloud_domain::{ClaimFate, CommandState};

use crate::house::{BATTERY, CHARGER, FRIDGE, HEATER, House, limit, on, power};

#[test]
fn a_wish_is_ordered_once_however_often_it_is_said() {
    let mut house = House::new();
    for _ in 0..5 {
        house.wish("self-consumption", 0, BATTERY, power(1_000.0));
    }
    assert_eq!(house.ordered(), [(BATTERY, power(1_000.0).into())]);
    assert_eq!(house.orders[0].lease_ms, Some(300_000));
}

#[test]
fn the_higher_priority_goes_first_and_the_other_comes_back_when_it_ends() {
    let mut house = House::new();
    house.wish("self-consumption", 10, BATTERY, power(1_000.0));
    house.wish_for("peak-shaving", 20, BATTERY, power(-1_500.0), 60);
    assert_eq!(house.last(), (BATTERY, power(-1_500.0).into()));
    house.pass(70);
    assert_eq!(house.last(), (BATTERY, power(1_000.0).into()));
    assert_eq!(house.orders.len(), 3);
    // With what is left of its own lease.
    assert!(house.orders[2].lease_ms.unwrap() <= 240_000);
}

#[test]
fn between_equal_jobs_the_earlier_claim_stays() {
    let mut house = House::new();
    house.wish("b", 0, BATTERY, power(500.0));
    house.pass(1);
    house.wish("a", 0, BATTERY, power(900.0));
    assert_eq!(house.ordered(), [(BATTERY, power(500.0).into())]);
    let fates: Vec<ClaimFate> = house.why(BATTERY).claims.iter().map(|claim| claim.fate).collect();
    assert_eq!(fates, [ClaimFate::Holds, ClaimFate::Outranked]);
}

#[test]
fn an_operator_goes_before_every_job_and_holds_the_node_for_the_lease() {
    let mut house = House::new();
    house.wish("peak-shaving", 1_000, BATTERY, power(-1_000.0));
    house.command("c1", 0, BATTERY, power(1_800.0), Some(120));
    assert_eq!(house.last(), (BATTERY, power(1_800.0).into()));
    house.wish("peak-shaving", 1_000, BATTERY, power(-1_200.0));
    assert_eq!(house.last(), (BATTERY, power(1_800.0).into()), "outranked");
    house.pass(200);
    assert_eq!(house.last(), (BATTERY, power(-1_200.0).into()), "back when the lease is over");
}

#[test]
fn a_limit_from_one_and_a_set_point_from_another_both_hold() {
    let mut house = House::new();
    house.command("c1", 0, CHARGER, limit(4_000.0), Some(600));
    house.wish("solar-charging", 0, CHARGER, power(7_000.0));
    assert_eq!(
        house.ordered(),
        [(CHARGER, limit(4_000.0).into()), (CHARGER, power(4_000.0).into())]
    );
    // A wish within the limit is not touched.
    house.wish("solar-charging", 0, CHARGER, power(2_000.0));
    assert_eq!(house.last(), (CHARGER, power(2_000.0).into()));
}

#[test]
fn of_two_limits_the_stricter_holds_and_both_are_kept() {
    let mut house = House::new();
    house.wish("a", 5, CHARGER, limit(6_000.0));
    house.wish("b", 0, CHARGER, limit(3_000.0));
    assert_eq!(house.last(), (CHARGER, limit(3_000.0).into()));
    let fates: Vec<ClaimFate> = house.why(CHARGER).claims.iter().map(|claim| claim.fate).collect();
    assert_eq!(fates, [ClaimFate::Holds, ClaimFate::Holds]);
}

#[test]
fn a_limit_that_goes_behind_a_set_point_does_not_narrow_it_and_is_lifted() {
    let mut house = House::new();
    house.wish("peak-shaving", 0, CHARGER, limit(2_000.0));
    house.command("c1", 0, CHARGER, power(7_000.0), Some(600));
    let ordered = house.ordered();
    assert!(ordered.contains(&(CHARGER, power(7_000.0).into())), "{ordered:?}");
    // The limit that was ordered before must not hold the command down at the home.
    assert!(ordered.contains(&(CHARGER, limit(11_000.0).into())), "{ordered:?}");
}

#[test]
fn off_beats_power_among_equals_but_not_a_power_that_goes_first() {
    let mut house = House::new();
    house.wish("a", 0, CHARGER, power(5_000.0));
    house.wish("b", 0, CHARGER, on(false));
    assert_eq!(house.last(), (CHARGER, on(false).into()));
    let mut house = House::new();
    house.wish("a", 9, CHARGER, power(5_000.0));
    house.wish("b", 0, CHARGER, on(false));
    assert_eq!(house.ordered(), [(CHARGER, power(5_000.0).into())]);
}

#[test]
fn a_power_switches_on_again_what_dispatch_had_switched_off() {
    let mut house = House::new();
    house.wish("load-priority", 0, CHARGER, on(false));
    house.command("c1", 0, CHARGER, power(5_000.0), Some(600));
    let ordered = house.ordered();
    assert!(ordered.contains(&(CHARGER, on(true).into())), "{ordered:?}");
    assert!(ordered.contains(&(CHARGER, power(5_000.0).into())), "{ordered:?}");
}

#[test]
fn a_later_command_takes_the_place_of_an_earlier_one_for_good() {
    let mut house = House::new();
    house.command("c1", 0, BATTERY, power(1_800.0), Some(3_600));
    house.pass(1);
    house.command("c2", 0, BATTERY, power(600.0), Some(60));
    assert_eq!(house.last(), (BATTERY, power(600.0).into()));
    house.pass(300);
    assert_eq!(house.orders.len(), 2, "the first does not come back: it was corrected");
}

#[test]
fn a_command_of_higher_priority_pre_empts_and_the_lower_comes_back() {
    let mut house = House::new();
    house.command("c1", 0, BATTERY, power(1_800.0), Some(3_600));
    house.becomes("c1", CommandState::Acknowledged, None);
    house.command("c2", 5, BATTERY, power(-500.0), Some(60));
    house.becomes("c1", CommandState::Superseded, None);
    house.becomes("c2", CommandState::Acknowledged, None);
    assert_eq!(house.last(), (BATTERY, power(-500.0).into()));
    house.pass(90);
    assert_eq!(house.last(), (BATTERY, power(1_800.0).into()));
    let back = house.orders.last().unwrap();
    assert_eq!(back.asker, crate::house::anna(), "in the name of who wanted it");
}

#[test]
fn a_command_that_is_offered_again_is_passed_over_and_an_older_one_is_refused() {
    let mut house = House::new();
    let first = house.command("c1", 0, BATTERY, power(1_000.0), Some(60));
    house.offer((*first).clone());
    assert_eq!(house.orders.len(), 1);
    let mut older = (*first).clone();
    older.id = memcloud_domain::CommandId::new("c0").unwrap();
    older.issued = older.issued.minus(std::time::Duration::from_secs(5));
    house.offer(older);
    assert_eq!(house.orders.len(), 1);
    assert_eq!(house.refused[0].0.as_str(), "c0");
}

#[test]
fn a_command_that_changes_nothing_is_sent_all_the_same_and_an_unchanged_wish_is_not() {
    let mut house = House::new();
    house.wish("self-consumption", 0, BATTERY, power(1_000.0));
    house.command("c1", 0, BATTERY, power(1_000.0), Some(60));
    assert_eq!(house.orders.len(), 2);
    assert_eq!(house.orders[1].id.as_str(), "c1");
}

#[test]
fn what_someone_at_home_sets_goes_before_all_and_ends_after_two_hours() {
    let mut house = House::new();
    house.wish_for("load-priority", 0, HEATER, on(false), 86_400);
    assert_eq!(house.orders.len(), 1);
    house.press(HEATER, Some(true), None, None);
    house.wish_for("load-priority", 0, HEATER, on(false), 86_400);
    house.command("c1", 100, HEATER, on(false), None);
    assert_eq!(house.orders.len(), 1, "nothing is ordered against it");
    assert_eq!(house.refused[0].0.as_str(), "c1");
    assert!(house.refused[0].1.contains("someone at home switched the heater on"));
    house.pass(2 * 3_600 + 1);
    assert_eq!(house.orders.len(), 2, "{:?}", house.ordered());
    assert_eq!(house.last(), (HEATER, on(false).into()));
}

#[test]
fn a_press_that_is_over_ends_an_earlier_one_and_an_older_one_changes_nothing() {
    let mut house = House::new();
    let old = house.press_event(HEATER, Some(true), None, None);
    house.pass(10);
    house.press(HEATER, Some(true), None, Some(0));
    house.store(vec![memcloud_domain::Entry::Event(old)]);
    house.wish("load-priority", 0, HEATER, on(false));
    assert_eq!(house.last(), (HEATER, on(false).into()));
}

#[test]
fn a_press_before_dispatch_began_is_found_in_the_store() {
    let mut house = House::new();
    house.past = vec![house.press_event(HEATER, Some(true), None, None)];
    house.wish("load-priority", 0, HEATER, on(false));
    house.wish("load-priority", 0, BATTERY, power(0.0));
    assert_eq!(house.looked_back, 1);
    assert_eq!(house.ordered(), [(BATTERY, power(0.0).into())]);
}

#[test]
fn even_what_someone_at_home_sets_is_cut_to_what_the_node_can_do() {
    let mut house = House::new();
    house.press(BATTERY, None, Some(5_000.0), None);
    assert_eq!(house.ordered(), [(BATTERY, power(2_000.0).into())]);
    house.press(CHARGER, None, Some(5_000.0), None);
    assert_eq!(house.orders.len(), 1, "within what it can do nothing is ordered");
}

#[test]
fn jobs_never_shed_what_is_critical_and_a_person_has_to_say_why() {
    let mut house = House::new();
    house.wish("load-priority", 0, FRIDGE, on(false));
    house.wish("load-priority", 0, FRIDGE, limit(0.0));
    house.wish("load-priority", 0, FRIDGE, power(0.0));
    assert!(house.orders.is_empty());
    house.command("c1", 0, FRIDGE, on(false), None);
    assert!(house.orders.is_empty());
    assert_eq!(
        house.refused[0].1,
        "Anna asked for it to be off of the fridge, but it is critical, and a command that may shed it must say why in its reason."
    );
    house.command_because("c2", FRIDGE, on(false), "it is to be cleaned");
    assert_eq!(house.last(), (FRIDGE, on(false).into()));
    house.wish("load-priority", 0, FRIDGE, on(true));
    assert_eq!(house.orders.len(), 1, "held for anna");
}

#[test]
fn what_is_withdrawn_early_is_taken_back_to_the_default_and_what_ends_is_left_to_fall_back() {
    let mut house = House::new();
    house.wish_for("a", 0, BATTERY, power(1_000.0), 300);
    house.pass(10);
    house.withdraw("a", BATTERY);
    assert_eq!(house.last(), (BATTERY, power(0.0).into()));
    assert_eq!(house.moved[1], 0.0, "ending something moves nothing");
    let mut house = House::new();
    house.wish_for("a", 0, BATTERY, power(1_000.0), 300);
    house.pass(400);
    assert_eq!(house.orders.len(), 1, "{:?}", house.ordered());
}

#[test]
fn the_wishes_of_a_job_that_stops_end() {
    let mut house = House::new();
    house.wish("a", 0, CHARGER, power(5_000.0));
    house.wish("b", 0, HEATER, on(false));
    house.jobs(&["b"]);
    assert_eq!(house.last(), (CHARGER, power(0.0).into()));
    assert_eq!(house.orders.len(), 3, "the other's stays");
    assert_eq!(house.dispatcher.figures().wishes_standing, 1);
}

#[test]
fn a_command_without_a_lease_keeps_jobs_off_for_a_quarter_of_an_hour() {
    let mut house = House::new();
    house.command("c1", 0, HEATER, on(true), None);
    house.wish_for("load-priority", 0, HEATER, on(false), 86_400);
    house.pass(14 * 60);
    assert_eq!(house.orders.len(), 1);
    house.pass(2 * 60);
    assert_eq!(house.last(), (HEATER, on(false).into()));
}

#[test]
fn what_is_not_weighed_against_others_is_passed_through_where_the_node_declared_it() {
    use memcloud_domain::CommandAction;
    let mut house = House::new();
    house.command("c1", 0, HEATER, CommandAction::SetPriority { priority: 3 }, None);
    assert!(house.refused[0].1.contains("does not take set-priority"));
    let mut nodes = crate::house::nodes();
    nodes[3].controls = Some(vec![memcloud_domain::NodeAction::SetPriority]);
    house.redeclare(nodes);
    house.command("c2", 0, HEATER, CommandAction::SetPriority { priority: 3 }, None);
    assert_eq!(house.last(), (HEATER, CommandAction::SetPriority { priority: 3 }));
}

#[test]
fn a_node_that_was_never_declared_and_a_control_it_lacks_are_refused_by_name() {
    let mut house = House::new();
    house.command("c1", 0, 9, on(true), None);
    house.command("c2", 0, HEATER, power(100.0), Some(60));
    assert_eq!(
        house.refused.iter().map(|(_, because)| because.as_str()).collect::<Vec<_>>(),
        [
            "There is no node 9 of HEM home-1 in this microgrid: its home never declared one",
            "Anna asked for 100 W of the heater, but its home did not declare that it takes set-power.",
        ]
    );
}
