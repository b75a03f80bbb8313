//! What an energy app is: a configuration, a state, and a pure step from what is new to what it
//! found out and what it wants of the homes' nodes. It does no I/O, asks no clock and keeps nothing
//! outside its state, so that it can be tested in a line, replayed, and resumed where it stood.

use memcloud_bus::CommittedBatch;
use memcloud_domain::messages::HemBatch;
use memcloud_domain::{
    Entry, HemId, JobLogLevel, JobResult, NodeId, Reading, Setting, Timestamp, Wish,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

use crate::Roster;

/// Where a new job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the first entry that is stored of each HEM, so that it sees the past too.
    Beginning,
    /// With what comes after its deployment.
    Now,
}

/// What an app says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct About {
    /// Its name, unique in a catalogue: `energy-accounting`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it does, in a sentence or three.
    pub description: &'static str,
    /// Where a new job begins.
    pub start: Start,
    /// How often it wants a step although nothing arrived; absent: never. At least a second.
    pub tick: Option<Duration>,
}

/// An energy app.
///
/// A step gets the state that the last one left, even over restarts; the state is saved together with
/// how far the job has read and with the results, so none of them runs ahead of the others. A step that
/// panics, or takes longer than its deadline, ends this life of the job: it is started again, after a
/// pause, from what was saved last.
pub trait EnergyApp: Sized + Send + 'static {
    /// What a person sets. Its `Default` is what a person need not set.
    type Configuration: Serialize + DeserializeOwned + JsonSchema + Default;
    /// What it keeps between steps. Small: it is written every few seconds.
    type State: Serialize + DeserializeOwned + Default + Send;

    /// What it says of itself.
    const ABOUT: About;

    /// Makes it for a configuration.
    ///
    /// # Errors
    /// A sentence that says which setting is wrong, and what it may be.
    fn new(configuration: Self::Configuration) -> Result<Self, String>;

    /// Takes what is new. Pure: the same state, time and view always give the same.
    fn step(&self, state: &mut Self::State, now: Timestamp, view: &View) -> Outcome;
}

/// An entry as an app sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen<'a> {
    /// Whose.
    pub hem: &'a HemId,
    /// What was stored.
    pub entry: &'a Entry,
    /// Whether it tells of the past: it came more than a minute after it was taken, or one that was
    /// taken later was seen before. Apps that watch or steer pass it over; accounting takes it.
    pub late: bool,
}

impl<'a> Seen<'a> {
    /// The reading, if it is one.
    #[must_use]
    pub fn reading(&self) -> Option<&'a Reading> {
        match self.entry {
            Entry::Reading(reading) => Some(reading),
            _ => None,
        }
    }
}

/// A run of entries of one HEM, ascending by number. It shares the memory of the commit it is from.
#[derive(Debug, Clone)]
pub struct Portion {
    batch: CommittedBatch,
    from: usize,
    to: usize,
    newest_before: Option<Timestamp>,
}

impl Portion {
    /// How old an entry may be when it arrives without being late.
    pub const LATE_AFTER: Duration = Duration::from_secs(60);

    /// The entries `from..to` of a batch; `newest_before` is the newest time seen of this HEM.
    #[must_use]
    pub fn new(
        batch: CommittedBatch,
        from: usize,
        to: usize,
        newest_before: Option<Timestamp>,
    ) -> Self {
        Self { batch, from, to, newest_before }
    }

    /// Whose.
    #[must_use]
    pub fn hem(&self) -> &HemId {
        &self.batch.batch().hem
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.batch.batch().entries.get(self.from..self.to).unwrap_or(&[])
    }

    /// The first `count` entries, and the rest.
    #[must_use]
    pub fn split_at(self, count: usize) -> (Self, Self) {
        let middle = self.from.saturating_add(count).min(self.to);
        let first = Self { to: middle, batch: self.batch.clone(), ..self };
        let newest_before = first.newest_after();
        (first, Self { from: middle, newest_before, ..self })
    }

    /// The newest time seen of this HEM, these entries included.
    #[must_use]
    pub fn newest_after(&self) -> Option<Timestamp> {
        let told = self.entries().iter().filter(|entry| tells_of_a_time(entry));
        told.map(|entry| times(entry).0).chain(self.newest_before).max()
    }

    fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        let hem = self.hem();
        let mut newest = self.newest_before;
        self.entries().iter().map(move |entry| {
            let (ts, received) = times(entry);
            let overtaken = newest.is_some_and(|newest| ts < newest);
            if tells_of_a_time(entry) {
                newest = newest.max(Some(ts));
            }
            Seen { hem, entry, late: overtaken || received.since(ts) > Self::LATE_AFTER }
        })
    }
}

