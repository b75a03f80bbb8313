//! The supervision tree.

use actix_web::{HttpResponse, get, web};
use memcloud_rest::TreeActor;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::caller::{Admin, Everywhere};
use crate::api::error::ApiResult;
use crate::api::extract::Query;
use crate::api::state::State;

/// How much of the tree.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeQuery {
    /// At most so many children of each actor; the rest is counted in `more_children`.
    #[param(value_type = u16, minimum = 0, maximum = 1000, default = 100, required = false)]
    children: Option<Children>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
struct Children(usize);

impl TryFrom<u64> for Children {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        usize::try_from(value)
            .ok()
            .filter(|children| *children <= 1_000)
            .map(Self)
            .ok_or_else(|| format!("{value} is not from 0 to 1000"))
    }
}

/// The supervision tree
///
/// Every actor with its state, restarts and mailbox, and what it shows of itself. Takes the role
/// admin for all microgrids.
#[utoipa::path(
    operation_id = "get_tree", tag = "Operations",
    params(TreeQuery),
    responses((status = 200, body = TreeActor, description = "The root, with everything below it."))
)]
#[get("/tree")]
pub(super) async fn tree(
    _: Everywhere<Admin>,
    state: web::Data<State>,
    query: Query<TreeQuery>,
) -> ApiResult<HttpResponse> {
    let children = query.0.children.map_or(100, |children| children.0);
    Ok(HttpResponse::Ok().json(state.tree.snapshot(children).await))
}
