//! The bare limit: the same bytes, the same rows and the same roll-ups in one loop, with nothing
//! between: no actors, no messages, no protocol but the hello. It reads every socket in turn (TLS,
//! lines, frames), commits what came in one transaction, and acknowledges. Upkeep (roll-ups, sealing)
//! goes on beside it in a thread, as the store means it to, by the cloud's own schedule: in the loop it
//! would be more of it, and later acknowledgements.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use memcloud_domain::{Entry, Epoch, HemId, MicrogridId, Timestamp};
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{
    CommitOutcome, HemEntries, NewSession, SqliteTelemetry, TelemetryStore, UpkeepTask,
};
use memcloud_supervision::Clock;
use memcloud_wire::{
    Ack, CloudFrame, Greeting, HEARTBEAT_S, HemFrame, LineDecoder, MAX_BATCH, MAX_FRAME,
    MAX_IN_FLIGHT, Welcome,
};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The cloud's own policy of commits and upkeep; see `config/default.toml`.
const COMMIT_TARGET: usize = 1_000;
const COMMIT_ENTRIES: usize = 5_000;
const COMMIT_DELAY: Duration = Duration::from_millis(20);
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
const BREATH: Duration = Duration::from_millis(2);
/// What one read takes at most, as in the cloud.
const READ_SIZE: usize = 32 << 10;
/// Where nothing came, the loop rests this long.
const REST: Duration = Duration::from_micros(200);

/// Serves until it is killed. Says its port on standard output.
pub(crate) fn serve(folder: &Path, keys: &Path, chunk_readings: usize) -> anyhow::Result<()> {
    let options = SqliteOptions { chunk_readings, ..SqliteOptions::default() };
    let store = SqliteTelemetry::open(Location::new(folder.join("iot.db")), options)?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listener.set_nonblocking(true)?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    let store = Arc::new(store);
    let upkept = Arc::clone(&store);
    std::thread::spawn(move || keep_up(&upkept));
    let mut server = Server {
        store,
        tls: tls(keys)?,
        listener,
        connections: Vec::new(),
        scratch: vec![0; READ_SIZE],
        clock: Clock::system(),
        next: 0,
        waiting: 0,
        oldest: None,
    };
    loop {
        server.turn()?;
    }
}

