//! Whether the server lives, and whether it can do its work.

use actix_web::{HttpResponse, get, web};
use futures_util::future::join_all;
use memcloud_rest::{Health, HealthState};

use super::handles::DEADLINE;
use super::state::State;

/// Whether the server lives.
#[utoipa::path(
    operation_id = "get_liveness", tag = "Operations",
    summary = "Liveness",
    description = "Answers as long as the server runs. On `http.admin_bind` alone if that is set.",
    security(()),
    responses((status = 200, body = Health, description = "It lives."))
)]
#[get("/health/live")]
pub(crate) async fn live() -> web::Json<Health> {
    web::Json(Health { status: HealthState::Ok, away: Vec::new() })
}

/// Whether the server can do its work.
#[utoipa::path(
    operation_id = "get_readiness", tag = "Operations",
    summary = "Readiness",
    description = "Whether all that the server needs is there. On `http.admin_bind` alone if that is set.",
    security(()),
    responses(
        (status = 200, body = Health, description = "All is well."),
        (status = 503, body = Health, description = "Something is away; what, and why."),
    )
)]
#[get("/health/ready")]
pub(crate) async fn ready(state: web::Data<State>) -> HttpResponse {
    let asked = state.health.iter().map(|probe| probe());
    let away: Vec<_> = match tokio::time::timeout(DEADLINE, join_all(asked)).await {
        Ok(answers) => answers.into_iter().flatten().collect(),
        Err(_) => vec![memcloud_rest::Away {
            what: "health probes".to_owned(),
            reason: "they did not answer in time".to_owned(),
        }],
    };
    if away.is_empty() {
        HttpResponse::Ok().json(Health { status: HealthState::Ok, away })
    } else {
        HttpResponse::ServiceUnavailable().json(Health { status: HealthState::Unavailable, away })
    }
}
