//! Makes a scenario of the file: every value is checked, so that nothing goes wrong half way through a
//! year.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use memcloud_domain::{HemId, MicrogridId, Timestamp, Watts};
use memcloud_emulator::battery::{Battery, BatteryRule};
use memcloud_emulator::{Dataset, HomeProfile};
use memcloud_worker::AppCatalogue;

use super::file::{
    CarbonSource, EventSection, HomeSection, HomesSection, JobSection, PriceSource, RuleSection,
    ScenarioFile, TariffSection,
};
use super::{HomeSpec, JobSpec, Scenario, ScenarioError};
use crate::simulate::tariff::{Carbon, Price, PricePeriod, Tariff, finite};
use crate::simulate::timeline::{Island, Outage, Span, Timeline};

const MOST_DAYS: u32 = 3_660;
const MOST_HOMES: usize = 1_000;
const MOST_JOBS: usize = 64;
const MOST_EVENTS: usize = 1_000;
const MOST_PERIODS: usize = 100;
const QUARTER_MS: i64 = 900_000;
/// Homes' powers stand still for so long.
const SLOT_MS: u128 = 5_000;
/// The app that is another's program.
const EXTERNAL: &str = "external";
/// The built-in data.
const FONTANA: &str = "fontana";

fn wrong(key: impl Into<String>, reason: impl Into<String>) -> ScenarioError {
    ScenarioError::value(key, reason)
}

pub(super) fn check(
    file: ScenarioFile,
    folder: &Path,
    apps: &AppCatalogue,
) -> Result<Scenario, ScenarioError> {
    if file.title.is_empty() || file.title.chars().count() > 200 {
        return Err(wrong("title", "say in a sentence of at most 200 characters what it shows"));
    }
    let zone_name = &file.microgrid.time_zone;
    let time_zone: Tz = zone_name.parse().map_err(|_| {
        wrong(
            "microgrid.time_zone",
            format!("\"{zone_name}\" is no IANA name, like \"Europe/Zurich\""),
        )
    })?;
    let microgrid = MicrogridId::new(&file.microgrid.id)
        .map_err(|error| wrong("microgrid.id", error.to_string()))?;
    let step = step(&file.step)?;
    let from = moment("start", &file.start, time_zone)?;
    if from.as_millis().rem_euclid(QUARTER_MS) != 0 {
        return Err(wrong("start", "it must lie on a quarter of an hour"));
    }
    let until = end(from, file.days, time_zone)?;
    let dataset = dataset(file.homes.data.as_deref(), folder)?;
    let homes = homes(&file.homes, &dataset, file.seed)?;
    let timeline = timeline(&file.events, &homes, Span { from, until }, step, time_zone)?;
    Ok(Scenario {
        title: file.title,
        from,
        until,
        step,
        seed: file.seed,
        microgrid,
        time_zone,
        import_limit_watts: limit("import_limit_watts", file.microgrid.import_limit_watts)?,
        export_limit_watts: limit("export_limit_watts", file.microgrid.export_limit_watts)?,
        dataset,
        homes,
        tariff: tariff(&file.tariff)?,
        jobs: jobs(file.jobs, apps)?,
        timeline,
    })
}

fn step(text: &str) -> Result<Duration, ScenarioError> {
    let allowed = "write a span that goes into 15 minutes a whole number of times and is a multiple of \
                   5 s, like \"1m\", \"5s\", \"5m\" or \"15m\"";
    let step = humantime::parse_duration(text).map_err(|error| {
        ScenarioError::value("step", format!("\"{text}\" ({error}); {allowed}"))
    })?;
    let ms = step.as_millis();
    let quarter = QUARTER_MS.unsigned_abs();
    if ms == 0 || ms % SLOT_MS != 0 || u128::from(quarter) % ms != 0 {
        return Err(ScenarioError::value("step", format!("\"{text}\"; {allowed}")));
    }
    Ok(step)
}

