//! What goes to a HEM, when, and again.

use memcloud_commands::CommandsConfig;
use memcloud_domain::messages::Placement;
use memcloud_domain::{CommandAction, CommandOutcome, CommandState, Watts};

use crate::house::{Crash, ask_for, order_of, set_power, switch_off, universe, with_config};

#[test]
fn an_order_for_a_hem_that_is_away_is_held_until_it_is_back() {
    universe(async |house| {
        let held = house.order(switch_off("home")).await;
        assert_eq!((held.state, held.order), (CommandState::Accepted, Some(1)));
        house.pass(30_000).await;
        assert_eq!(house.sent(), []);
        house.connect("home", 1).await;
        house.assert_sent(&[&held.id]);
        assert_eq!(house.state(&held.id).await, CommandState::Sent);
    });
}

#[test]
fn an_order_for_a_hem_that_stays_away_expires_and_is_never_sent() {
    universe(async |house| {
        let held = house.order(switch_off("home")).await;
        let undecided = house.request(switch_off("home")).await;
        house.pass(60_100).await;
        for record in [&held, &undecided] {
            assert_eq!(house.state(&record.id).await, CommandState::Expired);
        }
        house.connect("home", 1).await;
        assert_eq!(house.sent(), []);
        assert!(matches!(house.place(order_of(&undecided)).await, Placement::Moot(_)));
        // It is certain: a late answer would be a lie.
        house.answer(&held, CommandOutcome::Done, Some(1)).await;
        assert_eq!(house.state(&held.id).await, CommandState::Expired);
    });
}

#[test]
fn only_the_latest_of_held_orders_for_a_node_and_action_is_sent() {
    universe(async |house| {
        let first = house.order(set_power("home", 1_000.0)).await;
        let other_node = house.order(switch_off("home")).await;
        let second = house.order(set_power("home", 2_000.0)).await;
        assert_eq!(house.state(&first.id).await, CommandState::Superseded);
        house.connect("home", 1).await;
        house.assert_sent(&[&other_node.id, &second.id]);
    });
}

#[test]
fn a_command_without_an_answer_is_unconfirmed_asked_for_once_more_and_resolved_by_a_late_result() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        house.pass(10).await;
        house.assert_sent(&[&record.id]);
        house.pass(9_900).await;
        assert_eq!(house.state(&record.id).await, CommandState::Sent);
        house.pass(200).await;
        assert_eq!(house.state(&record.id).await, CommandState::Unconfirmed);
        house.assert_sent(&[&record.id]);
        house.pass(60_000).await;
        assert_eq!(house.sent(), []);
        house.answer(&record, CommandOutcome::Done, Some(9)).await;
        assert_eq!(house.state(&record.id).await, CommandState::Acknowledged);
    });
}

#[test]
fn after_a_welcome_what_is_unanswered_is_sent_again_with_the_same_id_order_and_expiry() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        house.pass(10).await;
        let first = house.sent();
        house.disconnect("home", 1).await;
        house.pass(3_000).await;
        house.connect("home", 2).await;
        assert_eq!(house.sent(), first);
        assert_eq!(house.metrics.resent.get(), 1);
        house.answer(&record, CommandOutcome::Done, Some(1)).await;
        house.disconnect("home", 2).await;
        house.connect("home", 3).await;
        assert_eq!(house.sent(), []);
    });
}

#[test]
fn what_is_unanswered_for_a_day_is_sent_no_more_and_a_late_result_still_tells() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        house.disconnect("home", 1).await;
        house.pass(86_300_000).await;
        house.sent();
        house.connect("home", 2).await;
        let again = house.sent();
        assert_eq!(again.len(), 1);
        assert!(again[0].expires < house.now(), "it must not be begun any more");
        house.disconnect("home", 2).await;
        house.pass(200_000).await;
        house.connect("home", 3).await;
        assert_eq!(house.sent(), []);
        assert_eq!(house.state(&record.id).await, CommandState::Unconfirmed);
        house.answer(&record, CommandOutcome::Done, Some(4)).await;
        assert_eq!(house.state(&record.id).await, CommandState::Acknowledged);
    });
}

