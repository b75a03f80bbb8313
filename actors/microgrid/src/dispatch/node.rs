//! A node and a home as dispatch knows them: what is wanted of them, what was ordered, what is on its
//! way to the ledger, and what they measure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::{
    Asker, CommandId, CommandState, Epoch, HemId, NodeDeclaration, NodeId, NodeKind, NodeReading,
    PowerLimits, Seq, Setting, Timestamp, Watts,
};

use super::DispatchLimits;
use super::claim::{ClaimKey, Class, Kind, Standing};
use super::decision::{Case, HomeOverride};
use super::envelope::Range;
use super::room::Departure;

/// What holds at a node by an order, or is on its way there.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// How the node is to be.
    pub setting: Setting,
    /// The command's id; absent while it has no row.
    pub command: Option<CommandId>,
    /// Its place among the HEM's orders.
    pub number: Option<u64>,
    /// How far it is.
    pub state: Option<CommandState>,
    /// When it was ordered.
    pub ordered: Timestamp,
    /// How long it holds.
    pub lease_ms: Option<u64>,
    /// When its lease ends, as far as that is known.
    pub until: Option<Timestamp>,
    /// Which claim it is of; absent where it takes the node back to its default, or cuts what someone at
    /// home set.
    pub claim: Option<ClaimKey>,
    /// Until when that claim wants it.
    pub wanted_until: Timestamp,
    /// Who asked.
    pub asker: Arc<Asker>,
    /// Where they stand.
    pub class: Class,
    /// Whether it takes the node back to its default.
    pub returns: bool,
}

impl InForce {
    /// When its lease is to be renewed, if it is still wanted then.
    #[must_use]
    pub fn renewal(&self) -> Option<Timestamp> {
        let until = self.until?;
        let third = Duration::from_millis(self.lease_ms.unwrap_or(0) / 3);
        Some(until.minus(third.clamp(Duration::from_secs(2), Duration::from_secs(300))))
    }

    /// Whether the HEM's answer is to be waited for.
    #[must_use]
    pub fn is_on_its_way(&self) -> bool {
        matches!(self.state, None | Some(CommandState::Accepted | CommandState::Sent))
    }

    /// Whether the HEM has not said yet that it is carried out.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        matches!(
            self.state,
            None | Some(CommandState::Accepted | CommandState::Sent | CommandState::Unconfirmed)
        )
    }
}

/// Why an order waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Pause {
    /// The whole fleet may move only so many watts a minute.
    FleetBudget,
    /// The HEM has as many unanswered commands as it may.
    HemIsBusy,
    /// Jobs changed the node as often as they may in a minute.
    NodeRate,
    /// The job had as many orders as it may in a minute.
    JobRate,
    /// The ledger could not take it.
    LedgerAway,
    /// The HEM turned the last order down, or could not carry it out.
    TurnedDown(String),
    /// The last order was not begun in time.
    TooLate,
}

/// That an order waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Paused {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub why: Pause,
    /// For whom; absent: for everyone.
    pub claim: Option<ClaimKey>,
}

/// One kind of setting of a node.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// What holds.
    pub in_force: Option<InForce>,
    /// What is on its way to the ledger. While it is, nothing else is decided.
    pub placing: Option<InForce>,
    /// Until when nothing is ordered, and why.
    pub pause: Option<Paused>,
}

impl Slot {
    /// What holds, or will when the ledger has it.
    #[must_use]
    pub fn newest(&self) -> Option<&InForce> {
        self.placing.as_ref().or(self.in_force.as_ref())
    }

    /// Why an order of a claim waits now.
    #[must_use]
    pub fn waits(&self, claim: Option<&ClaimKey>, now: Timestamp) -> Option<&Paused> {
        let pause = self.pause.as_ref()?;
        let concerns = pause.claim.is_none() || pause.claim.as_ref() == claim;
        (concerns && now < pause.until).then_some(pause)
    }
}

