//! A command processor on a file of its own, and those around it: dispatch, sockets, the historian.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, MessageResult};
use memcloud_commands::{
    CommandIds, CommandMetrics, CommandParts, CommandPorts, CommandProcessor, CommandsConfig,
};
use memcloud_domain::messages::{
    CommandAnswered, CommandChanged, CommandError, DispatchCommand, GetCommand, HemBatch,
    HemConnected, HemDisconnected, NotConnected, OrderDraft, Origin, OutgoingCommand, PlaceOrders,
    Placement, ReadEntriesAfter, ReadingsCommitted, RequestCommands, SendCommands, Unavailable,
    Verdict,
};
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandOutcome, CommandRecord, CommandRequest, CommandState,
    DefaultState, Entry, Epoch, HemId, MicrogridId, NodeDeclaration, NodeId, NodeKind, NodeReading,
    ProcessId, Reading, Seq, Tenure, Timestamp, Watts,
};
use memcloud_store::registry::{
    Beat, Claimed, ClusterStore, CommandFilter, CommandStore, RegistryError, SqlRegistry,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, Universe, supervised};
use tempfile::TempDir;

pub(crate) const T0: i64 = 1_800_000_000_000;
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Tests crash the processor with it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Crash;

impl Handler<Crash> for CommandProcessor {
    type Result = ();
    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        panic!("as the test wants it");
    }
}

/// A store that can go away, and that can be asked what it was given.
pub(crate) struct Faulty {
    inner: SqlRegistry,
    away: Mutex<bool>,
    /// Writes succeed, and are answered as failed.
    lying: Mutex<bool>,
    pub(crate) transactions: Mutex<Vec<usize>>,
}

impl Faulty {
    fn check(&self) -> Result<(), RegistryError> {
        if *self.away.lock().unwrap() {
            return Err(RegistryError::Unavailable { reason: "the disk is full".to_owned() });
        }
        Ok(())
    }

    pub(crate) fn go_away(&self) {
        *self.away.lock().unwrap() = true;
    }

    pub(crate) fn come_back(&self) {
        *self.away.lock().unwrap() = false;
        *self.lying.lock().unwrap() = false;
    }

