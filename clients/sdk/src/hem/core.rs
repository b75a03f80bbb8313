//! A HEM's side of the protocol without I/O: what is said goes into a buffer, what is heard comes in
//! as lines, and what follows from it comes out as effects.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use memcloud_domain::{NodeDeclaration, NodeReading, Secret, Seq};
use memcloud_wire::{
    CloudError, CloudFrame, Command, CommandResult, Event, FrameFault, Hello, HemFrame, Latest,
    MAX_KIND, MAX_TEXT, Outcome, PROTOCOL, Refused, Sample, SampleTime, Welcome,
};
use tokio::time::Instant;

use super::journal::{Journal, Record};
use super::leases::{EndedLease, of_place};
use super::ledger::{LeaseChange, Ledger, Verdict};
use super::queue::{Batched, Item, ItemKind, ItemTime, Queue, Settled};
use super::sendable::{body_of, check_nodes};
use super::{Credential, EventDetails, HemConfig, HemCounters, Keep};
use crate::SdkError;

/// So many bytes are made ready for the connection at a time.
const ENOUGH_OUTPUT: usize = 16 * 1024;
/// A batch is no longer than this, however long a frame may be.
const LONGEST_BATCH: usize = 64 * 1024;
/// No lease is longer; the cloud grants at most a day.
const LONGEST_LEASE: Duration = Duration::from_secs(30 * 86_400);
/// Results that wait for the connection; the cloud asks again for what is lost.
const MOST_RESULTS: usize = 64;
/// Unnumbered frames whose fate is not known yet.
const MOST_UNNUMBERED: usize = 64;

/// What follows from what was heard.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The cloud let it in.
    Welcomed { welcome: Box<Welcome>, renumbered: usize, held: usize },
    /// A reading or event is safe.
    Acknowledged(Settled),
    /// The cloud can never store it.
    Refused(Refused),
    /// The cloud says that something is wrong.
    Error(CloudError),
    /// Carry this out; it is stored already.
    CarryOut(Command),
    /// Close the connection.
    Close { reason: String, error: Option<CloudError> },
}

/// Whether the answer to a command is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Now, or once there is a connection.
    Said,
    /// Only when the cloud asks again.
    Withheld,
}

/// Where the connection stands.
#[derive(Debug)]
enum Phase {
    Offline,
    Greeting { deadline: Instant },
    Online(Online),
}

#[derive(Debug)]
struct Online {
    heartbeat: Duration,
    max_in_flight: usize,
    max_batch: usize,
    max_frame: usize,
    last_said: Instant,
    last_heard: Instant,
    last_ping: Instant,
    /// For each frame without a number: the number said before it.
    unnumbered: VecDeque<Seq>,
    last_number_said: Seq,
}

/// The core.
#[derive(Debug)]
pub(crate) struct Core {
    config: HemConfig,
    key: Option<Secret>,
    queue: Queue,
    ledger: Ledger,
    results: VecDeque<CommandResult>,
    latest: Option<(ItemTime, Vec<NodeReading>)>,
    counters: HemCounters,
    phase: Phase,
}

impl Core {
    pub(crate) fn new(config: HemConfig, now: Instant) -> Result<Self, SdkError> {
        let limit = config.max_queue;
        let (queue, kept_key, ledger) = match &config.keep {
            Keep::Memory => (Queue::in_memory(limit), None, Ledger::default()),
            Keep::Disk { path, sync } => {
                let (journal, mut loaded) = Journal::open(path, &config.hem, *sync, now)?;
                let key = loaded.key.take();
                let ledger = std::mem::take(&mut loaded.ledger);
                (Queue::on_disk(journal, loaded, limit), key, ledger)
            }
        };
        let key = match &config.credential {
            Credential::Key(key) => Some(key.clone()),
            Credential::Enrol(_) => kept_key,
            Credential::Certificate => None,
        };
        Ok(Self {
            config,
            key,
            queue,
            ledger,
            results: VecDeque::new(),
            latest: None,
            counters: HemCounters::default(),
            phase: Phase::Offline,
        })
    }

