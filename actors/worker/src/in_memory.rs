//! Stores in memory, for programs that embed the operator without databases, and for tests: one for
//! jobs and homes, one for entries. They answer what the real `Registrar` and `Historian` answer, and
//! keep nothing over a restart of the process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, MessageResult};
use memcloud_domain::messages::{
    GetRoster, HemBatch, HemMark, ListJobsOf, ListMarks, ListMicrogridsWithJobs, LoadCheckpoint,
    MicrogridRoster, ReadEntriesAfter, ReadingsCommitted, RecordJobState, SaveCheckpoint,
    Unavailable,
};
use memcloud_domain::{
    Entry, Epoch, HemId, JobCheckpoint, JobId, JobLogLine, JobRecord, JobResult, JobState,
    MicrogridId, Seq, Timestamp,
};
use memcloud_supervision::{Observe, Port, Scope, supervised};
use serde_json::{Value, json};

/// Says what a microgrid is and which homes it has; sent by the embedding program. Must not be lost:
/// jobs wait for it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PutRoster(pub MicrogridRoster);

/// Keeps a job, so that its supervisor finds it; sent by the embedding program, before `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PutJob(pub JobRecord);

/// Asks for what a job found and said; sent by the embedding program.
#[derive(Debug, Clone, Message)]
#[rtype(result = "JobOutput")]
pub struct GetJobOutput {
    /// Which job.
    pub job: JobId,
}

/// What a job found and said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobOutput {
    /// How it stands, as last recorded.
    pub state: Option<JobState>,
    /// Its newest results, by kind, subject and start.
    pub results: Vec<JobResult>,
    /// The newest lines of its log.
    pub log: Vec<JobLogLine>,
    /// Where it was saved last.
    pub checkpoint: Option<JobCheckpoint>,
    /// How often it was saved.
    pub saves: u64,
}

#[derive(Debug, Default)]
struct KeptJob {
    record: Option<JobRecord>,
    state: Option<JobState>,
    checkpoint: Option<JobCheckpoint>,
    results: BTreeMap<(String, String, Timestamp), JobResult>,
    log: VecDeque<JobLogLine>,
    saves: u64,
}

/// What the store in memory holds; it outlives a crash of its actor.
#[derive(Debug, Default)]
struct Kept {
    rosters: BTreeMap<MicrogridId, MicrogridRoster>,
    jobs: BTreeMap<JobId, KeptJob>,
}

type Shared<T> = Arc<std::sync::Mutex<T>>;

fn lock<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Jobs, checkpoints and homes in memory.
#[derive(Debug, Clone, Default)]
pub struct InMemoryJobs {
    kept: Shared<Kept>,
}

impl InMemoryJobs {
    /// Results kept of a job; beyond it the first by kind, subject and start go.
    pub const RESULTS: usize = 10_000;
    /// Lines of log kept of a job; beyond it the oldest go.
    pub const LOG: usize = 1_000;

    /// An empty store. Clones share what is kept, so that a factory can hand out the same one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Actor for InMemoryJobs {
    type Context = Context<Self>;
}

impl Observe for InMemoryJobs {
    fn observe(&self) -> Value {
        let kept = lock(&self.kept);
        json!({"microgrids": kept.rosters.len(), "jobs": kept.jobs.len()})
    }
}

supervised!(InMemoryJobs);

impl Handler<PutRoster> for InMemoryJobs {
    type Result = ();

    fn handle(&mut self, PutRoster(roster): PutRoster, _: &mut Context<Self>) {
        lock(&self.kept).rosters.insert(roster.profile.id.clone(), roster);
    }
}

impl Handler<PutJob> for InMemoryJobs {
    type Result = ();

    fn handle(&mut self, PutJob(record): PutJob, _: &mut Context<Self>) {
        let mut kept = lock(&self.kept);
        let job = kept.jobs.entry(record.id.clone()).or_default();
        job.state = Some(record.state.clone());
        job.record = Some(record);
    }
}

