//! Energy apps and worker jobs.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use memcloud_domain::{JobRecord, JobState, MicrogridId};
use memcloud_registry::{
    CreateJob, DeleteJob, JobChange as Change, ListJobLog, ListJobResults, ListJobs, Microgrid,
    ResultCursor, ResultQuery, UpdateJob,
};
use memcloud_rest::{
    App, Job, JobChange, JobLogEntry, JobResultItem, NewJob, Page, WantedJobState,
};
use memcloud_worker::AppError;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::parameters::{self, Limit, Moment, PageQuery, page};
use crate::api::caller::{Authorised, Caller, Operator, Viewer};
use crate::api::command_check::checked_priority;
use crate::api::cursor;
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::extract::{Body, Query};
use crate::api::idempotency::{Made, Once};
use crate::api::state::State;

const LIST: &str = "jobs";

/// List the apps
///
/// The energy apps that can be deployed, with the JSON Schema of their configuration.
#[utoipa::path(operation_id = "list_apps", tag = "Jobs", responses((status = 200, body = Page<App>, description = "All of them.")))]
#[get("/apps")]
pub(super) async fn apps(_: Caller<Viewer>, state: web::Data<State>) -> web::Json<Page<App>> {
    let shape = |app: memcloud_worker::AppDescription| App {
        name: app.about.name.to_owned(),
        version: app.about.version.to_owned(),
        title: app.about.title.to_owned(),
        description: app.about.description.to_owned(),
        configuration_schema: app.schema,
        default_configuration: app.default_configuration,
    };
    web::Json(Page { items: state.apps.describe().map(shape).collect(), next: None })
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsQuery {
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

/// List the jobs
///
/// Those that the caller may see, the oldest first.
#[utoipa::path(operation_id = "list_jobs", tag = "Jobs", params(JobsQuery), responses((status = 200, body = Page<Job>, description = "A page.")))]
#[get("/jobs")]
pub(super) async fn list(
    caller: Caller<Viewer>,
    state: web::Data<State>,
    query: Query<JobsQuery>,
) -> ApiResult<web::Json<Page<Job>>> {
    let Query(query) = query;
    if let Some(microgrid) = &query.microgrid {
        caller.must_see(microgrid)?;
    }
    let request = parameters::request(LIST, query.limit, query.after.as_deref())?;
    let microgrid = query.microgrid.or_else(|| caller.only().cloned());
    let listing = state.registrar.ask(ListJobs { microgrid, page: request }).await?;
    Ok(web::Json(page(LIST, listing, Job::from)))
}

/// List the jobs of a microgrid
///
/// The oldest first.
#[utoipa::path(operation_id = "list_jobs_of_microgrid", tag = "Jobs", params(PageQuery), responses((status = 200, body = Page<Job>, description = "A page.")))]
#[get("/microgrids/{microgrid}/jobs")]
pub(super) async fn list_of_microgrid(
    microgrid: Authorised<Microgrid, Viewer>,
    state: web::Data<State>,
    query: Query<PageQuery>,
) -> ApiResult<web::Json<Page<Job>>> {
    let request = query.0.request(LIST)?;
    let microgrid = Some(microgrid.id.clone());
    let listing = state.registrar.ask(ListJobs { microgrid, page: request }).await?;
    Ok(web::Json(page(LIST, listing, Job::from)))
}

/// Deploy an app
///
/// Makes a job that runs it. The configuration is checked by the app, and what it leaves out is filled
/// in.
#[utoipa::path(
    operation_id = "create_job", tag = "Jobs",
    request_body = NewJob,
    responses((status = 201, body = Job, description = "It is deployed, and runs.", headers(("Location" = String, description = "Its path."))))
)]
#[post("/microgrids/{microgrid}/jobs")]
pub(super) async fn create(
    microgrid: Authorised<Microgrid, Operator>,
    state: web::Data<State>,
    once: Once,
    body: Body<NewJob>,
) -> ApiResult<HttpResponse> {
    let NewJob { app, configuration, priority } = body.value;
    let given = Value::Object(configuration.unwrap_or_default());
    let configuration = state.apps.validate(&app, &given).map_err(refused)?;
    let priority = priority.map(checked_priority).transpose()?.unwrap_or(0);
    let own = state.get_ref().clone();
    let make = CreateJob { microgrid: microgrid.id.clone(), app, configuration, priority };
    let work = async move {
        let job = Job::from(own.registrar.ask(make).await?);
        Made::at(format!("/jobs/{}", job.id), &job)
    };
    once.run(&state, &microgrid.caller, body.digest, work).await
}

fn refused(error: AppError) -> ApiError {
    let field = match &error {
        AppError::UnknownApp { .. } => "app",
        _ => "configuration",
    };
    let text: String = error.to_string().chars().take(1_000).collect();
    ApiError::new(ErrorCode::InvalidValue, format!("{field}: {text}"))
}

/// Look at a job
#[utoipa::path(operation_id = "get_job", tag = "Jobs", responses((status = 200, body = Job, description = "The job.")))]
#[get("/jobs/{job}")]
pub(super) async fn get(job: Authorised<JobRecord, Viewer>) -> web::Json<Job> {
    web::Json(job.item.into())
}

