//! One listener's feed. A task of its own takes what it is for from the hub and puts it in the
//! listener's bounded queue, so that a connection that does not take it off costs nobody else.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use memcloud_bus::{CloudEvent, CommittedBatch, Delivery, Queue, QueueInlet, queue};
use memcloud_domain::messages::{JobReport, ListMarks};
use memcloud_domain::{Entry, HemId, MicrogridId, Seq, Timestamp};
use memcloud_rest::{LiveDevice, LiveJobReport, LiveMessage, NodeValues};
use prometheus::IntCounter;

use super::hub::{Held, Hub, Position, What};
use super::listeners::Seat;
use crate::api::error::ApiResult;
use crate::api::state::State;

/// How much of what the hub holds is taken at a time.
const PORTION: usize = 64;
/// How many HEMs a `missed` names.
const MOST_MISSED: usize = 1_000;
/// How long nothing may be said before a sign of life is.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// To what one listens.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Only of this microgrid.
    pub(super) microgrid: Option<MicrogridId>,
    /// Only of this HEM.
    pub(super) hem: Option<HemId>,
}

impl Filter {
    fn wants_hem(&self, hem: &HemId) -> bool {
        self.hem.as_ref().is_none_or(|wanted| wanted == hem)
    }

    fn wants_microgrid(&self, microgrid: &MicrogridId) -> bool {
        self.microgrid.as_ref().is_none_or(|wanted| wanted == microgrid)
    }

    fn wants(&self, event: &CloudEvent) -> bool {
        if !self.wants_microgrid(event.microgrid()) {
            return false;
        }
        match event {
            CloudEvent::CommandChanged(fact) => self.wants_hem(&fact.command.hem),
            CloudEvent::LatestSeen(fact) => self.wants_hem(&fact.hem),
            CloudEvent::HemStatusChanged(fact) => self.wants_hem(&fact.status.hem),
            CloudEvent::JobReported(_) => self.hem.is_none(),
            _ => false,
        }
    }
}

/// Something to be told, which shares the memory of the message that it came in.
#[derive(Debug, Clone)]
enum Update {
    Entry { number: u64, microgrid: MicrogridId, batch: CommittedBatch, index: usize },
    Fact { number: u64, event: Arc<CloudEvent> },
    Lost(u64),
}

/// What is said to a listener next.
#[derive(Debug)]
pub(super) struct Said {
    /// Its id, to go on from there.
    pub(super) id: Option<String>,
    /// The message as JSON.
    pub(super) json: String,
}

impl Said {
    fn new(id: Option<String>, message: &LiveMessage) -> Self {
        Self { id, json: serde_json::to_string(message).unwrap_or_default() }
    }

    /// The message as JSON, with its id among its fields.
    pub(super) fn json_with_id(&self) -> String {
        match (&self.id, self.json.strip_prefix('{')) {
            (Some(id), Some(fields)) => format!("{{\"id\":\"{id}\",{fields}"),
            _ => self.json.clone(),
        }
    }
}

/// One listener's feed; also holds its seat. First comes what was held since it listened last, straight
/// from the hub, then what its own task put in its queue meanwhile.
#[derive(Debug)]
pub(super) struct Feed {
    hub: Arc<Hub>,
    filter: Arc<Filter>,
    /// Taken from the hub, to be told next.
    portion: VecDeque<Update>,
    /// Where the hub is to be read on, and where what was held then ends.
    held: Range<u64>,
    updates: Queue<Update>,
    next: Option<Said>,
    /// The id of the newest update when this feed began.
    begins_behind: String,
    lost: IntCounter,
    _seat: Seat,
}

impl Feed {
    /// Listens from now on, or, with the id of the update that was heard last, from there on.
    ///
    /// # Errors
    /// Those of the historian, who is asked for the HEMs' numbers where what came since is not held.
    pub(super) async fn open(
        state: &State,
        filter: Filter,
        last_id: Option<&str>,
        seat: Seat,
    ) -> ApiResult<Self> {
        let hub = Arc::clone(&state.inner().hub);
        let filter = Arc::new(filter);
        let (inlet, updates) = queue(state.inner().settings.live_queue);
        let head = hub.head();
        let begins_behind = hub.id(head - 1);
        actix_web::rt::spawn(sort(Arc::clone(&hub), head, Arc::clone(&filter), inlet));
        let (from, next) = match last_id.map(|id| hub.position(id)) {
            None => (head, None),
            Some(Position::From(from)) => (from.min(head), None),
            // Asked only now: whatever was committed before the feed begins is below these marks.
            Some(Position::TooLongAgo) => {
                let missed = missed(state, &filter).await?;
                (head, Some(Said::new(Some(begins_behind.clone()), &missed)))
            }
        };
        Ok(Self {
            hub,
            filter,
            portion: VecDeque::new(),
            held: from..head,
            updates,
            next,
            begins_behind,
            lost: state.inner().metrics.live_lost.clone(),
            _seat: seat,
        })
    }

    /// The id behind which it goes on, if the connection breaks before anything was said.
    pub(super) fn begins_behind(&self) -> &str {
        &self.begins_behind
    }