    pub(crate) fn counters(&self) -> HemCounters {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        HemCounters {
            held: count(self.queue.held()),
            in_flight: count(self.queue.in_flight()),
            ..self.counters
        }
    }

    pub(crate) fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    pub(crate) fn held(&self) -> usize {
        self.queue.held()
    }

    pub(crate) fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online(_))
    }

    // ------------------------------------------------------------------------- what the HEM says

    pub(crate) fn record(
        &mut self,
        time: SampleTime,
        nodes: &[NodeReading],
        now: Instant,
    ) -> Result<Seq, SdkError> {
        check_nodes(nodes)?;
        let sample = Sample { seq: Seq(1), time: SampleTime::Age(0), nodes: nodes.to_vec() };
        let body = body_of(&HemFrame::Reading(sample), "reading")?;
        self.push(ItemKind::Reading, item_time(time, now), body)
    }

    pub(crate) fn report(
        &mut self,
        time: SampleTime,
        kind: &str,
        details: EventDetails,
        now: Instant,
    ) -> Result<Seq, SdkError> {
        let too_long = |text: &str, most: usize| text.chars().nth(most).is_some();
        if kind.is_empty() || too_long(kind, MAX_KIND) {
            return Err(SdkError::NotSendable(format!(
                "an event's kind has 1 to {MAX_KIND} characters"
            )));
        }
        if details.text.as_ref().is_some_and(|text| too_long(text, MAX_TEXT)) {
            return Err(SdkError::NotSendable(format!(
                "an event's text has at most {MAX_TEXT} characters"
            )));
        }
        let event = Event {
            seq: Seq(1),
            time: SampleTime::Age(0),
            kind: kind.to_owned(),
            node: details.node,
            on: details.on,
            watts: details.watts,
            until: details.until,
            text: details.text,
        };
        let body = body_of(&HemFrame::Event(event), "event")?;
        self.push(ItemKind::Event, item_time(time, now), body)
    }

    fn push(&mut self, kind: ItemKind, time: ItemTime, body: Box<str>) -> Result<Seq, SdkError> {
        let seq = self.queue.push(kind, time, body)?;
        self.counters.recorded += 1;
        Ok(seq)
    }

    pub(crate) fn latest(&mut self, time: SampleTime, nodes: &[NodeReading], now: Instant) {
        if self.is_online() && check_nodes(nodes).is_ok() {
            self.latest = Some((item_time(time, now), nodes.to_vec()));
        }
    }

    /// How a command ended.
    pub(crate) fn finish(
        &mut self,
        command: &str,
        outcome: Outcome,
        reason: Option<String>,
        answer: Answer,
    ) {
        if !self.ledger.is_open(command) {
            return;
        }
        let result = CommandResult {
            command: command.to_owned(),
            outcome,
            seq: Some(self.queue.last()),
            reason: reason.map(|text| text.chars().take(MAX_TEXT).collect()),
        };
        self.remember(&result);
        if answer == Answer::Said {
            self.answer(result);
        }
    }

    fn remember(&mut self, result: &CommandResult) {
        let lease = self.ledger.remember_result(result);
        // The lease first: of a command that ended nobody asks whether it had one.
        let written = lease
            .map_or(Ok(()), |lease| match &lease {
                LeaseChange::Runs(place) => self.queue.write(Record::Lease { place }),
                LeaseChange::Over(place) => self.queue.write(Record::LeaseOver { place }),
            })
            .and_then(|()| self.queue.write(Record::Result(result)));
        if let Err(error) = written {
            log::warn!("a command's result is not on disk: {error}");
        }
    }

    /// Keeps an answer until it can be said; the cloud asks again for what is lost on the way.
    fn answer(&mut self, result: CommandResult) {
        self.results.retain(|waiting| waiting.command != result.command);
        if self.results.len() >= MOST_RESULTS {
            self.results.pop_front();
        }
        self.results.push_back(result);
    }

    /// What the next hello declares.
    pub(crate) fn declare(&mut self, nodes: Vec<NodeDeclaration>) {
        self.config.nodes = Some(nodes);
    }

    // ------------------------------------------------------------------------------------- leases

    /// When the next lease ends.
    pub(crate) fn next_lease_end(&self, now: Instant) -> Option<Instant> {
        self.ledger.leases.next_end(now)
    }

    /// Ends the leases whose time has come.
    pub(crate) fn end_leases(&mut self, now: Instant) -> Vec<EndedLease> {
        let mut ended = Vec::new();
        for place in self.ledger.leases.ended(now) {
            self.ledger.leases.end(&place);
            if let Err(error) = self.queue.write(Record::LeaseOver { place: &place }) {
                // After a restart it ends a second time, which changes nothing.
                log::warn!("the end of a lease is not on disk: {error}");
            }
            ended.extend(of_place(&place));
        }
        ended
    }

    // ------------------------------------------------------------------------------ the connection

    /// A connection stands: says hello.
    pub(crate) fn connected(&mut self, now: Instant, out: &mut Vec<u8>) {
        let (key, enrol) = match (&self.key, &self.config.credential) {
            (Some(key), _) => (Some(key.clone()), None),
            (None, Credential::Enrol(token)) => (None, Some(token.clone())),
            (None, Credential::Key(key)) => (Some(key.clone()), None),
            (None, Credential::Certificate) => (None, None),
        };
        HemFrame::Hello(Box::new(Hello {
            protocol: PROTOCOL,
            hem: self.config.hem.clone(),
            key,
            enrol,
            firmware: self.config.firmware.clone(),
            nodes: self.config.nodes.clone(),
        }))
        .encode(out);
        self.phase = Phase::Greeting { deadline: now + self.config.connect_timeout };
    }

    /// The connection is over, or did not come about.
    pub(crate) fn disconnected(&mut self) {
        self.phase = Phase::Offline;
        self.queue.disconnected();
        // Results wait for the next connection; what is true now will not be true later.
        self.latest = None;
        self.counters.disconnects += 1;
    }

    /// A line was heard.
    pub(crate) fn hear(&mut self, line: &[u8], now: Instant, effects: &mut Vec<Effect>) {
        if let Phase::Online(online) = &mut self.phase {
            online.last_heard = now;
        }
        match CloudFrame::decode(line) {
            Ok(CloudFrame::Welcome(welcome)) => self.hear_welcome(welcome, now, effects),
            Ok(CloudFrame::Ack(ack)) => {
                let settled = self.queue.acknowledge(ack.seq);
                self.settle(settled, effects);
                if let Err(error) = self.queue.compact_if_due(self.key.as_ref(), &self.ledger) {
                    log::warn!("the queue's file could not be rewritten: {error}");
                }
            }
            Ok(CloudFrame::Refused(refused)) => {
                if self.queue.refuse(refused.seq) {
                    self.counters.refused += 1;
                }
                effects.push(Effect::Refused(refused));
            }
            Ok(CloudFrame::Command(command)) => self.hear_command(command, now, effects),
            Ok(CloudFrame::Error(error)) => self.hear_error(error, effects),
            Ok(CloudFrame::Pong) => {}
            Err(FrameFault::UnknownType(_)) => {
                // A later version of the cloud; what it adds can be passed over.
                log::debug!("a frame of a type that is not known was passed over");
            }
            Err(fault) => effects.push(Effect::Close {
                reason: format!("the cloud sent what is not a frame: {fault}"),
                error: None,
            }),
        }
    }

    fn settle(&mut self, settled: Vec<Settled>, effects: &mut Vec<Effect>) {
        self.counters.acknowledged += u64::try_from(settled.len()).unwrap_or(u64::MAX);
        effects.extend(settled.into_iter().map(Effect::Acknowledged));
    }

    fn hear_welcome(&mut self, welcome: Welcome, now: Instant, effects: &mut Vec<Effect>) {
        let kept = welcome.key.as_ref().map_or(Ok(()), |key| self.queue.write(Record::Key(key)));
        let outcome = match kept.and_then(|()| self.queue.welcomed(welcome.seq)) {
            Ok(outcome) => outcome,
            Err(error) => {
                // Under numbers that are not on disk nothing may be sent.
                effects.push(Effect::Close { reason: error.to_string(), error: None });
                return;
            }
        };
        if let Some(key) = &welcome.key {
            self.key = Some(key.clone());
        }
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        self.phase = Phase::Online(Online {
            heartbeat: Duration::from_secs(u64::from(welcome.heartbeat_s.max(1))),
            max_in_flight: size(welcome.max_in_flight).max(1),
            max_batch: size(welcome.max_batch).min(self.config.max_batch),
            max_frame: size(welcome.max_frame),
            last_said: now,
            last_heard: now,
            last_ping: now,
            unnumbered: VecDeque::new(),
            last_number_said: welcome.seq,
        });
        self.counters.welcomes += 1;
        self.settle(outcome.acknowledged, effects);
        effects.push(Effect::Welcomed {
            welcome: Box::new(welcome),
            renumbered: outcome.renumbered,
            held: self.queue.held(),
        });
    }

    fn hear_command(&mut self, command: Command, now: Instant, effects: &mut Vec<Effect>) {
        self.counters.commands += 1;
        match self.ledger.judge(&command, self.queue.last()) {
            Verdict::Pending => {}
            Verdict::Answer(result) => {
                self.remember(&result);
                self.answer(result);
            }
            Verdict::CarryOut { place } => {
                let id = command.command.as_str();
                let stored = self
                    .queue
                    .write(Record::Order { place: &place, order: command.order })
                    .and_then(|()| self.queue.write(Record::Begun { command: id }));
                if let Err(error) = stored {
                    // It is not carried out, since it might be again; the cloud will ask again.
                    log::error!("a command is left alone, since its id cannot be stored: {error}");
                    return;
                }
                let lease = command.lease_ms.map(|ms| Duration::from_millis(ms).min(LONGEST_LEASE));
                self.ledger.begin(&command, place, lease.map(|lease| now + lease));
                effects.push(Effect::CarryOut(command));
            }
        }
    }

    fn hear_error(&mut self, error: CloudError, effects: &mut Vec<Effect>) {
        use memcloud_wire::ErrorCode;
        let is_fatal = error.code.is_fatal() || !self.is_online();
        match error.code {
            ErrorCode::BadFrame if !is_fatal => self.hear_bad_frame(&error),
            ErrorCode::Gap => self.queue.renumber_at_welcome(),
            ErrorCode::StaleSeq => self.counters.stale += 1,
            _ => {}
        }
        // A number was used twice, by whomever: only a new welcome shows where the cloud stands.
        let must_reconnect = is_fatal || error.code == ErrorCode::StaleSeq;
        effects.push(Effect::Error(error.clone()));
        if must_reconnect {
            let reason = format!("the cloud said {}: {}", error.code, error.text);
            effects.push(Effect::Close { reason, error: Some(error) });
        }
    }

    fn hear_bad_frame(&mut self, error: &CloudError) {
        self.counters.bad_frames += 1;
        let Phase::Online(online) = &mut self.phase else { return };
        let taken = error.seq.unwrap_or(Seq::NONE);
        if let Some(at) = online.unnumbered.iter().position(|before| *before == taken) {
            // It was a `latest` or a `result`; that is lost, and no reading with it.
            online.unnumbered.remove(at);
            return;
        }
        let blamed = self.queue.blame(taken);
        self.counters.given_up += u64::try_from(blamed.given_up).unwrap_or(u64::MAX);
    }

    /// The HEM must do something by then: say a ping, or give the connection up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Offline => None,
            Phase::Greeting { deadline } => Some(*deadline),
            Phase::Online(online) => Some(online.ping_due().min(online.silence_ends())),
        }
    }

    /// The deadline has come.
    pub(crate) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let reason = match &self.phase {
            Phase::Greeting { deadline } if now >= *deadline => "no welcome came",
            Phase::Online(online) if now >= online.silence_ends() => "the cloud fell silent",
            _ => return,
        };
        effects.push(Effect::Close { reason: reason.to_owned(), error: None });
    }

    /// Appends what can be said now: results, what is true now, what waits within the credit, a ping.
    pub(crate) fn say(&mut self, now: Instant, out: &mut Vec<u8>) {
        let Phase::Online(online) = &mut self.phase else { return };
        let start = out.len();
        while let Some(result) = self.results.pop_front() {
            online.said_unnumbered();
            HemFrame::Result(result).encode(out);
        }
        if let Some((time, nodes)) = self.latest.take() {
            online.said_unnumbered();
            HemFrame::Latest(Latest { time: time.now(now), nodes }).encode(out);
        }
        while out.len() - start < ENOUGH_OUTPUT {
            let credit = online.max_in_flight.saturating_sub(self.queue.in_flight());
            let count = say_next(online, &self.config, &mut self.queue, credit, now, out);
            if count == 0 {
                break;
            }
            self.counters.sent += u64::try_from(count).unwrap_or(u64::MAX);
        }
        if now >= online.ping_due() {
            online.last_ping = now;
            HemFrame::Ping.encode(out);
        }
        if out.len() > start {
            online.last_said = now;
        }
    }
}

