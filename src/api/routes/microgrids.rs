//! Microgrids and their enrolment tokens.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use memcloud_domain::{MicrogridId, PowerLimits};
use memcloud_registry::{
    CreateEnrolmentToken, CreateMicrogrid, DeleteEnrolmentTokens, DeleteMicrogrid, GetMicrogrid,
    ListEnrolmentTokens, ListHems, ListMicrogrids, Listing, MicrogridChange as Change,
    NewMicrogrid as New, UpdateMicrogrid,
};
use memcloud_rest::{
    EnrolmentToken, Hem, Microgrid, MicrogridChange, MicrogridLimits, NewEnrolmentToken,
    NewEnrolmentTokenCreated, NewMicrogrid, Page,
};
use memcloud_status::{GetMicrogridStatus, ListMicrogridStatuses, MicrogridStatus};
use uuid::Uuid;

use super::hems::with_statuses;
use super::parameters::{PageQuery, page};
use crate::api::caller::{Admin, Authorised, Caller, Everywhere, Viewer};
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::{Body, Query};
use crate::api::idempotency::{Made, Once};
use crate::api::state::State;

type Kept = memcloud_registry::Microgrid;

fn shape(kept: Kept, now: &MicrogridStatus) -> Microgrid {
    Microgrid {
        memid: kept.id.to_string(),
        id: kept.id,
        name: kept.name,
        time_zone: kept.time_zone,
        limits: shown_limits(kept.limits),
        created: kept.created.to_datetime(),
        online: now.online as u64,
        active: now.active as u64,
        totals: now.totals.into(),
    }
}

async fn with_status(state: &State, kept: Kept) -> ApiResult<Microgrid> {
    let now = state.status.ask(GetMicrogridStatus { microgrid: kept.id.clone() }).await?;
    Ok(shape(kept, &now))
}

/// List the microgrids
///
/// Those that the caller may see, by id, with their live totals.
#[utoipa::path(operation_id = "list_microgrids", tag = "Microgrids", params(PageQuery), responses((status = 200, body = Page<Microgrid>, description = "A page.")))]
#[get("/microgrids")]
pub(super) async fn list(
    caller: Caller<Viewer>,
    state: web::Data<State>,
    query: Query<PageQuery>,
) -> ApiResult<web::Json<Page<Microgrid>>> {
    let request = query.0.request("microgrids")?;
    let listing = match caller.only() {
        None => state.registrar.ask(ListMicrogrids { page: request }).await?,
        Some(own) => {
            let beyond = request.after.as_deref().is_some_and(|after| after >= own.as_str());
            let items = if beyond {
                Vec::new()
            } else {
                vec![state.registrar.ask(GetMicrogrid { id: own.clone() }).await?]
            };
            Listing { items, next: None }
        }
    };
    let microgrids: Vec<MicrogridId> = listing.items.iter().map(|kept| kept.id.clone()).collect();
    let statuses = state.status.ask(ListMicrogridStatuses { microgrids }).await?;
    let mut statuses = statuses.into_iter();
    let unknown = |microgrid: &Kept| MicrogridStatus {
        microgrid: microgrid.id.clone(),
        totals: memcloud_domain::PowerTotals::default(),
        online: 0,
        active: 0,
        known: 0,
    };
    Ok(web::Json(page("microgrids", listing, |kept| {
        let now = statuses.next().unwrap_or_else(|| unknown(&kept));
        shape(kept, &now)
    })))
}

/// Make a microgrid
///
/// Takes the role admin for all microgrids.
#[utoipa::path(
    operation_id = "create_microgrid", tag = "Microgrids",
    request_body = NewMicrogrid,
    responses((status = 201, body = Microgrid, description = "It is made.", headers(("Location" = String, description = "Its path."))))
)]
#[post("/microgrids")]
pub(super) async fn create(
    caller: Everywhere<Admin>,
    state: web::Data<State>,
    once: Once,
    body: Body<NewMicrogrid>,
) -> ApiResult<HttpResponse> {
    let own = state.get_ref().clone();
    let new = New {
        id: body.value.id,
        name: body.value.name,
        time_zone: body.value.time_zone,
        limits: checked_limits(body.value.limits.unwrap_or_default())?,
    };
    let work = async move {
        let kept = own.registrar.ask(CreateMicrogrid(new)).await?;
        let microgrid = with_status(&own, kept).await?;
        Made::at(format!("/microgrids/{}", microgrid.id), &microgrid)
    };
    once.run(&state, &caller, body.digest, work).await
}

