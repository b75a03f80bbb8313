//! The query parameters that several paths share.

use chrono::DateTime;
use memcloud_domain::Timestamp;
use memcloud_registry::{Listing, PageRequest};
use memcloud_rest::Page;
use memcloud_rest::paging::{DEFAULT_LIMIT, MAX_LIMIT};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::cursor;
use crate::api::error::ApiResult;

/// How many items a page may have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Limit(u16);

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        match u16::try_from(value) {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(Self(limit)),
            _ => Err(format!("{value} is not from 1 to {MAX_LIMIT}")),
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl Limit {
    pub(super) fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// A moment in RFC 3339. A `+` that was not escaped arrives as a space, and is read as what was meant.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Moment(pub(super) Timestamp);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let meant = match text.rfind(' ') {
            Some(place) if place > 10 => {
                format!(
                    "{}+{}",
                    text.get(..place).unwrap_or(""),
                    text.get(place + 1..).unwrap_or("")
                )
            }
            _ => text,
        };
        match DateTime::parse_from_rfc3339(&meant) {
            Ok(moment) => Ok(Self(Timestamp(moment.timestamp_millis()))),
            Err(_) => Err(format!(
                "\"{}\" is not a time in RFC 3339, e.g. 2026-11-23T12:00:00Z",
                meant.chars().take(40).collect::<String>()
            )),
        }
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// At most so many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 1000, default = 100, required = false)]
    pub(super) limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = String, required = false)]
    pub(super) after: Option<String>,
}

impl PageQuery {
    /// The page of a list that is kept by id.
    ///
    /// # Errors
    /// `bad-cursor`.
    pub(super) fn request(&self, list: &str) -> ApiResult<PageRequest> {
        request(list, self.limit, self.after.as_deref())
    }
}

/// The page of a list that is kept by id.
///
/// # Errors
/// `bad-cursor`.
pub(super) fn request(list: &str, limit: Limit, after: Option<&str>) -> ApiResult<PageRequest> {
    let after = after.map(|text| cursor::decode(list, text)).transpose()?;
    Ok(PageRequest { after, limit: limit.get() })
}

/// A page as it is answered.
pub(super) fn page<K, T>(list: &str, listing: Listing<K>, shape: impl FnMut(K) -> T) -> Page<T> {
    Page {
        items: listing.items.into_iter().map(shape).collect(),
        next: listing.next.map(|key| cursor::encode(list, &key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Option<i64> {
        Moment::try_from(text.to_owned()).ok().map(|moment| moment.0.0)
    }

    #[test]
    fn a_plus_that_was_not_escaped_is_read_as_what_was_meant() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(moment("1970-01-01T01:00:01+01:00"), Some(1_000));
        assert_eq!(moment("1970-01-01T01:00:01 01:00"), Some(1_000));
        assert_eq!(moment("1970-01-01 00:00:01Z"), Some(1_000));
        for bad in ["", "now", "1970-01-01", "1970-13-01T00:00:00Z", "1000"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_limit_beyond_its_bounds_is_refused_aloud() {
        assert_eq!(Limit::try_from(1_000).unwrap().get(), 1_000);
        assert!(Limit::try_from(0).is_err());
        assert!(Limit::try_from(1_001).unwrap_err().contains("from 1 to 1000"));
        assert!(Limit::try_from(u64::MAX).is_err());
    }
}
