//! What the board says of HEMs, one sentence a test.

use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{
    HemBatch, HemConnected, HemDisconnected, HemHeard, HemStatusChanged, LatestSeen,
    MicrogridProfile, MicrogridRoster, ReadingsCommitted, RosterHem,
};
use memcloud_domain::{
    Entry, Epoch, HemId, HemStatus, MicrogridId, NodeDeclaration, NodeId, NodeKind, NodeReading,
    PowerLimits, ProcessId, QualityFlag, Reading, Refusal, RefusalCode, Seq, Timestamp, WattHours,
    Watts,
};
use proptest::prelude::*;

use crate::StatusSettings;
use crate::board::{Board, Effect, Fact};
use crate::messages::ListHemStatuses;

const START: Timestamp = Timestamp(1_700_000_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp(START.0 + seconds * 1_000)
}

fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

fn fontana() -> MicrogridId {
    MicrogridId::new("fontana").unwrap()
}

fn node(number: u8, kind: NodeKind) -> NodeDeclaration {
    NodeDeclaration {
        node: NodeId(number),
        name: format!("node {number}"),
        kind,
        rated_watts: None,
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: None,
        default: None,
    }
}

/// A home with a grid node, PV and a load.
fn home() -> Vec<NodeDeclaration> {
    vec![node(0, NodeKind::Grid), node(1, NodeKind::Source), node(2, NodeKind::Load)]
}

fn watts(number: u8, watts: f64) -> NodeReading {
    NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(NodeId(number)) }
}

fn balanced(load: f64) -> Vec<NodeReading> {
    vec![watts(0, 300.0 - load), watts(1, -300.0), watts(2, load)]
}

fn reading(seq: u64, taken: Timestamp, received: Timestamp, nodes: Vec<NodeReading>) -> Entry {
    Entry::Reading(Reading { seq: Seq(seq), ts: taken, received, nodes })
}

fn connected(name: &str, epoch: u64, moment: Timestamp) -> HemConnected {
    HemConnected {
        hem: hem(name),
        microgrid: fontana(),
        epoch: Epoch(epoch),
        mark: Seq::NONE,
        nodes: home(),
        process: None,
        at: moment,
    }
}

fn disconnected(name: &str, epoch: u64, moment: Timestamp) -> HemDisconnected {
    HemDisconnected {
        hem: hem(name),
        microgrid: fontana(),
        epoch: Epoch(epoch),
        at: moment,
        reason: "closed".to_owned(),
    }
}

fn committed(name: &str, epoch: u64, after: u64, entries: Vec<Entry>) -> ReadingsCommitted {
    let through = entries.last().map_or(Seq(after), Entry::seq);
    let batch =
        HemBatch { hem: hem(name), epoch: Epoch(epoch), after: Seq(after), through, entries };
    ReadingsCommitted { microgrid: fontana(), at: START, batches: Arc::new(vec![batch]) }
}

/// A board that knows the home `a`, connected at the start with epoch 1.
fn board() -> Board {
    let mut board = Board::new(StatusSettings::default());
    board.accept(Fact::Connected(&connected("a", 1, START)), START);
    board
}

fn status(board: &mut Board, now: Timestamp) -> Arc<HemStatus> {
    board.status(&hem("a"), now).unwrap()
}

fn told(effects: &[Effect]) -> Vec<&HemStatusChanged> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell(change) => Some(change),
            _ => None,
        })
        .collect()
}

fn store(board: &mut Board, after: u64, entries: Vec<Entry>, now: Timestamp) -> Vec<Effect> {
    board.accept(Fact::Committed(&committed("a", 1, after, entries)), now)
}

#[test]
fn a_hem_is_online_while_its_socket_is_open_and_active_for_a_minute_after_a_reading() {
    let mut board = board();
    assert!(status(&mut board, at(0)).online);
    assert!(!status(&mut board, at(0)).active);
    store(&mut board, 0, vec![reading(1, at(1), at(1), balanced(500.0))], at(1));
    assert!(status(&mut board, at(60)).active);
    assert!(!status(&mut board, at(61)).active);
    assert!(status(&mut board, at(61)).online);
    board.accept(Fact::Disconnected(&disconnected("a", 1, at(62))), at(62));
    let last = status(&mut board, at(62));
    assert!(!last.online);
    assert_eq!(last.last_seen, Some(at(62)));
    assert_eq!(last.mark, Seq(1));
}