/// No connection reaches this: such a limit is a slip of the pen.
const GREATEST_LIMIT: f64 = 1e12;

/// Limits as they are shown, a home's too.
pub(super) fn shown_limits(limits: PowerLimits) -> MicrogridLimits {
    MicrogridLimits { import_watts: limits.import_watts, export_watts: limits.export_watts }
}

/// Limits as they are kept, a home's too.
///
/// # Errors
/// `invalid-value` for what no connection can bear.
pub(super) fn checked_limits(limits: MicrogridLimits) -> ApiResult<PowerLimits> {
    for (field, limit) in
        [("import_watts", limits.import_watts), ("export_watts", limits.export_watts)]
    {
        if limit.is_some_and(|watts| !(0.0..GREATEST_LIMIT).contains(&watts.value())) {
            return Err(ApiError::new(
                ErrorCode::InvalidValue,
                format!("limits.{field}: it must be from 0 to below {GREATEST_LIMIT:e} W"),
            ));
        }
    }
    Ok(PowerLimits { import_watts: limits.import_watts, export_watts: limits.export_watts })
}

/// Look at a microgrid
///
/// With its live totals.
#[utoipa::path(operation_id = "get_microgrid", tag = "Microgrids", responses((status = 200, body = Microgrid, description = "The microgrid.")))]
#[get("/microgrids/{microgrid}")]
pub(super) async fn get(
    microgrid: Authorised<Kept, Viewer>,
    state: web::Data<State>,
) -> ApiResult<web::Json<Microgrid>> {
    with_status(&state, microgrid.item).await.map(web::Json)
}

/// Change a microgrid
///
/// What is absent stays; `limits` are replaced as a whole.
#[utoipa::path(
    operation_id = "update_microgrid", tag = "Microgrids",
    request_body = MicrogridChange,
    responses((status = 200, body = Microgrid, description = "The microgrid as it now is."))
)]
#[patch("/microgrids/{microgrid}")]
pub(super) async fn update(
    microgrid: Authorised<Kept, Admin>,
    state: web::Data<State>,
    body: Body<MicrogridChange>,
) -> ApiResult<web::Json<Microgrid>> {
    let limits = body.value.limits.map(checked_limits).transpose()?;
    let change = Change {
        name: body.value.name,
        time_zone: body.value.time_zone,
        import_watts: limits.map(|limits| limits.import_watts),
        export_watts: limits.map(|limits| limits.export_watts),
    };
    let kept = state.registrar.ask(UpdateMicrogrid { id: microgrid.id.clone(), change }).await?;
    with_status(&state, kept).await.map(web::Json)
}

