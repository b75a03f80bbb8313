//! Random lives of commands: a cloud that is slow, restarts and has its clock set back; a link that
//! loses, doubles and reorders; a HEM that acts, refuses, fails, restarts in the middle; readings that
//! come late or speak of before. After every event the ledger's state is held against what is true in
//! this small world, which knows nothing of the ledger's rules.

use std::collections::BTreeMap;

use memcloud_commands::ledger::{CommandEvent, Finding, machine};
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandOutcome, CommandRecord, CommandState, Evidence, HemId,
    MicrogridId, NodeId, Seq, Sighting, Timestamp, Transition, Watts,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const ISSUED: i64 = 1_800_000_000_000;
const EXPIRES: i64 = 60_000;
const LEASE: i64 = 30_000;
const MOST_EVENTS: u32 = 40;

/// What came out of many lives.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) lives: u64,
    pub(crate) events: u64,
    pub(crate) steps: u64,
    pub(crate) ended_in: BTreeMap<&'static str, u64>,
}

/// The rules of a ledger: the real ones, or wrong ones that the world is to notice.
pub(crate) type Rules = fn(&CommandRecord, &CommandEvent, Timestamp) -> Option<CommandRecord>;

/// Runs so many lives, each from its own seed; fails with the seed of the first that went wrong.
pub(crate) fn run(seed: u64, count: u64, rules: Rules) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for life in 0..count {
        let seed = seed.wrapping_add(life);
        let mut world = World::new(seed, rules);
        world.live(&mut tally).map_err(|error| format!("seed {seed}: {error}"))?;
        tally.lives += 1;
        *tally.ended_in.entry(world.record.state.as_str()).or_default() += 1;
    }
    Ok(tally)
}

/// A command that was just accepted.
pub(crate) fn a_command(has_effect: bool) -> CommandRecord {
    CommandRecord {
        id: CommandId::new("c").unwrap(),
        microgrid: MicrogridId::new("m").unwrap(),
        hem: HemId::new("h").unwrap(),
        node: Some(NodeId(1)),
        action: if has_effect {
            CommandAction::SetPower { watts: Watts(1_000.0) }
        } else {
            CommandAction::SetPriority { priority: 3 }
        },
        asker: Asker::Person { id: "1".to_owned(), name: "anna".to_owned() },
        reason: String::new(),
        priority: 0,
        issued: Timestamp(ISSUED),
        expires: Timestamp(ISSUED + EXPIRES),
        lease_ms: None,
        ordered: None,
        order: None,
        acted_at: None,
        state: CommandState::Accepted,
        history: vec![Transition {
            state: CommandState::Accepted,
            at: Timestamp(ISSUED),
            because: None,
            evidence: None,
        }],
    }
}

/// Dispatch makes it an order, with a lease.
pub(crate) fn ordered(record: &CommandRecord) -> CommandEvent {
    CommandEvent::Ordered {
        order: 1,
        action: record.action.clone(),
        lease_ms: Some(LEASE.unsigned_abs()),
        because: "because".to_owned(),
    }
}

/// A message to the HEM.
#[derive(Clone, Copy)]
struct Down {
    may_be_begun: bool,
}

/// A message from the HEM.
#[derive(Clone, Copy)]
struct Up {
    outcome: CommandOutcome,
    seq: Option<Seq>,
    came_too_late: bool,
}

/// A reading, and what is true of it.
#[derive(Clone, Copy)]
struct Sample {
    seq: Seq,
    ts: Timestamp,
    fits: bool,
}

/// What is true, and what the ledger says.
struct World {
    rules: Rules,
    chance: StdRng,
    now: i64,
    record: CommandRecord,
    /// Whether a byte has ever left.
    left: bool,
    down: Vec<Down>,
    up: Vec<Up>,
    /// What the HEM has stored of the command.
    answer: Option<Up>,
    acted: bool,
    lease_over_at: Option<i64>,
    samples: Vec<Sample>,
    /// What the ledger was told for certain.
    heard_done: bool,
    cancelled: bool,
}