#[test]
fn what_a_replaced_connection_still_says_is_ignored() {
    let mut board = board();
    board.accept(Fact::Connected(&connected("a", 2, at(1))), at(1));
    board.accept(Fact::Disconnected(&disconnected("a", 1, at(2))), at(2));
    store(&mut board, 0, vec![reading(1, at(2), at(2), balanced(1.0))], at(2));
    let now = status(&mut board, at(2));
    assert!(now.online);
    assert_eq!(now.epoch, Epoch(2));
    assert!(now.nodes.is_empty(), "a commit with a lower epoch wrote nothing");
}

#[test]
fn a_connection_whose_end_is_told_before_its_beginning_is_over() {
    let mut board = board();
    board.accept(Fact::Disconnected(&disconnected("a", 2, at(5))), at(5));
    board.accept(Fact::Connected(&connected("a", 2, at(4))), at(5));
    assert!(!status(&mut board, at(5)).online);
}

#[test]
fn the_home_and_its_microgrid_have_totals() {
    let mut board = board();
    store(&mut board, 0, vec![reading(1, at(1), at(1), balanced(800.0))], at(1));
    let totals = status(&mut board, at(1)).totals;
    assert_eq!(totals.consumption_watts, Watts(800.0));
    assert_eq!(totals.generation_watts, Watts(300.0));
    assert_eq!(totals.import_watts, Watts(500.0));
    board.accept(Fact::Connected(&connected("b", 1, at(1))), at(1));
    let other = reading(1, at(1), at(1), balanced(100.0));
    board.accept(Fact::Committed(&committed("b", 1, 0, vec![other])), at(1));
    board.accept(Fact::Connected(&connected("silent", 1, at(1))), at(1));
    let microgrid = board.microgrid(&fontana(), at(2));
    assert_eq!((microgrid.known, microgrid.online, microgrid.active), (3, 3, 2));
    assert_eq!(microgrid.totals.consumption_watts, Watts(900.0));
    assert_eq!(microgrid.totals.import_watts, Watts(300.0), "b's export meets a's import");
    let later = board.microgrid(&fontana(), at(61));
    assert_eq!((later.active, later.totals.consumption_watts), (0, Watts(0.0)));
    let unknown = board.microgrid(&MicrogridId::new("nowhere").unwrap(), at(2));
    assert_eq!(unknown.known, 0);
}

#[test]
fn a_late_reading_changes_no_value() {
    let mut board = board();
    store(&mut board, 0, vec![reading(1, at(100), at(100), balanced(800.0))], at(100));
    store(&mut board, 1, vec![reading(2, at(50), at(101), balanced(10.0))], at(101));
    let now = status(&mut board, at(101));
    assert_eq!(now.nodes[2].latest.watts, Some(Watts(800.0)));
    assert_eq!(now.nodes[2].ts, at(100));
    assert!(now.active && now.flags.is_empty(), "back-fill is late, and nothing is wrong with it");
    assert_eq!(now.mark, Seq(2));
}

#[test]
fn a_clock_that_ran_ahead_is_flagged_and_does_not_freeze_the_values() {
    let mut board = board();
    let ahead = reading(1, at(3_600), at(1), balanced(800.0));
    store(&mut board, 0, vec![ahead], at(1));
    assert_eq!(status(&mut board, at(1)).flags, [QualityFlag::ClockSkew]);
    store(&mut board, 1, vec![reading(2, at(2), at(2), balanced(10.0))], at(2));
    let now = status(&mut board, at(2));
    assert_eq!(now.nodes[2].latest.watts, Some(Watts(10.0)));
    assert!(now.flags.is_empty(), "the clock was set right");
}

