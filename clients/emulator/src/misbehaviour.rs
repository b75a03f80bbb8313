//! Homes that misbehave: how often and in which way. Everything is decided by a seed and by what it is
//! about (a command's id, a reading's moment), so that a run can be repeated. No clock, no I/O.

use memcloud_domain::{NodeReading, Timestamp, Watts};

use crate::nodes::{GRID, NODE_COUNT};
use crate::noise::{below, between, mix, unit};

/// A value that is stuck stays so for this long.
const STUCK_MS: i64 = 600_000;
/// A clock that jumped stays so for this long.
const JUMPED_MS: i64 = 300_000;

/// How often a home misbehaves, in which way. All are chances from 0 to 1 but `drift`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Misbehaviour {
    /// Of each command: it is answered `done`, and nothing is done.
    pub deaf: f64,
    /// Of each command: it is carried out, and its result never leaves until the cloud asks again.
    pub lose_results: f64,
    /// Of each command: it is carried out, then the HEM hangs up before it answers, and stays away.
    pub disconnect: f64,
    /// The battery misses its set-point by this share of it, -1 to 1.
    pub drift: f64,
    /// Of each reading: all counters begin again at zero.
    pub reset_counters: f64,
    /// Of each reading: the HEM's clock jumps by up to two hours, for five minutes.
    pub jump_clock: f64,
    /// Of each reading: what a node measures stands still, for ten minutes.
    pub frozen: f64,
    /// Of each reading: a node shows a power that it cannot have, once.
    pub spikes: f64,
}

impl Misbehaviour {
    /// Reads `deaf=0.1,lose-results=0.05`.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut misbehaviour = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, number) = part
                .split_once('=')
                .ok_or_else(|| format!("\"{part}\" is no misbehaviour like deaf=0.1"))?;
            let (name, number) = (name.trim(), number.trim());
            let least = if name == "drift" { -1.0 } else { 0.0 };
            let value = number
                .parse::<f64>()
                .ok()
                .filter(|value| (least..=1.0).contains(value))
                .ok_or_else(|| format!("{name}: \"{number}\" is not a number from {least} to 1"))?;
            *misbehaviour.named(name)? = value;
        }
        Ok(misbehaviour)
    }

    fn named(&mut self, name: &str) -> Result<&mut f64, String> {
        Ok(match name {
            "deaf" => &mut self.deaf,
            "lose-results" => &mut self.lose_results,
            "disconnect" => &mut self.disconnect,
            "drift" => &mut self.drift,
            "reset-counters" => &mut self.reset_counters,
            "jump-clock" => &mut self.jump_clock,
            "frozen" => &mut self.frozen,
            "spikes" => &mut self.spikes,
            other => {
                return Err(format!(
                    "there is no misbehaviour \"{other}\"; there are deaf, lose-results, disconnect, \
                     drift, reset-counters, jump-clock, frozen, spikes"
                ));
            }
        })
    }
}

/// What becomes of one command at a home that misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommandFate {
    pub(crate) is_carried_out: bool,
    pub(crate) answer: AnswerFate,
}

/// What becomes of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFate {
    Said,
    Lost,
    /// The HEM hangs up before it is said.
    HungUp,
}

/// One home's misbehaviour.
#[derive(Debug)]
pub(crate) struct Mischief {
    settings: Misbehaviour,
    key: u64,
    stuck: Option<(NodeReading, Timestamp)>,
    /// By how much the clock is wrong, ms, and until when.
    jumped: Option<(i64, Timestamp)>,
}

impl Mischief {
    pub(crate) fn new(settings: Misbehaviour, seed: u64, home: usize) -> Self {
        let home = u64::try_from(home).unwrap_or(u64::MAX);
        Self { settings, key: mix(seed ^ 0xbad_c0de, home), stuck: None, jumped: None }
    }

    /// Whether the next reading is the first with new counters.
    pub(crate) fn resets_counters(&self, moment: Timestamp) -> bool {
        self.happens(self.settings.reset_counters, 1, step_of(moment))
    }

