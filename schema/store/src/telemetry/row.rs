//! How a reading lies in its run, and an event in its row: compact, and without loss. Number and time
//! lie beside it; this is the rest.

use memcloud_domain::{
    Amps, HemEvent, Hertz, NodeId, NodeReading, Reading, Seq, StateOfCharge, Timestamp, Vars,
    Volts, WattHours, Watts,
};

use super::decimal::{Bytes, Malformed, Style, put_bytes, put_number, put_signed, put_varint};

/// One of the eight measured quantities of a node: how to get at it, and how it is usually written.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) style: Style,
    pub(crate) get: fn(&NodeReading) -> Option<f64>,
    pub(crate) set: fn(&mut NodeReading, f64),
}

macro_rules! field {
    ($field:ident, $type:ident, $style:expr) => {
        Field {
            style: $style,
            get: |node| node.$field.map(|value| value.0),
            set: |node, value| node.$field = Some($type(value)),
        }
    };
}

/// The order is that of the bits in a row and of the columns in a chunk: it never changes.
pub(crate) const FIELDS: [Field; 8] = [
    field!(watts, Watts, Style::signed(1)),
    field!(volts, Volts, Style::positive(1)),
    field!(amps, Amps, Style::signed(2)),
    field!(vars, Vars, Style::signed(1)),
    field!(hertz, Hertz, Style::positive(2)),
    field!(wh_in, WattHours, Style::positive(1)),
    field!(wh_out, WattHours, Style::positive(1)),
    field!(soc, StateOfCharge, Style::positive(3)),
];

const ON_KNOWN: u16 = 1 << 8;
const ON: u16 = 1 << 9;
/// The next node is the one after the last, with the same quantities.
const SAME_SHAPE: u64 = 0;

/// What of a node is known: a bit per field, then whether `on` is known, then `on`.
fn shape_of(node: &NodeReading) -> u16 {
    let mut shape = 0;
    for (bit, field) in FIELDS.iter().enumerate() {
        if (field.get)(node).is_some() {
            shape |= 1 << bit;
        }
    }
    match node.on {
        None => shape,
        Some(false) => shape | ON_KNOWN,
        Some(true) => shape | ON_KNOWN | ON,
    }
}

/// Appends a reading.
pub fn put_reading(out: &mut Vec<u8>, reading: &Reading) {
    put_signed(out, reading.received.0.wrapping_sub(reading.ts.0));
    put_varint(out, reading.nodes.len() as u64);
    let mut last: Option<(u8, u16)> = None;
    for node in &reading.nodes {
        let (id, shape) = (node.node.0, shape_of(node));
        if last == id.checked_sub(1).map(|before| (before, shape)) && last.is_some() {
            put_varint(out, SAME_SHAPE);
        } else {
            // One more than the shape, so that zero stays free.
            put_varint(out, u64::from(shape) + 1);
            out.push(id);
        }
        last = Some((id, shape));
        for field in &FIELDS {
            if let Some(value) = (field.get)(node) {
                put_number(out, value, field.style);
            }
        }
    }
}

/// Takes a reading again.
///
/// # Errors
/// [`Malformed`] for bytes that [`put_reading`] did not write.
pub fn take_reading(bytes: &mut Bytes<'_>, seq: Seq, ts: Timestamp) -> Result<Reading, Malformed> {
    let received = Timestamp(ts.0.wrapping_add(bytes.signed()?));
    let count = bytes.length()?;
    // Every node takes at least a byte: a damaged count must not reserve the machine's memory.
    if count > bytes.len() {
        return Err(Malformed);
    }
    let mut nodes = Vec::with_capacity(count);
    let mut last: Option<(u8, u16)> = None;
    for _ in 0..count {
        let (id, shape) = match bytes.varint()? {
            SAME_SHAPE => {
                let (before, shape) = last.ok_or(Malformed)?;
                (before.checked_add(1).ok_or(Malformed)?, shape)
            }
            code => {
                let shape = u16::try_from(code - 1).map_err(|_| Malformed)?;
                (bytes.byte()?, shape)
            }
        };
        last = Some((id, shape));
        let mut node = NodeReading::empty(NodeId(id));
        for (bit, field) in FIELDS.iter().enumerate() {
            if shape & (1 << bit) != 0 {
                (field.set)(&mut node, bytes.number(field.style)?);
            }
        }
        if shape & ON_KNOWN != 0 {
            node.on = Some(shape & ON != 0);
        }
        nodes.push(node);
    }
    Ok(Reading { seq, ts, received, nodes })
}

