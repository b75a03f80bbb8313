//! Whom everyone talks to about commands.

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, ResponseFuture};
use memcloud_domain::CommandRecord;
use memcloud_domain::messages::{
    CancelCommand, CommandAnswered, CommandError, GetCommand, HemChanged, HemConnected,
    HemDisconnected, HemRemoved, ListCommands, ListOpenCommands, Page, PlaceOrders, Placement,
    ReadingsCommitted, RequestCommands, Unavailable,
};
use memcloud_store::registry::Registry;
use memcloud_supervision::{Child, ChildSpec, Observe, RestartPolicy, Scope, supervised};

use crate::{CommandIds, CommandMetrics, CommandPorts, CommandsConfig, CommandsHealth, GetHealth};

/// What the `CommandProcessor` is made of.
#[derive(Clone)]
pub struct CommandParts {
    /// The database.
    pub registry: Arc<dyn Registry>,
    /// Whom it asks and tells; most are added after the start.
    pub ports: CommandPorts,
    /// Where commands get their ids.
    pub ids: CommandIds,
    /// What it counts.
    pub metrics: Arc<CommandMetrics>,
    /// Its times and bounds.
    pub config: CommandsConfig,
}

impl std::fmt::Debug for CommandParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CommandParts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whom everyone talks to about commands.
#[derive(Debug)]
pub struct CommandProcessor {
    parts: CommandParts,
    scope: Scope,
}

impl CommandProcessor {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 8_192;

    /// Starts it below a scope, named `commands`; the `MessageTable` is its child.
    pub fn start(scope: &Scope, parts: CommandParts) -> Child<Self> {
        let spec =
            ChildSpec::new("commands").policy(RestartPolicy::permanent()).mailbox(Self::MAILBOX);
        scope.supervise(spec, move |own| Self { parts: parts.clone(), scope: own })
    }

    fn not_yet(&self) -> Unavailable {
        Unavailable { what: "web store", reason: format!("{} is not there yet", self.scope.path()) }
    }
}

impl Actor for CommandProcessor {
    type Context = Context<Self>;
}

impl Observe for CommandProcessor {}

supervised!(CommandProcessor);

macro_rules! not_yet {
    ($($message:ty => $answer:ty;)*) => {$(
        impl Handler<$message> for CommandProcessor {
            type Result = ResponseFuture<$answer>;

            fn handle(&mut self, _: $message, _: &mut Self::Context) -> Self::Result {
                let refusal = self.not_yet();
                Box::pin(async move { Err(refusal.into()) })
            }
        }
    )*};
}

not_yet! {
    RequestCommands => Result<Vec<Arc<CommandRecord>>, CommandError>;
    CancelCommand => Result<Arc<CommandRecord>, CommandError>;
    GetCommand => Result<Option<Arc<CommandRecord>>, Unavailable>;
    ListCommands => Result<Page<Arc<CommandRecord>>, Unavailable>;
    ListOpenCommands => Result<Vec<Arc<CommandRecord>>, Unavailable>;
    PlaceOrders => Result<Vec<Placement>, Unavailable>;
}

macro_rules! facts {
    ($($fact:ty;)*) => {$(
        impl Handler<$fact> for CommandProcessor {
            type Result = ();

            fn handle(&mut self, _: $fact, _: &mut Self::Context) {}
        }
    )*};
}

facts! {
    CommandAnswered;
    HemConnected;
    HemDisconnected;
    HemChanged;
    HemRemoved;
    ReadingsCommitted;
}

impl Handler<GetHealth> for CommandProcessor {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        let away = Some(self.not_yet());
        MessageResult(CommandsHealth {
            away,
            away_for: self.parts.config.expires,
            waiting: 0,
            open: 0,
        })
    }
}
