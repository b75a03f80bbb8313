//! Keeps microgrids, HEMs, keys, tokens and jobs: takes what it is asked to the database, groups what
//! HEMs and jobs write, and tells those who follow what has changed. What is asked is decided by the
//! `Clerk` and the `Registry`, not here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture};
use memcloud_domain::messages::{
    AuthenticateHem, AuthenticatedHem, AuthenticationError, GetRoster, HemCredential, ListJobsOf,
    ListMicrogridsWithJobs, LoadCheckpoint, MicrogridProfile, MicrogridRoster, RecordJobState,
    RosterHem, SaveCheckpoint, Unavailable,
};
use memcloud_domain::{JobCheckpoint, JobRecord, MicrogridId, Secret};
use memcloud_store::registry::{
    ApiToken, Arrival, ArrivalAnswer, CheckpointToSave, Hem, Proof, Registry, RegistryError, Saved,
    SecretHash,
};
use memcloud_supervision::{Observe, Scope, supervised};

use crate::clerk::{Clerk, Errand, Kind};
use crate::desk::Desk;
use crate::followers::{Fact, Followers};
use crate::group::Group;
use crate::messages::{AuthenticateToken, GetHealth, hems};
use crate::randomness::Randomness;
use crate::token_cache::TokenCache;

/// What the `Registrar` is made of.
#[derive(Clone)]
pub struct RegistrarParts {
    /// The database.
    pub registry: Arc<dyn Registry>,
    /// Where keys, tokens and ids come from.
    pub randomness: Randomness,
    /// Who is told of changes; more may be added later.
    pub followers: Followers,
    /// Its bounds.
    pub config: RegistrarConfig,
}

/// The bounds of the `Registrar`.
#[derive(Debug, Clone)]
pub struct RegistrarConfig {
    /// How many may read at a time.
    pub readers: usize,
    /// How many questions may wait; beyond that they are answered `Unavailable`.
    pub max_waiting: usize,
    /// How many HEMs' arrivals, or jobs' checkpoints, go into one transaction.
    pub group: usize,
    /// How many API tokens are remembered.
    pub remembered_tokens: usize,
    /// How long an API token is believed without asking the database again: within this time a
    /// revocation by another process is noticed.
    pub token_trust: Duration,
    /// How often what is over is swept out.
    pub sweep_every: Duration,
    /// How often what was written is carried over from the database's log.
    pub carry_log_every: Duration,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            readers: 4,
            max_waiting: 16_384,
            group: 256,
            remembered_tokens: 10_000,
            token_trust: Duration::from_secs(2),
            sweep_every: Duration::from_secs(60),
            carry_log_every: Duration::from_millis(500),
        }
    }
}

/// Keeps microgrids, HEMs, keys, tokens and jobs. All that counts is in the database: what it holds
/// itself may be lost in a crash.
pub struct Registrar {
    scope: Scope,
    desk: Desk,
    followers: Followers,
    sweep_every: Duration,
    carry_log_every: Duration,
    arrivals: Group<Arrival, ArrivalAnswer>,
    checkpoints: Group<CheckpointToSave, Saved>,
    tokens: Rc<RefCell<TokenCache>>,
}

impl Registrar {
    /// Makes the actor; for the factory given to `Scope::supervise`.
    #[must_use]
    pub fn new(scope: Scope, parts: RegistrarParts) -> Self {
        let config = parts.config;
        let clerk = Clerk::new(parts.registry, scope.clock().clone(), parts.randomness);
        Self {
            desk: Desk::new(scope.clone(), clerk, config.readers, config.max_waiting),
            scope,
            followers: parts.followers,
            sweep_every: config.sweep_every,
            carry_log_every: config.carry_log_every,
            arrivals: Group::new(config.group, |clerk, arrivals| {
                clerk.registry().record_arrivals(arrivals, clerk.now())
            }),
            checkpoints: Group::new(config.group, |clerk, checkpoints| {
                clerk.registry().save_checkpoints(checkpoints)
            }),
            tokens: Rc::new(RefCell::new(TokenCache::new(
                config.token_trust,
                config.remembered_tokens,
            ))),
        }
    }

    /// For sibling actors, who can only be told that the store is away.
    fn ask_store<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Clerk) -> Result<T, RegistryError> + Send + 'static,
    ) -> ResponseFuture<Result<T, Unavailable>> {
        let desk = self.desk.clone();
        Box::pin(async move { desk.run(kind, work).await.map_err(|error| unavailable(&error)) })
    }

    fn sweep(&mut self, context: &mut Context<Self>) {
        let desk = self.desk.clone();
        let sweeping = async move {
            let swept = desk.run(Kind::Write, |clerk| {
                clerk.registry().sweep_idempotent(clerk.now(), clerk.idempotency())
            });
            match swept.await {
                Ok(0) => {}
                Ok(count) => log::debug!(count; "swept out answers kept for idempotency keys"),
                Err(error) => log::warn!("what is over was not swept out: {error}"),
            }
        };
        context.spawn(actix::fut::wrap_future(sweeping));
    }
}

