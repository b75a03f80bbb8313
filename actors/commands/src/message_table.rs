//! The durable ledger's actor: a thin shell over the [`Journal`], which decides; this takes rows to the
//! store on blocking threads, one transaction at a time, and tells its parent what came of it.
//!
//! A crash loses nothing that was answered or sent: what is open is read from the store again. A
//! transaction that was under way completes or not before that, because both wait at the same door.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    SpawnHandle,
};
use memcloud_domain::messages::{GetCommand, ListCommands, ListOpenCommands, Page, Unavailable};
use memcloud_domain::{CommandRecord, MicrogridId, Seq, Tenure, Timestamp};
use memcloud_store::registry::{CommandFilter, CommandStore, RegistryError};
use memcloud_supervision::{Observe, OffloadError, Port, Scope, supervised};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::ledger::journal::{
    Absence, Errand, Failure, FailureKind, Journal, LookedUp, Opened, Reply, Told, WEB_STORE,
};
use crate::ledger::machine::lease_end;
use crate::ledger::operation::Operation;
use crate::shelves::{Shelf, Shelves, StoreDoors, Tenures};
use crate::{CommandMetrics, CommandsConfig, CommandsHealth, GetHealth};

/// The longest sleep: a wall clock that jumps is noticed after it.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How soon a parent with a full mailbox is told again.
const TELL_AGAIN: Duration = Duration::from_millis(20);
/// How often commands that are too old are deleted, and how many at a time.
const DELETE_EVERY: Duration = Duration::from_secs(3_600);
const DELETED_AT_ONCE: usize = 1_000;

/// What the `MessageTable` is made of.
#[derive(Clone)]
pub(crate) struct TableParts {
    pub(crate) store: Arc<dyn CommandStore>,
    pub(crate) metrics: Arc<CommandMetrics>,
    pub(crate) config: CommandsConfig,
    pub(crate) doors: StoreDoors,
    pub(crate) tenures: Tenures,
    pub(crate) told: Port<LedgerMoved>,
}

/// `CommandProcessor` has the `MessageTable` do something to the ledger. Whoever waits for the reply is
/// answered after the disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Operate {
    /// In whose ledger.
    pub(crate) microgrid: MicrogridId,
    pub(crate) operation: Operation,
    pub(crate) reply: Reply,
}

/// `MessageTable` tells the `CommandProcessor` what is on disk now, and what is to be done about it.
/// Told again until it is taken.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LedgerMoved(pub(crate) Told);

/// `CommandProcessor` has the `MessageTable` open the ledger of a microgrid. Answers whether it was not open
/// under this tenure before.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct OpenLedger(pub(crate) Tenure);

/// `CommandProcessor` has the `MessageTable` close the ledger of a microgrid; answered when nothing is
/// written into it any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CloseLedger(pub(crate) MicrogridId);

/// The durable ledger.
pub struct MessageTable {
    scope: Scope,
    parts: TableParts,
    shelves: Shelves,
    /// What could not be told yet.
    untold: Told,
    reads: Arc<Semaphore>,
    pending_reads: Arc<Semaphore>,
    armed: BTreeMap<Shelf, (Instant, SpawnHandle)>,
    is_telling: bool,
}

