//! Who answers the API in its tests, where the real ones would need engines or sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult};
use memcloud_domain::messages::{
    CancelCommand, CommandError, GetCommand, GetSeries, ListCommands, ListEvents, ListMarks,
    ListReadings, Order, Page, RequestCommands, SeriesSubject, Unavailable,
};
use memcloud_domain::{
    CommandId, CommandRecord, CommandState, HemEvent, HemId, HemMark, HemStatus, MicrogridId,
    NodeId, NodeWhy, PowerTotals, Reading, Resolution, Seq, Series, Timestamp, Transition, Wish,
};
use memcloud_microgrid::{ExplainNodes, SubmitWishes, WishRefused, WishesTaken};
use memcloud_status::{
    GetHemStatus, GetMicrogridStatus, ListHemStatuses, ListMicrogridStatuses, MicrogridStatus,
    StatusPage,
};
use memcloud_supervision::{Observe, supervised};

use super::world::NOW;

/// What the stand-ins know, and what they were asked.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) readings: Vec<Reading>,
    pub(super) events: Vec<HemEvent>,
    pub(super) statuses: BTreeMap<HemId, HemStatus>,
    pub(super) series_asked: Option<(SeriesSubject, String)>,
    pub(super) pages_asked: usize,
    pub(super) largest_page: usize,
    pub(super) is_away: bool,
    /// The ledger, by age.
    pub(super) commands: BTreeMap<CommandId, Arc<CommandRecord>>,
    /// A HEM that has as many open commands as it may.
    pub(super) full: Option<HemId>,
    pub(super) whys: Vec<NodeWhy>,
    pub(super) submitted: Vec<SubmitWishes>,
    pub(super) marks: Vec<HemMark>,
}

pub(super) type Shared = Arc<std::sync::Mutex<Known>>;

/// Stands in for the historian: keeps what the test puts in.
pub(super) struct StandInHistorian(pub(super) Shared);

impl Actor for StandInHistorian {
    type Context = Context<Self>;
}
impl Observe for StandInHistorian {}
supervised!(StandInHistorian);

fn page<T: Clone>(
    items: &[T],
    seq: impl Fn(&T) -> Seq,
    after: Option<Seq>,
    limit: usize,
    order: Order,
) -> Page<T> {
    let mut fitting: Vec<T> = items
        .iter()
        .filter(|item| match (after, order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => seq(item) > after,
            (Some(after), Order::Descending) => seq(item) < after,
        })
        .cloned()
        .collect();
    if order == Order::Descending {
        fitting.reverse();
    }
    let is_last = fitting.len() <= limit;
    fitting.truncate(limit);
    let next = if is_last { None } else { fitting.last().map(seq) };
    Page { items: fitting, next }
}

impl StandInHistorian {
    fn known(&self) -> Result<std::sync::MutexGuard<'_, Known>, Unavailable> {
        let known = self.0.lock().unwrap();
        if known.is_away {
            return Err(Unavailable { what: "iot store", reason: "the disk is full".to_owned() });
        }
        Ok(known)
    }
}

impl Handler<ListReadings> for StandInHistorian {
    type Result = MessageResult<ListReadings>;

    fn handle(&mut self, asked: ListReadings, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|mut known| {
            known.pages_asked += 1;
            known.largest_page = known.largest_page.max(asked.limit);
            let in_range: Vec<Reading> = known
                .readings
                .iter()
                .filter(|reading| asked.range.from.is_none_or(|from| reading.ts >= from))
                .filter(|reading| asked.range.to.is_none_or(|to| reading.ts < to))
                .cloned()
                .collect();
            page(&in_range, |reading| reading.seq, asked.after, asked.limit, asked.order)
        }))
    }
}

impl Handler<ListEvents> for StandInHistorian {
    type Result = MessageResult<ListEvents>;

    fn handle(&mut self, asked: ListEvents, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|known| {
            page(&known.events, |event| event.seq, asked.after, asked.limit, asked.order)
        }))
    }
}

