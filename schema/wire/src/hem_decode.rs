//! Reading a HEM's frames. A frame that is wrong is read a second time, for its number alone.
//!
//! Where the protocol's text leaves a choice: a whole number may be written with a fraction of zero
//! or an exponent, as some C libraries do; `null` is absence; a known field that comes twice, a node
//! that comes twice, and `ts` beside `age_ms` are `malformed`; two `seq` are no usable one.

use std::borrow::Cow;

use memcloud_domain::{
    Amps, Hertz, NodeId, NodeReading, RefusalCode, Seq, StateOfCharge, Timestamp, Vars, Volts,
    WattHours, Watts,
};

use crate::json::{Fault, Reader, cut, set, within};
use crate::{
    CommandResult, Event, FrameFault, Greeting, Hello, HemFrame, Latest, MAX_COMMAND_ID, MAX_KIND,
    MAX_TEXT, Outcome, PROTOCOL, Sample, SampleTime, Unstorable,
};

/// A `HEMCore` board has 8 nodes.
const USUAL_NODES: usize = 8;

const AN_OBJECT: &str = "a frame must be a JSON object";
const A_SEQ: &str = "`seq` must be a whole number from 1 to 9007199254740991";
const A_TS: &str = "`ts` must be whole Unix milliseconds";
const AN_AGE: &str = "`age_ms` must be a whole number of milliseconds, 0 or more";
const A_NODE: &str = "`node` must be a whole number from 0 to 255";

impl From<Fault> for FrameFault {
    fn from(fault: Fault) -> Self {
        let (Fault::Syntax(text) | Fault::Shape(text)) = fault;
        Self::BadFrame(Cow::Borrowed(text))
    }
}

pub(crate) fn decode(line: &[u8], max_batch: usize) -> Result<HemFrame, FrameFault> {
    let start = Reader::new(line)?;
    let Some(kind) = frame_type(start.clone())? else {
        return Err(FrameFault::UnknownType(Cow::Borrowed("the frame has no `type`, or no text")));
    };
    match kind.as_ref() {
        "reading" => numbered(&start, sample).map(HemFrame::Reading),
        "event" => numbered(&start, event).map(HemFrame::Event),
        "batch" => Ok(HemFrame::Batch(whole_line(start, |reader| batch(reader, max_batch))?)),
        "latest" => Ok(HemFrame::Latest(whole_line(start, latest)?)),
        "result" => Ok(HemFrame::Result(whole_line(start, result)?)),
        "ping" => Ok(whole_line(start, |reader| reader.skip().map(|()| HemFrame::Ping))?),
        "hello" => later_hello(line),
        other => {
            whole_line(start, Reader::skip)?;
            Err(FrameFault::UnknownType(Cow::Owned(format!(
                "no frame has the type \"{}\"",
                cut(other, 40)
            ))))
        }
    }
}