const HAS_NODE: u64 = 1;
const HAS_ON: u64 = 1 << 1;
const IS_ON: u64 = 1 << 2;
const HAS_WATTS: u64 = 1 << 3;
const HAS_UNTIL: u64 = 1 << 4;
const HAS_TEXT: u64 = 1 << 5;

/// Appends an event's payload.
pub fn encode_event(out: &mut Vec<u8>, event: &HemEvent) {
    let mut flags = 0;
    for (present, flag) in [
        (event.node.is_some(), HAS_NODE),
        (event.on.is_some(), HAS_ON),
        (event.on == Some(true), IS_ON),
        (event.watts.is_some(), HAS_WATTS),
        (event.until.is_some(), HAS_UNTIL),
        (event.text.is_some(), HAS_TEXT),
    ] {
        if present {
            flags |= flag;
        }
    }
    put_varint(out, flags);
    put_signed(out, event.received.0.wrapping_sub(event.ts.0));
    put_bytes(out, event.kind.as_bytes());
    if let Some(node) = event.node {
        out.push(node.0);
    }
    if let Some(watts) = event.watts {
        put_number(out, watts.0, Style::signed(1));
    }
    if let Some(until) = event.until {
        put_signed(out, until.0.wrapping_sub(event.ts.0));
    }
    if let Some(text) = &event.text {
        put_bytes(out, text.as_bytes());
    }
}

