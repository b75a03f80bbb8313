//! The processes of the cloud.

use std::time::Duration;

use actix_web::{get, web};
use chrono::DateTime;
use memcloud_cluster::GetCluster;
use memcloud_domain::Timestamp;
use memcloud_rest::{Cluster, ClusterProcess};

use crate::api::caller::{Everywhere, Viewer};
use crate::api::error::ApiResult;
use crate::api::state::State;

/// The processes of the cloud
///
/// Who lives, what each runs, and what has no owner. Takes a token for all microgrids.
#[utoipa::path(operation_id = "get_cluster", tag = "Operations", responses((status = 200, body = Cluster, description = "As this process sees it.")))]
#[get("/cluster")]
pub(super) async fn cluster(
    _: Everywhere<Viewer>,
    state: web::Data<State>,
) -> ApiResult<web::Json<Cluster>> {
    let Some(ports) = &state.cluster else {
        let alone = Cluster { clustered: false, here: None, processes: Vec::new(), ownerless: 0 };
        return Ok(web::Json(alone));
    };
    let now = Timestamp(state.clock.unix_ms());
    let standing = ports.ask(GetCluster).await?;
    let shown = |process: memcloud_cluster::ClusterProcess| ClusterProcess {
        process: process.process.to_string(),
        address: process.address,
        version: process.version,
        lives: process.lives,
        since: DateTime::from_timestamp_millis(now.minus(process.age).as_millis())
            .unwrap_or_default(),
        silent_seconds: tenths(process.silent_for),
        microgrids: process.microgrids,
    };
    Ok(web::Json(Cluster {
        clustered: true,
        here: Some(standing.here.to_string()),
        processes: standing.processes.into_iter().map(shown).collect(),
        ownerless: standing.ownerless as u64,
    }))
}

/// Nobody measures by this: a tenth of a second says enough.
fn tenths(span: Duration) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}