impl std::fmt::Debug for MessageTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MessageTable").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl MessageTable {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 8_192;

    pub(crate) fn new(scope: Scope, parts: TableParts) -> Self {
        let metrics = Arc::clone(&parts.metrics);
        let shelves = Shelves::new(parts.config, metrics, parts.tenures.clone());
        let reads = parts.config.reads.max(1);
        Self {
            scope,
            shelves,
            untold: Told::default(),
            reads: Arc::new(Semaphore::new(reads)),
            pending_reads: Arc::new(Semaphore::new(reads + parts.config.waiting_reads)),
            parts,
            armed: BTreeMap::new(),
            is_telling: false,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    /// Takes a ledger as far as it goes: starts what the store is to do, tells what is to be told, and
    /// sees that it wakes up in time.
    fn drive(&mut self, shelf: &Shelf, context: &mut Context<Self>) {
        let (at, now) = (self.at(), self.scope.clock().instant());
        let Some(held) = self.shelves.get(shelf) else { return };
        held.journal.give_up_late(now);
        let errand = held.journal.begin(at, now);
        let tenure = held.tenure.clone();
        let number = held.number;
        self.untold.add(held.journal.take_told());
        if let Some(errand) = errand {
            self.run(shelf.clone(), number, errand, tenure, context);
        }
        self.tell(context);
        self.arm(shelf, context);
    }

    fn run(
        &self,
        shelf: Shelf,
        number: u64,
        errand: Errand,
        tenure: Option<Tenure>,
        context: &mut Context<Self>,
    ) {
        let (scope, door) = (self.scope.clone(), self.parts.doors.of(&shelf));
        let (store, at) = (Arc::clone(&self.parts.store), self.at());
        let began = self.scope.clock().instant();
        let microgrid = shelf.microgrid().cloned();
        let work = async move {
            // The door is never closed.
            let turn = door.acquire_owned().await.ok();
            scope
                .offload(move || {
                    let _turn = turn;
                    carry_out(errand, microgrid.as_ref(), tenure, store.as_ref(), at)
                })
                .await
        };
        let done = wrap_future::<_, Self>(work).map(move |done, table, context| {
            table.done(&shelf, number, done, began, context);
        });
        context.spawn(done);
    }

    fn done(
        &mut self,
        shelf: &Shelf,
        number: u64,
        done: Result<Done, OffloadError>,
        began: Instant,
        context: &mut Context<Self>,
    ) {
        let (at, now) = (self.at(), self.scope.clock().instant());
        // Of a ledger that was closed meanwhile nothing is to be said.
        let Some(held) = self.shelves.get(shelf).filter(|held| held.number == number) else {
            return;
        };
        if let Ok(Done::Written(Err(Failure { kind: FailureKind::Fenced, .. }))) = &done {
            self.parts.metrics.fenced_writes.increment();
            log::warn!(microgrid = shelf.microgrid().map_or("", MicrogridId::as_str);
                "another process runs a microgrid: what was to be written of its commands was not");
            self.close(shelf);
            return;
        }
        let journal = &mut held.journal;
        let was_away = journal.away().is_some();
        let mut next = None;
        match done {
            Ok(Done::Opened(result)) => journal.opened(result, now),
            Ok(Done::Written(result)) => {
                journal.written(result, now.saturating_duration_since(began), now);
            }
            Ok(Done::LookedUp(result)) => next = journal.looked_up(result, at, now),
            Err(error) => {
                let kind = FailureKind::MayPass;
                journal.broke(Failure { reason: error.to_string(), kind }, now);
            }
        }
        log_health(was_away, journal);
        let tenure = held.tenure.clone();
        if let Some(errand) = next {
            self.run(shelf.clone(), number, errand, tenure, context);
        }
        self.drive(shelf, context);
    }

    /// Lets a ledger go; whoever waits for it is told so.
    fn close(&mut self, shelf: &Shelf) {
        if let Some(mut held) = self.shelves.leave(shelf) {
            held.journal.close(LEFT);
            self.untold.add(held.journal.take_told());
        }
        self.note_figures();
    }

    fn note_figures(&self) {
        let (waiting, open) = self.shelves.count();
        self.parts.metrics.waiting.set(waiting);
        self.parts.metrics.open.set(open);
    }

    fn tell(&mut self, context: &mut Context<Self>) {
        self.note_figures();
        if self.is_telling || self.untold.is_empty() {
            return;
        }
        let told = std::mem::take(&mut self.untold);
        if let Err(error) = self.parts.told.tell(LedgerMoved(told)) {
            self.untold = error.into_message().0;
            self.is_telling = true;
            context.run_later(TELL_AGAIN, |table, context| {
                table.is_telling = false;
                table.tell(context);
            });
        }
    }

    fn arm(&mut self, shelf: &Shelf, context: &mut Context<Self>) {
        let (at, now) = (self.at(), self.scope.clock().instant());
        let Some(held) = self.shelves.get(shelf) else { return };
        let Some(pause) = held.journal.rests(at, now) else { return };
        // A millisecond more, so that what is due by the wall clock is due.
        let pause = pause.min(LONGEST_REST) + Duration::from_millis(1);
        let wake = now + pause;
        match self.armed.remove(shelf) {
            Some((earlier, handle)) if earlier <= wake && earlier > now => {
                self.armed.insert(shelf.clone(), (earlier, handle));
                return;
            }
            Some((_, handle)) => {
                context.cancel_future(handle);
            }
            None => {}
        }
        let own = shelf.clone();
        let handle = context.run_later(pause, move |table, context| {
            table.armed.remove(&own);
            table.drive(&own, context);
        });
        self.armed.insert(shelf.clone(), (wake, handle));
    }

    /// Reads on a blocking thread; so many at a time, so many more waiting.
    fn read<T, F>(&self, read: F) -> ResponseFuture<Result<T, Unavailable>>
    where
        T: Send + 'static,
        F: FnOnce(&dyn CommandStore, Timestamp) -> Result<T, RegistryError> + Send + 'static,
    {
        let unavailable = |reason: String| Unavailable { what: WEB_STORE, reason };
        let Ok(place) = Arc::clone(&self.pending_reads).try_acquire_owned() else {
            self.parts.metrics.unavailable.increment();
            let refusal =
                unavailable("too many reads of commands wait; ask again later".to_owned());
            return Box::pin(std::future::ready(Err(refusal)));
        };
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.parts.store));
        let (reads, at) = (Arc::clone(&self.reads), self.at());
        Box::pin(async move {
            let _place = place;
            let Ok(_turn) = reads.acquire().await else {
                return Err(unavailable("the ledger is shutting down".to_owned()));
            };
            match scope.offload(move || read(store.as_ref(), at)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(RegistryError::Unavailable { reason })) => Err(unavailable(reason)),
                Ok(Err(error)) => {
                    log::error!(error = error.to_string().as_str(); "commands cannot be read");
                    Err(unavailable(error.to_string()))
                }
                Err(error) => Err(unavailable(error.to_string())),
            }
        })
    }

    /// Why the store is away for one of the ledgers, if it is.
    fn away(&self) -> Option<&Absence> {
        self.shelves.journals().find_map(Journal::away)
    }

    fn delete_old(&mut self, context: &mut Context<Self>) {
        self.parts.doors.tidy();
        let (scope, door) = (self.scope.clone(), self.parts.doors.of(&Shelf::Everything));
        let (store, at) = (Arc::clone(&self.parts.store), self.at());
        let issued_before = at.minus(self.parts.config.retention);
        let metrics = Arc::clone(&self.parts.metrics);
        let work = async move {
            loop {
                // Others get their turn in between.
                let turn = Arc::clone(&door).acquire_owned().await.ok();
                let store = Arc::clone(&store);
                let deleted = scope
                    .offload(move || {
                        let _turn = turn;
                        store.delete_commands(issued_before, at, DELETED_AT_ONCE)
                    })
                    .await;
                match deleted {
                    Ok(Ok(0)) => return,
                    Ok(Ok(count)) => metrics.deleted.add(count),
                    Ok(Err(error)) => {
                        log::warn!("old commands were not deleted: {error}");
                        return;
                    }
                    Err(error) => {
                        log::warn!("old commands were not deleted: {error}");
                        return;
                    }
                }
            }
        };
        context.spawn(wrap_future(work));
    }
}

