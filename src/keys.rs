//! The keys folder: a certificate authority of one's own, the server's certificate, and client
//! certificates for HEMs. Nothing that exists is ever overwritten.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use memcloud_domain::HemId;
use memcloud_supervision::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::ServerName;

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
    #[error("cannot {doing} {}{}", path.display(), advice(doing))]
    Io {
        /// What was tried: `write`, `read`, `create the folder`.
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
/// two, for localhost, 127.0.0.1, ::1 and these names. Keys are ECDSA P-256, readable by their owner
/// alone.
///
/// # Errors
/// [`KeysError`]; when any of the files exists, none is made.
pub fn make(dir: &Path, names: &[String]) -> Result<Made, KeysError> {
    let made = Made::at(dir);
    let files = [&made.ca_key, &made.ca_certificate, &made.private_key, &made.certificate];
    refuse_existing(&files)?;
    let names = names_of(names)?;

    let ca_key = generate_key()?;
    let ca = authority()?;
    let ca_certificate = ca
        .self_signed(&ca_key)
        .map_err(|source| failed("the authority's certificate could not be made", source))?;
    let issuer = Issuer::new(ca, &ca_key);

    let server_key = generate_key()?;
    let server = leaf("MEMCloud", names, ExtendedKeyUsagePurpose::ServerAuth, SERVER_DAYS)?;
    let server_certificate = server
        .signed_by(&server_key, &issuer)
        .map_err(|source| failed("the server's certificate could not be made", source))?;

    create_folder(dir)?;
    write_all(&[
        NewFile::secret(&made.ca_key, ca_key.serialize_pem()),
        NewFile::public(&made.ca_certificate, ca_certificate.pem()),
        NewFile::secret(&made.private_key, server_key.serialize_pem()),
        NewFile::public(&made.certificate, server_certificate.pem()),
    ])?;
    Ok(made)
}

/// Signs a client certificate for a HEM with the folder's authority, valid for two years:
/// `<hem>-cert.pem` and `<hem>-key.pem` in the folder `out`.
///
/// # Errors
/// [`KeysError`]; when a file of that name exists, nothing is made.
pub fn sign_hem(dir: &Path, hem: &HemId, out: &Path) -> Result<SignedHem, KeysError> {
    let folder = Made::at(dir);
    let signed = SignedHem {
        certificate: out.join(format!("{hem}-cert.pem")),
        private_key: out.join(format!("{hem}-key.pem")),
    };
    refuse_existing(&[&signed.private_key, &signed.certificate])?;

    let ca_key = KeyPair::from_pem(&read(&folder.ca_key)?).map_err(|source| {
        failed(&format!("{} holds no usable private key", folder.ca_key.display()), source)
    })?;
    let issuer =
        Issuer::from_ca_cert_pem(&read(&folder.ca_certificate)?, ca_key).map_err(|source| {
            let path = folder.ca_certificate.display();
            failed(&format!("{path} holds no usable authority"), source)
        })?;

    let key = generate_key()?;
    let client = leaf(hem.as_str(), Vec::new(), ExtendedKeyUsagePurpose::ClientAuth, HEM_DAYS)?;
    let certificate = client
        .signed_by(&key, &issuer)
        .map_err(|source| failed("the HEM's certificate could not be made", source))?;

    create_folder(out)?;
    write_all(&[
        NewFile::secret(&signed.private_key, key.serialize_pem()),
        NewFile::public(&signed.certificate, certificate.pem()),
    ])?;
    Ok(signed)
}

const READ: &str = "read";

fn advice(doing: &str) -> &'static str {
    if doing == READ { "; `memcloud keys` makes the keys folder" } else { "" }
}

const AUTHORITY_DAYS: u64 = 3_652;
/// Clients on phones and desktops refuse servers' certificates that last longer than 825 days.
const SERVER_DAYS: u64 = 730;
const HEM_DAYS: u64 = 730;
const DAY: Duration = Duration::from_hours(24);

fn failed(what: &str, source: rcgen::Error) -> KeysError {
    KeysError::Certificate { what: what.to_owned(), source }
}

fn generate_key() -> Result<KeyPair, KeysError> {
    KeyPair::generate().map_err(|source| failed("a private key could not be generated", source))
}

