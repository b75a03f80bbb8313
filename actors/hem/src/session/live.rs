//! A welcomed HEM: its credit, its rate, its silence, and what is acknowledged.

use memcloud_domain::messages::{Durability, HemHeard, SessionOpened};
use memcloud_domain::{Epoch, HemId, MicrogridId, Seq};
use memcloud_wire::{Ack, CloudError, CloudFrame, ErrorCode, NumberGate};
use tokio::time::Instant;

use super::flow::{InFlight, RateLimit, SilenceClock};
use super::rules::{ACK_RECHECK, BUFFER_RECHECK, FULL_READ, HEARD_INTERVAL, OUTPUT_LIMIT};
use super::{Effect, Moment, Phase, Rules, Session};

/// Why a HEM is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brake {
    /// What was handed over waits for room at the historian.
    Historian,
    /// It has more unacknowledged than it may.
    Credit,
    /// It sends faster than it may, until then.
    Rate(Instant),
    /// It was read a moment ago: what it sends meanwhile is read in one go, then.
    Pace(Instant),
    /// The process holds too much, and this HEM more than its share.
    Buffer,
    /// It does not read what it is sent.
    Output,
    /// The connection ends.
    Ending,
}

/// A connection that ends once what it handed over is acknowledged, or at a moment.
pub(super) struct Ending {
    pub(super) error: Option<CloudError>,
    pub(super) reason: &'static str,
    pub(super) until: Instant,
}

/// The state of a welcomed connection.
pub(super) struct Live {
    pub(super) hem: HemId,
    pub(super) microgrid: MicrogridId,
    pub(super) epoch: Epoch,
    pub(super) gate: NumberGate,
    pub(super) in_flight: InFlight,
    pub(super) rate: RateLimit,
    pub(super) silence: SilenceClock,
    pub(super) ending: Option<Box<Ending>>,
    pub(super) is_handing_over: bool,
    /// `bad-frame`s in a row.
    pub(super) bad_frames: u32,
    /// How many entries came with the last read, as a guess for the next.
    pub(super) usual_entries: usize,
    /// When it was read, and when it may be again.
    last_read: Option<Instant>,
    next_read: Instant,
    durable: Seq,
    acked: Seq,
    brake: Option<Brake>,
    /// The age of what is unacknowledged counts from here at the earliest: the last acknowledgement,
    /// or the last time that the store was seen away.
    patience_from: Instant,
    ack_checked: Instant,
    too_fast_said: Option<Instant>,
    heard_said: Instant,
    has_stored: bool,
    missing_said: u64,
}

impl Live {
    pub(super) fn new(
        hem: HemId,
        microgrid: MicrogridId,
        opened: SessionOpened,
        rules: &Rules,
        now: Moment,
    ) -> Self {
        let config = &rules.config;
        Self {
            hem,
            microgrid,
            epoch: opened.epoch,
            gate: NumberGate::new(opened.mark, config.max_gap),
            in_flight: InFlight::default(),
            rate: RateLimit::new(config.max_rate, config.max_in_flight, now.at),
            silence: SilenceClock::new(now.at),
            ending: None,
            is_handing_over: false,
            bad_frames: 0,
            usual_entries: 0,
            last_read: None,
            next_read: now.at,
            durable: opened.mark,
            acked: opened.mark,
            brake: None,
            patience_from: now.at,
            ack_checked: now.at,
            too_fast_said: None,
            heard_said: now.at,
            has_stored: false,
            missing_said: 0,
        }
    }

    /// A HEM that sends little but often is read once in a while, for a wake-up, a message and a write
    /// cost more than its readings. One that sends seldom, or by the kilobyte, is read at once.
    pub(super) fn has_been_read(&mut self, bytes: usize, rules: &Rules, now: Moment) {
        let pause = rules.config.read_pause;
        let is_often = self.last_read.is_some_and(|last| now.at < last + pause * 2);
        if is_often && bytes < FULL_READ {
            self.next_read = now.at + pause;
        }
        self.last_read = Some(now.at);
    }

    /// Whether the HEM may be read now. Keeps the silence clock, counts pauses as they begin, and says
    /// `too-fast`.
    pub(super) fn may_read(
        &mut self,
        rules: &Rules,
        held: u64,
        output: &mut Vec<u8>,
        now: Moment,
    ) -> bool {
        let brake = self.brake_now(rules, held, output.len(), now);
        let begins = match (self.brake, brake) {
            (Some(before), Some(after)) => {
                std::mem::discriminant(&before) != std::mem::discriminant(&after)
            }
            (before, after) => before.is_none() && after.is_some(),
        };
        self.brake = brake;
        let Some(brake) = brake else {
            self.silence.resume(now.at);
            return true;
        };
        self.silence.stop(now.at);
        if begins {
            let metrics = &rules.metrics;
            match brake {
                Brake::Historian => metrics.paused_by_historian.increment(),
                Brake::Credit => metrics.paused_by_credit.increment(),
                Brake::Buffer => metrics.paused_by_buffer.increment(),
                Brake::Output => metrics.paused_by_output.increment(),
                Brake::Pace(_) => metrics.paused_by_pace.increment(),
                Brake::Ending => {}
                Brake::Rate(until) => {
                    metrics.paused_by_rate.increment();
                    self.say_too_fast(rules, until, output, now);
                }
            }
        }
        false
    }

