//! `memcloud simulate`: runs a scenario in simulated time, and reports what control changes.

mod progress;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use memcloud_worker::AppCatalogue;

use self::progress::Progress;
use crate::simulate::scenario::{Overrides, Scenario, ScenarioError};
use crate::simulate::timeline::Span;
use crate::simulate::{self, plot, table};

/// How wide a report is where there is no terminal.
const USUAL_WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// What to simulate: a file as docs/SIMULATE.md explains, or one of the folder scenarios.
    #[arg(long, value_name = "FILE.toml")]
    scenario: PathBuf,
    /// Write report.json, and pictures, into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// So many days, instead of what the scenario says.
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// The seed, instead of the scenario's.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Draw this day as DATE.svg, in the folder of --out or the working directory.
    #[arg(long, value_name = "DATE")]
    plot: Option<String>,
    /// Draw so many days from that one on.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "plot")]
    plot_days: u32,
    /// Draw it into this file instead.
    #[arg(long, value_name = "FILE.svg", requires = "plot")]
    plot_to: Option<PathBuf>,
    /// Print the report as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let apps = AppCatalogue::standard();
    let overrides = Overrides { days: options.days, seed: options.seed };
    let scenario = Scenario::read(&options.scenario, overrides, &apps)?;
    let drawn = options.plot.as_deref().map(|day| plotted(day, options, &scenario)).transpose()?;
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let progress = Progress::start(&scenario)?;
    let finished = simulate::run(&scenario, apps, progress.watch());
    progress.end();
    let finished = finished?;
    let json = finished.report.to_json()?;
    let folder = options.out.as_deref().unwrap_or_else(|| Path::new("."));
    if options.out.is_some() {
        write(&folder.join("report.json"), &json)?;
    }
    if let (Some(span), Some(day)) = (drawn, &options.plot) {
        let usual = || folder.join(format!("{day}.svg"));
        let path = options.plot_to.clone().unwrap_or_else(usual);
        write(&path, &finished.plot(span))?;
    }
    if options.json {
        super::print(json.trim_end())?;
    } else {
        super::print(table::lines(&finished.report, width()).join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn plotted(day: &str, options: &Options, scenario: &Scenario) -> anyhow::Result<Span> {
    let span = plot::days(day, options.plot_days, scenario.time_zone)
        .map_err(|reason| anyhow::anyhow!("--plot: {reason}"))?;
    if span.from < scenario.from || span.until > scenario.until {
        let zone = scenario.time_zone;
        let shown = |moment: memcloud_domain::Timestamp| {
            moment.to_datetime().with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string()
        };
        return Err(ScenarioError::Value {
            key: "--plot".to_owned(),
            reason: format!(
                "{day} and {} days are not all simulated; it is {} to {}",
                options.plot_days,
                shown(scenario.from),
                shown(scenario.until)
            ),
        }
        .into());
    }
    Ok(span)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    super::say(format!("wrote {}", path.display()));
    Ok(())
}

fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return USUAL_WIDTH;
    }
    ratatui::crossterm::terminal::size().map_or(USUAL_WIDTH, |(columns, _)| usize::from(columns))
}
