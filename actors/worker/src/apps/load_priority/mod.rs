//! Sheds loads by priority while a microgrid draws more than it may, never a critical one, and brings
//! them back one at a time where there is room for what each drew. What it may draw is its import
//! limit or, while it runs without the grid, what the island's own source gives.

mod configuration;
mod island;

use std::time::Duration;

use memcloud_domain::{Timestamp, Watts};
use serde::{Deserialize, Serialize};

use self::configuration::Terms;
pub use self::configuration::{IslandSense, LoadPriorityConfiguration};
pub use self::island::{GRID_RESTORED, ISLANDED};
use self::island::{Signs, Supply};
use crate::apps::calendar::day_of;
use crate::apps::limit_watch::{Hysteresis, Phase, Transition};
use crate::apps::steering::{
    Darkness, LOAD_SHED, Lens, Measured, PEAK_DAY, PeakDay, Picture, ShedOrders, Shedding, Sight,
    Standing,
};
use crate::{About, EnergyApp, Latest, Outcome, Roster, Start, View};

/// What it keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadPriorityState {
    shedding: Shedding,
    signs: Signs,
    was_islanded: bool,
    alarm: Phase,
    day: PeakDay,
    reported: Timestamp,
    #[serde(skip)]
    latest: Latest,
    #[serde(skip)]
    standing: Standing,
    #[serde(skip)]
    sight: Sight,
    #[serde(skip)]
    darkness: Darkness,
    #[serde(skip)]
    decided: Option<Timestamp>,
    #[serde(skip)]
    no_limit_said: bool,
}

/// Sheds loads by priority.
#[derive(Debug)]
pub struct LoadPriority {
    terms: Terms,
}

/// What may be drawn, W, and in which words.
#[derive(Debug, Clone, PartialEq)]
struct Limit {
    watts: f64,
    shown: String,
}

impl LoadPriority {
    /// The kind of its daily results.
    pub const DAY: &'static str = PEAK_DAY;
    /// The kind of the results about a load that was off.
    pub const LOAD_SHED: &'static str = LOAD_SHED;
    /// How often a day that goes on is reported.
    const REPORT_EVERY: Duration = Duration::from_secs(300);
    /// How long the limit must be exceeded, and kept again, before that is said.
    const SAID_AFTER: Duration = Duration::from_secs(60);

    fn limit(&self, roster: &Roster, supply: Supply) -> Option<Limit> {
        let given = &self.terms.given;
        let usable = |watts: &f64| watts.is_finite() && *watts >= 0.0;
        let own = roster.limits().import_watts.map(Watts::value);
        let import = given.import_limit_watts.or(own).filter(usable);
        let (watts, what) = match supply {
            Supply::Grid => (import, "the import limit of"),
            Supply::Island { source_watts } => {
                let set = given.islanded_source_watts;
                let least = source_watts.into_iter().chain(set).filter(usable).reduce(f64::min);
                // Of a source of which nothing is known, no more than of the grid.
                (least.or(import), "what the island's source gives,")
            }
        };
        watts.map(|watts| Limit { watts, shown: format!("{what} {watts:.0} W") })
    }

    fn notice_island(state: &mut LoadPriorityState, supply: Supply, outcome: &mut Outcome) {
        let islanded = matches!(supply, Supply::Island { .. });
        if std::mem::replace(&mut state.was_islanded, islanded) == islanded {
            return;
        }
        if islanded {
            outcome.warn("the microgrid is islanded");
        } else {
            outcome.info("the microgrid is connected to the grid again");
        }
        outcome.urgent = true;
    }

    fn release(
        &self,
        state: &mut LoadPriorityState,
        now: Timestamp,
        why: &str,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        let changes = state.shedding.release_all();
        let orders = ShedOrders { now, lease: self.terms.lease, why };
        orders.carry_out(&changes, &state.shedding, &mut state.standing, roster, outcome);
    }

