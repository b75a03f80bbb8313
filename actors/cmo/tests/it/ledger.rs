//! A ledger of commands in memory that takes every order, and an app that steers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, MessageResult};
use memcloud_domain::messages::{
    ListEvents, ListOpenCommands, Origin, Page, PlaceOrders, Placement, Unavailable, Verdict,
};
use memcloud_domain::{
    Asker, CommandId, CommandRecord, CommandState, DefaultState, HemEvent, HemId, NodeAction,
    NodeDeclaration, NodeId, NodeKind, Setting, Timestamp, Transition, Watts, Wish,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, supervised};
use memcloud_worker::{About, EnergyApp, Outcome, Start, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::support::{hem, microgrid};

pub(crate) const BATTERY: NodeId = NodeId(1);

/// A home with a battery of 2 kW.
pub(crate) fn nodes() -> Vec<NodeDeclaration> {
    vec![NodeDeclaration {
        node: BATTERY,
        name: "battery".into(),
        kind: NodeKind::Storage,
        rated_watts: Some(Watts(2_000.0)),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(vec![NodeAction::SetPower, NodeAction::Switch]),
        default: Some(DefaultState { on: Some(true), watts: Some(Watts(0.0)) }),
    }]
}

/// What the ledger holds, over its restarts.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) offered: Vec<Arc<CommandRecord>>,
    pub(crate) orders: Vec<Arc<CommandRecord>>,
    pub(crate) refused: Vec<String>,
    pub(crate) events: Vec<HemEvent>,
    pub(crate) away: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    scope: Scope,
    pages: Arc<Mutex<Pages>>,
}

impl Ledger {
    pub(crate) fn start(scope: &Scope) -> (Child<Self>, Arc<Mutex<Pages>>) {
        let pages: Arc<Mutex<Pages>> = Arc::default();
        let kept = Arc::clone(&pages);
        let spec = ChildSpec::new("ledger").mailbox(1_024);
        let ledger = scope.supervise(spec, move |scope| Self { scope, pages: Arc::clone(&kept) });
        (ledger, pages)
    }

    fn place(&self, pages: &mut Pages, verdict: Verdict) -> Placement {
        let now = Timestamp(self.scope.clock().unix_ms());
        let draft = match verdict {
            Verdict::Order(draft) => draft,
            Verdict::Refuse { because, .. } => {
                pages.refused.push(because);
                return Placement::Unknown;
            }
        };
        let mut record = match draft.origin {
            Origin::Command(id) => {
                let offered = pages.offered.iter().find(|record| record.id == id).unwrap();
                let mut record = (**offered).clone();
                record.ordered = Some(draft.action);
                record
            }
            Origin::Wish { asker, reason, priority, .. } => CommandRecord {
                asker,
                reason,
                priority,
                lease_ms: draft.lease_ms,
                ..command(
                    &format!("order-{}", pages.orders.len() + 1),
                    draft.action.setting().unwrap(),
                    now,
                )
            },
        };
        record.order = Some(pages.orders.len() as u64 + 1);
        record.state = CommandState::Acknowledged;
        let at = now;
        let state = record.state;
        record.history.push(Transition { state, at, because: None, evidence: None });
        let record = Arc::new(record);
        pages.orders.push(Arc::clone(&record));
        Placement::Placed(record)
    }
}

/// Anna's command for the battery of the first home of fontana, for ten minutes.
pub(crate) fn command(id: &str, setting: Setting, now: Timestamp) -> CommandRecord {
    CommandRecord {
        id: CommandId::new(id).unwrap(),
        microgrid: microgrid("fontana"),
        hem: hem("home-1"),
        node: Some(BATTERY),
        action: setting.into(),
        asker: Asker::Person { id: "p1".into(), name: "anna".into() },
        reason: String::new(),
        priority: 0,
        issued: now,
        expires: now.plus(Duration::from_secs(60)),
        lease_ms: Some(600_000),
        ordered: None,
        order: None,
        acted_at: None,
        state: CommandState::Accepted,
        history: Vec::new(),
    }
}

impl Actor for Ledger {
    type Context = Context<Self>;
}
impl Observe for Ledger {}
supervised!(Ledger);

impl Handler<PlaceOrders> for Ledger {
    type Result = Result<Vec<Placement>, Unavailable>;

    fn handle(&mut self, place: PlaceOrders, _: &mut Context<Self>) -> Self::Result {
        let mut pages = self.pages.lock().unwrap();
        if pages.away {
            return Err(Unavailable { what: "web store", reason: "the test says so".into() });
        }
        Ok(place.verdicts.into_iter().map(|verdict| self.place(&mut pages, verdict)).collect())
    }
}

impl Handler<ListOpenCommands> for Ledger {
    type Result = MessageResult<ListOpenCommands>;

    fn handle(&mut self, _: ListOpenCommands, _: &mut Context<Self>) -> Self::Result {
        let pages = self.pages.lock().unwrap();
        // The newest of a node and action is what holds there.
        MessageResult(Ok(pages.orders.last().cloned().into_iter().collect()))
    }
}

impl Handler<ListEvents> for Ledger {
    type Result = MessageResult<ListEvents>;

    fn handle(&mut self, _: ListEvents, _: &mut Context<Self>) -> Self::Result {
        let items = self.pages.lock().unwrap().events.clone();
        MessageResult(Ok(Page { items, next: None }))
    }
}

/// What a steerer wishes every second.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SteererConfiguration {
    watts: f64,
}

/// Wishes a power of the battery of every home, every second.
pub(crate) struct Steerer(SteererConfiguration);

impl EnergyApp for Steerer {
    type Configuration = SteererConfiguration;
    type State = ();
    const ABOUT: About = About {
        name: "steerer",
        version: "1",
        title: "Steerer",
        description: "Wishes a power of every battery.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(configuration: SteererConfiguration) -> Result<Self, String> {
        Ok(Self(configuration))
    }

    fn step(&self, (): &mut (), _: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        let setting = Setting::Power { watts: Watts(self.0.watts) };
        for home in view.roster().homes().keys() {
            outcome.wish(home, BATTERY, setting, Duration::from_secs(60), "it is a test");
        }
        outcome
    }
}

pub(crate) fn a_wish(of: HemId, watts: f64) -> Wish {
    let setting = Setting::Power { watts: Watts(watts) };
    Wish { hem: of, node: BATTERY, setting, lease_ms: 60_000, reason: String::new() }
}