    fn brake_now(&self, rules: &Rules, held: u64, output: usize, now: Moment) -> Option<Brake> {
        if self.ending.is_some() {
            return Some(Brake::Ending);
        }
        if self.is_handing_over {
            return Some(Brake::Historian);
        }
        if self.in_flight.numbers() > u64::from(rules.config.max_in_flight) {
            return Some(Brake::Credit);
        }
        if output > OUTPUT_LIMIT {
            return Some(Brake::Output);
        }
        if let Some(until) = self.rate.wait_until(now.at) {
            return Some(Brake::Rate(until));
        }
        if now.at < self.next_read {
            return Some(Brake::Pace(self.next_read));
        }
        let share = u64::try_from(rules.share()).unwrap_or(u64::MAX);
        (rules.is_over_buffer_limit() && held >= share).then_some(Brake::Buffer)
    }

    fn say_too_fast(&mut self, rules: &Rules, until: Instant, output: &mut Vec<u8>, now: Moment) {
        if self.too_fast_said.is_some_and(|said| now.at < said + HEARD_INTERVAL) {
            return;
        }
        self.too_fast_said = Some(now.at);
        rules.metrics.count_error(ErrorCode::TooFast);
        let rate = rules.config.max_rate;
        let wait = until.saturating_duration_since(now.at);
        CloudFrame::Error(CloudError {
            code: ErrorCode::TooFast,
            text: format!("over {rate} readings a second; nothing is lost, but read later"),
            seq: None,
            retry_after_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        })
        .encode(output);
    }

    /// When something may have to be done although nothing comes.
    pub(super) fn deadline(&self, rules: &Rules, now: Moment) -> Option<Instant> {
        let silence = self.silence.deadline(rules.config.heartbeat * 2);
        let ack = self.in_flight.oldest().map(|_| self.ack_checked + ACK_RECHECK);
        let ending = self.ending.as_ref().map(|ending| ending.until);
        let brake = match self.brake {
            Some(Brake::Rate(until) | Brake::Pace(until)) => Some(until),
            Some(Brake::Buffer) => Some(now.at + BUFFER_RECHECK),
            _ => None,
        };
        [silence, ack, ending, brake].into_iter().flatten().min()
    }

    /// Whether the oldest unacknowledged has waited too long while the store is healthy.
    pub(super) fn is_overdue(&mut self, rules: &Rules, now: Moment) -> bool {
        let Some(oldest) = self.in_flight.oldest() else { return false };
        self.ack_checked = now.at;
        if !now.store_is_healthy {
            self.patience_from = now.at;
        }
        now.at >= oldest.max(self.patience_from) + rules.config.ack_timeout
    }

    /// Says how far everything is safe, if there is news.
    pub(super) fn send_ack(&mut self, rules: &Rules, output: &mut Vec<u8>) {
        // Never beyond what this connection has taken, whatever the store holds.
        let seq = self.durable.min(self.gate.last());
        if seq > self.acked {
            self.acked = seq;
            rules.metrics.acks.increment();
            CloudFrame::Ack(Ack { seq }).encode(output);
        }
    }

    /// Something came. Now and then others are told, when no stored entry tells them.
    pub(super) fn heard(&mut self, has_stored: bool, now: Moment) -> Option<HemHeard> {
        self.silence.reset(now.at);
        self.has_stored |= has_stored;
        if now.at < self.heard_said + HEARD_INTERVAL {
            return None;
        }
        let missing = self.gate.missing();
        let has_news = !self.has_stored || missing != self.missing_said;
        self.heard_said = now.at;
        self.has_stored = false;
        self.missing_said = missing;
        has_news.then(|| HemHeard {
            hem: self.hem.clone(),
            microgrid: self.microgrid.clone(),
            epoch: self.epoch,
            at: now.wall,
            missing,
        })
    }

    pub(super) fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "phase": "live",
            "hem": self.hem,
            "microgrid": self.microgrid,
            "epoch": self.epoch,
            "taken": self.gate.last(),
            "acknowledged": self.acked,
            "in_flight": self.in_flight.numbers(),
            "missing": self.gate.missing(),
        })
    }
}

impl Session {
    pub(super) fn durable(
        &mut self,
        durability: Durability,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Live(live) = &mut self.phase else { return };
        if durability.through > live.durable {
            live.durable = durability.through;
            live.patience_from = now.at;
            live.in_flight.settle(durability.through);
        }
        if durability.fenced {
            let text = "another connection of this HEM has taken over";
            self.fatal(ErrorCode::Replaced, text.to_owned(), now, effects);
        }
    }

    /// The historian may have lost what it was handed: only a new welcome tells what it has.
    pub(super) fn historian_lost(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Live(_)) {
            let text = "the store starts again; connect anew and send from welcome.seq + 1";
            self.fatal(ErrorCode::Busy, text.to_owned(), now, effects);
        }
    }
}