    fn judge(
        &self,
        state: &mut LoadPriorityState,
        now: Timestamp,
        import_watts: f64,
        limit: &Limit,
        outcome: &mut Outcome,
    ) {
        // A single reading says little, however seldom they come.
        let span = Self::SAID_AFTER.max(self.terms.every * 3);
        let rule = Hysteresis {
            raise_above: limit.watts,
            clear_below: limit.watts,
            hold: span,
            clear_after: span,
        };
        match rule.accept(&mut state.alarm, now, import_watts) {
            Some(Transition::Began(since)) => {
                outcome.warn(format!(
                    "{} is exceeded since {since}, although {} loads are off: {import_watts:.0} W now",
                    limit.shown,
                    state.shedding.count()
                ));
                outcome.urgent = true;
            }
            Some(Transition::Ended(_, peak)) => {
                outcome.info(format!("{} is kept again; the peak was {peak:.0} W", limit.shown));
                outcome.urgent = true;
            }
            None => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one situation")]
    fn decide(
        &self,
        state: &mut LoadPriorityState,
        now: Timestamp,
        since_last: Duration,
        picture: &Picture<'_>,
        limit: &Limit,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        let import = picture.import_watts;
        let off_before: f64 = state.shedding.off().map(|(_, _, shed)| shed.watts).sum();
        let rules = self.terms.rules(limit.watts);
        let changes = state.shedding.accept(now, import - limit.watts, &picture.loads, &rules);
        let why = format!("{} would be exceeded", limit.shown);
        let orders = ShedOrders { now, lease: self.terms.lease, why: &why };
        orders.carry_out(&changes, &state.shedding, &mut state.standing, roster, outcome);
        self.judge(state, now, import, limit, outcome);
        let measured = Measured {
            import_watts: import,
            without_watts: import + off_before,
            battery_watts: picture.batteries.iter().map(|battery| battery.watts).sum(),
            limit_watts: Some(limit.watts),
            loads_off: state.shedding.count(),
        };
        let day = day_of(roster.time_zone(), now.0);
        let span = since_last.min(self.terms.stale_after);
        state.day.accept(day, now, span, measured, outcome);
        if now.since(state.reported) >= Self::REPORT_EVERY {
            state.day.report(outcome);
            state.reported = now;
        }
    }
}

impl EnergyApp for LoadPriority {
    type Configuration = LoadPriorityConfiguration;
    type State = LoadPriorityState;

    const ABOUT: About = About {
        name: "load-priority",
        version: "1.0.0",
        title: "Load priority",
        description: "Sheds loads by priority, never a critical one, while the microgrid's import limit \
                      or an island's source is exceeded, and brings them back one at a time.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(configuration: LoadPriorityConfiguration) -> Result<Self, String> {
        Ok(Self { terms: Terms::read(configuration)? })
    }

    fn step(&self, state: &mut LoadPriorityState, now: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        state.latest.take_in(view);
        state.signs.take_in(view);
        let since_last = state.decided.map_or(self.terms.every, |decided| now.since(decided));
        if since_last < self.terms.every {
            return outcome;
        }
        state.decided = Some(now);
        let roster = view.roster();
        state.standing.retain_homes(|hem| roster.has(hem));
        let supply = state.signs.supply(self.terms.given.island, now, roster);
        Self::notice_island(state, supply, &mut outcome);
        let Some(limit) = self.limit(roster, supply) else {
            self.release(state, now, "there is no limit any more", roster, &mut outcome);
            if !std::mem::replace(&mut state.no_limit_said, true) {
                outcome.warn(
                    "nothing is shed: neither the job nor the microgrid has a limit; set \
                     import_limit_watts",
                );
            }
            return outcome;
        };
        state.no_limit_said = false;
        let shed_up_to = Some(self.terms.given.shed_up_to_priority.unwrap_or(i32::MAX));
        let lens = Lens { stale_after: self.terms.stale_after, shed_up_to };
        let picture = lens.look(roster, &state.latest, now);
        let patience = self.terms.stale_after;
        for hem in &picture.dark {
            state.standing.forget_home(hem);
        }
        let dark = picture.dark.iter().copied();
        state.sight.judge(now, patience, roster, dark, &mut outcome);
        if picture.is_too_dark(self.terms.given.max_stale_share) {
            state.standing.forget_all();
            self.release(state, now, "too little is known", roster, &mut outcome);
            state.darkness.falls(now, patience, &mut outcome);
        } else {
            state.darkness.lifts(&mut outcome);
            self.decide(state, now, since_last, &picture, &limit, roster, &mut outcome);
        }
        outcome
    }
}
