//! Which jobs a microgrid has, which are to run and which do: the pure core of the supervisor. What
//! is wished and what is true meet in one rule, so that it does not matter in which order wishes,
//! lists from the store and ends of workers come.

use std::collections::BTreeMap;

use memcloud_domain::{JobId, JobRecord, JobState, Timestamp};

use crate::messages::is_running;

/// What the supervisor is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start a worker for it.
    Start(JobRecord),
    /// Have its worker save and stop, then say so with [`Jobs::worker_stopped`].
    Stop(JobId),
    /// Have its state recorded and shown.
    Record(JobId, JobState),
}

#[derive(Debug, Clone, PartialEq)]
enum Worker {
    None,
    Runs(JobRecord),
    Stops,
}

#[derive(Debug, Clone)]
struct Held {
    record: JobRecord,
    /// Whether the store has listed it: then it goes when the store no longer does.
    listed: bool,
    removed: bool,
    worker: Worker,
}

/// The jobs of a microgrid.
#[derive(Debug, Default)]
pub struct Jobs {
    held: BTreeMap<JobId, Held>,
    /// Counts what came by message, so that a list from the store that is older than it is known.
    changes: u64,
}

impl Jobs {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.values().filter(|held| !held.removed).count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A job, unless it is being removed.
    #[must_use]
    pub fn get(&self, job: &JobId) -> Option<&JobRecord> {
        self.held.get(job).filter(|held| !held.removed).map(|held| &held.record)
    }

    /// All jobs, by id.
    pub fn records(&self) -> impl Iterator<Item = &JobRecord> {
        self.held.values().filter(|held| !held.removed).map(|held| &held.record)
    }

    /// Whether a worker of this job runs or is being stopped.
    #[must_use]
    pub fn has_worker(&self, job: &JobId) -> bool {
        self.held.get(job).is_some_and(|held| held.worker != Worker::None)
    }

    /// How many changes came by message so far; to be handed to [`Jobs::listed`].
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Someone says how a job now is.
    pub fn changed(&mut self, record: JobRecord) -> Vec<Effect> {
        self.changes += 1;
        self.put(record, false)
    }

    /// Someone wishes a job to run, or not to. Nothing where there is none of this id.
    pub fn wished(&mut self, job: &JobId, state: JobState) -> Vec<Effect> {
        self.changes += 1;
        let Some(held) = self.held.get_mut(job) else { return Vec::new() };
        if held.record.state == state {
            return self.settle(job);
        }
        held.record.state = state.clone();
        let mut effects = vec![Effect::Record(job.clone(), state)];
        effects.extend(self.settle(job));
        effects
    }

    /// Someone says that a job is no more.
    pub fn removed(&mut self, job: &JobId) -> Vec<Effect> {
        self.changes += 1;
        if let Some(held) = self.held.get_mut(job) {
            held.removed = true;
        }
        self.settle(job)
    }

    /// The store's list, asked for when [`Jobs::changes`] was `as_of`. States that are still to be
    /// recorded (`unrecorded`) are newer than the list's. An overtaken list changes nothing.
    pub fn listed(
        &mut self,
        records: Vec<JobRecord>,
        as_of: u64,
        unrecorded: &BTreeMap<JobId, JobState>,
    ) -> Vec<Effect> {
        if as_of != self.changes {
            return Vec::new();
        }
        let mut effects = Vec::new();
        let gone: Vec<JobId> = self
            .held
            .iter()
            .filter(|(job, held)| held.listed && !records.iter().any(|record| record.id == **job))
            .map(|(job, _)| job.clone())
            .collect();
        for job in gone {
            effects.extend(self.removed(&job));
        }
        for mut record in records {
            if let Some(state) = unrecorded.get(&record.id) {
                record.state = state.clone();
            }
            effects.extend(self.put(record, true));
        }
        effects
    }

    /// A worker has stopped as it was told to.
    pub fn worker_stopped(&mut self, job: &JobId) -> Vec<Effect> {
        if let Some(held) = self.held.get_mut(job) {
            held.worker = Worker::None;
        }
        self.settle(job)
    }

    /// A worker failed more often than its policy bears.
    pub fn worker_failed(&mut self, job: &JobId, reason: String, at: Timestamp) -> Vec<Effect> {
        let Some(held) = self.held.get_mut(job) else { return Vec::new() };
        if !matches!(held.worker, Worker::Runs(_)) {
            // It was being stopped anyway; that it is over is said by `worker_stopped`.
            return Vec::new();
        }
        held.worker = Worker::None;
        let state = JobState::Failed { reason, at };
        held.record.state = state.clone();
        self.changes += 1;
        vec![Effect::Record(job.clone(), state)]
    }

    /// A job cannot even be started.
    pub fn not_startable(&mut self, job: &JobId, reason: String, at: Timestamp) -> Vec<Effect> {
        self.worker_failed(job, reason, at)
    }

