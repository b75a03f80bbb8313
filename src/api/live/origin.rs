//! Which pages may listen. A browser says which page opens a connection; without this check any page
//! that a signed-in person visits could listen with their cookie.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, ORIGIN};

use crate::api::error::{ApiError, ApiResult, ErrorCode};

/// Lets through what is no browser's, what is from the cloud's own pages, and what is on the list.
///
/// # Errors
/// `foreign-origin`.
pub(super) fn check(request: &HttpRequest, allowed: &[String]) -> ApiResult<()> {
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()));
    if is_allowed(origin, host, allowed) {
        return Ok(());
    }
    let shown: String = origin.chars().take(80).collect();
    Err(ApiError::new(
        ErrorCode::ForeignOrigin,
        format!(
            "pages of {shown} may not listen; an administrator can list them in `http.allowed_origins`"
        ),
    ))
}

fn is_allowed(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https")
            && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    });
    own || allowed.iter().any(|entry| entry.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pages_and_listed_ones_may_listen_and_no_others() {
        let listed = ["https://ops.example.org/".to_owned()];
        let allowed = |origin| is_allowed(origin, Some("127.0.0.1:8080"), &listed);
        assert!(allowed("http://127.0.0.1:8080"));
        assert!(allowed("https://ops.example.org"));
        for foreign in [
            "",
            "null",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://evil.example",
            "https://ops.example.org.evil.example",
            "file://127.0.0.1:8080",
        ] {
            assert!(!allowed(foreign), "{foreign}");
        }
        assert!(!is_allowed("http://x", None, &[]));
    }
}