/// When an entry was taken, as far as that can be believed, and when it was received.
fn times(entry: &Entry) -> (Timestamp, Timestamp) {
    let received = match entry {
        Entry::Reading(reading) => reading.received,
        Entry::Event(event) => event.received,
        Entry::Refused(refusal) => refusal.received,
    };
    (entry.ts().min(received), received)
}

/// Of what was refused only the receipt is known: what comes after it was often taken before.
fn tells_of_a_time(entry: &Entry) -> bool {
    !matches!(entry, Entry::Refused(_))
}

/// What an app sees in a step: its microgrid, and the entries that are new since the last step.
#[derive(Debug, Clone)]
pub struct View {
    roster: Arc<Roster>,
    portions: Vec<Portion>,
}

impl View {
    /// Makes one of portions. For tests of apps, [`View::of_entries`] is handier.
    #[must_use]
    pub fn new(roster: Arc<Roster>, portions: Vec<Portion>) -> Self {
        Self { roster, portions }
    }

    /// Makes one of plain entries, as a test of an app has them.
    #[must_use]
    pub fn of_entries(roster: Arc<Roster>, entries: Vec<(HemId, Vec<Entry>)>) -> Self {
        let portions = entries
            .into_iter()
            .map(|(hem, entries)| {
                let batch = HemBatch {
                    hem,
                    epoch: memcloud_domain::Epoch::default(),
                    after: memcloud_domain::Seq::NONE,
                    through: entries.last().map_or(memcloud_domain::Seq::NONE, Entry::seq),
                    entries,
                };
                let length = batch.entries.len();
                Portion::new(CommittedBatch::from(batch), 0, length, None)
            })
            .collect();
        Self { roster, portions }
    }

    /// The microgrid and the nodes of its homes.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What is new: per HEM ascending by number, each at least once over the job's whole life.
    pub fn entries(&self) -> impl Iterator<Item = Seen<'_>> {
        self.portions.iter().flat_map(Portion::seen)
    }

    /// Whether nothing is new: a step by the clock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.portions.iter().all(|portion| portion.entries().is_empty())
    }
}

/// What an app found out in a step.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Results; one with the identity (kind, subject, from) of an earlier one replaces it.
    pub results: Vec<JobResult>,
    /// Lines for the job's log.
    pub log: Vec<(JobLogLevel, String)>,
    /// Whether people should see it at once, and not with the next checkpoint.
    pub urgent: bool,
    /// What it wants of nodes. Each stands until its lease ends, and takes the place of the app's
    /// earlier one for the node and the kind of setting.
    pub wishes: Vec<Wish>,
    /// Nodes of which it wants nothing any more; taken before the wishes.
    pub withdrawn: Vec<(HemId, NodeId)>,
    /// Wishes and withdrawals for which there was no room.
    pub(crate) unheard: u64,
}

impl Outcome {
    /// So many wishes, and so many withdrawals, of a step are heard at most. What is beyond is counted and
    /// takes no memory, so that a flood costs nobody more than its own thread's time.
    pub const MOST_WISHES: usize = 10_000;

    /// Adds a result.
    pub fn report(
        &mut self,
        kind: &str,
        subject: &str,
        from: Timestamp,
        to: Timestamp,
        body: serde_json::Value,
    ) {
        let (kind, subject) = (kind.to_owned(), subject.to_owned());
        self.results.push(JobResult { kind, subject, from, to, body });
    }

    /// Adds a line that is good to know.
    pub fn info(&mut self, text: impl Into<String>) {
        self.log.push((JobLogLevel::Info, text.into()));
    }

    /// Wishes something of a node for so long. An app wishes again well before a lease ends.
    pub fn wish(
        &mut self,
        hem: &HemId,
        node: NodeId,
        setting: Setting,
        lease: Duration,
        reason: impl Into<String>,
    ) {
        if self.wishes.len() >= Self::MOST_WISHES {
            self.unheard += 1;
            return;
        }
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let (hem, reason) = (hem.clone(), reason.into());
        self.wishes.push(Wish { hem, node, setting, lease_ms, reason });
    }

    /// Wants nothing of a node any more.
    pub fn withdraw(&mut self, hem: &HemId, node: NodeId) {
        if self.withdrawn.len() >= Self::MOST_WISHES {
            self.unheard += 1;
            return;
        }
        self.withdrawn.push((hem.clone(), node));
    }

    /// Adds a line that someone may want to look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.log.push((JobLogLevel::Warn, text.into()));
    }
}
