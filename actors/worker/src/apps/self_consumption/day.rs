//! What a home's battery did in a local day while it was steered: integrated from readings, for people
//! to see; the exact energies are energy accounting's.

use std::time::Duration;

use memcloud_domain::{HemId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::SelfConsumption;
use crate::Outcome;
use crate::apps::calendar::Span;

/// A home's sums since its local day began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HomeDay {
    from: i64,
    to: i64,
    steered_seconds: f64,
    charged_wh: f64,
    discharged_wh: f64,
    import_wh: f64,
    export_wh: f64,
    soc: Option<f64>,
}

impl HomeDay {
    /// Takes what was measured at the end of a span, as if it had been so throughout.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one sample")]
    pub(super) fn accept(
        &mut self,
        hem: &HemId,
        day: Span,
        span: Duration,
        grid_watts: f64,
        battery_watts: f64,
        soc: Option<f64>,
        outcome: &mut Outcome,
    ) {
        if self.from != day.from {
            self.report(hem, outcome);
            *self = Self { from: day.from, ..Self::default() };
        }
        self.to = day.to;
        let hours = span.as_secs_f64() / 3_600.0;
        self.steered_seconds += span.as_secs_f64();
        self.charged_wh += battery_watts.max(0.0) * hours;
        self.discharged_wh += (-battery_watts).max(0.0) * hours;
        self.export_wh += grid_watts.max(0.0) * hours;
        self.import_wh += (-grid_watts).max(0.0) * hours;
        self.soc = soc;
    }

    pub(super) fn report(&self, hem: &HemId, outcome: &mut Outcome) {
        if self.steered_seconds <= 0.0 {
            return;
        }
        let body = json!({
            "steered_seconds": self.steered_seconds.round(),
            "charged_wh": self.charged_wh.round(),
            "discharged_wh": self.discharged_wh.round(),
            "import_wh": self.import_wh.round(),
            "export_wh": self.export_wh.round(),
            "soc": self.soc,
        });
        let (from, to) = (Timestamp(self.from), Timestamp(self.to));
        outcome.report(SelfConsumption::DAY, hem.as_str(), from, to, body);
    }
}
