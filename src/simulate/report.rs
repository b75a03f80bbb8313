//! What a run showed, beside the same homes without control, in the form that is kept: plain figures
//! with their units in their names.

use std::collections::BTreeMap;

use memcloud_domain::{CommandState, HemId, JobState, Timestamp};
use serde::Serialize;

use super::meter::{Account, Metered};
use super::scenario::Scenario;

/// The whole report. The same scenario and seed give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was simulated.
    pub scenario: Simulated,
    /// The microgrid, metered at its feeder.
    pub microgrid: Comparison,
    /// Each home, metered at its own connection.
    pub homes: Vec<HomeReport>,
    /// What became of the commands.
    pub commands: CommandsReport,
    /// The jobs that ran.
    pub jobs: Vec<JobReport>,
    /// What reached the cloud of what homes measured.
    pub telemetry: TelemetryReport,
}

/// What was simulated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// In a sentence.
    pub title: String,
    /// From when on.
    pub from: String,
    /// Before when.
    pub until: String,
    /// Whether that is all of what the scenario says; otherwise it was stopped.
    pub complete: bool,
    /// The time zone.
    pub time_zone: String,
    /// The seconds of a step.
    pub step_seconds: u64,
    /// The seed.
    pub seed: u64,
    /// Where prices and carbon intensities come from.
    pub tariff_source: String,
    /// The currency of all money.
    pub currency: String,
}

/// A run with control beside one without.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// With the jobs.
    pub control: Figures,
    /// The same homes left to themselves.
    pub without: Figures,
}

/// What a home, or the microgrid, did over the whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// What loads took.
    pub consumption_wh: f64,
    /// What PV gave.
    pub generation_wh: f64,
    /// What came in.
    pub import_wh: f64,
    /// What went out.
    pub export_wh: f64,
    /// What batteries took.
    pub charged_wh: f64,
    /// What batteries gave.
    pub discharged_wh: f64,
    /// What import cost.
    pub import_cost: f64,
    /// What export earned.
    pub export_credit: f64,
    /// Their difference.
    pub cost: f64,
    /// What import carried.
    pub carbon_kg: f64,
    /// The share of the generation that was not exported; absent without generation.
    pub self_consumption: Option<f64>,
    /// The share of the consumption that was not imported; absent without consumption.
    pub self_sufficiency: Option<f64>,
    /// The highest mean net import of a quarter-hour.
    pub peak_import_watts: f64,
    /// The highest mean net export of a quarter-hour.
    pub peak_export_watts: f64,
    /// The mean absolute change of the mean net import from one quarter-hour to the next.
    pub ramping_watts: f64,
    /// How often the batteries' capacity went in and out.
    pub battery_cycles: f64,
    /// What was asked of an island's source.
    pub island_demand_wh: f64,
    /// What of it was beyond what the source gives.
    pub island_unserved_wh: f64,
    /// What an island's homes fed and nobody took; of the microgrid.
    pub island_spilled_wh: f64,
}

impl Figures {
    fn of(account: &Account, capacity_wh: f64) -> Self {
        let (flows, money, island) = (&account.flows, &account.money, &account.island);
        let share = |part: f64, whole: f64| {
            (whole > 1e-3).then(|| rounded((1.0 - part / whole).clamp(0.0, 1.0), 4))
        };
        let turned = flows.charged + flows.discharged;
        let cycles = if capacity_wh > 0.0 { turned / (2.0 * capacity_wh) } else { 0.0 };
        Self {
            consumption_wh: rounded(flows.consumption, 3),
            generation_wh: rounded(flows.generation, 3),
            import_wh: rounded(flows.import, 3),
            export_wh: rounded(flows.export, 3),
            charged_wh: rounded(flows.charged, 3),
            discharged_wh: rounded(flows.discharged, 3),
            import_cost: rounded(money.cost, 4),
            export_credit: rounded(money.credit, 4),
            cost: rounded(money.cost - money.credit, 4),
            carbon_kg: rounded(money.carbon_grams / 1_000.0, 4),
            self_consumption: share(flows.export, flows.generation),
            self_sufficiency: share(flows.import, flows.consumption),
            peak_import_watts: rounded(account.highest_watts.max(0.0), 1),
            peak_export_watts: rounded((-account.lowest_watts).max(0.0), 1),
            ramping_watts: rounded(account.ramping_watts(), 1),
            battery_cycles: rounded(cycles, 2),
            island_demand_wh: rounded(island.demand, 3),
            island_unserved_wh: rounded(island.unserved, 3),
            island_spilled_wh: rounded(island.spilled, 3),
        }
    }
}

/// A home's part of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HomeReport {
    /// Which.
    pub hem: HemId,
    /// The capacity of its battery.
    pub battery_wh: f64,
    /// The rated power of its PV.
    pub pv_watts: f64,
    /// What it did.
    #[serde(flatten)]
    pub figures: Comparison,
}