impl Registrar {
    /// Takes no turn at the desk: nobody waits for it, and it waits for nobody.
    fn carry_log_over(&mut self, context: &mut Context<Self>) {
        let (scope, clerk) = (self.scope.clone(), self.desk.clerk().clone());
        let carrying =
            async move { scope.offload(move || clerk.registry().carry_log_over()).await };
        let carrying = actix::fut::wrap_future::<_, Self>(carrying);
        context.spawn(carrying.map(|outcome, registrar, context| {
            match outcome {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(error)) => log::warn!("the web store's log was not carried over: {error}"),
                Err(error) => log::error!("the web store's log was not carried over: {error}"),
            }
            context.run_later(registrar.carry_log_every, Self::carry_log_over);
        }));
    }
}

impl Actor for Registrar {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.sweep_every, Self::sweep);
        context.run_later(self.carry_log_every, Self::carry_log_over);
    }
}

supervised!(Registrar);

impl Observe for Registrar {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "waiting": self.desk.waiting(),
            "remembered_tokens": self.tokens.borrow().len(),
            "arrivals_recorded": self.arrivals.written(),
            "checkpoints_saved": self.checkpoints.written(),
        })
    }
}

/// All that REST asks.
impl<E> Handler<E> for Registrar
where
    E: Errand + Message<Result = Result<<E as Errand>::Answer, RegistryError>>,
{
    type Result = ResponseFuture<Result<<E as Errand>::Answer, RegistryError>>;

    fn handle(&mut self, errand: E, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        let followers = self.followers.clone();
        let tokens = Rc::clone(&self.tokens);
        Box::pin(async move {
            let (answer, facts) = desk
                .run(E::KIND, move |clerk| {
                    let mut facts = Vec::new();
                    let answer = errand.carry_out(clerk, &mut facts)?;
                    Ok((answer, facts))
                })
                .await?;
            for fact in facts {
                match &fact {
                    Fact::ApiTokenRevoked(id) => tokens.borrow_mut().forget(*id),
                    // Its tokens went with it.
                    Fact::MicrogridRemoved(_) | Fact::JobRemoved(_) => tokens.borrow_mut().clear(),
                    _ => {}
                }
                followers.tell(fact);
            }
            Ok(answer)
        })
    }
}

impl Handler<AuthenticateToken> for Registrar {
    type Result = ResponseFuture<Result<Option<ApiToken>, RegistryError>>;

    fn handle(&mut self, message: AuthenticateToken, _: &mut Self::Context) -> Self::Result {
        let hash = SecretHash::of(&message.secret);
        let now = self.scope.clock().instant();
        if let Some(token) = self.tokens.borrow().get(&hash, now) {
            let token = token.clone();
            return Box::pin(async move { Ok(Some(token)) });
        }
        let desk = self.desk.clone();
        let tokens = Rc::clone(&self.tokens);
        let look_up = self.tokens.borrow().begin(now);
        Box::pin(async move {
            let found = desk
                .run(Kind::Read, move |clerk| clerk.registry().api_token_by_hash(&hash))
                .await?;
            tokens.borrow_mut().finish(look_up, &hash, found.as_ref());
            Ok(found)
        })
    }
}

impl Handler<AuthenticateHem> for Registrar {
    type Result = ResponseFuture<Result<AuthenticatedHem, AuthenticationError>>;

    fn handle(&mut self, message: AuthenticateHem, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        let group = self.arrivals.clone();
        let followers = self.followers.clone();
        Box::pin(async move {
            let (arrival, new_key) =
                arrival_of(message, desk.clerk()).map_err(|error| unavailable(&error))?;
            match admit(&desk, &group, arrival).await.map_err(|error| unavailable(&error))? {
                ArrivalAnswer::Admitted(hem) => Ok(authenticated(hem, None)),
                ArrivalAnswer::Recorded(hem) => {
                    followers.tell(hems::changed(&hem));
                    Ok(authenticated(hem, new_key))
                }
                ArrivalAnswer::Refused | ArrivalAnswer::ToRecord => {
                    Err(AuthenticationError::Unauthorised)
                }
            }
        })
    }
}

fn arrival_of(
    message: AuthenticateHem,
    clerk: &Clerk,
) -> Result<(Arrival, Option<Secret>), RegistryError> {
    let (proof, new_key) = match message.credential {
        HemCredential::Key(key) => (Proof::Key(SecretHash::of(&key)), None),
        HemCredential::Certificate => (Proof::Certificate, None),
        HemCredential::Enrolment(token) => {
            let key = clerk.randomness().device_key()?;
            let proof =
                Proof::Enrolment { token: SecretHash::of(&token), new_key: SecretHash::of(&key) };
            (proof, Some(key))
        }
    };
    let AuthenticateHem { hem, nodes, firmware, .. } = message;
    Ok((Arrival { hem, proof, nodes, firmware }, new_key))
}

