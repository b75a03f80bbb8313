//! Whom everyone talks to about commands: takes them in, offers them to dispatch, writes what dispatch
//! decided, sends it, and sees in the readings what became of it. The ledger itself is its child's, the
//! [`MessageTable`]: what is answered here is on disk.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
};
use memcloud_domain::messages::{
    CancelCommand, CommandAnswered, CommandChanged, CommandError, DispatchCommand, GetCommand,
    GetRoster, HemBatch, HemChanged, HemConnected, HemDisconnected, HemRemoved, LeaveMicrogrid,
    ListCommands, ListOpenCommands, MicrogridTaken, OrderDraft, OutgoingCommand, Page, PlaceOrders,
    Placement, ProcessesChanged, ReadEntriesAfter, ReadingsCommitted, RequestCommands, RosterHem,
    SendCommands, Unavailable, Verdict,
};
use memcloud_domain::{CommandId, CommandRecord, HemId, MicrogridId, Timestamp};
use memcloud_store::registry::CommandStore;
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::effect::watches::{LookUp, PAGE, Watches};
use crate::fleet_budget::FleetBudget;
use crate::known_hems::KnownHems;
use crate::ledger::journal::{Reply, Told, WEB_STORE};
use crate::ledger::operation::{Operation, Placing};
use crate::message_table::{
    CloseLedger, LedgerMoved, MessageTable, OpenLedger, Operate, TableParts,
};
use crate::shelves::{StoreDoors, Tenures};
use crate::{
    CommandIds, CommandMetrics, CommandPorts, CommandsConfig, CommandsHealth, GetHealth, request,
};

/// How long the table, and the stores behind others, may take to answer.
const ASK_DEADLINE: Duration = Duration::from_secs(30);
/// How soon dispatch is offered again what its full mailbox did not take.
const OFFER_SOON: Duration = Duration::from_millis(20);
/// So many reads of stored readings are under way at a time.
const LOOK_UPS: usize = 8;
/// So many more wait; the rest stays due.
const WAITING_LOOK_UPS: usize = 256;

/// What the `CommandProcessor` is made of.
#[derive(Clone)]
pub struct CommandParts {
    /// The database.
    pub store: Arc<dyn CommandStore>,
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
    doors: StoreDoors,
    tenures: Tenures,
    table: Option<Child<MessageTable>>,
    budget: FleetBudget,
    hems: KnownHems,
    watches: Watches,
    offers: VecDeque<Arc<CommandRecord>>,
    is_offering: bool,
    look_ups: VecDeque<LookUp>,
    looking_up: usize,
    rosters: BTreeSet<MicrogridId>,
    armed: Option<(Instant, SpawnHandle)>,
}

impl CommandProcessor {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 8_192;

    /// Starts it below a scope, named `commands`; the `MessageTable` is its child.
    pub fn start(scope: &Scope, parts: CommandParts) -> Child<Self> {
        let spec =
            ChildSpec::new("commands").policy(RestartPolicy::permanent()).mailbox(Self::MAILBOX);
        let (doors, tenures) = (StoreDoors::default(), Tenures::default());
        scope.supervise(spec, move |own| {
            Self::new(own, parts.clone(), doors.clone(), tenures.clone())
        })
    }