/// Says the next item, or several as a batch; how many.
fn say_next(
    online: &mut Online,
    config: &HemConfig,
    queue: &mut Queue,
    credit: usize,
    now: Instant,
    out: &mut Vec<u8>,
) -> usize {
    if credit == 0 {
        return 0;
    }
    let longest = online.max_frame.min(LONGEST_BATCH);
    let most = online.max_batch.min(credit);
    let mut run = 0;
    if most >= 2 && queue.waiting().len() >= config.batch_from {
        let mut length = 64;
        for item in queue.waiting().take(most) {
            length += item.body.len() + 64;
            if !item.may_be_batched() || length > longest {
                break;
            }
            run += 1;
        }
    }
    let (count, batched) = if run >= 2 {
        out.extend_from_slice(b"{\"type\":\"batch\",\"readings\":[");
        for (index, item) in queue.waiting().take(run).enumerate() {
            out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            push_item(item, now, out);
        }
        out.extend_from_slice(b"]}\n");
        (run, Batched::Yes)
    } else {
        let Some(item) = queue.waiting().next() else { return 0 };
        out.extend_from_slice(match item.kind {
            ItemKind::Reading => b"{\"type\":\"reading\",",
            ItemKind::Event => b"{\"type\":\"event\",",
        });
        push_item(item, now, out);
        out.push(b'\n');
        (1, Batched::No)
    };
    if let Some(last) = queue.waiting().nth(count - 1) {
        online.last_number_said = last.seq;
    }
    queue.mark_sent(count, batched, now);
    count
}

