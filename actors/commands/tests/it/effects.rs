//! What readings show.

use memcloud_commands::CommandsConfig;
use memcloud_domain::{CommandOutcome, CommandState, Seq};

use crate::house::{House, battery, load, set_power, switch_off, universe, with_config};

async fn done(
    house: &House,
    request: memcloud_domain::CommandRequest,
    seq: u64,
) -> memcloud_domain::CommandId {
    let record = house.order(request).await;
    house.answer(&record, CommandOutcome::Done, Some(seq)).await;
    record.id.clone()
}

#[test]
fn a_load_that_is_off_in_the_next_reading_is_effective_with_the_reading_as_evidence() {
    universe(async |house| {
        house.connect("home", 1).await;
        house.reading("home", 1, load(300.0, true)).await;
        let id = done(&house, switch_off("home"), 1).await;
        house.reading("home", 2, load(3.0, false)).await;
        let record = house.command(&id).await;
        assert_eq!(record.state, CommandState::Effective);
        let evidence = record.history.last().unwrap().evidence.clone().unwrap();
        assert_eq!(evidence.seen.len(), 1);
        assert_eq!(evidence.seen[0].seq, Seq(2));
        assert_eq!(house.on_disk(&id), *record);
    });
}

#[test]
fn a_reading_from_before_the_act_proves_nothing() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 5).await;
        house.reading("home", 5, load(0.0, false)).await;
        assert_eq!(house.state(&id).await, CommandState::Acknowledged);
    });
}

#[test]
fn a_load_that_still_draws_300_watts_is_ineffective_after_the_window_and_two_readings() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        for seq in 2..=18 {
            assert_eq!(house.state(&id).await, CommandState::Acknowledged);
            house.reading("home", seq, load(300.0, true)).await;
            house.pass(1_000).await;
        }
        house.pass(2_000).await;
        let record = house.command(&id).await;
        assert_eq!(record.state, CommandState::Ineffective);
        let last = record.history.last().unwrap();
        assert_eq!(last.evidence.as_ref().unwrap().seen.len(), 3);
        assert!(last.because.as_ref().unwrap().contains("it is on and takes 300 W"), "{last:?}");
    });
}

#[test]
fn one_reading_is_not_enough_to_say_that_there_was_no_effect() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        house.pass(20_000).await;
        house.reading("home", 2, load(300.0, true)).await;
        house.pass(60_000).await;
        assert_eq!(house.state(&id).await, CommandState::Acknowledged);
        house.reading("home", 3, load(300.0, true)).await;
        house.pass(20_000).await;
        assert_eq!(house.state(&id).await, CommandState::Ineffective);
    });
}

#[test]
fn what_the_bus_lost_is_read_from_the_store_before_a_verdict() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        house.reading("home", 2, load(300.0, true)).await;
        house.pass(5_000).await;
        house.store_reading("home", 3, load(1.0, false));
        house.pass(15_000).await;
        assert_eq!(house.state(&id).await, CommandState::Effective);
    });
}

#[test]
fn a_home_that_caught_up_on_an_outage_is_read_page_by_page() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        for seq in 2..=1_300 {
            house.store_reading("home", seq, load(300.0, true));
        }
        house.store_reading("home", 1_301, load(1.0, false));
        house.pass(16_000).await;
        assert_eq!(house.state(&id).await, CommandState::Effective);
    });
}

#[test]
fn while_the_historian_is_away_there_is_no_verdict() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        house.send_historian_away(true);
        for seq in 2..=40 {
            house.reading("home", seq, load(300.0, true)).await;
            house.pass(1_000).await;
        }
        assert_eq!(house.state(&id).await, CommandState::Acknowledged);
        house.send_historian_away(false);
        house.pass(20_000).await;
        assert_eq!(house.state(&id).await, CommandState::Ineffective);
    });
}

#[test]
fn a_full_battery_cannot_follow_and_the_sentence_says_so() {
    universe(async |house| {
        house.connect("home", 1).await;
        let id = done(&house, set_power("home", 2_000.0), 1).await;
        for seq in 2..=18 {
            house.reading("home", seq, battery(0.0, 0.995)).await;
            house.pass(1_000).await;
        }
        house.pass(2_000).await;
        let record = house.command(&id).await;
        assert_eq!(record.state, CommandState::Ineffective);
        let because = record.history.last().unwrap().because.clone().unwrap();
        assert!(because.contains("it is full"), "{because}");
    });
}

