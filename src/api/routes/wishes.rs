//! Jobs that run elsewhere: their wishes, and their tokens.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, post, web};
use memcloud_domain::{JobRecord, Role, Wish};
use memcloud_microgrid::{SubmitWishes, WishRefused};
use memcloud_registry::{CreateJobToken, RevokeJobToken};
use memcloud_rest::commands::A_DAY;
use memcloud_rest::wishes::MOST_WISHES;
use memcloud_rest::{JobTokenCreated, NewWish, NewWishes, WishTaken, WishesTaken};

use crate::api::caller::{Authorised, Job, Operator};
use crate::api::command_check::{check_reason, invalid};
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::Body;
use crate::api::idempotency::{Made, Once};
use crate::api::owner::Original;
use crate::api::state::State;

/// The app of jobs that run elsewhere.
const EXTERNAL: &str = "external";

/// Wish for homes
///
/// What a job of the app `external` wants of nodes; with nothing in it, a sign of life. Takes the job's
/// own token, or the role operator.
#[utoipa::path(
    operation_id = "submit_wishes", tag = "Jobs",
    request_body = NewWishes,
    responses((status = 200, body = WishesTaken, description = "What was taken, and what was not and why."))
)]
#[post("/jobs/{job}/wishes")]
pub(super) async fn submit(
    job: Authorised<JobRecord, Job>,
    state: web::Data<State>,
    original: Original,
    once: Once,
    body: Body<NewWishes>,
) -> ApiResult<HttpResponse> {
    let is_own = job.caller.job.as_ref() == Some(&job.id);
    if !is_own && job.caller.access.role < Role::Operator {
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            "this token wishes for another job; make one for this job",
        ));
    }
    if let Some(answer) = original.elsewhere(&state, &job.microgrid, body.bytes.clone()).await? {
        return Ok(answer);
    }
    let NewWishes { wishes, withdraw } = body.value;
    for (field, count) in [("wishes", wishes.len()), ("withdraw", withdraw.len())] {
        if count > MOST_WISHES {
            return Err(invalid(field, format!("{count} are more than the {MOST_WISHES} at once")));
        }
    }
    let own = state.get_ref().clone();
    let (microgrid, id) = (job.microgrid.clone(), job.id.clone());
    let work = async move {
        let checked: Vec<_> = wishes.iter().map(wish).collect();
        let submit = SubmitWishes {
            microgrid,
            job: id,
            wishes: checked.iter().filter_map(|wish| wish.clone().ok()).collect(),
            withdrawn: withdraw.into_iter().map(|node| (node.hem, node.node)).collect(),
        };
        let mut answer = own.dispatch.ask(submit).await?;
        let mut refusal = |wish: &Wish| {
            // Its lease may have been cut, so what comes back is not the very same.
            let is_it = |refused: &WishRefused| {
                let other = &refused.wish;
                (&other.hem, other.node, other.setting) == (&wish.hem, wish.node, wish.setting)
            };
            let place = answer.refused.iter().position(is_it)?;
            Some(answer.refused.swap_remove(place).because)
        };
        let items: Vec<WishTaken> = wishes
            .iter()
            .zip(&checked)
            .map(|(new, checked)| {
                let because = match checked {
                    Ok(wish) => refusal(wish),
                    Err(error) => Some(error.problem().detail),
                };
                WishTaken {
                    hem: new.hem.clone(),
                    node: new.node,
                    action: new.action,
                    taken: because.is_none(),
                    because,
                }
            })
            .collect();
        let taken = items.iter().filter(|item| item.taken).count() as u64;
        let refused = items.len() as u64 - taken;
        let standing = answer.standing as u64;
        Made::without_path(StatusCode::OK, &WishesTaken { taken, refused, standing, items })
    };
    once.run(&state, &job.caller, body.digest, work).await
}

/// A wish as dispatch takes it; whether it can be at its node is dispatch's to say.
fn wish(new: &NewWish) -> ApiResult<Wish> {
    check_reason(&new.reason)?;
    if !(1..=A_DAY).contains(&new.lease_seconds) {
        let reason = format!("{} is not from 1 to {A_DAY}", new.lease_seconds);
        return Err(invalid("lease_seconds", reason));
    }
    new.wish().map_err(|wrong| invalid(wrong.field, wrong.reason))
}

fn must_be_external(job: &JobRecord) -> ApiResult<()> {
    if job.app == EXTERNAL {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::NotExternal,
        format!("job {} runs {}, which makes its own wishes", job.id, job.app),
    ))
}

/// Make a job's own token
///
/// With it the job's program looks at its microgrid and wishes for this job, and nothing else. It is
/// shown this once; the one before no longer holds. Only for a job of the app `external`.
#[utoipa::path(
    operation_id = "create_job_token", tag = "Jobs",
    responses((status = 201, body = JobTokenCreated, description = "The token.", headers(("Location" = String, description = "The job's path."))))
)]
#[post("/jobs/{job}/token")]
pub(super) async fn create_token(
    job: Authorised<JobRecord, Operator>,
    state: web::Data<State>,
    once: Once,
) -> ApiResult<HttpResponse> {
    must_be_external(&job)?;
    let own = state.get_ref().clone();
    let (id, microgrid) = (job.id.clone(), job.microgrid.clone());
    let work = async move {
        let issued = own.registrar.ask(CreateJobToken { job: id.clone() }).await?;
        let token = issued.token.id.to_string();
        let location = format!("/jobs/{id}");
        let created =
            JobTokenCreated { id: token.clone(), token: issued.secret, job: id, microgrid };
        Ok(Made::at(location, &created)?.with_secret_of(token))
    };
    once.run(&state, &job.caller, [0; 32], work).await
}

/// Revoke a job's own token
#[utoipa::path(operation_id = "revoke_job_token", tag = "Jobs", responses((status = 204, description = "It is revoked.")))]
#[delete("/jobs/{job}/token")]
pub(super) async fn revoke_token(
    job: Authorised<JobRecord, Operator>,
    state: web::Data<State>,
) -> ApiResult<HttpResponse> {
    state.registrar.ask(RevokeJobToken { job: job.id.clone() }).await?;
    Ok(HttpResponse::NoContent().finish())
}