impl World {
    fn new(seed: u64, rules: Rules) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let has_effect = chance.random_bool(0.8);
        let record = a_command(has_effect);
        Self {
            rules,
            chance,
            now: ISSUED,
            record,
            left: false,
            down: Vec::new(),
            up: Vec::new(),
            answer: None,
            acted: false,
            lease_over_at: None,
            samples: Vec::new(),
            heard_done: false,
            cancelled: false,
        }
    }

    fn live(&mut self, tally: &mut Tally) -> Result<(), String> {
        let events = self.chance.random_range(3..MOST_EVENTS);
        for _ in 0..events {
            self.pass_time();
            tally.events += 1;
            match self.chance.random_range(0..20) {
                0..3 => self.dispatch(tally)?,
                3..6 => self.send(tally)?,
                6..9 => self.hem_reads(),
                9..12 => self.hem_is_heard(tally)?,
                12..14 => self.sample(),
                14..17 => self.judge(tally)?,
                17 => self.time_is_up(tally)?,
                18 => self.person(tally)?,
                _ => self.restart()?,
            }
        }
        Ok(())
    }

    fn pass_time(&mut self) {
        let span = match self.chance.random_range(0..10) {
            0 => self.chance.random_range(0..100_000),
            // The wall clock is set back.
            1 => -self.chance.random_range(0..5_000),
            _ => self.chance.random_range(0..3_000),
        };
        self.now += span;
    }

    fn dispatch(&mut self, tally: &mut Tally) -> Result<(), String> {
        let event = if self.chance.random_bool(0.97) {
            let lease_ms = self.chance.random_bool(0.6).then_some(LEASE.unsigned_abs());
            let because = "because".to_owned();
            let order = self.chance.random_range(1..100);
            let action = self.record.action.clone();
            CommandEvent::Ordered { order, action, lease_ms, because }
        } else {
            CommandEvent::TurnedDown { because: "no".to_owned() }
        };
        self.tell(event, tally).map(drop)
    }

    /// Bytes leave only when the ledger says that they may have.
    fn send(&mut self, tally: &mut Tally) -> Result<(), String> {
        self.tell(CommandEvent::Sent, tally)?;
        let is_owed = matches!(self.record.state, CommandState::Sent | CommandState::Unconfirmed);
        // Or the process ends before the first byte does, or the link breaks.
        if is_owed && self.chance.random_bool(0.8) {
            self.left = true;
            let may_be_begun = self.now < self.record.expires.0;
            self.down.push(Down { may_be_begun });
        }
        Ok(())
    }

    fn hem_reads(&mut self) {
        if self.down.is_empty() {
            return;
        }
        let index = self.chance.random_range(0..self.down.len());
        let down = self.down.swap_remove(index);
        let answer = match self.answer {
            Some(known) => known,
            None => self.hem_carries_out(down),
        };
        self.answer = Some(answer);
        self.up.push(answer);
    }

    fn hem_carries_out(&mut self, down: Down) -> Up {
        let seq = self.samples.last().map_or(Seq(0), |sample| sample.seq);
        let seq = self.chance.random_bool(0.9).then_some(seq);
        if !down.may_be_begun {
            let outcome = CommandOutcome::Refused;
            return Up { outcome, seq, came_too_late: true };
        }
        let outcome = match self.chance.random_range(0..10) {
            0 => CommandOutcome::Refused,
            1 => CommandOutcome::Failed,
            2 => CommandOutcome::Superseded,
            3 => CommandOutcome::Interrupted,
            _ => CommandOutcome::Done,
        };
        // Interrupted, it acted or not, and does not know.
        self.acted = outcome == CommandOutcome::Done
            || outcome == CommandOutcome::Interrupted && self.chance.random_bool(0.5);
        self.lease_over_at = self.record.lease_ms.map(|_| self.now + LEASE);
        Up { outcome, seq, came_too_late: false }
    }

    /// What the HEM says arrives late, twice, or never.
    fn hem_is_heard(&mut self, tally: &mut Tally) -> Result<(), String> {
        if self.up.is_empty() {
            return Ok(());
        }
        let index = self.chance.random_range(0..self.up.len());
        let Some(up) = self.up.get(index).copied() else { return Ok(()) };
        match self.chance.random_range(0..10) {
            0 => {
                self.up.swap_remove(index);
                return Ok(());
            }
            1..3 => {}
            _ => drop(self.up.swap_remove(index)),
        }
        let was = self.record.state;
        let reason = up.came_too_late.then(|| "expired".to_owned());
        let event = CommandEvent::Answered { outcome: up.outcome, seq: up.seq, reason };
        self.heard_done |= up.outcome == CommandOutcome::Done;
        self.tell(event, tally)?;
        let waited = matches!(was, CommandState::Sent | CommandState::Unconfirmed);
        let still = matches!(self.record.state, CommandState::Sent | CommandState::Unconfirmed);
        if waited && still && up.outcome != CommandOutcome::Interrupted {
            return Err(format!("{:?} did not resolve {was:?}", up.outcome));
        }
        Ok(())
    }

    fn sample(&mut self) {
        let seq = Seq(self.samples.last().map_or(1, |sample| sample.seq.0 + 1));
        let holds = self.acted && self.lease_over_at.is_none_or(|end| self.now < end);
        // Now and then the node does what it likes.
        let fits = holds != self.chance.random_bool(0.1);
        self.samples.push(Sample { seq, ts: Timestamp(self.now), fits });
    }

    /// Someone judges by readings: of whichever time, not only of after the act.
    fn judge(&mut self, tally: &mut Tally) -> Result<(), String> {
        let wanted = self.chance.random_range(0..3);
        let from = self.chance.random_range(0..=self.samples.len());
        let chosen = self.samples.iter().skip(from);
        let fits = wanted == 0;
        let seen: Vec<Sighting> = chosen
            .filter(|sample| sample.fits == fits)
            .take(3)
            .map(|sample| Sighting { seq: sample.seq, ts: sample.ts, watts: None, on: None })
            .collect();
        let evidence = Evidence { expected: "it holds".to_owned(), seen };
        let finding = Finding { because: "so it is".to_owned(), evidence };
        let event = match wanted {
            0 => CommandEvent::EffectSeen(finding),
            1 => CommandEvent::EffectMissing(finding),
            _ => CommandEvent::FellBack(finding),
        };
        self.tell(event, tally).map(drop)
    }

    fn time_is_up(&mut self, tally: &mut Tally) -> Result<(), String> {
        let event =
            if self.chance.random_bool(0.5) { CommandEvent::Overdue } else { CommandEvent::Lapsed };
        self.tell(event, tally).map(drop)
    }

    fn person(&mut self, tally: &mut Tally) -> Result<(), String> {
        if self.chance.random_bool(0.8) {
            return Ok(());
        }
        if self.chance.random_bool(0.5) {
            self.cancelled |= self.record.state == CommandState::Accepted;
            return self.tell(CommandEvent::Cancelled { by: "anna".to_owned() }, tally).map(drop);
        }
        let because = "a later order took its place".to_owned();
        self.tell(CommandEvent::Replaced { because }, tally).map(drop)
    }

    /// The process is killed: what was on its way to it is lost, and what was on disk is read.
    fn restart(&mut self) -> Result<(), String> {
        self.up.clear();
        if self.chance.random_bool(0.1) {
            let disk = serde_json::to_string(&self.record).map_err(|error| error.to_string())?;
            let read: CommandRecord =
                serde_json::from_str(&disk).map_err(|error| error.to_string())?;
            if read != self.record {
                return Err("what was read is not what was written".to_owned());
            }
            self.record = read;
        }
        Ok(())
    }

    /// Tells the ledger an event, and holds what it makes of it against what is true.
    fn tell(&mut self, event: CommandEvent, tally: &mut Tally) -> Result<bool, String> {
        let Some(next) = (self.rules)(&self.record, &event, Timestamp(self.now)) else {
            return Ok(false);
        };
        tally.steps += 1;
        let was = std::mem::replace(&mut self.record, next);
        self.check_edge(&was)?;
        self.check_truth()
            .map_err(|error| format!("{error}, after {event:?} in {:?}", was.state))?;
        Ok(true)
    }

    /// No state goes back, and the past stays as it was.
    fn check_edge(&self, was: &CommandRecord) -> Result<(), String> {
        use CommandState as State;
        let now = &self.record;
        let is_ordered = was.order.is_none() && now.order.is_some();
        let is_legal = match (was.state, now.state) {
            (State::Accepted, State::Accepted) => is_ordered,
            (
                State::Accepted,
                State::Sent
                | State::Refused
                | State::Superseded
                | State::Cancelled
                | State::Expired,
            ) => true,
            (State::Unconfirmed, State::Unconfirmed) => {
                was.acted_at.is_none() && now.acted_at.is_some()
            }
            (
                State::Sent | State::Unconfirmed,
                State::Acknowledged
                | State::Refused
                | State::Failed
                | State::Superseded
                | State::Expired,
            )
            | (State::Sent, State::Unconfirmed) => true,
            (State::Unconfirmed, State::Effective | State::Ineffective) => was.acted_at.is_some(),
            (State::Acknowledged, State::Effective | State::Ineffective | State::Reverted)
            | (State::Effective, State::Reverted) => true,
            _ => false,
        };
        if !is_legal {
            return Err(format!("from {:?} to {:?}", was.state, now.state));
        }
        if machine::is_over(was.state) {
            return Err(format!("{:?} was over, and moved", was.state));
        }
        let grown = now.history.len() == was.history.len() + 1;
        let kept = is_ordered || now.history.get(..was.history.len()) == Some(&was.history[..]);
        let in_order = now.history.windows(2).all(|pair| pair[0].at <= pair[1].at);
        let ends_so = now.history.last().is_some_and(|last| last.state == now.state);
        if !(grown || is_ordered) || !kept || !in_order || !ends_so {
            return Err(format!("the history is not kept: {:?}", now.history));
        }
        let same = (&was.id, &was.action, &was.issued, &was.expires, &was.asker)
            == (&now.id, &now.action, &now.issued, &now.expires, &now.asker);
        if same { Ok(()) } else { Err("what was asked has changed".to_owned()) }
    }

    /// No state claims more than is true.
    fn check_truth(&self) -> Result<(), String> {
        use CommandState as State;
        let holds = match self.record.state {
            State::Accepted | State::Cancelled => {
                !self.left && (self.record.state == State::Accepted || self.cancelled)
            }
            State::Sent => true,
            State::Refused | State::Superseded | State::Expired => !self.acted,
            State::Failed => !self.acted && self.left,
            State::Unconfirmed => !self.heard_done && self.record.order.is_some(),
            State::Acknowledged => self.acted && self.heard_done,
            State::Effective | State::Ineffective | State::Reverted => self.is_shown(),
        };
        if holds { Ok(()) } else { Err(format!("{:?} is not proven", self.record.state)) }
    }

    /// Whether the readings that are kept as evidence are real, say what is claimed, and are of after
    /// the HEM acted.
    fn is_shown(&self) -> bool {
        let Some(last) = self.record.history.last() else { return false };
        let Some(evidence) = &last.evidence else { return false };
        let wants_fit = self.record.state == CommandState::Effective;
        let at_least = if self.record.state == CommandState::Ineffective { 2 } else { 1 };
        let is_real = |sighting: &Sighting| {
            let sample = self.samples.iter().find(|sample| sample.seq == sighting.seq);
            sample.is_some_and(|sample| sample.fits == wants_fit && sample.ts == sighting.ts)
        };
        let is_after = |sighting: &Sighting| match self.record.acted_at {
            Some(acted_at) => sighting.seq > acted_at,
            None => machine::answered_at(&self.record).is_some_and(|at| sighting.ts > at),
        };
        let lease_was_over = self.record.state != CommandState::Reverted
            || machine::lease_end(&self.record).is_some_and(|end| last.at >= end);
        self.heard_done
            && lease_was_over
            && evidence.seen.len() >= at_least
            && evidence.seen.iter().all(|sighting| is_real(sighting) && is_after(sighting))
    }
}
