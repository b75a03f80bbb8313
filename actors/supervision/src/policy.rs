//! When a child is started again, how fast, and what happens when that does not help.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// Which ends lead to a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartKind {
    /// Every end, a normal stop too.
    Permanent,
    /// Only a panic or an escalation.
    Transient,
    /// None.
    Temporary,
}

/// Pauses before restarts: exponential, with jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// How much longer each pause is than the one before.
    pub factor: f64,
    /// The share of a pause that is random, 0 to 1.
    pub jitter: f64,
}

/// What happens when a child has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivingUp {
    /// The parent fails in its turn.
    Escalate,
    /// The child is left stopped, and whoever watches it is told.
    Stop,
}

/// A child's restart policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Which ends lead to a restart.
    pub kind: RestartKind,
    /// So many restarts …
    pub max_restarts: u32,
    /// … within this window are borne.
    pub window: Duration,
    /// The pauses between them.
    pub backoff: Backoff,
    /// What comes after.
    pub giving_up: GivingUp,
}

impl RestartPolicy {
    /// Restarted after every end.
    #[must_use]
    pub fn permanent() -> Self {
        Self { kind: RestartKind::Permanent, ..Self::default() }
    }

    /// Restarted after a panic or an escalation.
    #[must_use]
    pub fn transient() -> Self {
        Self { kind: RestartKind::Transient, ..Self::default() }
    }

    /// Never restarted. Its end concerns its watcher alone, never its parent.
    #[must_use]
    pub fn temporary() -> Self {
        Self { kind: RestartKind::Temporary, giving_up: GivingUp::Stop, ..Self::default() }
    }

    /// Bears so many restarts within a window.
    #[must_use]
    pub fn bearing(mut self, max_restarts: u32, window: Duration) -> Self {
        self.max_restarts = max_restarts;
        self.window = window;
        self
    }

    /// Sets the pauses before restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets what comes when restarts did not help.
    #[must_use]
    pub fn giving_up(mut self, giving_up: GivingUp) -> Self {
        self.giving_up = giving_up;
        self
    }
}

impl Default for RestartPolicy {
    /// Transient, five restarts a minute, then the parent fails.
    fn default() -> Self {
        Self {
            kind: RestartKind::Transient,
            max_restarts: 5,
            window: Duration::from_secs(60),
            backoff: Backoff::default(),
            giving_up: GivingUp::Escalate,
        }
    }
}

impl Default for Backoff {
    /// From 100 ms, doubling, to 10 s; a fifth of it random.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(10),
            factor: 2.0,
            jitter: 0.2,
        }
    }
}

impl Backoff {
    /// The pause before the `nth` restart in a window (from 1). `chance`, 0 to 1, picks from the
    /// random share, which only ever shortens the pause.
    #[must_use]
    pub fn pause(&self, nth: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(nth.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = if self.factor >= 1.0 { self.factor } else { 1.0 };
        let longest = self.max.as_secs_f64();
        let full = (self.initial.as_secs_f64() * factor.powi(exponent)).min(longest);
        let share = self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(full * (1.0 - share)).unwrap_or(self.max)
    }
}

/// Why an actor ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExitReason {
    /// It stopped by itself.
    Stopped,
    /// It was shut down from above.
    Shutdown,
    /// It panicked, and its policy did not (or no longer) allow a restart.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A child of it gave up.
    Escalated {
        /// The child's path in the tree.
        child: String,
        /// The child's reason.
        reason: String,
    },
    /// It did not stop before the deadline of its shutdown, and was cut off.
    CutOff,
}

impl ExitReason {
    /// Whether it ended because something went wrong in it or below it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Panicked { .. } | Self::Escalated { .. })
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => formatter.write_str("stopped by itself"),
            Self::Shutdown => formatter.write_str("was shut down"),
            Self::Panicked { message } => write!(formatter, "panicked: {message}"),
            Self::Escalated { child, reason } => write!(formatter, "{child} gave up: it {reason}"),
            Self::CutOff => formatter.write_str("did not stop in time and was cut off"),
        }
    }
}

/// The restarts of a child within its policy's window.
#[derive(Debug, Default)]
pub(crate) struct RestartWindow {
    at: VecDeque<Instant>,
}

impl RestartWindow {
    /// Counts one more restart: answers the how-manieth it is within the window, or nothing when
    /// that is more than the policy bears.
    pub(crate) fn count(&mut self, policy: &RestartPolicy, now: Instant) -> Option<u32> {
        while self.at.front().is_some_and(|at| now.duration_since(*at) >= policy.window) {
            self.at.pop_front();
        }
        let borne = u32::try_from(self.at.len()).unwrap_or(u32::MAX);
        if borne >= policy.max_restarts {
            return None;
        }
        self.at.push_back(now);
        Some(borne + 1)
    }
}
