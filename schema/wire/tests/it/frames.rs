//! Every frame comes back as it was sent.

use memcloud_domain::{
    Amps, DefaultState, HemId, Hertz, MicrogridId, NodeAction, NodeDeclaration, NodeId, NodeKind,
    NodeReading, RefusalCode, Secret, Seq, StateOfCharge, Timestamp, Vars, Volts, WattHours, Watts,
};
use memcloud_wire::{
    Ack, CloudError, CloudFrame, Command, CommandAction, CommandResult, ErrorCode, Event,
    FrameFault, Greeting, Hello, HemFrame, Instruction, Latest, MAX_BATCH, Outcome, Refused,
    Sample, SampleTime, Unstorable, Welcome,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![(1..=Seq::MAX.0).prop_map(Seq), Just(Seq::MAX), Just(Seq(1))]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (-(1_i64 << 53) + 1..1 << 53).prop_map(Timestamp)
}

fn time() -> impl Strategy<Value = SampleTime> {
    prop_oneof![timestamp().prop_map(SampleTime::At), (0_u64..1 << 53).prop_map(SampleTime::Age)]
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has finite numbers only", |value| value.is_finite())
}

fn node_reading(node: u8) -> impl Strategy<Value = NodeReading> {
    let power = (of(finite()), of(finite()), of(finite()), of(finite()), of(finite()));
    let rest = (of(finite()), of(finite()), of(0.0..=1.0), any::<Option<bool>>());
    (power, rest).prop_map(move |((watts, volts, amps, vars, hertz), (wh_in, wh_out, soc, on))| {
        NodeReading {
            node: NodeId(node),
            watts: watts.map(Watts),
            volts: volts.map(Volts),
            amps: amps.map(Amps),
            vars: vars.map(Vars),
            hertz: hertz.map(Hertz),
            wh_in: wh_in.map(|energy| WattHours(energy.abs())),
            wh_out: wh_out.map(|energy| WattHours(energy.abs())),
            soc: soc.map(StateOfCharge),
            on,
        }
    })
}

fn nodes() -> impl Strategy<Value = Vec<NodeReading>> {
    prop::collection::btree_set(any::<u8>(), 0..10)
        .prop_flat_map(|nodes| nodes.into_iter().map(node_reading).collect::<Vec<_>>())
}

fn sample() -> impl Strategy<Value = Sample> {
    (seq(), time(), nodes()).prop_map(|(seq, time, nodes)| Sample { seq, time, nodes })
}

fn event() -> impl Strategy<Value = Event> {
    let place = (of(any::<u8>()), any::<Option<bool>>(), of(finite()), of(timestamp()));
    (seq(), time(), ".{1,64}", place, of(".{0,200}")).prop_map(
        |(seq, time, kind, (node, on, watts, until), text)| Event {
            seq,
            time,
            kind,
            node: node.map(NodeId),
            on,
            watts: watts.map(Watts),
            until,
            text,
        },
    )
}

fn hem_id() -> impl Strategy<Value = HemId> {
    "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("an id", |text| HemId::new(&text).ok())
}

