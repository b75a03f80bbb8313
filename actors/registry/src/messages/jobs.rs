//! Worker jobs: deployed, read, changed, deleted; their results and logs.

use actix::Message;
use memcloud_domain::messages::{JobChanged, JobRemoved};
use memcloud_domain::{JobId, JobRecord, MicrogridId};
use memcloud_store::registry::{
    JobChange, Listing, NewJob, NumberedLogLine, PageRequest, RegistryError, ResultPage,
    ResultQuery,
};

use crate::clerk::{Clerk, Errand, Kind};
use crate::followers::Fact;
use crate::messages::valid;

/// REST has a job kept, as running; the app has validated the configuration before. The CMO is told.
/// `NotFound` of the microgrid; `TooMany` in it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<JobRecord, RegistryError>")]
pub struct CreateJob {
    /// Where it runs.
    pub microgrid: MicrogridId,
    /// The app that it runs.
    pub app: String,
    /// Its configuration.
    pub configuration: serde_json::Value,
    /// Who wins where two jobs want different things; higher wins.
    pub priority: i32,
}

/// REST asks for a job. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<JobRecord, RegistryError>")]
pub struct GetJob {
    /// Which job.
    pub id: JobId,
}

/// REST asks for jobs, by id (which is by age). `NotFound` of the microgrid.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Listing<JobRecord>, RegistryError>")]
pub struct ListJobs {
    /// Of this microgrid; absent: of all.
    pub microgrid: Option<MicrogridId>,
    /// Which page.
    pub page: PageRequest,
}

/// REST has a job changed, stopped or started; the CMO is told. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<JobRecord, RegistryError>")]
pub struct UpdateJob {
    /// Which job.
    pub id: JobId,
    /// What is to change.
    pub change: JobChange,
}

/// REST has a job deleted, with its results and log; the CMO is told. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub struct DeleteJob {
    /// Which job.
    pub id: JobId,
}

/// REST asks for a page of a job's results. `NotFound` of the job.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<ResultPage, RegistryError>")]
pub struct ListJobResults(pub ResultQuery);

/// REST asks for a job's log, ascending. `NotFound` of the job.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<NumberedLogLine>, RegistryError>")]
pub struct ListJobLog {
    /// Which job's.
    pub job: JobId,
    /// Above this line's number; 0: from the oldest kept.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

impl Errand for CreateJob {
    type Answer = JobRecord;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let now = clerk.now();
        let id = clerk.randomness().uuid(now)?.to_string();
        let job = clerk.registry().create_job(&NewJob {
            id: JobId::new(&id).map_err(|error| RegistryError::Invalid {
                what: "id",
                reason: error.to_string(),
            })?,
            microgrid: self.microgrid,
            app: valid::name("app", &self.app)?,
            configuration: self.configuration,
            priority: self.priority,
            created: now,
        })?;
        facts.push(Fact::JobChanged(JobChanged { job: job.clone() }));
        Ok(job)
    }
}

impl Errand for GetJob {
    type Answer = JobRecord;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().job(&self.id)
    }
}

impl Errand for ListJobs {
    type Answer = Listing<JobRecord>;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().jobs(self.microgrid.as_ref(), &self.page)
    }
}

impl Errand for UpdateJob {
    type Answer = JobRecord;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let job = clerk.registry().update_job(&self.id, &self.change)?;
        facts.push(Fact::JobChanged(JobChanged { job: job.clone() }));
        Ok(job)
    }
}

impl Errand for DeleteJob {
    type Answer = ();
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let job = clerk.registry().delete_job(&self.id)?;
        facts.push(Fact::JobRemoved(JobRemoved { job: job.id, microgrid: job.microgrid }));
        Ok(())
    }
}

impl Errand for ListJobResults {
    type Answer = ResultPage;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().results(&self.0)
    }
}

impl Errand for ListJobLog {
    type Answer = Vec<NumberedLogLine>;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().log(&self.job, self.after, self.limit)
    }
}
