//! The public messages: what actors of different crates say to each other. Messages within a crate,
//! and those that only `src` sends, stand beside their actor.

use std::sync::Arc;

use actix::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    Entry, Epoch, HemEvent, HemId, HemStatus, JobCheckpoint, JobId, JobLogLine, JobRecord,
    JobResult, JobState, MicrogridId, NodeDeclaration, NodeReading, PowerLimits, ProcessId,
    Quantity, Reading, Secret, Seq, Series, Tenure, Timestamp,
};

pub use crate::cluster_messages::*;
pub use crate::command_messages::*;
pub use crate::query::{HemBatch, HemMark, Order, Page, SeriesSubject, SessionOpened, TimeRange};

/// A store or engine that cannot be used now. What was asked for did not happen; ask again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is away: {reason}")]
pub struct Unavailable {
    /// What is away: `iot store`, `web store`.
    pub what: &'static str,
    /// Why, as far as it is known.
    pub reason: String,
}

// ---------------------------------------------------------------------------------- a HEM connects

/// How a HEM proves who it is.
#[derive(Debug, Clone)]
pub enum HemCredential {
    /// Its device key.
    Key(Secret),
    /// An enrolment token, for a HEM without a key.
    Enrolment(Secret),
    /// A client certificate, already verified by TLS, whose common name is the HEM's id.
    Certificate,
}

/// `HemSocket` asks the `Registrar` whether a HEM is who it says. Records its nodes when they are given.
#[derive(Debug, Message)]
#[rtype(result = "Result<AuthenticatedHem, AuthenticationError>")]
pub struct AuthenticateHem {
    /// Who it says it is.
    pub hem: HemId,
    /// Its proof.
    pub credential: HemCredential,
    /// Its nodes; absent: what is known stays.
    pub nodes: Option<Vec<NodeDeclaration>>,
    /// Its firmware, as it names it.
    pub firmware: Option<String>,
}

/// A HEM that is who it says.
#[derive(Debug, Clone)]
pub struct AuthenticatedHem {
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its nodes as now recorded.
    pub nodes: Vec<NodeDeclaration>,
    /// The key that its enrolment made, shown this once.
    pub issued_key: Option<Secret>,
}

/// Why a HEM was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The same for a wrong key, a bad token, an unknown id, a used key, another microgrid.
    #[error("the id and its key, token or certificate do not go together")]
    Unauthorised,
    /// The web store is away.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// `Registrar` tells the `SocketTable` that a HEM's key was revoked, rotated or the HEM deleted: its
/// open socket is cut. Must not be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct CutHem {
    /// Which HEM.
    pub hem: HemId,
}

// -------------------------------------------------------------------------------- the way of a reading

/// How far a connection's entries are on disk. A socket watches it; it coalesces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// Everything up to this number is on disk, or was refused by name.
    pub through: Seq,
    /// A later connection has taken over: nothing more of this one will be stored.
    pub fenced: bool,
}

/// `HemSocket` asks the `Historian` for a new epoch and the mark, before the welcome. A barrier: what
/// earlier connections of this HEM handed over is committed or dropped before the mark is read.
#[derive(Debug, Message)]
#[rtype(result = "Result<SessionOpened, Unavailable>")]
pub struct OpenSession {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Where the historian says how far this connection's entries are durable.
    pub durable: watch::Sender<Durability>,
}

/// `HemSocket` hands the `Historian` what arrived, ascending by number and above all it handed over
/// before in this session. Not answered: durability is said through the session's watch. A message
/// that is lost with a connection is sent again by the HEM.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StoreEntries {
    /// Which HEM.
    pub hem: HemId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// What arrived.
    pub entries: Vec<Entry>,
}

/// `HemSocket` tells the `Historian` that a connection is over. May be lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseSession {
    /// Which HEM.
    pub hem: HemId,
    /// The connection's epoch.
    pub epoch: Epoch,
}

/// `Historian` publishes what one commit stored, per microgrid, after it is on disk. A bounded hint:
/// it may be lost, and whoever misses it reads the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct ReadingsCommitted {
    /// Whose HEMs.
    pub microgrid: MicrogridId,
    /// When it was committed.
    pub at: Timestamp,
    /// A batch per HEM.
    pub batches: Arc<Vec<HemBatch>>,
}