    fn new(scope: Scope, parts: CommandParts, doors: StoreDoors, tenures: Tenures) -> Self {
        let now = scope.clock().instant();
        Self {
            budget: FleetBudget::new(parts.config.fleet_watts_per_minute, now),
            watches: Watches::new(parts.config.effect_window),
            hems: KnownHems::new(parts.config.hems),
            parts,
            scope,
            doors,
            tenures,
            table: None,
            offers: VecDeque::new(),
            is_offering: false,
            look_ups: VecDeque::new(),
            looking_up: 0,
            rosters: BTreeSet::new(),
            armed: None,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    // ------------------------------------------------------------------------------- the ledger

    /// The same about a HEM; nothing where nobody has said whose it is.
    fn operate_on(&self, hem: &HemId, operation: Operation) {
        if let Some(microgrid) = self.hems.microgrid(hem).cloned() {
            self.operate(microgrid, operation, Reply::Nobody);
        }
    }

    /// Has the table do something; whoever asked hears of it by the reply.
    fn operate(&self, microgrid: MicrogridId, operation: Operation, reply: Reply) {
        let Some(table) = &self.table else { return };
        if let Err(error) = table.tell(Operate { microgrid, operation, reply }) {
            // With the reply whoever asked hears that it was not taken.
            let Operate { operation, .. } = error.into_message();
            if let Operation::Answer(_) = operation {
                self.parts.metrics.dropped_answers.increment();
            }
        }
    }

    fn ask_table<M, T>(&self, message: M) -> ResponseFuture<Result<T, Unavailable>>
    where
        M: Message<Result = Result<T, Unavailable>> + Send + 'static,
        T: Send + 'static,
        MessageTable: Handler<M>,
        <MessageTable as Actor>::Context: actix::dev::ToEnvelope<MessageTable, M>,
    {
        let table = self.table.clone();
        Box::pin(async move {
            let Some(table) = table else { return Err(not_taken()) };
            table.ask(message, ASK_DEADLINE).await.unwrap_or_else(|error| {
                Err(Unavailable { what: WEB_STORE, reason: error.to_string() })
            })
        })
    }

    /// Carries out what follows from what is on disk now.
    fn moved(&mut self, told: Told, context: &mut Context<Self>) {
        for record in told.opened.iter().chain(&told.changed) {
            self.hems.belongs(&record.hem, &record.microgrid);
        }
        for record in &told.opened {
            self.follow(record, context);
        }
        for record in &told.changed {
            self.follow(record, context);
            let change = CommandChanged { command: Arc::clone(record) };
            self.parts.metrics.dropped_changes.add(self.parts.ports.tell_changed(&change));
        }
        for command in &told.dropped {
            self.watches.forget(command);
        }
        for (hem, commands) in told.to_send {
            self.send(hem, commands, context);
        }
        for hem in told.to_look_for {
            self.send(hem, Vec::new(), context);
        }
        self.offers.extend(told.to_offer);
        self.offer(context);
        self.parts.metrics.watched.set(self.watches.len());
        self.look(context);
    }

    // ------------------------------------------------------------------------------- dispatch

    fn offer(&mut self, context: &mut Context<Self>) {
        if self.is_offering {
            return;
        }
        let Some(dispatch) = self.parts.ports.to_dispatch() else {
            // Nobody is there yet: it is offered again.
            self.parts.metrics.unheard_offers.add(self.offers.len());
            self.offers.clear();
            return;
        };
        while let Some(command) = self.offers.pop_front() {
            if let Err(error) = dispatch.tell(DispatchCommand { command }) {
                self.parts.metrics.unheard_offers.increment();
                self.offers.push_front(error.into_message().command);
                self.is_offering = true;
                context.run_later(OFFER_SOON, |processor, context| {
                    processor.is_offering = false;
                    processor.offer(context);
                });
                return;
            }
        }
    }

    /// Charges orders to the fleet's budget; what finds no room is answered so.
    fn charge(&mut self, verdicts: &[Verdict]) -> Vec<Option<Placement>> {
        let now = self.scope.clock().instant();
        let charge = |verdict: &Verdict| {
            let Verdict::Order(OrderDraft { moves_watts, .. }) = verdict else { return None };
            let retry_after_ms = self.budget.take(*moves_watts, now).err()?;
            self.parts.metrics.over_fleet_budget.increment();
            Some(Placement::OverFleetBudget { retry_after_ms })
        };
        verdicts.iter().map(charge).collect()
    }

    // ------------------------------------------------------------------------------- sockets

    /// Hands commands to the HEM's socket. Nothing at all only asks whether there is one.
    fn send(
        &mut self,
        hem: HemId,
        mut commands: Vec<OutgoingCommand>,
        context: &mut Context<Self>,
    ) {
        let Some(sockets) = self.parts.ports.to_send().cloned() else { return };
        commands.sort_by_key(|command| command.order);
        let is_question = commands.is_empty();
        let epoch = self.hems.epoch(&hem);
        let sending = SendCommands { hem: hem.clone(), commands };
        let answer =
            wrap_future::<_, Self>(async move { sockets.ask(sending, ASK_DEADLINE).await });
        context.spawn(answer.map(move |answer, processor, _| match answer {
            Ok(Ok(())) if is_question => {
                processor.operate_on(&hem, Operation::Connected(hem.clone(), epoch));
            }
            Ok(Err(_)) if !is_question => {
                // It is sent again when the HEM is back.
                processor.operate_on(&hem, Operation::Disconnected(hem.clone(), epoch));
            }
            _ => {}
        }));
    }

    /// Asks after HEMs of which nobody said whether they are connected.
    fn look_for_unknown(
        &mut self,
        microgrid: &MicrogridId,
        verdicts: &[Verdict],
        context: &mut Context<Self>,
    ) {
        let mut unknown: Vec<&HemId> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Order(draft) if !self.hems.knows(&draft.hem) => Some(&draft.hem),
                _ => None,
            })
            .collect();
        unknown.sort();
        unknown.dedup();
        for hem in unknown {
            self.hems.belongs(hem, microgrid);
            self.send(hem.clone(), Vec::new(), context);
        }
    }

