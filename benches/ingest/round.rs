//! One round: a fresh server of either kind, the load beside it, and what both used.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use diesel::{QueryableByName, RunQueryDsl};
use memcloud_domain::Timestamp;
use memcloud_store::sqlite::{Access, Location, connect};
use memcloud_store::telemetry::buckets::Level;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{SqliteTelemetry, StoreFigures, TelemetryStore, UpkeepTask};
use memcloud_supervision::Clock;

use crate::load::{Order, Outcome};
use crate::support::cloud::{Cloud, authority, hem_keys, make_keys};
use crate::support::figures::float;
use crate::support::{processor, wait_for};

/// How long a server may take until its upkeep is done.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);
/// How long a question waits for a lock.
const BUSY: Duration = Duration::from_secs(5);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One loop without actors.
    Bare,
    /// `memcloud serve`.
    Cloud,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bare => "bare",
            Self::Cloud => "cloud",
        })
    }
}

/// What is loaded, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) hems: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: u64,
    pub(crate) warmup_seconds: u64,
    /// The cloud's `hem.workers`.
    pub(crate) workers: u64,
    pub(crate) chunk_readings: usize,
}

/// What a round came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) load: Outcome,
    /// The server's processor seconds per million readings, from the first connection to the last
    /// acknowledgement.
    pub(crate) seconds_per_million: f64,
    /// The same until everything is rolled up and sealed as well; only at full rate.
    pub(crate) settled_seconds_per_million: f64,
    /// How much of a core everything else on the machine took, interrupts of the network too.
    pub(crate) others_cores: f64,
    pub(crate) resident_bytes: f64,
    /// Readings that were sealed while it ran, of all.
    pub(crate) sealed_share: f64,
    pub(crate) disk: Disk,
}

/// What lies on disk once everything is sealed and rolled up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    /// Of a chunk, per reading in it.
    pub(crate) chunk_bytes: f64,
    /// Of the whole file, per reading: chunks, roll-ups, indices, and what is not sealed.
    pub(crate) file_bytes: f64,
}

impl Plan {
    /// Runs it on a server with a folder of its own.
    pub(crate) fn run(&self, kind: Kind) -> anyhow::Result<Round> {
        let folder = tempfile::tempdir()?;
        let keys = folder.path().join("keys");
        make_keys(&keys)?;
        match kind {
            Kind::Bare => {
                std::fs::write(hem_keys(folder.path()), self.any_keys())?;
                let server = BareServer::start(folder.path(), &keys, self.chunk_readings)?;
                let (id, iot_db) = (server.process.id(), folder.path().join("iot.db"));
                let mut round = self.load(server.port, folder.path(), &keys, id, &iot_db)?;
                drop(server);
                self.look_at_disk(&iot_db, &mut round)?;
                Ok(round)
            }
            Kind::Cloud => {
                let settings = [
                    // A HEM may send as much as its credit allows; 1,000 a second is the default.
                    ("hem.max_rate", "1000000".to_owned()),
                    ("hem.workers", self.workers.to_string()),
                    ("historian.chunk_entries", self.chunk_readings.to_string()),
                ];
                let cloud = Cloud::start(folder.path(), &keys, self.hems, &settings)?;
                let (port, iot_db) = (cloud.hem.port(), cloud.iot_db());
                let mut round = self.load(port, folder.path(), &keys, cloud.id(), &iot_db)?;
                for complaint in cloud.complaints() {
                    crate::say(format_args!("  the cloud says: {complaint}"))?;
                }
                cloud.stop()?;
                self.look_at_disk(&iot_db, &mut round)?;
                Ok(round)
            }
        }
    }

    /// Keys for a server that does not look at them.
    fn any_keys(&self) -> String {
        (1..=self.hems).map(|number| format!("home-{number} any\n")).collect()
    }

