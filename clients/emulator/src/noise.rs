//! Deterministic noise: a value for every key and step, without a generator to keep in step. That
//! is what lets a home be sampled at any moment in any order.

/// Mixes a key and a step into 64 well-spread bits (the finaliser of SplitMix64, Steele, Lea and
/// Flood, 2014).
#[must_use]
pub(crate) fn mix(key: u64, step: u64) -> u64 {
    let mut bits = key ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A value from 0 up to 1.
#[must_use]
pub(crate) fn unit(key: u64, step: u64) -> f64 {
    let top = u32::try_from(mix(key, step) >> 32).unwrap_or(u32::MAX);
    f64::from(top) / 4_294_967_296.0
}

/// A value from -1 up to 1.
#[must_use]
pub(crate) fn signed(key: u64, step: u64) -> f64 {
    unit(key, step) * 2.0 - 1.0
}

/// A value from `low` up to `high`.
#[must_use]
pub(crate) fn between(key: u64, step: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(key, step)
}

/// A whole number from 0 up to `count`; 0 where `count` is 0.
#[must_use]
pub(crate) fn below(key: u64, step: u64, count: u32) -> u32 {
    let top = mix(key, step) >> 32;
    u32::try_from((top * u64::from(count)) >> 32).unwrap_or(0)
}