    fn put(&mut self, record: JobRecord, listed: bool) -> Vec<Effect> {
        let job = record.id.clone();
        match self.held.get_mut(&job) {
            Some(held) => {
                held.record = record;
                held.listed |= listed;
                held.removed = false;
            }
            None => {
                let held = Held { record, listed, removed: false, worker: Worker::None };
                self.held.insert(job.clone(), held);
            }
        }
        self.settle(&job)
    }

    /// The one rule.
    fn settle(&mut self, job: &JobId) -> Vec<Effect> {
        let Some(held) = self.held.get_mut(job) else { return Vec::new() };
        let is_wanted = !held.removed && is_running(&held.record.state);
        match &held.worker {
            Worker::None if is_wanted => {
                held.worker = Worker::Runs(held.record.clone());
                vec![Effect::Start(held.record.clone())]
            }
            Worker::None => {
                if held.removed {
                    self.held.remove(job);
                }
                Vec::new()
            }
            Worker::Runs(with) if is_wanted && does_the_same(with, &held.record) => Vec::new(),
            Worker::Runs(_) => {
                held.worker = Worker::Stops;
                vec![Effect::Stop(job.clone())]
            }
            Worker::Stops => Vec::new(),
        }
    }
}

fn does_the_same(one: &JobRecord, other: &JobRecord) -> bool {
    one.app == other.app
        && one.configuration == other.configuration
        && one.priority == other.priority
}

#[cfg(test)]
mod tests {
    use memcloud_domain::MicrogridId;
    use serde_json::json;

    use super::*;

    fn record(label: &str, state: JobState) -> JobRecord {
        JobRecord {
            id: id(),
            microgrid: MicrogridId::new("fontana").unwrap(),
            app: "recorder".into(),
            configuration: json!({ "label": label }),
            priority: 0,
            created: Timestamp(0),
            state,
        }
    }

    fn id() -> JobId {
        JobId::new("job-1").unwrap()
    }

    fn running(label: &str) -> JobRecord {
        record(label, JobState::Running)
    }

    #[test]
    fn the_same_record_twice_starts_one_worker() {
        let mut jobs = Jobs::default();
        assert_eq!(jobs.changed(running("a")), [Effect::Start(running("a"))]);
        assert_eq!(jobs.changed(running("a")), []);
    }

    #[test]
    fn a_changed_job_is_started_only_once_its_old_worker_has_stopped() {
        let mut jobs = Jobs::default();
        jobs.changed(running("a"));
        assert_eq!(jobs.changed(running("b")), [Effect::Stop(id())]);
        assert_eq!(jobs.changed(running("c")), [], "it is being stopped already");
        assert_eq!(jobs.worker_stopped(&id()), [Effect::Start(running("c"))]);
    }

    #[test]
    fn a_job_that_is_wished_back_while_it_stops_starts_again() {
        let mut jobs = Jobs::default();
        jobs.changed(running("a"));
        let stopped = Effect::Record(id(), JobState::Stopped);
        assert_eq!(jobs.wished(&id(), JobState::Stopped), [stopped, Effect::Stop(id())]);
        let runs = Effect::Record(id(), JobState::Running);
        assert_eq!(jobs.wished(&id(), JobState::Running), [runs]);
        assert_eq!(jobs.worker_stopped(&id()), [Effect::Start(running("a"))]);
    }

    #[test]
    fn a_list_that_was_overtaken_by_a_change_or_by_an_unrecorded_state_brings_nothing_back() {
        let mut jobs = Jobs::default();
        let as_of = jobs.changes();
        jobs.changed(running("new"));
        assert_eq!(jobs.listed(vec![running("old")], as_of, &BTreeMap::new()), []);
        assert_eq!(jobs.get(&id()), Some(&running("new")));

        jobs.worker_failed(&id(), "it broke".into(), Timestamp(1));
        let failed = JobState::Failed { reason: "it broke".into(), at: Timestamp(1) };
        let unrecorded = BTreeMap::from([(id(), failed.clone())]);
        assert_eq!(jobs.listed(vec![running("new")], jobs.changes(), &unrecorded), []);
        assert_eq!(jobs.get(&id()).unwrap().state, failed);
    }

    #[test]
    fn a_job_that_the_store_no_longer_lists_goes_but_one_that_it_never_listed_stays() {
        let mut jobs = Jobs::default();
        jobs.changed(running("a"));
        let nothing = BTreeMap::new();
        assert_eq!(jobs.listed(Vec::new(), jobs.changes(), &nothing), []);
        jobs.listed(vec![running("a")], jobs.changes(), &nothing);
        assert_eq!(jobs.listed(Vec::new(), jobs.changes(), &nothing), [Effect::Stop(id())]);
        assert!(jobs.is_empty());
        assert_eq!(jobs.worker_stopped(&id()), []);
        assert!(!jobs.has_worker(&id()));
    }
}