    /// What becomes of a command.
    pub(crate) fn fate_of(&self, command: &str) -> CommandFate {
        let step = command.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let answer = if self.happens(self.settings.disconnect, 2, step) {
            AnswerFate::HungUp
        } else if self.happens(self.settings.lose_results, 3, step) {
            AnswerFate::Lost
        } else {
            AnswerFate::Said
        };
        CommandFate { is_carried_out: !self.happens(self.settings.deaf, 4, step), answer }
    }

    /// Spoils what was measured at a moment; the moment that the HEM takes it for.
    pub(crate) fn spoil(&mut self, moment: Timestamp, readings: &mut [NodeReading]) -> Timestamp {
        let step = step_of(moment);
        self.stuck = self.stuck.filter(|(_, until)| moment < *until);
        if self.stuck.is_none()
            && self.happens(self.settings.frozen, 5, step)
            && let Some(reading) = self.pick_busy(step, readings)
        {
            self.stuck = Some((*reading, Timestamp(moment.as_millis() + STUCK_MS)));
        }
        if let Some((stuck, _)) = self.stuck
            && let Some(reading) = readings.iter_mut().find(|reading| reading.node == stuck.node)
        {
            *reading = NodeReading { on: reading.on, ..stuck };
        }
        if self.happens(self.settings.spikes, 6, step)
            && let Some(reading) = self.pick(step.wrapping_add(1), readings)
        {
            let size = between(self.key, step, 60_000.0, 400_000.0).round();
            let sign =
                if reading.watts.is_some_and(|watts| watts.value() < 0.0) { -1.0 } else { 1.0 };
            reading.watts = Some(Watts(size * sign));
        }
        self.jumped = self.jumped.filter(|(_, until)| moment < *until);
        if self.jumped.is_none() && self.happens(self.settings.jump_clock, 7, step) {
            let seconds = 60 + i64::from(below(self.key, step, 7_140));
            let ahead = below(self.key, step.wrapping_add(2), 2) == 0;
            let jump = if ahead { seconds } else { -seconds } * 1_000;
            self.jumped = Some((jump, Timestamp(moment.as_millis() + JUMPED_MS)));
        }
        self.by_its_clock(moment)
    }

    /// The moment that the HEM takes a moment for.
    pub(crate) fn by_its_clock(&self, moment: Timestamp) -> Timestamp {
        let jump = self.jumped.map_or(0, |(jump, _)| jump);
        Timestamp(moment.as_millis().saturating_add(jump))
    }

    fn happens(&self, chance: f64, way: u64, step: u64) -> bool {
        chance > 0.0 && unit(mix(self.key, way), step) < chance
    }

    /// One of the nodes behind the grid that do something: of one at rest nobody sees that it is stuck.
    fn pick_busy<'a>(&self, step: u64, readings: &'a [NodeReading]) -> Option<&'a NodeReading> {
        let is_busy = |reading: &&NodeReading| {
            reading.node != GRID && reading.watts.is_some_and(|watts| watts.value() != 0.0)
        };
        let count = readings.iter().filter(is_busy).count();
        let place = below(self.key, step, u32::try_from(count).unwrap_or(u32::MAX));
        readings.iter().filter(is_busy).nth(usize::try_from(place).unwrap_or(0))
    }

    /// One of the nodes behind the grid.
    fn pick<'a>(&self, step: u64, readings: &'a mut [NodeReading]) -> Option<&'a mut NodeReading> {
        let count = u32::try_from(NODE_COUNT).unwrap_or(u32::MAX) - 1;
        let place = usize::try_from(1 + below(self.key, step, count)).unwrap_or(1);
        readings.get_mut(place).filter(|reading| reading.node != GRID)
    }
}

fn step_of(moment: Timestamp) -> u64 {
    u64::from_ne_bytes(moment.as_millis().to_ne_bytes())
}