/// Delete a microgrid
///
/// It must have neither HEMs nor jobs. Its enrolment and API tokens go with it. Takes the role admin
/// for all microgrids.
#[utoipa::path(operation_id = "delete_microgrid", tag = "Microgrids", responses((status = 204, description = "It is deleted.")))]
#[delete("/microgrids/{microgrid}")]
pub(super) async fn delete(
    _: Everywhere<Admin>,
    microgrid: Authorised<Kept, Admin>,
    state: web::Data<State>,
) -> ApiResult<HttpResponse> {
    state.registrar.ask(DeleteMicrogrid { id: microgrid.id.clone() }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the HEMs of a microgrid
///
/// By id, with their live totals.
#[utoipa::path(operation_id = "list_hems_of_microgrid", tag = "Microgrids", params(PageQuery), responses((status = 200, body = Page<Hem>, description = "A page.")))]
#[get("/microgrids/{microgrid}/hems")]
pub(super) async fn hems(
    microgrid: Authorised<Kept, Viewer>,
    state: web::Data<State>,
    query: Query<PageQuery>,
) -> ApiResult<web::Json<Page<Hem>>> {
    let page = query.0.request("hems")?;
    let listing =
        state.registrar.ask(ListHems { microgrid: Some(microgrid.id.clone()), page }).await?;
    with_statuses(&state, listing).await.map(web::Json)
}

/// List the enrolment tokens of a microgrid
///
/// Without their secrets; used up and expired ones too.
#[utoipa::path(operation_id = "list_enrolment_tokens", tag = "Enrolment", params(PageQuery), responses((status = 200, body = Page<EnrolmentToken>, description = "A page.")))]
#[get("/microgrids/{microgrid}/enrolment-tokens")]
pub(super) async fn list_enrolment_tokens(
    microgrid: Authorised<Kept, Admin>,
    state: web::Data<State>,
    query: Query<PageQuery>,
) -> ApiResult<web::Json<Page<EnrolmentToken>>> {
    let request = query.0.request("enrolment-tokens")?;
    let listing = state
        .registrar
        .ask(ListEnrolmentTokens { microgrid: microgrid.id.clone(), page: request })
        .await?;
    Ok(web::Json(page("enrolment-tokens", listing, |kept| EnrolmentToken {
        id: kept.id.to_string(),
        uses: kept.uses,
        used: kept.used,
        expires: kept.expires.to_datetime(),
        created: kept.created.to_datetime(),
    })))
}

/// Make an enrolment token
///
/// With it, HEMs without a key join the microgrid. It is shown this once.
#[utoipa::path(
    operation_id = "create_enrolment_token", tag = "Enrolment",
    request_body = NewEnrolmentToken,
    responses((status = 201, body = NewEnrolmentTokenCreated, description = "It is made.", headers(("Location" = String, description = "Its path."))))
)]
#[post("/microgrids/{microgrid}/enrolment-tokens")]
pub(super) async fn create_enrolment_token(
    microgrid: Authorised<Kept, Admin>,
    state: web::Data<State>,
    once: Once,
    body: Body<NewEnrolmentToken>,
) -> ApiResult<HttpResponse> {
    let own = state.get_ref().clone();
    let id = microgrid.id.clone();
    let expires = body.value.expires.map(memcloud_domain::Timestamp::from);
    let uses = body.value.uses;
    let work = async move {
        let make = CreateEnrolmentToken { microgrid: id.clone(), uses, expires };
        let issued = own.registrar.ask(make).await?;
        let token = issued.token.id.to_string();
        let created = NewEnrolmentTokenCreated {
            id: token.clone(),
            token: issued.secret,
            uses: issued.token.uses,
            expires: issued.token.expires.to_datetime(),
        };
        let made = Made::at(format!("/microgrids/{id}/enrolment-tokens/{token}"), &created)?;
        Ok(made.with_secret_of(token))
    };
    once.run(&state, &microgrid.caller, body.digest, work).await
}

/// Revoke all enrolment tokens of a microgrid
///
/// HEMs that enrolled with them stay.
#[utoipa::path(operation_id = "revoke_enrolment_tokens", tag = "Enrolment", responses((status = 204, description = "None is left.")))]
#[delete("/microgrids/{microgrid}/enrolment-tokens")]
pub(super) async fn revoke_enrolment_tokens(
    microgrid: Authorised<Kept, Admin>,
    state: web::Data<State>,
) -> ApiResult<HttpResponse> {
    let all = DeleteEnrolmentTokens { microgrid: microgrid.id.clone(), id: None };
    state.registrar.ask(all).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Revoke an enrolment token
///
/// HEMs that enrolled with it stay.
#[utoipa::path(operation_id = "revoke_enrolment_token", tag = "Enrolment", responses((status = 204, description = "It is revoked.")))]
#[delete("/microgrids/{microgrid}/enrolment-tokens/{id}")]
pub(super) async fn revoke_enrolment_token(
    microgrid: Authorised<Kept, Admin>,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
) -> ApiResult<HttpResponse> {
    let (_, token) = path.into_inner();
    let id: Uuid = token.parse().map_err(|_| ApiError::not_found("enrolment token", &token))?;
    let one = DeleteEnrolmentTokens { microgrid: microgrid.id.clone(), id: Some(id) };
    state.registrar.ask(one).await?;
    Ok(HttpResponse::NoContent().finish())
}
