//! From the request to the answer.

use memcloud_commands::CommandsConfig;
use memcloud_domain::messages::{
    CancelCommand, CommandError, ListCommands, ListOpenCommands, OrderDraft, Origin, Placement,
    Verdict,
};
use memcloud_domain::{
    Asker, CommandAction, CommandOutcome, CommandState, JobId, NodeId, Timestamp, Watts,
};

use crate::house::{
    SOON, anna, ask_for, draft_of, hem_id, microgrid, order_of, set_power, switch_off, told_states,
    universe, with_config,
};

#[test]
fn a_command_goes_from_the_request_to_the_hem_and_back_and_every_step_is_on_disk_first() {
    universe(async |house| {
        house.connect("home", 1).await;
        let accepted = house.request(switch_off("home")).await;
        assert_eq!(accepted.state, CommandState::Accepted);
        assert_eq!(house.on_disk(&accepted.id), *accepted);
        house.pass(10).await;
        assert_eq!(house.world.lock().unwrap().offered[0].id, accepted.id);
        assert_eq!(house.sent(), []);

        let Placement::Placed(sent) = house.place(order_of(&accepted)).await else { panic!() };
        assert_eq!((sent.state, sent.order), (CommandState::Sent, Some(1)));
        assert_eq!(house.on_disk(&sent.id), *sent);
        house.pass(10).await;
        let out = house.sent();
        assert_eq!((out.len(), out[0].order, &out[0].command), (1, 1, &sent.id));

        house.answer(&sent, CommandOutcome::Done, Some(7)).await;
        let done = house.command(&sent.id).await;
        assert_eq!(
            (done.state, done.acted_at),
            (CommandState::Acknowledged, Some(memcloud_domain::Seq(7)))
        );
        assert_eq!(house.on_disk(&sent.id), *done);
        let states: Vec<_> = done.history.iter().map(|step| step.state.as_str()).collect();
        assert_eq!(states, ["accepted", "sent", "acknowledged"]);
        let told = told_states(&house.world.lock().unwrap());
        assert_eq!(
            told.into_iter().collect::<Vec<_>>(),
            [("accepted", 1), ("acknowledged", 1), ("sent", 1)]
        );
    });
}

#[test]
fn each_outcome_ends_in_its_state_and_a_second_answer_changes_nothing() {
    universe(async |house| {
        house.connect("home", 1).await;
        let cases = [
            (CommandOutcome::Refused, None, CommandState::Refused),
            (CommandOutcome::Refused, Some("expired"), CommandState::Expired),
            (CommandOutcome::Failed, Some("the relay stuck"), CommandState::Failed),
            (CommandOutcome::Superseded, None, CommandState::Superseded),
            (CommandOutcome::Interrupted, None, CommandState::Unconfirmed),
            (CommandOutcome::Done, None, CommandState::Acknowledged),
        ];
        for (outcome, reason, state) in cases {
            let record = house.order(switch_off("home")).await;
            house.answer_because(&record, outcome, Some(3), reason).await;
            assert_eq!(house.state(&record.id).await, state);
            let before = house.command(&record.id).await;
            house.answer(&record, CommandOutcome::Failed, None).await;
            if state != CommandState::Unconfirmed {
                assert_eq!(house.command(&record.id).await, before);
            }
        }
    });
}

#[test]
fn a_hem_speaks_of_its_own_commands_alone() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        let mut stolen = (*record).clone();
        stolen.hem = hem_id("thief");
        house.answer(&stolen, CommandOutcome::Done, Some(1)).await;
        assert_eq!(house.state(&record.id).await, CommandState::Sent);
        assert_eq!(house.metrics.moot_answers.get(), 1);
    });
}

#[test]
fn set_points_and_limits_have_a_lease_and_other_actions_none_unless_asked() {
    universe(async |house| {
        let lease = |record: &memcloud_domain::CommandRecord| record.lease_ms;
        assert_eq!(lease(&*house.request(set_power("home", 1_000.0)).await), Some(900_000));
        assert_eq!(lease(&*house.request(switch_off("home")).await), None);
        let mut asked = switch_off("home");
        asked.lease_ms = Some(5_000);
        assert_eq!(lease(&*house.request(asked).await), Some(5_000));
        let limit = CommandAction::LimitPower { watts: Watts(100.0) };
        let record = house.request(ask_for("home", 3, limit)).await;
        assert_eq!(lease(&record), Some(900_000));
        assert_eq!(record.expires, Timestamp(record.issued.0 + 60_000));
    });
}

