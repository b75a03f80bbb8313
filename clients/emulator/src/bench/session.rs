//! One bare connection: TLS, hello, welcome; then whatever the bench writes, and the frames that come
//! back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use memcloud_domain::{HemId, NodeDeclaration};
use memcloud_wire::{CloudFrame, Hello, HemFrame, LineDecoder, MAX_FRAME, PROTOCOL, Welcome};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Bench;

/// How long until the welcome must be there.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(60);
/// What the cloud says is short.
const READ_BYTES: usize = 2_048;

/// Where the cloud is.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) server_name: ServerName<'static>,
    pub(super) connector: TlsConnector,
}

/// Why a connection did not come about, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The cloud's code, or `connect`, `tls`, `lost`, `no-welcome`, `protocol`.
    pub(super) code: String,
    pub(super) text: String,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    fn of(code: &str, text: impl ToString) -> Self {
        Self { code: code.to_owned(), text: text.to_string(), retry_after: None }
    }

    fn lost(error: &io::Error) -> Self {
        Self::of("lost", error)
    }
}

/// A welcomed connection.
pub(super) struct Session {
    stream: TlsStream<TcpStream>,
    decoder: LineDecoder,
}

impl Session {
    /// Connects a HEM, with its key or, where it has none, the enrolment token.
    pub(super) async fn open(
        bench: &Bench,
        hem: &HemId,
        nodes: Option<Vec<NodeDeclaration>>,
    ) -> Result<(Self, Welcome), Failure> {
        tokio::time::timeout(WELCOME_TIMEOUT, Self::introduce(bench, hem, nodes))
            .await
            .unwrap_or_else(|_| Err(Failure::of("no-welcome", "no welcome within a minute")))
    }

    async fn introduce(
        bench: &Bench,
        hem: &HemId,
        nodes: Option<Vec<NodeDeclaration>>,
    ) -> Result<(Self, Welcome), Failure> {
        let target = &bench.target;
        let socket = TcpStream::connect(target.address)
            .await
            .map_err(|error| Failure::of("connect", error))?;
        socket.set_nodelay(true).map_err(|error| Failure::of("connect", error))?;
        let stream = target
            .connector
            .connect(target.server_name.clone(), socket)
            .await
            .map_err(|error| Failure::of("tls", error))?;
        let limit = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
        let mut session = Self { stream, decoder: LineDecoder::new(limit) };
        let key = bench.key_of(hem);
        let hello = Hello {
            protocol: PROTOCOL,
            hem: hem.clone(),
            enrol: if key.is_none() { bench.enrol.clone() } else { None },
            key,
            firmware: Some("memcloud-emulator bench".to_owned()),
            nodes,
        };
        let mut line = Vec::new();
        HemFrame::Hello(Box::new(hello)).encode(&mut line);
        session.write(&line).await?;
        loop {
            for frame in session.read().await? {
                if let CloudFrame::Welcome(welcome) = frame {
                    if let Some(key) = &welcome.key {
                        bench.keep_key(hem, key.clone());
                    }
                    return Ok((session, welcome));
                }
            }
        }
    }

    /// Writes lines, all the way to the socket.
    pub(super) async fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(lines).await.map_err(|error| Failure::lost(&error))?;
        self.stream.flush().await.map_err(|error| Failure::lost(&error))
    }

    /// Waits for frames. A fatal error is a failure. May be dropped while it waits: nothing is lost.
    pub(super) async fn read(&mut self) -> Result<Vec<CloudFrame>, Failure> {
        let mut bytes = [0_u8; READ_BYTES];
        let length = self.stream.read(&mut bytes).await.map_err(|error| Failure::lost(&error))?;
        if length == 0 {
            return Err(Failure::of("lost", "the cloud closed the connection"));
        }
        let mut frames = Vec::new();
        let mut lines = self.decoder.lines(bytes.get(..length).unwrap_or_default());
        while let Some(line) =
            lines.next_line().map_err(|_| Failure::of("protocol", "a line without an end"))?
        {
            let Ok(frame) = CloudFrame::decode(line) else { continue };
            if let CloudFrame::Error(error) = &frame
                && error.code.is_fatal()
            {
                return Err(Failure {
                    code: error.code.as_str().to_owned(),
                    text: error.text.clone(),
                    retry_after: error.retry_after_ms.map(Duration::from_millis),
                });
            }
            frames.push(frame);
        }
        Ok(frames)
    }

    /// The frames that are there already.
    pub(super) fn read_at_once(&mut self) -> Result<Vec<CloudFrame>, Failure> {
        self.read().now_or_never().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Takes the connection down in good order.
    pub(super) async fn close(mut self) {
        // Best effort: the cloud notices a closed socket as well.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}