/// Asks the `Historian` for what it stored of a HEM above a number, ascending; hot runs and chunks alike.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<HemBatch, Unavailable>")]
pub struct ReadEntriesAfter {
    /// Which HEM.
    pub hem: HemId,
    /// Above this number.
    pub after: Seq,
    /// At most so many entries. The answer's `through` is the mark when all was read, else the last
    /// entry's number.
    pub limit: usize,
}

/// Asks the `Historian` for the marks of a microgrid's HEMs; of all HEMs where none is named.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<HemMark>, Unavailable>")]
pub struct ListMarks {
    /// Which microgrid.
    pub microgrid: Option<MicrogridId>,
}

// ------------------------------------------------------------------------------------ facts of a HEM

/// `HemSocket` says that a HEM was welcomed. To the `StatusMonitor`, the live feed and the CMO. May be
/// lost: epochs order it against later facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HemConnected {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// The mark at the welcome.
    pub mark: Seq,
    /// Its nodes as recorded.
    pub nodes: Vec<NodeDeclaration>,
    /// Which process of a cluster has its socket; absent: there is one process.
    #[serde(default)]
    pub process: Option<ProcessId>,
    /// When.
    pub at: Timestamp,
}

/// `HemSocket` says that a connection is over. Of a lower epoch than the known one it is ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HemDisconnected {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// When.
    pub at: Timestamp,
    /// Why, in a word of the protocol: `closed`, `silent`, `replaced`, `busy`, …
    pub reason: String,
}

/// `HemSocket` says, at most every few seconds, that a HEM was heard although it stored nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HemHeard {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// When.
    pub at: Timestamp,
    /// Numbers that this connection jumped over, in all.
    pub missing: u64,
}

/// `HemSocket` passes an unnumbered `latest` on, to the `StatusMonitor` and the live feed alone. Not
/// stored; may be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct LatestSeen {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// When it was taken.
    pub ts: Timestamp,
    /// When the cloud received it.
    pub received: Timestamp,
    /// What the nodes measured.
    pub nodes: Vec<NodeReading>,
}

/// `StatusMonitor` says how a HEM stands now. To the live feed, and over the bus to the other processes'.
/// At once when the HEM goes or comes online or active, or its flags change; otherwise at most once a
/// second per HEM. May be lost: the next one says all again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HemStatusChanged {
    /// When.
    pub at: Timestamp,
    /// How it stands.
    pub status: Arc<HemStatus>,
}

// ------------------------------------------------------------------------------------ asking for the past

/// REST asks the `Historian` for a page of a HEM's raw readings.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Page<Reading>, Unavailable>")]
pub struct ListReadings {
    /// Which HEM.
    pub hem: HemId,
    /// By the time at the HEM.
    pub range: TimeRange,
    /// Beyond this number, in the order's direction.
    pub after: Option<Seq>,
    /// At most so many.
    pub limit: usize,
    /// Which end first.
    pub order: Order,
}

/// REST asks the `Historian` for a page of a HEM's events.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Page<HemEvent>, Unavailable>")]
pub struct ListEvents {
    /// Which HEM.
    pub hem: HemId,
    /// By the time at the HEM.
    pub range: TimeRange,
    /// Beyond this number, in the order's direction.
    pub after: Option<Seq>,
    /// At most so many.
    pub limit: usize,
    /// Which end first.
    pub order: Order,
}

/// REST asks the `Historian` for a series, from roll-ups.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Series, Unavailable>")]
pub struct GetSeries {
    /// Of whom.
    pub subject: SeriesSubject,
    /// Which quantity.
    pub quantity: Quantity,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// At most so many points.
    pub points: usize,
    /// The time zone that days are in, an IANA name.
    pub time_zone: String,
}

/// The `StatusMonitor`, when it first hears of a HEM, asks the `Historian` for the newest value of
/// each of its nodes.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<Reading>, Unavailable>")]
pub struct GetLatestReading {
    /// Which HEM.
    pub hem: HemId,
}

// --------------------------------------------------------------------------------------------- jobs

/// A `MicrogridSupervisor`, when it starts, asks the `Registrar` for its jobs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<JobRecord>, Unavailable>")]
pub struct ListJobsOf {
    /// Whose jobs.
    pub microgrid: MicrogridId,
}

/// The `ChiefMicrogridOperator`, when it starts, asks the `Registrar` which microgrids have jobs (in
/// whatever state), so that they catch up before their HEMs send anything.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<MicrogridId>, Unavailable>")]
pub struct ListMicrogridsWithJobs;

