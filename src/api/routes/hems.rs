//! HEMs: registered, listed, looked at, changed, deleted; their device keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use memcloud_domain::{HemId, HemStatus, MicrogridId, Seq};
use memcloud_registry::{
    DeleteHem, HemChange as Change, KeyState, ListHems, Listing, RegisterHem, RevokeHemKey,
    RotateHemKey, UpdateHem,
};
use memcloud_rest::{
    DeviceKey, Hem, HemChange, HemDetail, HemNode, KeyStateName, NewHem, NewHemCreated, Page,
};
use memcloud_status::{GetHemStatus, ListHemStatuses};
use serde::Deserialize;
use utoipa::IntoParams;

use super::microgrids::{checked_limits, shown_limits};
use super::parameters::{self, Limit};
use crate::api::caller::{Admin, Authorised, Caller, Viewer};
use crate::api::error::ApiResult;
use crate::api::extract::{Body, Query};
use crate::api::idempotency::{Made, Once};
use crate::api::state::State;

type Kept = memcloud_registry::Hem;

fn shape(kept: &Kept, now: Option<&HemStatus>) -> Hem {
    Hem::new(kept.id.clone(), kept.microgrid.clone(), kept.name.clone(), now)
}

/// A page of HEMs with how they stand now.
pub(super) async fn with_statuses(state: &State, listing: Listing<Kept>) -> ApiResult<Page<Hem>> {
    let hems: Vec<HemId> = listing.items.iter().map(|kept| kept.id.clone()).collect();
    let limit = hems.len().max(1);
    let asked = ListHemStatuses { microgrid: None, hems: Some(hems), after: None, limit };
    let known: HashMap<HemId, Arc<HemStatus>> = state
        .status
        .ask(asked)
        .await?
        .items
        .into_iter()
        .map(|status| (status.hem.clone(), status))
        .collect();
    Ok(parameters::page("hems", listing, |kept| shape(&kept, known.get(&kept.id).map(Arc::as_ref))))
}

fn detail(kept: Kept, now: Option<&HemStatus>) -> HemDetail {
    let hem = shape(&kept, now);
    let mut nodes: BTreeMap<u8, HemNode> = BTreeMap::new();
    for declaration in kept.nodes {
        nodes.insert(declaration.node.0, HemNode::declared(declaration));
    }
    for status in now.into_iter().flat_map(|now| &now.nodes) {
        nodes.insert(status.latest.node.0, HemNode::from(status.clone()));
    }
    HemDetail {
        hem,
        created: kept.created.to_datetime(),
        firmware: kept.firmware,
        key: match kept.key {
            KeyState::Pending => KeyStateName::Pending,
            KeyState::Established => KeyStateName::Established,
            KeyState::Revoked => KeyStateName::Revoked,
        },
        limits: shown_limits(kept.limits),
        seq: now.map_or(Seq::NONE, |now| now.mark),
        missing: now.map_or(0, |now| now.missing),
        nodes: nodes.into_values().collect(),
    }
}

async fn with_status(state: &State, kept: Kept) -> ApiResult<web::Json<HemDetail>> {
    let now = state.status.ask(GetHemStatus { hem: kept.id.clone() }).await?;
    Ok(web::Json(detail(kept, now.as_deref())))
}

/// Which HEMs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HemsQuery {
    /// Only of this microgrid.
    #[param(value_type = memcloud_rest::schemas::Id, required = false)]
    microgrid: Option<MicrogridId>,
    /// At most so many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = String, required = false)]
    after: Option<String>,
}

/// List the HEMs
///
/// Those that the caller may see, by id, with their live totals.
#[utoipa::path(operation_id = "list_hems", tag = "HEMs", params(HemsQuery), responses((status = 200, body = Page<Hem>, description = "A page.")))]
#[get("/hems")]
pub(super) async fn list(
    caller: Caller<Viewer>,
    state: web::Data<State>,
    query: Query<HemsQuery>,
) -> ApiResult<web::Json<Page<Hem>>> {
    let Query(query) = query;
    if let Some(microgrid) = &query.microgrid {
        caller.must_see(microgrid)?;
    }
    let page = parameters::request("hems", query.limit, query.after.as_deref())?;
    let microgrid = query.microgrid.or_else(|| caller.only().cloned());
    let listing = state.registrar.ask(ListHems { microgrid, page }).await?;
    with_statuses(&state, listing).await.map(web::Json)
}