#[test]
fn when_the_lease_is_over_and_the_battery_back_at_its_default_the_command_is_reverted() {
    universe(async |house| {
        house.connect("home", 1).await;
        let mut request = set_power("home", 2_000.0);
        request.lease_ms = Some(60_000);
        let id = done(&house, request, 1).await;
        house.pass(1_000).await;
        house.reading("home", 2, battery(1_980.0, 0.5)).await;
        assert_eq!(house.state(&id).await, CommandState::Effective);
        house.pass(30_000).await;
        // A dip within the lease is no end of it.
        house.reading("home", 3, battery(0.0, 0.5)).await;
        assert_eq!(house.state(&id).await, CommandState::Effective);
        house.pass(31_000).await;
        house.reading("home", 4, battery(3.0, 0.5)).await;
        let record = house.command(&id).await;
        assert_eq!(record.state, CommandState::Reverted);
        assert_eq!(record.history.last().unwrap().evidence.as_ref().unwrap().seen[0].seq, Seq(4));
    });
}

#[test]
fn a_later_order_that_was_carried_out_leaves_the_earlier_one_as_it_is() {
    universe(async |house| {
        house.connect("home", 1).await;
        let earlier = done(&house, set_power("home", 2_000.0), 1).await;
        let later = done(&house, set_power("home", -1_000.0), 2).await;
        for seq in 3..=25 {
            house.reading("home", seq, battery(-1_000.0, 0.5)).await;
            house.pass(1_000).await;
        }
        assert_eq!(house.state(&later).await, CommandState::Effective);
        assert_eq!(house.state(&earlier).await, CommandState::Acknowledged);
    });
}

#[test]
fn a_later_order_of_which_nobody_knows_whether_it_was_carried_out_forbids_a_verdict() {
    universe(async |house| {
        house.connect("home", 1).await;
        let earlier = done(&house, switch_off("home"), 1).await;
        let on = memcloud_domain::CommandAction::Switch { on: true };
        let later = house.order(crate::house::ask_for("home", 1, on)).await;
        for seq in 2..=40 {
            house.reading("home", seq, load(300.0, true)).await;
            house.pass(1_000).await;
        }
        assert_eq!(house.state(&later.id).await, CommandState::Unconfirmed);
        assert_eq!(house.state(&earlier).await, CommandState::Acknowledged);
        // It was not: the readings speak of the earlier one.
        house.answer(&later, CommandOutcome::Refused, None).await;
        house.pass(20_000).await;
        assert_eq!(house.state(&earlier).await, CommandState::Ineffective);
    });
}

#[test]
fn an_interrupted_command_stays_unconfirmed_whatever_readings_show() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        house.answer(&record, CommandOutcome::Interrupted, Some(4)).await;
        assert_eq!(house.state(&record.id).await, CommandState::Unconfirmed);
        house.sent();
        house.disconnect("home", 1).await;
        house.connect("home", 2).await;
        assert_eq!(house.sent(), [], "it was answered");
        // The node may have been off all along: that shows nothing.
        for seq in 4..=24 {
            house.reading("home", seq, load(0.0, false)).await;
            house.pass(1_000).await;
        }
        assert_eq!(house.state(&record.id).await, CommandState::Unconfirmed);
    });
}

#[test]
fn a_result_without_a_number_is_judged_by_what_was_taken_after_it() {
    universe(async |house| {
        house.connect("home", 1).await;
        house.reading("home", 1, load(0.0, false)).await;
        let record = house.order(switch_off("home")).await;
        house.answer(&record, CommandOutcome::Done, None).await;
        house.pass(1_000).await;
        house.reading("home", 2, load(0.0, false)).await;
        assert_eq!(house.state(&record.id).await, CommandState::Effective);
    });
}

#[test]
fn a_verdict_is_found_by_the_process_that_comes_after_too() {
    universe(async |mut house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        house.restart().await;
        house.connect("home", 2).await;
        for seq in 2..=18 {
            house.reading("home", seq, load(300.0, true)).await;
            house.pass(1_000).await;
        }
        house.pass(10_000).await;
        assert_eq!(house.state(&id).await, CommandState::Ineffective);
    });
}

#[test]
fn a_home_that_sends_nothing_is_not_looked_at_for_ever() {
    let config = CommandsConfig {
        patience: std::time::Duration::from_secs(120),
        ..CommandsConfig::default()
    };
    with_config(config, async |house| {
        house.connect("home", 1).await;
        let id = done(&house, switch_off("home"), 1).await;
        house.pass(200_000).await;
        assert_eq!(house.state(&id).await, CommandState::Acknowledged);
        assert_eq!(house.metrics.watched.get(), 0);
        assert_eq!(house.metrics.open.get(), 0);
    });
}