impl Handler<GetJobOutput> for InMemoryJobs {
    type Result = MessageResult<GetJobOutput>;

    fn handle(&mut self, ask: GetJobOutput, _: &mut Context<Self>) -> Self::Result {
        let kept = lock(&self.kept);
        MessageResult(kept.jobs.get(&ask.job).map_or_else(JobOutput::default, |job| JobOutput {
            state: job.state.clone(),
            results: job.results.values().cloned().collect(),
            log: job.log.iter().cloned().collect(),
            checkpoint: job.checkpoint.clone(),
            saves: job.saves,
        }))
    }
}

impl Handler<ListJobsOf> for InMemoryJobs {
    type Result = Result<Vec<JobRecord>, Unavailable>;

    fn handle(&mut self, ask: ListJobsOf, _: &mut Context<Self>) -> Self::Result {
        let kept = lock(&self.kept);
        let records = kept.jobs.values().filter_map(|job| {
            let mut record = job.record.clone()?;
            record.state = job.state.clone().unwrap_or(record.state);
            (record.microgrid == ask.microgrid).then_some(record)
        });
        Ok(records.collect())
    }
}

impl Handler<ListMicrogridsWithJobs> for InMemoryJobs {
    type Result = Result<Vec<MicrogridId>, Unavailable>;

    fn handle(&mut self, _: ListMicrogridsWithJobs, _: &mut Context<Self>) -> Self::Result {
        let kept = lock(&self.kept);
        let records = kept.jobs.values().filter_map(|job| job.record.as_ref());
        let microgrids: BTreeSet<_> = records.map(|record| record.microgrid.clone()).collect();
        Ok(microgrids.into_iter().collect())
    }
}

impl Handler<LoadCheckpoint> for InMemoryJobs {
    type Result = Result<Option<JobCheckpoint>, Unavailable>;

    fn handle(&mut self, ask: LoadCheckpoint, _: &mut Context<Self>) -> Self::Result {
        Ok(lock(&self.kept).jobs.get(&ask.job).and_then(|job| job.checkpoint.clone()))
    }
}

impl Handler<SaveCheckpoint> for InMemoryJobs {
    type Result = Result<(), Unavailable>;

    fn handle(&mut self, save: SaveCheckpoint, _: &mut Context<Self>) -> Self::Result {
        let mut kept = lock(&self.kept);
        let job = kept.jobs.entry(save.job).or_default();
        job.checkpoint = Some(save.checkpoint);
        job.saves += 1;
        for result in save.results {
            let identity = (result.kind.clone(), result.subject.clone(), result.from);
            job.results.insert(identity, result);
        }
        while job.results.len() > Self::RESULTS {
            job.results.pop_first();
        }
        job.log.extend(save.log);
        while job.log.len() > Self::LOG {
            job.log.pop_front();
        }
        Ok(())
    }
}

impl Handler<RecordJobState> for InMemoryJobs {
    type Result = Result<(), Unavailable>;

    fn handle(&mut self, record: RecordJobState, _: &mut Context<Self>) -> Self::Result {
        lock(&self.kept).jobs.entry(record.job).or_default().state = Some(record.state);
        Ok(())
    }
}

impl Handler<GetRoster> for InMemoryJobs {
    type Result = Result<Option<MicrogridRoster>, Unavailable>;

    fn handle(&mut self, ask: GetRoster, _: &mut Context<Self>) -> Self::Result {
        Ok(lock(&self.kept).rosters.get(&ask.microgrid).cloned())
    }
}

/// The embedding program hands over what a HEM sent; it is kept, and then published as a commit.
/// Entries numbered at or below the HEM's mark are replays and left out. Answers the new mark.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Seq")]
pub struct AppendEntries {
    /// Whose HEM.
    pub microgrid: MicrogridId,
    /// Which HEM.
    pub hem: HemId,
    /// What it sent, ascending by number.
    pub entries: Vec<Entry>,
}

#[derive(Debug)]
struct Strand {
    microgrid: MicrogridId,
    mark: Seq,
    entries: VecDeque<Entry>,
}

