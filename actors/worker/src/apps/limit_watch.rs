//! Raises an alarm when a microgrid's net import stays over a limit, and says when it ends. Between
//! the two lie a hysteresis and a least duration each, so that it never flaps; homes whose values are
//! missing or old are treated as the configuration says, and named, never silently taken as zero.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, NodeId, NodeKind, Timestamp, is_credible};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{About, EnergyApp, Outcome, Roster, Start, View};

/// What is done with a home whose newest values are older than `stale_seconds`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StaleHomes {
    /// Its last value counts for another 15 minutes, then it is left out.
    #[default]
    LastValue,
    /// It is left out at once.
    LeftOut,
}

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitWatchConfiguration {
    /// The net import, W, that should not be exceeded.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub limit_watts: f64,
    /// The net import, W, below which an alarm can end; by default nine tenths of the limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub clear_watts: Option<f64>,
    /// How long the import must stay over the limit before the alarm, s.
    #[schemars(range(min = 0, max = 86_400))]
    pub hold_seconds: u32,
    /// How long it must stay below `clear_watts` before the alarm ends, s.
    #[schemars(range(min = 0, max = 86_400))]
    pub clear_seconds: u32,
    /// From which age on a home's values are stale, s.
    #[schemars(range(min = 5, max = 86_400))]
    pub stale_seconds: u32,
    /// What is done with stale homes.
    pub stale_homes: StaleHomes,
    /// Above which share of stale and missing homes (0 to 1) nothing is judged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_stale_share: f64,
}

impl Default for LimitWatchConfiguration {
    fn default() -> Self {
        Self {
            limit_watts: 10_000.0,
            clear_watts: None,
            hold_seconds: 60,
            clear_seconds: 60,
            stale_seconds: 120,
            stale_homes: StaleHomes::LastValue,
            max_stale_share: 0.5,
        }
    }
}

/// When an alarm begins and when it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hysteresis {
    /// Above this an alarm may begin.
    pub raise_above: f64,
    /// Below this it may end; not above `raise_above`.
    pub clear_below: f64,
    /// How long it must stay above.
    pub hold: Duration,
    /// How long it must stay below.
    pub clear_after: Duration,
}

/// Where an alarm stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// All is well.
    #[default]
    Quiet,
    /// Over the limit, not yet for long enough.
    Rising {
        /// Since when.
        since: Timestamp,
        /// The greatest value since.
        peak: f64,
    },
    /// The alarm is on.
    Raised {
        /// Since when it was over the limit.
        since: Timestamp,
        /// The greatest value since.
        peak: f64,
        /// Since when it is below the clearing value, if it is.
        below_since: Option<Timestamp>,
    },
}

/// What a value changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transition {
    /// The alarm is on; the value has been over the limit since then.
    Began(Timestamp),
    /// The alarm, on since the first, is over; the greatest value was the second.
    Ended(Timestamp, f64),
}

impl Hysteresis {
    /// Takes the value at a moment that is not before the one given last.
    pub fn accept(&self, phase: &mut Phase, now: Timestamp, value: f64) -> Option<Transition> {
        match phase {
            Phase::Quiet if value > self.raise_above => {
                *phase = Phase::Rising { since: now, peak: value };
                self.begin_if_held(phase, now)
            }
            Phase::Quiet => None,
            Phase::Rising { .. } if value <= self.raise_above => {
                *phase = Phase::Quiet;
                None
            }
            Phase::Rising { peak, .. } => {
                *peak = peak.max(value);
                self.begin_if_held(phase, now)
            }
            Phase::Raised { peak, below_since, .. } if value >= self.clear_below => {
                *peak = peak.max(value);
                *below_since = None;
                None
            }
            Phase::Raised { since, peak, below_since } => {
                let below = *below_since.get_or_insert(now);
                if now.since(below) < self.clear_after {
                    return None;
                }
                let ended = Transition::Ended(*since, *peak);
                *phase = Phase::Quiet;
                Some(ended)
            }
        }
    }

    /// Nothing is known of the value: what was being waited for begins anew.
    pub fn forget(&self, phase: &mut Phase) {
        match phase {
            Phase::Rising { .. } => *phase = Phase::Quiet,
            Phase::Raised { below_since, .. } => *below_since = None,
            Phase::Quiet => {}
        }
    }

    fn begin_if_held(&self, phase: &mut Phase, now: Timestamp) -> Option<Transition> {
        let Phase::Rising { since, peak } = *phase else { return None };
        if now.since(since) < self.hold {
            return None;
        }
        *phase = Phase::Raised { since, peak, below_since: None };
        Some(Transition::Began(since))
    }
}

