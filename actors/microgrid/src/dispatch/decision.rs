//! What holds at a node, of all that is wanted of it: the home's own people over operators, operators
//! over jobs, jobs by priority; a stricter limit narrows what goes behind it; off beats power among
//! equals. The result does not depend on the order in which the claims came.

use memcloud_domain::{NodeDeclaration, Setting, Timestamp, Watts};

use super::DispatchLimits;
use super::claim::{Class, Kind, Stage, Standing};
use super::envelope::{Bound, Breach, Range, declares, fit};

/// Below this size two powers are the same, W.
pub const SAME_WATTS: f64 = 0.5;

/// What someone at home set at a node by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct HomeOverride {
    /// Its switch.
    pub on: Option<bool>,
    /// Its power.
    pub watts: Option<Watts>,
    /// When.
    pub since: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
}

/// What limits of the home and the microgrid leave for a node's power, W.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Room {
    /// At most.
    pub high: Option<(f64, Bound)>,
    /// At least.
    pub low: Option<(f64, Bound)>,
}

/// Whose setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Someone's at home.
    Home,
    /// A claim's, by its place in the list of claims.
    Claim(usize),
}

/// What holds at a node of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// How it is to be.
    pub setting: Setting,
    /// Whose it is.
    pub by: By,
    /// What cut it.
    pub bound: Option<Bound>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It holds as wanted.
    Holds,
    /// It holds, because what another wants is within it.
    Satisfied(By),
    /// It holds within a bound.
    Narrowed,
    /// Another goes first.
    Outranked(By),
    /// It may not be.
    Refused(Breach),
}

/// What was decided of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    chosen: [Option<Chosen>; 3],
    /// What became of each claim that stands, the strongest first, by its place in the list.
    pub fates: Vec<(usize, Fate)>,
}

impl Decision {
    /// What holds of a kind.
    #[must_use]
    pub fn chosen(&self, kind: Kind) -> Option<&Chosen> {
        let [switch, limit, power] = &self.chosen;
        match kind {
            Kind::Switch => switch.as_ref(),
            Kind::Limit => limit.as_ref(),
            Kind::Power => power.as_ref(),
        }
    }

    fn choose(&mut self, kind: Kind, chosen: Chosen) {
        let [switch, limit, power] = &mut self.chosen;
        match kind {
            Kind::Switch => *switch = Some(chosen),
            Kind::Limit => *limit = Some(chosen),
            Kind::Power => *power = Some(chosen),
        }
    }

    /// Whether the node is to be off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let off = Setting::Switch { on: false };
        self.chosen(Kind::Switch).is_some_and(|chosen| chosen.setting == off)
    }

    fn power(&self) -> Option<(f64, By)> {
        let chosen = self.chosen(Kind::Power)?;
        watts_of(chosen.setting).map(|watts| (watts, chosen.by))
    }
}

/// The power in a setting.
#[must_use]
pub fn watts_of(setting: Setting) -> Option<f64> {
    match setting {
        Setting::Power { watts } | Setting::Limit { watts } => Some(watts.value()),
        Setting::Switch { .. } => None,
    }
}

/// Whether two settings of a kind are the same to a home.
#[must_use]
pub fn same(one: Setting, other: Setting) -> bool {
    match (one, other) {
        (Setting::Switch { on }, Setting::Switch { on: other }) => on == other,
        (Setting::Power { watts }, Setting::Power { watts: other })
        | (Setting::Limit { watts }, Setting::Limit { watts: other }) => {
            (watts.value() - other.value()).abs() < SAME_WATTS
        }
        _ => false,
    }
}

/// A node as it is to be decided on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What it declared.
    pub declaration: &'a NodeDeclaration,
    /// What someone at home set, while that holds.
    pub at_home: Option<&'a HomeOverride>,
    /// Everything that is wanted of it.
    pub claims: &'a [Standing],
    /// What it would draw, were it switched on now, W; less than nothing where it feeds.
    pub draws_on: f64,
}

/// Decides. `room` says what a claim of a class may take of the home's and the microgrid's limits.
#[must_use]
pub fn decide(
    case: &Case<'_>,
    room: impl Fn(Class) -> Room,
    limits: &DispatchLimits,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    let mut order: Vec<usize> = Vec::with_capacity(case.claims.len());
    for (place, claim) in case.claims.iter().enumerate() {
        if claim.stands(now) {
            order.push(place);
        }
    }
    order.sort_by(|one, other| match (case.claims.get(*one), case.claims.get(*other)) {
        (Some(one), Some(other)) => one.before(other),
        _ => std::cmp::Ordering::Equal,
    });
    if let Some(at_home) = case.at_home {
        hold_to_range(&mut decision, case, at_home, limits);
        decision.fates = order.iter().map(|place| (*place, Fate::Outranked(By::Home))).collect();
        return decision;
    }
    for place in order {
        let Some(claim) = case.claims.get(place) else { continue };
        let fate = weigh(&mut decision, case, place, claim, &room, limits);
        decision.fates.push((place, fate));
    }
    decision
}