/// The frame's type, or nothing where it has none. Reads no further than it must.
pub(crate) fn frame_type(mut reader: Reader<'_>) -> Result<Option<Cow<'_, str>>, Fault> {
    let mut whole = reader.clone();
    match reader.open_object(AN_OBJECT) {
        Ok(()) => {}
        Err(Fault::Shape(expected)) => {
            whole.skip()?;
            whole.finish()?;
            return Err(Fault::Shape(expected));
        }
        Err(syntax) => return Err(syntax),
    }
    let mut first = true;
    while let Some(key) = reader.next_key(first)? {
        first = false;
        if key == "type" {
            if let Ok(kind) = reader.attempt(|value| value.string("`type` must be a text"))? {
                return Ok(Some(kind));
            }
            whole.skip()?;
            whole.finish()?;
            return Ok(None);
        }
        reader.skip()?;
    }
    reader.finish()?;
    Ok(None)
}

/// Reads something that must take up the whole line.
pub(crate) fn whole_line<'a, T>(
    mut reader: Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// Reads a frame with a number; of one that is wrong, the number.
fn numbered<'a, T>(
    start: &Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<T, FrameFault> {
    match whole_line(start.clone(), read) {
        Ok(frame) => Ok(frame),
        Err(Fault::Syntax(text)) => Err(FrameFault::BadFrame(Cow::Borrowed(text))),
        Err(Fault::Shape(text)) => {
            let Some(seq) = whole_line(start.clone(), usable_seq)? else {
                return Err(FrameFault::BadFrame(Cow::Borrowed(A_SEQ)));
            };
            Err(malformed(seq, text).into())
        }
    }
}

fn malformed(seq: Seq, text: &'static str) -> Unstorable {
    Unstorable { seq, code: RefusalCode::Malformed, text: Cow::Borrowed(text) }
}

/// Passes over an object and finds its number, where it has exactly one that can be used.
fn usable_seq(reader: &mut Reader<'_>) -> Result<Option<Seq>, Fault> {
    let mut found = None;
    let mut times = 0;
    reader.object(AN_OBJECT, |value, key| {
        if key == "seq" {
            times += 1;
            found = value.attempt(seq)?.ok();
            Ok(())
        } else {
            value.skip()
        }
    })?;
    Ok(found.filter(|_| times == 1))
}

fn seq(reader: &mut Reader<'_>) -> Result<Seq, Fault> {
    match u64::try_from(reader.whole(A_SEQ)?) {
        Ok(number) if number > 0 => Ok(Seq(number)),
        _ => Err(Fault::Shape(A_SEQ)),
    }
}

fn timestamp(reader: &mut Reader<'_>, expected: &'static str) -> Result<Timestamp, Fault> {
    reader.whole(expected).map(Timestamp)
}

fn age(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    u64::try_from(reader.whole(AN_AGE)?).map_err(|_| Fault::Shape(AN_AGE))
}

pub(crate) fn node(reader: &mut Reader<'_>) -> Result<NodeId, Fault> {
    u8::try_from(reader.whole(A_NODE)?).map(NodeId).map_err(|_| Fault::Shape(A_NODE))
}

/// `ts` or `age_ms`, exactly one of them.
#[derive(Default)]
struct TimeFields {
    ts: Option<Timestamp>,
    age_ms: Option<u64>,
}

impl TimeFields {
    fn time(self) -> Result<SampleTime, Fault> {
        match (self.ts, self.age_ms) {
            (Some(ts), None) => Ok(SampleTime::At(ts)),
            (None, Some(age_ms)) => Ok(SampleTime::Age(age_ms)),
            (None, None) => Err(Fault::Shape("`ts` or `age_ms` is missing")),
            (Some(_), Some(_)) => Err(Fault::Shape("`ts` and `age_ms` must not come together")),
        }
    }

    fn ts(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        set(&mut self.ts, reader.optional(|value| timestamp(value, A_TS))?)
    }

    fn age_ms(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        set(&mut self.age_ms, reader.optional(age)?)
    }
}

/// What `reading`, an item of `batch` and `latest` have in common.
#[derive(Default)]
struct SampleFields {
    kind_seen: Option<()>,
    seq: Option<Seq>,
    time: TimeFields,
    nodes: Option<Vec<NodeReading>>,
}

fn sample_fields(reader: &mut Reader<'_>) -> Result<SampleFields, Fault> {
    let mut fields = SampleFields::default();
    reader.object("a reading must be an object", |value, key| match key {
        "seq" => set(&mut fields.seq, Some(seq(value)?)),
        "ts" => fields.time.ts(value),
        "age_ms" => fields.time.age_ms(value),
        "nodes" => set(&mut fields.nodes, Some(nodes(value)?)),
        "type" => {
            set(&mut fields.kind_seen, Some(()))?;
            value.skip()
        }
        _ => value.skip(),
    })?;
    Ok(fields)
}

fn sample(reader: &mut Reader<'_>) -> Result<Sample, Fault> {
    let fields = sample_fields(reader)?;
    Ok(Sample {
        seq: fields.seq.ok_or(Fault::Shape(A_SEQ))?,
        time: fields.time.time()?,
        nodes: fields.nodes.ok_or(Fault::Shape("`nodes` is missing"))?,
    })
}

fn latest(reader: &mut Reader<'_>) -> Result<Latest, Fault> {
    // A number is an unknown field here, but one that says that something is mixed up.
    let fields = sample_fields(reader)?;
    Ok(Latest {
        time: fields.time.time()?,
        nodes: fields.nodes.ok_or(Fault::Shape("`nodes` is missing"))?,
    })
}

fn batch(
    reader: &mut Reader<'_>,
    max_batch: usize,
) -> Result<Vec<Result<Sample, Unstorable>>, Fault> {
    let mut items = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "readings" => set(&mut items, Some(batch_items(value, max_batch)?)),
        _ => value.skip(),
    })?;
    items.ok_or(Fault::Shape("`readings` is missing"))
}

