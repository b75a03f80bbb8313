//! Who the caller is.

use actix_web::{get, web};
use memcloud_rest::WhoAmI;

use crate::api::caller::{Caller, Viewer};

/// Who am I?
///
/// What the bearer token is called, and what it allows.
#[utoipa::path(operation_id = "who_am_i", tag = "Session", responses((status = 200, body = WhoAmI, description = "The caller.")))]
#[get("/session")]
pub(super) async fn who_am_i(caller: Caller<Viewer>) -> web::Json<WhoAmI> {
    web::Json(WhoAmI {
        name: caller.name.clone(),
        role: caller.access.role,
        microgrid: caller.access.microgrid.clone(),
        job: caller.job.clone(),
    })
}
