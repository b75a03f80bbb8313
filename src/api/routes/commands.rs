//! Commands: asked for, followed, taken back.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, delete, get, post, web};
use memcloud_domain::messages::{CancelCommand, ListCommands, RequestCommands};
use memcloud_domain::{CommandId, CommandRecord, CommandState, HemId, MicrogridId, Timestamp};
use memcloud_registry::Hem;
use memcloud_rest::{Command, NewCommand, Page};
use serde::Deserialize;
use utoipa::IntoParams;

use super::parameters::Limit;
use crate::api::caller::{Authorised, Caller, Operator, Viewer};
use crate::api::command_check::Asked;
use crate::api::cursor;
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::{Body, Query};
use crate::api::idempotency::{Made, Once};
use crate::api::owner::Original;
use crate::api::state::State;
use crate::api::waiting::decided;

const LIST: &str = "commands";
/// The longest that anyone may wait.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait: `500ms`, `5s`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Patience(Duration);

impl TryFrom<String> for Patience {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let span = if let Some(millis) = text.strip_suffix("ms") {
            millis.parse().map(Duration::from_millis)
        } else {
            text.strip_suffix('s').unwrap_or("no unit").parse().map(Duration::from_secs)
        };
        match span {
            Ok(span) if span <= MOST_PATIENCE => Ok(Self(span)),
            _ => Err(format!(
                "\"{}\" is not a time to wait; say 500ms, 5s, at most {}s",
                text.chars().take(40).collect::<String>(),
                MOST_PATIENCE.as_secs()
            )),
        }
    }
}

/// How long to wait for the answer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitQuery {
    /// Answer when the command is decided, or after so long: `500ms`, `5s`, at most `60s`.
    #[param(value_type = String, pattern = "^(([0-9]|[1-5][0-9]|60)s|[0-9]{1,4}ms)$", example = "5s", required = false)]
    wait: Option<Patience>,
}

/// Command a HEM or a node
///
/// Answered once it is on disk as `accepted`; with `wait`, once it is decided or the time is over.
/// What the node declared in `controls` it can be told.
#[utoipa::path(
    operation_id = "command_hem", tag = "Commands",
    params(WaitQuery),
    request_body = NewCommand,
    responses((status = 202, body = Command, description = "It is on disk, and on its way.", headers(("Location" = String, description = "Its path."))))
)]
#[post("/hems/{hem}/commands")]
pub(super) async fn make(
    hem: Authorised<Hem, Operator>,
    state: web::Data<State>,
    original: Original,
    once: Once,
    query: Query<WaitQuery>,
    body: Body<NewCommand>,
) -> ApiResult<HttpResponse> {
    if let Some(answer) = original.elsewhere(&state, &hem.microgrid, body.bytes.clone()).await? {
        return Ok(answer);
    }
    let asked = Asked::read(&body.value, Timestamp(state.clock.unix_ms()))?;
    let node = body.value.node;
    asked.check_node(&hem.id, &hem.nodes, node)?;
    let request = asked.request(&hem.microgrid, &hem.id, node, &hem.caller.asker());
    let own = state.get_ref().clone();
    let work = async move {
        let taken = own.commands.ask(RequestCommands { requests: vec![request] }).await?;
        let Some(record) = taken.first() else {
            log::error!("the ledger took a command and did not say which");
            return Err(ApiError::new(
                ErrorCode::Internal,
                "the ledger did not answer as it should",
            ));
        };
        Made::begun(&format!("/commands/{}", record.id), &Command::from(record.as_ref()))
    };
    let answered = once.perform(&state, &hem.caller, body.digest, work).await?;
    let id = answered.id().and_then(|id| CommandId::new(id).ok());
    let (Some(Patience(patience)), Some(id)) = (query.0.wait, id) else {
        return Ok(answered.into_response());
    };
    match decided(&state, &id, patience).await {
        Some(record) => Ok(answered.with_body(&Command::from(record.as_ref()))?.into_response()),
        None => Ok(answered.into_response()),
    }
}

