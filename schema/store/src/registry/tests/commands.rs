use std::collections::BTreeMap;
use std::sync::Arc;

use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandRecord, CommandState, Evidence, NodeId, Seq, Sighting,
    Transition, Watts,
};
use proptest::prelude::*;

use super::*;

on_every_engine! {
    a_command_is_read_back_as_it_was_written,
    a_batch_is_written_whole_or_not_at_all,
    a_batch_that_is_written_again_does_no_harm,
    of_two_records_of_one_command_in_a_batch_the_later_one_stands,
    commands_are_listed_newest_first_page_by_page_and_by_what_is_asked,
    what_is_under_way_is_open_until_it_is_over,
    what_holds_at_a_node_is_open_until_its_lease_is_over_and_its_end_is_seen,
    an_order_that_was_followed_by_another_still_waits_for_the_sight_of_its_effect,
    what_is_acknowledged_and_has_no_effect_to_see_is_not_open,
    a_supervisor_hears_of_its_own_microgrid_alone,
    a_row_that_cannot_be_read_stops_nobody_who_starts,
    the_highest_order_never_goes_back,
    old_commands_are_deleted_oldest_first_but_what_is_open_stays,
    a_home_and_its_microgrid_can_be_deleted_and_their_commands_stay,
    whoever_reads_does_not_wait_for_whoever_writes,
    what_is_open_is_what_a_look_at_the_whole_ledger_says,
}

const SECOND: i64 = 1_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

fn command_id(number: u64) -> CommandId {
    CommandId::new(&format!("c-{number:06}")).unwrap()
}

fn step(state: CommandState, at: i64) -> Transition {
    Transition { state, at: Timestamp(at), because: None, evidence: None }
}

fn a_command(number: u64, issued: i64) -> CommandRecord {
    CommandRecord {
        id: command_id(number),
        microgrid: microgrid_id("fontana"),
        hem: hem("one"),
        node: Some(NodeId(3)),
        action: CommandAction::Switch { on: false },
        asker: Asker::Person { id: "7".to_owned(), name: "anna".to_owned() },
        reason: "the feeder is full".to_owned(),
        priority: 5,
        issued: Timestamp(issued),
        expires: Timestamp(issued + 60 * SECOND),
        lease_ms: None,
        ordered: None,
        order: None,
        acted_at: None,
        state: CommandState::Accepted,
        history: vec![step(CommandState::Accepted, issued)],
    }
}

/// The same, further on.
pub(super) fn then(record: &CommandRecord, state: CommandState, at: i64) -> CommandRecord {
    let mut next = record.clone();
    next.state = state;
    next.history.push(step(state, at));
    next
}

pub(super) fn sent(number: u64, issued: i64, order: u64) -> CommandRecord {
    let accepted = a_command(number, issued);
    CommandRecord { order: Some(order), ..then(&accepted, CommandState::Sent, issued + SECOND) }
}

pub(super) fn carried_out(
    number: u64,
    issued: i64,
    order: u64,
    lease_ms: Option<u64>,
) -> CommandRecord {
    let sent = CommandRecord { lease_ms, ..sent(number, issued, order) };
    then(&sent, CommandState::Acknowledged, issued + 2 * SECOND)
}

impl Fixture {
    fn keep(&self, records: impl IntoIterator<Item = CommandRecord>) {
        let records: Vec<_> = records.into_iter().map(Arc::new).collect();
        self.write_commands(&records, &[]).unwrap();
    }

    fn open_at(&self, now: i64) -> Vec<CommandId> {
        let open = self.open_commands(None, Timestamp(now)).unwrap();
        open.into_iter().map(|record| record.id).collect()
    }
}

