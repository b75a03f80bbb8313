//! The report on a terminal: what the microgrid did with control and without, the homes below it, and
//! what became of the commands. Wide where there is room, narrow where there is not.

use super::report::{Comparison, Figures, HomeReport, Report};

/// From this width on the homes stand beside each other.
const WIDE: usize = 100;
/// The widest name of a figure.
const NAME: usize = 22;
/// The width of a column of numbers.
const COLUMN: usize = 13;

/// A figure as it is shown.
struct Row {
    name: &'static str,
    unit: String,
    places: usize,
    of: fn(&Figures) -> Option<f64>,
    /// Whether it is shown only where it is not zero everywhere.
    rare: bool,
}

impl Row {
    fn new(
        name: &'static str,
        unit: impl Into<String>,
        places: usize,
        of: fn(&Figures) -> Option<f64>,
    ) -> Self {
        Self { name, unit: unit.into(), places, of, rare: false }
    }

    fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    fn shown(&self, figures: &Figures) -> String {
        match (self.of)(figures) {
            Some(value) => grouped(value, self.places),
            None => "-".to_owned(),
        }
    }

    fn label(&self) -> String {
        format!("{} {}", self.name, self.unit)
    }

    /// The change, in percent of the figure without control.
    fn change(&self, compared: &Comparison) -> String {
        let (Some(control), Some(without)) =
            ((self.of)(&compared.control), (self.of)(&compared.without))
        else {
            return String::new();
        };
        if self.unit == "%" {
            return format!("{:+.1} pp", control - without);
        }
        if without.abs() < 1e-9 {
            return String::new();
        }
        format!("{:+.1} %", (control - without) / without.abs() * 100.0)
    }
}

fn rows(currency: &str) -> Vec<Row> {
    let percent = "%";
    vec![
        Row::new("consumption", "kWh", 1, |figures| Some(figures.consumption_wh / 1_000.0)),
        Row::new("generation", "kWh", 1, |figures| Some(figures.generation_wh / 1_000.0)),
        Row::new("import", "kWh", 1, |figures| Some(figures.import_wh / 1_000.0)),
        Row::new("export", "kWh", 1, |figures| Some(figures.export_wh / 1_000.0)),
        Row::new("cost", currency, 2, |figures| Some(figures.cost)),
        Row::new("carbon", "kg", 1, |figures| Some(figures.carbon_kg)),
        Row::new("self-consumption", percent, 1, |figures| {
            figures.self_consumption.map(|share| share * 100.0)
        }),
        Row::new("self-sufficiency", percent, 1, |figures| {
            figures.self_sufficiency.map(|share| share * 100.0)
        }),
        Row::new("peak import", "kW", 2, |figures| Some(figures.peak_import_watts / 1_000.0)),
        Row::new("peak export", "kW", 2, |figures| Some(figures.peak_export_watts / 1_000.0)),
        Row::new("ramping", "kW", 3, |figures| Some(figures.ramping_watts / 1_000.0)),
        Row::new("battery cycles", "", 1, |figures| Some(figures.battery_cycles)),
        Row::new("asked in the island", "kWh", 2, |figures| {
            Some(figures.island_demand_wh / 1_000.0)
        })
        .rare(),
        Row::new("unserved in it", "kWh", 2, |figures| Some(figures.island_unserved_wh / 1_000.0))
            .rare(),
        Row::new("spilled in it", "kWh", 2, |figures| Some(figures.island_spilled_wh / 1_000.0))
            .rare(),
    ]
}

/// The report in lines for a terminal of a width.
#[must_use]
pub fn lines(report: &Report, width: usize) -> Vec<String> {
    let scenario = &report.scenario;
    let mut lines = vec![
        scenario.title.clone(),
        format!(
            "{} to {}, a step of {} s, seed {}",
            short(&scenario.from),
            short(&scenario.until),
            scenario.step_seconds,
            scenario.seed
        ),
        format!("tariff: {}", scenario.tariff_source),
    ];
    if !scenario.complete {
        lines.push("stopped before its end; these are the figures so far".to_owned());
    }
    lines.push(String::new());
    let rows = rows(&scenario.currency);
    lines.push(format!(
        "{:NAME$} {:>COLUMN$} {:>COLUMN$} {:>10}",
        "the microgrid", "control", "without", "change"
    ));
    lines.extend(compared(&rows, &report.microgrid));
    if width >= WIDE {
        lines.extend(homes_beside_each_other(&rows, &report.homes, width));
    } else {
        for home in &report.homes {
            lines.push(String::new());
            lines.push(format!(
                "{:NAME$} {:>COLUMN$} {:>COLUMN$} {:>10}",
                home.hem.as_str(),
                "control",
                "without",
                "change"
            ));
            lines.extend(compared(&rows, &home.figures));
        }
    }
    lines.push(String::new());
    lines.extend(closing(report));
    lines
}