/// Appends an item's fields and the closing brace.
fn push_item(item: &Item, now: Instant, out: &mut Vec<u8>) {
    let written = match item.time.now(now) {
        SampleTime::At(ts) => write!(out, "\"seq\":{},\"ts\":{},", item.seq, ts.as_millis()),
        SampleTime::Age(age_ms) => write!(out, "\"seq\":{},\"age_ms\":{age_ms},", item.seq),
    };
    debug_assert!(written.is_ok(), "memory takes every byte");
    out.extend_from_slice(item.body.as_bytes());
}

impl Online {
    fn said_unnumbered(&mut self) {
        if self.unnumbered.len() >= MOST_UNNUMBERED {
            self.unnumbered.pop_front();
        }
        self.unnumbered.push_back(self.last_number_said);
    }

    /// After a heartbeat in which nothing was said, or nothing heard.
    fn ping_due(&self) -> Instant {
        let silent_since = self.last_said.min(self.last_heard.max(self.last_ping));
        silent_since + self.heartbeat
    }

    /// After a ping has gone unanswered for two heartbeats and a little.
    fn silence_ends(&self) -> Instant {
        self.last_heard + self.heartbeat * 3
    }
}

impl ItemTime {
    /// The time as it is said now.
    fn now(self, now: Instant) -> SampleTime {
        match self {
            Self::At(ts) => SampleTime::At(ts),
            Self::Age { age_ms, recorded } => {
                let since = u64::try_from((now - recorded).as_millis()).unwrap_or(u64::MAX);
                SampleTime::Age(age_ms.saturating_add(since))
            }
        }
    }
}

fn item_time(time: SampleTime, now: Instant) -> ItemTime {
    match time {
        SampleTime::At(ts) => ItemTime::At(ts),
        SampleTime::Age(age_ms) => ItemTime::Age { age_ms, recorded: now },
    }
}
