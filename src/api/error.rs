//! One table of errors. An error's code never changes its meaning and is never given to another one;
//! status, title, the OpenAPI document and the page of errors all follow from the table.

use std::fmt::{self, Write as _};
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use memcloud_domain::CommandState;
use memcloud_domain::messages::{CommandError, Unavailable};
use memcloud_microgrid::MicrogridError;
use memcloud_rest::Problem;
use memcloud_store::registry::RegistryError;
use memcloud_supervision::{AskError, OffloadError};

/// The page that explains the errors; a problem's `type` points into it.
pub(crate) const ERRORS_PATH: &str = "/api/errors";

macro_rules! errors {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// What can go wrong, as programs know it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl ErrorCode {
            /// Every error, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// The error in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// When it occurs, and what to do.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii()),+ }
            }
        }
    };
}

errors! {
    /// The HTTP request itself cannot be understood.
    BadRequest = "bad-request", BAD_REQUEST, "The request cannot be understood";
    /// A part of the path is not of the form that it must have, e.g. an id with capital letters.
    BadPath = "bad-path", BAD_REQUEST, "A part of the path cannot be";
    /// A query parameter is unknown, given twice, or not of the form that it must have. The detail names it.
    BadQuery = "bad-query", BAD_REQUEST, "A query parameter is wrong";
    /// The cursor in `after` is not one that this list gave. Pass on what `next` said, unchanged.
    BadCursor = "bad-cursor", BAD_REQUEST, "The cursor is not from this list";
    /// A header is not of the form that it must have. The detail names it.
    BadHeader = "bad-header", BAD_REQUEST, "A header is wrong";
    /// The body is not JSON, or a field is unknown, missing or of the wrong type. The detail names it.
    BadBody = "bad-body", BAD_REQUEST, "The body is not of the right shape";
    /// No bearer token, or one that does not hold (any more). Ask an administrator for one.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Who are you?";
    /// The token is good, but its role, or its one microgrid, does not allow this.
    Forbidden = "forbidden", FORBIDDEN, "Your token does not allow this";
    /// A page of another origin wanted the live feed. List the origin in `http.allowed_origins`.
    ForeignOrigin = "foreign-origin", FORBIDDEN, "Pages of this origin may not listen";
    /// There is no such path. The documentation at `/api/docs` lists those that there are.
    NoSuchPath = "no-such-path", NOT_FOUND, "There is no such path";
    /// There is no such thing, or none that your token may see.
    NotFound = "not-found", NOT_FOUND, "There is no such thing";
    /// The path is right, the method is not. `Allow` lists the methods.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The method does not fit the path";
    /// None of the types in `Accept` can be had here. The detail lists those that can.
    NotAcceptable = "not-acceptable", NOT_ACCEPTABLE, "None of the wanted types can be had";
    /// The body did not arrive in time.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// There is one of this id already.
    AlreadyExists = "already-exists", CONFLICT, "There is one already";
    /// Others depend on it. The detail says which; delete those first.
    InUse = "in-use", CONFLICT, "Others depend on it";
    /// There are as many as there may be. Delete some first.
    LimitReached = "limit-reached", CONFLICT, "There are as many as there may be";
    /// A request with this `Idempotency-Key` is still being done. Ask again in a moment.
    InProgress = "in-progress", CONFLICT, "The first request is still being done";
    /// A request with this `Idempotency-Key` was done, and its answer carried a secret, which is not
    /// kept. `id` names what was made; rotate its key, or make another.
    SecretShown = "secret-shown", CONFLICT, "The secret was shown once already";
    /// The command was sent already, or is over: it cannot be cancelled. `state` says how far it is.
    TooLate = "too-late", CONFLICT, "It is too late to cancel";
    /// The job's app makes its own wishes; only a job of the app `external` takes them from outside.
    NotExternal = "not-external", CONFLICT, "The job makes its own wishes";
    /// The job does not run. Start it first.
    NotRunning = "not-running", CONFLICT, "The job does not run";
    /// The body is larger than `http.max_body`.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body must be JSON, and `Content-Type` must say so.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// A value is of the right form, but cannot be: a time zone that there is not, a configuration
    /// that the app does not take. The detail names the field.
    InvalidValue = "invalid-value", UNPROCESSABLE_ENTITY, "A value cannot be";
    /// The `Idempotency-Key` was used for another request. Take a new one.
    KeyReused = "key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for something else";
    /// The token sends more than it may. `Retry-After` says when to go on.
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS, "The token sends more than it may";
    /// The HEM has as many open commands as it may (`commands.open_per_hem`). Wait for some to end, or
    /// cancel them.
    TooManyCommands = "too-many-commands", TOO_MANY_REQUESTS, "The HEM has too many open commands";
    /// A fault of ours; it is logged. Please report it.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something is wrong on our side";
    /// What is needed to answer is away or restarting; nothing was done. `Retry-After` says when to ask again.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Something needed is away";
    /// No answer came in time, or what should have answered crashed: it may or may not have been
    /// done. With an `Idempotency-Key` you can safely ask again.
    Unanswered = "unanswered", SERVICE_UNAVAILABLE, "No answer came in time";
    /// As many listen to the live feed as may (`http.max_live`).
    TooManyListeners = "too-many-listeners", SERVICE_UNAVAILABLE, "Too many listen already";
}