/// The event again.
///
/// # Errors
/// [`Malformed`] for bytes that [`encode_event`] did not write.
pub fn decode_event(seq: Seq, ts: Timestamp, payload: &[u8]) -> Result<HemEvent, Malformed> {
    fn text(bytes: &mut Bytes<'_>) -> Result<String, Malformed> {
        String::from_utf8(bytes.bytes()?.to_vec()).map_err(|_| Malformed)
    }
    let mut bytes = Bytes::new(payload);
    let flags = bytes.varint()?;
    let has = |flag: u64| flags & flag != 0;
    let received = Timestamp(ts.0.wrapping_add(bytes.signed()?));
    let kind = text(&mut bytes)?;
    let node = if has(HAS_NODE) { Some(NodeId(bytes.byte()?)) } else { None };
    let watts = if has(HAS_WATTS) { Some(Watts(bytes.number(Style::signed(1))?)) } else { None };
    let until =
        if has(HAS_UNTIL) { Some(Timestamp(ts.0.wrapping_add(bytes.signed()?))) } else { None };
    let text = if has(HAS_TEXT) { Some(text(&mut bytes)?) } else { None };
    let on = has(HAS_ON).then_some(has(IS_ON));
    Ok(HemEvent { seq, ts, received, kind, node, on, watts, until, text })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            2 => Just(None),
            4 => (-5_000_000_i64..50_000_000, 0_i32..4)
                .prop_map(|(digits, places)| Some(format!("{digits}e-{places}").parse().unwrap())),
            1 => any::<f64>().prop_filter("JSON has no such number", |value| value.is_finite())
                .prop_map(Some),
        ]
    }

    pub(crate) fn node() -> impl Strategy<Value = NodeReading> {
        let values = proptest::array::uniform8(value());
        (0_u8..12, values, proptest::option::of(any::<bool>())).prop_map(|(id, values, on)| {
            let mut node = NodeReading::empty(NodeId(id));
            for (field, value) in FIELDS.iter().zip(values) {
                if let Some(value) = value {
                    (field.set)(&mut node, value);
                }
            }
            node.on = on;
            node
        })
    }

    pub(crate) fn reading() -> impl Strategy<Value = Reading> {
        let nodes = proptest::collection::vec(node(), 0..10);
        (1..Seq::MAX.0, any::<i64>(), any::<i64>(), nodes).prop_map(|(seq, ts, received, nodes)| {
            Reading { seq: Seq(seq), ts: Timestamp(ts), received: Timestamp(received), nodes }
        })
    }

    /// Eight nodes of a home as boards measure them.
    pub(crate) fn typical(seq: u64) -> Reading {
        let ts = Timestamp(1_790_000_000_000 + i64::try_from(seq).unwrap() * 1_000);
        let nodes = (0_u8..8)
            .map(|id| {
                let wobble =
                    f64::from(u32::try_from((seq * 7 + u64::from(id) * 31) % 100).unwrap());
                let tenths = |value: f64| (value * 10.0).round() / 10.0;
                let hundredths = |value: f64| (value * 100.0).round() / 100.0;
                let base = 300.0 * f64::from(id) - 900.0;
                NodeReading {
                    node: NodeId(id),
                    watts: Some(Watts(tenths(base + wobble / 3.0))),
                    volts: Some(Volts(tenths(229.0 + wobble / 40.0))),
                    amps: Some(Amps(hundredths(base / 230.0 + wobble / 700.0))),
                    vars: Some(Vars(tenths(wobble - 40.0))),
                    hertz: Some(Hertz(hundredths(49.98 + wobble / 2_000.0))),
                    wh_in: Some(WattHours(tenths(1_834_567.0 + base.abs() / 3_600.0 * seq as f64))),
                    wh_out: Some(WattHours(tenths(734_567.0 + f64::from(id)))),
                    soc: (id == 1).then_some(StateOfCharge(0.5 + wobble / 1_000.0)),
                    on: Some(true),
                }
            })
            .collect();
        Reading { seq: Seq(seq), ts, received: Timestamp(ts.0 + 43), nodes }
    }

    proptest! {
        #[test]
        fn any_reading_comes_back_bit_by_bit(reading in reading()) {
            let mut out = Vec::new();
            put_reading(&mut out, &reading);
            let mut bytes = Bytes::new(&out);
            let read = take_reading(&mut bytes, reading.seq, reading.ts).unwrap();
            prop_assert!(bytes.is_empty());
            prop_assert_eq!(format!("{read:?}"), format!("{reading:?}"));
        }

        #[test]
        fn any_event_comes_back(
            kind in "[a-z-]{1,20}", text in proptest::option::of(".{0,40}"), until: Option<i64>,
            watts in proptest::option::of(-1e6..1e6), on: Option<bool>, node: Option<u8>, ts: i64,
        ) {
            let event = HemEvent {
                seq: Seq(7), ts: Timestamp(ts), received: Timestamp(ts.wrapping_add(5)), kind, text,
                on, node: node.map(NodeId), watts: watts.map(Watts), until: until.map(Timestamp),
            };
            let mut out = Vec::new();
            encode_event(&mut out, &event);
            prop_assert_eq!(decode_event(event.seq, event.ts, &out), Ok(event));
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(noise: Vec<u8>) {
            let _ = take_reading(&mut Bytes::new(&noise), Seq(1), Timestamp(0));
            let _ = decode_event(Seq(1), Timestamp(0), &noise);
        }
    }

    #[test]
    fn a_typical_reading_of_eight_nodes_takes_at_most_190_bytes() {
        let mut out = Vec::new();
        for seq in 1..=100 {
            put_reading(&mut out, &typical(seq));
        }
        assert!(out.len() <= 19_000, "{} bytes for 100 readings", out.len());
    }
}