fn compared(rows: &[Row], compared: &Comparison) -> Vec<String> {
    let is_shown = |row: &&Row| {
        !row.rare
            || [&compared.control, &compared.without]
                .iter()
                .any(|figures| (row.of)(figures).is_some_and(|value| value != 0.0))
    };
    rows.iter()
        .filter(is_shown)
        .map(|row| {
            format!(
                "{:NAME$} {:>COLUMN$} {:>COLUMN$} {:>10}",
                row.label(),
                row.shown(&compared.control),
                row.shown(&compared.without),
                row.change(compared)
            )
            .trim_end()
            .to_owned()
        })
        .collect()
}

/// Each home's figures with control, and in brackets without.
fn homes_beside_each_other(rows: &[Row], homes: &[HomeReport], width: usize) -> Vec<String> {
    const PAIR: usize = 22;
    let at_a_time = (width.saturating_sub(NAME) / PAIR).max(1);
    let mut lines = Vec::new();
    for group in homes.chunks(at_a_time) {
        lines.push(String::new());
        let mut head = format!("{:NAME$}", "control (without)");
        for home in group {
            head.push_str(&format!("{:>PAIR$}", home.hem.as_str()));
        }
        lines.push(head);
        for row in rows.iter().filter(|row| !row.rare) {
            let mut line = format!("{:NAME$}", row.label());
            for home in group {
                let control = row.shown(&home.figures.control);
                let pair = format!("{control} ({})", row.shown(&home.figures.without));
                line.push_str(&format!("{pair:>PAIR$}"));
            }
            lines.push(line);
        }
    }
    lines
}

fn closing(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let commands = &report.commands;
    if commands.total > 0 {
        let states: Vec<String> = commands
            .states
            .iter()
            .map(|(state, count)| format!("{} {state}", whole(*count)))
            .collect();
        lines.push(format!("commands: {} ({})", whole(commands.total), states.join(", ")));
    } else {
        lines.push("commands: none".to_owned());
    }
    for job in &report.jobs {
        let state = match &job.state {
            memcloud_domain::JobState::Failed { reason, .. } => format!("failed: {reason}"),
            _ => "ran to the end".to_owned(),
        };
        lines.push(format!("job {} (priority {}): {state}", job.app, job.priority));
        lines.extend(job.complaints.iter().map(|complaint| format!("  {complaint}")));
    }
    let telemetry = &report.telemetry;
    lines.push(format!(
        "readings: {} taken, {} stored, {} not acknowledged at the end",
        whole(telemetry.readings),
        whole(telemetry.stored),
        whole(telemetry.unacknowledged)
    ));
    if let Some(audit) = &telemetry.accounting {
        lines.push(format!(
            "accounted: {} of {} kWh consumed, {} of {} kWh imported by the homes",
            grouped(audit.consumption_wh / 1_000.0, 3),
            grouped(audit.metered_consumption_wh / 1_000.0, 3),
            grouped(audit.import_wh / 1_000.0, 3),
            grouped(audit.metered_import_wh / 1_000.0, 3),
        ));
    }
    lines
}

/// A local time without its seconds and offset.
fn short(rfc3339: &str) -> String {
    rfc3339.get(..16).unwrap_or(rfc3339).replace('T', " ")
}

fn whole(count: u64) -> String {
    group(&count.to_string())
}

/// A number with commas between its thousands.
pub(super) fn grouped(value: f64, places: usize) -> String {
    let text = format!("{:.places$}", value.abs());
    let (integer, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    let integer = group(integer);
    if places == 0 { format!("{sign}{integer}") } else { format!("{sign}{integer}.{fraction}") }
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_no_zero_has_a_sign() {
        assert_eq!(grouped(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(grouped(-1_000.0, 0), "-1,000");
        assert_eq!(grouped(-0.001, 2), "0.00");
        assert_eq!(grouped(999.0, 1), "999.0");
    }
}