/// A date (its local midnight), a local time, or a time with its offset.
fn moment(key: &str, text: &str, zone: Tz) -> Result<Timestamp, ScenarioError> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc().into());
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN))
        })
        .map_err(|_| {
            ScenarioError::value(
                key,
                format!(
                    "\"{text}\" is no time; write 2026-06-21, 2026-06-21T14:00 (in the microgrid's time \
                     zone) or 2026-06-21T14:00:00-07:00"
                ),
            )
        })?;
    let moment = zone.from_local_datetime(&local).earliest().ok_or_else(|| {
        ScenarioError::value(key, format!("{text} is skipped in {zone}, where clocks go forward"))
    })?;
    Ok(moment.to_utc().into())
}

/// The same local time so many days later.
pub(super) fn end(from: Timestamp, days: u32, zone: Tz) -> Result<Timestamp, ScenarioError> {
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(wrong("days", format!("{days}; it may be 1 to {MOST_DAYS}")));
    }
    let local = from.to_datetime().with_timezone(&zone).naive_local();
    let end = local
        .checked_add_days(chrono::Days::new(u64::from(days)))
        .and_then(|local| zone.from_local_datetime(&local).earliest())
        .ok_or_else(|| ScenarioError::value("days", "it would not end on any calendar"))?;
    Ok(end.to_utc().into())
}

fn dataset(data: Option<&str>, folder: &Path) -> Result<Arc<Dataset>, ScenarioError> {
    let data = data.unwrap_or(FONTANA);
    let read = if data == FONTANA { Dataset::fontana() } else { Dataset::read(&folder.join(data)) };
    read.map_err(|error| {
        let reason = format!(
            "{error}; name a file in the layout of fontana-homes.csv, or \"{FONTANA}\" for the built-in one"
        );
        ScenarioError::value("homes.data", reason)
    })
}

fn homes(
    section: &HomesSection,
    dataset: &Arc<Dataset>,
    seed: u64,
) -> Result<Vec<HomeSpec>, ScenarioError> {
    let count = section.count.unwrap_or_else(|| dataset.home_count());
    if !(1..=MOST_HOMES).contains(&count) {
        return Err(wrong("homes.count", format!("{count}; it may be 1 to {MOST_HOMES}")));
    }
    let numbers = match &section.only {
        None => (1..=count).collect(),
        Some(only) => numbers("homes.only", only, count)?,
    };
    let mut homes = Vec::with_capacity(numbers.len());
    for number in numbers {
        let hem = HemId::new(&format!("home-{number}"))
            .map_err(|error| wrong("homes", error.to_string()))?;
        let recorded = HomeProfile::new(Arc::clone(dataset), number - 1, seed);
        homes.push(HomeSpec { hem, profile: sized(recorded, &sizes_of(section, number))? });
    }
    let is_unknown = |own: &HomeSection| !(1..=count).contains(&own.home);
    if let Some(place) = section.each.iter().position(is_unknown) {
        return Err(wrong(
            format!("homes.each[{place}].home"),
            format!("there is no such home; there are 1 to {count}"),
        ));
    }
    Ok(homes)
}

/// What a home has: its own sizes, else those of all.
struct Sizes {
    battery_wh: Option<f64>,
    battery_watts: Option<f64>,
    pv_watts: Option<f64>,
    rule: RuleSection,
}

fn sizes_of(section: &HomesSection, number: usize) -> Sizes {
    let own = section.each.iter().find(|own| own.home == number);
    Sizes {
        battery_wh: own.and_then(|own| own.battery_wh).or(section.battery_wh),
        battery_watts: own.and_then(|own| own.battery_watts).or(section.battery_watts),
        pv_watts: own.and_then(|own| own.pv_watts).or(section.pv_watts),
        rule: section.battery_rule,
    }
}

