//! Sessions and commits.

use memcloud_domain::{Entry, Epoch, MicrogridId, Quantity, Seq, SessionOpened};

use super::*;

pub(crate) fn each_session_raises_the_epoch_and_keeps_the_mark<P: Place>() {
    let house = House::<P>::new();
    assert_eq!(house.open("h"), SessionOpened { epoch: Epoch(1), mark: Seq(0) });
    house.commit("h", 1, vec![reading(4, T0, 1.0, None)]);
    let both = house.store.open_sessions(&[session("h"), session("other"), session("h")]).unwrap();
    let expected = [(2, 4), (1, 0), (3, 4)]
        .map(|(epoch, mark)| SessionOpened { epoch: Epoch(epoch), mark: Seq(mark) });
    assert_eq!(both, expected);
}

pub(crate) fn what_is_sent_again_is_a_replay_and_stored_once_whether_hot_or_sealed<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    let entries: Vec<Entry> =
        (1..=40).map(|seq| reading(seq, T0 + seq.cast_signed() * 1_000, 1.0, None)).collect();
    house.commit("h", 1, entries.clone());
    for _ in 0..2 {
        let again = house.commit("h", 1, entries.clone());
        assert_eq!(again, stored(40, 40));
        assert_eq!(house.after("h", 0, 100).entries, entries);
        house.upkeep(UpkeepTask::Seal, T0);
    }
    let figures = house.store.figures().unwrap();
    assert_eq!((figures.hot_readings, figures.sealed_readings, figures.chunks), (10, 30, 3));
}

pub(crate) fn a_lower_epoch_writes_nothing<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    house.open("h");
    assert_eq!(house.commit("h", 1, vec![reading(1, T0, 1.0, None)]), CommitOutcome::Fenced);
    assert_eq!(house.commit("stranger", 1, vec![refused(1)]), CommitOutcome::Fenced);
    assert_eq!(house.after("h", 0, 10).entries, []);
    assert_eq!(house.open("h").mark, Seq(0));
}

pub(crate) fn readings_events_and_refusals_come_back_in_one_order_with_a_chain_of_marks<
    P: Place,
>() {
    let house = House::<P>::new();
    house.open("h");
    let entries: Vec<Entry> = (1..=60)
        .filter(|seq| seq % 11 != 0)
        .map(|seq| match seq % 5 {
            0 => event(seq, T0),
            1 => refused(seq),
            _ => reading(seq, T0 + seq.cast_signed(), 2.0, None),
        })
        .collect();
    house.commit("h", 1, entries.clone());
    house.upkeep(UpkeepTask::Seal, T0);
    let (mut found, mut after) = (Vec::new(), 0);
    while after < 60 {
        let batch = house.after("h", after, 8);
        assert_eq!(batch.after, Seq(after));
        assert!(batch.entries.len() <= 8 && batch.through > batch.after);
        found.extend(batch.entries);
        after = batch.through.0;
    }
    assert_eq!(found, entries);
    assert_eq!(house.after("h", 60, 8).through, Seq(60));
}

pub(crate) fn everything_is_there_after_opening_the_store_again<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    let entries: Vec<Entry> = (1..=30).map(|seq| reading(seq, T0, 1.0, None)).collect();
    house.commit("h", 1, entries.clone());
    house.upkeep(UpkeepTask::Seal, T0);
    let house = house.opened_again();
    assert_eq!(house.after("h", 0, 100).entries, entries);
    assert_eq!(house.open("h"), SessionOpened { epoch: Epoch(2), mark: Seq(30) });
    // A minute that was dirty before is still rolled up with all that came after.
    house.commit("h", 2, vec![reading(31, T0, 32.0, None)]);
    house.roll_up();
    assert_eq!(house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC).points[0].mean, 2.0);
}

pub(crate) fn a_replay_that_overlaps_a_run_stores_only_what_is_above_it<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    assert_eq!(house.commit("h", 1, (5..=12).map(at).collect()), stored(8, 12));
    assert_eq!(house.commit("h", 1, (1..=12).map(at).collect()), stored(12, 12));
    let expected: Vec<Entry> = (1..=12).map(at).collect();
    assert_eq!(house.after("h", 0, 100).entries, expected);
    assert_eq!(house.store.figures().unwrap().hot_readings, 12);
}

pub(crate) fn a_hem_that_moved_is_stored_for_its_new_microgrid<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    house.commit("h", 1, vec![at(1)]);
    let microgrid = MicrogridId::new("other").unwrap();
    let moved = NewSession { hem: hem("h"), microgrid: microgrid.clone() };
    house.store.open_sessions(&[moved]).unwrap();
    let outcome = house.commit("h", 2, vec![at(2)]);
    assert_eq!(outcome, CommitOutcome::Stored { microgrid, after: Seq(1), through: Seq(2) });
}

pub(crate) fn marks_are_told_by_id_and_by_microgrid<P: Place>() {
    let house = House::<P>::new();
    house.open("b");
    let elsewhere = MicrogridId::new("elsewhere").unwrap();
    let other = NewSession { hem: hem("a"), microgrid: elsewhere.clone() };
    house.store.open_sessions(&[other]).unwrap();
    house.commit("b", 1, vec![at(3)]);
    let told = |microgrid: Option<&MicrogridId>| {
        let marks = house.store.marks(microgrid).unwrap();
        let told = marks.into_iter().map(|one| (one.hem.to_string(), one.mark.0, one.epoch.0));
        told.collect::<Vec<(String, u64, u64)>>()
    };
    let (a, b) = (("a".to_owned(), 0, 1), ("b".to_owned(), 3, 1));
    assert_eq!(told(None), [a.clone(), b.clone()]);
    assert_eq!(told(Some(&elsewhere)), [a]);
    assert_eq!(told(Some(&fontana())), [b]);
}