/// What became of the commands: how many are in which state at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CommandsReport {
    /// All of them.
    pub total: u64,
    /// By state.
    pub states: BTreeMap<&'static str, u64>,
    /// Of each home, by state.
    pub homes: BTreeMap<HemId, BTreeMap<&'static str, u64>>,
}

impl CommandsReport {
    /// A command of a home has come from one state into another; from none: it is new.
    pub(super) fn changed(&mut self, hem: &HemId, from: Option<CommandState>, to: CommandState) {
        let of_home = self.homes.entry(hem.clone()).or_default();
        for states in [&mut self.states, of_home] {
            *states.entry(to.as_str()).or_default() += 1;
            let Some(left) = from.and_then(|from| states.get_mut(from.as_str())) else { continue };
            *left = left.saturating_sub(1);
        }
        self.total += u64::from(from.is_none());
    }

    /// Leaves out the states in which none is.
    pub(super) fn without_empty(mut self) -> Self {
        self.states.retain(|_, count| *count > 0);
        for states in self.homes.values_mut() {
            states.retain(|_, count| *count > 0);
        }
        self
    }
}

/// A job that ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobReport {
    /// Its app.
    pub app: String,
    /// Its priority.
    pub priority: i32,
    /// How it stands at the end.
    #[serde(flatten)]
    pub state: JobState,
    /// The newest warnings and errors of its log.
    pub complaints: Vec<String>,
}

/// What reached the cloud of what homes measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TelemetryReport {
    /// Readings that homes took.
    pub readings: u64,
    /// Readings that the historian stored.
    pub stored: u64,
    /// Readings that homes still keep at the end.
    pub unacknowledged: u64,
    /// What the job `energy-accounting` found, beside the homes' own meters; absent without such a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounting: Option<Audit>,
}

/// The sum over the homes of what was accounted, and of what was metered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Audit {
    /// Consumption that was accounted.
    pub consumption_wh: f64,
    /// Consumption by the homes' meters.
    pub metered_consumption_wh: f64,
    /// Import that was accounted.
    pub import_wh: f64,
    /// Import by the homes' meters.
    pub metered_import_wh: f64,
}

/// What was found out of the cloud's part of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct CloudFindings {
    pub(super) commands: CommandsReport,
    pub(super) jobs: Vec<JobReport>,
    pub(super) telemetry: TelemetryReport,
}

impl Report {
    pub(super) fn new(
        scenario: &Scenario,
        control: &Metered,
        without: &Metered,
        cloud: CloudFindings,
    ) -> Self {
        let compare = |control: &Account, without: &Account, capacity_wh: f64| Comparison {
            control: Figures::of(control, capacity_wh),
            without: Figures::of(without, capacity_wh),
        };
        let capacity = |place: usize| {
            scenario.homes.get(place).map_or(0.0, |home| home.profile.battery().capacity_wh())
        };
        let homes = scenario
            .homes
            .iter()
            .zip(control.homes.iter().zip(&without.homes))
            .enumerate()
            .map(|(place, (home, (control, without)))| HomeReport {
                hem: home.hem.clone(),
                battery_wh: capacity(place),
                pv_watts: rounded(home.profile.pv_rated().value(), 1),
                figures: compare(control, without, capacity(place)),
            })
            .collect();
        let total_capacity = (0..scenario.homes.len()).map(capacity).sum();
        let local = |moment: Timestamp| {
            moment.to_datetime().with_timezone(&scenario.time_zone).to_rfc3339()
        };
        Self {
            scenario: Simulated {
                title: scenario.title.clone(),
                from: local(scenario.from),
                until: local(control.until),
                complete: control.until >= scenario.until,
                time_zone: scenario.time_zone.name().to_owned(),
                step_seconds: scenario.step.as_secs(),
                seed: scenario.seed,
                tariff_source: scenario.tariff.source.clone(),
                currency: scenario.tariff.currency.clone(),
            },
            microgrid: compare(&control.microgrid, &without.microgrid, total_capacity),
            homes,
            commands: cloud.commands.without_empty(),
            jobs: cloud.jobs,
            telemetry: cloud.telemetry,
        }
    }

    /// The report as text that is kept: indented JSON, with a newline at its end.
    ///
    /// # Errors
    /// Never, as all of it can be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Rounds to so many places: floating-point dust is not a result.
pub(super) fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10.0_f64.powi(places);
    // Adding zero turns a negative zero into a plain one.
    (value * scale).round() / scale + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_counts_once_in_the_state_that_it_came_to() {
        let (mut report, home) = (CommandsReport::default(), HemId::new("home-1").unwrap());
        report.changed(&home, None, CommandState::Accepted);
        report.changed(&home, Some(CommandState::Accepted), CommandState::Sent);
        report.changed(&home, None, CommandState::Expired);
        let report = report.without_empty();
        assert_eq!(report.total, 2);
        assert_eq!(report.states, BTreeMap::from([("expired", 1), ("sent", 1)]));
        assert_eq!(report.homes.get(&home), Some(&report.states));
    }
}
