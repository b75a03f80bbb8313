//! The REST API, typed: one method per request, bodies from `memcloud-rest`, errors as the problems that
//! the cloud answers. Runs on a single-threaded runtime (`actix_rt`, or tokio's `LocalSet`), as awc does.
//!
//! ```no_run
//! # async fn example() -> Result<(), memcloud_sdk::SdkError> {
//! use memcloud_domain::Secret;
//! use memcloud_sdk::rest::{PageQuery, RestClient};
//!
//! let cloud = RestClient::new("http://127.0.0.1:8080", Secret::new("token"), None)?;
//! for home in cloud.hems(None, &PageQuery::default()).await?.items {
//!     println!("{}: {} W", home.id, home.totals.consumption_watts.0);
//! }
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::time::Duration;

use awc::http::header::{ACCEPT, AUTHORIZATION};
use awc::http::{Method, StatusCode};
use bytes::Bytes;
use memcloud_domain::{HemId, JobId, MicrogridId, NodeId, Secret};
use memcloud_rest::{
    App, DeviceKey, EnrolmentToken, Health, Hem, HemChange, HemDetail, HistorySeries, Job,
    JobChange, JobLogEntry, JobResultItem, Microgrid, MicrogridChange, NewEnrolmentToken,
    NewEnrolmentTokenCreated, NewHem, NewHemCreated, NewJob, NewMicrogrid, Page, Problem, RawEvent,
    RawReading, TreeActor, WhoAmI,
};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::SdkError;

mod commands;
mod query;

use query::Parameters;
pub use query::{
    After, CommandsQuery, PageQuery, RawOrder, RawQuery, ResultsQuery, SeriesOf, SeriesQuery,
};

/// An answer longer than this is not read.
const MOST_BODY: usize = 64 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of an answer that is not understood is quoted.
const QUOTED: usize = 200;

/// A client of one cloud with one token. Cheap to clone.
#[derive(Clone)]
pub struct RestClient {
    http: awc::Client,
    root: Arc<str>,
    token: Secret,
}

