//! What can be sent: the part of a frame that is kept until it is acknowledged, and what the cloud
//! would refuse.

use memcloud_domain::NodeReading;
use memcloud_wire::HemFrame;

use crate::SdkError;

/// The part of a frame behind its time, up to and with the closing brace.
pub(crate) fn body_of(frame: &HemFrame, kind: &str) -> Result<Box<str>, SdkError> {
    let mut line = Vec::new();
    frame.encode(&mut line);
    let text = String::from_utf8_lossy(&line);
    text.trim_end()
        .strip_prefix(&format!("{{\"type\":\"{kind}\",\"seq\":1,\"age_ms\":0,"))
        .map(Box::from)
        .ok_or_else(|| SdkError::NotSendable("the frame cannot be encoded".to_owned()))
}

/// What the cloud would refuse is told at once, to whoever can still mend it.
pub(crate) fn check_nodes(nodes: &[NodeReading]) -> Result<(), SdkError> {
    let mut seen = [false; 256];
    for reading in nodes {
        let wrong = |what: &str| SdkError::NotSendable(format!("node {}: {what}", reading.node));
        match seen.get_mut(usize::from(reading.node.0)) {
            Some(twice @ false) => *twice = true,
            _ => return Err(wrong("it comes twice")),
        }
        let quantities = [
            reading.watts.map(|watts| watts.0),
            reading.volts.map(|volts| volts.0),
            reading.amps.map(|amps| amps.0),
            reading.vars.map(|vars| vars.0),
            reading.hertz.map(|hertz| hertz.0),
            reading.wh_in.map(|energy| energy.0),
            reading.wh_out.map(|energy| energy.0),
            reading.soc.map(|soc| soc.0),
        ];
        if quantities.into_iter().flatten().any(|value| !value.is_finite()) {
            return Err(wrong("a quantity is not a finite number"));
        }
        if [reading.wh_in, reading.wh_out].into_iter().flatten().any(|energy| energy.0 < 0.0) {
            return Err(wrong("a counter is negative"));
        }
        if reading.soc.is_some_and(|soc| !(0.0..=1.0).contains(&soc.0)) {
            return Err(wrong("the state of charge is not within 0 and 1"));
        }
    }
    Ok(())
}
