//! Enrolment tokens and API tokens: made, listed, deleted; and who is behind an API token.

use std::time::Duration;

use actix::Message;
use memcloud_domain::{Access, JobId, MicrogridId, Role, Secret, Timestamp};
use memcloud_store::registry::{
    ApiToken, EnrolmentToken, Listing, NewApiToken, NewEnrolmentToken, PageRequest, RegistryError,
    SecretHash,
};
use uuid::Uuid;

use crate::clerk::{Clerk, Errand, Kind};
use crate::followers::Fact;
use crate::messages::valid;

/// How long an enrolment token is good where nothing else is asked for.
const ENROLMENT_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// REST and the command line have an enrolment token made. `NotFound` of the microgrid; `Invalid` uses
/// (1 to 1,000,000) or expiry (ahead of now); `TooMany`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<IssuedEnrolmentToken, RegistryError>")]
pub struct CreateEnrolmentToken {
    /// Which microgrid it leads into.
    pub microgrid: MicrogridId,
    /// How many HEMs may enrol with it; absent: 1.
    pub uses: Option<u32>,
    /// From when on it is worthless; absent: 24 h from now.
    pub expires: Option<Timestamp>,
}

/// An enrolment token with its secret, shown this once.
#[derive(Debug, Clone)]
pub struct IssuedEnrolmentToken {
    /// The token, as kept.
    pub token: EnrolmentToken,
    /// What a HEM sends as `enrol`.
    pub secret: Secret,
}

/// REST asks for the enrolment tokens of a microgrid, by id. `NotFound` of the microgrid.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Listing<EnrolmentToken>, RegistryError>")]
pub struct ListEnrolmentTokens {
    /// Which microgrid's.
    pub microgrid: MicrogridId,
    /// Which page.
    pub page: PageRequest,
}

/// REST has one enrolment token of a microgrid deleted, or all; answers how many there were. Keys that
/// were enrolled with it stay good. `NotFound` of the microgrid or of the one token.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize, RegistryError>")]
pub struct DeleteEnrolmentTokens {
    /// Which microgrid's.
    pub microgrid: MicrogridId,
    /// The one; absent: all.
    pub id: Option<Uuid>,
}

/// REST and the command line have an API token made. `NotFound` of the microgrid; `Invalid` name;
/// `TooMany`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<IssuedApiToken, RegistryError>")]
pub struct CreateApiToken {
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub access: Access,
}

/// An API token with its secret, shown this once.
#[derive(Debug, Clone)]
pub struct IssuedApiToken {
    /// The token, as kept.
    pub token: ApiToken,
    /// What a caller sends as `Authorization: Bearer`.
    pub secret: Secret,
}

/// REST and the command line ask for API tokens, by id (which is by age).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Listing<ApiToken>, RegistryError>")]
pub struct ListApiTokens {
    /// Which page.
    pub page: PageRequest,
}

/// REST and the command line have an API token revoked: this process refuses it at once, others within
/// two seconds. `NotFound`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<ApiToken, RegistryError>")]
pub struct RevokeApiToken {
    /// Which token.
    pub id: Uuid,
}

/// REST has a job's own API token made: of the role `job`, for the job's microgrid. The one before is
/// revoked. `NotFound` of the job; `TooMany`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<IssuedApiToken, RegistryError>")]
pub struct CreateJobToken {
    /// Whose.
    pub job: JobId,
}

/// REST has a job's own API token revoked. `NotFound` of the job or of its token.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub struct RevokeJobToken {
    /// Whose.
    pub job: JobId,
}

/// REST asks, with every request, whose API token it was shown; `None` is nobody's.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<ApiToken>, RegistryError>")]
pub struct AuthenticateToken {
    /// What the caller sent.
    pub secret: Secret,
}

impl Errand for CreateEnrolmentToken {
    type Answer = IssuedEnrolmentToken;
    const KIND: Kind = Kind::Write;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        let now = clerk.now();
        let expires = self.expires.unwrap_or_else(|| now.plus(ENROLMENT_VALIDITY));
        if expires <= now {
            return Err(RegistryError::Invalid {
                what: "expires",
                reason: format!("{expires} is not ahead of now, {now}"),
            });
        }
        let uses = self.uses.unwrap_or(1);
        if !(1..=1_000_000).contains(&uses) {
            return Err(RegistryError::Invalid {
                what: "uses",
                reason: format!("{uses} is not from 1 to 1,000,000"),
            });
        }
        let secret = clerk.randomness().enrolment_token()?;
        let token = clerk.registry().create_enrolment_token(&NewEnrolmentToken {
            id: clerk.randomness().uuid(now)?,
            microgrid: self.microgrid,
            hash: SecretHash::of(&secret),
            uses,
            expires,
            created: now,
        })?;
        Ok(IssuedEnrolmentToken { token, secret })
    }
}

impl Errand for ListEnrolmentTokens {
    type Answer = Listing<EnrolmentToken>;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().enrolment_tokens(&self.microgrid, &self.page)
    }
}

impl Errand for DeleteEnrolmentTokens {
    type Answer = usize;
    const KIND: Kind = Kind::Write;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().delete_enrolment_tokens(&self.microgrid, self.id)
    }
}

impl Errand for CreateApiToken {
    type Answer = IssuedApiToken;
    const KIND: Kind = Kind::Write;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        let now = clerk.now();
        let secret = clerk.randomness().api_token()?;
        let token = clerk.registry().create_api_token(&NewApiToken {
            id: clerk.randomness().uuid(now)?,
            name: valid::name("name", &self.name)?,
            hash: SecretHash::of(&secret),
            access: self.access,
            job: None,
            created: now,
        })?;
        Ok(IssuedApiToken { token, secret })
    }
}

impl Errand for CreateJobToken {
    type Answer = IssuedApiToken;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let now = clerk.now();
        let job = clerk.registry().job(&self.job)?;
        let secret = clerk.randomness().api_token()?;
        let id = clerk.randomness().uuid(now)?;
        // If the next step fails the job is without a token, which is safe, and whoever asked is told.
        let replaced = clerk.registry().revoke_tokens_of_job(&self.job)?;
        facts.extend(replaced.into_iter().map(Fact::ApiTokenRevoked));
        let token = clerk.registry().create_api_token(&NewApiToken {
            id,
            name: format!("job {}", self.job),
            hash: SecretHash::of(&secret),
            access: Access { role: Role::Job, microgrid: Some(job.microgrid) },
            job: Some(self.job),
            created: now,
        })?;
        Ok(IssuedApiToken { token, secret })
    }
}

impl Errand for RevokeJobToken {
    type Answer = ();
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        clerk.registry().job(&self.job)?;
        let revoked = clerk.registry().revoke_tokens_of_job(&self.job)?;
        if revoked.is_empty() {
            return Err(RegistryError::NotFound {
                what: "API token of job",
                id: self.job.to_string(),
            });
        }
        facts.extend(revoked.into_iter().map(Fact::ApiTokenRevoked));
        Ok(())
    }
}

impl Errand for ListApiTokens {
    type Answer = Listing<ApiToken>;
    const KIND: Kind = Kind::Read;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().api_tokens(&self.page)
    }
}

impl Errand for RevokeApiToken {
    type Answer = ApiToken;
    const KIND: Kind = Kind::Write;

    fn carry_out(
        self,
        clerk: &Clerk,
        facts: &mut Vec<Fact>,
    ) -> Result<Self::Answer, RegistryError> {
        let token = clerk.registry().revoke_api_token(self.id)?;
        facts.push(Fact::ApiTokenRevoked(token.id));
        Ok(token)
    }
}