/// Entries in memory: the newest of each HEM.
#[derive(Debug, Clone)]
pub struct InMemoryHistory {
    strands: Shared<BTreeMap<HemId, Strand>>,
    committed: Port<ReadingsCommitted>,
    per_hem: usize,
    scope: Scope,
}

impl InMemoryHistory {
    /// Keeps so many entries of each HEM, and tells a port (a bus's `Publisher`) what was kept. Clones
    /// share what is kept, so that a factory can hand out the same one.
    #[must_use]
    pub fn new(scope: Scope, committed: Port<ReadingsCommitted>, per_hem: usize) -> Self {
        Self { strands: Shared::default(), committed, per_hem: per_hem.max(1), scope }
    }
}

impl Actor for InMemoryHistory {
    type Context = Context<Self>;
}

impl Observe for InMemoryHistory {
    fn observe(&self) -> Value {
        let strands = lock(&self.strands);
        let entries: usize = strands.values().map(|strand| strand.entries.len()).sum();
        json!({"hems": strands.len(), "entries": entries})
    }
}

supervised!(InMemoryHistory);

impl Handler<AppendEntries> for InMemoryHistory {
    type Result = MessageResult<AppendEntries>;

    fn handle(&mut self, append: AppendEntries, _: &mut Context<Self>) -> Self::Result {
        let AppendEntries { microgrid, hem, entries } = append;
        let mut strands = lock(&self.strands);
        let strand = strands.entry(hem.clone()).or_insert_with(|| Strand {
            microgrid: microgrid.clone(),
            mark: Seq::NONE,
            entries: VecDeque::new(),
        });
        let after = strand.mark;
        let mut stored = Vec::new();
        for entry in entries {
            if entry.seq() > strand.mark {
                strand.mark = entry.seq();
                strand.entries.push_back(entry.clone());
                stored.push(entry);
            }
        }
        while strand.entries.len() > self.per_hem {
            strand.entries.pop_front();
        }
        let through = strand.mark;
        drop(strands);
        if !stored.is_empty() {
            let epoch = Epoch::default();
            let batch = HemBatch { hem, epoch, after, through, entries: stored };
            let at = Timestamp(self.scope.clock().unix_ms());
            let committed = ReadingsCommitted { microgrid, at, batches: Arc::new(vec![batch]) };
            // A hint: who misses it reads what is kept.
            drop(self.committed.tell(committed));
        }
        MessageResult(through)
    }
}

impl Handler<ReadEntriesAfter> for InMemoryHistory {
    type Result = Result<HemBatch, Unavailable>;

    fn handle(&mut self, read: ReadEntriesAfter, _: &mut Context<Self>) -> Self::Result {
        let strands = lock(&self.strands);
        let (mark, entries): (Seq, Vec<Entry>) = match strands.get(&read.hem) {
            Some(strand) => {
                let above = strand.entries.iter().filter(|entry| entry.seq() > read.after);
                (strand.mark, above.take(read.limit).cloned().collect())
            }
            None => (read.after, Vec::new()),
        };
        let last = entries.last().map(Entry::seq);
        let is_all = entries.len() < read.limit;
        let through = if is_all { mark.max(read.after) } else { last.unwrap_or(mark) };
        Ok(HemBatch { hem: read.hem, epoch: Epoch::default(), after: read.after, through, entries })
    }
}

impl Handler<ListMarks> for InMemoryHistory {
    type Result = Result<Vec<HemMark>, Unavailable>;

    fn handle(&mut self, ask: ListMarks, _: &mut Context<Self>) -> Self::Result {
        let strands = lock(&self.strands);
        let asked = |strand: &Strand| match &ask.microgrid {
            Some(microgrid) => strand.microgrid == *microgrid,
            None => true,
        };
        Ok(strands
            .iter()
            .filter(|(_, strand)| asked(strand))
            .map(|(hem, strand)| HemMark {
                hem: hem.clone(),
                mark: strand.mark,
                epoch: Epoch::default(),
            })
            .collect())
    }
}