/// What whoever waits is told of a microgrid that another process runs.
const LEFT: &str = "another process runs the microgrid now; ask again";

enum Done {
    Opened(Result<Opened, Failure>),
    Written(Result<(), Failure>),
    LookedUp(Result<LookedUp, Failure>),
}

fn carry_out(
    errand: Errand,
    microgrid: Option<&MicrogridId>,
    tenure: Option<Tenure>,
    store: &dyn CommandStore,
    at: Timestamp,
) -> Done {
    match errand {
        Errand::Open => {
            let open = store.open_commands(microgrid, at);
            let opened = open.and_then(|open| {
                // Of one microgrid they are looked up when they are needed.
                let all = microgrid.is_none().then(|| store.highest_orders());
                Ok(Opened { open, orders: all.transpose()? })
            });
            Done::Opened(opened.map_err(failure))
        }
        Errand::Write(rows) => {
            Done::Written(store.write_commands(&rows, tenure.as_slice()).map_err(failure))
        }
        Errand::LookUp(ids, hems) => {
            let look_up = || {
                let commands = ids.iter().filter_map(|id| store.command(id).transpose());
                let commands = commands.collect::<Result<_, _>>()?;
                Ok(LookedUp { commands, orders: store.highest_orders_of(&hems)? })
            };
            Done::LookedUp(look_up().map_err(failure))
        }
    }
}