    // ------------------------------------------------------------------------------- effects

    fn follow(&mut self, record: &Arc<CommandRecord>, context: &mut Context<Self>) {
        self.watches.follow(record, self.hems.mark(&record.hem));
        if self.watches.has(&record.id) && !self.hems.knows_nodes(&record.hem) {
            self.ask_for_nodes(&record.microgrid, context);
        }
    }

    /// Asks for a microgrid's nodes, one question at a time.
    fn ask_for_nodes(&mut self, microgrid: &MicrogridId, context: &mut Context<Self>) {
        let Some(roster) = self.parts.ports.to_roster().cloned() else { return };
        if !self.rosters.insert(microgrid.clone()) {
            return;
        }
        let microgrid = microgrid.clone();
        let question = GetRoster { microgrid: microgrid.clone() };
        let answer =
            wrap_future::<_, Self>(async move { roster.ask(question, ASK_DEADLINE).await });
        context.spawn(answer.map(move |answer, processor, _| {
            processor.rosters.remove(&microgrid);
            let Ok(Ok(Some(roster))) = answer else { return };
            for RosterHem { hem, nodes, .. } in roster.hems {
                if !processor.hems.knows_nodes(&hem) {
                    processor.hems.declared(&hem, nodes);
                }
            }
        }));
    }

    fn take_readings(&mut self, batch: &HemBatch) {
        self.hems.stored(&batch.hem, batch.through);
        if !self.watches.looks_at(&batch.hem) {
            return;
        }
        let nodes = self.hems.nodes(&batch.hem);
        for (command, event) in self.watches.readings(batch, &nodes, self.now()) {
            self.operate_on(&batch.hem, Operation::Find(command, event));
        }
    }

    /// Reads what the store has of HEMs of which an effect should have been seen by now.
    fn look(&mut self, context: &mut Context<Self>) {
        let room = WAITING_LOOK_UPS.saturating_sub(self.look_ups.len());
        let due = self.watches.due(self.now(), room);
        self.look_ups.extend(due);
        while self.looking_up < LOOK_UPS
            && let Some(next) = self.look_ups.pop_front()
        {
            self.look_up(next, context);
        }
        self.arm(context);
    }

