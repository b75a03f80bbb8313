//! How a HEM reaches the cloud: by TLS, or by whatever a test puts in its place.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::SdkError;

/// A connection in both directions.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection that is being opened.
pub type Connecting<'a> =
    Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send + 'a>>;

/// Opens connections to the cloud.
pub trait Transport: Send + Sync + 'static {
    /// Opens one.
    fn connect(&self) -> Connecting<'_>;
}

/// A client certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, its common name the HEM's id.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A TLS configuration that trusts one certificate authority, by rustls with ring. Share it among HEMs.
///
/// # Errors
/// [`SdkError::Tls`] where a file cannot be read or holds nothing usable.
pub fn trust(
    ca_file: &Path,
    client: Option<&ClientCertificate>,
) -> Result<Arc<ClientConfig>, SdkError> {
    let unusable = |what: &Path, reason: &dyn std::fmt::Display| SdkError::Tls {
        what: what.display().to_string(),
        reason: reason.to_string(),
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(ca_file).map_err(|error| unusable(ca_file, &error))?
    {
        let certificate = certificate.map_err(|error| unusable(ca_file, &error))?;
        roots.add(certificate).map_err(|error| unusable(ca_file, &error))?;
    }
    if roots.is_empty() {
        return Err(unusable(ca_file, &"it holds no certificate"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(ca_file, &error))?
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = CertificateDer::pem_file_iter(&files.certificate)
                .and_then(Iterator::collect)
                .map_err(|error| unusable(&files.certificate, &error))?;
            let key = PrivateKeyDer::from_pem_file(&files.key)
                .map_err(|error| unusable(&files.key, &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(&files.certificate, &error))?
        }
    };
    Ok(Arc::new(config))
}

/// TLS over TCP to one address.
#[derive(Clone)]
pub struct TlsTransport {
    address: Arc<str>,
    server_name: ServerName<'static>,
    connector: TlsConnector,
}

impl TlsTransport {
    /// A transport to `host:port`; the certificate must be for `host`.
    ///
    /// # Errors
    /// [`SdkError::Tls`] where the address has no port, or a host that no certificate can name.
    pub fn new(address: &str, config: Arc<ClientConfig>) -> Result<Self, SdkError> {
        let wrong = |reason: &str| SdkError::Tls {
            what: format!("the address {address}"),
            reason: reason.to_owned(),
        };
        let (host, _port) =
            address.rsplit_once(':').ok_or_else(|| wrong("it needs a port: host:23123"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self::with_server_name(address, host, config)
    }

    /// A transport to an address whose certificate is for another name.
    ///
    /// # Errors
    /// [`SdkError::Tls`] where no certificate can have that name.
    pub fn with_server_name(
        address: &str,
        server_name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Self, SdkError> {
        let server_name = ServerName::try_from(server_name.to_owned()).map_err(|error| {
            SdkError::Tls { what: format!("the host {server_name}"), reason: error.to_string() }
        })?;
        Ok(Self { address: Arc::from(address), server_name, connector: TlsConnector::from(config) })
    }
}

impl Transport for TlsTransport {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            let socket = TcpStream::connect(&*self.address).await?;
            socket.set_nodelay(true)?;
            let stream = self.connector.connect(self.server_name.clone(), socket).await?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }
}