/// A step of upkeep whenever one is due.
fn keep_up(store: &SqliteTelemetry) -> anyhow::Result<()> {
    let clock = Clock::system();
    let first = Instant::now() + UPKEEP_EVERY;
    let mut duties = [
        (UpkeepTask::RollUp, first, UPKEEP_EVERY),
        (UpkeepTask::Seal, first, UPKEEP_EVERY),
        (UpkeepTask::Checkpoint, first, CHECKPOINT_EVERY),
    ];
    loop {
        duties.sort_by_key(|(_, due, _)| *due);
        let [(task, due, every), ..] = &mut duties;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        let step = store.upkeep(*task, Timestamp(clock.unix_ms()))?;
        // Readings always wait here: half of the time is for them.
        *due = Instant::now() + if step.more { BREATH + began.elapsed() } else { *every };
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
    store: Arc<SqliteTelemetry>,
    tls: Arc<ServerConfig>,
    listener: TcpListener,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    clock: Clock,
    /// The connection that is read next.
    next: usize,
    /// Entries that wait for the commit, and since when the oldest does.
    waiting: usize,
    oldest: Option<Instant>,
}

struct Connection {
    socket: TcpStream,
    tls: ServerConnection,
    decoder: LineDecoder,
    session: Option<(HemId, Epoch)>,
    entries: Vec<Entry>,
    has_ended: bool,
}

impl Server {
    fn turn(&mut self) -> anyhow::Result<()> {
        self.admit()?;
        let has_read = self.read_all()?;
        let is_overdue = self.oldest.is_some_and(|oldest| oldest.elapsed() >= COMMIT_DELAY);
        if self.waiting >= COMMIT_TARGET || is_overdue {
            self.commit()?;
        }
        self.connections.retain(|connection| !connection.has_ended);
        if !has_read {
            std::thread::sleep(REST);
        }
        Ok(())
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
                        session: None,
                        entries: Vec::new(),
                        has_ended: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads each connection once, beginning where the last turn ended, until a commit is full.
    fn read_all(&mut self) -> anyhow::Result<bool> {
        let mut has_read = false;
        let received = Timestamp(self.clock.unix_ms());
        for _ in 0..self.connections.len() {
            if self.waiting >= COMMIT_ENTRIES {
                break;
            }
            self.next = (self.next + 1) % self.connections.len();
            let Some(connection) = self.connections.get_mut(self.next) else { break };
            let before = connection.entries.len();
            has_read |= connection.read(&mut self.scratch, received, &self.store)?;
            let came = connection.entries.len() - before;
            if came > 0 {
                self.waiting += came;
                self.oldest.get_or_insert_with(Instant::now);
            }
        }
        Ok(has_read)
    }

    /// One transaction for all, then an acknowledgement for each.
    fn commit(&mut self) -> anyhow::Result<()> {
        let mut batch = Vec::new();
        let mut places = HashMap::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if let (Some((hem, epoch)), false) =
                (&connection.session, connection.entries.is_empty())
            {
                let entries = std::mem::take(&mut connection.entries);
                places.insert(batch.len(), index);
                batch.push(HemEntries { hem: hem.clone(), epoch: *epoch, entries });
            }
        }
        let outcomes = self.store.commit(&batch, Timestamp(self.clock.unix_ms()))?;
        for (place, outcome) in outcomes.into_iter().enumerate() {
            let CommitOutcome::Stored { through, .. } = outcome else { continue };
            let index = places.get(&place).copied().context("an outcome of nobody")?;
            if let Some(connection) = self.connections.get_mut(index) {
                connection.say(&CloudFrame::Ack(Ack { seq: through }))?;
            }
        }
        self.waiting = 0;
        self.oldest = None;
        Ok(())
    }
}

impl Connection {
    /// Takes what is there, at most about as much as one read of the cloud; whether anything was.
    fn read(
        &mut self,
        scratch: &mut [u8],
        received: Timestamp,
        store: &SqliteTelemetry,
    ) -> anyhow::Result<bool> {
        let mut taken = 0;
        while taken < READ_SIZE {
            match self.tls.read_tls(&mut self.socket) {
                Ok(length) if length > 0 => taken += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.has_ended = true;
                    break;
                }
            }
            self.tls.process_new_packets()?;
            self.flush()?;
            while let Some(length) = self.decrypted(scratch)? {
                self.take(scratch.get(..length).unwrap_or_default(), received, store)?;
            }
        }
        Ok(taken > 0)
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

    fn take(
        &mut self,
        bytes: &[u8],
        received: Timestamp,
        store: &SqliteTelemetry,
    ) -> anyhow::Result<()> {
        let mut greeting = None;
        let mut lines = self.decoder.lines(bytes);
        while let Some(line) = lines.next_line()? {
            if self.session.is_none() {
                greeting = Some(Greeting::decode(line)?);
                continue;
            }
            match HemFrame::decode(line, usize::try_from(MAX_BATCH)?) {
                Ok(HemFrame::Reading(sample)) => {
                    self.entries.push(Entry::Reading(sample.into_reading(received)));
                }
                other => anyhow::bail!("the load sends readings alone, not {other:?}"),
            }
        }
        match greeting {
            Some(greeting) => self.welcome(greeting, received, store),
            None => Ok(()),
        }
    }

    fn welcome(
        &mut self,
        greeting: Greeting,
        now: Timestamp,
        store: &SqliteTelemetry,
    ) -> anyhow::Result<()> {
        let hem = greeting.hem?;
        let microgrid = MicrogridId::new("village-1")?;
        let session = NewSession { hem: hem.clone(), microgrid: microgrid.clone() };
        let opened = store.open_sessions(&[session])?.pop().context("no session was opened")?;
        self.session = Some((hem.clone(), opened.epoch));
        self.say(&CloudFrame::Welcome(Welcome {
            hem,
            microgrid,
            time: now,
            seq: opened.mark,
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
                Err(_) => {
                    self.has_ended = true;
                    break;
                }
            }
        }
        Ok(())
    }
}