/// A look is enough for a HEM of which all is known: thousands that come back at once write nothing.
async fn admit(
    desk: &Desk,
    group: &Group<Arrival, ArrivalAnswer>,
    arrival: Arrival,
) -> Result<ArrivalAnswer, RegistryError> {
    let (arrival, answer) = desk
        .run(Kind::Read, move |clerk| {
            let answer = clerk.registry().look_up_arrival(&arrival, clerk.now())?;
            Ok((arrival, answer))
        })
        .await?;
    match answer {
        ArrivalAnswer::ToRecord => group.write(desk, arrival).await,
        answer => Ok(answer),
    }
}

fn authenticated(hem: Hem, issued_key: Option<Secret>) -> AuthenticatedHem {
    AuthenticatedHem { microgrid: hem.microgrid, nodes: hem.nodes, issued_key }
}

impl Handler<ListJobsOf> for Registrar {
    type Result = ResponseFuture<Result<Vec<JobRecord>, Unavailable>>;

    fn handle(&mut self, message: ListJobsOf, _: &mut Self::Context) -> Self::Result {
        self.ask_store(Kind::Read, move |clerk| clerk.registry().jobs_of(&message.microgrid))
    }
}

impl Handler<ListMicrogridsWithJobs> for Registrar {
    type Result = ResponseFuture<Result<Vec<MicrogridId>, Unavailable>>;

    fn handle(&mut self, _: ListMicrogridsWithJobs, _: &mut Self::Context) -> Self::Result {
        self.ask_store(Kind::Read, |clerk| clerk.registry().microgrids_with_jobs())
    }
}

impl Handler<LoadCheckpoint> for Registrar {
    type Result = ResponseFuture<Result<Option<JobCheckpoint>, Unavailable>>;

    fn handle(&mut self, message: LoadCheckpoint, _: &mut Self::Context) -> Self::Result {
        self.ask_store(Kind::Read, move |clerk| clerk.registry().checkpoint(&message.job))
    }
}

impl Handler<SaveCheckpoint> for Registrar {
    type Result = ResponseFuture<Result<(), Unavailable>>;

    fn handle(&mut self, message: SaveCheckpoint, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        let group = self.checkpoints.clone();
        let SaveCheckpoint { job, checkpoint, results, log, tenure } = message;
        let to_save = CheckpointToSave { job, checkpoint, results, log, tenure };
        Box::pin(async move {
            match group.write(&desk, to_save).await {
                Ok(Saved::Written) => Ok(()),
                Ok(Saved::Fenced) => Err(fenced()),
                Err(error) => Err(unavailable(&error)),
            }
        })
    }
}

impl Handler<RecordJobState> for Registrar {
    type Result = ResponseFuture<Result<(), Unavailable>>;

    fn handle(&mut self, message: RecordJobState, _: &mut Self::Context) -> Self::Result {
        self.ask_store(Kind::Write, move |clerk| {
            let RecordJobState { job, state, tenure } = message;
            clerk.registry().record_job_state(&job, &state, tenure.as_ref())
        })
    }
}

impl Handler<GetRoster> for Registrar {
    type Result = ResponseFuture<Result<Option<MicrogridRoster>, Unavailable>>;

    fn handle(&mut self, message: GetRoster, _: &mut Self::Context) -> Self::Result {
        self.ask_store(Kind::Read, move |clerk| match clerk.registry().roster(&message.microgrid) {
            Ok((microgrid, hems)) => Ok(Some(MicrogridRoster {
                profile: MicrogridProfile { id: microgrid.id, time_zone: microgrid.time_zone },
                limits: microgrid.limits,
                hems: hems
                    .into_iter()
                    .map(|hem| RosterHem { hem: hem.id, nodes: hem.nodes, limits: hem.limits })
                    .collect(),
            })),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
    }
}

impl Handler<GetHealth> for Registrar {
    type Result = ResponseFuture<Result<(), Unavailable>>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        self.ask_store(Kind::Write, |clerk| clerk.registry().check())
    }
}

/// What a job is told whose microgrid has moved.
fn fenced() -> Unavailable {
    let reason = "another process runs this job's microgrid now; nothing was written".to_owned();
    Unavailable { what: "web store", reason }
}

/// What a sibling is told, whatever went wrong.
fn unavailable(error: &RegistryError) -> Unavailable {
    let reason = match error {
        RegistryError::Unavailable { reason } => reason.clone(),
        other => other.to_string(),
    };
    Unavailable { what: "web store", reason }
}
