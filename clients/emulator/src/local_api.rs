//! The HEM's local interface for energy apps at home: one datagram asks, one JSON object answers.
//!
//! `api/<verb>/<0-7|all>`, a leading slash allowed. Pure: the socket is the fleet's.

use memcloud_domain::{NodeId, NodeReading, Timestamp};
use serde_json::{Value, json};

use crate::home::Home;
use crate::nodes::NODE_COUNT;

/// The answer to a request, and what someone at home has just decided by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The JSON object.
    pub text: String,
    /// The nodes that were switched, and how: each is an `override` to the cloud.
    pub overrides: Vec<(NodeId, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    DcPower,
    AcPowerActive,
    AcVoltage,
    NodeStatus,
    Turn { on: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    One(NodeId),
    All,
}

/// Answers a datagram for a home at a moment.
pub fn answer(request: &[u8], home: &mut Home, now: Timestamp) -> Answer {
    let Some((verb, target)) = parse(request) else {
        let refusal = json!({"NODE": "ALL", "TYPE": "ERROR", "VALUE": "INVALID REQUEST"});
        return Answer { text: refusal.to_string(), overrides: Vec::new() };
    };
    let overrides = match verb {
        Verb::Turn { on } => switch(home, target, on, now),
        _ => Vec::new(),
    };
    let readings = home.sample(now);
    let value = |reading: &NodeReading| verb.value(reading);
    let (node, value) = match target {
        Target::All => (json!("ALL"), readings.iter().map(value).collect::<Value>()),
        Target::One(node) => {
            let reading = readings.iter().find(|reading| reading.node == node);
            (json!(node), reading.map_or(Value::Null, value))
        }
    };
    let text = json!({"NODE": node, "TYPE": verb.kind(), "VALUE": value}).to_string();
    Answer { text, overrides }
}

fn switch(home: &mut Home, target: Target, on: bool, now: Timestamp) -> Vec<(NodeId, bool)> {
    let nodes = (0_u8..).map(NodeId).take(NODE_COUNT);
    nodes
        .filter(|node| target == Target::All || target == Target::One(*node))
        .filter(|node| home.switch(now, *node, on))
        .map(|node| (node, on))
        .collect()
}

fn parse(request: &[u8]) -> Option<(Verb, Target)> {
    let text = std::str::from_utf8(request).ok()?.trim_matches(['\0', '\r', '\n', ' ']);
    let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
    let (root, verb, target) = (parts.next()?, parts.next()?, parts.next()?);
    if root != "api" || parts.next().is_some() {
        return None;
    }
    let verb = match verb {
        "getdcpower" => Verb::DcPower,
        "getacpoweractive" => Verb::AcPowerActive,
        "getacvoltage" => Verb::AcVoltage,
        "getnodestatus" => Verb::NodeStatus,
        "turnon" => Verb::Turn { on: true },
        "turnoff" => Verb::Turn { on: false },
        _ => return None,
    };
    let target = match target.as_bytes() {
        b"all" => Target::All,
        [digit @ b'0'..=b'7'] => Target::One(NodeId(digit - b'0')),
        _ => return None,
    };
    Some((verb, target))
}

impl Verb {
    fn kind(self) -> &'static str {
        match self {
            Self::DcPower => "DCPOWER",
            Self::AcPowerActive => "ACPOWERACTIVE",
            Self::AcVoltage => "ACVOLTAGE",
            Self::NodeStatus | Self::Turn { .. } => "NODESTATUS",
        }
    }

    /// What is asked of a node. PV and battery have direct current behind their inverters; what
    /// passes there is the same to the watt, as the inverter's loss counts as the battery's.
    fn value(self, reading: &NodeReading) -> Value {
        match self {
            Self::DcPower | Self::AcPowerActive => json!(reading.watts),
            Self::AcVoltage => json!(reading.volts),
            Self::NodeStatus | Self::Turn { .. } => json!(u8::from(reading.on == Some(true))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, HomeProfile};

    const NOON: Timestamp = Timestamp(1_794_816_000_000 + 12 * 3_600_000);

    fn home() -> Home {
        Home::new(HomeProfile::new(Dataset::fontana().unwrap(), 0, 1), NOON)
    }

    fn ask(home: &mut Home, request: &str) -> Value {
        serde_json::from_str(&answer(request.as_bytes(), home, NOON).text).unwrap()
    }

    #[test]
    fn one_node_answers_with_a_number_and_all_with_eight() {
        let mut home = home();
        let one = ask(&mut home, "api/getacpoweractive/1");
        assert_eq!((&one["NODE"], &one["TYPE"]), (&json!(1), &json!("ACPOWERACTIVE")));
        assert!(one["VALUE"].as_f64().unwrap() < 0.0, "the sun shines: {one}");
        for (verb, kind) in [
            ("getdcpower", "DCPOWER"),
            ("getacpoweractive", "ACPOWERACTIVE"),
            ("getacvoltage", "ACVOLTAGE"),
            ("getnodestatus", "NODESTATUS"),
        ] {
            let all = ask(&mut home, &format!("/api/{verb}/all"));
            assert_eq!((&all["NODE"], &all["TYPE"]), (&json!("ALL"), &json!(kind)));
            let values = all["VALUE"].as_array().unwrap();
            assert!(values.len() == 8 && values.iter().all(Value::is_number), "{all}");
        }
    }

    #[test]
    fn a_node_that_is_turned_off_takes_nothing_and_the_cloud_is_to_hear_of_it() {
        let mut home = home();
        let off = answer(b"api/turnoff/7", &mut home, NOON);
        assert_eq!(off.overrides, [(NodeId(7), false)]);
        assert_eq!(off.text, r#"{"NODE":7,"TYPE":"NODESTATUS","VALUE":0}"#);
        assert_eq!(ask(&mut home, "api/getacpoweractive/7")["VALUE"], json!(0.0));
        let all = answer(b"api/turnon/all", &mut home, NOON);
        assert_eq!(all.overrides.len(), 7, "the grid has no switch");
        assert_eq!(all.text, r#"{"NODE":"ALL","TYPE":"NODESTATUS","VALUE":[1,1,1,1,1,1,1,1]}"#);
    }

    #[test]
    fn anything_else_is_an_invalid_request() {
        let mut home = home();
        for request in [
            "",
            "/",
            "api",
            "api/getacvoltage",
            "api/getacvoltage/8",
            "api/getacvoltage/-1",
            "api/getacvoltage/07",
            "api/getacvoltage/all/0",
            "api/launch/0",
            "API/turnon/0",
            "//api/turnon/0",
            "api/turnoff/é",
        ] {
            let answered = answer(request.as_bytes(), &mut home, NOON);
            let expected = r#"{"NODE":"ALL","TYPE":"ERROR","VALUE":"INVALID REQUEST"}"#;
            assert_eq!(answered.text, expected, "{request:?}");
            assert!(answered.overrides.is_empty());
        }
        assert!(answer(&[0xff, 0xfe], &mut home, NOON).text.contains("INVALID REQUEST"));
        assert!(ask(&mut home, "api/getnodestatus/3\n")["VALUE"] == json!(1));
    }
}
