//! The TLS side of the listener: files to an acceptor, and the name in a client certificate.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use actix_tls::accept::rustls_0_23::Acceptor;
use memcloud_domain::HemId;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{HemError, TlsFiles};

/// What the TLS files hold, unread.
pub(crate) struct TlsBytes {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsBytes {
    /// Reads the files; blocks.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, HemError> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            private_key: read(&files.private_key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Tells one content of the files from another, without keeping the key.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.private_key, &self.client_ca).hash(&mut hasher);
        hasher.finish()
    }

    /// Makes an acceptor of them.
    pub(crate) fn acceptor(&self, files: &TlsFiles) -> Result<Acceptor, HemError> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.private_key)
            .map_err(|error| bad_file(&files.private_key, "private key", error))?;
        let refused = |source: rustls::Error| HemError::Tls {
            certificate: files.certificate.clone(),
            private_key: files.private_key.clone(),
            source,
        };

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(refused)?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(bytes), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(bytes, path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| bad_file(path, "certificate authority", error))?;
                }
                // A HEM without a certificate may still come with its key.
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| bad_file(path, "certificate authority", error))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(refused)?;
        // Tickets keep no memory here; one is enough for a HEM that comes back.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(refused)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0;
        Ok(Acceptor::new(config))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, HemError> {
    std::fs::read(path).map_err(|source| HemError::ReadFile { path: path.to_owned(), source })
}

fn bad_file(path: &Path, what: &'static str, reason: impl ToString) -> HemError {
    HemError::BadFile { path: path.to_owned(), what, reason: reason.to_string() }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, HemError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad_file(path, "certificate", error))?;
    if chain.is_empty() {
        return Err(bad_file(path, "certificate", "there is none in it"));
    }
    Ok(chain)
}

/// The HEM's id in a verified client certificate: its common name, where that is an id.
pub(crate) fn certified_hem(certificate: &CertificateDer<'_>) -> Option<HemId> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    HemId::new(name).ok()
}
