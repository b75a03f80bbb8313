//! A reading as JSON, faster than a general encoder: a meter's figures have a fixed number of
//! decimals, so they are written as whole numbers with a point in them.

use memcloud_domain::NodeReading;

/// Appends a `reading` frame with its `\n`.
pub(super) fn push_reading(out: &mut Vec<u8>, seq: u64, ts_ms: i64, nodes: &[NodeReading]) {
    out.extend_from_slice(br#"{"type":"reading","seq":"#);
    push_whole(out, seq);
    out.extend_from_slice(br#","ts":"#);
    push_whole(out, u64::try_from(ts_ms).unwrap_or(0));
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
    push_field::<10>(out, br#","watts":"#, node.watts.map(|watts| watts.0));
    push_field::<10>(out, br#","volts":"#, node.volts.map(|volts| volts.0));
    push_field::<100>(out, br#","amps":"#, node.amps.map(|amps| amps.0));
    push_field::<10>(out, br#","vars":"#, node.vars.map(|vars| vars.0));
    push_field::<1_000>(out, br#","hertz":"#, node.hertz.map(|hertz| hertz.0));
    push_field::<100>(out, br#","wh_in":"#, node.wh_in.map(|energy| energy.0));
    push_field::<100>(out, br#","wh_out":"#, node.wh_out.map(|energy| energy.0));
    push_field::<10_000>(out, br#","soc":"#, node.soc.map(|share| share.0));
    match node.on {
        Some(true) => out.extend_from_slice(br#","on":true"#),
        Some(false) => out.extend_from_slice(br#","on":false"#),
        None => {}
    }
    out.push(b'}');
}

fn push_field<const SCALE: u32>(out: &mut Vec<u8>, name: &[u8], value: Option<f64>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        push_decimal::<SCALE>(out, value);
    }
}

/// Appends a number in steps of one part in `SCALE`, a power of ten up to 10,000.
fn push_decimal<const SCALE: u32>(out: &mut Vec<u8>, value: f64) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and meters stay below"
    )]
    let size = (value.abs() * f64::from(SCALE) + 0.5) as u64;
    if value < 0.0 && size > 0 {
        out.push(b'-');
    }
    push_whole(out, size / u64::from(SCALE));
    let mut behind = u32::try_from(size % u64::from(SCALE)).unwrap_or(0);
    if behind == 0 {
        return;
    }
    out.push(b'.');
    // Digit by digit until only zeros are left, each division by a constant.
    if SCALE >= 10_000 {
        push_digit(out, behind / 1_000);
        behind %= 1_000;
        if behind == 0 {
            return;
        }
    }
    if SCALE >= 1_000 {
        push_digit(out, behind / 100);
        behind %= 100;
        if behind == 0 {
            return;
        }
    }
    if SCALE >= 100 {
        push_digit(out, behind / 10);
        behind %= 10;
        if behind == 0 {
            return;
        }
    }
    push_digit(out, behind);
}

fn push_digit(out: &mut Vec<u8>, digit: u32) {
    out.push(b'0' + u8::try_from(digit).unwrap_or(0));
}

fn push_whole(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        out.push(b'0' + u8::try_from(number).unwrap_or(0));
        return;
    }
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        start -= 1;
        number /= 10;
        if number == 0 {
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
        fn a_number_reads_back_as_itself(steps in -10_000_000_000_i64..10_000_000_000) {
            let written = [
                (10.0, push_decimal::<10> as fn(&mut Vec<u8>, f64)),
                (100.0, push_decimal::<100>),
                (1_000.0, push_decimal::<1_000>),
                (10_000.0, push_decimal::<10_000>),
            ];
            for (scale, push) in written {
                for value in [steps as f64 / scale, (steps % 1_000) as f64 / scale] {
                    let mut out = Vec::new();
                    push(&mut out, value);
                    let text = String::from_utf8(out).unwrap();
                    prop_assert_eq!(text.parse::<f64>().unwrap(), value, "{}", text);
                    prop_assert!(serde_json::from_str::<f64>(&text).is_ok(), "{}", text);
                }
            }
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
