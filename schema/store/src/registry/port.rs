//! The port: what the registry does, whatever the database. Synchronous; callers on a runtime go to a
//! blocking thread.

use memcloud_domain::{
    HemId, JobCheckpoint, JobId, JobRecord, JobState, MicrogridId, Tenure, Timestamp,
};
use uuid::Uuid;

use super::{
    ApiToken, Arrival, ArrivalAnswer, Beginning, CheckpointToSave, EnrolmentToken, Hem, HemChange,
    IdempotencyLimits, IdempotencyScope, IdempotentAnswer, IdempotentRequest, JobChange, Listing,
    Microgrid, MicrogridChange, NewApiToken, NewEnrolmentToken, NewHem, NewJob, NumberedLogLine,
    PageRequest, RegistryError, ResultPage, ResultQuery, Saved, SecretHash,
};

/// Keeps the web data. Every method is one transaction: it happens whole, or not at all.
///
/// All fail with [`RegistryError::Unavailable`] while the database cannot be used; other errors are
/// named at the method.
pub trait Registry: Send + Sync {
    /// Whether it can be read and written now.
    ///
    /// # Errors
    /// `Unavailable` with the reason.
    fn check(&self) -> Result<(), RegistryError>;

    /// Carries over what lies in the database's log, beside whoever reads and writes: nobody waits for
    /// it. To be called now and then; where nothing was written it costs nothing. `false`: the database
    /// has no log, and need not be asked again.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn carry_log_over(&self) -> Result<bool, RegistryError>;

    // ------------------------------------------------------------------------------- microgrids

    /// Keeps a new microgrid.
    ///
    /// # Errors
    /// `AlreadyExists`.
    fn create_microgrid(&self, microgrid: &Microgrid) -> Result<(), RegistryError>;

    /// A microgrid.
    ///
    /// # Errors
    /// `NotFound`.
    fn microgrid(&self, id: &MicrogridId) -> Result<Microgrid, RegistryError>;

    /// All microgrids, by id.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn microgrids(&self, page: &PageRequest) -> Result<Listing<Microgrid>, RegistryError>;

    /// Changes a microgrid.
    ///
    /// # Errors
    /// `NotFound`.
    fn update_microgrid(
        &self,
        id: &MicrogridId,
        change: &MicrogridChange,
    ) -> Result<Microgrid, RegistryError>;

    /// Deletes a microgrid that has no HEMs and no jobs, with its enrolment and API tokens.
    ///
    /// # Errors
    /// `NotFound`, `InUse`.
    fn delete_microgrid(&self, id: &MicrogridId) -> Result<(), RegistryError>;

    // ------------------------------------------------------------------------------------- HEMs