#[test]
fn a_latest_shows_the_clock_in_both_directions_and_counts_for_active() {
    let mut board = board();
    let latest = |taken, received| LatestSeen {
        hem: hem("a"),
        microgrid: fontana(),
        epoch: Epoch(1),
        ts: taken,
        received,
        nodes: balanced(700.0),
    };
    board.accept(Fact::Latest(&latest(at(10), at(10))), at(10));
    let now = status(&mut board, at(10));
    assert!(now.active && now.flags.is_empty());
    assert_eq!(now.totals.consumption_watts, Watts(700.0));
    assert_eq!(now.mark, Seq::NONE);
    board.accept(Fact::Latest(&latest(at(10), at(200))), at(200));
    assert_eq!(status(&mut board, at(200)).flags, [QualityFlag::ClockSkew]);
    board.accept(Fact::Latest(&latest(at(201), at(201))), at(201));
    assert!(status(&mut board, at(201)).flags.is_empty());
    board.accept(Fact::Latest(&latest(at(270), at(202))), at(202));
    assert_eq!(status(&mut board, at(202)).flags, [QualityFlag::ClockSkew]);
}

#[test]
fn nodes_that_do_not_sum_to_zero_are_flagged_until_they_do() {
    let mut board = board();
    let off = vec![watts(0, -500.0), watts(1, -300.0), watts(2, 700.0)];
    store(&mut board, 0, vec![reading(1, at(1), at(1), off)], at(1));
    assert_eq!(status(&mut board, at(1)).flags, [QualityFlag::NotConserved]);
    let partial = vec![watts(2, 800.0)];
    store(&mut board, 1, vec![reading(2, at(2), at(2), partial)], at(2));
    assert_eq!(status(&mut board, at(2)).flags, [QualityFlag::NotConserved], "shows nothing new");
    store(&mut board, 2, vec![reading(3, at(3), at(3), balanced(840.0))], at(3));
    assert!(status(&mut board, at(3)).flags.is_empty());
    // 60 W of 10 kW is what meters are off by.
    let nearly = vec![watts(0, -4_700.0), watts(1, -300.0), watts(2, 5_060.0)];
    store(&mut board, 3, vec![reading(4, at(4), at(4), nearly)], at(4));
    assert!(status(&mut board, at(4)).flags.is_empty());
}

#[test]
fn a_node_that_was_never_declared_is_flagged_shown_and_in_no_total() {
    let mut board = board();
    let mut nodes = balanced(800.0);
    nodes.push(watts(9, 5_000.0));
    store(&mut board, 0, vec![reading(1, at(1), at(1), nodes)], at(1));
    let now = status(&mut board, at(1));
    assert_eq!(now.flags, [QualityFlag::UndeclaredNode]);
    assert_eq!(now.totals.consumption_watts, Watts(800.0));
    assert_eq!(now.nodes[3].latest.watts, Some(Watts(5_000.0)));
    assert!(now.nodes[3].declaration.is_none() && now.nodes[2].declaration.is_some());
}

fn counter(seq: u64, second: i64, wh: f64) -> Entry {
    let mut nodes = balanced(0.0);
    nodes[2].wh_in = Some(WattHours(wh));
    reading(seq, at(second), at(second), nodes)
}

#[test]
fn a_counter_that_goes_back_is_flagged_for_an_hour_wherever_in_a_batch_it_did() {
    let mut board = board();
    store(&mut board, 0, vec![counter(1, 1, 500.0), counter(2, 2, 500.4)], at(2));
    assert!(status(&mut board, at(2)).flags.is_empty());
    let batch = vec![counter(3, 3, 501.0), counter(4, 4, 2.0), counter(5, 5, 3.0)];
    store(&mut board, 2, batch, at(5));
    assert_eq!(status(&mut board, at(5)).flags, [QualityFlag::CounterReset]);
    assert!(status(&mut board, at(3_604)).flags.contains(&QualityFlag::CounterReset));
    assert!(!status(&mut board, at(3_605)).flags.contains(&QualityFlag::CounterReset));
}

#[test]
fn readings_that_come_twice_reset_no_counter() {
    let mut board = board();
    store(&mut board, 0, vec![counter(1, 1, 5.0), counter(2, 2, 600.0)], at(2));
    store(&mut board, 0, vec![counter(1, 1, 5.0), counter(2, 2, 600.0)], at(3));
    let now = status(&mut board, at(3));
    assert!(now.flags.is_empty());
    assert_eq!(now.missing, 0);
}

