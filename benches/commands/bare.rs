//! The bare limit: the same rows and the same bytes in one loop, with nothing between: no REST, no
//! actors, no dispatch, no protocol but the hello. Each turn reads every socket, writes what there is
//! to write in one transaction (new commands, those that go out next, those that were answered), and
//! then sends what it wrote as sent.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandRecord, CommandState, HemId, MicrogridId, Seq,
    Timestamp, Transition,
};
use memcloud_store::registry::{CommandStore, SqlRegistry};
use memcloud_supervision::Clock;
use memcloud_wire::{
    CloudFrame, Command, Greeting, HEARTBEAT_S, HemFrame, Instruction, LineDecoder, MAX_BATCH,
    MAX_FRAME, MAX_IN_FLIGHT, Welcome,
};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::load::{Outcome, Pace};
use crate::support::figures::float;

/// What one read takes at most, as in the cloud.
const READ_SIZE: usize = 32 << 10;
/// Where nothing is to be done, the loop rests this long.
const REST: Duration = Duration::from_micros(200);

/// Serves until it is killed. Says its port on standard output; commands once its input says so, and
/// prints what came of it.
pub(crate) fn serve(folder: &Path, keys: &Path, pace: &Pace) -> anyhow::Result<()> {
    let store = SqlRegistry::open(folder.join("web.db"))?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listener.set_nonblocking(true)?;
    crate::say(listener.local_addr()?.port())?;
    let may_command = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&may_command);
    std::thread::spawn(move || {
        let is_told = std::io::stdin().read_line(&mut String::new()).is_ok();
        told.store(is_told, Ordering::Release);
    });
    let mut server = Server {
        store,
        tls: tls(keys)?,
        listener,
        connections: Vec::new(),
        scratch: vec![0; READ_SIZE],
        clock: Clock::system(),
        made: 0,
        open: HashMap::new(),
        to_send: Vec::new(),
    };
    while !may_command.load(Ordering::Acquire) {
        server.admit()?;
        server.read_all()?;
        std::thread::sleep(REST);
    }
    let took = server.command(pace)?;
    crate::say(serde_json::to_string(&Outcome::of(took, pace.seconds))?)?;
    loop {
        server.read_all()?;
        std::thread::sleep(REST);
    }
}