    fn look_up(&mut self, wanted: LookUp, context: &mut Context<Self>) {
        let Some(entries) = self.parts.ports.to_entries().cloned() else { return };
        self.looking_up += 1;
        self.parts.metrics.looked_up.increment();
        let LookUp { command, hem, after } = wanted;
        let question = ReadEntriesAfter { hem, after, limit: PAGE };
        let answer =
            wrap_future::<_, Self>(async move { entries.ask(question, ASK_DEADLINE).await });
        context.spawn(answer.map(move |answer, processor, context| {
            processor.looking_up = processor.looking_up.saturating_sub(1);
            match answer {
                Ok(Ok(batch)) => processor.looked_up(&command, &batch),
                _ => {
                    let now = processor.now();
                    processor.watches.not_looked_up(&command, now);
                }
            }
            processor.look(context);
        }));
    }

    fn looked_up(&mut self, command: &CommandId, batch: &HemBatch) {
        let nodes = self.hems.nodes(&batch.hem);
        let (shown, more) = self.watches.looked_up(command, batch, &nodes);
        if let Some((command, event)) = shown {
            self.operate_on(&batch.hem, Operation::Find(command, event));
        }
        self.look_ups.extend(more);
    }

    fn arm(&mut self, context: &mut Context<Self>) {
        // Those that are under way come back here.
        if self.look_ups.len() >= WAITING_LOOK_UPS {
            return;
        }
        let Some(due) = self.watches.next_due() else { return };
        let now = self.scope.clock().instant();
        let pause = due.since(self.now()).min(ASK_DEADLINE) + Duration::from_millis(1);
        let wake = now + pause;
        match self.armed.take() {
            Some((earlier, handle)) if earlier <= wake && earlier > now => {
                self.armed = Some((earlier, handle));
                return;
            }
            Some((_, handle)) => {
                context.cancel_future(handle);
            }
            None => {}
        }
        let handle = context.run_later(pause, |processor, context| {
            processor.armed = None;
            processor.look(context);
        });
        self.armed = Some((wake, handle));
    }
}

fn not_taken() -> Unavailable {
    let reason = "the ledger of commands is busy or restarting; ask again".to_owned();
    Unavailable { what: WEB_STORE, reason }
}

impl Actor for CommandProcessor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let told: Port<LedgerMoved> = self.scope.port(context.address());
        let parts = TableParts {
            store: Arc::clone(&self.parts.store),
            metrics: Arc::clone(&self.parts.metrics),
            config: self.parts.config,
            doors: self.doors.clone(),
            tenures: self.tenures.clone(),
            told,
        };
        let spec = ChildSpec::new("message-table")
            .policy(RestartPolicy::permanent())
            .mailbox(MessageTable::MAILBOX);
        let table = self.scope.supervise(spec, move |own| MessageTable::new(own, parts.clone()));
        self.table = Some(table);
    }
}

supervised!(CommandProcessor);

impl Observe for CommandProcessor {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "hems": self.hems.len(),
            "watched": self.watches.len(),
            "offers_waiting": self.offers.len(),
            "handed_over": self.parts.metrics.handed_over.get(),
            "resent": self.parts.metrics.resent.get(),
        })
    }
}

impl Handler<LedgerMoved> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: LedgerMoved, context: &mut Self::Context) {
        self.moved(message.0, context);
    }
}

impl Handler<RequestCommands> for CommandProcessor {
    type Result = ResponseFuture<Result<Vec<Arc<CommandRecord>>, CommandError>>;

    fn handle(&mut self, message: RequestCommands, _: &mut Self::Context) -> Self::Result {
        let now = self.now();
        if let Err(error) = request::check(&message.requests, now) {
            self.parts.metrics.turned_down.add(message.requests.len());
            return Box::pin(std::future::ready(Err(error)));
        }
        let make = |request| {
            let id = self.parts.ids.next(now)?;
            Ok(request::record(request, id, now, &self.parts.config))
        };
        let records: Result<Vec<_>, memcloud_domain::InvalidId> =
            message.requests.into_iter().map(make).collect();
        let records = match records {
            Ok(records) => records,
            Err(error) => {
                let refusal = Unavailable { what: WEB_STORE, reason: error.to_string() };
                return Box::pin(std::future::ready(Err(refusal.into())));
            }
        };
        let Some(microgrid) = records.first().map(|record| record.microgrid.clone()) else {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        };
        let (reply, answer) = oneshot::channel();
        self.operate(microgrid, Operation::Accept(records), Reply::Accepted(reply));
        let metrics = Arc::clone(&self.parts.metrics);
        Box::pin(async move {
            let answer = answer.await.unwrap_or_else(|_| Err(not_taken().into()));
            if let Err(CommandError::TooMany { .. }) = answer {
                metrics.turned_down.increment();
            }
            answer
        })
    }
}