fn failure(error: RegistryError) -> Failure {
    match error {
        RegistryError::Unavailable { reason } => Failure { reason, kind: FailureKind::MayPass },
        error @ RegistryError::Fenced { .. } => {
            Failure { reason: error.to_string(), kind: FailureKind::Fenced }
        }
        other => Failure { reason: other.to_string(), kind: FailureKind::Lasts },
    }
}

fn log_health(was_away: bool, journal: &Journal) {
    match (was_away, journal.away()) {
        (false, Some(absence)) => {
            log::error!(reason = absence.reason.as_str();
                "the ledger of commands cannot be written: no command is taken or sent until it can");
        }
        (true, None) => log::info!("the ledger of commands is written again"),
        _ => {}
    }
}

impl Actor for MessageTable {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        for shelf in self.shelves.names() {
            self.drive(&shelf, context);
        }
        self.delete_old(context);
        context.run_interval(DELETE_EVERY, Self::delete_old);
    }
}

supervised!(MessageTable);

impl Observe for MessageTable {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "ledgers": self.shelves.journals().count(),
            "open": self.shelves.count().1,
            "waiting": self.shelves.count().0,
            "commits": self.parts.metrics.commits.get(),
            "store_away": self.away().map(|absence| absence.reason.as_str()),
        })
    }
}

impl Handler<Operate> for MessageTable {
    type Result = ();

    fn handle(&mut self, message: Operate, context: &mut Self::Context) {
        let now = self.scope.clock().instant();
        let Operate { microgrid, operation, reply } = message;
        let shelf = self.shelves.shelf_of(&microgrid);
        match self.shelves.get(&shelf) {
            Some(held) => {
                held.journal.take(operation, reply, now);
                self.drive(&shelf, context);
            }
            // What concerns only whoever runs it is passed over.
            None => reply.refuse(LEFT),
        }
    }
}

impl Handler<OpenLedger> for MessageTable {
    type Result = bool;

    fn handle(&mut self, message: OpenLedger, context: &mut Self::Context) -> bool {
        let Some((shelf, earlier)) = self.shelves.take(message.0) else { return false };
        if let Some(mut earlier) = earlier {
            earlier.journal.close(LEFT);
        }
        self.drive(&shelf, context);
        true
    }
}

impl Handler<CloseLedger> for MessageTable {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: CloseLedger, context: &mut Self::Context) -> Self::Result {
        let shelf = Shelf::Of(message.0);
        self.close(&shelf);
        self.tell(context);
        let door = self.parts.doors.of(&shelf);
        Box::pin(async move {
            // A transaction that is under way is over then.
            let _turn = door.acquire_owned().await;
        })
    }
}

impl Handler<GetCommand> for MessageTable {
    type Result = ResponseFuture<Result<Option<Arc<CommandRecord>>, Unavailable>>;

    fn handle(&mut self, message: GetCommand, _: &mut Self::Context) -> Self::Result {
        let durable = self.shelves.journals().find_map(|journal| journal.durable(&message.command));
        if let Some(record) = durable {
            return Box::pin(std::future::ready(Ok(Some(record))));
        }
        self.read(move |store, _| Ok(store.command(&message.command)?.map(Arc::new)))
    }
}

impl Handler<ListCommands> for MessageTable {
    type Result = ResponseFuture<Result<Page<Arc<CommandRecord>>, Unavailable>>;

    fn handle(&mut self, message: ListCommands, _: &mut Self::Context) -> Self::Result {
        self.read(move |store, _| {
            let ListCommands { microgrid, hem, state, after, limit } = message;
            let filter = CommandFilter { microgrid, hem, state };
            let found = store.commands(&filter, after.as_ref(), limit)?;
            // Ids are no numbers: what follows is asked for after the last item.
            let next = (found.len() >= limit.max(1)).then_some(Seq::NONE);
            Ok(Page { items: found.into_iter().map(Arc::new).collect(), next })
        })
    }
}

impl Handler<ListOpenCommands> for MessageTable {
    type Result = ResponseFuture<Result<Vec<Arc<CommandRecord>>, Unavailable>>;

