//! Why each node is as it is.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use memcloud_domain::{HemId, NodeId, NodeWhy};
use memcloud_microgrid::ExplainNodes;
use memcloud_registry::{Hem, Microgrid};
use memcloud_rest::{Page, Why};

use super::parameters::PageQuery;
use crate::api::caller::{Authorised, Viewer};
use crate::api::cursor;
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::Query;
use crate::api::owner::Original;
use crate::api::state::State;

const LIST: &str = "why";
/// How often, and how far apart, a supervisor that starts is asked before the caller is told to come back.
const PATIENT_TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(250);

/// Why a home's nodes are as they are
///
/// Of each node a sentence, what holds there, and everything that is wanted of it.
#[utoipa::path(operation_id = "explain_hem", tag = "Commands", responses((status = 200, body = Page<Why>, description = "All its nodes.")))]
#[get("/hems/{hem}/why")]
pub(super) async fn of_hem(
    hem: Authorised<Hem, Viewer>,
    state: web::Data<State>,
    original: Original,
) -> ApiResult<HttpResponse> {
    if let Some(answer) = original.elsewhere(&state, &hem.microgrid, web::Bytes::new()).await? {
        return Ok(answer);
    }
    let asked = ExplainNodes { microgrid: hem.microgrid.clone(), hem: Some(hem.id.clone()) };
    let nodes = explained(&state, asked).await?;
    let items = nodes.into_iter().map(Why::from).collect();
    Ok(HttpResponse::Ok().json(Page { items, next: None }))
}

/// Why a microgrid's nodes are as they are
///
/// The same for all its nodes, by HEM and node.
#[utoipa::path(operation_id = "explain_microgrid", tag = "Commands", params(PageQuery), responses((status = 200, body = Page<Why>, description = "A page.")))]
#[get("/microgrids/{microgrid}/why")]
pub(super) async fn of_microgrid(
    microgrid: Authorised<Microgrid, Viewer>,
    state: web::Data<State>,
    original: Original,
    query: Query<PageQuery>,
) -> ApiResult<HttpResponse> {
    let after =
        query.0.after.as_deref().map(|text| key(&cursor::decode(LIST, text)?)).transpose()?;
    if let Some(answer) = original.elsewhere(&state, &microgrid.id, web::Bytes::new()).await? {
        return Ok(answer);
    }
    let asked = ExplainNodes { microgrid: microgrid.id.clone(), hem: None };
    let nodes = explained(&state, asked).await?;
    Ok(HttpResponse::Ok().json(page(nodes, after.as_ref(), query.0.limit.get())))
}

/// A supervisor that was only just started has to read first which homes there are.
async fn explained(state: &State, asked: ExplainNodes) -> ApiResult<Vec<NodeWhy>> {
    for _ in 0..PATIENT_TRIES {
        match state.dispatch.ask(asked.clone()).await {
            Err(error) if error.code() == ErrorCode::Unavailable => {
                state.clock.sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
    state.dispatch.ask(asked).await
}

fn page(mut nodes: Vec<NodeWhy>, after: Option<&(HemId, NodeId)>, limit: usize) -> Page<Why> {
    nodes.sort_by(|one, other| (&one.hem, one.node).cmp(&(&other.hem, other.node)));
    let beyond =
        |why: &NodeWhy| after.is_none_or(|(hem, node)| (&why.hem, why.node) > (hem, *node));
    let mut rest = nodes.into_iter().filter(beyond);
    let items: Vec<Why> = rest.by_ref().take(limit).map(Why::from).collect();
    let next = rest.next().and_then(|_| items.last());
    let next = next.map(|why| cursor::encode(LIST, &format!("{}/{}", why.hem, why.node)));
    Page { items, next }
}

fn key(text: &str) -> ApiResult<(HemId, NodeId)> {
    let parsed = text
        .split_once('/')
        .and_then(|(hem, node)| Some((HemId::new(hem).ok()?, NodeId(node.parse().ok()?))));
    parsed.ok_or_else(|| ApiError::new(ErrorCode::BadCursor, "after: this is no cursor"))
}