fn batch_items(
    reader: &mut Reader<'_>,
    max_batch: usize,
) -> Result<Vec<Result<Sample, Unstorable>>, Fault> {
    const NO_SEQ: &str =
        "an item of the batch has no usable `seq`; nothing of it was taken, send them one by one";
    let mut items = Vec::new();
    reader.array("`readings` must be an array of readings", |item| {
        let start = item.clone();
        let wrong = if items.len() < max_batch {
            match item.attempt(sample)? {
                Ok(good) => {
                    items.push(Ok(good));
                    return Ok(());
                }
                Err(text) => (RefusalCode::Malformed, text),
            }
        } else {
            item.skip()?;
            (RefusalCode::BatchTooLong, "the batch is longer than the welcome's `max_batch`")
        };
        let (code, text) = wrong;
        let seq = match usable_seq(&mut start.clone()) {
            Ok(Some(seq)) => seq,
            Ok(None) | Err(Fault::Shape(_)) => return Err(Fault::Shape(NO_SEQ)),
            Err(syntax) => return Err(syntax),
        };
        items.push(Err(Unstorable { seq, code, text: Cow::Borrowed(text) }));
        Ok(())
    })?;
    Ok(items)
}

/// The nodes of a sample, none of them twice.
fn nodes(reader: &mut Reader<'_>) -> Result<Vec<NodeReading>, Fault> {
    let mut nodes = Vec::new();
    let mut seen = NodeSet::default();
    reader.array("`nodes` must be an array", |item| {
        let reading = node_reading(item)?;
        if !seen.insert(reading.node) {
            return Err(Fault::Shape("a node comes twice"));
        }
        if nodes.is_empty() {
            nodes.reserve_exact(USUAL_NODES);
        }
        nodes.push(reading);
        Ok(())
    })?;
    Ok(nodes)
}

/// Which of the 256 nodes were there.
#[derive(Default)]
pub(crate) struct NodeSet([u128; 2]);

impl NodeSet {
    /// Adds a node; false where it was there already.
    pub(crate) fn insert(&mut self, node: NodeId) -> bool {
        let [low, high] = &mut self.0;
        let half = if node.0 < 128 { low } else { high };
        let bit = 1_u128 << (node.0 % 128);
        let new = *half & bit == 0;
        *half |= bit;
        new
    }
}

fn node_reading(reader: &mut Reader<'_>) -> Result<NodeReading, Fault> {
    let mut number = None;
    let mut reading = NodeReading::empty(NodeId(0));
    let quantity = |value: &mut Reader<'_>, expected| value.optional(|v| v.number(expected));
    reader.object("a node must be an object", |value, key| match key {
        "node" => set(&mut number, Some(node(value)?)),
        "watts" => set(&mut reading.watts, quantity(value, "`watts` must be a number")?.map(Watts)),
        "volts" => set(&mut reading.volts, quantity(value, "`volts` must be a number")?.map(Volts)),
        "amps" => set(&mut reading.amps, quantity(value, "`amps` must be a number")?.map(Amps)),
        "vars" => set(&mut reading.vars, quantity(value, "`vars` must be a number")?.map(Vars)),
        "hertz" => set(&mut reading.hertz, quantity(value, "`hertz` must be a number")?.map(Hertz)),
        "wh_in" => set(&mut reading.wh_in, counter(value, "`wh_in` must be a number, 0 or more")?),
        "wh_out" => {
            set(&mut reading.wh_out, counter(value, "`wh_out` must be a number, 0 or more")?)
        }
        "soc" => {
            const EXPECTED: &str = "`soc` must be a number from 0 to 1";
            let soc = quantity(value, EXPECTED)?;
            if soc.is_some_and(|full| !(0.0..=1.0).contains(&full)) {
                return Err(Fault::Shape(EXPECTED));
            }
            set(&mut reading.soc, soc.map(StateOfCharge))
        }
        "on" => set(&mut reading.on, value.optional(|v| v.boolean("`on` must be true or false"))?),
        _ => value.skip(),
    })?;
    reading.node = number.ok_or(Fault::Shape(A_NODE))?;
    Ok(reading)
}

fn counter(reader: &mut Reader<'_>, expected: &'static str) -> Result<Option<WattHours>, Fault> {
    let energy = reader.optional(|value| value.number(expected))?;
    if energy.is_some_and(|counted| counted < 0.0) {
        return Err(Fault::Shape(expected));
    }
    Ok(energy.map(WattHours))
}