impl Handler<GetSeries> for StandInHistorian {
    type Result = MessageResult<GetSeries>;

    fn handle(&mut self, asked: GetSeries, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|mut known| {
            known.series_asked = Some((asked.subject, asked.time_zone));
            Series {
                points: Vec::new(),
                unit: asked.quantity.unit().to_owned(),
                resolution: Resolution::Minute,
                step_seconds: 60,
            }
        }))
    }
}

/// Stands in for the status monitor: answers what the test puts in.
pub(super) struct StandInStatus(pub(super) Shared);

impl Actor for StandInStatus {
    type Context = Context<Self>;
}
impl Observe for StandInStatus {}
supervised!(StandInStatus);

impl Handler<GetHemStatus> for StandInStatus {
    type Result = MessageResult<GetHemStatus>;

    fn handle(&mut self, asked: GetHemStatus, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        MessageResult(known.statuses.get(&asked.hem).cloned().map(Arc::new))
    }
}

impl Handler<ListHemStatuses> for StandInStatus {
    type Result = MessageResult<ListHemStatuses>;

    fn handle(&mut self, asked: ListHemStatuses, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        let wanted = asked.hems.unwrap_or_default();
        let items = wanted
            .iter()
            .filter_map(|hem| known.statuses.get(hem).cloned().map(Arc::new))
            .collect();
        MessageResult(StatusPage { items, next: None })
    }
}

fn nobody(microgrid: MicrogridId) -> MicrogridStatus {
    MicrogridStatus { microgrid, totals: PowerTotals::default(), online: 0, active: 0, known: 0 }
}

impl Handler<GetMicrogridStatus> for StandInStatus {
    type Result = MessageResult<GetMicrogridStatus>;

    fn handle(&mut self, asked: GetMicrogridStatus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(nobody(asked.microgrid))
    }
}

impl Handler<ListMicrogridStatuses> for StandInStatus {
    type Result = MessageResult<ListMicrogridStatuses>;

    fn handle(&mut self, asked: ListMicrogridStatuses, _: &mut Context<Self>) -> Self::Result {
        MessageResult(asked.microgrids.into_iter().map(nobody).collect())
    }
}

impl Handler<ListMarks> for StandInHistorian {
    type Result = MessageResult<ListMarks>;

    fn handle(&mut self, _: ListMarks, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.known().map(|known| known.marks.clone()))
    }
}

/// Stands in for the command processor: keeps what it is asked for as accepted.
pub(super) struct StandInLedger(pub(super) Shared);

impl Actor for StandInLedger {
    type Context = Context<Self>;
}
impl Observe for StandInLedger {}
supervised!(StandInLedger);

pub(super) fn step(state: CommandState) -> Transition {
    Transition { state, at: Timestamp(NOW), because: None, evidence: None }
}

fn away() -> Unavailable {
    Unavailable { what: "web store", reason: "the disk is full".to_owned() }
}

impl Handler<RequestCommands> for StandInLedger {
    type Result = MessageResult<RequestCommands>;

    fn handle(&mut self, asked: RequestCommands, _: &mut Context<Self>) -> Self::Result {
        let mut known = self.0.lock().unwrap();
        if known.is_away {
            return MessageResult(Err(away().into()));
        }
        let mut taken = Vec::new();
        for request in asked.requests {
            if known.full.as_ref() == Some(&request.hem) {
                return MessageResult(Err(CommandError::TooMany { hem: request.hem, open: 256 }));
            }
            let id = CommandId::new(&format!("c{:04}", known.commands.len() + 1)).unwrap();
            let expires = request.expires_ms.unwrap_or(60_000);
            let record = Arc::new(CommandRecord {
                id: id.clone(),
                microgrid: request.microgrid,
                hem: request.hem,
                node: request.node,
                action: request.action,
                asker: request.asker,
                reason: request.reason,
                priority: request.priority,
                issued: Timestamp(NOW),
                expires: Timestamp(NOW + i64::try_from(expires).unwrap()),
                lease_ms: request.lease_ms,
                ordered: None,
                order: None,
                acted_at: None,
                state: CommandState::Accepted,
                history: vec![step(CommandState::Accepted)],
            });
            known.commands.insert(id, Arc::clone(&record));
            taken.push(record);
        }
        MessageResult(Ok(taken))
    }
}