#[test]
fn numbers_that_never_came_are_counted_and_flagged() {
    let mut board = board();
    let heard = |missing, second| HemHeard {
        hem: hem("a"),
        microgrid: fontana(),
        epoch: Epoch(1),
        at: at(second),
        missing,
    };
    let refused = Refusal { seq: Seq(2), received: at(2), code: RefusalCode::BadTime };
    let batch = vec![reading(1, at(1), at(1), balanced(1.0)), Entry::Refused(refused)];
    store(&mut board, 0, batch, at(2));
    assert_eq!(status(&mut board, at(2)).missing, 0, "what was refused is not missing");
    store(&mut board, 2, vec![reading(6, at(3), at(3), balanced(1.0))], at(3));
    let now = status(&mut board, at(3));
    assert_eq!((now.missing, now.flags.as_slice()), (3, [QualityFlag::Gap].as_slice()));
    board.accept(Fact::Heard(&heard(3, 4)), at(4));
    assert_eq!(status(&mut board, at(4)).missing, 3, "the socket counts the same numbers");
    board.accept(Fact::Heard(&heard(5, 5)), at(5));
    assert_eq!(status(&mut board, at(5)).missing, 5);
    // A commit of which the board did not hear is no gap of the HEM's.
    store(&mut board, 50, vec![reading(51, at(6), at(6), balanced(1.0))], at(6));
    assert_eq!(status(&mut board, at(6)).missing, 5);
    board.accept(Fact::Connected(&connected("a", 2, at(7))), at(7));
    let next = committed("a", 2, 51, vec![reading(54, at(8), at(8), balanced(1.0))]);
    board.accept(Fact::Committed(&next), at(8));
    assert_eq!(status(&mut board, at(8)).missing, 7);
}

#[test]
fn an_open_socket_without_readings_is_a_gap_after_three_usual_intervals() {
    let mut board = board();
    let every_minute =
        (1..=5).map(|n: i64| reading(n.unsigned_abs(), at(n * 60), at(n * 60), balanced(1.0)));
    store(&mut board, 0, every_minute.collect(), at(300));
    assert!(status(&mut board, at(479)).flags.is_empty());
    assert_eq!(status(&mut board, at(480)).flags, [QualityFlag::Gap]);
}

#[test]
fn a_home_that_was_off_for_the_night_has_no_gap_but_one_that_lost_an_hour_has() {
    let mut board = board();
    store(&mut board, 0, vec![reading(1, at(1), at(1), balanced(1.0))], at(1));
    board.accept(Fact::Disconnected(&disconnected("a", 1, at(2))), at(2));
    board.accept(Fact::Connected(&connected("a", 2, at(30_000))), at(30_000));
    let morning = committed("a", 2, 1, vec![reading(2, at(30_001), at(30_001), balanced(1.0))]);
    board.accept(Fact::Committed(&morning), at(30_001));
    assert!(status(&mut board, at(30_001)).flags.is_empty());
    let noon = committed("a", 2, 2, vec![reading(3, at(33_601), at(33_601), balanced(1.0))]);
    board.accept(Fact::Committed(&noon), at(33_601));
    assert_eq!(status(&mut board, at(33_601)).flags, [QualityFlag::Gap]);
}

#[test]
fn changes_are_told_once_a_second_and_transitions_at_once() {
    let mut board = Board::new(StatusSettings::default());
    let effects = board.accept(Fact::Connected(&connected("a", 1, START)), START);
    assert_eq!(told(&effects).len(), 1);
    let millis = |ms: i64| Timestamp(START.0 + ms);
    let tenth = |n: u64, board: &mut Board| {
        let now = millis(i64::try_from(n).unwrap() * 100);
        let entry = reading(n, now, now, balanced(f64::from(u32::try_from(n).unwrap())));
        let effects = store(board, n - 1, vec![entry], now);
        told(&effects).len() + told(&board.tick(now, 10).0).len()
    };
    assert_eq!(tenth(1, &mut board), 1, "it became active");
    let in_ten_seconds: usize = (2..=105).map(|n| tenth(n, &mut board)).sum();
    assert_eq!(in_ten_seconds, 10);
    // The last change is told too, though nothing follows it.
    let (effects, _) = board.tick(millis(11_200), 10);
    assert_eq!(told(&effects)[0].status.nodes[2].latest.watts, Some(Watts(105.0)));
    assert!(told(&board.tick(millis(20_000), 10).0).is_empty());
    let (effects, _) = board.tick(millis(71_000), 10);
    assert!(told(&effects).iter().any(|change| !change.status.active));
}

