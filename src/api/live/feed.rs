//! One listener's feed. A task of its own takes what it is for from the bus and puts it in the
//! listener's bounded queue, so that a connection that does not take it off costs nobody else.

use std::time::Duration;

use memcloud_bus::{CloudEvent, CommittedBatch, Delivery, Pattern, Queue, QueueInlet, queue};
use memcloud_domain::messages::{JobReport, ReadingsCommitted};
use memcloud_domain::{Entry, HemId, MicrogridId, Timestamp};
use memcloud_rest::{LiveDevice, LiveJobReport, LiveMessage, NodeValues};
use prometheus::IntCounter;

use super::listeners::Seat;
use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::state::State;

/// How many messages of the bus wait for a feed's own task, which only sorts them.
const BUS_QUEUE: usize = 256;
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

    fn wants(&self, event: &CloudEvent) -> bool {
        if self.microgrid.as_ref().is_some_and(|wanted| wanted != event.microgrid()) {
            return false;
        }
        match event {
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
    Entry { microgrid: MicrogridId, batch: CommittedBatch, index: usize },
    Event(Box<CloudEvent>),
}

/// What is said to a listener next.
#[derive(Debug)]
pub(super) struct Said {
    /// The number of a stored reading or event, as `<hem>:<seq>`.
    pub(super) id: Option<String>,
    /// The message as JSON.
    pub(super) json: String,
}

/// One listener's feed; also holds its seat.
#[derive(Debug)]
pub(super) struct Feed {
    updates: Queue<Update>,
    next: Option<Said>,
    lost: IntCounter,
    _seat: Seat,
}

impl Feed {
    /// Binds to the bus what the filter lets through.
    ///
    /// # Errors
    /// `internal` where the microgrid's id is no routing key, which ids are.
    pub(super) fn open(state: &State, filter: Filter, seat: Seat) -> ApiResult<Self> {
        let key = filter.microgrid.as_ref().map_or("#", |microgrid| microgrid.as_str());
        let pattern: Pattern = key.parse().map_err(|error| {
            log::error!(error:%; "a microgrid's id is no routing key");
            ApiError::new(ErrorCode::Internal, "this microgrid cannot be listened to")
        })?;
        let readings = state.bus.readings.bind(&pattern, BUS_QUEUE);
        let events = state.bus.events.bind(&pattern, BUS_QUEUE);
        let (inlet, updates) = queue(state.inner().settings.live_queue);
        actix_web::rt::spawn(sort(readings, events, filter, inlet));
        Ok(Self { updates, next: None, lost: state.inner().metrics.live_lost.clone(), _seat: seat })
    }

    /// Waits for what is to be said next; nothing once the bus is gone. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Said> {
        if let Some(said) = self.next.take() {
            return Some(said);
        }
        loop {
            let Delivery { message, lost_before } = self.updates.recv().await?;
            let update = told(&message);
            if lost_before == 0 {
                let Some(update) = update else { continue };
                return Some(update);
            }
            self.lost.inc_by(lost_before);
            self.next = update;
            return Some(said(None, &LiveMessage::Lost { count: lost_before }));
        }
    }
}

/// Takes from the bus what the filter lets through, until the listener or the bus is gone.
async fn sort(
    mut readings: Queue<ReadingsCommitted>,
    mut events: Queue<CloudEvent>,
    filter: Filter,
    inlet: QueueInlet<Update>,
) {
    let mut look_around = tokio::time::interval(SIGN_OF_LIFE);
    loop {
        tokio::select! {
            delivery = readings.recv() => {
                let Some(Delivery { message, lost_before }) = delivery else { return };
                inlet.note_lost(lost_before);
                for batch in CommittedBatch::of_commit(&message.batches) {
                    if !filter.wants_hem(&batch.batch().hem) {
                        continue;
                    }
                    for index in 0..batch.batch().entries.len() {
                        let microgrid = message.microgrid.clone();
                        inlet.push(Update::Entry { microgrid, batch: batch.clone(), index });
                    }
                }
            }
            delivery = events.recv() => {
                let Some(Delivery { message, lost_before }) = delivery else { return };
                inlet.note_lost(lost_before);
                if filter.wants(&message) {
                    inlet.push(Update::Event(Box::new(message)));
                }
            }
            _ = look_around.tick() => {}
        }
        if inlet.is_abandoned() {
            return;
        }
    }
}

fn said(id: Option<String>, message: &LiveMessage) -> Said {
    Said { id, json: serde_json::to_string(message).unwrap_or_default() }
}

/// What an update says to a listener; nothing where it is none of theirs.
fn told(update: &Update) -> Option<Said> {
    match update {
        Update::Entry { microgrid, batch, index } => {
            let batch = batch.batch();
            entry_told(microgrid, &batch.hem, batch.entries.get(*index)?)
        }
        Update::Event(event) => event_told(event).map(|message| said(None, &message)),
    }
}

fn entry_told(microgrid: &MicrogridId, hem: &HemId, entry: &Entry) -> Option<Said> {
    let id = Some(format!("{hem}:{}", entry.seq()));
    let (microgrid, hem) = (microgrid.clone(), hem.clone());
    match entry {
        Entry::Reading(reading) => Some(said(
            id,
            &LiveMessage::Reading {
                microgrid,
                hem,
                seq: reading.seq,
                ts: reading.ts.to_datetime(),
                received: reading.received.to_datetime(),
                nodes: reading.nodes.iter().copied().map(NodeValues::from).collect(),
            },
        )),
        Entry::Event(event) => {
            Some(said(id, &LiveMessage::Event { microgrid, hem, event: event.clone().into() }))
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
        _ => None,
    }
}
