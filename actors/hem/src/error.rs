//! Why the IoT unit cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What can go wrong in the IoT unit, for whoever starts it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HemError {
    /// The address cannot be listened on.
    #[error("cannot listen for HEMs on {address}; is it in use? set hem.bind to another address")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A TLS file cannot be read.
    #[error("cannot read {}; is keys.dir or hem.client_ca right?", path.display())]
    ReadFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A TLS file does not hold what it should.
    #[error("{} holds no usable {what}: {reason}", path.display())]
    BadFile {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not go together, or TLS refuses them.
    #[error("the certificate {} cannot be used with the key {}", certificate.display(), private_key.display())]
    Tls {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A setting makes no sense.
    #[error("hem.{key} must be {must}")]
    Setting {
        /// Which setting.
        key: &'static str,
        /// What it must be.
        must: &'static str,
    },
}
