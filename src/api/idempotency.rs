//! POSTs that may be sent again: with an `Idempotency-Key`, the same request has the same answer for a
//! day, and is done once.

use std::future::{Future, Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use memcloud_registry::{
    BeginIdempotent, Beginning, FinishIdempotent, IdempotencyScope, IdempotentAnswer,
    IdempotentRequest,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::caller::Identity;
use super::error::{ApiError, ApiResult, ErrorCode};
use super::state::State;

/// The header, as it is documented.
pub(crate) const HEADER: &str = "Idempotency-Key";
const JSON: &str = "application/json";
const MAX_LENGTH: usize = 255;

fn is_key(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What of a POST makes it the same request: its key, method and path.
#[derive(Debug)]
pub(crate) struct Once {
    key: Option<String>,
    method: Method,
    path: String,
}

impl FromRequest for Once {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let key = request.headers().get(HEADER).map(|value| match value.to_str() {
            Ok(text) if is_key(text) => Ok(text.to_owned()),
            _ => Err(ApiError::new(
                ErrorCode::BadHeader,
                format!(
                    "{HEADER}: a key is 1 to {MAX_LENGTH} printable ASCII characters without spaces"
                ),
            )),
        });
        ready(key.transpose().map(|key| Self {
            key,
            method: request.method().clone(),
            path: request.path().to_owned(),
        }))
    }
}

/// What a POST made.
#[derive(Debug)]
pub(crate) struct Made {
    answered: Answered,
    secret_of: Option<String>,
}

/// The answer to a POST, now or again.
#[derive(Debug)]
pub(crate) struct Answered {
    status: StatusCode,
    location: Option<String>,
    body: String,
    is_replay: bool,
}

impl Answered {
    /// The id of what was made: the last part of its path.
    pub(crate) fn id(&self) -> Option<&str> {
        self.location.as_deref()?.rsplit('/').next()
    }

    /// The same with another body.
    ///
    /// # Errors
    /// `internal` where it cannot be written.
    pub(crate) fn with_body(self, body: &impl Serialize) -> ApiResult<Self> {
        Ok(Self { body: json(body)?, ..self })
    }

    /// As HTTP carries it.
    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((CONTENT_TYPE, JSON)).insert_header(("Cache-Control", "no-store"));
        if self.is_replay {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        if let Some(location) = self.location {
            response.insert_header((LOCATION, location));
        }
        response.body(self.body)
    }
}

fn json(body: &impl Serialize) -> ApiResult<String> {
    serde_json::to_string(body).map_err(|error| {
        log::error!(error:%; "an answer cannot be written as JSON");
        ApiError::new(ErrorCode::Internal, "the answer cannot be written")
    })
}

impl Made {
    fn answered(
        status: StatusCode,
        location: Option<&str>,
        body: &impl Serialize,
    ) -> ApiResult<Self> {
        let location = location.map(|path| format!("{}{path}", super::BASE));
        let answered = Answered { status, location, body: json(body)?, is_replay: false };
        Ok(Self { answered, secret_of: None })
    }

    /// Something new, at a path below the base.
    pub(crate) fn at(location: String, body: &impl Serialize) -> ApiResult<Self> {
        Self::answered(StatusCode::CREATED, Some(&location), body)
    }

    /// Something that is begun, at a path below the base.
    pub(crate) fn begun(location: &str, body: &impl Serialize) -> ApiResult<Self> {
        Self::answered(StatusCode::ACCEPTED, Some(location), body)
    }

    /// Something with this status and no path of its own.
    pub(crate) fn without_path(status: StatusCode, body: &impl Serialize) -> ApiResult<Self> {
        Self::answered(status, None, body)
    }

    /// Says that the answer carries a secret of what has this id.
    pub(crate) fn with_secret_of(mut self, id: impl Into<String>) -> Self {
        self.secret_of = Some(id.into());
        self
    }

    fn kept(&self) -> IdempotentAnswer {
        match &self.secret_of {
            Some(id) => IdempotentAnswer::Secret { id: id.clone() },
            None => IdempotentAnswer::Body {
                status: self.answered.status.as_u16(),
                content_type: JSON.to_owned(),
                location: self.answered.location.clone(),
                body: self.answered.body.clone(),
            },
        }
    }
}

impl Once {
    /// Does the work of a POST, or gives the answer that it had before. With a key the work is
    /// finished even if the caller leaves, so that the answer is there when they ask again.
    ///
    /// # Errors
    /// The work's own; `key-reused`, `secret-shown`, `in-progress`.
    pub(crate) async fn run(
        self,
        state: &State,
        caller: &Identity,
        body_digest: [u8; 32],
        work: impl Future<Output = ApiResult<Made>> + 'static,
    ) -> ApiResult<HttpResponse> {
        self.perform(state, caller, body_digest, work).await.map(Answered::into_response)
    }

    /// The same, for whoever has something to add to the answer.
    ///
    /// # Errors
    /// As [`Once::run`].
    pub(crate) async fn perform(
        self,
        state: &State,
        caller: &Identity,
        body_digest: [u8; 32],
        work: impl Future<Output = ApiResult<Made>> + 'static,
    ) -> ApiResult<Answered> {
        let Some(key) = self.key else { return work.await.map(|made| made.answered) };
        let scope = IdempotencyScope { principal: caller.id.to_string(), key };
        let fingerprint = Sha256::new()
            .chain_update(self.method.as_str())
            .chain_update([0])
            .chain_update(&self.path)
            .chain_update([0])
            .chain_update(body_digest)
            .finalize()
            .into();
        let request = IdempotentRequest { scope: scope.clone(), fingerprint };
        match state.registrar.ask(BeginIdempotent(request)).await? {
            Beginning::Fresh => {}
            Beginning::Replay(answer) => return again(answer),
            Beginning::SecretShown { id } => return Err(secret_shown(&id)),
            Beginning::Conflict => {
                return Err(ApiError::new(
                    ErrorCode::KeyReused,
                    format!("this {HEADER} was used for another request; take a new one"),
                ));
            }
            Beginning::InProgress => {
                return Err(ApiError::new(
                    ErrorCode::InProgress,
                    format!("the first request with this {HEADER} is still being done"),
                ));
            }
        }
        let own = state.clone();
        let to_the_end = actix_web::rt::spawn(async move {
            let made = work.await;
            // What may have been done keeps its key until its lease ends: it must not be done twice.
            let uncertain = made.as_ref().is_err_and(|error| error.code() == ErrorCode::Unanswered);
            if !uncertain {
                let answer = made.as_ref().ok().map(Made::kept);
                let finished = own.registrar.ask(FinishIdempotent { scope, answer }).await;
                if let Err(error) = finished {
                    log::warn!(error:%; "the answer to an idempotency key was not kept");
                }
            }
            made
        });
        match to_the_end.await {
            Ok(made) => made.map(|made| made.answered),
            Err(error) => {
                log::error!(error:%; "the work of a POST crashed");
                Err(ApiError::new(ErrorCode::Internal, "the work of this request crashed"))
            }
        }
    }
}

fn secret_shown(id: &str) -> ApiError {
    ApiError::new(
        ErrorCode::SecretShown,
        format!("\"{id}\" was made by this request before, and its secret was shown then; rotate it, or make another"),
    )
    .about(id)
}

fn again(answer: IdempotentAnswer) -> ApiResult<Answered> {
    match answer {
        IdempotentAnswer::Secret { id } => Err(secret_shown(&id)),
        IdempotentAnswer::Body { status, location, body, .. } => Ok(Answered {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::CREATED),
            location,
            body,
            is_replay: true,
        }),
    }
}
