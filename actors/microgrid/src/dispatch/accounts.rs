//! What jobs may do: how many wishes of a job stand, how many of its orders go out a minute, and what of
//! its wishes waits to be taken. What is too much is refused aloud, and costs nobody else anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::{Asker, HemId, JobId, NodeId, Timestamp, Wish};

use super::claim::Kind;

/// Something of a job that waits to be taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Waiting {
    /// A wish, and when it came.
    Wish(Wish, Timestamp),
    /// It wants nothing more of a node.
    Withdrawn(HemId, NodeId),
}

/// A job.
#[derive(Debug, Clone)]
pub struct Account {
    /// Who it is.
    pub asker: Arc<Asker>,
    /// Its priority.
    pub priority: i32,
    /// Where its wishes stand.
    pub standing: BTreeSet<(HemId, NodeId, Kind)>,
    /// What waits to be taken.
    pub inbox: VecDeque<Waiting>,
    /// Whether it is over: once its inbox is empty it is forgotten.
    pub ended: bool,
    orders: Rate,
    complaints: Complaints,
}

/// So many a minute, evenly, with a minute's worth at once.
#[derive(Debug, Clone)]
struct Rate {
    per_minute: f64,
    left: f64,
    at: Timestamp,
}

/// What a job is to be told, at most once a minute.
#[derive(Debug, Clone, Default)]
struct Complaints {
    count: u64,
    last: Option<String>,
    said: Option<Timestamp>,
}

impl Account {
    const SAYS_EVERY: Duration = Duration::from_secs(60);

    /// A job without wishes.
    #[must_use]
    pub fn new(asker: Arc<Asker>, priority: i32, orders_a_minute: u32, now: Timestamp) -> Self {
        let per_minute = f64::from(orders_a_minute);
        Self {
            asker,
            priority,
            standing: BTreeSet::new(),
            inbox: VecDeque::new(),
            ended: false,
            orders: Rate { per_minute, left: per_minute, at: now },
            complaints: Complaints::default(),
        }
    }

    /// Takes one order out of its budget.
    ///
    /// # Errors
    /// When there is room again.
    pub fn order(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let rate = &mut self.orders;
        let minutes = now.since(rate.at).as_secs_f64() / 60.0;
        rate.left = (rate.left + minutes * rate.per_minute).min(rate.per_minute);
        rate.at = rate.at.max(now);
        if rate.left < 1.0 {
            let missing = (1.0 - rate.left) / rate.per_minute.max(1.0) * 60.0;
            return Err(now.plus(Duration::from_secs_f64(missing.clamp(0.1, 60.0))));
        }
        rate.left -= 1.0;
        Ok(())
    }

    /// How many of its orders may go out a minute.
    #[must_use]
    pub fn orders_a_minute(&self) -> f64 {
        self.orders.per_minute
    }

    /// Notes what it is to be told.
    pub fn complain(&mut self, count: u64, because: String) {
        self.complaints.count += count;
        self.complaints.last = Some(because);
    }

    /// What it is to be told now.
    pub fn complaint(&mut self, now: Timestamp) -> Option<String> {
        let complaints = &mut self.complaints;
        let is_time = complaints.said.is_none_or(|said| now.since(said) >= Self::SAYS_EVERY);
        if !is_time {
            return None;
        }
        let last = complaints.last.take()?;
        complaints.said = Some(now);
        let count = std::mem::take(&mut complaints.count);
        Some(match count {
            0 | 1 => last,
            more => format!("{more} times in the last minute, the last time: {last}"),
        })
    }
}

/// All jobs that wished something.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    by_job: BTreeMap<JobId, Account>,
    /// Who goes next.
    turn: Option<JobId>,
}

impl Accounts {
    /// A job.
    #[must_use]
    pub fn get(&self, job: &JobId) -> Option<&Account> {
        self.by_job.get(job)
    }

    /// A job.
    pub fn get_mut(&mut self, job: &JobId) -> Option<&mut Account> {
        self.by_job.get_mut(job)
    }

    /// A job, made where there is none.
    pub fn open(&mut self, job: &JobId, make: impl FnOnce() -> Account) -> &mut Account {
        self.by_job.entry(job.clone()).or_insert_with(make)
    }

    /// Its ids.
    pub fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.by_job.keys()
    }

    /// How many wishes stand.
    #[must_use]
    pub fn standing(&self) -> usize {
        self.by_job.values().map(|account| account.standing.len()).sum()
    }

    /// Whether something waits.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.by_job.values().any(|account| !account.inbox.is_empty())
    }

    /// The next that waits; the jobs take turns.
    pub fn next_waiting(&mut self) -> Option<(JobId, Waiting)> {
        let after = self.turn.take();
        let has = |(_, account): &(&JobId, &mut Account)| !account.inbox.is_empty();
        let beyond = |job: &JobId| after.as_ref().is_none_or(|turn| job > turn);
        let found = self.by_job.iter_mut().filter(has).find(|(job, _)| beyond(job));
        let (job, account) = match found {
            Some(found) => found,
            None => self.by_job.iter_mut().find(has)?,
        };
        let waiting = account.inbox.pop_front()?;
        self.turn = Some(job.clone());
        Some((job.clone(), waiting))
    }

    /// Forgets jobs that are over.
    pub fn forget_ended(&mut self) {
        self.by_job.retain(|_, account| {
            !account.ended || !account.inbox.is_empty() || !account.standing.is_empty()
        });
    }

    /// What jobs are to be told now.
    pub fn complaints(&mut self, now: Timestamp) -> Vec<(JobId, String)> {
        let due = self.by_job.iter_mut();
        due.filter_map(|(job, account)| Some((job.clone(), account.complaint(now)?))).collect()
    }
}
