//! What is wanted of a node, by whom, for how long, and who goes before whom.

use std::cmp::Ordering;
use std::sync::Arc;

use memcloud_domain::{Asker, CommandId, JobId, NodeAction, Setting, Timestamp};

/// What a setting is about. There is at most one command in flight per node and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// On or off.
    Switch,
    /// The most of a power.
    Limit,
    /// A power.
    Power,
}

impl Kind {
    /// All of them, in the order in which equals are weighed: off beats power, a limit narrows it.
    pub const ALL: [Self; 3] = [Self::Switch, Self::Limit, Self::Power];

    /// The kind of a setting.
    #[must_use]
    pub fn of(setting: Setting) -> Self {
        match setting {
            Setting::Switch { .. } => Self::Switch,
            Setting::Power { .. } => Self::Power,
            Setting::Limit { .. } => Self::Limit,
        }
    }

    /// What a node must have declared for it.
    #[must_use]
    pub fn control(self) -> NodeAction {
        match self {
            Self::Switch => NodeAction::Switch,
            Self::Power => NodeAction::SetPower,
            Self::Limit => NodeAction::LimitPower,
        }
    }
}

/// Where a claim stands against others; the greater goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// A person or a program with a token goes before every job.
    pub rank: Rank,
    /// Among the same, the higher goes first.
    pub priority: i32,
}

/// Who goes before whom, whatever the priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// A worker job.
    Job,
    /// A person who signed in, or a program with a token.
    Operator,
}

/// What a claim is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimKey {
    /// A command of the ledger.
    Command(CommandId),
    /// What a job wants; it has one per node and kind.
    Wish(JobId),
}

/// How far a command is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The ledger waits for a verdict on it, until it expires.
    Offered {
        /// When it may no longer be begun.
        expires: Timestamp,
    },
    /// It was ordered, or is a wish: nobody waits for a verdict.
    Standing,
}

/// A claim on a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What it is known by.
    pub key: ClaimKey,
    /// Who wants it.
    pub asker: Arc<Asker>,
    /// What.
    pub setting: Setting,
    /// Where it stands against others.
    pub class: Class,
    /// Why, in a sentence.
    pub reason: String,
    /// Since when it is wanted without a break.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How long its orders hold; absent where the node is not to fall back: then the claim only keeps
    /// jobs off for a while.
    pub lease_ms: Option<u64>,
    /// How far it is.
    pub stage: Stage,
    /// Whether it was said that the envelope refuses it.
    pub complained: bool,
}

impl Standing {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(self.setting)
    }

    /// Whether it is wanted still.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// The order in which claims on a node are weighed, the strongest first. Total: it does not depend
    /// on the order in which they came.
    #[must_use]
    pub fn before(&self, other: &Self) -> Ordering {
        let class = other.class.cmp(&self.class);
        let kind = self.kind().cmp(&other.kind());
        let age = match self.class.rank {
            // People change their minds: the later command counts.
            Rank::Operator => other.since.cmp(&self.since).then_with(|| other.key.cmp(&self.key)),
            // Between jobs the earlier claim stays.
            Rank::Job => self.since.cmp(&other.since).then_with(|| self.key.cmp(&other.key)),
        };
        class.then(kind).then(age)
    }

    /// Whether this command took the other's place for good: the same kind, of the same priority, and
    /// later.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        self.class.rank == Rank::Operator
            && self.class == other.class
            && self.kind() == other.kind()
            && (self.since, &self.key) > (other.since, &other.key)
    }
}

/// The rank of an asker.
#[must_use]
pub fn rank_of(asker: &Asker) -> Rank {
    if asker.is_job() { Rank::Job } else { Rank::Operator }
}
