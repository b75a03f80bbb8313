//! `memcloud microgrid`: communities of homes, and the tokens with which new HEMs enrol.

use std::time::Duration;

use clap::Subcommand;
use memcloud_domain::{MicrogridId, PowerLimits, Timestamp};
use memcloud_registry::{CreateEnrolmentToken, CreateMicrogrid, ListMicrogrids, NewMicrogrid};
use memcloud_supervision::Clock;

use super::{clerk, pages, print, say};
use crate::config::Configuration;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a microgrid; its id is printed.
    Add {
        /// Its id: a-z, 0-9, '_' and '-', at most 63.
        id: MicrogridId,
        /// Its name, for people [default: its id].
        #[arg(long)]
        name: Option<String>,
        /// Its time zone, an IANA name such as America/Los_Angeles [default: UTC].
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
    },
    /// List the microgrids: id, time zone, name.
    List,
    /// Issue an enrolment token, with which HEMs without a key join; it is printed, this once.
    Enrol {
        /// The microgrid that they join.
        id: MicrogridId,
        /// How many HEMs may use it.
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it holds, e.g. 24h or 7d.
        #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = humantime::parse_duration)]
        expires: Duration,
    },
}

pub(super) fn run(configuration: &Configuration, command: &Command) -> anyhow::Result<()> {
    let clerk = clerk(configuration)?;
    match command {
        Command::Add { id, name, time_zone } => {
            let microgrid = clerk.carry_out(CreateMicrogrid(NewMicrogrid {
                id: id.clone(),
                name: name.clone().unwrap_or_else(|| id.to_string()),
                time_zone: time_zone.clone(),
                limits: PowerLimits::default(),
            }))?;
            print(microgrid.id)
        }
        Command::List => {
            let microgrids = pages(|page| clerk.carry_out(ListMicrogrids { page }))?;
            if microgrids.is_empty() {
                say(format_args!(
                    "there are no microgrids in {}; add one with `memcloud microgrid add ID`",
                    configuration.data.dir.display()
                ));
            }
            for microgrid in microgrids {
                print(format_args!(
                    "{:<24}  {:<24}  {}",
                    microgrid.id, microgrid.time_zone, microgrid.name
                ))?;
            }
            Ok(())
        }
        Command::Enrol { id, uses, expires } => {
            let issued = clerk.carry_out(CreateEnrolmentToken {
                microgrid: id.clone(),
                uses: Some(*uses),
                expires: Some(Timestamp(Clock::system().unix_ms()).plus(*expires)),
            })?;
            print(issued.secret.expose())
        }
    }
}
