//! What a state may claim, over random lives and by name.

use memcloud_commands::ledger::{CommandEvent, Finding, step};
use memcloud_domain::{
    CommandOutcome, CommandRecord, CommandState, Evidence, Seq, Sighting, Timestamp,
};
use proptest::prelude::*;

use crate::random_orders::{self, Rules};

#[test]
fn in_random_lives_no_state_goes_back_and_none_claims_more_than_is_true() {
    let tally = random_orders::run(7, 60_000, step).unwrap();
    // Every state was come to, or the lives were too tame.
    for state in CommandState::ALL {
        assert!(tally.ended_in.contains_key(state.as_str()), "{state:?} in {tally:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn wherever_a_life_begins_to_be_random_it_stays_true(seed in any::<u64>()) {
        random_orders::run(seed, 20, step).unwrap();
    }
}

/// The real rules, applied to a command that pretends to be in another state.
fn as_if_in(
    state: CommandState,
    record: &CommandRecord,
    event: &CommandEvent,
    at: Timestamp,
) -> Option<CommandRecord> {
    let mut pretending = record.clone();
    pretending.state = state;
    step(&pretending, event, at)
}

#[test]
fn the_world_notices_a_ledger_that_lies() {
    let lies: [(&str, Rules); 5] = [
        ("cancels what was sent", |record, event, at| match (record.state, event) {
            (CommandState::Sent, CommandEvent::Cancelled { .. }) => {
                as_if_in(CommandState::Accepted, record, event, at)
            }
            _ => step(record, event, at),
        }),
        ("takes what was not answered for expired", |record, event, at| match record.state {
            CommandState::Unconfirmed if matches!(event, CommandEvent::Lapsed) => {
                as_if_in(CommandState::Accepted, record, event, at)
            }
            _ => step(record, event, at),
        }),
        ("doubts what was answered", |record, event, at| match (record.state, event) {
            (CommandState::Acknowledged, CommandEvent::Overdue) => {
                as_if_in(CommandState::Sent, record, event, at)
            }
            _ => step(record, event, at),
        }),
        ("believes readings from before the act", |record, event, at| match event {
            CommandEvent::EffectSeen(_) if record.acted_at.is_some() => {
                let mut earlier = record.clone();
                earlier.acted_at = Some(Seq(0));
                let next = step(&earlier, event, at);
                next.map(|next| CommandRecord { acted_at: record.acted_at, ..next })
            }
            _ => step(record, event, at),
        }),
        ("does not hear late results", |record, event, at| match (record.state, event) {
            (CommandState::Unconfirmed, CommandEvent::Answered { .. }) => None,
            _ => step(record, event, at),
        }),
    ];
    for (lie, rules) in lies {
        assert!(
            random_orders::run(7, 20_000, rules).is_err(),
            "nobody notices a ledger that {lie}"
        );
    }
}

fn sighting(seq: u64, ts: i64) -> Sighting {
    Sighting { seq: Seq(seq), ts: Timestamp(ts), watts: None, on: None }
}

fn finding(seen: Vec<Sighting>) -> Finding {
    Finding {
        because: "so it is".to_owned(),
        evidence: Evidence { expected: "it holds".to_owned(), seen },
    }
}

#[test]
fn an_action_without_an_effect_to_see_ends_with_its_acknowledgement() {
    let mut record = random_orders::a_command(false);
    for event in [
        random_orders::ordered(&record),
        CommandEvent::Sent,
        CommandEvent::Answered { outcome: CommandOutcome::Done, seq: Some(Seq(1)), reason: None },
    ] {
        record = step(&record, &event, record.issued).unwrap();
    }
    assert_eq!(record.state, CommandState::Acknowledged);
    let shown = finding(vec![sighting(2, record.issued.0 + 1)]);
    assert_eq!(step(&record, &CommandEvent::EffectSeen(shown), record.issued), None);
}

#[test]
fn a_clock_that_was_set_back_does_not_turn_the_history_around() {
    let record = random_orders::a_command(true);
    let earlier = Timestamp(record.issued.0 - 3_600_000);
    let ordered = step(&record, &random_orders::ordered(&record), earlier).unwrap();
    let sent = step(&ordered, &CommandEvent::Sent, earlier).unwrap();
    assert_eq!(sent.history[1].at, record.issued);
}

#[test]
fn a_hem_that_tells_a_novel_is_cut_short() {
    let mut record = random_orders::a_command(true);
    record = step(&record, &random_orders::ordered(&record), record.issued).unwrap();
    record = step(&record, &CommandEvent::Sent, record.issued).unwrap();
    let reason = Some("x".repeat(100_000));
    let event = CommandEvent::Answered { outcome: CommandOutcome::Failed, seq: None, reason };
    let failed = step(&record, &event, record.issued).unwrap();
    assert_eq!(failed.history[2].because.as_ref().unwrap().len(), 300);
}
