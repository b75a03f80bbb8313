//! The safety envelope of a node: what may be ordered of it, whoever wants it. What is too much is cut
//! to what the node can do; what is far too much, or must never be, is refused by name.

use std::sync::Arc;

use memcloud_domain::{
    Asker, HemId, NodeAction, NodeDeclaration, NodeKind, Setting, Watts, is_credible,
};

use super::DispatchLimits;
use super::claim::{Rank, rank_of};

/// Which way power goes through a connection to the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// From the grid.
    Import,
    /// To the grid.
    Export,
}

/// What keeps a setting from being as it was wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// The greatest settable power of the node, W.
    NodeMaximum(f64),
    /// Its least settable power, W.
    NodeMinimum(f64),
    /// A limit that someone of at least the same standing set, W.
    Claim {
        /// Who.
        asker: Arc<Asker>,
        /// How much.
        watts: f64,
    },
    /// What a home may import or export, W.
    Home {
        /// Which home.
        hem: HemId,
        /// Which way.
        flow: Flow,
        /// How much.
        watts: f64,
    },
    /// What the microgrid may import or export, W.
    Microgrid {
        /// Which way.
        flow: Flow,
        /// How much.
        watts: f64,
    },
}

/// Why something may not be, whoever wants it.
#[derive(Debug, Clone, PartialEq)]
pub enum Breach {
    /// The node did not declare that it can be told this.
    NoControl(NodeAction),
    /// It is critical, and a job wants to switch it off or hold it down.
    Critical,
    /// It is critical, and whoever wants to switch it off or hold it down gave no reason.
    CriticalWithoutReason,
    /// It is no number, or no size.
    NotAPower,
    /// It is far beyond what the node can do.
    Absurd {
        /// What was asked for, W.
        asked: f64,
        /// What the node can do, W.
        can: f64,
        /// Whether the node declared that itself.
        declared: bool,
    },
    /// A limit leaves no room for it.
    NoRoom(Bound),
}

/// What a node can be set to, W.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
    /// Whether the node declared either.
    pub declared: bool,
}

impl Range {
    /// What a node declared. Where it named only its rated power, a load draws up to it, a source feeds
    /// up to it, and a battery or the grid does both.
    #[must_use]
    pub fn of(declaration: &NodeDeclaration, limits: &DispatchLimits) -> Self {
        let known =
            |watts: Option<Watts>| watts.map(Watts::value).filter(|watts| is_credible(*watts));
        let (least, most) = (known(declaration.min_watts), known(declaration.max_watts));
        let rated = known(declaration.rated_watts).map(f64::abs);
        let whole = rated.unwrap_or(limits.undeclared_watts.value());
        let (feeds, draws) = match declaration.kind {
            NodeKind::Load | NodeKind::Charger => (false, true),
            NodeKind::Source => (true, false),
            NodeKind::Storage | NodeKind::Grid => (true, true),
        };
        let low = least.unwrap_or(if feeds { -whole } else { 0.0 });
        let high = most.unwrap_or(if draws { whole } else { 0.0 });
        let declared = least.is_some() || most.is_some() || rated.is_some();
        Self { low: low.min(high), high: high.max(low), declared }
    }

    /// The greatest size in it.
    #[must_use]
    pub fn size(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// Whether a power may be ordered: it lies in the range, or is none at all.
    #[must_use]
    pub fn holds(&self, watts: f64) -> bool {
        watts == 0.0 || (self.low <= watts && watts <= self.high)
    }

    fn cut(&self, watts: f64) -> (f64, Option<Bound>) {
        if self.holds(watts) {
            (watts, None)
        } else if watts > self.high {
            (self.high, Some(Bound::NodeMaximum(self.high)))
        } else {
            (self.low, Some(Bound::NodeMinimum(self.low)))
        }
    }
}

/// What of a setting may be at a node, and what cut it.
///
/// # Errors
/// [`Breach`] where none of it may be.
pub fn fit(
    declaration: &NodeDeclaration,
    setting: Setting,
    asker: &Asker,
    reason: &str,
    limits: &DispatchLimits,
) -> Result<(Setting, Option<Bound>), Breach> {
    let control = super::Kind::of(setting).control();
    if !declares(declaration, control) {
        return Err(Breach::NoControl(control));
    }
    if declaration.critical == Some(true) && may_shed(declaration, setting) {
        match rank_of(asker) {
            Rank::Job => return Err(Breach::Critical),
            Rank::Operator if reason.trim().is_empty() => {
                return Err(Breach::CriticalWithoutReason);
            }
            Rank::Operator => {}
        }
    }
    let range = Range::of(declaration, limits);
    match setting {
        Setting::Switch { .. } => Ok((setting, None)),
        Setting::Power { watts } => {
            sane(watts.value(), range, limits)?;
            let (watts, bound) = range.cut(watts.value());
            Ok((Setting::Power { watts: Watts(watts) }, bound))
        }
        Setting::Limit { watts } => {
            if watts.value() < 0.0 {
                return Err(Breach::NotAPower);
            }
            sane(watts.value(), range, limits)?;
            // A limit above what the node can do holds by itself.
            let watts = watts.value().min(range.size());
            Ok((Setting::Limit { watts: Watts(watts) }, None))
        }
    }
}

/// Whether a node declared that it can be told this.
#[must_use]
pub fn declares(declaration: &NodeDeclaration, control: NodeAction) -> bool {
    declaration.controls.as_ref().is_some_and(|controls| controls.contains(&control))
}

fn may_shed(declaration: &NodeDeclaration, setting: Setting) -> bool {
    let consumes = matches!(declaration.kind, NodeKind::Load | NodeKind::Charger);
    match setting {
        Setting::Switch { on } => !on,
        Setting::Power { .. } | Setting::Limit { .. } => consumes,
    }
}

fn sane(watts: f64, range: Range, limits: &DispatchLimits) -> Result<(), Breach> {
    if !is_credible(watts) {
        return Err(Breach::NotAPower);
    }
    let can = range.size();
    let most = if range.declared { can * limits.sane_factor } else { can };
    if watts.abs() > most {
        return Err(Breach::Absurd { asked: watts, can, declared: range.declared });
    }
    Ok(())
}
