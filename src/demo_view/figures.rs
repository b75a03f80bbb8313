//! Figures as people read them: aligned, in kW, with thousands apart; bars and sparklines.

use chrono::FixedOffset;
use memcloud_domain::{Timestamp, Watts};

/// A power in kW with two decimals; the unit changes where kW would run wide.
pub(super) fn power(watts: Watts) -> String {
    let kilowatts = watts.value() / 1_000.0;
    match kilowatts.abs() {
        ..99.995 => format!("{kilowatts:.2} kW"),
        ..9_999.5 => format!("{kilowatts:.0} kW"),
        _ => format!("{:.1} MW", kilowatts / 1_000.0),
    }
}

/// As [`power`], with its sign always written.
pub(super) fn signed_power(watts: Watts) -> String {
    let sign = if watts.value() < -5.0 {
        "−"
    } else if watts.value() >= 5.0 {
        "+"
    } else {
        " "
    };
    format!("{sign}{}", power(watts.abs()))
}

/// A share in whole percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0))
}

/// A count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate per second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        ..99.95 => format!("{per_second:.1}/s"),
        ..999_999.5 => format!("{per_second:.0}/s"),
        _ => format!("{:.1} M/s", per_second / 1e6),
    }
}

/// How long ago something was, short.
pub(super) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else { return "never".to_owned() };
    match now.since(then).as_secs() {
        ..2 => "now".to_owned(),
        seconds @ ..100 => format!("{seconds} s"),
        seconds @ ..6_000 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A date and time at the homes.
pub(super) fn local_time(at: Timestamp, offset: FixedOffset, format: &str) -> String {
    at.to_datetime().with_timezone(&offset).format(format).to_string()
}

/// A bar of so many cells, filled by a share to an eighth of a cell: the filled part and the rest.
pub(super) fn bar(share: f64, cells: usize) -> (String, String) {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let filled = whole(share.clamp(0.0, 1.0) * small(cells) * 8.0);
    let mut text = "█".repeat(filled / 8);
    text.push_str(EIGHTHS.get(filled % 8).copied().unwrap_or(""));
    let rest = cells.saturating_sub(text.chars().count());
    (text, "░".repeat(rest))
}

/// One cell of a sparkline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spark {
    pub(super) symbol: char,
    /// Whether the mean of what it stands for is below zero; its height is the size.
    pub(super) negative: bool,
}

/// A sparkline of so many cells, each the mean of its share of the values, the highest against
/// `top`. Fewer values than cells stand at the right end, where the present is.
pub(super) fn sparkline(values: &[f64], cells: usize, top: f64) -> Vec<Spark> {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let used = cells.min(values.len());
    let blank = Spark { symbol: ' ', negative: false };
    let mut sparks = vec![blank; cells - used];
    for cell in 0..used {
        let from = cell * values.len() / used;
        let to = (cell + 1) * values.len() / used;
        let part = values.get(from..to).unwrap_or(&[]);
        let mean = part.iter().sum::<f64>() / small(part.len().max(1));
        let height = whole(mean.abs() / top.max(1e-9) * 7.999);
        let symbol = if mean.abs() < top * 0.005 {
            ' '
        } else {
            HEIGHTS.get(height.min(7)).copied().unwrap_or('█')
        };
        sparks.push(Spark { symbol, negative: mean < 0.0 });
    }
    sparks
}

fn small(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a screen can hold"
)]
fn whole(value: f64) -> usize {
    value.clamp(0.0, 100_000.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_keeps_its_width_from_nothing_to_megawatts() {
        for (watts, text) in [
            (0.0, "0.00 kW"),
            (-4.0, "-0.00 kW"),
            (99_994.0, "99.99 kW"),
            (123_456.0, "123 kW"),
            (12_345_678.0, "12.3 MW"),
        ] {
            assert_eq!(power(Watts(watts)), text);
        }
        assert_eq!(signed_power(Watts(-1_234.0)), "−1.23 kW");
        assert_eq!(signed_power(Watts(2_000.0)), "+2.00 kW");
        assert_eq!(signed_power(Watts(-3.0)), " 0.00 kW");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(50_400), "50,400");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn a_bar_is_as_wide_as_asked_whatever_the_share() {
        for share in [-1.0, 0.0, 0.01, 0.333, 0.5, 0.99, 1.0, 7.0, f64::NAN] {
            let (filled, rest) = bar(share, 10);
            assert_eq!(filled.chars().count() + rest.chars().count(), 10, "{share}");
        }
        assert_eq!(bar(0.5, 4), ("██".to_owned(), "░░".to_owned()));
        assert_eq!(bar(0.5625, 4).0, "██▎");
    }

    #[test]
    fn a_sparkline_ends_in_the_present_and_shows_which_side_of_zero() {
        let sparks = sparkline(&[0.0, 5.0, -10.0], 5, 10.0);
        let symbols: String = sparks.iter().map(|spark| spark.symbol).collect();
        assert_eq!(symbols, "   ▄█");
        assert!(sparks[4].negative && !sparks[3].negative);
        assert_eq!(sparkline(&[], 3, 0.0).len(), 3);
        assert_eq!(sparkline(&[1.0; 1_000], 7, 1.0).len(), 7);
    }
}
