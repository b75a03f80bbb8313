//! `memcloud token`: the bearer tokens of people and programs.

use clap::{Subcommand, ValueEnum};
use memcloud_domain::{Access, MicrogridId, Role};
use memcloud_registry::{ApiToken, CreateApiToken, ListApiTokens, PageRequest, RevokeApiToken};

use super::{clerk, pages, print, say};
use crate::config::Configuration;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token; it is printed alone on standard output, this once.
    Add {
        /// A name by which you will know it.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// The one microgrid that it holds for [default: all].
        #[arg(long, value_name = "ID")]
        microgrid: Option<MicrogridId>,
    },
    /// List the tokens: id, role, microgrid, name. What they are is not kept.
    List,
    /// Revoke a token, by its id or its name; a running server refuses it within 5 seconds.
    Revoke {
        /// Its id or name, as `token list` shows it.
        token: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Sees.
    Viewer,
    /// Sees, and runs: commands, jobs.
    Operator,
    /// Sees, runs, and changes what there is.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Admin => Self::Admin,
        }
    }
}

pub(super) fn run(configuration: &Configuration, command: &Command) -> anyhow::Result<()> {
    let clerk = clerk(configuration)?;
    match command {
        Command::Add { name, role, microgrid } => {
            let access = Access { role: (*role).into(), microgrid: microgrid.clone() };
            let issued = clerk.carry_out(CreateApiToken { name: name.clone(), access })?;
            print(issued.secret.expose())
        }
        Command::List => {
            let tokens = all(&clerk)?;
            if tokens.is_empty() {
                say(format_args!(
                    "there are no tokens in {}; make one with `memcloud token add --role admin NAME`",
                    configuration.data.dir.display()
                ));
            }
            for token in tokens {
                let microgrid = token.access.microgrid.as_ref().map_or("*", MicrogridId::as_str);
                print(format_args!(
                    "{}  {:<8}  {:<20}  {}",
                    token.id,
                    token.access.role.as_str(),
                    microgrid,
                    token.name
                ))?;
            }
            Ok(())
        }
        Command::Revoke { token } => {
            let matching: Vec<_> = all(&clerk)?
                .into_iter()
                .filter(|kept| kept.id.to_string() == *token || kept.name == *token)
                .collect();
            match matching.as_slice() {
                [] => anyhow::bail!("there is no token \"{token}\"; see `memcloud token list`"),
                [one] => {
                    clerk.carry_out(RevokeApiToken { id: one.id })?;
                    say(format_args!("revoked {} ({})", one.name, one.id));
                    Ok(())
                }
                several => anyhow::bail!(
                    "{} tokens are called \"{token}\"; name one by its id, see `memcloud token list`",
                    several.len()
                ),
            }
        }
    }
}

fn all(clerk: &memcloud_registry::Clerk) -> anyhow::Result<Vec<ApiToken>> {
    pages(|page: PageRequest| clerk.carry_out(ListApiTokens { page }))
}