impl Handler<GetCommand> for StandInLedger {
    type Result = MessageResult<GetCommand>;

    fn handle(&mut self, asked: GetCommand, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        MessageResult(if known.is_away {
            Err(away())
        } else {
            Ok(known.commands.get(&asked.command).cloned())
        })
    }
}

impl Handler<ListCommands> for StandInLedger {
    type Result = MessageResult<ListCommands>;

    fn handle(&mut self, asked: ListCommands, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        let items = known
            .commands
            .values()
            .rev()
            .filter(|command| asked.after.as_ref().is_none_or(|after| command.id < *after))
            .filter(|command| asked.microgrid.as_ref().is_none_or(|id| command.microgrid == *id))
            .filter(|command| asked.hem.as_ref().is_none_or(|id| command.hem == *id))
            .filter(|command| asked.state.is_none_or(|state| command.state == state))
            .take(asked.limit)
            .cloned()
            .collect();
        MessageResult(Ok(Page { items, next: None }))
    }
}

impl Handler<CancelCommand> for StandInLedger {
    type Result = MessageResult<CancelCommand>;

    fn handle(&mut self, asked: CancelCommand, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        let Some(command) = known.commands.get(&asked.command).cloned() else {
            return MessageResult(Err(CommandError::Unknown));
        };
        drop(known);
        if command.state != CommandState::Accepted {
            return MessageResult(Err(CommandError::TooLate(command)));
        }
        MessageResult(Ok(self.0.lock().unwrap().moved(&command.id, CommandState::Cancelled)))
    }
}

impl Known {
    /// Moves a command on; nobody is told.
    pub(super) fn moved(&mut self, id: &CommandId, state: CommandState) -> Arc<CommandRecord> {
        let mut record = self.commands[id].as_ref().clone();
        record.state = state;
        record.history.push(step(state));
        let record = Arc::new(record);
        self.commands.insert(id.clone(), Arc::clone(&record));
        record
    }
}

/// Stands in for dispatch: takes wishes of node 5 alone, of external jobs that run.
pub(super) struct StandInDispatch(pub(super) Shared);

impl Actor for StandInDispatch {
    type Context = Context<Self>;
}
impl Observe for StandInDispatch {}
supervised!(StandInDispatch);

impl Handler<ExplainNodes> for StandInDispatch {
    type Result = MessageResult<ExplainNodes>;

    fn handle(&mut self, asked: ExplainNodes, _: &mut Context<Self>) -> Self::Result {
        let known = self.0.lock().unwrap();
        let wanted = |why: &&NodeWhy| asked.hem.as_ref().is_none_or(|hem| why.hem == *hem);
        MessageResult(Ok(known.whys.iter().filter(wanted).cloned().collect()))
    }
}

impl Handler<SubmitWishes> for StandInDispatch {
    type Result = MessageResult<SubmitWishes>;

    fn handle(&mut self, asked: SubmitWishes, _: &mut Context<Self>) -> Self::Result {
        self.0.lock().unwrap().submitted.push(asked.clone());
        let (taken, refused): (Vec<_>, Vec<_>) =
            asked.wishes.into_iter().partition(|wish| wish.node == NodeId(5));
        let because = |wish: Wish| {
            let because = format!("{} has no node {}", wish.hem, wish.node);
            WishRefused { wish, because }
        };
        MessageResult(Ok(WishesTaken {
            taken: taken.len(),
            standing: taken.len(),
            refused: refused.into_iter().map(because).collect(),
        }))
    }
}