fn a_command_is_read_back_as_it_was_written(registry: Fixture) {
    let mut record = a_command(1, 100);
    registry.keep([record.clone()]);
    assert_eq!(registry.command(&record.id).unwrap(), Some(record.clone()));

    record.asker = Asker::Person { id: "7".to_owned(), name: "anna".to_owned() };
    record.action = CommandAction::Switch { on: false };
    record.ordered = Some(CommandAction::LimitPower { watts: Watts(1_200.5) });
    record.order = Some(41);
    record.acted_at = Some(Seq::MAX);
    record.lease_ms = Some(900_000);
    record.state = CommandState::Ineffective;
    record.history.push(step(CommandState::Sent, 101));
    record.history.push(Transition {
        state: CommandState::Ineffective,
        at: Timestamp(130),
        because: Some("it still draws 300 W".to_owned()),
        evidence: Some(Evidence {
            expected: "at most 30 W".to_owned(),
            seen: vec![Sighting {
                seq: Seq(9),
                ts: Timestamp(129),
                watts: Some(Watts(300.0)),
                on: Some(true),
            }],
        }),
    });
    registry.keep([record.clone()]);
    assert_eq!(registry.opened_again().command(&record.id).unwrap(), Some(record));

    let schedule = CommandRecord {
        node: None,
        asker: Asker::Job {
            job: memcloud_domain::JobId::new("peaks").unwrap(),
            app: "peak-shaving".to_owned(),
            version: "1.0".to_owned(),
        },
        action: CommandAction::SetSchedule { on_at: vec![Timestamp(1)], off_at: Vec::new() },
        priority: -3,
        ..a_command(2, 100)
    };
    registry.keep([schedule.clone()]);
    assert_eq!(registry.command(&schedule.id).unwrap(), Some(schedule));
    assert_eq!(registry.command(&command_id(3)).unwrap(), None);
}

fn a_batch_is_written_whole_or_not_at_all(registry: Fixture) {
    let impossible = CommandRecord { lease_ms: Some(u64::MAX), ..a_command(2, 0) };
    let batch = [a_command(1, 0), impossible, a_command(3, 0)].map(Arc::new);
    let refused = registry.write_commands(&batch, &[]);
    assert!(matches!(refused, Err(RegistryError::Invalid { what: "lease", .. })), "{refused:?}");
    assert!(registry.commands(&CommandFilter::default(), None, 10).unwrap().is_empty());
    assert!(registry.open_at(0).is_empty());
}

fn a_batch_that_is_written_again_does_no_harm(registry: Fixture) {
    let batch = [a_command(1, 0), sent(2, 0, 7), carried_out(3, 0, 8, Some(5_000))];
    registry.keep(batch.clone());
    let open = registry.open_at(0);
    registry.keep(batch.clone());
    assert_eq!(registry.open_at(0), open);
    for record in batch {
        assert_eq!(registry.command(&record.id).unwrap(), Some(record));
    }
    assert_eq!(registry.highest_orders().unwrap(), [(hem("one"), 8)]);
}

fn of_two_records_of_one_command_in_a_batch_the_later_one_stands(registry: Fixture) {
    let last = then(&sent(1, 0, 1), CommandState::Failed, 3);
    registry.keep([a_command(1, 0), sent(1, 0, 1), last.clone()]);
    assert_eq!(registry.command(&last.id).unwrap(), Some(last));
    assert!(registry.open_at(0).is_empty());
}

