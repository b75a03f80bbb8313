//! Reading the cloud's frames, as a client does: what a later version may add (a type, an error
//! code, an action) is told apart from what is wrong.

use std::borrow::Cow;

use memcloud_domain::{
    CommandAction, HemId, MicrogridId, RefusalCode, Secret, Seq, Timestamp, Watts,
};

use crate::hem_decode::{frame_type, node, whole_line};
use crate::json::{Fault, Reader, cut, set, within};
use crate::{
    Ack, CloudError, CloudFrame, Command, ErrorCode, FrameFault, Instruction, MAX_COMMAND_ID,
    Refused, Welcome,
};

const AN_OBJECT: &str = "a frame must be a JSON object";
const A_COUNT: &str = "a number of the frame must be whole, 0 or more";
const A_TEXT: &str = "a field of the frame must be a text";
const MISSING: Fault = Fault::Shape("a field of the frame is missing");

pub(crate) fn decode(line: &[u8]) -> Result<CloudFrame, FrameFault> {
    let start = Reader::new(line)?;
    let Some(kind) = frame_type(start.clone())? else {
        return Err(FrameFault::UnknownType(Cow::Borrowed("the frame has no `type`, or no text")));
    };
    match kind.as_ref() {
        "ack" => Ok(CloudFrame::Ack(whole_line(start, ack)?)),
        "pong" => Ok(whole_line(start, |reader| reader.skip().map(|()| CloudFrame::Pong))?),
        "command" => Ok(CloudFrame::Command(whole_line(start, command)?)),
        "refused" => Ok(CloudFrame::Refused(whole_line(start, refused)?)),
        "error" => Ok(CloudFrame::Error(whole_line(start, error)?)),
        "welcome" => Ok(CloudFrame::Welcome(whole_line(start, welcome)?)),
        other => {
            whole_line(start, Reader::skip)?;
            Err(FrameFault::UnknownType(Cow::Owned(format!(
                "no frame has the type \"{}\"",
                cut(other, 40)
            ))))
        }
    }
}

fn count(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    u64::try_from(reader.whole(A_COUNT)?).map_err(|_| Fault::Shape(A_COUNT))
}

fn small(reader: &mut Reader<'_>) -> Result<u32, Fault> {
    u32::try_from(count(reader)?).map_err(|_| Fault::Shape(A_COUNT))
}

fn text(reader: &mut Reader<'_>) -> Result<String, Fault> {
    reader.string(A_TEXT).map(Cow::into_owned)
}

fn moment(reader: &mut Reader<'_>) -> Result<Timestamp, Fault> {
    reader.whole("a time must be whole Unix milliseconds").map(Timestamp)
}

fn ack(reader: &mut Reader<'_>) -> Result<Ack, Fault> {
    let mut seq = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "seq" => set(&mut seq, Some(Seq(count(value)?))),
        _ => value.skip(),
    })?;
    Ok(Ack { seq: seq.ok_or(MISSING)? })
}

fn refused(reader: &mut Reader<'_>) -> Result<Refused, Fault> {
    let mut seq = None;
    let mut code = None;
    let mut words = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "seq" => set(&mut seq, Some(Seq(count(value)?))),
        "code" => set(&mut code, Some(text(value)?)),
        "text" => set(&mut words, value.optional(text)?),
        _ => value.skip(),
    })?;
    let code = code.ok_or(MISSING)?;
    let words = words.unwrap_or_default();
    let known = [
        RefusalCode::Malformed,
        RefusalCode::BadTime,
        RefusalCode::TooOld,
        RefusalCode::BatchTooLong,
    ];
    let seq = seq.ok_or(MISSING)?;
    Ok(match known.into_iter().find(|known| known.as_str() == code) {
        Some(code) => Refused { seq, code, text: words },
        None => Refused { seq, code: RefusalCode::Malformed, text: format!("{code}: {words}") },
    })
}

fn error(reader: &mut Reader<'_>) -> Result<CloudError, Fault> {
    let mut code = None;
    let mut words = None;
    let mut seq = None;
    let mut retry_after_ms = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "code" => set(&mut code, Some(text(value)?)),
        "text" => set(&mut words, value.optional(text)?),
        "seq" => set(&mut seq, value.optional(count)?.map(Seq)),
        "retry_after_ms" => set(&mut retry_after_ms, value.optional(count)?),
        _ => value.skip(),
    })?;
    Ok(CloudError {
        code: ErrorCode::parse(&code.ok_or(MISSING)?),
        text: words.unwrap_or_default(),
        seq,
        retry_after_ms,
    })
}