fn sized(profile: HomeProfile, sizes: &Sizes) -> Result<HomeProfile, ScenarioError> {
    for (name, value, most) in [
        ("battery_wh", sizes.battery_wh, 1e6),
        ("battery_watts", sizes.battery_watts, 1e5),
        ("pv_watts", sizes.pv_watts, 1e5),
    ] {
        if let Some(value) = value
            && !(0.0..=most).contains(&value)
        {
            return Err(wrong(format!("homes.{name}"), format!("{value}; it may be 0 to {most}")));
        }
    }
    let usual = profile.battery();
    let rule = match sizes.rule {
        RuleSection::Rest => BatteryRule::Rest,
        RuleSection::SelfConsumption => BatteryRule::SelfConsumption,
    };
    let battery = Battery::new(
        sizes.battery_wh.unwrap_or_else(|| usual.capacity_wh()),
        sizes.battery_watts.unwrap_or_else(|| usual.power_watts()),
    );
    let profile = profile.with_battery(battery.with_rule(rule));
    Ok(match sizes.pv_watts {
        Some(watts) => profile.with_pv_rated(Watts(watts)),
        None => profile,
    })
}

/// Numbers of homes, from 1, each once, ascending.
fn numbers(key: &str, given: &[usize], count: usize) -> Result<BTreeSet<usize>, ScenarioError> {
    let set: BTreeSet<usize> = given.iter().copied().collect();
    if set.len() != given.len() || set.is_empty() {
        return Err(ScenarioError::value(key, "name at least one home, and each only once"));
    }
    match set.iter().find(|number| !(1..=count).contains(*number)) {
        None => Ok(set),
        Some(number) => Err(ScenarioError::value(
            key,
            format!("there is no home {number}; there are 1 to {count}"),
        )),
    }
}

fn limit(name: &str, watts: Option<f64>) -> Result<Option<f64>, ScenarioError> {
    match watts {
        Some(watts) if !(0.0..=1e9).contains(&watts) => Err(ScenarioError::value(
            format!("microgrid.{name}"),
            format!("{watts} W; it may be 0 to 1000000000"),
        )),
        watts => Ok(watts),
    }
}

fn tariff(section: &TariffSection) -> Result<Tariff, ScenarioError> {
    if section.source.is_empty() || section.source.chars().count() > 500 {
        return Err(wrong(
            "tariff.source",
            "say where the prices come from, or \"example values\"; at most 500 characters",
        ));
    }
    if section.currency.is_empty() || section.currency.chars().count() > 12 {
        return Err(wrong("tariff.currency", "it must have 1 to 12 characters"));
    }
    let carbon = match &section.carbon {
        CarbonSource::Data => Carbon::Data,
        CarbonSource::Flat(grams) => {
            Carbon::Flat(finite("flat", *grams).map_err(|reason| wrong("tariff.carbon", reason))?)
        }
        CarbonSource::ByHour(grams) if grams.len() == 24 => {
            for gram in grams {
                finite("by_hour", *gram).map_err(|reason| wrong("tariff.carbon", reason))?;
            }
            Carbon::ByHour(grams.clone())
        }
        CarbonSource::ByHour(grams) => {
            let reason = format!("by_hour has {} values; it needs 24", grams.len());
            return Err(wrong("tariff.carbon", reason));
        }
    };
    Ok(Tariff {
        source: section.source.clone(),
        currency: section.currency.clone(),
        import: price("tariff.import", &section.import)?,
        export: price("tariff.export", &section.export)?,
        carbon,
    })
}

fn price(key: &str, source: &PriceSource) -> Result<Price, ScenarioError> {
    let wrong = |reason| ScenarioError::value(key, reason);
    Ok(match source {
        PriceSource::Data => Price::Data,
        PriceSource::Flat(per_kwh) => Price::Flat(finite("flat", *per_kwh).map_err(wrong)?),
        PriceSource::TimeOfUse(times) if times.periods.len() > MOST_PERIODS => {
            let count = times.periods.len();
            return Err(wrong(format!("{count} periods; there may be {MOST_PERIODS}")));
        }
        PriceSource::TimeOfUse(times) => Price::TimeOfUse {
            otherwise: finite("otherwise", times.otherwise).map_err(wrong)?,
            periods: times
                .periods
                .iter()
                .enumerate()
                .map(|(place, period)| {
                    PricePeriod::read(period).map_err(|reason| {
                        let key = format!("{key}.time_of_use.periods[{place}]");
                        ScenarioError::value(key, reason)
                    })
                })
                .collect::<Result<_, _>>()?,
        },
    })
}