fn commands_are_listed_newest_first_page_by_page_and_by_what_is_asked(registry: Fixture) {
    let at_two = |number| CommandRecord { hem: hem("two"), ..sent(number, 0, number) };
    let elsewhere = CommandRecord { microgrid: microgrid_id("soledad"), ..at_two(5) };
    registry.keep([a_command(1, 0), sent(2, 0, 1), a_command(3, 0), at_two(4), elsewhere]);
    let list = |filter: &CommandFilter, after: Option<u64>, limit| {
        let after = after.map(command_id);
        let found = registry.commands(filter, after.as_ref(), limit).unwrap();
        found.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let ids = |numbers: &[u64]| numbers.iter().copied().map(command_id).collect::<Vec<_>>();
    let all = CommandFilter::default();
    assert_eq!(list(&all, None, 2), ids(&[5, 4]));
    assert_eq!(list(&all, Some(4), 2), ids(&[3, 2]));
    assert_eq!(list(&all, Some(2), 2), ids(&[1]));
    let of_one = CommandFilter { hem: Some(hem("one")), ..all.clone() };
    assert_eq!(list(&of_one, None, 10), ids(&[3, 2, 1]));
    let waiting = CommandFilter { state: Some(CommandState::Accepted), ..of_one };
    assert_eq!(list(&waiting, None, 10), ids(&[3, 1]));
    let there = CommandFilter { microgrid: Some(microgrid_id("soledad")), ..all };
    assert_eq!(list(&there, None, 10), ids(&[5]));
}

fn what_is_under_way_is_open_until_it_is_over(registry: Fixture) {
    let unconfirmed = then(&sent(3, 0, 2), CommandState::Unconfirmed, 20 * SECOND);
    registry.keep([a_command(1, 0), sent(2, 0, 1), unconfirmed.clone()]);
    assert_eq!(registry.open_at(DAY - 1), [1, 2, 3].map(command_id));
    // However long it was down: nobody has decided on the first two yet.
    assert_eq!(registry.open_at(400 * DAY), [1, 2].map(command_id));
    registry.keep([
        then(&a_command(1, 0), CommandState::Cancelled, SECOND),
        then(&sent(2, 0, 1), CommandState::Refused, SECOND),
        then(&unconfirmed, CommandState::Failed, 30 * SECOND),
    ]);
    assert!(registry.open_at(0).is_empty());
}

fn what_holds_at_a_node_is_open_until_its_lease_is_over_and_its_end_is_seen(registry: Fixture) {
    let leased = carried_out(1, 0, 1, Some(900_000));
    let effective = then(&leased, CommandState::Effective, 5 * SECOND);
    registry.keep([effective.clone()]);
    let lease_ends = 902 * SECOND;
    assert_eq!(registry.open_at(lease_ends + DAY - 1), [command_id(1)]);
    assert!(registry.open_at(lease_ends + DAY).is_empty());
    registry.keep([then(&effective, CommandState::Reverted, lease_ends)]);
    assert!(registry.open_at(lease_ends).is_empty());

    // Without a lease, until another takes its place.
    let for_good = then(&carried_out(2, 0, 2, None), CommandState::Effective, 5 * SECOND);
    registry.keep([for_good]);
    assert_eq!(registry.open_at(400 * DAY), [command_id(2)]);
    let other_node = |record| CommandRecord { node: Some(NodeId(4)), ..record };
    registry.keep([other_node(carried_out(3, 0, 3, None))]);
    assert_eq!(registry.open_at(400 * DAY), [2, 3].map(command_id));
    registry.keep([carried_out(4, 0, 4, None)]);
    assert_eq!(registry.open_at(400 * DAY), [3, 4].map(command_id));
    // An earlier order whose answer comes late does not hold any more.
    registry.keep([then(&carried_out(5, 0, 3, None), CommandState::Effective, 9 * SECOND)]);
    assert_eq!(registry.open_at(400 * DAY), [3, 4].map(command_id));
}

fn an_order_that_was_followed_by_another_still_waits_for_the_sight_of_its_effect(
    registry: Fixture,
) {
    registry.keep([carried_out(1, 0, 1, None), carried_out(2, SECOND, 2, None)]);
    assert_eq!(registry.open_at(SECOND), [1, 2].map(command_id));
    assert_eq!(registry.open_at(2 * DAY), [command_id(2)]);
    registry.keep([then(&carried_out(1, 0, 1, None), CommandState::Effective, 4 * SECOND)]);
    assert_eq!(registry.open_at(SECOND), [command_id(2)]);
}

fn what_is_acknowledged_and_has_no_effect_to_see_is_not_open(registry: Fixture) {
    let action = CommandAction::ReportEvery { seconds: 10 };
    registry.keep([CommandRecord { action, node: None, ..carried_out(1, 0, 1, None) }]);
    assert!(registry.open_at(0).is_empty());
}

fn a_supervisor_hears_of_its_own_microgrid_alone(registry: Fixture) {
    let microgrid = microgrid_id("soledad");
    registry.keep([a_command(1, 0), CommandRecord { microgrid, ..a_command(2, 0) }]);
    let open = registry.open_commands(Some(&microgrid_id("soledad")), Timestamp(0)).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].id, command_id(2));
}

