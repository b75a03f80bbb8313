//! The live feed: readings, status changes, commands and job events as they come, over a WebSocket or as
//! Server-Sent Events. It carries hints: who is slow loses updates and is told how many, and who
//! needs all reads the stored readings.

mod feed;
mod hub;
mod listeners;
mod origin;
mod sse;
mod websocket;

use actix_web::http::header::UPGRADE;
use actix_web::{HttpRequest, HttpResponse, get, web};
use memcloud_domain::{HemId, MicrogridId};
use memcloud_registry::{GetHem, GetMicrogrid};
use memcloud_rest::{LiveEvent, LiveMessage};
use serde::Deserialize;
use utoipa::IntoParams;

pub(crate) use self::hub::{Hub, LiveHub};
pub(crate) use self::listeners::Listeners;

use self::feed::{Feed, Filter};
use super::accept::Accept;
use super::caller::{Caller, Viewer};
use super::error::{ApiError, ApiResult, ErrorCode};
use super::extract::Query;
use super::state::State;

const EVENT_STREAM: &str = "text/event-stream";

/// To what one listens.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveQuery {
    /// Only of this microgrid.
    #[param(value_type = memcloud_rest::schemas::Id, required = false)]
    microgrid: Option<MicrogridId>,
    /// Only of this HEM (and of no job).
    #[param(value_type = memcloud_rest::schemas::Id, required = false)]
    hem: Option<HemId>,
    /// Go on behind the message of this id; `Last-Event-ID` goes before it.
    #[param(value_type = String, max_length = 64, required = false)]
    after: Option<String>,
}

/// What happens, as it happens.
#[utoipa::path(
    operation_id = "listen", tag = "Live",
    summary = "Listen",
    description = "A WebSocket (with `Upgrade: websocket`), or Server-Sent Events (with \
        `Accept: text/event-stream`). Each text message, or each event's data, is one JSON object. \
        With the id of the message that was heard last it goes on behind that, if that is still held; \
        if not, `missed` says up to where the store has what was missed. A listener that is too slow \
        loses the oldest updates and is told how many. Over a WebSocket each message carries its `id`.",
    params(LiveQuery, ("Last-Event-ID" = Option<String>, Header, description = "Go on behind the message of this id.")),
    responses(
        (status = 101, body = LiveEvent, description = "The WebSocket is open."),
        (status = 200, content_type = "text/event-stream", body = LiveMessage, description = "The stream, without end."),
    )
)]
#[get("/live")]
pub(crate) async fn live(
    caller: Caller<Viewer>,
    state: web::Data<State>,
    query: Query<LiveQuery>,
    accept: Accept,
    request: HttpRequest,
    body: web::Payload,
) -> ApiResult<HttpResponse> {
    origin::check(&request, &state.inner().settings.allowed_origins)?;
    let last_id = request.headers().get("Last-Event-ID").and_then(|value| value.to_str().ok());
    let last_id = last_id.map(str::to_owned).or_else(|| query.0.after.clone());
    let filter = filter(&caller, &state, query.0).await?;
    let is_websocket = request
        .headers()
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.eq_ignore_ascii_case("websocket"));
    if !is_websocket {
        accept.choose(&[EVENT_STREAM])?;
    }
    let seat = state.inner().listeners.seat()?;
    let feed = Feed::open(&state, filter, last_id.as_deref(), seat).await?;
    if is_websocket {
        websocket::answer(&request, body, feed, state.inner().closing.clone())
    } else {
        Ok(sse::answer(feed, state.inner().closing.clone()))
    }
}

/// What the caller may hear of what it asks for.
async fn filter(caller: &Caller<Viewer>, state: &State, query: LiveQuery) -> ApiResult<Filter> {
    let mut microgrid = query.microgrid.or_else(|| caller.only().cloned());
    if let Some(id) = &microgrid {
        caller.must_see(id)?;
        state.registrar.ask(GetMicrogrid { id: id.clone() }).await?;
    }
    if let Some(id) = &query.hem {
        let hidden = || ApiError::not_found("HEM", id.as_str());
        let hem = match state.registrar.ask(GetHem { id: id.clone() }).await {
            Ok(hem) => hem,
            Err(error) if error.code() == ErrorCode::NotFound => return Err(hidden()),
            Err(error) => return Err(error),
        };
        if microgrid.is_some_and(|wanted| wanted != hem.microgrid) {
            return Err(hidden());
        }
        microgrid = Some(hem.microgrid);
    }
    Ok(Filter { microgrid, hem: query.hem })
}