impl RestClient {
    /// A client of the cloud at `root`, e.g. `http://127.0.0.1:8080`. `tls` is what an `https` root
    /// trusts, e.g. [`crate::hem::trust`].
    ///
    /// # Errors
    /// [`SdkError::Tls`] for an `https` root without `tls`.
    pub fn new(
        root: &str,
        token: Secret,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, SdkError> {
        let builder = awc::Client::builder().timeout(PATIENCE);
        let http = match tls {
            Some(config) => builder.connector(awc::Connector::new().rustls_0_23(config)).finish(),
            None if root.starts_with("https:") => {
                return Err(SdkError::Tls {
                    what: root.to_owned(),
                    reason: "say which certificate authority to trust".to_owned(),
                });
            }
            None => builder.finish(),
        };
        Ok(Self { http, root: Arc::from(root.trim_end_matches('/')), token })
    }

    /// The address of a path under the base.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.root)
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: Method, url: &str) -> awc::ClientRequest {
        self.http
            .request(method, url)
            .insert_header((AUTHORIZATION, format!("Bearer {}", self.token.expose())))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        parameters: Parameters,
        body: Option<&impl Serialize>,
    ) -> Result<T, SdkError> {
        let url = self.url(path);
        let bytes = self.exchange(method, &url, &parameters, body).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| SdkError::UnexpectedAnswer { url, reason: error.to_string() })
    }

    /// Sends a request and reads its whole answer. A POST carries an idempotency key, and is sent once
    /// more where the connection broke before an answer.
    async fn exchange(
        &self,
        method: Method,
        url: &str,
        parameters: &Parameters,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, SdkError> {
        let key = (method == Method::POST).then(|| Uuid::new_v4().to_string());
        self.exchange_under(key.as_deref(), method, url, parameters, body).await
    }

    /// The same with the idempotency key that is given: with none for what may be done twice.
    async fn exchange_under(
        &self,
        key: Option<&str>,
        method: Method,
        url: &str,
        parameters: &Parameters,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, SdkError> {
        let unsendable = |reason: String| SdkError::NotSendable(reason);
        let payload = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|error| unsendable(error.to_string()))?
            .map(Bytes::from);
        let may_be_sent_again = matches!(method, Method::GET | Method::POST);
        let mut tries_left = if may_be_sent_again { 2 } else { 1 };
        loop {
            tries_left -= 1;
            let mut request =
                self.request(method.clone(), url).insert_header((ACCEPT, "application/json"));
            if !parameters.0.is_empty() {
                request =
                    request.query(&parameters.0).map_err(|error| unsendable(error.to_string()))?;
            }
            if let Some(key) = key {
                request = request.insert_header(("Idempotency-Key", key));
            }
            let sent = match &payload {
                Some(payload) => {
                    request.content_type("application/json").send_body(payload.clone()).await
                }
                None => request.send().await,
            };
            let no_answer = |reason: String| SdkError::NoAnswer { url: url.to_owned(), reason };
            let mut response = match sent {
                Ok(response) => response.timeout(PATIENCE),
                Err(_) if tries_left > 0 => continue,
                Err(error) => return Err(no_answer(error.to_string())),
            };
            let bytes = response
                .body()
                .limit(MOST_BODY)
                .await
                .map_err(|error| no_answer(error.to_string()))?;
            return if response.status().is_success() {
                Ok(bytes)
            } else {
                Err(problem(url, response.status(), &bytes))
            };
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: Parameters,
    ) -> Result<T, SdkError> {
        self.call(Method::GET, path, parameters, None::<&()>).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, SdkError> {
        self.call(Method::POST, path, Parameters::default(), body).await
    }

    async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        change: &impl Serialize,
    ) -> Result<T, SdkError> {
        self.call(Method::PATCH, path, Parameters::default(), Some(change)).await
    }

    async fn delete(&self, path: &str) -> Result<(), SdkError> {
        let url = self.url(path);
        self.exchange(Method::DELETE, &url, &Parameters::default(), None::<&()>).await.map(drop)
    }

    // ---------------------------------------------------------------------------------- microgrids

    /// Lists the microgrids.
    ///
    /// # Errors
    /// Like every method: [`SdkError::Problem`] for what the cloud refuses, [`SdkError::NoAnswer`]
    /// where none came, [`SdkError::UnexpectedAnswer`] for what is not MEMCloud's.
    pub async fn microgrids(&self, page: &PageQuery) -> Result<Page<Microgrid>, SdkError> {
        self.get("/microgrids", Parameters::default().page(page)).await
    }

    /// One microgrid.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn microgrid(&self, id: &MicrogridId) -> Result<Microgrid, SdkError> {
        self.get(&format!("/microgrids/{id}"), Parameters::default()).await
    }

    /// Makes a microgrid.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn create_microgrid(&self, new: &NewMicrogrid) -> Result<Microgrid, SdkError> {
        self.post("/microgrids", Some(new)).await
    }

    /// Changes a microgrid.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn change_microgrid(
        &self,
        id: &MicrogridId,
        change: &MicrogridChange,
    ) -> Result<Microgrid, SdkError> {
        self.patch(&format!("/microgrids/{id}"), change).await
    }

    /// Deletes a microgrid without HEMs and jobs.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn delete_microgrid(&self, id: &MicrogridId) -> Result<(), SdkError> {
        self.delete(&format!("/microgrids/{id}")).await
    }

    /// Lists a microgrid's enrolment tokens, without their secrets.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        page: &PageQuery,
    ) -> Result<Page<EnrolmentToken>, SdkError> {
        let path = format!("/microgrids/{microgrid}/enrolment-tokens");
        self.get(&path, Parameters::default().page(page)).await
    }

    /// Makes an enrolment token. Its secret is in the answer, this once.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn create_enrolment_token(
        &self,
        microgrid: &MicrogridId,
        new: &NewEnrolmentToken,
    ) -> Result<NewEnrolmentTokenCreated, SdkError> {
        self.post(&format!("/microgrids/{microgrid}/enrolment-tokens"), Some(new)).await
    }

    /// Revokes all enrolment tokens of a microgrid.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn revoke_enrolment_tokens(&self, microgrid: &MicrogridId) -> Result<(), SdkError> {
        self.delete(&format!("/microgrids/{microgrid}/enrolment-tokens")).await
    }

    // ---------------------------------------------------------------------------------------- HEMs

    /// Lists the HEMs, all or a microgrid's.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn hems(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageQuery,
    ) -> Result<Page<Hem>, SdkError> {
        self.get("/hems", Parameters::default().with("microgrid", microgrid).page(page)).await
    }

    /// One HEM with its nodes and their latest values.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn hem(&self, id: &HemId) -> Result<HemDetail, SdkError> {
        self.get(&format!("/hems/{id}"), Parameters::default()).await
    }

    /// Registers a HEM. Its device key is in the answer, this once.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn create_hem(&self, new: &NewHem) -> Result<NewHemCreated, SdkError> {
        self.post("/hems", Some(new)).await
    }

    /// Changes a HEM.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn change_hem(&self, id: &HemId, change: &HemChange) -> Result<HemDetail, SdkError> {
        self.patch(&format!("/hems/{id}"), change).await
    }

    /// Deletes a HEM; its readings stay.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn delete_hem(&self, id: &HemId) -> Result<(), SdkError> {
        self.delete(&format!("/hems/{id}")).await
    }

    /// Gives a HEM a new device key, and cuts its connection.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn rotate_key(&self, id: &HemId) -> Result<DeviceKey, SdkError> {
        self.post(&format!("/hems/{id}/key"), None::<&()>).await
    }

    /// Takes a HEM's device key away, and cuts its connection.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn revoke_key(&self, id: &HemId) -> Result<(), SdkError> {
        self.delete(&format!("/hems/{id}/key")).await
    }

    /// A page of a HEM's raw readings.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn readings(
        &self,
        hem: &HemId,
        query: &RawQuery,
    ) -> Result<Page<RawReading>, SdkError> {
        self.get(&format!("/hems/{hem}/readings"), query.parameters()).await
    }

    /// A page of a HEM's events.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn events(&self, hem: &HemId, query: &RawQuery) -> Result<Page<RawEvent>, SdkError> {
        self.get(&format!("/hems/{hem}/events"), query.parameters()).await
    }

    /// A series of one node.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn history(
        &self,
        hem: &HemId,
        node: NodeId,
        query: &SeriesQuery,
    ) -> Result<HistorySeries, SdkError> {
        let parameters = query.parameters().with("node", Some(node));
        self.get(&format!("/hems/{hem}/history"), parameters).await
    }

    /// A series over all of a microgrid's declared nodes of a kind.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn microgrid_history(
        &self,
        microgrid: &MicrogridId,
        of: SeriesOf,
        query: &SeriesQuery,
    ) -> Result<HistorySeries, SdkError> {
        let parameters = query.parameters().with("of", Some(of.as_str()));
        self.get(&format!("/microgrids/{microgrid}/history"), parameters).await
    }

    // ------------------------------------------------------------------------------- apps and jobs

    /// Lists the energy apps that can be deployed.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn apps(&self) -> Result<Page<App>, SdkError> {
        self.get("/apps", Parameters::default()).await
    }

    /// Lists the jobs, all or a microgrid's.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn jobs(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageQuery,
    ) -> Result<Page<Job>, SdkError> {
        self.get("/jobs", Parameters::default().with("microgrid", microgrid).page(page)).await
    }

    /// One job.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn job(&self, id: &JobId) -> Result<Job, SdkError> {
        self.get(&format!("/jobs/{id}"), Parameters::default()).await
    }

    /// Deploys an app to a microgrid.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn deploy(&self, microgrid: &MicrogridId, new: &NewJob) -> Result<Job, SdkError> {
        self.post(&format!("/microgrids/{microgrid}/jobs"), Some(new)).await
    }

    /// Stops, starts or reconfigures a job.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn change_job(&self, id: &JobId, change: &JobChange) -> Result<Job, SdkError> {
        self.patch(&format!("/jobs/{id}"), change).await
    }

    /// Deletes a job with its results and log.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn delete_job(&self, id: &JobId) -> Result<(), SdkError> {
        self.delete(&format!("/jobs/{id}")).await
    }

    /// A page of a job's log.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn job_log(
        &self,
        id: &JobId,
        page: &PageQuery,
    ) -> Result<Page<JobLogEntry>, SdkError> {
        self.get(&format!("/jobs/{id}/log"), Parameters::default().page(page)).await
    }

    /// A page of a job's results.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn job_results(
        &self,
        id: &JobId,
        query: &ResultsQuery,
    ) -> Result<Page<JobResultItem>, SdkError> {
        self.get(&format!("/jobs/{id}/results"), query.parameters()).await
    }

    // ------------------------------------------------------------------------------- the cloud itself

    /// Whose token this is.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn who_am_i(&self) -> Result<WhoAmI, SdkError> {
        self.get("/session", Parameters::default()).await
    }

    /// The supervision tree, at most `children` under each actor.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn tree(&self, children: Option<u32>) -> Result<TreeActor, SdkError> {
        self.get("/tree", Parameters::default().with("children", children)).await
    }

    /// Whether the cloud is ready, and what is away where it is not.
    ///
    /// # Errors
    /// As [`RestClient::microgrids`].
    pub async fn ready(&self) -> Result<Health, SdkError> {
        let url = format!("{}/health/ready", self.root);
        let no_answer = |reason: String| SdkError::NoAnswer { url: url.clone(), reason };
        let mut response =
            self.http.get(&url).send().await.map_err(|error| no_answer(error.to_string()))?;
        let bytes = response.body().await.map_err(|error| no_answer(error.to_string()))?;
        // 503 has the same body: that it is not ready is an answer.
        serde_json::from_slice(&bytes).map_err(|_| problem(&url, response.status(), &bytes))
    }
}

/// The error of an answer that is not a success.
pub(crate) fn problem(url: &str, status: StatusCode, body: &[u8]) -> SdkError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => SdkError::Problem(Box::new(problem)),
        Err(_) => SdkError::UnexpectedAnswer {
            url: url.to_owned(),
            reason: format!(
                "{status} with \"{}\"",
                String::from_utf8_lossy(body).chars().take(QUOTED).collect::<String>()
            ),
        },
    }
}