/// A wish that its job's budget kept away from a node.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnedAway {
    /// Whose.
    pub asker: Arc<Asker>,
    /// What.
    pub setting: Setting,
    /// When.
    pub at: Timestamp,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// What its home declared.
    pub declaration: NodeDeclaration,
    /// Everything that is wanted of it.
    pub claims: Vec<Standing>,
    /// What someone at home set.
    pub at_home: Option<HomeOverride>,
    /// When a button was pressed last, as far as it is known.
    pub pressed: Option<Timestamp>,
    slots: [Slot; 3],
    /// Its newest power, W.
    pub watts: Option<f64>,
    /// Its newest switch position.
    pub on: Option<bool>,
    /// When jobs' orders changed it, in the last minute, and of which class they were.
    pub changes: VecDeque<(Timestamp, Class)>,
    /// The last wish that was kept away.
    pub turned_away: Option<TurnedAway>,
    /// Since when what is chosen is chosen.
    pub since: Timestamp,
    /// What is chosen.
    pub chosen: [Option<Setting>; 3],
    /// What it may add to the home's import yet.
    pub departure: Option<(Class, Departure)>,
    /// Whether it waits to be decided on.
    pub is_due: bool,
    /// When it is to be looked at again.
    pub wake: Option<Timestamp>,
}

impl Node {
    /// A node of which only its declaration is known.
    #[must_use]
    pub fn new(declaration: NodeDeclaration, now: Timestamp) -> Self {
        Self {
            declaration,
            claims: Vec::new(),
            at_home: None,
            pressed: None,
            slots: Default::default(),
            watts: None,
            on: None,
            changes: VecDeque::new(),
            turned_away: None,
            since: now,
            chosen: [None; 3],
            departure: None,
            is_due: false,
            wake: None,
        }
    }

    /// The slot of a kind.
    #[must_use]
    pub fn slot(&self, kind: Kind) -> &Slot {
        let [switch, limit, power] = &self.slots;
        match kind {
            Kind::Switch => switch,
            Kind::Limit => limit,
            Kind::Power => power,
        }
    }

    /// The slot of a kind.
    pub fn slot_mut(&mut self, kind: Kind) -> &mut Slot {
        let [switch, limit, power] = &mut self.slots;
        match kind {
            Kind::Switch => switch,
            Kind::Limit => limit,
            Kind::Power => power,
        }
    }

    /// Whether nothing is wanted of it that could be ordered, and nothing was ordered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_set_at_home = self.at_home.as_ref().is_some_and(|at_home| at_home.watts.is_some());
        let is_ordered = self.slots.iter().any(|slot| slot.newest().is_some());
        self.claims.is_empty() && !is_set_at_home && !is_ordered
    }

    /// What it would draw, were it switched on now, W; less than nothing where it feeds. What is on
    /// already draws what it measures.
    #[must_use]
    pub fn draws_on(&self) -> f64 {
        let measured = self.watts.unwrap_or(0.0);
        if self.on == Some(true) || measured.abs() > 1.0 {
            return measured;
        }
        let rated = self.declaration.rated_watts.or(self.declaration.max_watts).map(Watts::value);
        let rated = rated.unwrap_or(0.0).abs();
        match self.declaration.kind {
            NodeKind::Load | NodeKind::Charger => rated,
            NodeKind::Source => -rated,
            NodeKind::Storage | NodeKind::Grid => 0.0,
        }
    }

    /// Something else is wanted: it may move less than what the fleet's budget had no room for.
    pub fn try_budget_again(&mut self, kind: Kind) {
        let slot = self.slot_mut(kind);
        if slot.pause.as_ref().is_some_and(|pause| pause.why == Pause::FleetBudget) {
            slot.pause = None;
        }
    }

    /// The case to be decided.
    #[must_use]
    pub fn case(&self, now: Timestamp) -> Case<'_> {
        Case {
            declaration: &self.declaration,
            at_home: self.at_home.as_ref().filter(|at_home| now < at_home.until),
            claims: &self.claims,
            draws_on: self.draws_on(),
        }
    }

    /// The power to which its orders take it, and of which class they are.
    #[must_use]
    pub fn target(&self) -> Option<(Class, f64)> {
        let power = self.slot(Kind::Power).newest();
        match self.slot(Kind::Switch).newest() {
            Some(InForce { setting: Setting::Switch { on: false }, class, .. }) => {
                Some((*class, 0.0))
            }
            Some(switched_on) if power.is_none() => Some((switched_on.class, self.draws_on())),
            _ => match power {
                Some(InForce { setting: Setting::Power { watts }, class, .. }) => {
                    Some((*class, watts.value()))
                }
                _ => None,
            },
        }
    }

    /// How many watts a setting moves, at most.
    #[must_use]
    pub fn moves(&self, setting: Setting) -> f64 {
        let measured = self.watts.unwrap_or(0.0);
        match setting {
            Setting::Power { watts } => (watts.value() - measured).abs(),
            Setting::Limit { watts } => (measured.abs() - watts.value()).max(0.0),
            Setting::Switch { on: true } => (self.draws_on() - measured).abs(),
            Setting::Switch { on: false } => measured.abs(),
        }
    }

    /// What takes a kind of setting back to what the home declared as its default; absent where nothing
    /// was declared, or it may not be ordered.
    #[must_use]
    pub fn back_to_default(&self, kind: Kind, limits: &DispatchLimits) -> Option<Setting> {
        let default = self.declaration.default.unwrap_or_default();
        let range = Range::of(&self.declaration, limits);
        match kind {
            Kind::Switch => {
                let on = default.on?;
                let sheds = !on && self.declaration.critical == Some(true);
                (!sheds).then_some(Setting::Switch { on })
            }
            Kind::Power => {
                let watts = default.watts?;
                range.holds(watts.value()).then_some(Setting::Power { watts })
            }
            Kind::Limit => range.declared.then_some(Setting::Limit { watts: Watts(range.size()) }),
        }
    }
}

