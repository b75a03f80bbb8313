//! The port of the web data: which model does what, and whether it reads or writes.

use memcloud_domain::{
    HemId, JobCheckpoint, JobId, JobRecord, JobState, MicrogridId, Tenure, Timestamp,
};
use uuid::Uuid;

use super::SqlRegistry;
use crate::registry::{
    ApiToken, Arrival, ArrivalAnswer, Beginning, CheckpointToSave, EnrolmentToken, Hem, HemChange,
    IdempotencyLimits, IdempotencyScope, IdempotentAnswer, IdempotentRequest, JobChange, Listing,
    Microgrid, MicrogridChange, NewApiToken, NewEnrolmentToken, NewHem, NewJob, NumberedLogLine,
    PageRequest, Registry, RegistryError, ResultPage, ResultQuery, Saved, SecretHash, admission,
    api_token, enrolment_token, hem, idempotency, job, job_log, job_result, microgrid,
};

impl Registry for SqlRegistry {
    fn check(&self) -> Result<(), RegistryError> {
        self.read(|connection| microgrid::list(connection, &PageRequest::first(1)))?;
        self.write(|_| Ok(()))
    }

    fn carry_log_over(&self) -> Result<bool, RegistryError> {
        let Some(log) = &self.log else { return Ok(false) };
        log.carry_over()?;
        Ok(true)
    }

    fn create_microgrid(&self, new: &Microgrid) -> Result<(), RegistryError> {
        self.write(|connection| microgrid::insert(connection, new))
    }

    fn microgrid(&self, id: &MicrogridId) -> Result<Microgrid, RegistryError> {
        self.read(|connection| microgrid::find(connection, id))
    }

    fn microgrids(&self, page: &PageRequest) -> Result<Listing<Microgrid>, RegistryError> {
        self.read(|connection| microgrid::list(connection, page))
    }

    fn update_microgrid(
        &self,
        id: &MicrogridId,
        change: &MicrogridChange,
    ) -> Result<Microgrid, RegistryError> {
        self.write(|connection| microgrid::update(connection, id, change))
    }

    fn delete_microgrid(&self, id: &MicrogridId) -> Result<(), RegistryError> {
        self.write(|connection| microgrid::delete(connection, id))
    }