    /// Waits for what is to be said next; nothing once the hub is gone. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some(said) = self.next.take() {
                return Some(said);
            }
            if let Some(update) = self.portion.pop_front() {
                self.next = self.told(&update);
                continue;
            }
            if !self.held.is_empty() {
                self.read_on();
                continue;
            }
            let Delivery { message, lost_before } = self.updates.recv().await?;
            self.next = self.told(&message);
            if lost_before > 0 {
                return Some(self.say_lost(lost_before));
            }
        }
    }

    fn read_on(&mut self) {
        let portion = self.hub.read(self.held.start, self.held.end, PORTION);
        if portion.gone > 0 {
            self.next = Some(self.say_lost(portion.gone));
        }
        for held in &portion.held {
            self.portion.extend(updates(held, &self.filter, &self.held));
        }
        self.held.start = portion.next;
    }

    fn say_lost(&self, count: u64) -> Said {
        self.lost.inc_by(count);
        Said::new(None, &LiveMessage::Lost { count })
    }

    /// What an update says to a listener; nothing where it is none of theirs.
    fn told(&self, update: &Update) -> Option<Said> {
        let (number, message) = match update {
            Update::Entry { number, microgrid, batch, index } => {
                let batch = batch.batch();
                (number, entry_told(microgrid, &batch.hem, batch.entries.get(*index)?)?)
            }
            Update::Fact { number, event } => (number, event_told(event)?),
            Update::Lost(count) => return Some(self.say_lost(*count)),
        };
        Some(Said::new(Some(self.hub.id(*number)), &message))
    }
}

/// Says of each HEM up to which number its entries are in the store.
async fn missed(state: &State, filter: &Filter) -> ApiResult<LiveMessage> {
    let marks = state.historian.ask(ListMarks { microgrid: filter.microgrid.clone() }).await?;
    let mut hems: BTreeMap<HemId, Seq> = marks
        .into_iter()
        .filter(|mark| filter.wants_hem(&mark.hem))
        .map(|mark| (mark.hem, mark.mark))
        .collect();
    let more = hems.len() > MOST_MISSED;
    while hems.len() > MOST_MISSED {
        hems.pop_last();
    }
    Ok(LiveMessage::Missed { hems, more })
}

/// What of something that happened a filter lets through, within a span of numbers.
fn updates<'a>(
    held: &'a Held,
    filter: &Filter,
    span: &'a Range<u64>,
) -> impl Iterator<Item = Update> + 'a {
    let is_wanted = match &held.what {
        What::Batch(microgrid, batch) => {
            filter.wants_microgrid(microgrid) && filter.wants_hem(&batch.batch().hem)
        }
        What::Fact(event) => filter.wants(event),
        What::Lost(_) => true,
    };
    let numbers = if is_wanted { held.number..held.end() } else { 0..0 };
    numbers.filter(|number| span.contains(number)).map(move |number| match &held.what {
        What::Batch(microgrid, batch) => Update::Entry {
            number,
            microgrid: microgrid.clone(),
            batch: batch.clone(),
            index: usize::try_from(number - held.number).unwrap_or(usize::MAX),
        },
        What::Fact(event) => Update::Fact { number, event: Arc::clone(event) },
        What::Lost(count) => Update::Lost(*count),
    })
}

/// Takes from the hub what the filter lets through, until the listener or the hub is gone.
async fn sort(hub: Arc<Hub>, from: u64, filter: Arc<Filter>, inlet: QueueInlet<Update>) {
    let mut head = hub.follow();
    let mut look_around = tokio::time::interval(SIGN_OF_LIFE);
    let mut cursor = from;
    while !inlet.is_abandoned() {
        let end = *head.borrow_and_update();
        while cursor < end {
            let portion = hub.read(cursor, end, PORTION);
            inlet.note_lost(portion.gone);
            let span = cursor..end;
            for held in &portion.held {
                for update in updates(held, &filter, &span) {
                    inlet.push(update);
                }
            }
            cursor = portion.next;
            // Others on this thread have their turn.
            tokio::task::yield_now().await;
        }
        tokio::select! {
            changed = head.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = look_around.tick() => {}
        }
    }
}

fn entry_told(microgrid: &MicrogridId, hem: &HemId, entry: &Entry) -> Option<LiveMessage> {
    let (microgrid, hem) = (microgrid.clone(), hem.clone());
    match entry {
        Entry::Reading(reading) => Some(LiveMessage::Reading {
            microgrid,
            hem,
            seq: reading.seq,
            ts: reading.ts.to_datetime(),
            received: reading.received.to_datetime(),
            nodes: reading.nodes.iter().copied().map(NodeValues::from).collect(),
        }),
        Entry::Event(event) => {
            Some(LiveMessage::Event { microgrid, hem, event: event.clone().into() })
        }
        Entry::Refused(_) => None,
    }
}

fn event_told(event: &CloudEvent) -> Option<LiveMessage> {
    match event {
        CloudEvent::LatestSeen(fact) => Some(LiveMessage::Latest {
            microgrid: fact.microgrid.clone(),
            hem: fact.hem.clone(),
            ts: fact.ts.to_datetime(),
            received: fact.received.to_datetime(),
            nodes: fact.nodes.iter().copied().map(NodeValues::from).collect(),
            unstored: true,
        }),
        CloudEvent::HemStatusChanged(fact) => Some(LiveMessage::Status {
            microgrid: fact.status.microgrid.clone(),
            hem: fact.status.hem.clone(),
            at: fact.at.to_datetime(),
            device: LiveDevice {
                online: fact.status.online,
                active: fact.status.active,
                last_seen: fact.status.last_seen.map(Timestamp::to_datetime),
                flags: fact.status.flags.clone(),
                totals: fact.status.totals.into(),
            },
        }),
        CloudEvent::JobReported(fact) => Some(LiveMessage::Job {
            microgrid: fact.microgrid.clone(),
            job: fact.job.clone(),
            report: match &fact.report {
                JobReport::Result(result) => LiveJobReport::Result(result.clone().into()),
                JobReport::State(state) => state.clone().into(),
            },
        }),
        CloudEvent::CommandChanged(fact) => Some(LiveMessage::Command {
            microgrid: fact.command.microgrid.clone(),
            hem: fact.command.hem.clone(),
            command: Box::new(fact.command.as_ref().into()),
        }),
        _ => None,
    }
}