#[test]
fn what_a_later_order_replaced_is_asked_for_and_not_begun() {
    universe(async |house| {
        house.connect("home", 1).await;
        let earlier = house.order(set_power("home", 1_000.0)).await;
        let later = house.order(set_power("home", 2_000.0)).await;
        house.pass(10).await;
        house.sent();
        house.disconnect("home", 1).await;
        house.connect("home", 2).await;
        let again = house.sent();
        assert_eq!(again.len(), 2);
        assert_eq!((&again[0].command, &again[1].command), (&earlier.id, &later.id));
        assert!(again[0].expires <= house.now(), "it must not be begun any more");
        assert_eq!(again[1].expires, later.expires);
    });
}

#[test]
fn a_hem_has_no_more_unanswered_commands_than_it_may_and_the_next_follow_its_answers() {
    let config = CommandsConfig { unanswered_per_hem: 4, ..CommandsConfig::default() };
    with_config(config, async |house| {
        let mut held = Vec::new();
        for node in 0..7 {
            let action = CommandAction::Switch { on: true };
            held.push(house.order(ask_for("home", node, action)).await);
        }
        house.connect("home", 1).await;
        assert_eq!(house.sent().len(), 4);
        let busy = house.request(switch_off("home")).await;
        assert_eq!(house.place(order_of(&busy)).await, Placement::HemIsBusy);
        assert_eq!(house.state(&busy.id).await, CommandState::Accepted);
        house.answer(&held[0], CommandOutcome::Done, Some(1)).await;
        house.assert_sent(&[&held[4].id]);
    });
}

#[test]
fn a_deaf_hem_does_not_stay_busy_for_ever() {
    let config = CommandsConfig { unanswered_per_hem: 2, ..CommandsConfig::default() };
    with_config(config, async |house| {
        house.connect("home", 1).await;
        house.order(set_power("home", 1_000.0)).await;
        house.order(switch_off("home")).await;
        house.pass(61_000).await;
        let next = house.order(switch_off("home")).await;
        assert_eq!(next.state, CommandState::Sent);
    });
}

#[test]
fn a_hem_of_which_nobody_said_that_it_is_there_is_asked_for() {
    universe(async |house| {
        house.connect_in_silence("home");
        let record = house.order(switch_off("home")).await;
        house.pass(100).await;
        house.assert_sent(&[&record.id]);
        assert_eq!(house.state(&record.id).await, CommandState::Sent);
    });
}

#[test]
fn a_processor_that_crashed_finds_its_commands_and_hems_again() {
    universe(async |house| {
        house.connect("home", 1).await;
        let sent = house.order(switch_off("home")).await;
        let held = house.order(switch_off("late")).await;
        let undecided = house.request(switch_off("home")).await;
        house.pass(10).await;
        house.sent();
        house.world.lock().unwrap().offered.clear();
        house.processor.tell(Crash).unwrap();
        house.pass(6_000).await;
        assert_eq!(house.world.lock().unwrap().offered[0].id, undecided.id);
        house.answer(&sent, CommandOutcome::Done, Some(1)).await;
        assert_eq!(house.state(&sent.id).await, CommandState::Acknowledged);
        house.connect_in_silence("late");
        house.pass(6_000).await;
        house.assert_sent(&[&held.id]);
        // Its orders go on from the highest.
        let next = house.order(set_power("home", Watts(500.0).0)).await;
        assert_eq!(next.order, Some(2));
    });
}

#[test]
fn another_process_on_the_same_store_forgets_nothing() {
    universe(async |mut house| {
        house.connect("home", 1).await;
        let done = house.order(set_power("home", 700.0)).await;
        house.answer(&done, CommandOutcome::Done, Some(1)).await;
        let sent = house.order(switch_off("home")).await;
        let undecided = house.request(switch_off("home")).await;
        house.pass(10).await;
        house.sent();
        house.world.lock().unwrap().offered.clear();
        house.restart().await;
        house.pass(3_000).await;
        assert_eq!(house.world.lock().unwrap().offered[0].id, undecided.id);
        house.connect("home", 2).await;
        house.assert_sent(&[&sent.id]);
        house.pass(11_000).await;
        assert_eq!(house.state(&sent.id).await, CommandState::Unconfirmed);
        house.answer(&sent, CommandOutcome::Done, Some(5)).await;
        assert_eq!(house.state(&sent.id).await, CommandState::Acknowledged);
        assert_eq!(house.state(&done.id).await, CommandState::Acknowledged);
        let next = house.order(set_power("home", 900.0)).await;
        assert_eq!(next.order, Some(3));
    });
}