impl Handler<CancelCommand> for CommandProcessor {
    type Result = ResponseFuture<Result<Arc<CommandRecord>, CommandError>>;

    fn handle(&mut self, message: CancelCommand, _: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let CancelCommand { command, by, microgrid } = message;
        self.operate(microgrid, Operation::Cancel(command, by), Reply::Cancelled(reply));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(not_taken().into())) })
    }
}

impl Handler<PlaceOrders> for CommandProcessor {
    type Result = actix::ResponseActFuture<Self, Result<Vec<Placement>, Unavailable>>;

    fn handle(&mut self, message: PlaceOrders, context: &mut Self::Context) -> Self::Result {
        let PlaceOrders { microgrid, verdicts } = message;
        let now = self.now();
        let mut charged = self.charge(&verdicts);
        self.look_for_unknown(&microgrid, &verdicts, context);
        let mut placings = Vec::with_capacity(verdicts.len());
        let mut watts = Vec::with_capacity(verdicts.len());
        for (verdict, held) in verdicts.into_iter().zip(&mut charged) {
            if held.is_some() {
                continue;
            }
            if let Verdict::Order(draft) = &verdict
                && let Err(problem) = request::check_order(draft, now)
            {
                log::error!("hem.id" = draft.hem.as_str(), problem = problem.as_str();
                    "dispatch decided on an order that cannot be; it is not placed");
                self.budget.give_back(draft.moves_watts);
                *held = Some(Placement::Unknown);
                continue;
            }
            watts.push(match &verdict {
                Verdict::Order(draft) => draft.moves_watts,
                Verdict::Refuse { .. } => 0.0,
            });
            if let Ok(new) = self.parts.ids.next(now) {
                placings.push(Placing { verdict, new });
            }
        }
        let (reply, answer) = oneshot::channel();
        self.operate(
            microgrid.clone(),
            Operation::Place(microgrid, placings),
            Reply::Placed(reply),
        );
        let answer =
            wrap_future::<_, Self>(
                async move { answer.await.unwrap_or_else(|_| Err(not_taken())) },
            );
        Box::pin(answer.map(move |answer, processor, _| {
            let placed = match answer {
                Ok(placed) => placed,
                Err(error) => {
                    watts.into_iter().for_each(|watts| processor.budget.give_back(watts));
                    return Err(error);
                }
            };
            for (placement, watts) in placed.iter().zip(watts) {
                if !matches!(placement, Placement::Placed(_)) {
                    processor.budget.give_back(watts);
                }
            }
            let mut placed = placed.into_iter();
            let merge = |held: Option<Placement>| held.or_else(|| placed.next());
            Ok(charged.into_iter().map_while(merge).collect())
        }))
    }
}

macro_rules! read {
    ($($question:ty => $answer:ty;)*) => {$(
        impl Handler<$question> for CommandProcessor {
            type Result = ResponseFuture<Result<$answer, Unavailable>>;

            fn handle(&mut self, question: $question, _: &mut Self::Context) -> Self::Result {
                self.ask_table(question)
            }
        }
    )*};
}

read! {
    GetCommand => Option<Arc<CommandRecord>>;
    ListCommands => Page<Arc<CommandRecord>>;
    ListOpenCommands => Vec<Arc<CommandRecord>>;
}