/// An error as a handler answers it.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: ErrorCode,
    detail: String,
    id: Option<String>,
    state: Option<CommandState>,
    allow: Option<String>,
    retry_after: Duration,
}

/// When to ask again, where nothing better is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(2);

/// What handlers answer.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error, with what happened this time.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            id: None,
            state: None,
            allow: None,
            retry_after: RETRY_AFTER_DEFAULT,
        }
    }

    /// There is no such thing, or none that the caller may see: both read the same.
    #[must_use]
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let shown: String = id.chars().take(80).collect();
        Self::new(ErrorCode::NotFound, format!("there is no {what} \"{shown}\""))
    }

    /// Names what it is about.
    #[must_use]
    pub(crate) fn about(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Says how far the command is.
    #[must_use]
    pub(crate) fn in_state(mut self, state: CommandState) -> Self {
        self.state = Some(state);
        self
    }

    /// Says when to ask again.
    #[must_use]
    pub(crate) fn retry_after(mut self, span: Duration) -> Self {
        self.retry_after = span;
        self
    }

    /// Names the methods that the path has.
    #[must_use]
    pub(crate) fn allowing(mut self, methods: &str) -> Self {
        self.allow = Some(methods.to_owned());
        self
    }

    /// The error's stable name.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The body.
    #[must_use]
    pub(crate) fn problem(&self) -> Problem {
        Problem {
            kind: format!("{ERRORS_PATH}#{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.clone(),
            id: self.id.clone(),
            state: self.state,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut answer = HttpResponse::build(self.code.status());
        answer.insert_header((header::CONTENT_TYPE, Problem::CONTENT_TYPE));
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        match self.code.status() {
            StatusCode::UNAUTHORIZED => {
                answer.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"memcloud\""));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let seconds = self.retry_after.as_millis().div_ceil(1_000).max(1);
                answer.insert_header((RETRY_AFTER, seconds.to_string()));
            }
            _ => {}
        }
        if let Some(methods) =
            self.allow.as_deref().and_then(|text| HeaderValue::from_str(text).ok())
        {
            answer.insert_header((ALLOW, methods));
        }
        answer.body(serde_json::to_vec(&self.problem()).unwrap_or_default())
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Stopped => {
                Self::new(ErrorCode::Unavailable, format!("{error}; ask again in a moment"))
            }
            // What is restarted reads its mailbox again: the message may still be there.
            AskError::Restarting | AskError::TimedOut | AskError::Lost => Self::new(
                ErrorCode::Unanswered,
                format!("{error}; what was asked for may or may not have been done"),
            ),
        }
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::new(ErrorCode::Unavailable, error.to_string())
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::Invalid(_) => Self::new(ErrorCode::InvalidValue, detail),
            CommandError::TooMany { .. } => Self::new(ErrorCode::TooManyCommands, detail),
            CommandError::Unknown => Self::new(ErrorCode::NotFound, detail),
            CommandError::TooLate(command) => Self::new(ErrorCode::TooLate, detail)
                .about(command.id.as_str())
                .in_state(command.state),
            CommandError::Unavailable(away) => away.into(),
            other => {
                log::error!(error:% = other; "the ledger answered what REST has no word for");
                Self::new(ErrorCode::Internal, "the command could not be dealt with")
            }
        }
    }
}