fn a_row_that_cannot_be_read_stops_nobody_who_starts(registry: Fixture) {
    registry.keep([a_command(1, 0), a_command(2, 0)]);
    let spoil = "UPDATE command SET history = '[{' WHERE id = 'c-000001'";
    registry.say(spoil);
    assert_eq!(registry.open_at(0), [command_id(2)]);
    let error = registry.command(&command_id(1)).unwrap_err();
    assert!(error.to_string().contains("c-000001"), "{error}");
}

fn the_highest_order_never_goes_back(registry: Fixture) {
    registry.keep([sent(1, 0, 5), sent(2, 0, 6)]);
    registry.keep([then(&sent(1, 0, 5), CommandState::Failed, 9)]);
    let at_two = CommandRecord { hem: hem("two"), ..sent(3, 0, 1) };
    registry.keep([at_two, then(&sent(2, 0, 6), CommandState::Failed, 9)]);
    while registry.delete_commands(Timestamp(DAY), Timestamp(DAY), 100).unwrap() > 0 {}
    assert_eq!(registry.highest_orders().unwrap(), [(hem("one"), 6), (hem("two"), 1)]);
}

fn old_commands_are_deleted_oldest_first_but_what_is_open_stays(registry: Fixture) {
    let over = |number, issued| then(&a_command(number, issued), CommandState::Expired, issued + 1);
    let holds = then(&carried_out(2, 2, 9, None), CommandState::Effective, 5);
    registry.keep([over(1, 1), holds, over(3, 3), over(4, 4), over(5, DAY)]);
    let left = || {
        let found = registry.commands(&CommandFilter::default(), None, 10).unwrap();
        found.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(registry.delete_commands(Timestamp(DAY), Timestamp(DAY), 2).unwrap(), 2);
    assert_eq!(left(), [5, 4, 2].map(command_id));
    assert_eq!(registry.delete_commands(Timestamp(DAY), Timestamp(DAY), 2).unwrap(), 1);
    assert_eq!(registry.delete_commands(Timestamp(DAY), Timestamp(DAY), 2).unwrap(), 0);
    assert_eq!(left(), [5, 2].map(command_id));
}

fn a_home_and_its_microgrid_can_be_deleted_and_their_commands_stay(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.register("one", "fontana", "key");
    registry.keep([a_command(1, 0)]);
    registry.delete_hem(&hem("one")).unwrap();
    registry.delete_microgrid(&microgrid_id("fontana")).unwrap();
    assert_eq!(registry.command(&command_id(1)).unwrap(), Some(a_command(1, 0)));
    assert_eq!(registry.open_at(0), [command_id(1)]);
}

fn whoever_reads_does_not_wait_for_whoever_writes(registry: Fixture) {
    registry.keep([a_command(1, 0)]);
    registry
        .write(|connection| {
            crate::registry::command::write(connection, [a_command(2, 0)].iter())?;
            // The writer is in the middle of its batch.
            let found = registry.command(&command_id(1))?;
            assert_eq!(found, Some(a_command(1, 0)));
            assert_eq!(registry.command(&command_id(2))?, None);
            Ok(())
        })
        .unwrap();
    assert_eq!(registry.command(&command_id(2)).unwrap(), Some(a_command(2, 0)));
}

/// What a scan of all records says is open.
fn open_by_scan(
    last: &BTreeMap<u64, CommandRecord>,
    places: &BTreeMap<(i64, &'static str), u64>,
    now: i64,
) -> Vec<CommandId> {
    let is_open = |record: &CommandRecord| {
        let acted = record.history.iter().find(|step| step.state == CommandState::Acknowledged);
        match record.state {
            CommandState::Accepted | CommandState::Sent => true,
            CommandState::Unconfirmed => now < record.issued.as_millis() + DAY,
            CommandState::Acknowledged | CommandState::Effective | CommandState::Ineffective => {
                let acted = acted.unwrap().at.as_millis();
                let node = record.node.map_or(-1, |node| i64::from(node.0));
                let holds = places.get(&(node, record.as_sent().name())) == record.order.as_ref();
                let lease = record.lease_ms.map(|lease| i64::try_from(lease).unwrap());
                let shows = record.as_sent().setting().is_some();
                let waits = shows && record.state == CommandState::Acknowledged;
                (waits && now < acted + DAY)
                    || (holds && lease.map_or(shows, |lease| now < acted + lease + DAY))
            }
            _ => false,
        }
    };
    last.values().filter(|record| is_open(record)).map(|record| record.id.clone()).collect()
}

fn what_is_open_is_what_a_look_at_the_whole_ledger_says(registry: Fixture) {
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    let one_move = (0_u64..12, 0_usize..5, prop::option::of(1_u64..200_000_000));
    proptest!(config, |(
        moves in prop::collection::vec(one_move, 1..60),
        batch in 1_usize..7,
        now in 0_i64..3 * DAY,
    )| {
        registry.empty();
        let mut last: BTreeMap<u64, CommandRecord> = BTreeMap::new();
        let mut places: BTreeMap<(i64, &'static str), u64> = BTreeMap::new();
        let mut written = Vec::new();
        for (at, (number, choice, lease_ms)) in (1_i64..).zip(moves) {
            let next = match last.get(&number) {
                None => CommandRecord {
                    node: (number % 3 > 0).then_some(NodeId(u8::try_from(number % 3).unwrap())),
                    action: match number % 4 {
                        0 => CommandAction::Restart,
                        1 => CommandAction::SetPower { watts: Watts(1.0) },
                        _ => CommandAction::Switch { on: true },
                    },
                    lease_ms,
                    ..a_command(number, at)
                },
                Some(known) => {
                    use CommandState::*;
                    let ways: &[CommandState] = match known.state {
                        Accepted => &[Sent, Sent, Sent, Sent, Cancelled],
                        Sent => &[Acknowledged, Acknowledged, Acknowledged, Unconfirmed, Failed],
                        Unconfirmed => &[Acknowledged, Acknowledged, Failed, Refused, Expired],
                        Acknowledged => &[Effective, Effective, Ineffective, Effective, Ineffective],
                        Effective | Ineffective => &[Reverted; 5],
                        _ => continue,
                    };
                    let mut next = then(known, ways[choice], at);
                    if next.state == Sent {
                        next.order = Some(u64::try_from(at).unwrap());
                    }
                    if next.state == Acknowledged {
                        let node = next.node.map_or(-1, |node| i64::from(node.0));
                        let order = next.order.unwrap();
                        // Nothing without a lease and without an effect to see holds anything.
                        if next.lease_ms.is_some() || next.as_sent().setting().is_some() {
                            let place = places.entry((node, next.as_sent().name())).or_insert(order);
                            *place = order.max(*place);
                        }
                    }
                    next
                }
            };
            last.insert(number, next.clone());
            written.push(next);
        }
        for records in written.chunks(batch) {
            registry.keep(records.iter().cloned());
        }
        prop_assert_eq!(registry.open_at(now), open_by_scan(&last, &places, now));
        for record in last.values() {
            let kept = registry.command(&record.id).unwrap();
            prop_assert_eq!(kept.as_ref(), Some(record));
        }
    });
}
