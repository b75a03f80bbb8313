//! The cloud's side of the socket protocol in a page, over real TLS: enough to see what a fleet says.
//! It stores in memory and acknowledges at once; `memcloud`'s own tests use the real one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use memcloud_domain::{HemId, MicrogridId, NodeReading, Secret, Seq, Timestamp};
use memcloud_wire::{
    Ack, CloudError, CloudFrame, Command, CommandResult, ErrorCode, Event, Greeting, HemFrame,
    SampleTime, Welcome,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// The one token that it takes.
pub(crate) const TOKEN: &str = "good";

/// What it knows of a HEM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) readings: Vec<(Seq, Timestamp, Vec<NodeReading>)>,
    pub(crate) events: Vec<Event>,
    pub(crate) mark: Seq,
    pub(crate) enrolments: usize,
    pub(crate) welcomes: usize,
    pub(crate) nodes: usize,
    /// What was sent to it, and is sent again after a welcome while it is unanswered.
    pub(crate) commands: Vec<Command>,
    pub(crate) results: Vec<CommandResult>,
    outbox: Option<mpsc::UnboundedSender<Command>>,
}

type Shelf = Arc<Mutex<BTreeMap<HemId, Stored>>>;

/// A running stand-in.
pub(crate) struct StandInCloud {
    pub(crate) port: u16,
    pub(crate) ca_file: PathBuf,
    shelf: Shelf,
    _folder: tempfile::TempDir,
}

impl StandInCloud {
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca-cert.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shelf = Shelf::default();
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), shelf.clone()));
        Self { port, ca_file, shelf, _folder: folder }
    }

    pub(crate) fn stored(&self, hem: &str) -> Stored {
        self.shelf.lock().unwrap().get(&HemId::new(hem).unwrap()).cloned().unwrap_or_default()
    }

    pub(crate) fn send(&self, hem: &str, command: Command) {
        let mut shelf = self.shelf.lock().unwrap();
        let stored = shelf.entry(HemId::new(hem).unwrap()).or_default();
        stored.commands.push(command.clone());
        if let Some(outbox) = &stored.outbox {
            let _ = outbox.send(command);
        }
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shelf: Shelf) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, tls.clone(), shelf.clone()));
    }
}

async fn serve(socket: TcpStream, tls: TlsAcceptor, shelf: Shelf) {
    if let Ok(stream) = tls.accept(socket).await {
        // A client that goes away in the middle is its own affair.
        let _ = converse(stream, &shelf).await;
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shelf: &Shelf,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let greeting = Greeting::decode(line.trim_ascii_end()).unwrap();
    let hem = greeting.hem.unwrap();
    let known = greeting.key.as_ref().is_some_and(|key| key.expose() == hem.as_str());
    let enrols = greeting.enrol.as_ref().is_some_and(|token| token.expose() == TOKEN);
    let mut out = Vec::new();
    if !known && !enrols {
        let error = CloudError {
            code: ErrorCode::Unauthorised,
            text: "no such key or token".to_owned(),
            seq: None,
            retry_after_ms: None,
        };
        CloudFrame::Error(error).encode(&mut out);
        stream.write_all(&out).await?;
        return stream.shutdown().await;
    }
    let (outbox, mut orders) = mpsc::unbounded_channel();
    let mark = {
        let mut shelf = shelf.lock().unwrap();
        let stored = shelf.entry(hem.clone()).or_default();
        stored.enrolments += usize::from(!known);
        stored.welcomes += 1;
        stored.nodes = greeting.nodes.unwrap().map_or(0, |nodes| nodes.len());
        for command in &stored.commands {
            if stored.results.iter().all(|result| result.command != command.command) {
                let _ = outbox.send(command.clone());
            }
        }
        stored.outbox = Some(outbox);
        stored.mark
    };
    let welcome = Welcome {
        hem: hem.clone(),
        microgrid: MicrogridId::new("street").unwrap(),
        time: Timestamp(0),
        seq: mark,
        heartbeat_s: 30,
        max_in_flight: 1_000,
        max_batch: 500,
        max_frame: 524_288,
        key: (!known).then(|| Secret::new(hem.as_str())),
    };
    CloudFrame::Welcome(welcome).encode(&mut out);
    stream.write_all(&out).await?;
    line.clear();
    loop {
        out.clear();
        let read = tokio::select! {
            read = stream.read_until(b'\n', &mut line) => read?,
            Some(command) = orders.recv() => {
                CloudFrame::Command(command).encode(&mut out);
                stream.write_all(&out).await?;
                continue;
            }
        };
        if read == 0 {
            return Ok(());
        }
        match HemFrame::decode(line.trim_ascii_end(), 500).unwrap() {
            HemFrame::Ping => CloudFrame::Pong.encode(&mut out),
            frame => {
                if let Some(seq) = store(shelf, &hem, frame) {
                    CloudFrame::Ack(Ack { seq }).encode(&mut out);
                }
            }
        }
        line.clear();
        stream.write_all(&out).await?;
    }
}

/// Stores what has a number; the number up to which all is stored then.
fn store(shelf: &Shelf, hem: &HemId, frame: HemFrame) -> Option<Seq> {
    let mut shelf = shelf.lock().unwrap();
    let stored = shelf.get_mut(hem).unwrap();
    let samples = match frame {
        HemFrame::Reading(sample) => vec![sample],
        HemFrame::Batch(items) => items.into_iter().map(Result::unwrap).collect(),
        HemFrame::Event(event) => {
            assert_eq!(event.seq.0, stored.mark.0 + 1);
            stored.mark = event.seq;
            stored.events.push(event);
            Vec::new()
        }
        HemFrame::Result(result) => {
            stored.results.push(result);
            return None;
        }
        _ => return None,
    };
    for sample in samples {
        assert_eq!(sample.seq.0, stored.mark.0 + 1, "a HEM's numbers have no gap");
        stored.mark = sample.seq;
        let SampleTime::At(ts) = sample.time else { panic!("the emulator has a clock") };
        stored.readings.push((sample.seq, ts, sample.nodes));
    }
    Some(stored.mark)
}
