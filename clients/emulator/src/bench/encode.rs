//! A reading as JSON, faster than a general encoder: a meter's figures have a fixed number of
//! decimals, so they are written as whole numbers with a point in them.

use memcloud_domain::NodeReading;

/// Appends a `reading` frame with its `\n`.
pub(super) fn push_reading(out: &mut Vec<u8>, seq: u64, ts_ms: i64, nodes: &[NodeReading]) {
    out.extend_from_slice(br#"{"type":"reading","seq":"#);
    push_whole(out, seq);
    out.extend_from_slice(br#","ts":"#);
    push_fixed(out, ts_ms, 0);
    out.extend_from_slice(br#","nodes":["#);
    for (place, node) in nodes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_node(out, node);
    }
    out.extend_from_slice(b"]}\n");
}

fn push_node(out: &mut Vec<u8>, node: &NodeReading) {
    out.extend_from_slice(br#"{"node":"#);
    push_whole(out, u64::from(node.node.0));
    let mut field = |name: &[u8], value: Option<f64>, decimals| {
        if let Some(value) = value {
            out.extend_from_slice(name);
            push_decimal(out, value, decimals);
        }
    };
    field(br#","watts":"#, node.watts.map(|watts| watts.0), 1);
    field(br#","volts":"#, node.volts.map(|volts| volts.0), 1);
    field(br#","amps":"#, node.amps.map(|amps| amps.0), 2);
    field(br#","vars":"#, node.vars.map(|vars| vars.0), 1);
    field(br#","hertz":"#, node.hertz.map(|hertz| hertz.0), 3);
    field(br#","wh_in":"#, node.wh_in.map(|energy| energy.0), 2);
    field(br#","wh_out":"#, node.wh_out.map(|energy| energy.0), 2);
    field(br#","soc":"#, node.soc.map(|share| share.0), 4);
    match node.on {
        Some(true) => out.extend_from_slice(br#","on":true"#),
        Some(false) => out.extend_from_slice(br#","on":false"#),
        None => {}
    }
    out.push(b'}');
}

fn push_decimal(out: &mut Vec<u8>, value: f64, decimals: usize) {
    const SCALES: [f64; 5] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];
    let scaled = (value * SCALES.get(decimals).copied().unwrap_or(1.0)).round();
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and meters stay below")]
    let whole = scaled as i64;
    push_fixed(out, whole, decimals);
}

/// Appends a whole number with so many of its digits behind the point; trailing zeros are left out.
fn push_fixed(out: &mut Vec<u8>, number: i64, mut decimals: usize) {
    if number < 0 {
        out.push(b'-');
    }
    let mut size = number.unsigned_abs();
    while decimals > 0 && size.is_multiple_of(10) {
        size /= 10;
        decimals -= 1;
    }
    if decimals == 0 {
        push_whole(out, size);
        return;
    }
    let point = 10_u64.pow(u32::try_from(decimals).unwrap_or(0));
    push_whole(out, size / point);
    out.push(b'.');
    let mut behind = size % point + point;
    let mut digits = [b'0'; 20];
    let mut used = 0;
    while behind > 1 {
        if let Some(digit) = digits.get_mut(used) {
            *digit = b'0' + u8::try_from(behind % 10).unwrap_or(0);
        }
        used += 1;
        behind /= 10;
    }
    out.extend(digits.iter().take(decimals.min(used)).rev());
}

fn push_whole(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        if let Some(digit) = digits.get_mut(start) {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        }
        number /= 10;
        if number == 0 || start == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{Seq, Timestamp};
    use memcloud_wire::{HemFrame, MAX_BATCH, SampleTime};
    use proptest::prelude::*;

    use super::*;
    use crate::{Dataset, Home, HomeProfile};

    proptest! {
        #[test]
        fn a_number_reads_back_as_itself(number in -10_000_000_000_i64..10_000_000_000, decimals in 0_usize..5) {
            let value = number as f64 / 10_f64.powi(i32::try_from(decimals).unwrap());
            let mut out = Vec::new();
            push_decimal(&mut out, value, decimals);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap(), value, "{}", text);
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
        }
    }

    #[test]
    fn the_cloud_reads_what_a_home_measured() {
        let begin = Timestamp(1_794_816_000_000);
        let profile = HomeProfile::new(Dataset::fontana().unwrap(), 0, 1);
        let mut home = Home::new(profile, begin);
        for step in 1..200 {
            let moment = Timestamp(begin.0 + step * 987_654);
            let nodes = home.sample(moment);
            let mut line = Vec::new();
            push_reading(&mut line, 77, moment.0, &nodes);
            assert_eq!(line.pop(), Some(b'\n'));
            let frame = HemFrame::decode(&line, usize::try_from(MAX_BATCH).unwrap()).unwrap();
            let HemFrame::Reading(sample) = frame else { panic!("{frame:?}") };
            assert_eq!(sample.seq, Seq(77));
            assert_eq!(sample.time, SampleTime::At(moment));
            assert_eq!(sample.nodes, nodes);
        }
    }
}
