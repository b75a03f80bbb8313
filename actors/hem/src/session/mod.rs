//! A connection's protocol, without its socket: bytes, answers, durability and time go in; bytes to
//! send and things to do come out. All rules of the HEM socket protocol that the cloud keeps are
//! here; the actor around it only moves bytes and messages.

mod flow;
mod intake;
mod live;
mod orders;
mod rules;
#[cfg(test)]
mod tests;
mod welcoming;

use std::sync::Arc;

use memcloud_domain::messages::{
    AuthenticateHem, AuthenticatedHem, AuthenticationError, CommandAnswered, Durability,
    HemConnected, HemHeard, LatestSeen, OutgoingCommand, SessionOpened, StoreEntries, Unavailable,
};
use memcloud_domain::{Epoch, HemId, MicrogridId};
use memcloud_wire::{CloudError, CloudFrame, ErrorCode, Greeting, LineDecoder, MAX_HELLO};
use tokio::time::Instant;

use live::{Ending, Live};
use welcoming::Welcoming;

pub(crate) use rules::{Moment, Rules};

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Bytes came.
    Received(&'a [u8]),
    /// The HEM will send no more.
    Ended,
    /// So many bytes of the output were taken by the socket.
    Written(usize),
    /// Everything was sent, and the cloud's side of the connection closed.
    SaidGoodbye,
    /// The socket failed.
    Broke,
    /// The deadline may have passed.
    Ticked,
    /// The registrar answered.
    Authenticated(Result<AuthenticatedHem, AuthenticationError>),
    /// The table of sockets answered.
    Claimed(Claimed),
    /// The historian answered.
    Opened(Result<SessionOpened, Unavailable>),
    /// A question before the welcome stays without an answer.
    Unanswered,
    /// The historian has taken what was handed over.
    HandedOver,
    /// Nobody knows whether the historian has taken it.
    HandOverFailed,
    /// The historian says how far the entries are on disk.
    Durable(Durability),
    /// The historian has forgotten this session.
    DurabilityLost,
    /// These commands are for the HEM.
    Ordered(Vec<OutgoingCommand>),
    /// Another socket takes over, or the HEM is to be cut off.
    StoodDown(StandDownReason),
    /// The cloud stops in good order.
    ShuttingDown,
}

/// What the table of sockets says to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// The HEM is this socket's now.
    Granted,
    /// Its key was revoked after it was checked.
    Cut,
}

/// Why a socket is to stand down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandDownReason {
    /// A later connection of the same HEM has won.
    Replaced,
    /// One of this epoch has been welcomed at another process: an earlier one is over.
    WelcomedElsewhere(Epoch),
    /// The HEM's key was revoked or rotated, or the HEM deleted.
    Cut,
}

/// What is to be done for a session.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask the registrar.
    Authenticate(Box<AuthenticateHem>),
    /// Ask the table of sockets.
    Claim(HemId),
    /// Ask the historian for an epoch and the mark, of this microgrid.
    Open(HemId, MicrogridId),
    /// It was not let in, with this error.
    TurnedAway(ErrorCode),
    /// The HEM is online.
    Welcomed(Box<HemConnected>),
    /// Hand this to the historian, then say `HandedOver` or `HandOverFailed`. Until then there is no
    /// other.
    HandOver(StoreEntries),
    /// Tell who cares.
    Heard(HemHeard),
    /// Tell who cares.
    Latest(LatestSeen),
    /// Tell the command processor.
    Answered(CommandAnswered),
    /// The HEM is offline, for this reason.
    Offline(&'static str),
}

/// What the session wants of the socket's reading side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Read, and say what came.
    Read,
    /// Leave the bytes where they are.
    Wait,
    /// Send the output, close our side, and read into nothing.
    Discard,
    /// It is over: drop the socket.
    Stop,
}

enum Phase {
    Greeting { deadline: Instant },
    Welcoming(Box<Welcoming>),
    Live(Box<Live>),
    Closing { until: Instant, has_peer_ended: bool, has_said_goodbye: bool },
    Over,
}

/// The protocol's state of one connection.
pub(crate) struct Session {
    rules: Arc<Rules>,
    phase: Phase,
    decoder: LineDecoder,
    output: Vec<u8>,
    /// Since when the output waits without progress.
    output_since: Option<Instant>,
    /// What this connection counts in the process's buffer.
    held: u64,
    retry_after_ms: u64,
    certified: Option<HemId>,
}

