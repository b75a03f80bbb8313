//! What is shown, as plain data: whoever knows the cloud fills it in.

use std::collections::VecDeque;

use chrono::FixedOffset;
use memcloud_domain::{
    CommandId, CommandState, HemStatus, JobState, NodeAction, NodeId, NodeKind, PowerTotals,
    StateOfCharge, Timestamp, Watts,
};

/// How many points of the recent past are worth keeping: ten minutes at one a second.
pub const TREND_POINTS: usize = 600;

/// Everything on the screen at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoSnapshot {
    /// The moment.
    pub at: Timestamp,
    /// The homes' offset from UTC, in which times are shown.
    pub offset: FixedOffset,
    /// The microgrid's name.
    pub microgrid: String,
    /// The microgrid's totals.
    pub totals: PowerTotals,
    /// The totals of the last minutes, oldest first, evenly spaced; at most [`TREND_POINTS`].
    pub trend: VecDeque<TrendPoint>,
    /// The homes, in their order on the screen.
    pub homes: Vec<HomeLine>,
    /// What came in.
    pub ingest: IngestLine,
    /// Worker jobs.
    pub jobs: Vec<JobLine>,
    /// The newest commands, newest first.
    pub commands: Vec<CommandLine>,
    /// Why the chosen home is as it is.
    pub why: Option<HomeWhy>,
    /// Where to reach the cloud.
    pub addresses: Addresses,
    /// What happened lately, oldest first; as many as there is room for are shown.
    pub messages: VecDeque<Message>,
}

impl DemoSnapshot {
    /// What there is to show before anything is known.
    #[must_use]
    pub fn starting(microgrid: &str, offset: FixedOffset, at: Timestamp) -> Self {
        Self {
            at,
            offset,
            microgrid: microgrid.to_owned(),
            totals: PowerTotals::default(),
            trend: VecDeque::new(),
            homes: Vec::new(),
            ingest: IngestLine::default(),
            jobs: Vec::new(),
            commands: Vec::new(),
            why: None,
            addresses: Addresses::default(),
            messages: VecDeque::new(),
        }
    }

    /// Puts the present totals at the end of the trend, and drops what is too old to show.
    pub fn extend_trend(&mut self) {
        if self.trend.len() >= TREND_POINTS {
            self.trend.pop_front();
        }
        self.trend.push_back(TrendPoint::from(&self.totals));
    }
}

/// The microgrid at one moment of the recent past.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TrendPoint {
    /// What PV fed.
    pub generation: Watts,
    /// What loads took.
    pub consumption: Watts,
    /// What batteries took; negative when they fed.
    pub storage: Watts,
    /// What came from the grid; negative when it took.
    pub grid: Watts,
}

impl From<&PowerTotals> for TrendPoint {
    fn from(totals: &PowerTotals) -> Self {
        Self {
            generation: totals.generation_watts,
            consumption: totals.consumption_watts,
            storage: totals.storage_watts,
            grid: totals.import_watts - totals.export_watts,
        }
    }
}

/// One home.
#[derive(Debug, Clone, PartialEq)]
pub struct HomeLine {
    /// Its name, or its HEM's id.
    pub name: String,
    /// Whether its socket is open.
    pub online: bool,
    /// Whether it has sent a reading lately.
    pub active: bool,
    /// What its loads take.
    pub load: Watts,
    /// What its PV feeds.
    pub solar: Watts,
    /// What its battery takes; negative when it feeds.
    pub battery: Watts,
    /// How full the battery is.
    pub soc: Option<StateOfCharge>,
    /// What comes from the grid; negative when the home exports.
    pub grid: Watts,
    /// When anything was last heard from it.
    pub last_seen: Option<Timestamp>,
    /// What is ordered there, each in a few words.
    pub ordered: Vec<String>,
    /// A battery that can be told what to do.
    pub battery_node: Option<NodeId>,
}

impl From<&HemStatus> for HomeLine {
    fn from(status: &HemStatus) -> Self {
        Self {
            name: status.hem.to_string(),
            online: status.online,
            active: status.active,
            load: status.totals.consumption_watts,
            solar: status.totals.generation_watts,
            battery: status.totals.storage_watts,
            soc: status.totals.soc,
            grid: status.totals.import_watts - status.totals.export_watts,
            last_seen: status.last_seen,
            ordered: Vec::new(),
            battery_node: status.nodes.iter().find_map(|node| {
                let declared = node.declaration.as_ref()?;
                let can = declared.controls.as_ref()?.contains(&NodeAction::SetPower);
                (can && declared.kind == NodeKind::Storage).then_some(declared.node)
            }),
        }
    }
}

/// What came in, and whether the past is still being filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct IngestLine {
    /// Readings that are on disk and acknowledged, in this run.
    pub acknowledged: u64,
    /// How many of them in the last second.
    pub per_second: f64,
    /// Readings refused by name.
    pub refused: u64,
    /// How much of the back-fill is done, and how much there is in all.
    pub backfill: Option<(u64, u64)>,
}

/// One worker job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobLine {
    /// The app that it runs.
    pub app: String,
    /// Where it stands.
    pub state: JobState,
    /// Its latest result in a sentence; empty while there is none.
    pub latest: String,
    /// Whether that is something to worry about.
    pub alarm: bool,
}

/// One command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandLine {
    /// Its id.
    pub id: CommandId,
    /// When it was accepted.
    pub at: Timestamp,
    /// At which home.
    pub home: String,
    /// What it asks for, in a few words.
    pub what: String,
    /// How far it is.
    pub state: CommandState,
    /// Who asked.
    pub by: String,
    /// Why, or what became of it; may be empty.
    pub because: String,
}

/// Why a home's nodes are as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeWhy {
    /// Which home.
    pub home: String,
    /// A sentence for each node of which there is something to say, the most telling first.
    pub sentences: Vec<String>,
}

/// Where to reach the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The base of REST, with scheme.
    pub rest: String,
    /// The browsable documentation of REST.
    pub docs: String,
    /// Where HEMs connect.
    pub hem: String,
    /// The certificate that clients trust.
    pub ca_file: String,
    /// The admin's bearer token.
    pub admin_token: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When; also what tells messages apart.
    pub at: Timestamp,
    /// A sentence.
    pub text: String,
}