    /// Takes a microgrid for a process that lives, from whoever has it: that one lives no more.
    pub(crate) fn claim_for(&self, process: &str, microgrid: &MicrogridId) -> Tenure {
        let beat = |process: ProcessId, lease| {
            let (address, version) = (String::new(), String::new());
            self.inner.beat(&Beat { process, address, version, lease }).unwrap();
        };
        for row in self.inner.processes().unwrap() {
            beat(row.process, Duration::ZERO);
        }
        let process = ProcessId::new(process).unwrap();
        beat(process.clone(), Duration::from_secs(600));
        match self.inner.claim(microgrid, &process).unwrap() {
            Claimed::Taken(tenure) => tenure,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn write_but_say_no(&self) {
        *self.lying.lock().unwrap() = true;
    }
}

impl CommandStore for Faulty {
    fn write_commands(
        &self,
        commands: &[Arc<CommandRecord>],
        fence: &[Tenure],
    ) -> Result<(), RegistryError> {
        self.check()?;
        self.transactions.lock().unwrap().push(commands.len());
        self.inner.write_commands(commands, fence)?;
        if *self.lying.lock().unwrap() {
            return Err(RegistryError::Unavailable { reason: "the connection broke".to_owned() });
        }
        Ok(())
    }

    fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, RegistryError> {
        self.check()?;
        self.inner.command(id)
    }

    fn commands(
        &self,
        filter: &CommandFilter,
        after: Option<&CommandId>,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, RegistryError> {
        self.check()?;
        self.inner.commands(filter, after, limit)
    }

    fn open_commands(
        &self,
        microgrid: Option<&MicrogridId>,
        now: Timestamp,
    ) -> Result<Vec<CommandRecord>, RegistryError> {
        self.check()?;
        self.inner.open_commands(microgrid, now)
    }

    fn highest_orders(&self) -> Result<Vec<(HemId, u64)>, RegistryError> {
        self.check()?;
        self.inner.highest_orders()
    }

    fn highest_orders_of(&self, hems: &[HemId]) -> Result<Vec<(HemId, u64)>, RegistryError> {
        self.check()?;
        self.inner.highest_orders_of(hems)
    }

    fn delete_commands(
        &self,
        issued_before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, RegistryError> {
        self.check()?;
        self.inner.delete_commands(issued_before, now, limit)
    }
}

/// What those around the processor were told, and what they know.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) offered: Vec<Arc<CommandRecord>>,
    pub(crate) sent: Vec<OutgoingCommand>,
    pub(crate) changes: Vec<Arc<CommandRecord>>,
    connected: BTreeSet<HemId>,
    stored: HashMap<HemId, Vec<Entry>>,
    historian_away: bool,
}

/// Stands for dispatch, the sockets, the historian and the bus.
struct Neighbours(Arc<Mutex<World>>);

impl Actor for Neighbours {
    type Context = Context<Self>;
}
impl Observe for Neighbours {}
supervised!(Neighbours);

impl Handler<DispatchCommand> for Neighbours {
    type Result = ();
    fn handle(&mut self, offer: DispatchCommand, _: &mut Self::Context) {
        self.0.lock().unwrap().offered.push(offer.command);
    }
}

impl Handler<SendCommands> for Neighbours {
    type Result = Result<(), NotConnected>;
    fn handle(&mut self, send: SendCommands, _: &mut Self::Context) -> Self::Result {
        let mut world = self.0.lock().unwrap();
        if !world.connected.contains(&send.hem) {
            return Err(NotConnected);
        }
        world.sent.extend(send.commands);
        Ok(())
    }
}

impl Handler<CommandChanged> for Neighbours {
    type Result = ();
    fn handle(&mut self, change: CommandChanged, _: &mut Self::Context) {
        self.0.lock().unwrap().changes.push(change.command);
    }
}

impl Handler<ReadEntriesAfter> for Neighbours {
    type Result = MessageResult<ReadEntriesAfter>;
    fn handle(&mut self, ask: ReadEntriesAfter, _: &mut Self::Context) -> Self::Result {
        let world = self.0.lock().unwrap();
        if world.historian_away {
            let reason = "the disk is full".to_owned();
            return MessageResult(Err(Unavailable { what: "iot store", reason }));
        }
        let stored = world.stored.get(&ask.hem).cloned().unwrap_or_default();
        let through = stored.last().map_or(Seq::NONE, Entry::seq);
        let entries: Vec<_> =
            stored.into_iter().filter(|entry| entry.seq() > ask.after).take(ask.limit).collect();
        let through = entries.last().map_or(through, Entry::seq);
        let epoch = Epoch(1);
        MessageResult(Ok(HemBatch { hem: ask.hem, epoch, after: ask.after, through, entries }))
    }
}

pub(crate) struct House {
    pub(crate) scope: Scope,
    pub(crate) processor: Child<CommandProcessor>,
    pub(crate) store: Arc<Faulty>,
    pub(crate) metrics: Arc<CommandMetrics>,
    pub(crate) world: Arc<Mutex<World>>,
    config: CommandsConfig,
    neighbours: Child<Neighbours>,
    processes: u64,
    _folder: TempDir,
}

impl House {
    pub(crate) fn new(scope: Scope, config: CommandsConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Faulty {
            inner: SqlRegistry::open(folder.path().join("web.db")).unwrap(),
            away: Mutex::default(),
            lying: Mutex::default(),
            transactions: Mutex::default(),
        });
        let world = Arc::new(Mutex::new(World::default()));
        let shared = Arc::clone(&world);
        let neighbours = scope.supervise(ChildSpec::new("neighbours").mailbox(4_096), move |_| {
            Neighbours(Arc::clone(&shared))
        });
        let metrics = Arc::new(CommandMetrics::default());
        let processor = start(&scope, &store, &metrics, config, &neighbours, 1);
        Self {
            scope,
            processor,
            store,
            metrics,
            world,
            config,
            neighbours,
            processes: 1,
            _folder: folder,
        }
    }

    /// The process ends, and another starts on the same store. The HEMs' sockets are gone with it.
    pub(crate) async fn restart(&mut self) {
        self.processor.stop(Duration::from_secs(5)).await;
        self.world.lock().unwrap().connected.clear();
        self.processes += 1;
        self.metrics = Arc::new(CommandMetrics::default());
        self.processor = start(
            &self.scope,
            &self.store,
            &self.metrics,
            self.config,
            &self.neighbours,
            self.processes,
        );
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    pub(crate) async fn pass(&self, millis: u64) {
        self.scope.clock().sleep(Duration::from_millis(millis)).await;
    }

    // ------------------------------------------------------------------------------ people

    pub(crate) async fn try_request(
        &self,
        requests: Vec<CommandRequest>,
    ) -> Result<Vec<Arc<CommandRecord>>, CommandError> {
        self.processor.ask(RequestCommands { requests }, SOON).await.unwrap()
    }

    pub(crate) async fn request(&self, request: CommandRequest) -> Arc<CommandRecord> {
        self.try_request(vec![request]).await.unwrap().remove(0)
    }

    pub(crate) async fn command(&self, id: &CommandId) -> Arc<CommandRecord> {
        let ask = GetCommand { command: id.clone() };
        self.processor.ask(ask, SOON).await.unwrap().unwrap().unwrap()
    }

    pub(crate) async fn state(&self, id: &CommandId) -> CommandState {
        self.command(id).await.state
    }

    /// What the disk has, which is what would be left after a kill.
    pub(crate) fn on_disk(&self, id: &CommandId) -> CommandRecord {
        self.store.inner.command(id).unwrap().unwrap()
    }

    // ------------------------------------------------------------------------------ dispatch

    pub(crate) async fn try_place(
        &self,
        verdicts: Vec<Verdict>,
    ) -> Result<Vec<Placement>, Unavailable> {
        let place = PlaceOrders { microgrid: microgrid(), verdicts };
        self.processor.ask(place, SOON).await.unwrap()
    }

    pub(crate) async fn place(&self, verdict: Verdict) -> Placement {
        self.try_place(vec![verdict]).await.unwrap().remove(0)
    }

    /// Accepts a command and makes it an order.
    pub(crate) async fn order(&self, request: CommandRequest) -> Arc<CommandRecord> {
        let record = self.request(request).await;
        match self.place(order_of(&record)).await {
            Placement::Placed(record) => record,
            other => panic!("{other:?}"),
        }
    }

    // ------------------------------------------------------------------------------ HEMs

    pub(crate) async fn connect(&self, hem: &str, epoch: u64) {
        self.connected_at(hem, epoch, None).await;
    }

    /// To one process of a cluster.
    pub(crate) async fn connect_at(&self, hem: &str, epoch: u64, process: &str) {
        self.connected_at(hem, epoch, Some(ProcessId::new(process).unwrap())).await;
    }

    async fn connected_at(&self, hem: &str, epoch: u64, process: Option<ProcessId>) {
        let hem = hem_id(hem);
        self.world.lock().unwrap().connected.insert(hem.clone());
        let connected = HemConnected {
            hem,
            microgrid: microgrid(),
            epoch: Epoch(epoch),
            mark: Seq::NONE,
            nodes: nodes(),
            process,
            at: self.now(),
        };
        self.processor.tell(connected).unwrap();
        self.pass(10).await;
    }

    pub(crate) async fn disconnect(&self, hem: &str, epoch: u64) {
        let hem = hem_id(hem);
        self.world.lock().unwrap().connected.remove(&hem);
        let (microgrid, reason) = (microgrid(), "closed".to_owned());
        let gone = HemDisconnected { hem, microgrid, epoch: Epoch(epoch), at: self.now(), reason };
        self.processor.tell(gone).unwrap();
        self.pass(10).await;
    }

    /// The socket of a HEM is there, and nobody said so.
    pub(crate) fn connect_in_silence(&self, hem: &str) {
        self.world.lock().unwrap().connected.insert(hem_id(hem));
    }

    pub(crate) async fn answer(
        &self,
        record: &CommandRecord,
        outcome: CommandOutcome,
        seq: Option<u64>,
    ) {
        self.answer_because(record, outcome, seq, None).await;
    }

    pub(crate) async fn answer_because(
        &self,
        record: &CommandRecord,
        outcome: CommandOutcome,
        seq: Option<u64>,
        reason: Option<&str>,
    ) {
        let answered = CommandAnswered {
            hem: record.hem.clone(),
            microgrid: record.microgrid.clone(),
            epoch: Epoch(1),
            command: record.id.clone(),
            outcome,
            seq: seq.map(Seq),
            reason: reason.map(str::to_owned),
            at: self.now(),
        };
        self.processor.tell(answered).unwrap();
        self.pass(10).await;
    }

    /// Takes what went to the HEMs since this was asked last.
    pub(crate) fn sent(&self) -> Vec<OutgoingCommand> {
        std::mem::take(&mut self.world.lock().unwrap().sent)
    }

    /// These went to the HEMs since this was asked last, in this order.
    #[track_caller]
    pub(crate) fn assert_sent(&self, expected: &[&CommandId]) {
        let sent = self.sent();
        assert_eq!(sent.iter().map(|command| &command.command).collect::<Vec<_>>(), expected);
    }

    // ------------------------------------------------------------------------------ readings

    /// A reading is stored, and the bus loses it.
    pub(crate) fn store_reading(&self, hem: &str, seq: u64, measured: NodeReading) -> Entry {
        let at = self.now();
        let entry =
            Entry::Reading(Reading { seq: Seq(seq), ts: at, received: at, nodes: vec![measured] });
        self.world.lock().unwrap().stored.entry(hem_id(hem)).or_default().push(entry.clone());
        entry
    }

    /// A reading is stored, and told.
    pub(crate) async fn reading(&self, hem: &str, seq: u64, measured: NodeReading) {
        let entry = self.store_reading(hem, seq, measured);
        let batch = HemBatch {
            hem: hem_id(hem),
            epoch: Epoch(1),
            after: Seq(seq - 1),
            through: Seq(seq),
            entries: vec![entry],
        };
        let batches = Arc::new(vec![batch]);
        let committed = ReadingsCommitted { microgrid: microgrid(), at: self.now(), batches };
        self.processor.tell(committed).unwrap();
        self.pass(10).await;
    }

    pub(crate) fn send_historian_away(&self, away: bool) {
        self.world.lock().unwrap().historian_away = away;
    }
}

fn start(
    scope: &Scope,
    store: &Arc<Faulty>,
    metrics: &Arc<CommandMetrics>,
    config: CommandsConfig,
    neighbours: &Child<Neighbours>,
    seed: u64,
) -> Child<CommandProcessor> {
    let ports = CommandPorts::default();
    ports
        .dispatch(neighbours.port())
        .send(neighbours.port())
        .entries(neighbours.port())
        .changed(neighbours.port());
    let parts = CommandParts {
        store: Arc::clone(store) as Arc<dyn CommandStore>,
        ports,
        ids: CommandIds::seeded(seed),
        metrics: Arc::clone(metrics),
        config,
    };
    CommandProcessor::start(scope, parts)
}

/// Runs a test in simulated time.
pub(crate) fn universe<Fut: Future<Output = ()>>(test: impl FnOnce(House) -> Fut) {
    with_config(CommandsConfig::default(), test);
}

pub(crate) fn with_config<Fut: Future<Output = ()>>(
    config: CommandsConfig,
    test: impl FnOnce(House) -> Fut,
) {
    Universe::run(T0, async |scope| {
        let house = House::new(scope, config);
        test(house).await;
    });
}

pub(crate) fn hem_id(id: &str) -> HemId {
    HemId::new(id).unwrap()
}

pub(crate) fn microgrid() -> MicrogridId {
    MicrogridId::new("fontana").unwrap()
}

pub(crate) fn anna() -> Asker {
    Asker::Person { id: "1".to_owned(), name: "anna".to_owned() }
}

pub(crate) fn ask_for(hem: &str, node: u8, action: CommandAction) -> CommandRequest {
    CommandRequest {
        microgrid: microgrid(),
        hem: hem_id(hem),
        node: Some(NodeId(node)),
        action,
        asker: anna(),
        reason: "as the test wants it".to_owned(),
        priority: 0,
        lease_ms: None,
        expires_ms: None,
    }
}

pub(crate) fn switch_off(hem: &str) -> CommandRequest {
    ask_for(hem, 1, CommandAction::Switch { on: false })
}

pub(crate) fn set_power(hem: &str, watts: f64) -> CommandRequest {
    ask_for(hem, 2, CommandAction::SetPower { watts: Watts(watts) })
}

pub(crate) fn draft_of(record: &CommandRecord) -> OrderDraft {
    OrderDraft {
        origin: Origin::Command(record.id.clone()),
        hem: record.hem.clone(),
        node: record.node,
        action: record.action.clone(),
        lease_ms: record.lease_ms,
        because: "anna wants it and nobody else wants otherwise".to_owned(),
        moves_watts: 1_000.0,
    }
}

pub(crate) fn order_of(record: &CommandRecord) -> Verdict {
    Verdict::Order(draft_of(record))
}

/// Node 1 is a load that can be switched, node 2 a battery.
fn nodes() -> Vec<NodeDeclaration> {
    let node = |node, kind, default| NodeDeclaration {
        node: NodeId(node),
        name: format!("node {node}"),
        kind,
        rated_watts: Some(Watts(1_000.0)),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: None,
        default: Some(default),
    };
    vec![
        node(1, NodeKind::Load, DefaultState { on: Some(true), watts: None }),
        node(2, NodeKind::Storage, DefaultState { on: None, watts: Some(Watts(0.0)) }),
    ]
}

pub(crate) fn load(watts: f64, on: bool) -> NodeReading {
    let mut measured = NodeReading::empty(NodeId(1));
    (measured.watts, measured.on) = (Some(Watts(watts)), Some(on));
    measured
}

pub(crate) fn battery(watts: f64, soc: f64) -> NodeReading {
    let mut measured = NodeReading::empty(NodeId(2));
    measured.watts = Some(Watts(watts));
    measured.soc = Some(memcloud_domain::StateOfCharge(soc));
    measured
}

/// How often each state was told, in the order of the alphabet.
pub(crate) fn told_states(world: &World) -> BTreeMap<&'static str, usize> {
    let mut told = BTreeMap::new();
    for change in &world.changes {
        *told.entry(change.state.as_str()).or_default() += 1;
    }
    told
}
