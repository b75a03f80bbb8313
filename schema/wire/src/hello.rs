//! The first frame: who the HEM is. The server reads it as a [`Greeting`], which keeps the order of
//! the checks: JSON, type, protocol, credentials, id, nodes.

use std::borrow::Cow;

use memcloud_domain::{
    DefaultState, HemId, NodeAction, NodeDeclaration, NodeKind, Secret, WattHours, Watts,
};
use serde::Serialize;

use crate::hem_decode::{NodeSet, frame_type, node, whole_line};
use crate::json::{Fault, Reader, cut, set, within};
use crate::{CloudError, CloudFrame, ErrorCode, MAX_NAME, PROTOCOL};

/// `hello`, as a HEM makes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hello {
    /// Always [`crate::PROTOCOL`].
    pub protocol: u32,
    /// Who it is.
    pub hem: HemId,
    /// Its device key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// An enrolment token, for a HEM without a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrol: Option<Secret>,
    /// Its firmware, as it names it; at most [`crate::MAX_NAME`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Its nodes; absent: what is known stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeDeclaration>>,
}

/// Why a first frame ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct HelloFault {
    /// `bad-frame`, `unauthorised` or `unsupported-protocol`.
    pub code: ErrorCode,
    /// What to do about it, for the HEM's maker.
    pub text: String,
}

impl HelloFault {
    /// The frame that answers it, before the connection is closed.
    #[must_use]
    pub fn answer(&self) -> CloudFrame {
        CloudFrame::Error(CloudError {
            code: self.code,
            text: self.text.clone(),
            seq: None,
            retry_after_ms: None,
        })
    }
}

/// A first frame that is JSON, a `hello`, and of our protocol. What comes later in the order of
/// checks is kept as it was found: first see to the credentials, then take `hem`, then `nodes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// Its device key. With both, the key counts.
    pub key: Option<Secret>,
    /// An enrolment token.
    pub enrol: Option<Secret>,
    /// Who it says it is.
    pub hem: Result<HemId, HelloFault>,
    /// Its firmware, cut to [`crate::MAX_NAME`] characters.
    pub firmware: Option<String>,
    /// Its nodes: none twice, at most 256.
    pub nodes: Result<Option<Vec<NodeDeclaration>>, HelloFault>,
}

impl Greeting {
    /// Reads the first line of a connection, without its `\n`.
    ///
    /// # Errors
    /// [`HelloFault`] with `bad-frame` where it is not JSON, `unauthorised` where it is anything but a
    /// `hello`, `unsupported-protocol` where `protocol` is not 1.
    pub fn decode(line: &[u8]) -> Result<Self, HelloFault> {
        let start = Reader::new(line).map_err(bad_frame)?;
        // All of it must be JSON before anything else is looked at.
        whole_line(start.clone(), Reader::skip).map_err(bad_frame)?;
        let kind = match frame_type(start.clone()) {
            Ok(kind) => kind,
            Err(Fault::Shape(_)) => None,
            Err(syntax) => return Err(bad_frame(syntax)),
        };
        if kind.as_deref() != Some("hello") {
            return Err(unauthorised("the first frame must be a hello"));
        }
        let fields = whole_line(start, HelloFields::read).map_err(bad_frame)?;
        fields.check()
    }
}

fn bad_frame(fault: Fault) -> HelloFault {
    let (Fault::Syntax(text) | Fault::Shape(text)) = fault;
    HelloFault { code: ErrorCode::BadFrame, text: text.to_owned() }
}

fn unauthorised(text: &str) -> HelloFault {
    HelloFault { code: ErrorCode::Unauthorised, text: text.to_owned() }
}

/// The value of a field as it was found: absent, of the right shape, or what was expected of it.
type Found<T> = Option<Result<T, &'static str>>;

#[derive(Default)]
struct HelloFields<'a> {
    repeated: bool,
    protocol: Found<i64>,
    key: Found<Option<Cow<'a, str>>>,
    enrol: Found<Option<Cow<'a, str>>>,
    hem: Found<Cow<'a, str>>,
    firmware: Found<Cow<'a, str>>,
    nodes: Found<Option<Vec<NodeDeclaration>>>,
}