/// What the watch keeps: the newest power of every grid node, and where it stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitWatchState {
    homes: BTreeMap<HemId, BTreeMap<NodeId, Newest>>,
    alarm: Phase,
    blind: Blindness,
    reported: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Newest {
    ts: Timestamp,
    watts: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "sight", rename_all = "snake_case")]
enum Blindness {
    #[default]
    Clear,
    Suspected {
        since: Timestamp,
    },
    Blind {
        since: Timestamp,
    },
}

/// What can be said of the microgrid at a moment.
#[derive(Debug, Default, PartialEq)]
struct Picture {
    import_watts: f64,
    homes: usize,
    stale: Vec<HemId>,
    missing: Vec<HemId>,
}

/// Watches a microgrid's net import.
#[derive(Debug)]
pub struct LimitWatch {
    configuration: LimitWatchConfiguration,
    hysteresis: Hysteresis,
}

impl LimitWatch {
    /// The kind of its alarms.
    pub const ALARM: &'static str = "limit-alarm";
    /// The kind of the spans over which it could not judge.
    pub const BLIND: &'static str = "limit-blind";
    /// The subject of all its results.
    pub const SUBJECT: &'static str = "microgrid";
    /// How long the last value of a stale home counts.
    const LAST_VALUE_HOLDS: Duration = Duration::from_secs(900);
    /// How often a standing alarm is reported anew.
    const REPORT_EVERY: Duration = Duration::from_secs(60);
    /// How many homes are named in a result.
    const NAMED: usize = 20;

    fn take_in(state: &mut LimitWatchState, view: &View) {
        for seen in view.entries() {
            let Some(reading) = seen.reading() else { continue };
            for node in &reading.nodes {
                // What no home can have measured is no import.
                let watts = node.watts.filter(|watts| is_credible(watts.value()));
                let Some(watts) = watts else { continue };
                if view.roster().kind(seen.hem, node.node) != Some(NodeKind::Grid) {
                    continue;
                }
                let home = state.homes.entry(seen.hem.clone()).or_default();
                let newest = Newest { ts: reading.taken(), watts: watts.value() };
                let known = home.entry(node.node).or_insert(newest);
                // Back-fill tells of the past; what is newest by time counts.
                if newest.ts >= known.ts {
                    *known = newest;
                }
            }
        }
        state.homes.retain(|hem, _| view.roster().has(hem));
    }