#[test]
fn a_hem_that_is_first_heard_of_is_looked_up_and_old_values_do_not_win() {
    let mut board = Board::new(StatusSettings::default());
    let effects = board.accept(Fact::Connected(&connected("a", 7, at(0))), at(0));
    assert!(effects.contains(&Effect::LookUp(hem("a"))));
    let fresh = committed("a", 7, 900, vec![reading(901, at(1), at(1), vec![watts(2, 5.0)])]);
    let effects = board.accept(Fact::Committed(&fresh), at(1));
    assert!(!effects.contains(&Effect::LookUp(hem("a"))));
    let Entry::Reading(stored) = reading(900, at(-90), at(-90), balanced(400.0)) else { panic!() };
    board.accept(Fact::Found(&hem("a"), &stored), at(2));
    let now = status(&mut board, at(2));
    assert_eq!(now.nodes[1].latest.watts, Some(Watts(-300.0)));
    assert_eq!(now.nodes[2].latest.watts, Some(Watts(5.0)));
    assert_eq!(now.mark, Seq(901));
}

#[test]
fn a_hem_whose_connection_was_missed_counts_as_online_while_it_is_heard() {
    let mut board = Board::new(StatusSettings::default());
    let fresh = committed("a", 7, 900, vec![reading(901, at(1), at(1), balanced(5.0))]);
    let effects = board.accept(Fact::Committed(&fresh), at(1));
    assert!(effects.contains(&Effect::AskRoster(fontana())));
    let now = status(&mut board, at(1));
    assert!(now.online);
    assert_eq!(now.totals.consumption_watts, Watts(0.0), "nobody knows what its nodes are");
    assert!(now.flags.is_empty());
    let profile = MicrogridProfile { id: fontana(), time_zone: "UTC".to_owned() };
    let limits = PowerLimits::default();
    let hems = vec![RosterHem { hem: hem("a"), nodes: home(), limits }];
    let roster = MicrogridRoster { profile, limits, hems };
    board.accept(Fact::Roster(&roster), at(2));
    assert_eq!(status(&mut board, at(2)).totals.consumption_watts, Watts(5.0));
    assert!(!status(&mut board, at(61)).online, "nothing confirmed it");
}

#[test]
fn a_hem_that_was_removed_comes_back_only_with_a_new_connection() {
    let mut board = board();
    board.accept(Fact::Removed(&hem("a")), at(1));
    assert!(board.status(&hem("a"), at(1)).is_none());
    store(&mut board, 0, vec![reading(1, at(1), at(1), balanced(1.0))], at(2));
    assert!(board.status(&hem("a"), at(2)).is_none());
    assert!(board.tick(at(100), 10).0.is_empty());
    assert_eq!(board.microgrid(&fontana(), at(2)).known, 0);
    board.accept(Fact::Connected(&connected("a", 2, at(3))), at(3));
    assert!(board.status(&hem("a"), at(3)).is_some());
}

#[test]
fn a_full_board_forgets_who_has_been_offline_the_longest() {
    let mut board = Board::new(StatusSettings { max_hems: 3, ..StatusSettings::default() });
    for (name, second) in [("a", 1), ("b", 2), ("c", 3)] {
        board.accept(Fact::Connected(&connected(name, 1, at(second))), at(second));
    }
    board.accept(Fact::Connected(&connected("d", 1, at(4))), at(4));
    assert!(board.status(&hem("d"), at(4)).is_none(), "all are online");
    board.accept(Fact::Disconnected(&disconnected("b", 1, at(5))), at(5));
    board.accept(Fact::Disconnected(&disconnected("a", 1, at(6))), at(6));
    board.accept(Fact::Connected(&connected("d", 1, at(7))), at(7));
    assert!(board.status(&hem("b"), at(7)).is_none());
    assert!(board.status(&hem("a"), at(7)).is_some() && board.status(&hem("d"), at(7)).is_some());
    assert_eq!((board.len(), board.forgotten()), (3, 1));
}