impl Session {
    /// A session whose TLS handshake is done. `certified` is the common name of a verified client
    /// certificate, `retry_after_ms` what this one is told when it is to come back later.
    pub(crate) fn new(
        rules: Arc<Rules>,
        certified: Option<HemId>,
        retry_after_ms: u64,
        now: Instant,
    ) -> Self {
        let hello_limit = usize::try_from(MAX_HELLO).unwrap_or(usize::MAX);
        let decoder = LineDecoder::new(hello_limit.min(rules.config.max_frame));
        let deadline = now + rules.config.hello_timeout;
        Self {
            rules,
            phase: Phase::Greeting { deadline },
            decoder,
            output: Vec::new(),
            output_since: None,
            held: 0,
            retry_after_ms,
            certified,
        }
    }

    /// Takes an event, and answers what is to be done.
    pub(crate) fn accept(&mut self, event: Event<'_>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Received(bytes) => self.receive(bytes, now, &mut effects),
            Event::Ended => self.peer_ended(now, &mut effects),
            Event::Written(count) => self.written(count, now),
            Event::SaidGoodbye => {
                if let Phase::Closing { has_said_goodbye, .. } = &mut self.phase {
                    *has_said_goodbye = true;
                }
            }
            Event::Broke => self.end("broken", &mut effects),
            Event::Ticked => self.tick(now, &mut effects),
            Event::Authenticated(answer) => self.authenticated(answer, now, &mut effects),
            Event::Claimed(answer) => self.claimed(answer, now, &mut effects),
            Event::Opened(answer) => self.opened(answer, now, &mut effects),
            Event::Unanswered => self.unanswered(now, &mut effects),
            Event::HandedOver => {
                if let Phase::Live(live) = &mut self.phase {
                    live.is_handing_over = false;
                }
            }
            Event::HandOverFailed | Event::DurabilityLost => self.historian_lost(now, &mut effects),
            Event::Durable(durability) => self.durable(durability, now, &mut effects),
            Event::Ordered(commands) => self.order(&commands, now, &mut effects),
            Event::StoodDown(reason) => self.stand_down(reason, now, &mut effects),
            Event::ShuttingDown => self.shut_down(now, &mut effects),
        }
        self.settle(now, &mut effects);
        effects
    }

    /// What is to be sent.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// What to do with the reading side now. Counts and times the pauses, so it is asked before every
    /// read.
    pub(crate) fn wish(&mut self, now: Moment) -> Wish {
        match &mut self.phase {
            Phase::Greeting { .. } => {
                let is_held_back = self.rules.is_over_buffer_limit()
                    && self.decoder.buffered() >= rules::HELLO_SHARE;
                if is_held_back { Wish::Wait } else { Wish::Read }
            }
            Phase::Welcoming(_) => Wish::Wait,
            Phase::Live(live) => {
                if live.may_read(&self.rules, self.held, &mut self.output, now) {
                    Wish::Read
                } else {
                    Wish::Wait
                }
            }
            Phase::Closing { .. } => Wish::Discard,
            Phase::Over => Wish::Stop,
        }
    }

    /// When to say `Ticked`, at the latest.
    pub(crate) fn deadline(&self, now: Moment) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Greeting { deadline } => Some(*deadline),
            Phase::Welcoming(welcoming) => Some(welcoming.deadline),
            Phase::Live(live) => live.deadline(&self.rules, now),
            Phase::Closing { until, .. } => Some(*until),
            Phase::Over => None,
        };
        let write = self.output_since.map(|since| since + self.rules.config.write_timeout);
        match (own, write) {
            (Some(own), Some(write)) => Some(own.min(write)),
            (own, write) => own.or(write),
        }
    }

    /// What the tree shows of it.
    pub(crate) fn observe(&self) -> serde_json::Value {
        match &self.phase {
            Phase::Greeting { .. } => serde_json::json!({"phase": "greeting"}),
            Phase::Welcoming(_) => serde_json::json!({"phase": "welcoming"}),
            Phase::Live(live) => live.observe(),
            Phase::Closing { .. } => serde_json::json!({"phase": "closing"}),
            Phase::Over => serde_json::json!({"phase": "over"}),
        }
    }

    fn receive(&mut self, bytes: &[u8], now: Moment, effects: &mut Vec<Effect>) {
        self.rules.metrics.bytes_in.add(length(bytes));
        match &mut self.phase {
            Phase::Greeting { .. } => self.greet(bytes, now, effects),
            // The socket does not read now; should it have, nothing is lost.
            Phase::Welcoming(welcoming) => welcoming.early.extend_from_slice(bytes),
            Phase::Live(_) => self.take_frames(bytes, now, effects),
            Phase::Closing { .. } | Phase::Over => {}
        }
    }

    fn greet(&mut self, bytes: &[u8], now: Moment, effects: &mut Vec<Effect>) {
        let mut lines = self.decoder.lines(bytes);
        let greeting = match lines.next_line() {
            Ok(None) => return,
            Ok(Some(line)) => Greeting::decode(line),
            Err(fault) => {
                let text = fault.to_string();
                return self.fatal(ErrorCode::FrameTooLarge, text, now, effects);
            }
        };
        let early = lines.rest().to_vec();
        self.rules.metrics.frames_hello.increment();
        self.decoder.set_limit(self.rules.config.max_frame);
        let started = greeting.and_then(|greeting| {
            Welcoming::start(greeting, self.certified.take(), early, now, &self.rules)
        });
        match started {
            Ok((welcoming, question)) => {
                self.phase = Phase::Welcoming(Box::new(welcoming));
                effects.push(Effect::Authenticate(question));
            }
            Err(fault) => self.fatal(fault.code, fault.text, now, effects),
        }
    }

    fn written(&mut self, count: usize, now: Moment) {
        self.rules.metrics.bytes_out.add(u64::try_from(count).unwrap_or(0));
        if count >= self.output.len() {
            // An idle connection keeps no buffer.
            self.output = Vec::new();
            self.output_since = None;
        } else {
            self.output.drain(..count);
            self.output_since = Some(now.at);
        }
    }

    fn peer_ended(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            // What it sent is still stored, and acknowledged in case it reads on.
            Phase::Live(live) if live.ending.is_none() => {
                let until = now.at + rules::DRAIN_TIMEOUT;
                live.ending = Some(Box::new(Ending { error: None, reason: "closed", until }));
            }
            Phase::Live(_) => {}
            Phase::Closing { has_peer_ended, .. } => *has_peer_ended = true,
            Phase::Greeting { .. } | Phase::Welcoming(_) | Phase::Over => {
                self.end("closed", effects);
            }
        }
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let write_deadline = self.output_since.map(|since| since + self.rules.config.write_timeout);
        if write_deadline.is_some_and(|deadline| now.at >= deadline) {
            self.rules.metrics.closed_unread.increment();
            return self.end("unread", effects);
        }
        match &mut self.phase {
            Phase::Greeting { deadline } if now.at >= *deadline => {
                self.rules.metrics.closed_no_hello.increment();
                let seconds = self.rules.config.hello_timeout.as_secs();
                let text = format!("no hello came within {seconds} s; send it first");
                self.fatal(ErrorCode::Unauthorised, text, now, effects);
            }
            Phase::Welcoming(welcoming) if now.at >= welcoming.deadline => {
                self.unanswered(now, effects);
            }
            Phase::Live(live) => {
                let silence = live.silence.deadline(self.rules.config.heartbeat * 2);
                if live.is_overdue(&self.rules, now) {
                    let text = "the store does not keep up; send again from welcome.seq + 1";
                    self.fatal(ErrorCode::Busy, text.to_owned(), now, effects);
                } else if live.ending.is_none() && silence.is_some_and(|at| now.at >= at) {
                    self.rules.metrics.closed_silent.increment();
                    self.close("silent", now, effects);
                }
            }
            Phase::Closing { until, .. } if now.at >= *until => self.end("closed", effects),
            Phase::Greeting { .. } | Phase::Welcoming(_) | Phase::Closing { .. } | Phase::Over => {}
        }
    }

    fn stand_down(&mut self, reason: StandDownReason, now: Moment, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Welcoming(_) | Phase::Live(_)) {
            return;
        }
        let (code, text) = match reason {
            // A later one does not mind, and one that has no epoch yet gets a higher one.
            StandDownReason::WelcomedElsewhere(epoch) if !matches!(&self.phase, Phase::Live(live) if live.epoch < epoch) =>
            {
                return;
            }
            StandDownReason::Replaced | StandDownReason::WelcomedElsewhere(_) => {
                (ErrorCode::Replaced, "another connection of this HEM has taken over")
            }
            StandDownReason::Cut => {
                (ErrorCode::Unauthorised, "this HEM's key was revoked or changed")
            }
        };
        self.fatal(code, text.to_owned(), now, effects);
    }

    fn shut_down(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let error = CloudError {
            code: ErrorCode::ShuttingDown,
            text: "the cloud stops; come back after retry_after_ms".to_owned(),
            seq: None,
            retry_after_ms: Some(self.retry_after_ms),
        };
        match &mut self.phase {
            // What is on its way to the disk is acknowledged first.
            Phase::Live(live) => {
                let until = now.at + rules::SHUTDOWN_DRAIN;
                let reason = ErrorCode::ShuttingDown.as_str();
                live.ending = Some(Box::new(Ending { error: Some(error), reason, until }));
            }
            Phase::Greeting { .. } | Phase::Welcoming(_) => self.say_last(error, now, effects),
            Phase::Closing { .. } | Phase::Over => {}
        }
    }

    /// After every event: what follows from the state alone.
    fn settle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Phase::Live(live) = &mut self.phase {
            let is_drained = live.in_flight.is_empty() && !live.is_handing_over;
            let is_due = |ending: &mut Box<Ending>| is_drained || now.at >= ending.until;
            if let Some(ending) = live.ending.take_if(is_due) {
                live.send_ack(&self.rules, &mut self.output);
                match ending.error {
                    Some(error) => self.say_last(error, now, effects),
                    None => self.close(ending.reason, now, effects),
                }
            }
        }
        if let Phase::Closing { has_peer_ended: true, has_said_goodbye: true, .. } = self.phase {
            self.phase = Phase::Over;
        }
        if let Phase::Live(live) = &mut self.phase
            && self.output.len() <= rules::ACK_OUTPUT_LIMIT
        {
            live.send_ack(&self.rules, &mut self.output);
        }
        if self.output.is_empty() {
            self.output_since = None;
        } else if self.output_since.is_none() {
            self.output_since = Some(now.at);
        }
        self.count_held();
    }

    /// Sends a fatal error and closes. Errors that say "later" say when.
    fn fatal(&mut self, code: ErrorCode, text: String, now: Moment, effects: &mut Vec<Effect>) {
        let retry_after_ms = (code == ErrorCode::Busy).then_some(self.retry_after_ms);
        self.say_last(CloudError { code, text, seq: None, retry_after_ms }, now, effects);
    }

    fn say_last(&mut self, error: CloudError, now: Moment, effects: &mut Vec<Effect>) {
        let reason = error.code.as_str();
        self.rules.metrics.count_error(error.code);
        if matches!(self.phase, Phase::Greeting { .. } | Phase::Welcoming(_)) {
            effects.push(Effect::TurnedAway(error.code));
        }
        CloudFrame::Error(error).encode(&mut self.output);
        self.close(reason, now, effects);
    }

    /// Closes in good order: what is to be sent is sent, and reading goes on for a moment.
    fn close(&mut self, reason: &'static str, now: Moment, effects: &mut Vec<Effect>) {
        self.leave(reason, effects);
        let until = now.at + self.rules.config.linger;
        self.phase =
            Phase::Closing { until, has_peer_ended: reason == "closed", has_said_goodbye: false };
    }

    /// Ends at once.
    fn end(&mut self, reason: &'static str, effects: &mut Vec<Effect>) {
        self.leave(reason, effects);
        self.output = Vec::new();
        self.phase = Phase::Over;
    }

    fn leave(&mut self, reason: &'static str, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Live(_)) {
            effects.push(Effect::Offline(reason));
        }
        self.decoder = LineDecoder::new(0);
    }

    /// Brings what this connection counts in the process's buffer up to date.
    fn count_held(&mut self) {
        let partial = self.decoder.buffered();
        let held = match &self.phase {
            Phase::Greeting { .. } => length_of(partial),
            Phase::Welcoming(welcoming) => length_of(partial + welcoming.early.len()),
            Phase::Live(live) => length_of(partial) + live.in_flight.bytes(),
            Phase::Closing { .. } | Phase::Over => 0,
        };
        let buffered = &self.rules.metrics.buffered_bytes;
        if held > self.held {
            buffered.add(held - self.held);
        } else if held < self.held {
            buffered.subtract(self.held - held);
        }
        self.held = held;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.rules.metrics.buffered_bytes.subtract(self.held);
    }
}

fn length(bytes: &[u8]) -> u64 {
    length_of(bytes.len())
}

fn length_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
