//! A registrar on a file of its own, and who follows it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use memcloud_domain::messages::{
    AuthenticateHem, AuthenticatedHem, AuthenticationError, CutHem, HemChanged, HemCredential,
    HemRemoved, JobChanged, JobRemoved, MicrogridChanged, MicrogridRemoved,
};
use memcloud_domain::{HemId, MicrogridId, PowerLimits, Secret};
use memcloud_registry::{
    Clerk, CreateMicrogrid, Followers, NewMicrogrid, Randomness, Registrar, RegistrarConfig,
    RegistrarParts, RegistryError, SqlRegistry,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, Universe, supervised};
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_800_000_000_000;
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct House {
    pub(crate) scope: Scope,
    pub(crate) registrar: Child<Registrar>,
    pub(crate) followers: Followers,
    folder: TempDir,
}

impl House {
    pub(crate) fn new(scope: Scope, config: RegistrarConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = SqlRegistry::open(folder.path().join("web.db")).unwrap();
        let followers = Followers::default();
        let parts = RegistrarParts {
            registry: Arc::new(registry),
            randomness: Randomness::seeded(7),
            followers: followers.clone(),
            config,
        };
        let registrar = scope.supervise(ChildSpec::new("registrar").mailbox(1_024), move |scope| {
            Registrar::new(scope, parts.clone())
        });
        Self { scope, registrar, followers, folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command line beside the server: another process on the same file.
    pub(crate) fn command_line(&self) -> Clerk {
        let registry = SqlRegistry::open(self.file("web.db")).unwrap();
        Clerk::new(Arc::new(registry), self.scope.clock().clone(), Randomness::system())
    }

    pub(crate) async fn ask<M, T>(&self, message: M) -> Result<T, RegistryError>
    where
        M: Message<Result = Result<T, RegistryError>> + Send + 'static,
        T: Send + 'static,
        Registrar: Handler<M>,
    {
        self.registrar.ask(message, DEADLINE).await.unwrap()
    }

    pub(crate) async fn with_microgrid(self, id: &str) -> Self {
        self.ask(CreateMicrogrid(new_microgrid(id))).await.unwrap();
        self
    }

    pub(crate) async fn authenticate(
        &self,
        id: &str,
        credential: HemCredential,
    ) -> Result<AuthenticatedHem, AuthenticationError> {
        let message = AuthenticateHem { hem: hem(id), credential, nodes: None, firmware: None };
        self.registrar.ask(message, DEADLINE).await.unwrap()
    }
}

/// Runs a test in simulated time.
pub(crate) fn universe<Fut: Future<Output = ()>>(test: impl FnOnce(House) -> Fut) {
    Universe::run(NOW, |scope| test(House::new(scope, RegistrarConfig::default())));
}

pub(crate) fn hem(id: &str) -> HemId {
    HemId::new(id).unwrap()
}

pub(crate) fn microgrid_id(id: &str) -> MicrogridId {
    MicrogridId::new(id).unwrap()
}

pub(crate) fn by_key(key: &Secret) -> HemCredential {
    HemCredential::Key(key.clone())
}

pub(crate) fn new_microgrid(id: &str) -> NewMicrogrid {
    NewMicrogrid {
        id: microgrid_id(id),
        name: format!("Grid {id}"),
        time_zone: None,
        limits: PowerLimits::default(),
    }
}

/// Writes down what it is told.
#[derive(Clone, Default)]
pub(crate) struct Follower {
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    /// How long it takes over each.
    pub(crate) pause: Duration,
}

impl Actor for Follower {
    type Context = Context<Self>;
}

supervised!(Follower);

impl Observe for Follower {}

macro_rules! follow {
    ($($message:ty: $told:expr;)*) => {
        $(
            impl Handler<$message> for Follower {
                type Result = actix::ResponseActFuture<Self, ()>;

                fn handle(&mut self, message: $message, context: &mut Self::Context) -> Self::Result {
                    use actix::{ActorFutureExt, AsyncContext, WrapFuture};
                    let told: fn(&$message) -> String = $told;
                    self.told.lock().unwrap().push(told(&message));
                    context.wait(tokio::time::sleep(self.pause).into_actor(self));
                    Box::pin(async {}.into_actor(self).map(|(), _, _| ()))
                }
            }
        )*
    };
}

follow! {
    CutHem: |message| format!("cut {}", message.hem);
    MicrogridChanged: |message| format!("changed {}", message.profile.id);
    MicrogridRemoved: |message| format!("removed {}", message.microgrid);
    HemChanged: |message| format!("changed {} in {}", message.hem, message.microgrid);
    HemRemoved: |message| format!("removed {} in {}", message.hem, message.microgrid);
    JobChanged: |message| format!("changed {} {:?}", message.job.app, message.job.state);
    JobRemoved: |message| format!("removed a job in {}", message.microgrid);
}

impl House {
    /// Someone who follows everything.
    pub(crate) fn follow(&self, mailbox: usize, pause: Duration) -> Arc<Mutex<Vec<String>>> {
        let follower = Follower { pause, ..Follower::default() };
        let told = Arc::clone(&follower.told);
        let child = self
            .scope
            .supervise(ChildSpec::new("follower").mailbox(mailbox), move |_| follower.clone());
        self.followers
            .cut_hem(child.port())
            .microgrid_changed(child.port())
            .microgrid_removed(child.port())
            .hem_changed(child.port())
            .hem_removed(child.port())
            .job_changed(child.port())
            .job_removed(child.port());
        told
    }
}
