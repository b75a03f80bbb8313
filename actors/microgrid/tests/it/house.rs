//! A dispatcher with a ledger beside it that takes everything at once, unless it is told not to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{
    JobWished, MicrogridProfile, MicrogridRoster, Origin, Placement, RosterHem, Verdict,
};
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandRecord, CommandState, DefaultState, Entry, Epoch,
    HemBatch, HemEvent, HemId, JobId, MicrogridId, NodeAction, NodeDeclaration, NodeId, NodeKind,
    NodeReading, NodeWhy, PowerLimits, Reading, Seq, Setting, Timestamp, Transition, Watts, Wish,
};
use memcloud_microgrid::DispatchLimits;
use memcloud_microgrid::dispatch::{Dispatcher, Effect, Event, Link};
use memcloud_worker::Roster;

/// 2026-07-01T12:00:00Z: 14:00 in Zurich.
pub(crate) const NOON: i64 = 1_782_907_200_000;

pub(crate) const GRID: u8 = 0;
pub(crate) const BATTERY: u8 = 1;
pub(crate) const CHARGER: u8 = 2;
pub(crate) const HEATER: u8 = 3;
pub(crate) const FRIDGE: u8 = 4;

pub(crate) fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

pub(crate) fn job(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

pub(crate) fn on(on: bool) -> Setting {
    Setting::Switch { on }
}

pub(crate) fn power(watts: f64) -> Setting {
    Setting::Power { watts: Watts(watts) }
}

pub(crate) fn limit(watts: f64) -> Setting {
    Setting::Limit { watts: Watts(watts) }
}

/// The job of an app; its id is the app's name.
pub(crate) fn app(name: &str) -> Asker {
    Asker::Job { job: job(name), app: name.to_owned(), version: "1".to_owned() }
}

pub(crate) fn anna() -> Asker {
    Asker::Person { id: "p1".to_owned(), name: "anna".to_owned() }
}

fn node(number: u8, name: &str, kind: NodeKind, rated: f64) -> NodeDeclaration {
    NodeDeclaration {
        node: NodeId(number),
        name: name.to_owned(),
        kind,
        rated_watts: Some(Watts(rated)),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(vec![NodeAction::Switch, NodeAction::SetPower, NodeAction::LimitPower]),
        default: Some(DefaultState { on: Some(true), watts: Some(Watts(0.0)) }),
    }
}

/// A home with a battery of 2 kW, a charger of 11 kW, a heater of 3 kW and a fridge that is critical.
pub(crate) fn nodes() -> Vec<NodeDeclaration> {
    let mut grid = node(GRID, "grid", NodeKind::Grid, 20_000.0);
    grid.controls = None;
    let mut heater = node(HEATER, "heater", NodeKind::Load, 3_000.0);
    heater.controls = Some(vec![NodeAction::Switch]);
    let mut fridge = node(FRIDGE, "fridge", NodeKind::Load, 200.0);
    fridge.critical = Some(true);
    vec![
        grid,
        node(BATTERY, "battery", NodeKind::Storage, 2_000.0),
        node(CHARGER, "charger", NodeKind::Charger, 11_000.0),
        heater,
        fridge,
    ]
}

pub(crate) struct House {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) now: Timestamp,
    /// What the ledger took, oldest first.
    pub(crate) orders: Vec<Arc<CommandRecord>>,
    pub(crate) moved: Vec<f64>,
    pub(crate) refused: Vec<(CommandId, String)>,
    pub(crate) said: Vec<(JobId, String)>,
    pub(crate) looked_back: usize,
    /// How often the dispatcher was called.
    pub(crate) calls: usize,
    /// The most verdicts that one call brought.
    pub(crate) most_verdicts: usize,
    /// Whether homes answer at once that they carried out what was ordered.
    pub(crate) acks: bool,
    /// What the ledger answers instead of taking the next orders.
    pub(crate) answers: Vec<Placement>,
    /// What homes tell of their past.
    pub(crate) past: Vec<HemEvent>,
    offered: Vec<Arc<CommandRecord>>,
    hems: Vec<RosterHem>,
    limits: PowerLimits,
    numbers: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(DispatchLimits::default())
    }

    pub(crate) fn with(limits: DispatchLimits) -> Self {
        let mut house = Self::unknown(limits);
        house.know();
        house
    }

    /// Nothing is known yet.
    pub(crate) fn unknown(limits: DispatchLimits) -> Self {
        let home = RosterHem { hem: hem("home-1"), nodes: nodes(), limits: PowerLimits::default() };
        Self {
            dispatcher: Dispatcher::new(limits, true),
            now: Timestamp(NOON),
            orders: Vec::new(),
            moved: Vec::new(),
            refused: Vec::new(),
            said: Vec::new(),
            looked_back: 0,
            calls: 0,
            most_verdicts: 0,
            acks: true,
            answers: Vec::new(),
            past: Vec::new(),
            offered: Vec::new(),
            hems: vec![home],
            limits: PowerLimits::default(),
            numbers: 0,
        }
    }

    pub(crate) fn know(&mut self) {
        self.tell_roster();
        self.tell(Event::Open { records: Vec::new(), asked: self.now });
    }

    pub(crate) fn tell_roster(&mut self) {
        let profile = MicrogridProfile {
            id: MicrogridId::new("fontana").unwrap(),
            time_zone: "Europe/Zurich".to_owned(),
        };
        let roster = MicrogridRoster { profile, limits: self.limits, hems: self.hems.clone() };
        self.tell(Event::Roster(Arc::new(Roster::from(roster))));
    }

    pub(crate) fn add_home(&mut self, name: &str) {
        let home = RosterHem { hem: hem(name), nodes: nodes(), limits: PowerLimits::default() };
        self.hems.push(home);
        self.tell_roster();
    }

    /// Homes `home-2` to this one.
    pub(crate) fn add_homes(&mut self, last: usize) {
        for number in 2..=last {
            let hem = hem(&format!("home-{number}"));
            self.hems.push(RosterHem { hem, nodes: nodes(), limits: PowerLimits::default() });
        }
        self.tell_roster();
    }

    pub(crate) fn redeclare(&mut self, nodes: Vec<NodeDeclaration>) {
        self.hems[0].nodes = nodes;
        self.tell_roster();
    }

    pub(crate) fn limit_home(&mut self, import: Option<f64>, export: Option<f64>) {
        self.hems[0].limits = limits(import, export);
        self.tell_roster();
    }

    pub(crate) fn limit_microgrid(&mut self, import: Option<f64>, export: Option<f64>) {
        self.limits = limits(import, export);
        self.tell_roster();
    }

    /// Tells something, and goes on until nothing waits.
    pub(crate) fn tell(&mut self, event: Event) {
        self.call(event);
        for _ in 0..100_000 {
            if self.dispatcher.due().is_none_or(|due| due > self.now) {
                return;
            }
            self.call(Event::Tick);
        }
        panic!("dispatch never comes to rest");
    }

    fn call(&mut self, event: Event) {
        self.calls += 1;
        let effects = self.dispatcher.accept(event, self.now);
        for effect in effects {
            match effect {
                Effect::Place { batch, verdicts } => {
                    self.most_verdicts = self.most_verdicts.max(verdicts.len());
                    let placements =
                        verdicts.into_iter().map(|verdict| self.place(verdict)).collect();
                    self.call(Event::Placed { batch, placements });
                }
                Effect::LookBack(hem) => {
                    self.looked_back += 1;
                    let events = Some(self.past.clone());
                    self.call(Event::LookedBack { hem, events });
                }
                Effect::Say { job, text } => self.said.push((job, text)),
                Effect::RefreshRoster => {}
            }
        }
    }

    fn place(&mut self, verdict: Verdict) -> Placement {
        if !self.answers.is_empty() {
            return self.answers.remove(0);
        }
        let draft = match verdict {
            Verdict::Order(draft) => draft,
            Verdict::Refuse { command, because } => {
                self.refused.push((command, because));
                return Placement::Unknown;
            }
        };
        self.numbers += 1;
        let mut record = match draft.origin {
            Origin::Command(id) => {
                let offered = self.offered.iter().find(|record| record.id == id).unwrap();
                let mut record = (**offered).clone();
                record.ordered = (draft.action != record.action).then_some(draft.action);
                record
            }
            Origin::Wish { asker, reason, priority, expires_ms } => CommandRecord {
                id: CommandId::new(&format!("order-{:05}", self.numbers)).unwrap(),
                expires: self.now.plus(Duration::from_millis(expires_ms)),
                lease_ms: draft.lease_ms,
                asker,
                reason,
                priority,
                ..self.record("x", anna(), draft.node.unwrap().0, draft.action)
            },
        };
        record.order = Some(self.numbers);
        record.history[0].because = Some(draft.because);
        if self.acks {
            record.state = CommandState::Acknowledged;
            let (state, at) = (record.state, self.now);
            record.history.push(Transition { state, at, because: None, evidence: None });
        }
        let record = Arc::new(record);
        self.orders.push(Arc::clone(&record));
        self.moved.push(draft.moves_watts);
        Placement::Placed(record)
    }

    fn record(&self, id: &str, asker: Asker, node: u8, action: CommandAction) -> CommandRecord {
        CommandRecord {
            id: CommandId::new(id).unwrap(),
            microgrid: MicrogridId::new("fontana").unwrap(),
            hem: hem("home-1"),
            node: Some(NodeId(node)),
            action,
            asker,
            reason: String::new(),
            priority: 0,
            issued: self.now,
            expires: self.now.plus(Duration::from_secs(60)),
            lease_ms: None,
            ordered: None,
            order: None,
            acted_at: None,
            state: CommandState::Accepted,
            history: vec![Transition {
                state: CommandState::Accepted,
                at: self.now,
                because: None,
                evidence: None,
            }],
        }
    }

    /// Lets time pass; the dispatcher is called when it wants to be.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let end = self.now.plus(Duration::from_secs(seconds));
        while let Some(due) = self.dispatcher.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.tell(Event::Tick);
        }
        self.now = end;
        self.tell(Event::Tick);
    }

    // ------------------------------------------------------------------------------ who wants what

    pub(crate) fn wish(&mut self, who: &str, priority: i32, node: u8, setting: Setting) {
        self.wish_for(who, priority, node, setting, 300);
    }

    pub(crate) fn wish_for(
        &mut self,
        who: &str,
        priority: i32,
        node: u8,
        setting: Setting,
        seconds: u64,
    ) {
        let wish = Wish {
            hem: hem("home-1"),
            node: NodeId(node),
            setting,
            lease_ms: seconds * 1_000,
            reason: String::new(),
        };
        self.wishes(who, priority, vec![wish]);
    }

    pub(crate) fn wishes(&mut self, who: &str, priority: i32, wishes: Vec<Wish>) {
        let withdrawn = Vec::new();
        self.tell(Event::Wished(JobWished { asker: app(who), priority, wishes, withdrawn }));
    }

    pub(crate) fn withdraw(&mut self, who: &str, node: u8) {
        let withdrawn = vec![(hem("home-1"), NodeId(node))];
        let wishes = Vec::new();
        self.tell(Event::Wished(JobWished { asker: app(who), priority: 0, wishes, withdrawn }));
    }

    pub(crate) fn jobs(&mut self, running: &[&str]) {
        let running: BTreeSet<JobId> = running.iter().map(|name| job(name)).collect();
        self.tell(Event::Jobs(running));
    }

    /// Anna commands; `lease` in seconds.
    pub(crate) fn command(
        &mut self,
        id: &str,
        priority: i32,
        node: u8,
        action: impl Into<CommandAction>,
        lease: Option<u64>,
    ) -> Arc<CommandRecord> {
        let mut record = self.record(id, anna(), node, action.into());
        record.priority = priority;
        record.lease_ms = lease.map(|seconds| seconds * 1_000);
        self.offer(record)
    }

    pub(crate) fn command_because(&mut self, id: &str, node: u8, action: Setting, reason: &str) {
        let mut record = self.record(id, anna(), node, action.into());
        record.reason = reason.to_owned();
        self.offer(record);
    }

    pub(crate) fn offer(&mut self, record: CommandRecord) -> Arc<CommandRecord> {
        let record = Arc::new(record);
        self.offered.push(Arc::clone(&record));
        self.tell(Event::Offered(Arc::clone(&record)));
        record
    }

    /// The ledger says how far a command is.
    pub(crate) fn becomes(&mut self, id: &str, state: CommandState, because: Option<&str>) {
        let orders = self.orders.iter().rev();
        let known = orders.chain(&self.offered).find(|record| record.id.as_str() == id).unwrap();
        let mut record = (**known).clone();
        record.state = state;
        let because = because.map(str::to_owned);
        record.history.push(Transition { state, at: self.now, because, evidence: None });
        let record = Arc::new(record);
        if let Some(kept) = self.orders.iter_mut().find(|kept| kept.id == record.id) {
            *kept = Arc::clone(&record);
        }
        self.tell(Event::Changed(record));
    }

    /// Someone at home presses a button.
    pub(crate) fn press(
        &mut self,
        node: u8,
        set: Option<bool>,
        watts: Option<f64>,
        until: Option<u64>,
    ) {
        let event = self.press_event(node, set, watts, until);
        self.store(vec![Entry::Event(event)]);
    }

    pub(crate) fn press_event(
        &mut self,
        node: u8,
        on: Option<bool>,
        watts: Option<f64>,
        until: Option<u64>,
    ) -> HemEvent {
        self.numbers += 1;
        HemEvent {
            seq: Seq(self.numbers),
            ts: self.now,
            received: self.now,
            kind: "override".to_owned(),
            node: Some(NodeId(node)),
            on,
            watts: watts.map(Watts),
            until: until.map(|seconds| self.now.plus(Duration::from_secs(seconds))),
            text: None,
        }
    }

    /// Nodes of the first home measure this.
    pub(crate) fn measure(&mut self, nodes: &[(u8, f64)]) {
        self.measure_at("home-1", nodes);
    }

    pub(crate) fn measure_at(&mut self, home: &str, nodes: &[(u8, f64)]) {
        self.numbers += 1;
        let nodes = nodes.iter().map(|(node, watts)| NodeReading {
            watts: Some(Watts(*watts)),
            ..NodeReading::empty(NodeId(*node))
        });
        let reading = Reading {
            seq: Seq(self.numbers),
            ts: self.now,
            received: self.now,
            nodes: nodes.collect(),
        };
        self.store_at(home, vec![Entry::Reading(reading)]);
    }

    pub(crate) fn store(&mut self, entries: Vec<Entry>) {
        self.store_at("home-1", entries);
    }

    pub(crate) fn store_at(&mut self, home: &str, entries: Vec<Entry>) {
        let batch = HemBatch {
            hem: hem(home),
            epoch: Epoch(1),
            after: Seq(0),
            through: entries.last().unwrap().seq(),
            entries,
        };
        self.tell(Event::Stored(Arc::new(vec![batch])));
    }

    pub(crate) fn link(&mut self, link: Link) {
        self.tell(Event::Connection { hem: hem("home-1"), epoch: Epoch(1), link });
    }

    // ------------------------------------------------------------------------------- what came of it

    /// What was ordered so far, in the order of the orders: `node action`.
    pub(crate) fn ordered(&self) -> Vec<(u8, CommandAction)> {
        let node = |record: &Arc<CommandRecord>| record.node.unwrap().0;
        self.orders.iter().map(|record| (node(record), record.as_sent().clone())).collect()
    }

    pub(crate) fn last(&self) -> (u8, CommandAction) {
        self.ordered().pop().unwrap()
    }

    pub(crate) fn why(&self, node: u8) -> NodeWhy {
        let all = self.dispatcher.why(&hem("home-1"), self.now);
        all.into_iter().find(|why| why.node == NodeId(node)).unwrap()
    }

    pub(crate) fn sentence(&self, node: u8) -> String {
        self.why(node).sentence
    }
}

fn limits(import: Option<f64>, export: Option<f64>) -> PowerLimits {
    PowerLimits { import_watts: import.map(Watts), export_watts: export.map(Watts) }
}
