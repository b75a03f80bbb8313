//! What a request brings: its query and its JSON body, read strictly. What is wrong is answered with
//! the name of the field.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::{ApiError, ApiResult, ErrorCode};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The query, each parameter at most once and none that is not known.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse_query(request.query_string()).map(Self))
    }
}

fn parse_query<T: DeserializeOwned>(text: &str) -> ApiResult<T> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        ApiError::new(ErrorCode::BadQuery, located(&error.path().to_string(), error.inner()))
    })
}

/// A JSON body, with no field that is not known. No body at all reads as `{}`.
#[derive(Debug)]
pub(crate) struct Body<T> {
    /// What it says.
    pub(crate) value: T,
    /// SHA-256 of the bytes as they came.
    pub(crate) digest: [u8; 32],
    /// The bytes.
    pub(crate) bytes: web::Bytes,
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = ApiResult<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or_default().to_owned());
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            let bytes = tokio::time::timeout(BODY_TIMEOUT, bytes).await.map_err(|_| {
                ApiError::new(
                    ErrorCode::RequestTimeout,
                    format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
                )
            })?;
            let bytes = bytes.map_err(|error| match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => ApiError::new(
                    ErrorCode::BodyTooLarge,
                    "the body is larger than this server takes (`http.max_body`)",
                ),
                _ => ApiError::new(
                    ErrorCode::BadRequest,
                    format!("the body did not arrive whole: {error}"),
                ),
            })?;
            let no_type_needed = bytes.is_empty() && content_type.is_none();
            if !no_type_needed && !content_type.as_deref().is_some_and(is_json) {
                return Err(ApiError::new(
                    ErrorCode::UnsupportedMediaType,
                    "send the body as UTF-8 JSON, with the header `Content-Type: application/json`",
                ));
            }
            parse_body(&bytes)
        })
    }
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let foreign_charset = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => false,
    };
    is_json && !parts.any(foreign_charset)
}

fn parse_body<T: DeserializeOwned>(bytes: &web::Bytes) -> ApiResult<Body<T>> {
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    // Serde would read a list as the fields in their order, which no document allows.
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::new(
            ErrorCode::BadBody,
            "the body must be a JSON object, not a list",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        ApiError::new(ErrorCode::BadBody, located(&error.path().to_string(), error.inner()))
    })?;
    json.end().map_err(|error| ApiError::new(ErrorCode::BadBody, error.to_string()))?;
    Ok(Body { value, digest: Sha256::digest(bytes).into(), bytes: bytes.clone() })
}

/// An error with the path of its field, unless it is about the whole. Bounded: it may quote what came.
fn located(path: &str, error: &impl std::fmt::Display) -> String {
    let text =
        if matches!(path, "." | "?" | "") { error.to_string() } else { format!("{path}: {error}") };
    if text.chars().count() > 400 {
        format!("{}…", text.chars().take(400).collect::<String>())
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use memcloud_rest::{JobChange, NewHem, NewMicrogrid};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        limit: Option<u16>,
    }

    fn detail<T: std::fmt::Debug>(result: ApiResult<T>) -> String {
        result.unwrap_err().problem().detail
    }

    #[test]
    fn a_wrong_query_parameter_is_named() {
        assert_eq!(parse_query::<Sample>("limit=7").unwrap().limit, Some(7));
        assert!(detail(parse_query::<Sample>("limit=x")).starts_with("limit: "));
        assert!(detail(parse_query::<Sample>("limt=1")).contains("unknown field `limt`"));
        assert!(
            detail(parse_query::<Sample>("limit=1&limit=2")).contains("duplicate field `limit`")
        );
    }

    fn read<T: DeserializeOwned>(text: &str) -> ApiResult<Body<T>> {
        parse_body(&web::Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_wrong_field_of_a_body_is_named() {
        let wrong = |body: &str| detail(read::<NewHem>(body));
        assert!(wrong(r#"{"id":7,"microgrid":"m"}"#).starts_with("id: "));
        assert!(wrong(r#"{"id":"A","microgrid":"m"}"#).contains("\"A\" is not a valid id"));
        assert!(wrong(r#"{"id":"a"}"#).contains("`microgrid`"));
        assert!(wrong(r#"{"id":"a","microgrid":"m","nam":"x"}"#).contains("`nam`"));
        assert!(wrong("").contains("missing field"));
        assert!(wrong(r#" ["a","m"]"#).contains("must be a JSON object"));
        assert!(wrong(r#"{"id":"a","microgrid":"m"} x"#).contains("trailing"));
        let nested = r#"{"id":"a","name":"n","limits":{"import_watts":"much"}}"#;
        let error = detail(read::<NewMicrogrid>(nested));
        assert!(error.starts_with("limits.import_watts: "), "{error}");
        let listed = r#"{"id":"a","name":"n","limits":[1,2]}"#;
        let error = detail(read::<NewMicrogrid>(listed));
        assert!(error.starts_with("limits: "), "{error}");
    }

    #[test]
    fn a_hostile_body_cannot_fill_the_answer() {
        let body = format!("{{\"state\":\"{}\"}}", "x".repeat(100_000));
        assert!(detail(read::<JobChange>(&body)).len() < 600);
    }

    #[test]
    fn only_json_in_utf_8_is_json() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=\"UTF-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonx",
            "application/json; charset=utf-16",
            "application/xml",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
