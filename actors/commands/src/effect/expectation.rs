//! What a node is to look like after a command, and whether a reading shows it so.

use memcloud_domain::{DefaultState, NodeDeclaration, NodeReading, Setting, StateOfCharge, Watts};

/// A node that is off may draw so much: a standby light, the metering's noise.
const OFF_WATTS: f64 = 20.0;
/// From a set-point or limit a node may be so far.
const SETTLED_WATTS: f64 = 50.0;
/// Or this share of what is rated, set or limited, whichever is more.
const SHARE: f64 = 0.05;
/// From these states of charge on a battery counts as empty and as full.
const EMPTY: f64 = 0.02;
const FULL: f64 = 0.98;

/// What a node is to look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    setting: Setting,
    rated: Option<Watts>,
    default: Option<DefaultState>,
}

/// What a reading shows of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is as expected.
    Fits,
    /// It is otherwise.
    Contradicts,
    /// It does not tell.
    Open,
}

impl Expectation {
    /// What a setting is to do to a node; what it declared tells how exact that is.
    #[must_use]
    pub fn new(setting: Setting, declared: Option<&NodeDeclaration>) -> Self {
        Self {
            setting,
            rated: declared.and_then(|node| node.rated_watts),
            default: declared.and_then(|node| node.default),
        }
    }

    /// What is expected, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.setting {
            Setting::Switch { on: true } => "the node is on".to_owned(),
            Setting::Switch { on: false } => {
                format!("the node is off, and draws at most {}", shown(self.off_watts()))
            }
            Setting::Power { watts } => {
                format!("the node holds {} within {}", shown(watts.0), shown(tolerance(watts)))
            }
            Setting::Limit { watts } => {
                format!("the node stays at or under {}", shown(watts.0.abs()))
            }
        }
    }

    /// Whether a reading shows the setting. Where the switch and the power say different things, the
    /// one that speaks against it counts: never is more claimed than is proven.
    #[must_use]
    pub fn look(&self, reading: &NodeReading) -> Look {
        match self.setting {
            Setting::Switch { on: false } => self.look_off(reading),
            Setting::Switch { on: true } => self.look_on(reading),
            Setting::Power { watts } => {
                by_power(reading, |power| (power - watts.0).abs() <= tolerance(watts))
            }
            Setting::Limit { watts } => {
                by_power(reading, |power| power.abs() <= watts.0.abs() + tolerance(watts))
            }
        }
    }

    fn look_off(&self, reading: &NodeReading) -> Look {
        let draws = reading.watts.map(|power| power.0.abs() > self.off_watts());
        match (reading.on, draws) {
            (Some(true), _) | (_, Some(true)) => Look::Contradicts,
            (Some(false), _) | (None, Some(false)) => Look::Fits,
            (None, None) => Look::Open,
        }
    }

    /// A node that is on need not draw anything: a thermostat decides that.
    fn look_on(&self, reading: &NodeReading) -> Look {
        let draws = reading.watts.is_some_and(|power| power.0.abs() > self.off_watts());
        match reading.on {
            Some(true) => Look::Fits,
            Some(false) => Look::Contradicts,
            None if draws => Look::Fits,
            None => Look::Open,
        }
    }

    /// Whether a reading, taken after the lease, shows that the node fell back: it is at its declared
    /// default or, where it was seen as set before, not as set any more.
    #[must_use]
    pub fn fell_back(&self, reading: &NodeReading, was_seen: WasSeen) -> bool {
        self.is_at_default(reading)
            || was_seen == WasSeen::Yes && self.look(reading) == Look::Contradicts
    }

    fn is_at_default(&self, reading: &NodeReading) -> bool {
        let Some(default) = self.default else { return false };
        let switch = default.on.map(|on| Self { setting: Setting::Switch { on }, ..*self });
        let power = default.watts.map(|watts| Self { setting: Setting::Power { watts }, ..*self });
        // What the command did not touch does not tell.
        let relevant = match self.setting {
            Setting::Switch { .. } => switch,
            Setting::Power { .. } => power.or(switch.filter(|_| default.on == Some(false))),
            Setting::Limit { .. } => None,
        };
        relevant.is_some_and(|default| default.look(reading) == Look::Fits)
    }

    /// What a battery's state of charge explains of a set-point that is not held, as the end of a sentence.
    #[must_use]
    pub fn excuse(&self, soc: Option<StateOfCharge>) -> Option<String> {
        let Setting::Power { watts } = self.setting else { return None };
        let soc = soc?.0;
        let percent = (soc * 100.0).round();
        Some(if watts.0 > 0.0 && soc >= FULL {
            format!("its state of charge is {percent} %: it is full and cannot take more")
        } else if watts.0 < 0.0 && soc <= EMPTY {
            format!("its state of charge is {percent} %: it is empty and cannot give more")
        } else {
            format!("its state of charge is {percent} %")
        })
    }

    fn off_watts(&self) -> f64 {
        self.rated.map_or(OFF_WATTS, |rated| OFF_WATTS.max(SHARE * rated.0.abs()))
    }
}

/// Whether a command's effect was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasSeen {
    /// It was.
    Yes,
    /// It was not.
    No,
}

fn tolerance(watts: Watts) -> f64 {
    SETTLED_WATTS.max(SHARE * watts.0.abs())
}

fn by_power(reading: &NodeReading, fits: impl Fn(f64) -> bool) -> Look {
    match reading.watts {
        Some(power) if fits(power.0) => Look::Fits,
        Some(_) => Look::Contradicts,
        None => Look::Open,
    }
}

/// A power for people: whole watts.
pub(crate) fn shown(watts: f64) -> String {
    // So that nobody reads "-0 W".
    format!("{} W", watts.round() + 0.0)
}