#[test]
fn what_cannot_be_right_is_turned_down_with_what_would_be_and_takes_the_others_with_it() {
    universe(async |house| {
        let mut no_node = switch_off("home");
        no_node.node = None;
        let mut long = switch_off("home");
        long.lease_ms = Some(86_400_001);
        let mut expired = switch_off("home");
        expired.expires_ms = Some(0);
        let mut wordy = switch_off("home");
        wordy.reason = "x".repeat(301);
        let mut two_lines = switch_off("home");
        two_lines.reason = "one\ntwo".to_owned();
        let mut restart = ask_for("home", 1, CommandAction::Restart);
        let wrong = [
            (no_node, "switch needs a node"),
            (restart.clone(), "leave the node out"),
            (long, "the lease must be at most a day"),
            (expired, "the expiry must be longer than 0"),
            (wordy, "longer than 300"),
            (two_lines, "one plain sentence"),
            (set_power("home", f64::NAN), "watts must lie between"),
            (set_power("home", 1e9), "watts must lie between"),
            (
                ask_for("home", 1, CommandAction::LimitPower { watts: Watts(-5.0) }),
                "without a sign",
            ),
            (
                ask_for(
                    "home",
                    1,
                    CommandAction::SetSchedule { on_at: vec![Timestamp(0); 97], off_at: vec![] },
                ),
                "at most 96",
            ),
            (
                ask_for(
                    "home",
                    1,
                    CommandAction::SetSchedule { on_at: vec![Timestamp(0)], off_at: vec![] },
                ),
                "within a year",
            ),
        ];
        for (request, hint) in wrong {
            let answer = house.try_request(vec![switch_off("home"), request]).await;
            let Err(CommandError::Invalid(text)) = answer else { panic!("{answer:?}") };
            assert!(text.contains(hint), "{text}");
        }
        let page = ListCommands { limit: 10, ..ListCommands::default() };
        assert!(house.processor.ask(page, SOON).await.unwrap().unwrap().items.is_empty());
        restart.node = None;
        assert_eq!(house.request(restart).await.state, CommandState::Accepted);
    });
}

#[test]
fn only_what_was_not_sent_can_be_cancelled() {
    universe(async |house| {
        let cancel = |command| CancelCommand { command, by: anna(), microgrid: microgrid() };
        let record = house.request(switch_off("home")).await;
        let cancelled =
            house.processor.ask(cancel(record.id.clone()), SOON).await.unwrap().unwrap();
        assert_eq!(cancelled.state, CommandState::Cancelled);
        assert_eq!(house.on_disk(&record.id), *cancelled);
        assert!(matches!(house.place(order_of(&record)).await, Placement::Moot(_)));

        // Held for a HEM that is away.
        let held = house.order(switch_off("home")).await;
        assert_eq!((held.state, held.order), (CommandState::Accepted, Some(1)));
        house.processor.ask(cancel(held.id.clone()), SOON).await.unwrap().unwrap();
        house.connect("home", 1).await;
        assert_eq!(house.sent(), []);

        let sent = house.order(switch_off("home")).await;
        let answer = house.processor.ask(cancel(sent.id.clone()), SOON).await.unwrap();
        assert_eq!(answer, Err(CommandError::TooLate(sent)));
        let answer = house.processor.ask(cancel(cancelled.id.clone()), SOON).await.unwrap();
        assert_eq!(answer, Err(CommandError::TooLate(cancelled)));
        let nobodys = memcloud_domain::CommandId::new("nobodys").unwrap();
        let answer = house.processor.ask(cancel(nobodys), SOON).await.unwrap();
        assert_eq!(answer, Err(CommandError::Unknown));
    });
}

#[test]
fn dispatch_is_offered_a_command_again_until_it_decides() {
    universe(async |house| {
        let record = house.request(switch_off("home")).await;
        house.pass(9_000).await;
        let offered = house.world.lock().unwrap().offered.len();
        assert!((3..=6).contains(&offered), "{offered} offers in nine seconds");
        let because = "the home's limit leaves no room".to_owned();
        let refuse = Verdict::Refuse { command: record.id.clone(), because };
        let Placement::Placed(refused) = house.place(refuse.clone()).await else { panic!() };
        assert_eq!(refused.state, CommandState::Refused);
        assert_eq!(refused.history[1].because.as_deref(), Some("the home's limit leaves no room"));
        // A verdict is written once.
        assert_eq!(house.place(refuse).await, Placement::Moot(refused));
        let before = house.world.lock().unwrap().offered.len();
        house.pass(9_000).await;
        assert_eq!(house.world.lock().unwrap().offered.len(), before);
    });
}

