//! `memcloud keys`: the TLS keys of the server, and client certificates for HEMs.

use std::path::PathBuf;

use clap::Args;
use memcloud_domain::HemId;

use super::{print, say};
use crate::config::Configuration;
use crate::keys;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Sign a client certificate for this HEM with the folder's authority, instead of making the keys.
    #[arg(long, value_name = "HEM")]
    sign: Option<HemId>,
    /// The folder for the signed certificate and its key [default: the keys folder].
    #[arg(long, value_name = "FOLDER", requires = "sign")]
    out: Option<PathBuf>,
}

pub(super) fn run(configuration: &Configuration, options: &Options) -> anyhow::Result<()> {
    let folder = &configuration.keys.dir;
    let Some(hem) = &options.sign else {
        let made = keys::make(folder, &configuration.keys.names)?;
        say(format_args!(
            "made an authority and a server certificate in {}; clients trust",
            folder.display()
        ));
        return print(made.ca_certificate.display());
    };
    let signed = keys::sign_hem(folder, hem, options.out.as_deref().unwrap_or(folder))?;
    say(format_args!(
        "signed for {hem}; its key is {}. Set hem.client_ca to {} so that it is asked for",
        signed.private_key.display(),
        keys::Made::at(folder).ca_certificate.display()
    ));
    print(signed.certificate.display())
}