/// What is known of what happened at a home before dispatch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Nothing yet.
    Unknown {
        /// How often it was asked for in vain.
        tries: u8,
        /// When it may be asked for again.
        from: Timestamp,
    },
    /// It is asked for when others were answered.
    Queued {
        /// How often it was asked for in vain.
        tries: u8,
    },
    /// It was asked for.
    Asked {
        /// How often before, in vain.
        tries: u8,
    },
    /// All that matters.
    Known,
}

/// A home.
#[derive(Debug, Clone)]
pub struct Home {
    /// Its HEM.
    pub hem: HemId,
    /// What it may import and export.
    pub limits: PowerLimits,
    /// Its nodes, by number.
    pub nodes: Vec<Node>,
    /// Whether its HEM is connected, as far as that was heard.
    pub offline: bool,
    /// Its newest connection that was heard of.
    pub epoch: Epoch,
    /// What is known of before.
    pub past: Past,
    /// The newest time that its readings told.
    pub newest: Timestamp,
    /// The highest number of its entries that was seen.
    pub through: Option<Seq>,
    /// Its import, W; less than nothing while it exports.
    pub net: f64,
}

impl Home {
    /// A home without nodes.
    #[must_use]
    pub fn new(hem: HemId, past: Past) -> Self {
        Self {
            hem,
            limits: PowerLimits::default(),
            nodes: Vec::new(),
            offline: false,
            epoch: Epoch::default(),
            past,
            newest: Timestamp(i64::MIN),
            through: None,
            net: 0.0,
        }
    }

    /// The place of a node.
    #[must_use]
    pub fn place(&self, node: NodeId) -> Option<usize> {
        self.nodes.binary_search_by_key(&node, |known| known.declaration.node).ok()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(self.place(node)?)
    }

    /// A node.
    pub fn node_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        let place = self.place(node)?;
        self.nodes.get_mut(place)
    }

    /// Takes what nodes measured.
    pub fn measured(&mut self, readings: &[NodeReading]) {
        for reading in readings {
            let Some(node) = self.node_mut(reading.node) else { continue };
            if let Some(watts) = reading.watts
                && memcloud_domain::is_credible(watts.value())
            {
                node.watts = Some(watts.value());
            }
            node.on = reading.on.or(node.on);
        }
        self.net = self.import();
    }

    /// The grid nodes measure the import; where there are none, everything else does.
    fn import(&self) -> f64 {
        let is_grid = |node: &&Node| node.declaration.kind == NodeKind::Grid;
        let mut grid = self.nodes.iter().filter(is_grid).filter_map(|node| node.watts).peekable();
        if grid.peek().is_some() {
            return -grid.sum::<f64>();
        }
        self.nodes.iter().filter_map(|node| node.watts).sum()
    }
}