fn declaration(node: u8) -> impl Strategy<Value = NodeDeclaration> {
    let kinds =
        [NodeKind::Grid, NodeKind::Source, NodeKind::Storage, NodeKind::Load, NodeKind::Charger];
    let actions = vec![
        NodeAction::Switch,
        NodeAction::SetPower,
        NodeAction::LimitPower,
        NodeAction::SetSchedule,
        NodeAction::SetPriority,
    ];
    let limits = (of(finite()), of((finite(), finite())), of(finite()));
    let care = (any::<Option<bool>>(), any::<Option<i32>>());
    let controls = of(prop::sample::subsequence(actions, 0..=5));
    let fallback = of((any::<Option<bool>>(), of(finite())));
    (".{0,60}", select(kinds.to_vec()), limits, care, controls, fallback).prop_map(
        move |(name, kind, (rated, range, capacity), (critical, priority), controls, fallback)| {
            NodeDeclaration {
                node: NodeId(node),
                name,
                kind,
                rated_watts: rated.map(Watts),
                min_watts: range.map(|(a, b)| Watts(a.min(b))),
                max_watts: range.map(|(a, b)| Watts(a.max(b))),
                capacity_wh: capacity.map(|energy| WattHours(energy.abs())),
                critical,
                priority,
                controls,
                default: fallback.map(|(on, watts)| DefaultState { on, watts: watts.map(Watts) }),
            }
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let declared = of(prop::collection::btree_set(any::<u8>(), 0..6)
        .prop_flat_map(|nodes| nodes.into_iter().map(declaration).collect::<Vec<_>>()));
    (hem_id(), of(".{0,80}"), of(".{0,80}"), of(".{0,80}"), declared).prop_map(
        |(hem, key, enrol, firmware, nodes)| Hello {
            protocol: 1,
            hem,
            key: key.map(Secret::new),
            enrol: enrol.map(Secret::new),
            firmware,
            nodes,
        },
    )
}

fn result() -> impl Strategy<Value = CommandResult> {
    (".{1,64}", select(&Outcome::ALL[..]), of(seq()), of(".{0,100}"))
        .prop_map(|(command, outcome, seq, reason)| CommandResult { command, outcome, seq, reason })
}

fn hem_frame() -> impl Strategy<Value = HemFrame> {
    prop_oneof![
        hello().prop_map(|hello| HemFrame::Hello(Box::new(hello))),
        sample().prop_map(HemFrame::Reading),
        vec(sample().prop_map(Ok), 0..5).prop_map(HemFrame::Batch),
        event().prop_map(HemFrame::Event),
        (time(), nodes()).prop_map(|(time, nodes)| HemFrame::Latest(Latest { time, nodes })),
        result().prop_map(HemFrame::Result),
        Just(HemFrame::Ping),
    ]
}

fn action() -> impl Strategy<Value = Instruction> {
    known_action().prop_map(Instruction::Known)
}

fn known_action() -> impl Strategy<Value = CommandAction> {
    prop_oneof![
        any::<bool>().prop_map(|on| CommandAction::Switch { on }),
        finite().prop_map(|watts| CommandAction::SetPower { watts: Watts(watts) }),
        finite().prop_map(|watts| CommandAction::LimitPower { watts: Watts(watts) }),
        (vec(timestamp(), 0..4), vec(timestamp(), 0..4))
            .prop_map(|(on_at, off_at)| CommandAction::SetSchedule { on_at, off_at }),
        any::<i32>().prop_map(|priority| CommandAction::SetPriority { priority }),
        any::<u32>().prop_map(|seconds| CommandAction::ReportEvery { seconds }),
        Just(CommandAction::Restart),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let span = 0_u64..1 << 53;
    (".{1,64}", span.clone(), of(any::<u8>()), action(), timestamp(), span.clone(), of(span))
        .prop_map(|(command, order, node, action, issued, expires_in_ms, lease_ms)| Command {
            command,
            order,
            node: node.map(NodeId),
            action,
            issued,
            expires_in_ms,
            lease_ms,
        })
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let limits = any::<(u32, u32, u32, u32)>();
    let microgrid =
        "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("an id", |text| MicrogridId::new(&text).ok());
    (hem_id(), microgrid, timestamp(), seq(), limits, of(".{0,80}")).prop_map(
        |(hem, microgrid, time, seq, (heartbeat_s, max_in_flight, max_batch, max_frame), key)| {
            Welcome {
                hem,
                microgrid,
                time,
                seq,
                heartbeat_s,
                max_in_flight,
                max_batch,
                max_frame,
                key: key.map(Secret::new),
            }
        },
    )
}

fn cloud_frame() -> impl Strategy<Value = CloudFrame> {
    let refusals = [
        RefusalCode::Malformed,
        RefusalCode::BadTime,
        RefusalCode::TooOld,
        RefusalCode::BatchTooLong,
    ];
    prop_oneof![
        welcome().prop_map(CloudFrame::Welcome),
        seq().prop_map(|seq| CloudFrame::Ack(Ack { seq })),
        (seq(), select(refusals.to_vec()), ".{0,80}")
            .prop_map(|(seq, code, text)| CloudFrame::Refused(Refused { seq, code, text })),
        command().prop_map(CloudFrame::Command),
        (select(&ErrorCode::ALL[..]), ".{0,80}", of(seq()), of(0_u64..1 << 53)).prop_map(
            |(code, text, seq, retry_after_ms)| CloudFrame::Error(CloudError {
                code,
                text,
                seq,
                retry_after_ms
            })
        ),
        Just(CloudFrame::Pong),
    ]
}

/// The one line of a frame, without its end.
fn line_of(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut line = Vec::new();
    encode(&mut line);
    assert_eq!(line.pop(), Some(b'\n'));
    assert!(!line.contains(&b'\n'), "a frame is one line");
    line
}

proptest! {
    #[test]
    fn a_hems_frame_comes_back_as_it_was_sent(frame in hem_frame()) {
        let line = line_of(|out| frame.encode(out));
        prop_assert_eq!(HemFrame::decode(&line, 500), Ok(frame));
    }

    #[test]
    fn a_clouds_frame_comes_back_as_it_was_sent(frame in cloud_frame()) {
        let line = line_of(|out| frame.encode(out));
        prop_assert_eq!(CloudFrame::decode(&line), Ok(frame));
    }

    #[test]
    fn a_greeting_is_the_hello_that_was_sent(hello in hello()) {
        let line = line_of(|out| HemFrame::Hello(Box::new(hello.clone())).encode(out));
        let greeting = Greeting::decode(&line).unwrap();
        prop_assert_eq!(greeting.hem, Ok(hello.hem));
        prop_assert_eq!(greeting.key, hello.key);
        prop_assert_eq!(greeting.enrol, hello.enrol);
        prop_assert_eq!(greeting.firmware, hello.firmware);
        prop_assert_eq!(greeting.nodes, Ok(hello.nodes));
    }

    #[test]
    fn the_order_of_fields_does_not_matter(sample in sample(), order in Just([0, 1, 2, 3]).prop_shuffle()) {
        let line = line_of(|out| HemFrame::Reading(sample.clone()).encode(out));
        let tree: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&line).unwrap();
        let fields: Vec<_> = tree.iter().collect();
        let shuffled: Vec<String> = order
            .iter()
            .map(|at| format!("{}:{}", serde_json::Value::from(fields[*at].0.as_str()), fields[*at].1))
            .collect();
        let again = format!("{{{}}}", shuffled.join(","));
        match HemFrame::decode(again.as_bytes(), 500) {
            Ok(HemFrame::Reading(found)) => {
                prop_assert_eq!(found.seq, sample.seq);
                prop_assert_eq!(found.time, sample.time);
                prop_assert_eq!(found.nodes.len(), sample.nodes.len());
            }
            other => prop_assert!(false, "{again}: {other:?}"),
        }
    }

    #[test]
    fn any_bytes_are_a_frame_or_a_fault_with_an_answer(line in vec(any::<u8>(), 0..200)) {
        if let Err(fault) = HemFrame::decode(&line, 500) {
            let answer = line_of(|out| fault.answer(Seq(7)).encode(out));
            prop_assert_eq!(CloudFrame::decode(&answer), Ok(fault.answer(Seq(7))));
        }
        let _ = (Greeting::decode(&line), CloudFrame::decode(&line));
    }
}

#[test]
fn a_wrong_item_of_a_batch_is_refused_by_itself() {
    let line = br#"{"type":"batch","readings":[
        {"seq":1,"ts":1790000000000,"nodes":[]},
        {"seq":2,"ts":1790000000000,"nodes":[{"node":999}]},
        {"seq":3},
        {"nodes":"x","seq":4,"ts":1790000000000},
        {"seq":5,"ts":1790000000000,"nodes":[]},
        {"seq":6,"ts":1790000000000,"nodes":[]}]}"#;
    let HemFrame::Batch(items) = HemFrame::decode(line, 5).unwrap() else {
        panic!("not a batch");
    };
    let verdicts: Vec<_> = items
        .iter()
        .map(|item| match item {
            Ok(sample) => (sample.seq.0, None),
            Err(wrong) => (wrong.seq.0, Some(wrong.code)),
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            (1, None),
            (2, Some(RefusalCode::Malformed)),
            (3, Some(RefusalCode::Malformed)),
            (4, Some(RefusalCode::Malformed)),
            (5, None),
            (6, Some(RefusalCode::BatchTooLong)),
        ]
    );
}

