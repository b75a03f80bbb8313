//! Settings are checked with one sentence: what it is, and what it may be.

use std::time::Duration;

/// A number within its bounds.
pub(crate) fn check(name: &str, value: f64, least: f64, most: f64) -> Result<f64, String> {
    if value.is_finite() && (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(format!("{name} is {value}; it may be {least} to {most}"))
}

/// A number of seconds within its bounds.
pub(crate) fn seconds(name: &str, value: u32, least: u32, most: u32) -> Result<Duration, String> {
    if (least..=most).contains(&value) {
        return Ok(Duration::from_secs(u64::from(value)));
    }
    Err(format!("{name} is {value}; it may be {least} to {most}"))
}