#[test]
fn what_dispatch_makes_of_a_command_goes_to_the_hem_and_is_kept_beside_what_was_asked() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.request(set_power("home", 5_000.0)).await;
        let mut draft = draft_of(&record);
        draft.action = CommandAction::SetPower { watts: Watts(3_000.0) };
        draft.lease_ms = Some(60_000);
        let Placement::Placed(placed) = house.place(Verdict::Order(draft)).await else { panic!() };
        assert_eq!(placed.action, CommandAction::SetPower { watts: Watts(5_000.0) });
        house.pass(10).await;
        let out = house.sent().remove(0);
        assert_eq!(out.action, CommandAction::SetPower { watts: Watts(3_000.0) });
        assert_eq!(out.lease_ms, Some(60_000));
        assert_eq!(house.on_disk(&record.id), *placed);
    });
}

#[test]
fn a_wish_gets_its_row_when_it_becomes_an_order() {
    universe(async |house| {
        house.connect("home", 1).await;
        let job = JobId::new("019a0000-0000-7000-8000-000000000000").unwrap();
        let asker = Asker::Job { job, app: "peak-shaving".to_owned(), version: "1".to_owned() };
        let draft = OrderDraft {
            origin: Origin::Wish {
                asker: asker.clone(),
                reason: "the feeder is full".to_owned(),
                priority: 5,
                expires_ms: 30_000,
            },
            hem: hem_id("home"),
            node: Some(NodeId(2)),
            action: CommandAction::SetPower { watts: Watts(-2_000.0) },
            lease_ms: Some(120_000),
            because: "the job peak-shaving wants it".to_owned(),
            moves_watts: 2_000.0,
        };
        let Placement::Placed(placed) = house.place(Verdict::Order(draft)).await else { panic!() };
        assert_eq!((placed.state, placed.asker.clone()), (CommandState::Sent, asker));
        assert_eq!(house.on_disk(&placed.id), *placed);
        let states: Vec<_> = placed.history.iter().map(|step| step.state.as_str()).collect();
        assert_eq!(states, ["accepted", "sent"]);
    });
}

#[test]
fn a_supervisor_that_starts_hears_of_what_is_open_or_holds() {
    universe(async |house| {
        house.connect("home", 1).await;
        let waits = house.request(switch_off("away")).await;
        let holds = house.order(set_power("home", 1_000.0)).await;
        house.answer(&holds, CommandOutcome::Done, Some(1)).await;
        let over = house.order(switch_off("home")).await;
        house.answer(&over, CommandOutcome::Failed, None).await;
        let open = async || {
            let ask = ListOpenCommands { microgrid: microgrid() };
            let open = house.processor.ask(ask, SOON).await.unwrap().unwrap();
            open.iter().map(|record| record.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(open().await, [waits.id.clone(), holds.id.clone()]);
        // The first one expires, the lease of the second ends.
        house.pass(901_000).await;
        assert_eq!(open().await, []);
    });
}

#[test]
fn the_ledger_is_listed_the_newest_first_page_by_page() {
    universe(async |house| {
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(house.request(switch_off("home")).await.id.clone());
        }
        ids.reverse();
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let ask = ListCommands {
                hem: Some(hem_id("home")),
                after,
                limit: 2,
                ..ListCommands::default()
            };
            let page = house.processor.ask(ask, SOON).await.unwrap().unwrap();
            listed.extend(page.items.iter().map(|record| record.id.clone()));
            if page.next.is_none() {
                break;
            }
            after = listed.last().cloned();
        }
        assert_eq!(listed, ids);
    });
}

#[test]
fn hundreds_that_come_together_share_transactions() {
    let config = CommandsConfig { open_per_hem: 1_000, ..CommandsConfig::default() };
    with_config(config, async |house| {
        let asked: Vec<_> = (0..500).map(|_| house.try_request(vec![switch_off("home")])).collect();
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.unwrap()[0].state, CommandState::Accepted);
        }
        assert_eq!(house.metrics.commit_sizes.sum(), 500);
    });
}
