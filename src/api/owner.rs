//! What only the process that runs a microgrid can answer is passed on to it, just as it came, and its
//! answer is passed back: so it does not matter which process of a cluster is asked. The caller's own
//! token goes along, so the other process decides by itself whether it may.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION,
    RETRY_AFTER,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use bytes::Bytes;
use memcloud_domain::messages::FindOwner;
use memcloud_domain::{MicrogridId, Owner, ProcessId};

use super::error::{ApiError, ApiResult, ErrorCode};
use super::idempotency;
use super::state::State;

/// Who passed a request on: it is not passed on again.
const PASSED_ON_BY: &str = "Memcloud-Passed-On-By";
/// Whoever waits for a command waits for a minute at most.
const DEADLINE: Duration = Duration::from_secs(70);
/// As long a microgrid that nobody runs is waited for.
const TRIES: usize = 12;
const PAUSE: Duration = Duration::from_millis(500);
/// The largest answer that is passed back.
const MOST: usize = 16 << 20;

thread_local! {
    /// Connections to other processes are kept, by each thread its own.
    static CLIENT: awc::Client = awc::Client::builder().timeout(DEADLINE).finish();
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Original {
    method: Method,
    target: String,
    headers: Vec<(HeaderName, String)>,
    was_passed_on: bool,
}

impl FromRequest for Original {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let key = HeaderName::from_bytes(idempotency::HEADER.as_bytes()).ok();
        let kept = [Some(AUTHORIZATION), Some(ACCEPT), Some(CONTENT_TYPE), key];
        let header = |name: HeaderName| {
            let value = request.headers().get(&name)?.to_str().ok()?.to_owned();
            Some((name, value))
        };
        ready(Ok(Self {
            method: request.method().clone(),
            target: request.uri().to_string(),
            headers: kept.into_iter().flatten().filter_map(header).collect(),
            was_passed_on: request.headers().contains_key(PASSED_ON_BY),
        }))
    }
}

impl Original {
    /// The answer of the process that runs a microgrid, where that is another one. Absent: it is this
    /// one's to answer.
    ///
    /// # Errors
    /// `unavailable` where nobody runs it, or whoever does is not reached; `unanswered` where it did not
    /// answer, and nobody knows what it did.
    pub(crate) async fn elsewhere(
        &self,
        state: &State,
        microgrid: &MicrogridId,
        body: Bytes,
    ) -> ApiResult<Option<HttpResponse>> {
        let Some(cluster) = &state.cluster else { return Ok(None) };
        for _ in 0..TRIES {
            match cluster.ask(FindOwner { microgrid: microgrid.clone() }).await? {
                Owner::Here => return Ok(None),
                Owner::There { process, address } if !self.was_passed_on => {
                    return self.pass_on(state, &process, &address, body).await.map(Some);
                }
                // It moves at this moment.
                Owner::There { .. } | Owner::Nobody => state.clock.sleep(PAUSE).await,
            }
        }
        Err(ApiError::new(
            ErrorCode::Unavailable,
            format!("no process runs microgrid {microgrid} at present; ask again in a few seconds"),
        ))
    }

    async fn pass_on(
        &self,
        state: &State,
        process: &ProcessId,
        address: &str,
        body: Bytes,
    ) -> ApiResult<HttpResponse> {
        let here = state.process.as_ref().map(ToString::to_string).unwrap_or_default();
        let url = format!("http://{address}{}", self.target);
        let mut request = CLIENT.with(|client| client.request(self.method.clone(), url));
        for (name, value) in &self.headers {
            request = request.insert_header((name.clone(), value.as_str()));
        }
        let request = request.insert_header((PASSED_ON_BY, here)).no_decompress();
        let mut answer = request.send_body(body).await.map_err(|error| match error {
            awc::error::SendRequestError::Connect(reason) => ApiError::new(
                ErrorCode::Unavailable,
                format!("process {process}, which runs the microgrid, is not reached: {reason}; ask again"),
            ),
            other => unanswered(process, &other.to_string()),
        })?;
        let content = answer.body().limit(MOST).await;
        let content = content.map_err(|error| unanswered(process, &error.to_string()))?;
        let status = StatusCode::from_u16(answer.status().as_u16())
            .unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Ok(passed_back(status, answer.headers(), content))
    }
}

fn unanswered(process: &ProcessId, reason: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Unanswered,
        format!("process {process}, which runs the microgrid, did not answer: {reason}"),
    )
}

fn passed_back(status: StatusCode, headers: &HeaderMap, content: Bytes) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    let replayed = HeaderName::from_static("idempotency-replayed");
    for name in [CONTENT_TYPE, LOCATION, RETRY_AFTER, CACHE_CONTROL, replayed] {
        if let Some(value) = headers.get(&name) {
            response.insert_header((name, value.clone()));
        }
    }
    response.body(content)
}
