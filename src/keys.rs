//! The keys folder: a certificate authority of one's own, the server's certificate, and client
//! certificates for HEMs. Nothing that exists is ever overwritten.

use std::path::{Path, PathBuf};

use memcloud_domain::HemId;

/// Why keys could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file that is to be made exists already.
    #[error("{} exists already and is not overwritten; move it away first, or choose another folder", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried: `write`, `read`, `create`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A name cannot stand in a certificate.
    #[error("\"{name}\" cannot stand in a certificate; give a DNS name or an IP address")]
    BadName {
        /// Which name.
        name: String,
    },
    /// A certificate or key is not what it should be, or could not be made.
    #[error("{what}")]
    Certificate {
        /// What failed.
        what: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// The files of a keys folder that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The authority's certificate: what clients trust.
    pub ca_certificate: PathBuf,
    /// The authority's private key.
    pub ca_key: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's private key.
    pub private_key: PathBuf,
}

impl Made {
    /// Where the files of a keys folder are, whether they exist or not.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            ca_certificate: dir.join("ca-cert.pem"),
            ca_key: dir.join("ca-key.pem"),
            certificate: dir.join("public-cert.pem"),
            private_key: dir.join("private-key.pem"),
        }
    }
}

/// A HEM's client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHem {
    /// The certificate; its common name is the HEM's id.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// Whether a folder holds none of the keys' files, so that they may be made there.
#[must_use]
pub fn is_empty(dir: &Path) -> bool {
    let made = Made::at(dir);
    ![made.ca_certificate, made.ca_key, made.certificate, made.private_key]
        .iter()
        .any(|path| path.symlink_metadata().is_ok())
}

/// Makes the keys folder: an authority valid for ten years and the server's certificate, valid for
/// two, for localhost, 127.0.0.1, ::1 and these names.
///
/// # Errors
/// [`KeysError`]; when any of the files exists, none is made.
pub fn make(dir: &Path, names: &[String]) -> Result<Made, KeysError> {
    let _ = (dir, names);
    todo!()
}

/// Signs a client certificate for a HEM with the folder's authority: `<hem>-cert.pem` and
/// `<hem>-key.pem` in the folder `out`.
///
/// # Errors
/// [`KeysError`]; when a file of that name exists, nothing is made.
pub fn sign_hem(dir: &Path, hem: &HemId, out: &Path) -> Result<SignedHem, KeysError> {
    let _ = (dir, hem, out);
    todo!()
}