#[test]
fn a_list_is_paged_by_hem() {
    let mut board = Board::new(StatusSettings::default());
    for name in ["c", "a", "d", "b"] {
        board.accept(Fact::Connected(&connected(name, 1, START)), START);
    }
    let mut stranger = connected("b2", 1, START);
    stranger.microgrid = MicrogridId::new("elsewhere").unwrap();
    board.accept(Fact::Connected(&stranger), START);
    let mut names = |question: ListHemStatuses| {
        let page = board.page(question, START);
        let names: Vec<_> = page.items.iter().map(|item| item.hem.to_string()).collect();
        (names.join(" "), page.next.map(|next| next.to_string()))
    };
    let all = ListHemStatuses { limit: 100, ..ListHemStatuses::default() };
    assert_eq!(names(all.clone()), ("a b b2 c d".to_owned(), None));
    let two = ListHemStatuses { limit: 2, microgrid: Some(fontana()), ..all.clone() };
    assert_eq!(names(two.clone()), ("a b".to_owned(), Some("b".to_owned())));
    let rest = ListHemStatuses { after: Some(hem("b")), ..two };
    assert_eq!(names(rest), ("c d".to_owned(), None));
    let some = vec![hem("d"), hem("unknown"), hem("b2"), hem("a"), hem("d")];
    let asked = ListHemStatuses { hems: Some(some), ..all };
    assert_eq!(names(asked.clone()), ("a b2 d".to_owned(), None));
    let ours = ListHemStatuses { microgrid: Some(fontana()), limit: 1, ..asked };
    assert_eq!(names(ours), ("a".to_owned(), Some("a".to_owned())));
}

#[test]
fn a_hem_that_moves_to_another_microgrid_counts_there() {
    let mut board = board();
    let mut moved = connected("a", 2, at(1));
    moved.microgrid = MicrogridId::new("elsewhere").unwrap();
    board.accept(Fact::Connected(&moved), at(1));
    assert_eq!(board.microgrid(&fontana(), at(1)).known, 0);
    assert_eq!(board.microgrid(&moved.microgrid, at(1)).known, 1);
    store(&mut board, 0, vec![reading(1, at(2), at(2), balanced(1.0))], at(2));
    assert_eq!(board.microgrid(&moved.microgrid, at(2)).known, 1, "a late fact moves nothing");
    assert_eq!(status(&mut board, at(2)).microgrid, moved.microgrid);
}

proptest! {
    /// Whatever the order in which readings arrive, each node shows the value that was taken last.
    #[test]
    fn an_older_value_never_overwrites_a_newer_one(
        taken in proptest::collection::vec((0..1_000_i64, 0..3_u8, 0..100_u32), 1..60)
    ) {
        let mut board = board();
        let arrived = at(2_000);
        for (index, (second, number, value)) in taken.iter().enumerate() {
            let seq = u64::try_from(index).unwrap() + 1;
            let nodes = vec![watts(*number, f64::from(*value))];
            store(&mut board, seq - 1, vec![reading(seq, at(*second), arrived, nodes)], arrived);
        }
        let now = status(&mut board, arrived);
        for number in 0..3 {
            // Of two taken at the same time the one with the higher number counts.
            let newest = taken.iter().filter(|(_, node, _)| *node == number).max_by_key(|(second, _, _)| second);
            let shown = now.nodes.iter().find(|node| node.latest.node == NodeId(number));
            prop_assert_eq!(shown.is_some(), newest.is_some());
            if let (Some(shown), Some((second, _, value))) = (shown, newest) {
                prop_assert_eq!(shown.ts, at(*second));
                prop_assert_eq!(shown.latest.watts, Some(Watts(f64::from(*value))));
            }
        }
    }

    /// Facts in any order and of any connection: what the board says agrees with itself, and the
    /// newest change that it told is how things stand.
    #[test]
    fn what_is_told_is_how_things_stand(
        facts in proptest::collection::vec((0..5_u8, 0..4_u64, 0..90_i64), 1..60)
    ) {
        let mut board = Board::new(StatusSettings::default());
        let mut now = START;
        let mut last_told = None;
        let mut highest = Epoch(0);
        let mut through = 0;
        for (kind, epoch, pause) in facts {
            now = now.plus(Duration::from_secs(pause.unsigned_abs()));
            let effects = match kind {
                0 => board.accept(Fact::Connected(&connected("a", epoch, now)), now),
                1 => board.accept(Fact::Disconnected(&disconnected("a", epoch, now)), now),
                2 => {
                    through += 1;
                    let entry = reading(through, now, now, balanced(1.0));
                    board.accept(Fact::Committed(&committed("a", epoch, through - 1, vec![entry])), now)
                }
                3 => board.accept(Fact::Heard(&HemHeard {
                    hem: hem("a"), microgrid: fontana(), epoch: Epoch(epoch), at: now, missing: 0,
                }), now),
                _ => board.tick(now, 10).0,
            };
            last_told = told(&effects).last().map(|change| (*change).clone()).or(last_told);
            if board.status(&hem("a"), now).is_some() && kind != 4 {
                highest = highest.max(Epoch(epoch));
            }
        }
        let (effects, _) = board.tick(now.plus(Duration::from_secs(2)), 10);
        last_told = told(&effects).last().map(|change| (*change).clone()).or(last_told);
        if let Some(shown) = board.status(&hem("a"), now.plus(Duration::from_secs(2))) {
            let told = last_told.unwrap().status;
            prop_assert_eq!(shown.epoch, highest);
            prop_assert_eq!((shown.online, shown.active, &shown.flags), (told.online, told.active, &told.flags));
            prop_assert_eq!(&shown.nodes, &told.nodes);
            prop_assert_eq!(shown.last_seen, told.last_seen);
        }
    }
}