/// The home of `home-3:deaf=1`, where one is named, and the rest.
#[must_use]
pub fn split_home(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((home, rest)) => (Some(home.trim()), rest),
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::NodeId;

    use super::*;

    fn mischief(text: &str) -> Mischief {
        Mischief::new(Misbehaviour::parse(text).unwrap(), 7, 3)
    }

    fn readings(watts: f64) -> Vec<NodeReading> {
        let reading = |node| NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(node) };
        (0_u8..8).map(|node| reading(NodeId(node))).collect()
    }

    #[test]
    fn misbehaviour_is_read_as_people_write_it_and_what_is_wrong_is_named() {
        let read = Misbehaviour::parse("deaf=0.1, lose-results=0.05,drift=-0.2").unwrap();
        let expected =
            Misbehaviour { deaf: 0.1, lose_results: 0.05, drift: -0.2, ..Misbehaviour::default() };
        assert_eq!(read, expected);
        assert_eq!(split_home("home-3:deaf=1"), (Some("home-3"), "deaf=1"));
        assert_eq!(split_home("deaf=1"), (None, "deaf=1"));
        for (wrong, expected) in [
            ("dumb=1", "deaf, lose-results"),
            ("deaf", "like deaf=0.1"),
            ("deaf=2", "from 0 to 1"),
            ("deaf=x", "from 0 to 1"),
            ("drift=-2", "from -1 to 1"),
        ] {
            let error = Misbehaviour::parse(wrong).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn fates_come_as_often_as_they_were_asked_for_and_the_same_again() {
        let mischief = mischief("deaf=0.1,lose-results=0.2,disconnect=0.05");
        let fates: Vec<CommandFate> =
            (0..10_000).map(|id| mischief.fate_of(&format!("c-{id}"))).collect();
        let share =
            |of: &dyn Fn(&CommandFate) -> bool| fates.iter().filter(|fate| of(fate)).count();
        let deaf = share(&|fate| !fate.is_carried_out);
        let lost = share(&|fate| fate.answer == AnswerFate::Lost);
        let hung_up = share(&|fate| fate.answer == AnswerFate::HungUp);
        assert!((900..1_100).contains(&deaf), "{deaf}");
        assert!((1_750..2_050).contains(&lost), "{lost}");
        assert!((400..600).contains(&hung_up), "{hung_up}");
        assert_eq!(mischief.fate_of("c-17"), fates[17]);
    }

    #[test]
    fn a_home_without_misbehaviour_is_left_alone() {
        let mut good = mischief("");
        for second in 0..1_000 {
            let moment = Timestamp(second * 1_000);
            let mut measured = readings(100.0);
            assert_eq!(good.spoil(moment, &mut measured), moment);
            assert_eq!(measured, readings(100.0));
            assert!(!good.resets_counters(moment));
        }
        let fate = CommandFate { is_carried_out: true, answer: AnswerFate::Said };
        assert_eq!(good.fate_of("a"), fate);
    }

    #[test]
    fn a_stuck_node_stands_still_for_ten_minutes_and_then_goes_on() {
        let mut stuck = mischief("frozen=1");
        let mut first = readings(100.0);
        stuck.spoil(Timestamp(0), &mut first);
        let mut later = readings(200.0);
        stuck.settings.frozen = 0.0;
        stuck.spoil(Timestamp(STUCK_MS - 1), &mut later);
        let still = later.iter().filter(|node| node.watts == Some(Watts(100.0))).count();
        assert_eq!(still, 1);
        let mut idle = mischief("frozen=1");
        idle.spoil(Timestamp(0), &mut readings(0.0));
        assert!(idle.stuck.is_none(), "of a home at rest nobody would see it");
        let mut over = readings(300.0);
        stuck.spoil(Timestamp(STUCK_MS), &mut over);
        assert_eq!(over, readings(300.0));
    }

    #[test]
    fn spikes_are_single_and_a_clock_jumps_and_comes_back() {
        let mut wild = mischief("spikes=0.01,jump-clock=0.01");
        let (mut spikes, mut wrong) = (0, 0);
        for second in 0..10_000 {
            let moment = Timestamp(second * 1_000);
            let mut measured = readings(-100.0);
            let taken = wild.spoil(moment, &mut measured);
            let high = measured.iter().filter(|node| node.watts.unwrap().value() < -50_000.0);
            spikes += high.count();
            wrong += usize::from(taken != moment);
            let off = (taken.as_millis() - moment.as_millis()).abs();
            assert!(off == 0 || (60_000..=7_200_000).contains(&off), "{off}");
        }
        assert!((60..140).contains(&spikes), "{spikes}");
        assert!((3_000..9_900).contains(&wrong), "{wrong}");
    }
}