    fn handle(&mut self, message: ListOpenCommands, _: &mut Self::Context) -> Self::Result {
        self.read(move |store, at| {
            let open = store.open_commands(Some(&message.microgrid), at)?;
            // The store keeps them longer, so that their end is seen.
            let holds = |record: &CommandRecord| lease_end(record).is_none_or(|end| at < end);
            Ok(open.into_iter().filter(holds).map(Arc::new).collect())
        })
    }
}

impl Handler<GetHealth> for MessageTable {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        let now = self.scope.clock().instant();
        let away = self.away();
        let (waiting, open) = self.shelves.count();
        MessageResult(CommandsHealth {
            away_for: away
                .map_or(Duration::ZERO, |absence| now.saturating_duration_since(absence.since)),
            away: away
                .map(|absence| Unavailable { what: WEB_STORE, reason: absence.reason.clone() }),
            waiting,
            open,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use memcloud_domain::messages::CommandError;
    use memcloud_domain::{
        Asker, CommandAction, CommandId, CommandRequest, HemId, MicrogridId, NodeId,
    };
    use memcloud_store::registry::SqlRegistry;
    use memcloud_supervision::{Child, ChildSpec, RestartPolicy, Universe};
    use tokio::sync::oneshot;

    use super::*;
    use crate::request;

    const SOON: Duration = Duration::from_secs(10);

    #[derive(Debug, Message)]
    #[rtype(result = "()")]
    struct Crash;

    impl Handler<Crash> for MessageTable {
        type Result = ();
        fn handle(&mut self, _: Crash, _: &mut Self::Context) {
            panic!("as the test wants it");
        }
    }

    /// Stands for the processor.
    struct Parent(Arc<Mutex<Vec<Told>>>);

    impl Actor for Parent {
        type Context = Context<Self>;
    }
    impl Observe for Parent {}
    supervised!(Parent);

    impl Handler<LedgerMoved> for Parent {
        type Result = ();
        fn handle(&mut self, message: LedgerMoved, _: &mut Self::Context) {
            self.0.lock().unwrap().push(message.0);
        }
    }

    async fn accept(
        table: &Child<MessageTable>,
        id: &str,
    ) -> Result<Vec<Arc<CommandRecord>>, CommandError> {
        let asked = CommandRequest {
            microgrid: MicrogridId::new("fontana").unwrap(),
            hem: HemId::new("home").unwrap(),
            node: Some(NodeId(1)),
            action: CommandAction::Switch { on: true },
            asker: Asker::Person { id: "1".to_owned(), name: "anna".to_owned() },
            reason: String::new(),
            priority: 0,
            lease_ms: None,
            expires_ms: None,
        };
        let config = CommandsConfig::default();
        let id = CommandId::new(id).unwrap();
        let record = request::record(asked, id, Timestamp(1_800_000_000_000), &config);
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Accept(vec![record]);
        let microgrid = MicrogridId::new("fontana").unwrap();
        table.tell(Operate { microgrid, operation, reply: Reply::Accepted(reply) }).unwrap();
        answer.await.unwrap()
    }

    #[test]
    fn a_table_that_crashed_reads_from_the_store_what_it_knew() {
        Universe::run(1_800_000_000_000, async |scope| {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(SqlRegistry::open(folder.path().join("web.db")).unwrap());
            let told = Arc::new(Mutex::new(Vec::new()));
            let inbox = Arc::clone(&told);
            let parent =
                scope.supervise(ChildSpec::new("parent"), move |_| Parent(Arc::clone(&inbox)));
            let parts = TableParts {
                store,
                metrics: Arc::default(),
                config: CommandsConfig::default(),
                doors: StoreDoors::default(),
                tenures: Tenures::default(),
                told: parent.port(),
            };
            let spec = ChildSpec::new("table").policy(RestartPolicy::permanent());
            let table = scope.supervise(spec, move |own| MessageTable::new(own, parts.clone()));
            let record = accept(&table, "first").await.unwrap().remove(0);
            table.tell(Crash).unwrap();
            scope.clock().sleep(SOON).await;
            let found = table.ask(GetCommand { command: record.id.clone() }, SOON).await.unwrap();
            assert_eq!(found.unwrap(), Some(Arc::clone(&record)));
            let opened: Vec<_> =
                told.lock().unwrap().iter().flat_map(|told| told.opened.clone()).collect();
            assert_eq!(opened, [record]);
            // It goes on.
            accept(&table, "second").await.unwrap();
        });
    }
}