fn tls(keys: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let files = memcloud::keys::Made::at(keys);
    let chain =
        CertificateDer::pem_file_iter(&files.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

struct Server {
    store: SqlRegistry,
    tls: Arc<ServerConfig>,
    listener: TcpListener,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    clock: Clock,
    /// How many commands there were.
    made: u64,
    /// What is under way, and when it was due.
    open: HashMap<String, (Arc<CommandRecord>, Instant)>,
    /// What was accepted in the turn before: the connection, and the command.
    to_send: Vec<(usize, Arc<CommandRecord>)>,
}

struct Connection {
    socket: TcpStream,
    tls: ServerConnection,
    decoder: LineDecoder,
    hem: Option<HemId>,
    /// The commands that it has answered.
    answers: Vec<String>,
}

impl Server {
    /// Commands for a while; how long each command took, in ms, that ended while it was measured.
    fn command(&mut self, pace: &Pace) -> anyhow::Result<Vec<f64>> {
        let begin = Instant::now();
        let from = begin + Duration::from_secs(pace.warmup_seconds);
        let until = from + Duration::from_secs(pace.seconds);
        let mut took = Vec::new();
        while Instant::now() < until {
            let mut answered = self.read_all()?;
            let ended: Vec<_> =
                answered.drain(..).filter_map(|command| self.open.remove(&command)).collect();
            let mut rows: Vec<_> =
                ended.iter().map(|(record, _)| self.acknowledged(record)).collect();
            let sending = std::mem::take(&mut self.to_send);
            let sending: Vec<_> =
                sending.into_iter().map(|(at, record)| (at, self.sent(&record))).collect();
            rows.extend(sending.iter().map(|(_, record)| Arc::clone(record)));
            self.accept(pace, begin, &mut rows)?;
            if rows.is_empty() {
                std::thread::sleep(REST);
                continue;
            }
            self.store.write_commands(&rows, &[])?;
            for (at, record) in sending {
                let frame = self.frame(&record);
                if let Some(open) = self.open.get_mut(record.id.as_str()) {
                    open.0 = record;
                }
                self.connections.get_mut(at).context("a HEM has gone")?.say(&frame)?;
            }
            let now = Instant::now();
            if (from..until).contains(&now) {
                took.extend(ended.iter().map(|(_, due)| (now - *due).as_secs_f64() * 1e3));
            }
        }
        Ok(took)
    }

    /// New commands: as many as are due, or as there may be.
    fn accept(
        &mut self,
        pace: &Pace,
        begin: Instant,
        rows: &mut Vec<Arc<CommandRecord>>,
    ) -> anyhow::Result<()> {
        loop {
            let due = match pace.rate {
                Some(rate) => begin + Duration::from_secs_f64(float(self.made) / rate),
                None => Instant::now(),
            };
            if due > Instant::now() || self.open.len() >= pace.callers {
                return Ok(());
            }
            let at = usize::try_from(self.made)? % self.connections.len();
            let hem = self.connections.get(at).and_then(|connection| connection.hem.clone());
            self.made += 1;
            let record = Arc::new(self.accepted(hem.context("a HEM without a hello")?)?);
            self.open.insert(record.id.to_string(), (Arc::clone(&record), due));
            self.to_send.push((at, Arc::clone(&record)));
            rows.push(record);
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.unix_ms())
    }

    fn step(&self, state: CommandState) -> Transition {
        Transition { state, at: self.now(), because: None, evidence: None }
    }

    fn accepted(&self, hem: HemId) -> anyhow::Result<CommandRecord> {
        let now = self.now();
        let id = format!("{:012x}-{:023}", now.as_millis(), self.made);
        Ok(CommandRecord {
            id: CommandId::new(&id)?,
            microgrid: MicrogridId::new("village-1")?,
            hem,
            node: None,
            action: CommandAction::ReportEvery { seconds: 60 },
            asker: Asker::Token { id: "bench".to_owned(), name: "bench".to_owned() },
            reason: "it is measured".to_owned(),
            priority: 0,
            issued: now,
            expires: now.plus(Duration::from_secs(60)),
            lease_ms: None,
            ordered: None,
            order: None,
            acted_at: None,
            state: CommandState::Accepted,
            history: vec![self.step(CommandState::Accepted)],
        })
    }

    fn moved(&self, record: &CommandRecord, state: CommandState) -> CommandRecord {
        let mut next = record.clone();
        next.state = state;
        next.history.push(self.step(state));
        next
    }

    fn sent(&self, record: &CommandRecord) -> Arc<CommandRecord> {
        let next = self.moved(record, CommandState::Sent);
        Arc::new(CommandRecord { order: Some(self.made), ..next })
    }

    fn acknowledged(&self, record: &CommandRecord) -> Arc<CommandRecord> {
        let next = self.moved(record, CommandState::Acknowledged);
        Arc::new(CommandRecord { acted_at: Some(Seq(0)), ..next })
    }

    fn frame(&self, record: &CommandRecord) -> CloudFrame {
        let remains = record.expires.since(self.now()).as_millis();
        CloudFrame::Command(Command {
            command: record.id.to_string(),
            order: record.order.unwrap_or(0),
            node: None,
            action: Instruction::Known(record.action.clone()),
            issued: record.issued,
            expires_in_ms: u64::try_from(remains).unwrap_or(0),
            lease_ms: None,
        })
    }

    fn admit(&mut self) -> anyhow::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(true)?;
                    socket.set_nodelay(true)?;
                    self.connections.push(Connection {
                        socket,
                        tls: ServerConnection::new(Arc::clone(&self.tls))?,
                        decoder: LineDecoder::new(usize::try_from(MAX_FRAME)?),
                        hem: None,
                        answers: Vec::new(),
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads each connection; the commands that were answered.
    fn read_all(&mut self) -> anyhow::Result<Vec<String>> {
        let now = self.now();
        let mut answered = Vec::new();
        for connection in &mut self.connections {
            connection.read(&mut self.scratch, now)?;
            answered.append(&mut connection.answers);
        }
        Ok(answered)
    }
}

impl Connection {
    fn read(&mut self, scratch: &mut [u8], now: Timestamp) -> anyhow::Result<()> {
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(length) if length > 0 => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Ok(_) => anyhow::bail!("a HEM has hung up"),
                Err(error) => return Err(error.into()),
            }
            self.tls.process_new_packets()?;
            self.flush()?;
            while let Some(length) = self.decrypted(scratch)? {
                self.take(scratch.get(..length).unwrap_or_default(), now)?;
            }
        }
    }

    /// Moves what TLS has decrypted; how many bytes, where there were any.
    fn decrypted(&mut self, into: &mut [u8]) -> anyhow::Result<Option<usize>> {
        match self.tls.reader().read(into) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, bytes: &[u8], now: Timestamp) -> anyhow::Result<()> {
        let mut greeting = None;
        let mut lines = self.decoder.lines(bytes);
        while let Some(line) = lines.next_line()? {
            if self.hem.is_none() {
                greeting = Some(Greeting::decode(line)?);
                continue;
            }
            match HemFrame::decode(line, usize::try_from(MAX_BATCH)?)? {
                HemFrame::Result(result) => self.answers.push(result.command),
                HemFrame::Ping => {}
                other => anyhow::bail!("the load only answers commands, and sent {other:?}"),
            }
        }
        match greeting {
            Some(greeting) => self.welcome(greeting, now),
            None => Ok(()),
        }
    }

    fn welcome(&mut self, greeting: Greeting, now: Timestamp) -> anyhow::Result<()> {
        let hem = greeting.hem?;
        self.hem = Some(hem.clone());
        self.say(&CloudFrame::Welcome(Welcome {
            hem,
            microgrid: MicrogridId::new("village-1")?,
            time: now,
            seq: Seq::NONE,
            heartbeat_s: HEARTBEAT_S,
            max_in_flight: MAX_IN_FLIGHT,
            max_batch: MAX_BATCH,
            max_frame: MAX_FRAME,
            key: None,
        }))
    }

    fn say(&mut self, frame: &CloudFrame) -> anyhow::Result<()> {
        let mut line = Vec::new();
        frame.encode(&mut line);
        self.tls.writer().write_all(&line)?;
        self.flush()
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                // What the load does not take now goes with the next.
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