    fn register_hem(&self, new: &NewHem) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::register(connection, new))
    }

    fn hem(&self, id: &HemId) -> Result<Hem, RegistryError> {
        self.read(|connection| hem::find(connection, id))
    }

    fn hems(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageRequest,
    ) -> Result<Listing<Hem>, RegistryError> {
        self.read(|connection| hem::list(connection, microgrid, page))
    }

    fn roster(&self, id: &MicrogridId) -> Result<(Microgrid, Vec<Hem>), RegistryError> {
        self.read(|connection| {
            Ok((microgrid::find(connection, id)?, hem::list_all_of(connection, id)?))
        })
    }

    fn update_hem(&self, id: &HemId, change: &HemChange) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::update(connection, id, change))
    }

    fn delete_hem(&self, id: &HemId) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::delete(connection, id))
    }

    fn rotate_key(&self, id: &HemId, key: &SecretHash) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::rotate_key(connection, id, key))
    }

    fn revoke_key(&self, id: &HemId) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::revoke_key(connection, id))
    }

    fn look_up_arrival(
        &self,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<ArrivalAnswer, RegistryError> {
        self.read(|connection| admission::look_up(connection, arrival, now))
    }

    fn record_arrivals(
        &self,
        arrivals: &[Arrival],
        now: Timestamp,
    ) -> Result<Vec<ArrivalAnswer>, RegistryError> {
        self.write(|connection| {
            arrivals.iter().map(|arrival| admission::record(connection, arrival, now)).collect()
        })
    }

    fn create_enrolment_token(
        &self,
        token: &NewEnrolmentToken,
    ) -> Result<EnrolmentToken, RegistryError> {
        self.write(|connection| enrolment_token::insert(connection, token))
    }

    fn enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        page: &PageRequest,
    ) -> Result<Listing<EnrolmentToken>, RegistryError> {
        self.read(|connection| enrolment_token::list(connection, microgrid, page))
    }

    fn delete_enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        id: Option<Uuid>,
    ) -> Result<usize, RegistryError> {
        self.write(|connection| enrolment_token::delete(connection, microgrid, id))
    }

    fn create_api_token(&self, token: &NewApiToken) -> Result<ApiToken, RegistryError> {
        self.write(|connection| api_token::insert(connection, token))
    }

    fn api_tokens(&self, page: &PageRequest) -> Result<Listing<ApiToken>, RegistryError> {
        self.read(|connection| api_token::list(connection, page))
    }

    fn revoke_api_token(&self, id: Uuid) -> Result<ApiToken, RegistryError> {
        self.write(|connection| api_token::revoke(connection, id))
    }

    fn revoke_tokens_of_job(&self, job: &JobId) -> Result<Vec<Uuid>, RegistryError> {
        self.write(|connection| api_token::revoke_of_job(connection, job))
    }

    fn api_token_by_hash(&self, hash: &SecretHash) -> Result<Option<ApiToken>, RegistryError> {
        self.read(|connection| api_token::find_by_hash(connection, hash))
    }

    fn create_job(&self, new: &NewJob) -> Result<JobRecord, RegistryError> {
        self.write(|connection| job::insert(connection, new))
    }

    fn job(&self, id: &JobId) -> Result<JobRecord, RegistryError> {
        self.read(|connection| job::find(connection, id))
    }

    fn jobs(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageRequest,
    ) -> Result<Listing<JobRecord>, RegistryError> {
        self.read(|connection| job::list(connection, microgrid, page))
    }

    fn jobs_of(&self, microgrid: &MicrogridId) -> Result<Vec<JobRecord>, RegistryError> {
        self.read(|connection| job::list_all_of(connection, microgrid))
    }

    fn microgrids_with_jobs(&self) -> Result<Vec<MicrogridId>, RegistryError> {
        self.read(job::microgrids_with_jobs)
    }

    fn update_job(&self, id: &JobId, change: &JobChange) -> Result<JobRecord, RegistryError> {
        self.write(|connection| job::update(connection, id, change))
    }

    fn record_job_state(
        &self,
        id: &JobId,
        state: &JobState,
        tenure: Option<&Tenure>,
    ) -> Result<(), RegistryError> {
        self.write(|connection| job::record_state(connection, id, state, tenure))
    }

    fn delete_job(&self, id: &JobId) -> Result<JobRecord, RegistryError> {
        self.write(|connection| job::delete(connection, id))
    }

    fn checkpoint(&self, id: &JobId) -> Result<Option<JobCheckpoint>, RegistryError> {
        self.read(|connection| job::checkpoint(connection, id))
    }

    fn save_checkpoints(
        &self,
        checkpoints: &[CheckpointToSave],
    ) -> Result<Vec<Saved>, RegistryError> {
        self.write(|connection| {
            checkpoints.iter().map(|to_save| job::save_checkpoint(connection, to_save)).collect()
        })
    }

    fn results(&self, query: &ResultQuery) -> Result<ResultPage, RegistryError> {
        self.read(|connection| job_result::list(connection, query))
    }

    fn log(
        &self,
        id: &JobId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedLogLine>, RegistryError> {
        self.read(|connection| job_log::list(connection, id, after, limit))
    }

    fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<Beginning, RegistryError> {
        self.write(|connection| idempotency::begin(connection, request, now, limits))
    }

    fn finish_idempotent(
        &self,
        scope: &IdempotencyScope,
        answer: Option<&IdempotentAnswer>,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<(), RegistryError> {
        self.write(|connection| idempotency::finish(connection, scope, answer, now, limits))
    }

    fn sweep_idempotent(
        &self,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<usize, RegistryError> {
        self.write(|connection| idempotency::sweep(connection, now, limits))
    }
}