fn welcome(reader: &mut Reader<'_>) -> Result<Welcome, Fault> {
    let mut hem = None;
    let mut microgrid = None;
    let mut time = None;
    let mut seq = None;
    let mut heartbeat_s = None;
    let mut max_in_flight = None;
    let mut max_batch = None;
    let mut max_frame = None;
    let mut device_key = None;
    reader.object(AN_OBJECT, |value, key| match key {
        "hem" => {
            let id = HemId::new(&value.string(A_TEXT)?);
            set(&mut hem, Some(id.map_err(|_| Fault::Shape("`hem` must be an id"))?))
        }
        "microgrid" => {
            let id = MicrogridId::new(&value.string(A_TEXT)?);
            set(&mut microgrid, Some(id.map_err(|_| Fault::Shape("`microgrid` must be an id"))?))
        }
        "time" => set(&mut time, Some(moment(value)?)),
        "seq" => set(&mut seq, Some(Seq(count(value)?))),
        "heartbeat_s" => set(&mut heartbeat_s, Some(small(value)?)),
        "max_in_flight" => set(&mut max_in_flight, Some(small(value)?)),
        "max_batch" => set(&mut max_batch, Some(small(value)?)),
        "max_frame" => set(&mut max_frame, Some(small(value)?)),
        "key" => set(&mut device_key, value.optional(text)?.map(Secret::new)),
        _ => value.skip(),
    })?;
    Ok(Welcome {
        hem: hem.ok_or(MISSING)?,
        microgrid: microgrid.ok_or(MISSING)?,
        time: time.ok_or(MISSING)?,
        seq: seq.ok_or(MISSING)?,
        heartbeat_s: heartbeat_s.ok_or(MISSING)?,
        max_in_flight: max_in_flight.ok_or(MISSING)?,
        max_batch: max_batch.ok_or(MISSING)?,
        max_frame: max_frame.ok_or(MISSING)?,
        key: device_key,
    })
}

/// The arguments of all actions. Each keeps its fault: what the action does not use may be anything.
#[derive(Default)]
struct Arguments {
    on: Option<Result<bool, &'static str>>,
    watts: Option<Result<f64, &'static str>>,
    on_at: Option<Result<Vec<Timestamp>, &'static str>>,
    off_at: Option<Result<Vec<Timestamp>, &'static str>>,
    priority: Option<Result<i64, &'static str>>,
    seconds: Option<Result<u32, &'static str>>,
}

fn command(reader: &mut Reader<'_>) -> Result<Command, Fault> {
    const AN_ID: &str = "`command` must be a text of 1 to 64 characters";
    let mut id = None;
    let mut order = None;
    let mut at_node = None;
    let mut action = None;
    let mut issued = None;
    let mut expires_in_ms = None;
    let mut lease_ms = None;
    let mut arguments = Arguments::default();
    reader.object(AN_OBJECT, |value, key| match key {
        "command" => {
            let text = value.string(AN_ID)?;
            if text.is_empty() || !within(&text, MAX_COMMAND_ID) {
                return Err(Fault::Shape(AN_ID));
            }
            set(&mut id, Some(text.into_owned()))
        }
        "order" => set(&mut order, Some(count(value)?)),
        "node" => set(&mut at_node, value.optional(node)?),
        "action" => set(&mut action, Some(text(value)?)),
        "issued" => set(&mut issued, Some(moment(value)?)),
        "expires_in_ms" => set(&mut expires_in_ms, Some(count(value)?)),
        "lease_ms" => set(&mut lease_ms, value.optional(count)?),
        "on" => set(
            &mut arguments.on,
            Some(value.attempt(|v| v.boolean("`on` must be true or false"))?),
        ),
        "watts" => set(
            &mut arguments.watts,
            Some(value.attempt(|v| v.number("`watts` must be a number"))?),
        ),
        "on_at" => set(&mut arguments.on_at, Some(value.attempt(moments)?)),
        "off_at" => set(&mut arguments.off_at, Some(value.attempt(moments)?)),
        "priority" => set(
            &mut arguments.priority,
            Some(value.attempt(|v| v.whole("`priority` must be a whole number"))?),
        ),
        "seconds" => set(&mut arguments.seconds, Some(value.attempt(small)?)),
        _ => value.skip(),
    })?;
    let action = match arguments.for_action(&action.ok_or(MISSING)?) {
        Ok(action) => Instruction::Known(action),
        Err(reason) => Instruction::Unrecognised { reason },
    };
    Ok(Command {
        command: id.ok_or(MISSING)?,
        order: order.ok_or(MISSING)?,
        node: at_node,
        action,
        issued: issued.ok_or(MISSING)?,
        expires_in_ms: expires_in_ms.ok_or(MISSING)?,
        lease_ms,
    })
}

fn moments(reader: &mut Reader<'_>) -> Result<Vec<Timestamp>, Fault> {
    let mut times = Vec::new();
    reader.array("`on_at` and `off_at` must be arrays of times", |item| {
        times.push(moment(item)?);
        Ok(())
    })?;
    Ok(times)
}

impl Arguments {
    fn for_action(self, action: &str) -> Result<CommandAction, String> {
        fn need<T>(name: &str, found: Option<Result<T, &'static str>>) -> Result<T, String> {
            match found {
                Some(Ok(value)) => Ok(value),
                Some(Err(expected)) => Err(expected.to_owned()),
                None => Err(format!("`{name}` is missing")),
            }
        }
        Ok(match action {
            "switch" => CommandAction::Switch { on: need("on", self.on)? },
            "set-power" => CommandAction::SetPower { watts: Watts(need("watts", self.watts)?) },
            "limit-power" => CommandAction::LimitPower { watts: Watts(need("watts", self.watts)?) },
            "set-schedule" => CommandAction::SetSchedule {
                on_at: need("on_at", self.on_at)?,
                off_at: need("off_at", self.off_at)?,
            },
            "set-priority" => CommandAction::SetPriority {
                priority: i32::try_from(need("priority", self.priority)?)
                    .map_err(|_| "`priority` must have at most 32 bits".to_owned())?,
            },
            "report-every" => {
                CommandAction::ReportEvery { seconds: need("seconds", self.seconds)? }
            }
            "restart" => CommandAction::Restart,
            other => return Err(format!("there is no action \"{}\"", cut(other, 40))),
        })
    }
}
