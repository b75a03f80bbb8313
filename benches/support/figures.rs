//! Figures of several rounds: the median, and between which values the rounds lie.

use std::fmt;

/// One figure, measured in each of several rounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    rounds: Vec<f64>,
}

impl Figure {
    /// The figure of one more round.
    pub(crate) fn add(&mut self, value: f64) {
        self.rounds.push(value);
        self.rounds.sort_by(f64::total_cmp);
    }

    /// The middle of the rounds; of two in the middle, their mean.
    pub(crate) fn median(&self) -> f64 {
        let count = self.rounds.len();
        let at = |index: usize| self.rounds.get(index).copied().unwrap_or(f64::NAN);
        if count % 2 == 1 {
            at(count / 2)
        } else {
            f64::midpoint(at((count / 2).wrapping_sub(1)), at(count / 2))
        }
    }

    /// The lowest of the rounds.
    pub(crate) fn lowest(&self) -> f64 {
        self.rounds.first().copied().unwrap_or(f64::NAN)
    }

    /// The highest of the rounds.
    pub(crate) fn highest(&self) -> f64 {
        self.rounds.last().copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Figure {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut figure = Self::default();
        values.into_iter().for_each(|value| figure.add(value));
        figure
    }
}

/// `median (lowest to highest)`, with as many decimals as asked for.
impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = formatter.precision().unwrap_or(0);
        write!(
            formatter,
            "{} ({} to {})",
            readable(self.median(), decimals),
            readable(self.lowest(), decimals),
            readable(self.highest(), decimals)
        )
    }
}

/// A number with its thousands apart.
pub(crate) fn readable(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((text.as_str(), ""));
    let mut grouped = String::new();
    let digits = whole.chars().filter(char::is_ascii_digit).count();
    let mut left = digits;
    for character in whole.chars() {
        if character.is_ascii_digit() {
            if left != digits && left.is_multiple_of(3) {
                grouped.push(',');
            }
            left -= 1;
        }
        grouped.push(character);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

/// The duration in ms that so many per mille of the given ones do not exceed. Sorts them.
pub(crate) fn per_mille(durations_ms: &mut [f64], share: usize) -> f64 {
    durations_ms.sort_by(f64::total_cmp);
    let rank = (durations_ms.len() * share).div_ceil(1_000).max(1);
    durations_ms.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// A count as a number with which one reckons.
pub(crate) fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of a bench is far below 2^53")]
    let float = count as f64;
    float
}