/// Change a job
///
/// Stops or starts it (a failed one too), or replaces its configuration. What is absent stays.
#[utoipa::path(operation_id = "update_job", tag = "Jobs", request_body = JobChange, responses((status = 200, body = Job, description = "The job as it now is.")))]
#[patch("/jobs/{job}")]
pub(super) async fn update(
    job: Authorised<JobRecord, Operator>,
    state: web::Data<State>,
    body: Body<JobChange>,
) -> ApiResult<web::Json<Job>> {
    let configuration = match body.value.configuration {
        Some(given) => Some(state.apps.validate(&job.app, &Value::Object(given)).map_err(refused)?),
        None => None,
    };
    let change = Change {
        configuration,
        priority: body.value.priority.map(checked_priority).transpose()?,
        state: body.value.state.map(|state| match state {
            WantedJobState::Running => JobState::Running,
            WantedJobState::Stopped => JobState::Stopped,
        }),
    };
    let changed = state.registrar.ask(UpdateJob { id: job.id.clone(), change }).await?;
    Ok(web::Json(changed.into()))
}

/// Delete a job
///
/// It is stopped, and its results and log go with it.
#[utoipa::path(operation_id = "delete_job", tag = "Jobs", responses((status = 204, description = "It is deleted.")))]
#[delete("/jobs/{job}")]
pub(super) async fn delete(
    job: Authorised<JobRecord, Operator>,
    state: web::Data<State>,
) -> ApiResult<HttpResponse> {
    state.registrar.ask(DeleteJob { id: job.id.clone() }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Read a job's log
///
/// Its last thousand lines, the oldest first.
#[utoipa::path(operation_id = "list_job_log", tag = "Jobs", params(PageQuery), responses((status = 200, body = Page<JobLogEntry>, description = "A page.")))]
#[get("/jobs/{job}/log")]
pub(super) async fn log(
    job: Authorised<JobRecord, Viewer>,
    state: web::Data<State>,
    query: Query<PageQuery>,
) -> ApiResult<web::Json<Page<JobLogEntry>>> {
    let name = format!("log/{}", job.id);
    let limit = query.0.limit.get();
    let after = match query.0.after {
        Some(text) => number(&cursor::decode(&name, &text)?)?,
        None => 0,
    };
    // One more than the page holds shows whether there is another page.
    let asked = ListJobLog { job: job.id.clone(), after, limit: limit + 1 };
    let mut lines = state.registrar.ask(asked).await?;
    let is_last = lines.len() <= limit;
    lines.truncate(limit);
    let next = if is_last { None } else { lines.last() };
    let next = next.map(|line| cursor::encode(&name, &line.number.to_string()));
    let items = lines.into_iter().map(|line| line.line.into()).collect();
    Ok(web::Json(Page { items, next }))
}

fn number(text: &str) -> ApiResult<u64> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::BadCursor, "after: this is no cursor"))
}

/// A kind or subject to look for.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Label(String);

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            0..=200 => Ok(Self(text)),
            length => Err(format!("{length} characters are more than the 200 that there may be")),
        }
    }
}

/// Which results.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultsQuery {
    /// Of spans that begin at this moment or later.
    #[param(value_type = String, format = DateTime, required = false)]
    from: Option<Moment>,
    /// Of spans that begin before this moment.
    #[param(value_type = String, format = DateTime, required = false)]
    to: Option<Moment>,
    /// Only of this kind, e.g. `energy-day`.
    #[param(value_type = String, max_length = 200, required = false)]
    kind: Option<Label>,
    /// Only of this subject: a HEM's id, or `microgrid`.
    #[param(value_type = String, max_length = 200, required = false)]
    subject: Option<Label>,
    /// At most so many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
    /// The `next` of the page before.
    #[param(value_type = String, required = false)]
    after: Option<String>,
}

/// Read a job's results
///
/// By the start of their span, then kind, then subject.
#[utoipa::path(operation_id = "list_job_results", tag = "Jobs", params(ResultsQuery), responses((status = 200, body = Page<JobResultItem>, description = "A page.")))]
#[get("/jobs/{job}/results")]
pub(super) async fn results(
    job: Authorised<JobRecord, Viewer>,
    state: web::Data<State>,
    query: Query<ResultsQuery>,
) -> ApiResult<web::Json<Page<JobResultItem>>> {
    let Query(query) = query;
    let name = format!("results/{}", job.id);
    let after = match query.after {
        Some(text) => Some(result_cursor(&cursor::decode(&name, &text)?)?),
        None => None,
    };
    let asked = ResultQuery {
        job: job.id.clone(),
        from: query.from.map(|moment| moment.0),
        to: query.to.map(|moment| moment.0),
        kind: query.kind.map(|kind| kind.0),
        subject: query.subject.map(|subject| subject.0),
        after,
        limit: query.limit.get(),
    };
    let found = state.registrar.ask(ListJobResults(asked)).await?;
    Ok(web::Json(Page {
        items: found.items.into_iter().map(JobResultItem::from).collect(),
        next: found.next.map(|next| cursor::encode(&name, &next.to_string())),
    }))
}

fn result_cursor(text: &str) -> ApiResult<ResultCursor> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::BadCursor, "after: this is no cursor"))
}