/// A `WorkerJob`, when it starts, asks the `Registrar` where it stood.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<JobCheckpoint>, Unavailable>")]
pub struct LoadCheckpoint {
    /// Which job.
    pub job: JobId,
}

/// A `WorkerJob` has the `Registrar` write its checkpoint, its results and its log in one transaction.
/// Until it is answered the job keeps them.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Unavailable>")]
pub struct SaveCheckpoint {
    /// Which job.
    pub job: JobId,
    /// Where it stands.
    pub checkpoint: JobCheckpoint,
    /// What it found since the last one.
    pub results: Vec<JobResult>,
    /// What it said since the last one.
    pub log: Vec<JobLogLine>,
    /// In a cluster: under which tenure.
    pub tenure: Option<Tenure>,
}

/// A `MicrogridSupervisor` has the `Registrar` write how a job stands.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Unavailable>")]
pub struct RecordJobState {
    /// Which job.
    pub job: JobId,
    /// How it stands.
    pub state: JobState,
    /// In a cluster: under which tenure.
    pub tenure: Option<Tenure>,
}

/// A job's results or state, as the live feed tells it. May be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct JobReported {
    /// Which job.
    pub job: JobId,
    /// Whose.
    pub microgrid: MicrogridId,
    /// What happened.
    pub report: JobReport,
}

/// What happened at a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobReport {
    /// It found something out; already stored.
    Result(JobResult),
    /// It stands differently.
    State(JobState),
}

/// A microgrid as its supervisor and the roll-ups need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MicrogridProfile {
    /// Which microgrid.
    pub id: MicrogridId,
    /// Its time zone, an IANA name.
    pub time_zone: String,
}

/// A `MicrogridSupervisor`, when it starts, asks the `Registrar` what its microgrid is and which nodes
/// its HEMs have.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<MicrogridRoster>, Unavailable>")]
pub struct GetRoster {
    /// Which microgrid.
    pub microgrid: MicrogridId,
}

/// A microgrid and its HEMs.
#[derive(Debug, Clone, PartialEq)]
pub struct MicrogridRoster {
    /// The microgrid.
    pub profile: MicrogridProfile,
    /// What it may draw and feed at its connection.
    pub limits: PowerLimits,
    /// Its HEMs, by id.
    pub hems: Vec<RosterHem>,
}

/// A HEM of a microgrid.
#[derive(Debug, Clone, PartialEq)]
pub struct RosterHem {
    /// Which HEM.
    pub hem: HemId,
    /// Its nodes, as it declared them last.
    pub nodes: Vec<NodeDeclaration>,
    /// What its home may draw and feed.
    pub limits: PowerLimits,
}

// -------------------------------------------------------------------------------- the web data changes

/// `Registrar` says that a microgrid was made or changed, its limits too. To the CMO and the
/// `Historian`. May be lost: whoever starts asks for the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct MicrogridChanged {
    /// The microgrid, as it is now.
    pub profile: MicrogridProfile,
}

/// `Registrar` says that a microgrid, which had no HEMs and no jobs left, was deleted. To the CMO. Is
/// sent again until it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct MicrogridRemoved {
    /// Which microgrid.
    pub microgrid: MicrogridId,
}

/// `Registrar` says that a HEM was registered, enrolled, renamed, given other limits, or declared other
/// nodes. To the `StatusMonitor` and the CMO. May be lost: the next `HemConnected` says its nodes again,
/// and the roster the limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HemChanged {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its nodes, as it declared them last.
    pub nodes: Vec<NodeDeclaration>,
    /// What its home may draw and feed.
    pub limits: PowerLimits,
}

/// `Registrar` says that a HEM was deleted. To the `StatusMonitor` and the CMO. Is sent again until it
/// is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HemRemoved {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it was.
    pub microgrid: MicrogridId,
}

/// `Registrar` says that a person deployed, changed, stopped or started a job. To the CMO, which sees
/// to a supervisor for its microgrid. Is sent again until it is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct JobChanged {
    /// The job, as it is now.
    pub job: JobRecord,
}

/// `Registrar` says that a job was deleted. To the CMO. Is sent again until it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct JobRemoved {
    /// Which job.
    pub job: JobId,
    /// Whose it was.
    pub microgrid: MicrogridId,
}
