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

#[cfg(test)]
mod tests {
    use memcloud_domain::{NodeId, NodeKind};

    use super::*;

    fn reading(watts: Option<f64>, on: Option<bool>) -> NodeReading {
        let mut reading = NodeReading::empty(NodeId(1));
        (reading.watts, reading.on) = (watts.map(Watts), on);
        reading
    }

    fn declared(rated: f64, default: DefaultState) -> NodeDeclaration {
        NodeDeclaration {
            node: NodeId(1),
            name: "a node".to_owned(),
            kind: NodeKind::Load,
            rated_watts: Some(Watts(rated)),
            min_watts: None,
            max_watts: None,
            capacity_wh: None,
            critical: None,
            priority: None,
            controls: None,
            default: Some(default),
        }
    }

    #[test]
    fn a_node_is_off_when_neither_its_switch_nor_its_power_says_otherwise() {
        let off = Expectation::new(Setting::Switch { on: false }, None);
        for (watts, on, look) in [
            (Some(0.0), Some(false), Look::Fits),
            (Some(20.0), None, Look::Fits),
            (None, Some(false), Look::Fits),
            (Some(300.0), Some(true), Look::Contradicts),
            // A contact that is welded.
            (Some(300.0), Some(false), Look::Contradicts),
            // A thermostat that happens to rest.
            (Some(0.0), Some(true), Look::Contradicts),
            (Some(-300.0), None, Look::Contradicts),
            (None, None, Look::Open),
        ] {
            assert_eq!(off.look(&reading(watts, on)), look, "{watts:?} {on:?}");
        }
        let large = declared(3_000.0, DefaultState::default());
        let off = Expectation::new(Setting::Switch { on: false }, Some(&large));
        assert_eq!(off.look(&reading(Some(149.0), None)), Look::Fits);
        assert_eq!(off.look(&reading(Some(151.0), None)), Look::Contradicts);
    }

    #[test]
    fn a_node_that_is_on_need_not_draw_anything() {
        let on = Expectation::new(Setting::Switch { on: true }, None);
        for (watts, position, look) in [
            (Some(0.0), Some(true), Look::Fits),
            (Some(500.0), None, Look::Fits),
            (Some(0.0), None, Look::Open),
            (Some(500.0), Some(false), Look::Contradicts),
            (None, Some(false), Look::Contradicts),
            (None, None, Look::Open),
        ] {
            assert_eq!(on.look(&reading(watts, position)), look, "{watts:?} {position:?}");
        }
    }

    #[test]
    fn a_set_point_is_held_within_50_watts_or_5_percent() {
        let power = |watts| Expectation::new(Setting::Power { watts: Watts(watts) }, None);
        for (set, measured, look) in [
            (100.0, 150.0, Look::Fits),
            (100.0, 151.0, Look::Contradicts),
            (-4_000.0, -3_800.0, Look::Fits),
            (-4_000.0, -3_799.0, Look::Contradicts),
            (-4_000.0, 4_000.0, Look::Contradicts),
        ] {
            assert_eq!(power(set).look(&reading(Some(measured), None)), look, "{set} {measured}");
        }
    }

    #[test]
    fn a_limit_is_of_the_size_whichever_way_the_power_flows() {
        let limit = Expectation::new(Setting::Limit { watts: Watts(1_000.0) }, None);
        for (measured, look) in [
            (0.0, Look::Fits),
            (-1_050.0, Look::Fits),
            (1_051.0, Look::Contradicts),
            (-1_051.0, Look::Contradicts),
        ] {
            assert_eq!(limit.look(&reading(Some(measured), None)), look, "{measured}");
        }
    }

    #[test]
    fn a_node_fell_back_when_it_is_at_its_default_or_where_it_was_seen_moves_away() {
        let default = DefaultState { on: Some(true), watts: None };
        let node = declared(1_000.0, default);
        let off = Expectation::new(Setting::Switch { on: false }, Some(&node));
        assert!(off.fell_back(&reading(Some(300.0), Some(true)), WasSeen::No));
        assert!(!off.fell_back(&reading(Some(0.0), Some(false)), WasSeen::Yes));
        let battery = declared(5_000.0, DefaultState::default());
        let power = Expectation::new(Setting::Power { watts: Watts(2_000.0) }, Some(&battery));
        assert!(power.fell_back(&reading(Some(700.0), None), WasSeen::Yes));
        // Without a default to see, what was never seen cannot be seen to end.
        assert!(!power.fell_back(&reading(Some(700.0), None), WasSeen::No));
    }
}