    fn load(
        &self,
        port: u16,
        folder: &Path,
        keys: &Path,
        server: u32,
        iot_db: &Path,
    ) -> anyhow::Result<Round> {
        let order = Order {
            port,
            authority: authority(keys),
            hem_keys: hem_keys(folder),
            hems: self.hems,
            rate: self.rate,
            seconds: self.seconds,
            warmup_seconds: self.warmup_seconds,
        };
        let clock = Clock::system();
        let begun = clock.instant();
        let (machine, own) = (processor::of_machine()?, processor::of_process(server)?);
        let load = order.carry_out()?;
        let machine = processor::of_machine()? - machine;
        let used = processor::of_process(server)? - own;
        let took = (clock.instant() - begun).as_secs_f64();
        let resident_bytes = processor::resident(server)?;
        let sealed_share = sealed_share(iot_db)?;
        if self.rate.is_none() {
            let what = "all is rolled up and sealed";
            wait_for(what, SETTLED_WITHIN, || Ok(is_settled(iot_db, self)?.then_some(())))?;
        }
        let settled = processor::of_process(server)? - own;
        Ok(Round {
            load,
            seconds_per_million: used / load.in_all * 1e6,
            settled_seconds_per_million: settled / load.in_all * 1e6,
            others_cores: (machine - used) / took - load.cores,
            resident_bytes,
            sealed_share,
            disk: Disk { chunk_bytes: 0.0, file_bytes: 0.0 },
        })
    }

    /// Finishes the upkeep of a server that has ended, and looks what is there.
    fn look_at_disk(&self, iot_db: &Path, round: &mut Round) -> anyhow::Result<()> {
        finish_upkeep(iot_db, self.chunk_readings)?;
        // What is too little for a whole chunk is sealed as well.
        let all = finish_upkeep(iot_db, 50)?;
        let readings = float(all.hot_readings + all.sealed_readings);
        anyhow::ensure!(
            (readings - round.load.in_all).abs() < 0.5,
            "{readings} readings lie in the store, and {} were acknowledged",
            round.load.in_all
        );
        round.disk = Disk {
            chunk_bytes: float(all.sealed_bytes) / float(all.sealed_readings),
            file_bytes: float(all.file_bytes) / readings,
        };
        Ok(())
    }
}

/// Of all readings, how many are sealed by now.
fn sealed_share(iot_db: &Path) -> anyhow::Result<f64> {
    let sealed = ask(iot_db, "SELECT sum(sealed) AS answer FROM marks")?;
    let hot = ask(iot_db, "SELECT sum(hot) AS answer FROM marks")?;
    Ok(sealed / (sealed + hot))
}

/// Whether no bucket and no chunk is waiting.
fn is_settled(iot_db: &Path, plan: &Plan) -> anyhow::Result<bool> {
    let soon = Clock::system().unix_ms() + 60_000;
    let buckets = ask(iot_db, &format!("SELECT count(*) AS answer FROM dirty WHERE due < {soon}"))?;
    let full = plan.chunk_readings + SqliteOptions::default().keep_hot;
    let hems = ask(iot_db, &format!("SELECT count(*) AS answer FROM marks WHERE hot >= {full}"))?;
    Ok(buckets + hems < 0.5)
}

/// Asks a store beside its server.
fn ask(iot_db: &Path, question: &str) -> anyhow::Result<f64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        answer: i64,
    }
    let location = Location::new(iot_db);
    let mut connection = connect("bench", &location, Access::ReadOnly, BUSY)?;
    let row: Row = diesel::sql_query(question).get_result(&mut connection)?;
    Ok(float(u64::try_from(row.answer)?))
}

/// Seals and rolls up all there is; what there is then.
fn finish_upkeep(iot_db: &Path, chunk_readings: usize) -> anyhow::Result<StoreFigures> {
    let options = SqliteOptions { chunk_readings, keep_hot: 0, ..SqliteOptions::default() };
    let store = SqliteTelemetry::open(Location::new(iot_db), options)?;
    // Every bucket has ended by then; but a coarser one is due some time after those it is made of.
    let mut later = Timestamp(Clock::system().unix_ms() + 2 * 86_400_000);
    for _ in Level::ALL {
        while store.upkeep(UpkeepTask::RollUp, later)?.more {}
        later = later.plus(Duration::from_secs(60));
    }
    while store.upkeep(UpkeepTask::Seal, later)?.more {}
    Ok(store.figures()?)
}

/// The bare limit's process; killed when dropped.
struct BareServer {
    process: Child,
    port: u16,
}

impl BareServer {
    fn start(folder: &Path, keys: &Path, chunk_readings: usize) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("bare")
            .arg(folder)
            .arg(keys)
            .arg(chunk_readings.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().context("it has an output")?;
        BufReader::new(output).read_line(&mut line)?;
        let port = line.trim().parse();
        // From here on it is killed with whatever goes wrong.
        let mut server = Self { process, port: 0 };
        server.port = port.with_context(|| format!("the bare server says \"{line}\""))?;
        Ok(server)
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
