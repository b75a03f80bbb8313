//! A recorded year of homes, hour by hour, found by month, day and hour.
//!
//! The built-in one is `data/fontana-homes.csv`; any file of its layout (see `data/README.md`)
//! will do. Not a CSV reader for everything: no quotes, one header line.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use memcloud_domain::{WattHours, Watts};

use crate::EmulatorError;
use crate::calendar::{HOURS_OF_YEAR, LocalHour, place_of};

const FONTANA: &str = include_str!("../data/fontana-homes.csv");

/// The rated PV of the Fontana homes, W, as the study gives it.
const FONTANA_PV_WATTS: [f64; 5] = [4_000.0, 4_000.0, 4_000.0, 5_000.0, 4_000.0];

/// What is true of an hour for all homes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// What a kWh from the grid costs, USD.
    pub price_usd_per_kwh: f64,
    /// What a kWh from the grid emits, kg of CO2.
    pub carbon_kg_per_kwh: f64,
    /// Outdoor temperature, °C.
    pub temperature_celsius: f64,
}

/// Where the file says nothing: an average tariff, and a temperature that asks for no heating.
const ORDINARY: Conditions =
    Conditions { price_usd_per_kwh: 0.22, carbon_kg_per_kwh: 0.2, temperature_celsius: 20.0 };

/// One recorded home.
#[derive(Debug, Clone)]
struct RecordedHome {
    load_wh: Vec<f64>,
    solar_wh: Vec<f64>,
    pv_rated: Watts,
}

/// A recorded year of homes.
#[derive(Debug, Clone)]
pub struct Dataset {
    homes: Vec<RecordedHome>,
    conditions: Vec<Conditions>,
    /// The row for each hour of a leap year.
    row_of: Vec<usize>,
    offset: FixedOffset,
}

impl Dataset {
    /// The built-in year: five real homes in Fontana, California.
    ///
    /// # Errors
    /// [`EmulatorError::Data`] if the built-in file were damaged.
    pub fn fontana() -> Result<Arc<Self>, EmulatorError> {
        let mut dataset = Self::parse(FONTANA)?;
        for (home, watts) in dataset.homes.iter_mut().zip(FONTANA_PV_WATTS) {
            home.pv_rated = Watts(watts);
        }
        Ok(Arc::new(dataset))
    }

    /// Reads a file of the same layout.
    ///
    /// # Errors
    /// [`EmulatorError::File`] where it cannot be read, [`EmulatorError::Data`] where it is of
    /// another layout, with the line and what is expected there.
    pub fn read(path: &Path) -> Result<Arc<Self>, EmulatorError> {
        let text = std::fs::read_to_string(path).map_err(EmulatorError::file("read", path))?;
        Ok(Arc::new(Self::parse(&text)?))
    }

    /// Reads a text of the same layout.
    ///
    /// # Errors
    /// [`EmulatorError::Data`], as [`Dataset::read`].
    pub fn parse(text: &str) -> Result<Self, EmulatorError> {
        let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let header = lines.next().map(|(_, line)| line).unwrap_or_default();
        let columns = Columns::of(header)?;
        let mut homes: Vec<RecordedHome> = columns
            .homes
            .iter()
            .map(|_| RecordedHome { load_wh: vec![], solar_wh: vec![], pv_rated: Watts::ZERO })
            .collect();
        let mut conditions = Vec::new();
        let mut placed: Vec<Option<usize>> = vec![None; HOURS_OF_YEAR];
        let mut offset = None;
        for (index, line) in lines {
            if line.trim().is_empty() {
                continue;
            }
            let row = Row { line: index + 1, cells: line.split(',').map(str::trim).collect() };
            let start = row.moment(columns.hour_start)?;
            offset.get_or_insert(*start.offset());
            if let Some(place) =
                placed.get_mut(place_of(start.month0(), start.day0(), start.hour()))
            {
                *place = Some(conditions.len());
            }
            let or = |column: Option<usize>, ordinary: f64| match column {
                Some(column) => row.number(column),
                None => Ok(ordinary),
            };
            conditions.push(Conditions {
                price_usd_per_kwh: or(columns.price, ORDINARY.price_usd_per_kwh)?,
                carbon_kg_per_kwh: or(columns.carbon, ORDINARY.carbon_kg_per_kwh)?,
                temperature_celsius: or(columns.temperature, ORDINARY.temperature_celsius)?,
            });
            for (home, (load, solar)) in homes.iter_mut().zip(&columns.homes) {
                home.load_wh.push(row.energy_wh(*load)?);
                home.solar_wh.push(match solar {
                    Some(solar) => row.energy_wh(*solar)?,
                    None => 0.0,
                });
            }
        }
        let Some(offset) = offset else {
            return Err(problem(2, "there is no row below the header; one per hour is expected"));
        };
        for home in &mut homes {
            let most = home.solar_wh.iter().copied().fold(0.0, f64::max);
            home.pv_rated = Watts(((most * 1.02) / 500.0).ceil() * 500.0);
        }
        Ok(Self { homes, conditions, row_of: fill_year(&placed)?, offset })
    }