/// The envelope holds even for what someone at home set: a power beyond what the node can do is cut.
fn hold_to_range(
    decision: &mut Decision,
    case: &Case<'_>,
    at_home: &HomeOverride,
    limits: &DispatchLimits,
) {
    let Some(watts) = at_home.watts.map(Watts::value) else { return };
    let range = Range::of(case.declaration, limits);
    let can_be_told = declares(case.declaration, Kind::Power.control());
    if !range.declared || range.holds(watts) || !can_be_told {
        return;
    }
    let (held, bound) = if watts > range.high {
        (range.high, Bound::NodeMaximum(range.high))
    } else {
        (range.low, Bound::NodeMinimum(range.low))
    };
    let setting = Setting::Power { watts: Watts(held) };
    decision.choose(Kind::Power, Chosen { setting, by: By::Home, bound: Some(bound) });
}

fn weigh(
    decision: &mut Decision,
    case: &Case<'_>,
    place: usize,
    claim: &Standing,
    room: &impl Fn(Class) -> Room,
    limits: &DispatchLimits,
) -> Fate {
    let fitted = fit(case.declaration, claim.setting, &claim.asker, &claim.reason, limits);
    let (setting, bound) = match fitted {
        Ok(fitted) => fitted,
        Err(breach) => return Fate::Refused(breach),
    };
    match setting {
        Setting::Switch { on } => weigh_switch(decision, case, place, claim.class, on, room),
        Setting::Limit { watts } => weigh_limit(decision, place, watts.value()),
        Setting::Power { watts } => {
            let wanted = (watts.value(), bound);
            weigh_power(decision, case, place, claim, wanted, room, limits)
        }
    }
}

fn weigh_switch(
    decision: &mut Decision,
    case: &Case<'_>,
    place: usize,
    class: Class,
    on: bool,
    room: &impl Fn(Class) -> Room,
) -> Fate {
    let setting = Setting::Switch { on };
    if let Some(chosen) = decision.chosen(Kind::Switch) {
        let by = chosen.by;
        return if chosen.setting == setting { Fate::Satisfied(by) } else { Fate::Outranked(by) };
    }
    if on {
        if let Some(bound) = breaks(&room(class), case.draws_on) {
            return Fate::Refused(Breach::NoRoom(bound));
        }
    } else if let Some((watts, by)) = decision.power()
        && watts.abs() >= SAME_WATTS
    {
        return Fate::Outranked(by);
    }
    decision.choose(Kind::Switch, Chosen { setting, by: By::Claim(place), bound: None });
    Fate::Holds
}

/// What a power that cannot be narrowed would break.
fn breaks(room: &Room, watts: f64) -> Option<Bound> {
    if watts > SAME_WATTS
        && let Some((high, bound)) = &room.high
        && watts > *high
    {
        return Some(bound.clone());
    }
    if watts < -SAME_WATTS
        && let Some((low, bound)) = &room.low
        && watts < *low
    {
        return Some(bound.clone());
    }
    None
}

fn weigh_limit(decision: &mut Decision, place: usize, watts: f64) -> Fate {
    if let Some((power, by)) = decision.power()
        && power.abs() > watts
    {
        return Fate::Outranked(by);
    }
    if let Some(chosen) = decision.chosen(Kind::Limit)
        && watts_of(chosen.setting).is_some_and(|strictest| strictest <= watts)
    {
        return Fate::Satisfied(chosen.by);
    }
    let setting = Setting::Limit { watts: Watts(watts) };
    decision.choose(Kind::Limit, Chosen { setting, by: By::Claim(place), bound: None });
    Fate::Holds
}

fn weigh_power(
    decision: &mut Decision,
    case: &Case<'_>,
    place: usize,
    claim: &Standing,
    (wanted, cut): (f64, Option<Bound>),
    room: &impl Fn(Class) -> Room,
    limits: &DispatchLimits,
) -> Fate {
    if decision.is_off()
        && let Some(switch) = decision.chosen(Kind::Switch)
    {
        return Fate::Outranked(switch.by);
    }
    let (mut watts, mut bound) = (wanted, cut);
    if let Some(chosen) = decision.chosen(Kind::Limit)
        && let Some(limit) = watts_of(chosen.setting)
        && watts.abs() > limit
        && let By::Claim(holder) = chosen.by
        && let Some(holder) = case.claims.get(holder)
    {
        watts = limit.copysign(watts);
        bound = Some(Bound::Claim { asker: holder.asker.clone(), watts: limit });
    }
    if let Some((power, by)) = decision.power() {
        let is_same = (power - watts).abs() < SAME_WATTS;
        return if is_same { Fate::Satisfied(by) } else { Fate::Outranked(by) };
    }
    let room = room(claim.class);
    if let Some((high, limit)) = room.high
        && watts > high.max(0.0)
    {
        watts = high.max(0.0);
        bound = Some(limit);
    }
    if let Some((low, limit)) = room.low
        && watts < low.min(0.0)
    {
        watts = low.min(0.0);
        bound = Some(limit);
    }
    // What is left may be less than the least that the node can be set to.
    if !Range::of(case.declaration, limits).holds(watts) {
        watts = 0.0;
    }
    if watts.abs() < SAME_WATTS
        && wanted.abs() >= SAME_WATTS
        && matches!(claim.stage, Stage::Offered { .. })
        && let Some(limit) = bound
    {
        return Fate::Refused(Breach::NoRoom(limit));
    }
    let fate = if bound.is_some() { Fate::Narrowed } else { Fate::Holds };
    let setting = Setting::Power { watts: Watts(watts) };
    decision.choose(Kind::Power, Chosen { setting, by: By::Claim(place), bound });
    fate
}