/// Look at a command
///
/// With every step of its life, and what shows it.
#[utoipa::path(operation_id = "get_command", tag = "Commands", params(WaitQuery), responses((status = 200, body = Command, description = "The command.")))]
#[get("/commands/{command}")]
pub(super) async fn get(
    command: Authorised<Arc<CommandRecord>, Viewer>,
    state: web::Data<State>,
    query: Query<WaitQuery>,
) -> web::Json<Command> {
    let newest = match query.0.wait {
        Some(Patience(patience)) => decided(&state, &command.id, patience).await,
        None => None,
    };
    web::Json(Command::from(newest.as_ref().unwrap_or(&command.item).as_ref()))
}

/// Take a command back
///
/// Only before it was sent: then it is certainly never carried out.
#[utoipa::path(operation_id = "cancel_command", tag = "Commands", responses((status = 200, body = Command, description = "It is cancelled.")))]
#[delete("/commands/{command}")]
pub(super) async fn cancel(
    command: Authorised<Arc<CommandRecord>, Operator>,
    state: web::Data<State>,
    original: Original,
) -> ApiResult<HttpResponse> {
    if let Some(answer) = original.elsewhere(&state, &command.microgrid, web::Bytes::new()).await? {
        return Ok(answer);
    }
    let cancel = CancelCommand {
        command: command.id.clone(),
        by: command.caller.asker(),
        microgrid: command.microgrid.clone(),
    };
    let cancelled = state.commands.ask(cancel).await?;
    Ok(HttpResponse::Ok().json(Command::from(cancelled.as_ref())))
}

/// Which commands.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandsQuery {
    /// Only of this HEM.
    #[param(value_type = memcloud_rest::schemas::Id, required = false)]
    hem: Option<HemId>,
    /// Only of this microgrid.
    #[param(value_type = memcloud_rest::schemas::Id, required = false)]
    microgrid: Option<MicrogridId>,
    /// Only in this state.
    #[param(value_type = memcloud_rest::schemas::CommandState, required = false)]
    state: Option<CommandState>,
    /// At most so many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = String, required = false)]
    after: Option<String>,
}

/// List the commands
///
/// Those that the caller may see, the newest first; jobs' too.
#[utoipa::path(operation_id = "list_commands", tag = "Commands", params(CommandsQuery), responses((status = 200, body = Page<Command>, description = "A page.")))]
#[get("/commands")]
pub(super) async fn list(
    caller: Caller<Viewer>,
    state: web::Data<State>,
    query: Query<CommandsQuery>,
) -> ApiResult<web::Json<Page<Command>>> {
    let Query(query) = query;
    if let Some(microgrid) = &query.microgrid {
        caller.must_see(microgrid)?;
    }
    let after = match &query.after {
        Some(text) => {
            let id = cursor::decode(LIST, text)?;
            Some(CommandId::new(&id).map_err(|_| no_cursor())?)
        }
        None => None,
    };
    let limit = query.limit.get();
    // One more than the page holds shows whether there is another page.
    let asked = ListCommands {
        microgrid: query.microgrid.or_else(|| caller.only().cloned()),
        hem: query.hem,
        state: query.state,
        after,
        limit: limit + 1,
    };
    let mut commands = state.commands.ask(asked).await?.items;
    let is_last = commands.len() <= limit;
    commands.truncate(limit);
    let next = commands.last().filter(|_| !is_last);
    Ok(web::Json(Page {
        next: next.map(|command| cursor::encode(LIST, command.id.as_str())),
        items: commands.iter().map(|command| Command::from(command.as_ref())).collect(),
    }))
}

fn no_cursor() -> ApiError {
    ApiError::new(ErrorCode::BadCursor, "after: this is no cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_given_with_its_unit_and_ends_after_a_minute() {
        let wait = |text: &str| Patience::try_from(text.to_owned()).ok().map(|patience| patience.0);
        assert_eq!(wait("5s"), Some(Duration::from_secs(5)));
        assert_eq!(wait("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(wait("60s"), Some(MOST_PATIENCE));
        assert_eq!(wait("0s"), Some(Duration::ZERO));
        for bad in ["", "5", "61s", "60001ms", "-1s", "1m", "1.5s", "s", "ms", "no units"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }
}