fn names_of(extra: &[String]) -> Result<Vec<String>, KeysError> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for name in extra {
        // A wildcard stands only for a whole first label.
        let checked = name.strip_prefix("*.").unwrap_or(name);
        if ServerName::try_from(checked).is_err() {
            return Err(KeysError::BadName { name: name.chars().take(80).collect() });
        }
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Valid from a day ago, for devices whose clock lags.
fn set_validity(params: &mut CertificateParams, days: u64) {
    let unix_ms = u64::try_from(Clock::system().unix_ms()).unwrap_or(0);
    let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(unix_ms);
    params.not_before = now - DAY;
    params.not_after = now + Duration::from_secs(DAY.as_secs() * days);
}

fn authority() -> Result<CertificateParams, KeysError> {
    let mut params = CertificateParams::new(Vec::new())
        .map_err(|source| failed("the authority cannot be described", source))?;
    params.distinguished_name.push(DnType::CommonName, "MEMCloud authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_validity(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn leaf(
    common_name: &str,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
    days: u64,
) -> Result<CertificateParams, KeysError> {
    let mut params = CertificateParams::new(names)
        .map_err(|source| failed("the names cannot stand in a certificate", source))?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, days);
    Ok(params)
}

fn refuse_existing(paths: &[&PathBuf]) -> Result<(), KeysError> {
    for path in paths {
        if path.symlink_metadata().is_ok() {
            return Err(KeysError::Exists { path: (*path).clone() });
        }
    }
    Ok(())
}

fn create_folder(dir: &Path) -> Result<(), KeysError> {
    std::fs::create_dir_all(dir).map_err(|source| KeysError::Io {
        doing: "create the folder",
        path: dir.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, KeysError> {
    std::fs::read_to_string(path).map_err(|source| KeysError::Io {
        doing: READ,
        path: path.to_owned(),
        source,
    })
}

struct NewFile<'a> {
    path: &'a Path,
    mode: u32,
    text: String,
}

impl<'a> NewFile<'a> {
    fn secret(path: &'a Path, text: String) -> Self {
        Self { path, mode: 0o600, text }
    }

    fn public(path: &'a Path, text: String) -> Self {
        Self { path, mode: 0o644, text }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(self.mode).open(self.path)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()
    }
}

/// Writes all of the files or, as far as it can, none.
fn write_all(files: &[NewFile<'_>]) -> Result<(), KeysError> {
    for (index, file) in files.iter().enumerate() {
        let Err(source) = file.write() else { continue };
        let exists = source.kind() == ErrorKind::AlreadyExists;
        // What this call made goes again; what someone else made meanwhile stays.
        let own = files.iter().take(if exists { index } else { index + 1 });
        for made in own {
            let _ = std::fs::remove_file(made.path);
        }
        let path = file.path.to_owned();
        return Err(if exists {
            KeysError::Exists { path }
        } else {
            KeysError::Io { doing: "write", path, source }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    fn roots(path: &Path) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
        roots
    }

    fn chain(
        certificate: &Path,
        key: &Path,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificates =
            CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
        (certificates, PrivateKeyDer::from_pem_file(key).unwrap())
    }

    /// Shakes hands in memory; the server asks for a client certificate of the same authority.
    fn shake_hands(made: &Made, signed: &SignedHem, name: &str) -> Result<(), rustls::Error> {
        let (certificates, key) = chain(&made.certificate, &made.private_key);
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots(&made.ca_certificate)),
            provider(),
        )
        .build()
        .unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(certificates, key)?;
        let (certificates, key) = chain(&signed.certificate, &signed.private_key);
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(&made.ca_certificate))
            .with_client_auth_cert(certificates, key)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_client_that_trusts_the_authority_shakes_hands_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("keys");
        let made = make(&dir, &["mem.example.org".to_owned(), "10.1.2.3".to_owned()]).unwrap();
        let signed = sign_hem(&dir, &HemId::new("home-1").unwrap(), &dir).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "mem.example.org", "10.1.2.3"] {
            shake_hands(&made, &signed, name).unwrap();
        }
        assert!(shake_hands(&made, &signed, "elsewhere.example.org").is_err());
    }

    #[test]
    fn a_certificate_of_another_authority_is_not_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        let made = make(&ours, &[]).unwrap();
        make(&theirs, &[]).unwrap();
        let forged = sign_hem(&theirs, &HemId::new("home-1").unwrap(), &theirs).unwrap();
        assert!(shake_hands(&made, &forged, "localhost").is_err());
    }

    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = make(folder.path(), &[]).unwrap();
        let signed =
            sign_hem(folder.path(), &HemId::new("home-1").unwrap(), folder.path()).unwrap();
        for path in [made.ca_key, made.private_key, signed.private_key] {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_exists_is_never_overwritten_and_nothing_is_made_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("public-cert.pem");
        std::fs::write(&certificate, "mine").unwrap();
        assert!(!is_empty(folder.path()));
        let error = make(folder.path(), &[]).unwrap_err();
        assert!(matches!(&error, KeysError::Exists { path } if *path == certificate), "{error}");
        assert_eq!(std::fs::read_to_string(&certificate).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = make(folder.path(), &["two words".to_owned()]).unwrap_err();
        assert!(matches!(error, KeysError::BadName { .. }), "{error}");
        assert!(is_empty(folder.path()));
    }

    #[test]
    fn a_hem_cannot_be_signed_without_an_authority() {
        let folder = tempfile::tempdir().unwrap();
        let hem = HemId::new("home-1").unwrap();
        let error = sign_hem(folder.path(), &hem, folder.path()).unwrap_err();
        assert!(error.to_string().contains("ca-key.pem"), "{error}");
    }
}
