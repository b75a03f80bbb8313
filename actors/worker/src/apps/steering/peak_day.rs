//! A local day's peak: what it was, and what it would have been without batteries and shedding.

use std::time::Duration;

use memcloud_domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Outcome;
use crate::apps::calendar::Span;

/// What was measured at the end of a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) import_watts: f64,
    pub(crate) without_watts: f64,
    pub(crate) battery_watts: f64,
    pub(crate) limit_watts: Option<f64>,
    pub(crate) loads_off: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Peak {
    watts: f64,
    at: Timestamp,
}

impl Peak {
    fn raise(kept: &mut Option<Self>, watts: f64, at: Timestamp) {
        if kept.is_none_or(|kept| watts > kept.watts) {
            *kept = Some(Self { watts, at });
        }
    }

    fn shown(kept: Option<Self>) -> (Option<f64>, Option<String>) {
        (kept.map(|kept| kept.watts.round()), kept.map(|kept| kept.at.to_string()))
    }
}

/// The kind of a day's results.
pub(crate) const PEAK_DAY: &str = "peak-day";
/// The subject of results about the whole microgrid.
pub(crate) const MICROGRID: &str = "microgrid";

/// A day's sums.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PeakDay {
    from: i64,
    to: i64,
    watched_seconds: f64,
    over_seconds: f64,
    charged_wh: f64,
    discharged_wh: f64,
    load_off_seconds: f64,
    limit_watts: Option<f64>,
    import: Option<Peak>,
    without: Option<Peak>,
    export: Option<Peak>,
}

impl PeakDay {
    pub(crate) fn accept(
        &mut self,
        day: Span,
        now: Timestamp,
        span: Duration,
        measured: Measured,
        outcome: &mut Outcome,
    ) {
        if self.from != day.from {
            self.report(outcome);
            *self = Self { from: day.from, ..Self::default() };
        }
        self.to = day.to;
        let seconds = span.as_secs_f64();
        self.watched_seconds += seconds;
        if measured.limit_watts.is_some_and(|limit| measured.import_watts > limit) {
            self.over_seconds += seconds;
        }
        self.charged_wh += measured.battery_watts.max(0.0) * seconds / 3_600.0;
        self.discharged_wh += (-measured.battery_watts).max(0.0) * seconds / 3_600.0;
        let loads_off = u32::try_from(measured.loads_off).unwrap_or(u32::MAX);
        self.load_off_seconds += f64::from(loads_off) * seconds;
        self.limit_watts = measured.limit_watts;
        Peak::raise(&mut self.import, measured.import_watts, now);
        Peak::raise(&mut self.without, measured.without_watts, now);
        Peak::raise(&mut self.export, -measured.import_watts, now);
    }

    pub(crate) fn report(&self, outcome: &mut Outcome) {
        if self.watched_seconds <= 0.0 {
            return;
        }
        let (import, import_at) = Peak::shown(self.import);
        let (without, without_at) = Peak::shown(self.without);
        let (export, export_at) = Peak::shown(self.export.filter(|peak| peak.watts > 0.0));
        let body = json!({
            "limit_watts": self.limit_watts,
            "peak_import_watts": import,
            "peak_import_at": import_at,
            "without_control_watts": without,
            "without_control_at": without_at,
            "peak_export_watts": export,
            "peak_export_at": export_at,
            "over_seconds": self.over_seconds.round(),
            "charged_wh": self.charged_wh.round(),
            "discharged_wh": self.discharged_wh.round(),
            "load_off_seconds": self.load_off_seconds.round(),
            "watched_seconds": self.watched_seconds.round(),
        });
        let (from, to) = (Timestamp(self.from), Timestamp(self.to));
        outcome.report(PEAK_DAY, MICROGRID, from, to, body);
    }
}
