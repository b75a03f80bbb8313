//! Accounts for the energy of every home and of the microgrid, per hour and per day in the
//! microgrid's time zone: consumption, generation, import and export, how much of it was the homes'
//! own, and what it cost, earned and carried by tariff.
//!
//! Late and back-filled readings are put where they belong: results are replaced whole. What is kept
//! is bounded: each home's last `open_hours`, counted from its own newest reading, node by node, and
//! the microgrid's last `late_days` as sums.

mod books;
mod node_ledger;
mod saved;
mod sums;
mod tariff;

use memcloud_domain::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use self::books::Books;
use self::node_ledger::Rules;
pub use self::tariff::{Carbon, Day, Period, Price};
use self::tariff::{PriceTable, check_carbon};
use crate::apps::calendar::QUARTER_MS;
use crate::{About, EnergyApp, Outcome, Start, View};

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EnergyAccountingConfiguration {
    /// The currency that prices are in; shown, not converted.
    pub currency: String,
    /// What imported energy costs per kWh.
    pub import: Price,
    /// What exported energy earns per kWh.
    pub export: Price,
    /// How much carbon imported energy carries, g per kWh.
    pub carbon: Carbon,
    /// How far back from a home's newest reading its readings are still sorted in, h.
    #[schemars(range(min = 1, max = 336))]
    pub open_hours: u32,
    /// How far back from the newest reading of all the microgrid's results are still completed, d.
    #[schemars(range(min = 1, max = 62))]
    pub late_days: u32,
    /// The longest time between two samples that is not a gap, min.
    #[schemars(range(min = 1, max = 60))]
    pub max_gap_minutes: u32,
    /// More than this is not a node's power but a replaced counter, kW.
    #[schemars(range(min = 1.0, max = 1e6))]
    pub max_node_kilowatts: f64,
    /// How often the results of an hour that goes on are brought up to date, s.
    #[schemars(range(min = 1, max = 3_600))]
    pub report_every_seconds: u32,
}

impl Default for EnergyAccountingConfiguration {
    fn default() -> Self {
        Self {
            currency: "EUR".into(),
            import: Price::Flat(0.30),
            export: Price::Flat(0.08),
            carbon: Carbon::Flat(350.0),
            open_hours: 24,
            late_days: 8,
            max_gap_minutes: 15,
            max_node_kilowatts: 100.0,
            report_every_seconds: 10,
        }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    pub(crate) currency: String,
    import: PriceTable,
    export: PriceTable,
    carbon: Carbon,
    rules: Rules,
    open_quarters: i64,
    late_quarters: i64,
    report_every: Duration,
}

/// Accounts for energy.
#[derive(Debug)]
pub struct EnergyAccounting {
    terms: Terms,
}

impl EnergyAccounting {
    /// The kind of results per local hour.
    pub const HOUR: &'static str = "energy-hour";
    /// The kind of results per local day.
    pub const DAY: &'static str = "energy-day";
    /// The subject of the microgrid's results; a home's subject is its HEM's id.
    pub const MICROGRID: &'static str = "microgrid";
}

impl EnergyApp for EnergyAccounting {
    type Configuration = EnergyAccountingConfiguration;
    type State = Books;

    const ABOUT: About = About {
        name: "energy-accounting",
        version: "1.0.0",
        title: "Energy accounting",
        description: "Accounts for the energy of every home and of the microgrid, per hour and day: \
                      consumption, generation, import and export, self-sufficiency, cost and carbon.",
        start: Start::Beginning,
        tick: Some(Duration::from_secs(10)),
    };

    fn new(configuration: EnergyAccountingConfiguration) -> Result<Self, String> {
        let given = &configuration;
        for (name, value, least, most) in [
            ("open_hours", given.open_hours, 1, 336),
            ("late_days", given.late_days, 1, 62),
            ("max_gap_minutes", given.max_gap_minutes, 1, 60),
            ("report_every_seconds", given.report_every_seconds, 1, 3_600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} is {value}; it may be {least} to {most}"));
            }
        }
        if !(1.0..=1e6).contains(&given.max_node_kilowatts) {
            let kilowatts = given.max_node_kilowatts;
            return Err(format!("max_node_kilowatts is {kilowatts}; it may be 1 to 1000000"));
        }
        if given.currency.is_empty() || given.currency.chars().count() > 12 {
            return Err("currency must have 1 to 12 characters".into());
        }
        check_carbon(&given.carbon)?;
        let late_quarters = i64::from(given.late_days) * 96;
        let terms = Terms {
            currency: given.currency.clone(),
            import: PriceTable::read("import", &given.import)?,
            export: PriceTable::read("export", &given.export)?,
            carbon: given.carbon.clone(),
            rules: Rules {
                max_gap_ms: i64::from(given.max_gap_minutes) * 60_000,
                max_bridge_ms: late_quarters * QUARTER_MS,
                max_watts: given.max_node_kilowatts * 1_000.0,
            },
            open_quarters: i64::from(given.open_hours) * 4,
            late_quarters,
            report_every: Duration::from_secs(u64::from(given.report_every_seconds)),
        };
        Ok(Self { terms })
    }

    fn step(&self, books: &mut Books, now: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        books.step(&self.terms, now, view, &mut outcome);
        outcome
    }
}