fn jobs(sections: Vec<JobSection>, apps: &AppCatalogue) -> Result<Vec<JobSpec>, ScenarioError> {
    if sections.len() > MOST_JOBS {
        let reason = format!("{} jobs; there may be {MOST_JOBS}", sections.len());
        return Err(ScenarioError::value("jobs", reason));
    }
    sections
        .into_iter()
        .enumerate()
        .map(|(place, section)| {
            if section.app == EXTERNAL {
                return Err(wrong(
                    format!("jobs[{place}]"),
                    "an external app connects over the network, and a simulation has none",
                ));
            }
            let configuration =
                apps.validate(&section.app, &section.configuration).map_err(|error| {
                    ScenarioError::value(format!("jobs[{place}]"), error.to_string())
                })?;
            Ok(JobSpec { app: section.app, configuration, priority: section.priority })
        })
        .collect()
}

fn timeline(
    sections: &[EventSection],
    homes: &[HomeSpec],
    whole: Span,
    step: Duration,
    zone: Tz,
) -> Result<Timeline, ScenarioError> {
    if sections.len() > MOST_EVENTS {
        let reason = format!("{} events; there may be {MOST_EVENTS}", sections.len());
        return Err(ScenarioError::value("events", reason));
    }
    let mut timeline = Timeline::default();
    for (place, section) in sections.iter().enumerate() {
        let key = format!("events[{place}]");
        match section {
            EventSection::Outage { homes: which, from, span } => {
                let span = event_span(&key, from, span, whole, step, zone)?;
                let places = match which {
                    None => None,
                    Some(numbers) => Some(places(&format!("{key}.homes"), numbers, homes)?),
                };
                timeline.outages.push(Outage { span, homes: places });
            }
            EventSection::Island { from, span, source_watts } => {
                let span = event_span(&key, from, span, whole, step, zone)?;
                if !(0.0..=1e9).contains(source_watts) {
                    return Err(ScenarioError::value(
                        format!("{key}.source_watts"),
                        format!("{source_watts} W; it may be 0 to 1000000000"),
                    ));
                }
                let overlaps =
                    |other: &Island| other.span.from < span.until && span.from < other.span.until;
                if timeline.islands.iter().any(overlaps) {
                    return Err(ScenarioError::value(key, "it overlaps another island"));
                }
                timeline.islands.push(Island { span, source_watts: *source_watts });
            }
        }
    }
    Ok(timeline)
}

/// The places in the scenario of homes by their numbers.
fn places(
    key: &str,
    numbers: &[usize],
    homes: &[HomeSpec],
) -> Result<BTreeSet<usize>, ScenarioError> {
    numbers
        .iter()
        .map(|number| {
            let hem = format!("home-{number}");
            homes.iter().position(|home| home.hem.as_str() == hem).ok_or_else(|| {
                let known: Vec<&str> =
                    homes.iter().map(|home| home.hem.as_str()).take(20).collect();
                let reason =
                    format!("there is no home {number} in it; there are {}", known.join(", "));
                ScenarioError::value(key, reason)
            })
        })
        .collect()
}

fn event_span(
    key: &str,
    from: &str,
    span: &str,
    whole: Span,
    step: Duration,
    zone: Tz,
) -> Result<Span, ScenarioError> {
    let start = moment(&format!("{key}.from"), from, zone)?;
    let length = humantime::parse_duration(span).map_err(|error| {
        let reason = format!("\"{span}\" is no span ({error}); write e.g. \"90m\" or \"2h\"");
        ScenarioError::value(format!("{key}.for"), reason)
    })?;
    let until = start.plus(length);
    let on_a_step = |moment: Timestamp| {
        let ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        (moment.as_millis() - whole.from.as_millis()) % ms == 0
    };
    if length.is_zero() || !on_a_step(start) || !on_a_step(until) {
        let step = humantime::format_duration(step);
        return Err(ScenarioError::value(
            key,
            format!(
                "it must begin and end on a step of the simulation, each {step} from its start"
            ),
        ));
    }
    if start >= whole.until || until <= whole.from {
        return Err(ScenarioError::value(
            key,
            format!("it lies outside of what is simulated, {} to {}", whole.from, whole.until),
        ));
    }
    Ok(Span { from: start, until })
}
