//! `memcloud hem`: the homes' energy managers.

use clap::Subcommand;
use memcloud_domain::{HemId, MicrogridId};
use memcloud_registry::{ListHems, RegisterHem};

use super::{clerk, pages, print, say};
use crate::config::Configuration;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a HEM; its device key is printed alone on standard output, this once.
    Register {
        /// Its id: a-z, 0-9, '_' and '-', at most 63.
        hem: HemId,
        /// Whose it is.
        #[arg(long, value_name = "ID")]
        microgrid: MicrogridId,
        /// Its name, for people [default: its id].
        #[arg(long)]
        name: Option<String>,
    },
    /// List the HEMs: id, microgrid, key, name.
    List {
        /// Only those of this microgrid.
        #[arg(long, value_name = "ID")]
        microgrid: Option<MicrogridId>,
    },
}

pub(super) fn run(configuration: &Configuration, command: &Command) -> anyhow::Result<()> {
    let clerk = clerk(configuration)?;
    match command {
        Command::Register { hem, microgrid, name } => {
            let issued = clerk.carry_out(RegisterHem {
                id: hem.clone(),
                microgrid: microgrid.clone(),
                name: name.clone(),
            })?;
            print(issued.key.expose())
        }
        Command::List { microgrid } => {
            let hems =
                pages(|page| clerk.carry_out(ListHems { microgrid: microgrid.clone(), page }))?;
            if hems.is_empty() {
                say(format_args!(
                    "there are no HEMs in {}; register one with `memcloud hem register HEM --microgrid ID`",
                    configuration.data.dir.display()
                ));
            }
            for hem in hems {
                print(format_args!(
                    "{:<24}  {:<24}  {:<11}  {}",
                    hem.id,
                    hem.microgrid,
                    hem.key.as_str(),
                    hem.name
                ))?;
            }
            Ok(())
        }
    }
}