impl<'a> HelloFields<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut fields = Self::default();
        let text = |value: &mut Reader<'a>, expected| {
            value.attempt(|found| found.optional(|some| some.string(expected)))
        };
        reader.open_object("a frame must be a JSON object")?;
        let mut first = true;
        while let Some(key) = reader.next_key(first)? {
            first = false;
            let value = &mut *reader;
            let outcome = match key.as_ref() {
                "protocol" => set(
                    &mut fields.protocol,
                    Some(value.attempt(|found| found.whole("`protocol` must be 1"))?),
                ),
                "key" => set(&mut fields.key, Some(text(value, "`key` must be a text")?)),
                "enrol" => set(&mut fields.enrol, Some(text(value, "`enrol` must be a text")?)),
                "hem" => set(
                    &mut fields.hem,
                    Some(value.attempt(|found| found.string("`hem` must be the HEM's id"))?),
                ),
                "firmware" => set(
                    &mut fields.firmware,
                    Some(value.attempt(|found| found.string("`firmware` must be a text"))?),
                ),
                "nodes" => set(
                    &mut fields.nodes,
                    Some(value.attempt(|found| found.optional(declarations))?),
                ),
                _ => value.skip(),
            };
            match outcome {
                Ok(()) => {}
                Err(Fault::Shape(_)) => fields.repeated = true,
                Err(syntax) => return Err(syntax),
            }
        }
        Ok(fields)
    }

    fn check(self) -> Result<Greeting, HelloFault> {
        let shape = |text: &'static str| bad_frame(Fault::Shape(text));
        if self.protocol != Some(Ok(i64::from(PROTOCOL))) {
            return Err(HelloFault {
                code: ErrorCode::UnsupportedProtocol,
                text: format!("`protocol` must be {PROTOCOL}, the one version there is"),
            });
        }
        let credential = |found: Found<Option<Cow<'a, str>>>| match found.transpose() {
            Ok(given) => Ok(given.flatten().map(Secret::new)),
            Err(expected) => Err(unauthorised(expected)),
        };
        let key = credential(self.key)?;
        let enrol = credential(self.enrol)?;
        let hem = match self.hem {
            _ if self.repeated => Err(shape("a field of the hello comes twice")),
            None => Err(shape("`hem` is missing: the HEM's id")),
            Some(Err(expected)) => Err(shape(expected)),
            Some(Ok(text)) => HemId::new(&text).map_err(|invalid| HelloFault {
                code: ErrorCode::BadFrame,
                text: invalid.to_string(),
            }),
        };
        let nodes = self.nodes.transpose().map(Option::flatten).map_err(shape);
        let firmware = self.firmware.and_then(Result::ok).map(|text| cut(&text, MAX_NAME));
        Ok(Greeting { key, enrol, hem, firmware, nodes })
    }
}

fn declarations(reader: &mut Reader<'_>) -> Result<Vec<NodeDeclaration>, Fault> {
    let mut nodes = Vec::new();
    let mut seen = NodeSet::default();
    reader.array("`nodes` must be an array", |item| {
        let declared = declaration(item)?;
        if !seen.insert(declared.node) {
            return Err(Fault::Shape("a node is declared twice"));
        }
        nodes.push(declared);
        Ok(())
    })?;
    Ok(nodes)
}