/// Register a HEM
///
/// Answers its device key, which is shown this once.
#[utoipa::path(
    operation_id = "register_hem", tag = "HEMs",
    request_body = NewHem,
    responses((status = 201, body = NewHemCreated, description = "It is registered.", headers(("Location" = String, description = "Its path."))))
)]
#[post("/hems")]
pub(super) async fn register(
    caller: Caller<Admin>,
    state: web::Data<State>,
    once: Once,
    body: Body<NewHem>,
) -> ApiResult<HttpResponse> {
    caller.must_see(&body.value.microgrid)?;
    let own = state.get_ref().clone();
    let NewHem { id, microgrid, name } = body.value;
    let work = async move {
        let issued = own.registrar.ask(RegisterHem { id, microgrid, name }).await?;
        let created = NewHemCreated { id: issued.hem.id.clone(), key: issued.key };
        let made = Made::at(format!("/hems/{}", created.id), &created)?;
        Ok(made.with_secret_of(created.id.as_str()))
    };
    once.run(&state, &caller, body.digest, work).await
}

/// Look at a HEM
///
/// With its nodes and their latest values.
#[utoipa::path(operation_id = "get_hem", tag = "HEMs", responses((status = 200, body = HemDetail, description = "The HEM.")))]
#[get("/hems/{hem}")]
pub(super) async fn get(
    hem: Authorised<Kept, Viewer>,
    state: web::Data<State>,
) -> ApiResult<web::Json<HemDetail>> {
    with_status(&state, hem.item).await
}

/// Change a HEM
///
/// What is absent stays; `limits` are replaced as a whole.
#[utoipa::path(operation_id = "update_hem", tag = "HEMs", request_body = HemChange, responses((status = 200, body = HemDetail, description = "The HEM as it now is.")))]
#[patch("/hems/{hem}")]
pub(super) async fn update(
    hem: Authorised<Kept, Admin>,
    state: web::Data<State>,
    body: Body<HemChange>,
) -> ApiResult<web::Json<HemDetail>> {
    let limits = body.value.limits.map(checked_limits).transpose()?;
    let change = Change {
        name: body.value.name,
        import_watts: limits.map(|limits| limits.import_watts),
        export_watts: limits.map(|limits| limits.export_watts),
    };
    let kept = state.registrar.ask(UpdateHem { id: hem.id.clone(), change }).await?;
    with_status(&state, kept).await
}

/// Delete a HEM
///
/// Its open socket is cut. Its readings stay; an id that is registered again goes on after its old
/// numbers.
#[utoipa::path(operation_id = "delete_hem", tag = "HEMs", responses((status = 204, description = "It is deleted.")))]
#[delete("/hems/{hem}")]
pub(super) async fn delete(
    hem: Authorised<Kept, Admin>,
    state: web::Data<State>,
) -> ApiResult<HttpResponse> {
    state.registrar.ask(DeleteHem { id: hem.id.clone() }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Rotate a HEM's device key
///
/// Answers a new key, which is shown this once; the old one no longer holds, and an open socket is cut.
#[utoipa::path(
    operation_id = "rotate_hem_key", tag = "HEMs",
    responses((status = 201, body = DeviceKey, description = "The new key.", headers(("Location" = String, description = "The HEM's path."))))
)]
#[post("/hems/{hem}/key")]
pub(super) async fn rotate_key(
    hem: Authorised<Kept, Admin>,
    state: web::Data<State>,
    once: Once,
) -> ApiResult<HttpResponse> {
    let own = state.get_ref().clone();
    let id = hem.id.clone();
    let work = async move {
        let issued = own.registrar.ask(RotateHemKey { id }).await?;
        let created = DeviceKey { id: issued.hem.id.clone(), key: issued.key };
        let made = Made::at(format!("/hems/{}", created.id), &created)?;
        Ok(made.with_secret_of(created.id.as_str()))
    };
    once.run(&state, &hem.caller, [0; 32], work).await
}

/// Revoke a HEM's device key
///
/// An open socket is cut, and until the key is rotated nobody comes in under this id.
#[utoipa::path(operation_id = "revoke_hem_key", tag = "HEMs", responses((status = 204, description = "It is revoked.")))]
#[delete("/hems/{hem}/key")]
pub(super) async fn revoke_key(
    hem: Authorised<Kept, Admin>,
    state: web::Data<State>,
) -> ApiResult<HttpResponse> {
    state.registrar.ask(RevokeHemKey { id: hem.id.clone() }).await?;
    Ok(HttpResponse::NoContent().finish())
}