#[test]
fn a_malformed_reading_says_which_and_why() {
    let line = br#"{"type":"reading","nodes":[{"node":1,"soc":62}],"seq":42,"ts":1790000000000}"#;
    let Err(FrameFault::Unstorable(Unstorable { seq, code, text })) = HemFrame::decode(line, 500)
    else {
        panic!("not refused");
    };
    assert_eq!((seq, code), (Seq(42), RefusalCode::Malformed));
    assert_eq!(text, "`soc` must be a number from 0 to 1");
}

#[test]
fn bytes_that_are_not_utf8_are_a_bad_frame() {
    let line = b"{\"type\":\"event\",\"seq\":1,\"ts\":1790000000000,\"kind\":\"\xff\"}";
    assert!(matches!(HemFrame::decode(line, 500), Err(FrameFault::BadFrame(_))));
}

#[test]
fn texts_are_counted_in_characters() {
    let event = |kind: &str, text: &str| {
        format!(r#"{{"type":"event","seq":1,"ts":1,"kind":"{kind}","text":"{text}"}}"#)
    };
    let decode = |line: String| HemFrame::decode(line.as_bytes(), 500);
    assert!(decode(event(&"é".repeat(64), &"😀".repeat(1_000))).is_ok());
    assert!(decode(event(&"é".repeat(65), "")).is_err());
    assert!(decode(event("k", &"é".repeat(1_001))).is_err());
    assert!(decode(event("k", &"x".repeat(500_000))).is_err());
}

#[test]
fn a_reason_that_is_too_long_does_not_cost_the_outcome() {
    let line = format!(
        r#"{{"type":"result","command":"c","outcome":"failed","reason":"{}"}}"#,
        "é".repeat(2_000)
    );
    let Ok(HemFrame::Result(result)) = HemFrame::decode(line.as_bytes(), 500) else {
        panic!("not a result");
    };
    assert_eq!(result.outcome, Outcome::Failed);
    assert_eq!(result.reason.unwrap().chars().count(), 1_000);
}

#[test]
fn a_frame_that_an_answer_quotes_cannot_fill_the_log() {
    let line = format!(r#"{{"type":"{}"}}"#, "x".repeat(400_000));
    let fault = HemFrame::decode(line.as_bytes(), 500).unwrap_err();
    assert!(fault.to_string().len() < 200);
    let hello = format!(r#"{{"type":"hello","protocol":1,"hem":"{}"}}"#, "X".repeat(100_000));
    let fault = Greeting::decode(hello.as_bytes()).unwrap().hem.unwrap_err();
    assert!(fault.text.len() < 300);
}

#[test]
fn an_action_of_a_later_version_is_told_apart() {
    let head = r#""type":"command","command":"c","order":1,"issued":1,"expires_in_ms":1"#;
    for (fields, expected) in [
        (r#""action":"levitate""#, "there is no action \"levitate\""),
        (r#""action":"switch""#, "`on` is missing"),
        (r#""action":"switch","on":"yes""#, "`on` must be true or false"),
    ] {
        let line = format!("{{{head},{fields}}}");
        let Ok(CloudFrame::Command(command)) = CloudFrame::decode(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(
            command.action,
            Instruction::Unrecognised { reason: expected.to_owned() },
            "{line}"
        );
    }
}

#[test]
fn a_frame_is_written_as_the_protocol_says() {
    let sample = Sample {
        seq: Seq(7),
        time: SampleTime::Age(20),
        nodes: vec![NodeReading { watts: Some(Watts(-3.5)), ..NodeReading::empty(NodeId(2)) }],
    };
    let line = line_of(|out| HemFrame::Reading(sample).encode(out));
    assert_eq!(
        String::from_utf8(line).unwrap(),
        r#"{"type":"reading","seq":7,"age_ms":20,"nodes":[{"node":2,"watts":-3.5}]}"#
    );
    let error = FrameFault::BadFrame("no".into()).answer(Seq(41));
    assert_eq!(
        String::from_utf8(line_of(|out| error.encode(out))).unwrap(),
        r#"{"type":"error","code":"bad-frame","text":"no","seq":41}"#
    );
    assert_eq!(line_of(|out| CloudFrame::Pong.encode(out)), br#"{"type":"pong"}"#);
    assert_eq!(MAX_BATCH, 500);
}
