//! Whatever a HEM sends and whatever the store does, in whatever order: nothing panics, nothing is
//! acknowledged before it is durable, nothing is handed over twice or out of order.

use std::time::Duration;

use memcloud_domain::Seq;
use memcloud_domain::messages::Durability;
use proptest::prelude::*;

use super::script::{Script, WALL, acks, config, reading};
use crate::session::{Event, StandDownReason, Wish};

/// Something that happens in a random life.
#[derive(Debug, Clone)]
enum Step {
    Readings(Vec<u64>),
    Batch(Vec<u64>),
    Bytes(Vec<u8>),
    Line(&'static str),
    /// The historian commits so many of the numbers that are open.
    Commit(u64),
    Room(bool),
    HandedOver,
    Pass(u64),
    Hears,
    Healthy(bool),
    Ended,
    Fenced,
    ShuttingDown,
    StoodDown,
}

fn numbers() -> impl Strategy<Value = Vec<u64>> {
    let near = prop::collection::vec(0_u64..60, 1..12);
    let far = prop::collection::vec(prop_oneof![0_u64..60, 1_u64 << 40..1 << 53], 1..4);
    prop_oneof![8 => near.prop_map(|mut seqs| { seqs.sort_unstable(); seqs }), 1 => far]
}

fn step() -> impl Strategy<Value = Step> {
    let lines = prop::sample::select(vec![
        r#"{"type":"ping"}"#,
        r#"{"type":"latest","age_ms":1,"nodes":[{"node":2,"watts":1}]}"#,
        r#"{"type":"event","seq":30,"age_ms":4,"kind":"booted"}"#,
        r#"{"type":"reading","seq":31,"ts":1,"nodes":[]}"#,
        r#"{"type":"reading","seq":32,"nodes":7}"#,
        r#"{"type":"batch","readings":[{"seq":9},{"seq":33,"age_ms":1,"nodes":[]},{}]}"#,
        r#"{"type":"result","command":"x","outcome":"done"}"#,
        r#"{"type":"hello","protocol":1,"hem":"home-1","key":"k"}"#,
        r#"{"type":"?"}"#,
        "{\"seq\":1e999}",
    ]);
    prop_oneof![
        10 => numbers().prop_map(Step::Readings),
        4 => numbers().prop_map(Step::Batch),
        2 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Step::Bytes),
        6 => lines.prop_map(Step::Line),
        8 => (0_u64..20).prop_map(Step::Commit),
        2 => any::<bool>().prop_map(Step::Room),
        3 => Just(Step::HandedOver),
        4 => (1_u64..8_000).prop_map(Step::Pass),
        4 => Just(Step::Hears),
        1 => any::<bool>().prop_map(Step::Healthy),
        1 => prop::sample::select(vec![
            Step::Ended, Step::Fenced, Step::ShuttingDown, Step::StoodDown,
        ]),
    ]
}

fn batch(seqs: &[u64]) -> String {
    let item = |seq: &u64| format!(r#"{{"seq":{seq},"ts":{WALL},"nodes":[]}}"#);
    let items: Vec<String> = seqs.iter().map(item).collect();
    format!(r#"{{"type":"batch","readings":[{}]}}"#, items.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_life_breaks_the_promises(
        steps in prop::collection::vec(step(), 1..120),
        offset in 0_u64..1_000,
        max_in_flight in 1_u32..40,
        read_pause in prop_oneof![3 => Just(0_u64), 1 => Just(10)],
    ) {
        let config = crate::HemConfig {
            max_in_flight,
            max_rate: 200,
            max_batch: 8,
            max_frame: 4_096,
            max_buffered_bytes: 20_000,
            max_gap: 1 << 30,
            read_pause: Duration::from_millis(read_pause),
            ..config()
        };
        let mut script = Script::welcomed(config, offset);
        let mut durable = offset;
        let mut acked = offset;
        let mut base = offset;
        for step in steps {
            let may_read = script.wish() == Wish::Read;
            match step {
                Step::Readings(seqs) if may_read => {
                    let seqs: Vec<u64> = seqs.iter().map(|seq| (base + seq).min(Seq::MAX.0)).collect();
                    script.say(&seqs.iter().map(|seq| reading(*seq)).collect::<Vec<_>>().join("\n"));
                    base = script.stored.last().map_or(base, |entry| entry.seq().0);
                }
                Step::Batch(seqs) if may_read => {
                    let seqs: Vec<u64> = seqs.iter().map(|seq| (base + seq).min(Seq::MAX.0)).collect();
                    script.say(&batch(&seqs));
                }
                Step::Bytes(bytes) if may_read => script.happens(Event::Received(&bytes)),
                Step::Line(line) if may_read => script.say(line),
                Step::Readings(_) | Step::Batch(_) | Step::Bytes(_) | Step::Line(_) => {}
                Step::Commit(count) => {
                    let open: Vec<u64> =
                        script.stored_seqs().into_iter().filter(|seq| *seq > durable).collect();
                    let index = usize::try_from(count).unwrap().min(open.len());
                    if let Some(seq) = index.checked_sub(1).and_then(|index| open.get(index)) {
                        durable = *seq;
                        script.commits(durable);
                    }
                }
                Step::Room(has_room) => script.has_room = has_room,
                Step::HandedOver => script.happens(Event::HandedOver),
                Step::Pass(millis) => script.pass(Duration::from_millis(millis)),
                Step::Hears => {
                    for ack in acks(&script.hears()) {
                        prop_assert!(ack > acked, "acks ascend");
                        prop_assert!(ack <= durable, "acknowledged {ack}, durable {durable}");
                        acked = ack;
                    }
                }
                Step::Healthy(healthy) => script.now.store_is_healthy = healthy,
                Step::Ended => script.happens(Event::Ended),
                Step::Fenced => {
                    let through = Seq(durable);
                    script.happens(Event::Durable(Durability { through, fenced: true }));
                }
                Step::ShuttingDown => script.happens(Event::ShuttingDown),
                Step::StoodDown => script.happens(Event::StoodDown(StandDownReason::Replaced)),
            }
            let seqs = script.stored_seqs();
            prop_assert!(seqs.first().is_none_or(|first| *first > offset), "above the mark");
            prop_assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
        }
        // Whatever state it is in, silence and time bring it to an end, and nothing stays counted.
        script.happens(Event::HandedOver);
        script.now.store_is_healthy = true;
        script.pass(Duration::from_secs(200));
        prop_assert_eq!(script.wish(), Wish::Stop);
        drop(script.session);
        prop_assert_eq!(script.metrics.buffered_bytes.get(), 0);
    }
}
