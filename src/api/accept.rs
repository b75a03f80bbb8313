//! Which of the types that a handler offers the caller wants most (RFC 9110, section 12.5.1).

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::ACCEPT;
use actix_web::{FromRequest, HttpRequest};

use super::error::{ApiError, ApiResult, ErrorCode};

/// The request's `Accept`.
#[derive(Debug)]
pub(crate) struct Accept(String);

impl FromRequest for Accept {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let values: Vec<_> =
            request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).collect();
        ready(Ok(Self(values.join(","))))
    }
}

impl Accept {
    /// The place, in `offers`, of the type that is wanted most; of equals the first offered.
    ///
    /// # Errors
    /// `not-acceptable` where none is.
    pub(crate) fn choose(&self, offers: &[&str]) -> ApiResult<usize> {
        if self.0.trim().is_empty() {
            return Ok(0);
        }
        let mut best = None;
        for (place, offer) in offers.iter().enumerate() {
            let quality = self.quality(offer);
            if quality > best.map_or(0, |(_, best_quality)| best_quality) {
                best = Some((place, quality));
            }
        }
        best.map(|(place, _)| place).ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotAcceptable,
                format!("this can be had as {}; `Accept` wants none of them", offers.join(" or ")),
            )
        })
    }

    /// How much an offer is wanted, 0 to 1,000: the most specific range that fits it decides.
    fn quality(&self, offer: &str) -> u16 {
        let family = offer.split('/').next().unwrap_or_default();
        let mut decided = (0, 0);
        for range in self.0.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let specificity = if media.eq_ignore_ascii_case(offer) {
                3
            } else if media
                .strip_suffix("/*")
                .is_some_and(|wanted| wanted.eq_ignore_ascii_case(family))
            {
                2
            } else if media == "*/*" {
                1
            } else {
                continue;
            };
            let quality =
                parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(1_000, thousandths);
            if specificity > decided.0 {
                decided = (specificity, quality);
            }
        }
        decided.1
    }
}

/// A weight such as `0.75`, in thousandths; what is not one counts as the full weight.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{fraction:0<3}");
    match (whole, padded.get(..3).and_then(|digits| digits.parse::<u16>().ok())) {
        ("0", Some(value)) => value,
        _ => 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: [&str; 2] = ["application/json", "text/csv"];

    fn chosen(accept: &str) -> Option<usize> {
        Accept(accept.to_owned()).choose(&OFFERS).ok()
    }

    #[test]
    fn the_type_that_is_wanted_most_is_given() {
        assert_eq!(chosen(""), Some(0));
        assert_eq!(chosen("*/*"), Some(0));
        assert_eq!(chosen("text/csv"), Some(1));
        assert_eq!(chosen("Text/CSV; header=present"), Some(1));
        assert_eq!(chosen("text/*"), Some(1));
        assert_eq!(chosen("application/json;q=0.5, text/csv;q=0.75"), Some(1));
        assert_eq!(chosen("text/csv;q=0.1, */*"), Some(0));
        assert_eq!(chosen("text/html,application/xml;q=0.9,*/*;q=0.8"), Some(0));
    }

    #[test]
    fn what_cannot_be_had_is_not_given() {
        assert_eq!(chosen("image/png"), None);
        assert_eq!(chosen("application/json;q=0"), None);
        assert_eq!(chosen("*/*, application/json;q=0, text/csv;q=0.0"), None);
    }
}