    /// Registers a HEM with a pending key.
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` of the microgrid.
    fn register_hem(&self, hem: &NewHem) -> Result<Hem, RegistryError>;

    /// A HEM.
    ///
    /// # Errors
    /// `NotFound`.
    fn hem(&self, id: &HemId) -> Result<Hem, RegistryError>;

    /// HEMs, of one microgrid or of all, by id.
    ///
    /// # Errors
    /// `NotFound` of the microgrid.
    fn hems(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageRequest,
    ) -> Result<Listing<Hem>, RegistryError>;

    /// All HEMs of a microgrid, by id.
    ///
    /// # Errors
    /// `NotFound` of the microgrid.
    fn roster(&self, microgrid: &MicrogridId) -> Result<(Microgrid, Vec<Hem>), RegistryError>;

    /// Changes a HEM.
    ///
    /// # Errors
    /// `NotFound`.
    fn update_hem(&self, id: &HemId, change: &HemChange) -> Result<Hem, RegistryError>;

    /// Deletes a HEM; what it was, is answered.
    ///
    /// # Errors
    /// `NotFound`.
    fn delete_hem(&self, id: &HemId) -> Result<Hem, RegistryError>;

    /// Gives a HEM another key. A pending one stays pending; else the id stays established.
    ///
    /// # Errors
    /// `NotFound`.
    fn rotate_key(&self, id: &HemId, key: &SecretHash) -> Result<Hem, RegistryError>;

    /// Revokes a HEM's key.
    ///
    /// # Errors
    /// `NotFound`.
    fn revoke_key(&self, id: &HemId) -> Result<Hem, RegistryError>;

    // -------------------------------------------------------------------------------- admission

    /// Looks whether a HEM is who it says; writes nothing.
    ///
    /// # Errors
    /// Only `Unavailable`: who is not let in is `Refused`.
    fn look_up_arrival(
        &self,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<ArrivalAnswer, RegistryError>;

    /// Decides on HEMs at the door one after the other, and writes what they bring, in one transaction.
    /// An answer for each, in their order.
    ///
    /// # Errors
    /// Only `Unavailable`, and then for all.
    fn record_arrivals(
        &self,
        arrivals: &[Arrival],
        now: Timestamp,
    ) -> Result<Vec<ArrivalAnswer>, RegistryError>;

    // ------------------------------------------------------------------------------------ tokens

    /// Keeps a new enrolment token.
    ///
    /// # Errors
    /// `NotFound` of the microgrid; `TooMany`.
    fn create_enrolment_token(
        &self,
        token: &NewEnrolmentToken,
    ) -> Result<EnrolmentToken, RegistryError>;

    /// The enrolment tokens of a microgrid, used up and expired ones too, by id.
    ///
    /// # Errors
    /// `NotFound` of the microgrid.
    fn enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        page: &PageRequest,
    ) -> Result<Listing<EnrolmentToken>, RegistryError>;

    /// Deletes one enrolment token of a microgrid, or all; answers how many there were.
    ///
    /// # Errors
    /// `NotFound` of the microgrid, or of the one token.
    fn delete_enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        id: Option<Uuid>,
    ) -> Result<usize, RegistryError>;

    /// Keeps a new API token.
    ///
    /// # Errors
    /// `NotFound` of the microgrid or the job; `TooMany`.
    fn create_api_token(&self, token: &NewApiToken) -> Result<ApiToken, RegistryError>;

    /// All API tokens, by id.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn api_tokens(&self, page: &PageRequest) -> Result<Listing<ApiToken>, RegistryError>;

    /// Revokes an API token: deletes it.
    ///
    /// # Errors
    /// `NotFound`.
    fn revoke_api_token(&self, id: Uuid) -> Result<ApiToken, RegistryError>;

    /// Revokes the API tokens of a job; answers which there were.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn revoke_tokens_of_job(&self, job: &JobId) -> Result<Vec<Uuid>, RegistryError>;

    /// The API token with a hash, if there is one.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn api_token_by_hash(&self, hash: &SecretHash) -> Result<Option<ApiToken>, RegistryError>;

    // -------------------------------------------------------------------------------------- jobs

    /// Keeps a new job, as running.
    ///
    /// # Errors
    /// `NotFound` of the microgrid; `TooMany` in this microgrid.
    fn create_job(&self, job: &NewJob) -> Result<JobRecord, RegistryError>;

    /// A job.
    ///
    /// # Errors
    /// `NotFound`.
    fn job(&self, id: &JobId) -> Result<JobRecord, RegistryError>;

    /// Jobs, of one microgrid or of all, by id.
    ///
    /// # Errors
    /// `NotFound` of the microgrid.
    fn jobs(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageRequest,
    ) -> Result<Listing<JobRecord>, RegistryError>;

    /// All jobs of a microgrid, by id; none where there is no such microgrid.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn jobs_of(&self, microgrid: &MicrogridId) -> Result<Vec<JobRecord>, RegistryError>;

    /// The microgrids that have jobs, in whatever state, by id.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn microgrids_with_jobs(&self) -> Result<Vec<MicrogridId>, RegistryError>;

    /// Changes a job.
    ///
    /// # Errors
    /// `NotFound`.
    fn update_job(&self, id: &JobId, change: &JobChange) -> Result<JobRecord, RegistryError>;

    /// Writes how a job stands; of a deleted one nothing. In a cluster only under the newest tenure.
    ///
    /// # Errors
    /// `Unavailable`; `Fenced` where the tenure is over.
    fn record_job_state(
        &self,
        id: &JobId,
        state: &JobState,
        tenure: Option<&Tenure>,
    ) -> Result<(), RegistryError>;

    /// Deletes a job with its checkpoint, results and log; what it was, is answered.
    ///
    /// # Errors
    /// `NotFound`.
    fn delete_job(&self, id: &JobId) -> Result<JobRecord, RegistryError>;

    /// Where a job stood, if it has saved that.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn checkpoint(&self, job: &JobId) -> Result<Option<JobCheckpoint>, RegistryError>;

    /// Writes checkpoints with their results and log lines, in one transaction; of deleted jobs nothing, and
    /// nothing of those whose tenure is over, which take no other with them. Answers for each in its turn.
    ///
    /// # Errors
    /// Only `Unavailable`, and then none is written.
    fn save_checkpoints(
        &self,
        checkpoints: &[CheckpointToSave],
    ) -> Result<Vec<Saved>, RegistryError>;

    /// A page of a job's results.
    ///
    /// # Errors
    /// `NotFound` of the job.
    fn results(&self, query: &ResultQuery) -> Result<ResultPage, RegistryError>;

    /// A job's log above a line's number, ascending.
    ///
    /// # Errors
    /// `NotFound` of the job.
    fn log(
        &self,
        job: &JobId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedLogLine>, RegistryError>;

    // ------------------------------------------------------------------------------- idempotency

    /// Begins a POST with a key, or says what became of it before.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<Beginning, RegistryError>;

    /// Keeps what was answered; without an answer the key is free again.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn finish_idempotent(
        &self,
        scope: &IdempotencyScope,
        answer: Option<&IdempotentAnswer>,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<(), RegistryError>;

    /// Forgets what is over, and the oldest beyond the bound; answers how many it forgot.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn sweep_idempotent(
        &self,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<usize, RegistryError>;
}