    fn picture(&self, state: &LimitWatchState, now: Timestamp, roster: &Roster) -> Picture {
        let stale_after = Duration::from_secs(u64::from(self.configuration.stale_seconds));
        let mut picture = Picture::default();
        for (hem, nodes) in roster.homes() {
            let grid: Vec<NodeId> = nodes
                .iter()
                .filter(|node| node.kind == NodeKind::Grid)
                .map(|node| node.node)
                .collect();
            if grid.is_empty() {
                continue;
            }
            picture.homes += 1;
            let known = state.homes.get(hem);
            let newest: Option<Vec<Newest>> =
                grid.iter().map(|node| known?.get(node).copied()).collect();
            let Some(newest) = newest else {
                picture.missing.push(hem.clone());
                continue;
            };
            let age = newest.iter().map(|value| now.since(value.ts)).max().unwrap_or_default();
            // Grid nodes count import as negative: it feeds the home's bus.
            let import: f64 = newest.iter().map(|value| -value.watts).sum();
            if age <= stale_after {
                picture.import_watts += import;
                continue;
            }
            picture.stale.push(hem.clone());
            let still_counts = self.configuration.stale_homes == StaleHomes::LastValue
                && age <= stale_after + Self::LAST_VALUE_HOLDS;
            if still_counts {
                picture.import_watts += import;
            }
        }
        picture
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of homes is far below 2^52")]
    fn is_too_dark(&self, picture: &Picture) -> bool {
        let unknown = picture.stale.len() + picture.missing.len();
        picture.homes == 0
            || unknown as f64 > self.configuration.max_stale_share * picture.homes as f64
    }

    fn judge_sight(
        &self,
        state: &mut LimitWatchState,
        now: Timestamp,
        picture: &Picture,
        outcome: &mut Outcome,
    ) {
        let patience = Duration::from_secs(u64::from(self.configuration.stale_seconds));
        let body = |ended: bool| {
            json!({
                "ended": ended,
                "homes": picture.homes,
                "stale": picture.stale.len(),
                "missing": picture.missing.len(),
                "stale_homes": names(&picture.stale),
                "missing_homes": names(&picture.missing),
            })
        };
        match (self.is_too_dark(picture), state.blind) {
            (true, Blindness::Clear) => state.blind = Blindness::Suspected { since: now },
            (true, Blindness::Suspected { since }) if now.since(since) >= patience => {
                state.blind = Blindness::Blind { since };
                outcome.report(Self::BLIND, Self::SUBJECT, since, now, body(false));
                outcome.warn(format!(
                    "the import cannot be judged: of {} homes with a grid node {} are stale and {} have sent nothing",
                    picture.homes, picture.stale.len(), picture.missing.len(),
                ));
                outcome.urgent = true;
            }
            (false, Blindness::Blind { since }) => {
                state.blind = Blindness::Clear;
                outcome.report(Self::BLIND, Self::SUBJECT, since, now, body(true));
                outcome.info("the import can be judged again");
                outcome.urgent = true;
            }
            (false, Blindness::Suspected { .. }) => state.blind = Blindness::Clear,
            _ => {}
        }
    }

    fn report_alarm(
        &self,
        outcome: &mut Outcome,
        since: Timestamp,
        now: Timestamp,
        peak: f64,
        picture: &Picture,
        ended: Ended,
    ) {
        let body = json!({
            "ended": ended == Ended::Yes,
            "limit_watts": self.configuration.limit_watts,
            "peak_watts": peak,
            "import_watts": picture.import_watts,
            "homes": picture.homes,
            "stale_homes": names(&picture.stale),
            "missing_homes": names(&picture.missing),
        });
        outcome.report(Self::ALARM, Self::SUBJECT, since, now, body);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Yes,
    NotYet,
}

fn names(homes: &[HemId]) -> Vec<&str> {
    homes.iter().take(LimitWatch::NAMED).map(HemId::as_str).collect()
}

impl EnergyApp for LimitWatch {
    type Configuration = LimitWatchConfiguration;
    type State = LimitWatchState;

    const ABOUT: About = About {
        name: "limit-watch",
        version: "1.0.0",
        title: "Limit watch",
        description: "Raises an alarm when the microgrid's net import stays over a limit, and says \
                      when it ends.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(configuration: LimitWatchConfiguration) -> Result<Self, String> {
        let limit = configuration.limit_watts;
        let clear = configuration.clear_watts.unwrap_or(limit * 0.9);
        if !(limit.is_finite() && (0.0..=1e9).contains(&limit)) {
            return Err(format!("limit_watts is {limit}; it may be 0 to 1000000000"));
        }
        if !(clear.is_finite() && (0.0..=limit).contains(&clear)) {
            return Err(format!("clear_watts is {clear}; it may be 0 to limit_watts, {limit}"));
        }
        for (name, seconds, least) in [
            ("hold_seconds", configuration.hold_seconds, 0),
            ("clear_seconds", configuration.clear_seconds, 0),
            ("stale_seconds", configuration.stale_seconds, 5),
        ] {
            if !(least..=86_400).contains(&seconds) {
                return Err(format!("{name} is {seconds}; it may be {least} to 86400"));
            }
        }
        if !(0.0..=1.0).contains(&configuration.max_stale_share) {
            let share = configuration.max_stale_share;
            return Err(format!("max_stale_share is {share}; it may be 0 to 1"));
        }
        let hysteresis = Hysteresis {
            raise_above: limit,
            clear_below: clear,
            hold: Duration::from_secs(u64::from(configuration.hold_seconds)),
            clear_after: Duration::from_secs(u64::from(configuration.clear_seconds)),
        };
        Ok(Self { configuration, hysteresis })
    }

    fn step(&self, state: &mut LimitWatchState, now: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        Self::take_in(state, view);
        let picture = self.picture(state, now, view.roster());
        self.judge_sight(state, now, &picture, &mut outcome);
        if state.blind != Blindness::Clear {
            self.hysteresis.forget(&mut state.alarm);
            return outcome;
        }
        match self.hysteresis.accept(&mut state.alarm, now, picture.import_watts) {
            Some(Transition::Began(since)) => {
                let peak = match state.alarm {
                    Phase::Raised { peak, .. } => peak,
                    _ => picture.import_watts,
                };
                self.report_alarm(&mut outcome, since, now, peak, &picture, Ended::NotYet);
                outcome.warn(format!(
                    "the net import is over the limit of {} W since {since}: {:.0} W now",
                    self.configuration.limit_watts, picture.import_watts
                ));
                outcome.urgent = true;
                state.reported = now;
            }
            Some(Transition::Ended(since, peak)) => {
                self.report_alarm(&mut outcome, since, now, peak, &picture, Ended::Yes);
                outcome.info(format!(
                    "the net import is below {} W again; its peak was {peak:.0} W",
                    self.hysteresis.clear_below
                ));
                outcome.urgent = true;
            }
            None => {
                if let Phase::Raised { since, peak, .. } = state.alarm
                    && now.since(state.reported) >= Self::REPORT_EVERY
                {
                    self.report_alarm(&mut outcome, since, now, peak, &picture, Ended::NotYet);
                    state.reported = now;
                }
            }
        }
        outcome
    }
}