    /// How many homes were recorded.
    #[must_use]
    pub fn home_count(&self) -> usize {
        self.homes.len()
    }

    /// The homes' fixed offset from UTC.
    #[must_use]
    pub fn offset(&self) -> FixedOffset {
        self.offset
    }

    /// Price, carbon and weather of an hour.
    #[must_use]
    pub fn conditions(&self, hour: LocalHour) -> Conditions {
        self.conditions.get(self.row(hour)).copied().unwrap_or(ORDINARY)
    }

    /// What a home used in an hour.
    #[must_use]
    pub fn load(&self, home: usize, hour: LocalHour) -> WattHours {
        let row = self.row(hour);
        let recorded = self.homes.get(home).and_then(|home| home.load_wh.get(row));
        WattHours(recorded.copied().unwrap_or(0.0))
    }

    /// What a home's PV produced in an hour.
    #[must_use]
    pub fn solar(&self, home: usize, hour: LocalHour) -> WattHours {
        let row = self.row(hour);
        let recorded = self.homes.get(home).and_then(|home| home.solar_wh.get(row));
        WattHours(recorded.copied().unwrap_or(0.0))
    }

    /// A home's rated PV.
    #[must_use]
    pub fn pv_rated(&self, home: usize) -> Watts {
        self.homes.get(home).map_or(Watts::ZERO, |home| home.pv_rated)
    }

    fn row(&self, hour: LocalHour) -> usize {
        self.row_of.get(hour.of_year()).copied().unwrap_or(0)
    }
}

/// Gives every hour of a leap year a row: its own, or the same hour of the nearest earlier day.
fn fill_year(placed: &[Option<usize>]) -> Result<Vec<usize>, EmulatorError> {
    (0..HOURS_OF_YEAR)
        .map(|place| {
            (0..HOURS_OF_YEAR / 24)
                .find_map(|days| {
                    let earlier = (place + HOURS_OF_YEAR - days * 24) % HOURS_OF_YEAR;
                    placed.get(earlier).copied().flatten()
                })
                .ok_or_else(|| {
                    problem(
                        2,
                        format!("no row is for {:02}:00; each hour of a day is needed", place % 24),
                    )
                })
        })
        .collect()
}

/// Where the header puts what.
struct Columns {
    hour_start: usize,
    price: Option<usize>,
    carbon: Option<usize>,
    temperature: Option<usize>,
    /// The load and solar column of each home.
    homes: Vec<(usize, Option<usize>)>,
}

impl Columns {
    fn of(header: &str) -> Result<Self, EmulatorError> {
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        let find = |wanted: &str| names.iter().position(|name| *name == wanted);
        let Some(hour_start) = find("hour_start") else {
            return Err(problem(
                1,
                "the header has no column hour_start; \
                 hour_start, load1_kwh, load2_kwh, …, solar1_kwh, … are expected",
            ));
        };
        let homes: Vec<(usize, Option<usize>)> = (1..)
            .map_while(|home| find(&format!("load{home}_kwh")).map(|load| (home, load)))
            .map(|(home, load)| (load, find(&format!("solar{home}_kwh"))))
            .collect();
        if homes.is_empty() {
            return Err(problem(
                1,
                "the header has no column load1_kwh; homes are counted from 1 (load1_kwh, …)",
            ));
        }
        Ok(Self {
            hour_start,
            price: find("price_usd_per_kwh"),
            carbon: find("carbon_kg_per_kwh"),
            temperature: find("temperature_c"),
            homes,
        })
    }
}

struct Row<'a> {
    line: usize,
    cells: Vec<&'a str>,
}