#[test]
fn a_value_that_stands_still_is_flagged_until_it_moves_and_a_spike_for_an_hour() {
    let mut board = board();
    let moving = |second: u32| f64::from(second % 7) * 10.0;
    let home =
        |second: u32, pv: f64| vec![watts(0, 1_000.0), watts(1, pv), watts(2, moving(second))];
    for second in 1..1_900_u32 {
        let (seq, moment) = (u64::from(second), at(i64::from(second)));
        let entry = reading(seq, moment, moment, home(second, -900.0 - moving(second)));
        store(&mut board, seq - 1, vec![entry], moment);
    }
    let flags = |board: &mut Board, second: i64| status(board, at(second)).flags.clone();
    assert!(flags(&mut board, 1_900).contains(&QualityFlag::Frozen), "the grid shows 1,000 W");
    let entry = reading(1_900, at(1_900), at(1_900), vec![watts(0, 990.0), watts(2, 900_000.0)]);
    store(&mut board, 1_899, vec![entry], at(1_900));
    assert!(!flags(&mut board, 1_900).contains(&QualityFlag::Frozen), "it moves again");
    assert!(!flags(&mut board, 1_900).contains(&QualityFlag::Spike), "it is not over yet");
    let entry = reading(1_901, at(1_901), at(1_901), vec![watts(2, 50.0)]);
    store(&mut board, 1_900, vec![entry], at(1_901));
    assert!(flags(&mut board, 1_902).contains(&QualityFlag::Spike));
    assert!(!flags(&mut board, 1_902 + 3_600).contains(&QualityFlag::Spike));
}

#[test]
fn hems_of_a_process_that_is_gone_are_offline_until_they_are_heard_again() {
    let mut board = Board::new(StatusSettings::default());
    let process = |name: &str| ProcessId::new(name).unwrap();
    for (name, place) in [("h1", "a"), ("h2", "b")] {
        let fact = HemConnected { process: Some(process(place)), ..connected(name, 1, at(0)) };
        board.accept(Fact::Connected(&fact), at(0));
    }
    let is_online = |board: &mut Board, name: &str| board.status(&hem(name), at(1)).unwrap().online;
    let effects = board.accept(Fact::Live(&[process("b")]), at(1));
    assert!(!is_online(&mut board, "h1") && is_online(&mut board, "h2"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(_))), "{effects:?}");
    // The process had only slept: its HEM never left.
    let heard = HemConnected { process: Some(process("a")), ..connected("h1", 1, at(2)) };
    board.accept(Fact::Connected(&heard), at(2));
    assert!(is_online(&mut board, "h1"));
}
