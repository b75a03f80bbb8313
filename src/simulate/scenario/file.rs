//! The scenario file as it is written. What a key means is said in `docs/SIMULATE.md`.

use memcloud_worker::apps::energy_accounting::Period;
use serde::Deserialize;
use serde_json::Value;

use super::ScenarioError;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioFile {
    pub(super) title: String,
    pub(super) start: String,
    pub(super) days: u32,
    #[serde(default = "a_minute")]
    pub(super) step: String,
    #[serde(default = "first_seed")]
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) microgrid: MicrogridSection,
    #[serde(default)]
    pub(super) homes: HomesSection,
    pub(super) tariff: TariffSection,
    #[serde(default)]
    pub(super) jobs: Vec<JobSection>,
    #[serde(default)]
    pub(super) events: Vec<EventSection>,
}

fn a_minute() -> String {
    "1m".to_owned()
}

fn first_seed() -> u64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MicrogridSection {
    pub(super) id: String,
    pub(super) time_zone: String,
    pub(super) import_limit_watts: Option<f64>,
    pub(super) export_limit_watts: Option<f64>,
}

impl Default for MicrogridSection {
    fn default() -> Self {
        Self {
            id: "fontana".to_owned(),
            time_zone: "America/Los_Angeles".to_owned(),
            import_limit_watts: None,
            export_limit_watts: None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HomesSection {
    pub(super) data: Option<String>,
    pub(super) count: Option<usize>,
    pub(super) only: Option<Vec<usize>>,
    pub(super) battery_rule: RuleSection,
    pub(super) battery_wh: Option<f64>,
    pub(super) battery_watts: Option<f64>,
    pub(super) pv_watts: Option<f64>,
    pub(super) each: Vec<HomeSection>,
}

/// What batteries do by themselves.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RuleSection {
    /// Nothing: they move when a job orders it.
    #[default]
    Rest,
    /// They charge from what would be exported, and discharge into what would be imported.
    SelfConsumption,
}

/// What one home has otherwise than the others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HomeSection {
    /// Which, from 1.
    pub(super) home: usize,
    pub(super) battery_wh: Option<f64>,
    pub(super) battery_watts: Option<f64>,
    pub(super) pv_watts: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TariffSection {
    pub(super) source: String,
    #[serde(default = "dollars")]
    pub(super) currency: String,
    pub(super) import: PriceSource,
    pub(super) export: PriceSource,
    pub(super) carbon: CarbonSource,
}

fn dollars() -> String {
    "USD".to_owned()
}

/// What a kWh costs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PriceSource {
    /// As the data file says, hour by hour.
    Data,
    /// Always the same.
    Flat(f64),
    /// By the time of day and the day of the week.
    TimeOfUse(TimeOfUse),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeOfUse {
    pub(super) otherwise: f64,
    pub(super) periods: Vec<Period>,
}

/// What an imported kWh carries, g.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CarbonSource {
    /// As the data file says, hour by hour.
    Data,
    /// Always the same.
    Flat(f64),
    /// One for each hour of the local day.
    ByHour(Vec<f64>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobSection {
    pub(super) app: String,
    #[serde(default)]
    pub(super) priority: i32,
    #[serde(default)]
    pub(super) configuration: Value,
}

/// Something that happens.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum EventSection {
    /// The link of homes to the cloud is down.
    Outage {
        /// Which homes, from 1; absent: all.
        homes: Option<Vec<usize>>,
        from: String,
        #[serde(rename = "for")]
        span: String,
    },
    /// The grid is not there; the homes share what a source of their own gives.
    Island {
        from: String,
        #[serde(rename = "for")]
        span: String,
        /// The most that the source gives, W.
        source_watts: f64,
    },
}

impl ScenarioFile {
    pub(super) fn parse(text: &str) -> Result<Self, ScenarioError> {
        let wrong = |key: String, error: &toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.as_bytes().iter().take(start);
            ScenarioError::Text {
                line: before.filter(|byte| **byte == b'\n').count() + 1,
                key,
                reason: error.message().to_owned(),
            }
        };
        let document = toml::Deserializer::parse(text)
            .map_err(|error| wrong("(the text itself)".to_owned(), &error))?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            let key = if path == "." { "(top level)".to_owned() } else { path };
            wrong(key, error.inner())
        })
    }
}