fn declaration(reader: &mut Reader<'_>) -> Result<NodeDeclaration, Fault> {
    const A_NAME: &str = "a node's `name` must be a text of at most 200 characters";
    const A_KIND: &str = "a node's `kind` must be grid, source, storage, load or charger";
    const A_POWER: &str = "`rated_watts`, `min_watts` and `max_watts` must be numbers";
    const A_CAPACITY: &str = "`capacity_wh` must be a number, 0 or more";
    const A_PRIORITY: &str = "`priority` must be a whole number of at most 32 bits";
    let mut number = None;
    let mut name = None;
    let mut kind = None;
    let mut rated_watts = None;
    let mut min_watts = None;
    let mut max_watts = None;
    let mut capacity_wh = None;
    let mut critical = None;
    let mut priority = None;
    let mut controls = None;
    let mut fallback = None;
    let power = |value: &mut Reader<'_>| value.optional(|v| v.number(A_POWER).map(Watts));
    reader.object("a declared node must be an object", |value, key| match key {
        "node" => set(&mut number, Some(node(value)?)),
        "name" => {
            let text = value.string(A_NAME)?;
            if !within(&text, MAX_NAME) {
                return Err(Fault::Shape(A_NAME));
            }
            set(&mut name, Some(text.into_owned()))
        }
        "kind" => {
            let word = value.string(A_KIND)?;
            set(&mut kind, Some(node_kind(&word).ok_or(Fault::Shape(A_KIND))?))
        }
        "rated_watts" => set(&mut rated_watts, power(value)?),
        "min_watts" => set(&mut min_watts, power(value)?),
        "max_watts" => set(&mut max_watts, power(value)?),
        "capacity_wh" => {
            let capacity = value.optional(|v| v.number(A_CAPACITY))?;
            if capacity.is_some_and(|energy| energy < 0.0) {
                return Err(Fault::Shape(A_CAPACITY));
            }
            set(&mut capacity_wh, capacity.map(WattHours))
        }
        "critical" => {
            set(&mut critical, value.optional(|v| v.boolean("`critical` must be true or false"))?)
        }
        "priority" => {
            let importance = value.optional(|v| {
                i32::try_from(v.whole(A_PRIORITY)?).map_err(|_| Fault::Shape(A_PRIORITY))
            })?;
            set(&mut priority, importance)
        }
        "controls" => set(&mut controls, value.optional(node_actions)?),
        "default" => set(&mut fallback, value.optional(default_state)?),
        _ => value.skip(),
    })?;
    if let (Some(Watts(least)), Some(Watts(greatest))) = (min_watts, max_watts)
        && least > greatest
    {
        return Err(Fault::Shape("a node's `min_watts` is above its `max_watts`"));
    }
    Ok(NodeDeclaration {
        node: number.ok_or(Fault::Shape("a declared node needs `node`, 0 to 255"))?,
        name: name.ok_or(Fault::Shape(A_NAME))?,
        kind: kind.ok_or(Fault::Shape(A_KIND))?,
        rated_watts,
        min_watts,
        max_watts,
        capacity_wh,
        critical,
        priority,
        controls,
        default: fallback,
    })
}

fn node_kind(word: &str) -> Option<NodeKind> {
    Some(match word {
        "grid" => NodeKind::Grid,
        "source" => NodeKind::Source,
        "storage" => NodeKind::Storage,
        "load" => NodeKind::Load,
        "charger" => NodeKind::Charger,
        _ => return None,
    })
}

/// The actions that are known; those of a later version are passed over, as unknown fields are.
fn node_actions(reader: &mut Reader<'_>) -> Result<Vec<NodeAction>, Fault> {
    let mut actions = Vec::new();
    reader.array("`controls` must be an array of actions", |item| {
        let word = item.string("`controls` must be an array of actions")?;
        let known = match word.as_ref() {
            "switch" => NodeAction::Switch,
            "set-power" => NodeAction::SetPower,
            "limit-power" => NodeAction::LimitPower,
            "set-schedule" => NodeAction::SetSchedule,
            "set-priority" => NodeAction::SetPriority,
            _ => return Ok(()),
        };
        if !actions.contains(&known) {
            actions.push(known);
        }
        Ok(())
    })?;
    Ok(actions)
}

fn default_state(reader: &mut Reader<'_>) -> Result<DefaultState, Fault> {
    const EXPECTED: &str = "`default` must be an object of `on` and `watts`";
    let mut state = DefaultState::default();
    reader.object(EXPECTED, |value, key| match key {
        "on" => set(&mut state.on, value.optional(|v| v.boolean(EXPECTED))?),
        "watts" => set(&mut state.watts, value.optional(|v| v.number(EXPECTED).map(Watts))?),
        _ => value.skip(),
    })?;
    Ok(state)
}