impl Handler<GetHealth> for CommandProcessor {
    type Result = ResponseFuture<CommandsHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        let table = self.table.clone();
        Box::pin(async move {
            let health = match table {
                Some(table) => table.ask(GetHealth, ASK_DEADLINE).await.ok(),
                None => None,
            };
            health.unwrap_or_else(|| CommandsHealth {
                away: Some(not_taken()),
                away_for: Duration::ZERO,
                waiting: 0,
                open: 0,
            })
        })
    }
}

impl Handler<CommandAnswered> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: CommandAnswered, _: &mut Self::Context) {
        self.operate(message.microgrid.clone(), Operation::Answer(message), Reply::Nobody);
    }
}

impl Handler<HemConnected> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: HemConnected, _: &mut Self::Context) {
        let (hem, epoch, microgrid) =
            (message.hem.clone(), message.epoch, message.microgrid.clone());
        if let Some(before) = self.hems.connected(message) {
            // It was deleted there, and registered here.
            self.operate(before, Operation::Remove(hem.clone()), Reply::Nobody);
        }
        self.operate(microgrid, Operation::Connected(hem, epoch), Reply::Nobody);
    }
}

impl Handler<HemDisconnected> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: HemDisconnected, _: &mut Self::Context) {
        let HemDisconnected { hem, microgrid, epoch, .. } = message;
        self.hems.disconnected(&hem, epoch);
        self.operate(microgrid, Operation::Disconnected(hem, epoch), Reply::Nobody);
    }
}

impl Handler<HemChanged> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: HemChanged, _: &mut Self::Context) {
        self.hems.declared(&message.hem, message.nodes);
    }
}

impl Handler<HemRemoved> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: HemRemoved, _: &mut Self::Context) {
        self.hems.forget(&message.hem);
        self.operate(message.microgrid, Operation::Remove(message.hem), Reply::Nobody);
    }
}

impl Handler<MicrogridTaken> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, taken: MicrogridTaken, context: &mut Self::Context) {
        let Some(table) = self.table.clone() else { return };
        let microgrid = taken.tenure.microgrid.clone();
        let opening = async move { table.ask(OpenLedger(taken.tenure), ASK_DEADLINE).await };
        context.spawn(wrap_future::<_, Self>(opening).map(move |opened, processor, _| {
            if !matches!(opened, Ok(true)) {
                return;
            }
            // What the former owner wrote and perhaps did not send goes to them now.
            for (hem, epoch) in processor.hems.connected_in(&microgrid) {
                let connected = Operation::Connected(hem, epoch);
                processor.operate(microgrid.clone(), connected, Reply::Nobody);
            }
        }));
    }
}

impl Handler<LeaveMicrogrid> for CommandProcessor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, leave: LeaveMicrogrid, _: &mut Self::Context) -> Self::Result {
        self.watches.forget_microgrid(&leave.microgrid);
        self.offers.retain(|offer| offer.microgrid != leave.microgrid);
        let table = self.table.clone();
        Box::pin(async move {
            let Some(table) = table else { return };
            if table.ask(CloseLedger(leave.microgrid), ASK_DEADLINE).await.is_err() {
                log::warn!("a ledger was not closed in time: what it still writes is fenced off");
            }
        })
    }
}

impl Handler<ProcessesChanged> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, changed: ProcessesChanged, _: &mut Self::Context) {
        let whole = self.parts.config.fleet_watts_per_minute;
        self.budget.share(whole, changed.live.len(), self.scope.clock().instant());
        for (hem, microgrid, epoch) in self.hems.lost_with_their_process(&changed.live) {
            self.operate(microgrid, Operation::Disconnected(hem, epoch), Reply::Nobody);
        }
    }
}

impl Handler<ReadingsCommitted> for CommandProcessor {
    type Result = ();

    fn handle(&mut self, message: ReadingsCommitted, context: &mut Self::Context) {
        for batch in message.batches.iter() {
            self.take_readings(batch);
        }
        self.look(context);
    }
}