fn event(reader: &mut Reader<'_>) -> Result<Event, Fault> {
    const A_KIND: &str = "`kind` must be a text of 1 to 64 characters";
    const A_TEXT: &str = "`text` must be a text of at most 1000 characters";
    let mut kind_seen = None;
    let mut number = None;
    let mut time = TimeFields::default();
    let mut kind = None;
    let mut at_node = None;
    let mut on = None;
    let mut watts = None;
    let mut until = None;
    let mut text = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "seq" => set(&mut number, Some(seq(value)?)),
        "ts" => time.ts(value),
        "age_ms" => time.age_ms(value),
        "kind" => {
            let word = value.string(A_KIND)?;
            if word.is_empty() || !within(&word, MAX_KIND) {
                return Err(Fault::Shape(A_KIND));
            }
            set(&mut kind, Some(word.into_owned()))
        }
        "node" => set(&mut at_node, value.optional(node)?),
        "on" => set(&mut on, value.optional(|v| v.boolean("`on` must be true or false"))?),
        "watts" => {
            let power = value.optional(|v| v.number("`watts` must be a number"))?;
            set(&mut watts, power.map(Watts))
        }
        "until" => {
            const EXPECTED: &str = "`until` must be whole Unix milliseconds";
            set(&mut until, value.optional(|v| timestamp(v, EXPECTED))?)
        }
        "text" => {
            let words = value.optional(|v| v.string(A_TEXT))?;
            if words.as_ref().is_some_and(|words| !within(words, MAX_TEXT)) {
                return Err(Fault::Shape(A_TEXT));
            }
            set(&mut text, words.map(Cow::into_owned))
        }
        "type" => {
            set(&mut kind_seen, Some(()))?;
            value.skip()
        }
        _ => value.skip(),
    })?;
    Ok(Event {
        seq: number.ok_or(Fault::Shape(A_SEQ))?,
        time: time.time()?,
        kind: kind.ok_or(Fault::Shape(A_KIND))?,
        node: at_node,
        on,
        watts,
        until,
        text,
    })
}

fn result(reader: &mut Reader<'_>) -> Result<CommandResult, Fault> {
    const AN_ID: &str = "`command` must be the command's id";
    const AN_OUTCOME: &str = "`outcome` must be done, refused, failed, superseded or interrupted";
    const A_LAST_SEQ: &str = "`seq` must be the last number sent, or 0";
    let mut command = None;
    let mut outcome = None;
    let mut last_seq = None;
    let mut reason = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "command" => {
            let id = value.string(AN_ID)?;
            if id.is_empty() || !within(&id, MAX_COMMAND_ID) {
                return Err(Fault::Shape(AN_ID));
            }
            set(&mut command, Some(id.into_owned()))
        }
        "outcome" => {
            let word = value.string(AN_OUTCOME)?;
            set(&mut outcome, Some(Outcome::parse(&word).ok_or(Fault::Shape(AN_OUTCOME))?))
        }
        "seq" => {
            let number = value.optional(|v| {
                u64::try_from(v.whole(A_LAST_SEQ)?).map_err(|_| Fault::Shape(A_LAST_SEQ))
            })?;
            set(&mut last_seq, number.map(Seq))
        }
        "reason" => {
            // Too long a reason must not cost the outcome.
            let words = value.optional(|v| v.string("`reason` must be a text"))?;
            set(&mut reason, words.map(|words| cut(&words, MAX_TEXT)))
        }
        _ => value.skip(),
    })?;
    Ok(CommandResult {
        command: command.ok_or(Fault::Shape(AN_ID))?,
        outcome: outcome.ok_or(Fault::Shape(AN_OUTCOME))?,
        seq: last_seq,
        reason,
    })
}

/// A `hello` that is read as any other frame: all of it must be right.
fn later_hello(line: &[u8]) -> Result<HemFrame, FrameFault> {
    let as_fault = |fault: crate::HelloFault| FrameFault::BadFrame(Cow::Owned(fault.text));
    let greeting = Greeting::decode(line).map_err(as_fault)?;
    Ok(HemFrame::Hello(Box::new(Hello {
        protocol: PROTOCOL,
        hem: greeting.hem.map_err(as_fault)?,
        key: greeting.key,
        enrol: greeting.enrol,
        firmware: greeting.firmware,
        nodes: greeting.nodes.map_err(as_fault)?,
    })))
}