impl From<MicrogridError> for ApiError {
    fn from(error: MicrogridError) -> Self {
        let detail = error.to_string();
        let code = match error {
            MicrogridError::TooFast { retry_after, .. } => {
                return Self::new(ErrorCode::TooManyRequests, detail).retry_after(retry_after);
            }
            MicrogridError::Unreachable { source, .. } => return source.into(),
            MicrogridError::NotExternal { .. } => ErrorCode::NotExternal,
            MicrogridError::NotRunning { .. } => ErrorCode::NotRunning,
            MicrogridError::TooManyWishes { .. } => ErrorCode::InvalidValue,
            MicrogridError::UnknownHem { .. } | MicrogridError::UnknownJob { .. } => {
                ErrorCode::NotFound
            }
            // Its supervisor starts, or restarts: in a moment it answers.
            _ => ErrorCode::Unavailable,
        };
        Self::new(code, detail)
    }
}

impl From<OffloadError> for ApiError {
    fn from(error: OffloadError) -> Self {
        log::error!(error:%; "slow work of a request failed");
        Self::new(ErrorCode::Internal, "slow work of this request failed")
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        let code = match error {
            RegistryError::NotFound { what, id } => return Self::not_found(what, &id),
            RegistryError::AlreadyExists { .. } => ErrorCode::AlreadyExists,
            RegistryError::Invalid { .. } => ErrorCode::InvalidValue,
            RegistryError::InUse { .. } => ErrorCode::InUse,
            RegistryError::TooMany { .. } => ErrorCode::LimitReached,
            RegistryError::Unavailable { .. } => ErrorCode::Unavailable,
            other => {
                log::error!(error:% = other; "the registry answered what REST has no word for");
                return Self::new(ErrorCode::Internal, "the web store holds what cannot be read");
            }
        };
        Self::new(code, detail)
    }
}

/// The table as a page, for whoever follows a problem's `type`.
#[must_use]
pub(crate) fn errors_page() -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>MEMCloud: errors</title>\
         <style>body{font:16px/1.5 system-ui;max-width:60em;margin:2em auto;padding:0 1em}\
         td,th{text-align:left;vertical-align:top;padding:.4em .8em;border-bottom:1px solid #ccc}\
         :target{background:#ff9}</style><h1>Errors</h1><p>Every error of the API is an \
         <code>application/problem+json</code> with one of these codes.</p>\
         <table><tr><th>Code<th>Status<th>Meaning",
    );
    for code in ErrorCode::ALL {
        let name = code.as_str();
        let meaning = code.meaning().replace('&', "&amp;").replace('<', "&lt;");
        let _ = write!(
            page,
            "<tr id=\"{name}\"><td><code>{name}</code><td>{}<td>{}. {meaning}",
            code.status().as_u16(),
            code.title().trim_end_matches('?'),
        );
    }
    page.push_str("</table></html>");
    page
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_errors_share_a_code() {
        let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn every_error_is_on_the_page_that_its_type_points_to() {
        let page = errors_page();
        for code in ErrorCode::ALL {
            let kind = ApiError::new(*code, "x").problem().kind;
            let (path, fragment) = kind.split_once('#').unwrap();
            assert_eq!(path, ERRORS_PATH);
            assert!(page.contains(&format!("id=\"{fragment}\"")), "{fragment}");
        }
    }

    #[test]
    fn every_error_is_in_the_written_documentation() {
        let text = include_str!("../../docs/API.md");
        for code in ErrorCode::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(text.contains(&row), "docs/API.md lacks the row {row}");
        }
    }

    #[test]
    fn a_hostile_id_is_cut_in_its_error() {
        let error = ApiError::not_found("HEM", &"x".repeat(100_000));
        assert!(error.problem().detail.len() < 200);
    }
}