impl Row<'_> {
    fn cell(&self, column: usize) -> Result<&str, EmulatorError> {
        self.cells.get(column).copied().ok_or_else(|| {
            let count = self.cells.len();
            problem(self.line, format!("it has {count} cells, fewer than the header"))
        })
    }

    fn moment(&self, column: usize) -> Result<DateTime<FixedOffset>, EmulatorError> {
        let cell = self.cell(column)?;
        DateTime::parse_from_rfc3339(cell).map_err(|error| {
            problem(
                self.line,
                format!("\"{cell}\" is no time like 2016-08-01T07:00:00-08:00 ({error})"),
            )
        })
    }

    fn number(&self, column: usize) -> Result<f64, EmulatorError> {
        let cell = self.cell(column)?;
        match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(problem(self.line, format!("\"{cell}\" is not a number"))),
        }
    }

    fn energy_wh(&self, column: usize) -> Result<f64, EmulatorError> {
        let kwh = self.number(column)?;
        if (0.0..=1_000.0).contains(&kwh) {
            return Ok((kwh * 1_000_000.0).round() / 1_000.0);
        }
        Err(problem(self.line, format!("{kwh} kWh in an hour; a home has from 0 to 1000")))
    }
}

fn problem(line: usize, problem: impl Into<String>) -> EmulatorError {
    EmulatorError::Data { line, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::Timestamp;

    use super::*;

    fn hour(text: &str, dataset: &Dataset) -> LocalHour {
        let moment: Timestamp = DateTime::parse_from_rfc3339(text).unwrap().to_utc().into();
        LocalHour::of(moment, dataset.offset()).0
    }

    #[test]
    fn the_built_in_year_is_found_by_month_day_and_hour_of_any_year() {
        let fontana = Dataset::fontana().unwrap();
        assert_eq!(fontana.home_count(), 5);
        let morning = hour("2026-08-01T08:00:00-08:00", &fontana);
        assert_eq!(fontana.load(0, morning), WattHours(627.0));
        assert_eq!(fontana.solar(4, morning), WattHours(1_933.0));
        assert_eq!(fontana.conditions(morning).price_usd_per_kwh, 0.22);
        assert_eq!(fontana.pv_rated(3), Watts(5_000.0));
    }

    #[test]
    fn the_29th_of_february_is_lived_as_the_28th() {
        let fontana = Dataset::fontana().unwrap();
        for home in 0..5 {
            let leap = hour("2028-02-29T18:00:00-08:00", &fontana);
            let before = hour("2028-02-28T18:00:00-08:00", &fontana);
            assert_eq!(fontana.load(home, leap), fontana.load(home, before));
        }
    }

    #[test]
    fn a_single_day_of_one_home_fills_the_year() {
        let mut text = String::from("hour_start,load1_kwh\n");
        for hour in 0..24 {
            text.push_str(&format!("2026-05-05T{hour:02}:00:00+02:00,0.{hour}\n"));
        }
        let dataset = Dataset::parse(&text).unwrap();
        assert_eq!(dataset.home_count(), 1);
        let winter = hour("2030-12-24T07:30:00+02:00", &dataset);
        assert_eq!(dataset.load(0, winter), WattHours(700.0));
        assert_eq!(dataset.solar(0, winter), WattHours::ZERO);
    }

    #[test]
    fn a_wrong_file_is_named_by_line_and_told_what_is_expected() {
        for (text, line, expected) in [
            ("", 1, "hour_start"),
            ("a,b\n", 1, "hour_start"),
            ("hour_start,load2_kwh\n", 1, "load1_kwh"),
            ("hour_start,load1_kwh\n", 2, "no row"),
            ("hour_start,load1_kwh\n2026-01-01T00:00:00Z\n", 2, "fewer than the header"),
            ("hour_start,load1_kwh\n1 January,1\n", 2, "2016-08-01T07:00:00-08:00"),
            ("hour_start,load1_kwh\n2026-01-01T00:00:00Z,NaN\n", 2, "not a number"),
            ("hour_start,load1_kwh\n2026-01-01T00:00:00Z,-1\n", 2, "from 0 to 1000"),
            ("hour_start,load1_kwh\n2026-01-01T00:00:00Z,1\n", 2, "01:00"),
        ] {
            let message = Dataset::parse(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("line {line} ")), "{text:?}: {message}");
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
