//! What a member of a cluster should do, as far as it can tell by itself: the pure core. Beats, claims and
//! time go in; out comes which microgrids are taken, handed over and left. Who really has one is decided
//! in the database; what stands here is at most an old truth, and the fence bears that.

use std::collections::BTreeMap;

use memcloud_domain::{MicrogridId, ProcessId, Tenure};
use memcloud_store::registry::{Claimed, ProcessRow, Pulse};
use tokio::time::Instant;

use crate::ClusterConfig;
use crate::rendezvous::preferred;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// This process runs it from now on.
    Take(Tenure),
    /// It leaves it at once, without saving: it is another's, or may be.
    Drop(MicrogridId),
    /// It leaves it in order and gives it up then; [`Plan::left`] is told afterwards.
    HandOver(Tenure),
    /// Others live now.
    Live(Vec<ProcessId>),
}

/// What a round at the database brought.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) pulse: Pulse,
    pub(crate) processes: Vec<ProcessRow>,
    pub(crate) ownerless: Vec<MicrogridId>,
    /// What this process runs, where that was asked for.
    pub(crate) tenures: Option<Vec<Tenure>>,
}

#[derive(Debug, Clone)]
struct Held {
    tenure: Tenure,
    is_leaving: bool,
}

/// What a member of a cluster knows and should do.
#[derive(Debug)]
pub(crate) struct Plan {
    me: ProcessId,
    config: ClusterConfig,
    live: Vec<ProcessId>,
    live_since: Instant,
    addresses: BTreeMap<ProcessId, String>,
    held: BTreeMap<MicrogridId, Held>,
    /// Until when others take it to live, by its own clock; absent: they do not.
    fit_until: Option<Instant>,
    /// Whether what it holds may be wrong.
    must_ask: bool,
    /// Microgrids in which there is something to do, and since when that is known.
    needed: BTreeMap<MicrogridId, Instant>,
    /// Those that nobody who lives has, and since when that is known.
    ownerless: BTreeMap<MicrogridId, Instant>,
    /// Those that others run, as it was heard last.
    elsewhere: BTreeMap<MicrogridId, ProcessId>,
}

impl Plan {
    /// The plan of a process that is not taken to live yet. `held` is what it ran in an earlier life of
    /// its member.
    pub(crate) fn new(
        me: ProcessId,
        config: ClusterConfig,
        held: impl IntoIterator<Item = Tenure>,
        now: Instant,
    ) -> Self {
        let hold = |tenure: Tenure| (tenure.microgrid.clone(), Held { tenure, is_leaving: false });
        Self {
            me,
            config,
            live: Vec::new(),
            live_since: now,
            addresses: BTreeMap::new(),
            held: held.into_iter().map(hold).collect(),
            fit_until: None,
            must_ask: false,
            needed: BTreeMap::new(),
            ownerless: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        }
    }

    pub(crate) fn me(&self) -> &ProcessId {
        &self.me
    }

    pub(crate) fn live(&self) -> &[ProcessId] {
        &self.live
    }

    /// Where a process answers others.
    pub(crate) fn address(&self, process: &ProcessId) -> Option<&str> {
        self.addresses.get(process).map(String::as_str)
    }

    /// What this process runs.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Tenure> {
        self.held.values().map(|held| &held.tenure)
    }

    pub(crate) fn holds(&self, microgrid: &MicrogridId) -> bool {
        self.held.get(microgrid).is_some_and(|held| !held.is_leaving)
    }

    /// Whether it may run microgrids now.
    pub(crate) fn is_fit(&self, now: Instant) -> bool {
        self.fit_until.is_some_and(|until| now < until)
    }

    /// Whether the next round has to ask what this process runs: it may have been taken by others.
    pub(crate) fn asks_tenures(&self) -> bool {
        self.must_ask || self.fit_until.is_none()
    }

    /// There is something to do in a microgrid. Answers the tenure where this process runs it: whoever asks
    /// has forgotten it, in a crash.
    pub(crate) fn needs(&mut self, microgrid: MicrogridId, now: Instant) -> Option<Tenure> {
        if let Some(held) = self.held.get(&microgrid) {
            return (!held.is_leaving).then(|| held.tenure.clone());
        }
        let is_run = self.elsewhere.contains_key(&microgrid);
        if !is_run && self.needed.len() < self.config.microgrids {
            self.needed.entry(microgrid).or_insert(now);
        }
        None
    }

    /// Time has passed: a process that could not say that it lives leaves everything before its lease is
    /// over.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<Effect> {
        if self.fit_until.is_none_or(|until| now < until) {
            return Vec::new();
        }
        self.fit_until = None;
        self.drop_all()
    }

    fn drop_all(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.held).into_keys().map(Effect::Drop).collect()
    }

    /// A round that began then is over.
    pub(crate) fn beaten(&mut self, round: Round, began: Instant, now: Instant) -> Vec<Effect> {
        let fit_until = began + self.config.lease.saturating_sub(self.config.margin);
        if now >= fit_until {
            // It took too long to be worth anything.
            return self.look(now);
        }
        let mut effects = Vec::new();
        match round.tenures {
            Some(tenures) => {
                self.must_ask = false;
                effects.extend(self.correct(tenures));
            }
            // Others may have taken something, and it is not known what.
            None if round.pulse == Pulse::Lapsed || self.fit_until.is_none() => {
                effects.extend(self.drop_all());
                self.fit_until = None;
                return effects;
            }
            None => {}
        }
        self.fit_until = Some(fit_until);
        effects.extend(self.take_note_of(round.processes, now));
        let seen = std::mem::take(&mut self.ownerless);
        for microgrid in round.ownerless {
            self.elsewhere.remove(&microgrid);
            let since = seen.get(&microgrid).copied().unwrap_or(now);
            self.ownerless.insert(microgrid, since);
        }
        effects
    }

    /// What this process runs is exactly this.
    fn correct(&mut self, tenures: Vec<Tenure>) -> Vec<Effect> {
        let mut before = std::mem::take(&mut self.held);
        let mut effects = Vec::new();
        for tenure in tenures {
            match before.remove(&tenure.microgrid) {
                Some(held) if held.tenure == tenure => {
                    self.held.insert(tenure.microgrid.clone(), held);
                }
                other => {
                    effects.extend(other.map(|held| Effect::Drop(held.tenure.microgrid)));
                    effects.extend(self.take(tenure));
                }
            }
        }
        effects.extend(before.into_keys().map(Effect::Drop));
        effects
    }

    fn take(&mut self, tenure: Tenure) -> Option<Effect> {
        let microgrid = tenure.microgrid.clone();
        self.needed.remove(&microgrid);
        self.ownerless.remove(&microgrid);
        self.elsewhere.remove(&microgrid);
        match self.held.get(&microgrid) {
            Some(held) if held.tenure == tenure => None,
            _ => {
                let held = Held { tenure: tenure.clone(), is_leaving: false };
                self.held.insert(microgrid, held);
                Some(Effect::Take(tenure))
            }
        }
    }

    fn take_note_of(&mut self, processes: Vec<ProcessRow>, now: Instant) -> Option<Effect> {
        let mut live: Vec<ProcessId> = processes
            .iter()
            .filter(|row| row.lives || row.process == self.me)
            .map(|row| row.process.clone())
            .collect();
        live.sort();
        self.addresses = processes.into_iter().map(|row| (row.process, row.address)).collect();
        if live == self.live {
            return None;
        }
        self.live = live;
        self.live_since = now;
        let live = &self.live;
        self.elsewhere.retain(|_, process| live.contains(process));
        Some(Effect::Live(self.live.clone()))
    }

    /// Which microgrids this process should claim now.
    pub(crate) fn claims(&self, now: Instant) -> Vec<MicrogridId> {
        if !self.is_fit(now) {
            return Vec::new();
        }
        let is_mine = |(microgrid, since): &(&MicrogridId, &Instant)| {
            preferred(microgrid, &self.live) == Some(&self.me) || now >= **since + self.config.grace
        };
        let wanted = self.ownerless.iter().chain(&self.needed);
        let wanted = wanted.filter(|(microgrid, _)| !self.held.contains_key(*microgrid));
        wanted.filter(is_mine).map(|(id, _)| id.clone()).take(self.config.claims).collect()
    }

    /// A claim was answered.
    pub(crate) fn claimed(&mut self, microgrid: &MicrogridId, answer: Claimed) -> Option<Effect> {
        match answer {
            Claimed::Taken(tenure) if self.fit_until.is_some() => self.take(tenure),
            // It is asked for with the next beat.
            Claimed::Taken(_) => None,
            Claimed::Held(tenure) => {
                self.needed.remove(microgrid);
                self.ownerless.remove(microgrid);
                if self.elsewhere.len() < self.config.microgrids {
                    self.elsewhere.insert(microgrid.clone(), tenure.process);
                }
                None
            }
            // Its lease is over: everything is asked for again.
            Claimed::NotAlive => {
                self.fit_until = None;
                None
            }
        }
    }

    /// Which microgrids are handed over now, because another process should have them.
    pub(crate) fn moves(&mut self, now: Instant) -> Vec<Effect> {
        if !self.is_fit(now) || now < self.live_since + self.config.settle {
            return Vec::new();
        }
        let (live, me) = (&self.live, &self.me);
        let leaving = self.held.values().filter(|held| held.is_leaving).count();
        let strangers = self.held.iter_mut().filter(|(microgrid, held)| {
            !held.is_leaving && preferred(microgrid, live).is_some_and(|process| process != me)
        });
        let moving = strangers.take(self.config.moves.saturating_sub(leaving));
        moving
            .map(|(_, held)| {
                held.is_leaving = true;
                Effect::HandOver(held.tenure.clone())
            })
            .collect()
    }

    /// Nobody knows any more what this process runs: the next beat asks.
    pub(crate) fn asks_again(&mut self) {
        self.must_ask = true;
    }

    /// A microgrid was handed over.
    pub(crate) fn left(&mut self, tenure: &Tenure) {
        if self.held.get(&tenure.microgrid).is_some_and(|held| held.tenure == *tenure) {
            self.held.remove(&tenure.microgrid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memcloud_domain::Epoch;

    use super::*;

    fn process(name: &str) -> ProcessId {
        ProcessId::new(name).unwrap()
    }

    fn grid(name: &str) -> MicrogridId {
        MicrogridId::new(name).unwrap()
    }

    fn tenure(microgrid: &str, epoch: u64) -> Tenure {
        Tenure { microgrid: grid(microgrid), process: process("a"), epoch: Epoch(epoch) }
    }

    fn row(name: &str) -> ProcessRow {
        ProcessRow {
            process: process(name),
            address: format!("{name}:8080"),
            version: "1".to_owned(),
            age: Duration::ZERO,
            silent_for: Duration::ZERO,
            lives: true,
        }
    }

    fn round(pulse: Pulse, live: &[&str], tenures: Option<Vec<Tenure>>) -> Round {
        let processes = live.iter().map(|name| row(name)).collect();
        Round { pulse, processes, ownerless: Vec::new(), tenures }
    }

    struct Bench {
        plan: Plan,
        now: Instant,
    }

    impl Bench {
        /// A process `a` that lives, alone.
        fn fit() -> Self {
            let now = Instant::now();
            let plan = Plan::new(process("a"), ClusterConfig::default(), [], now);
            let mut bench = Self { plan, now };
            bench.beat(round(Pulse::Lapsed, &["a"], Some(Vec::new())));
            bench
        }

        fn beat(&mut self, round: Round) -> Vec<Effect> {
            self.plan.beaten(round, self.now, self.now)
        }

        fn pass(&mut self, seconds: u64) -> Vec<Effect> {
            self.now += Duration::from_secs(seconds);
            self.plan.look(self.now)
        }

        fn take(&mut self, microgrid: &str) -> Option<Effect> {
            self.plan.claimed(&grid(microgrid), Claimed::Taken(tenure(microgrid, 1)))
        }
    }

    #[test]
    fn a_process_claims_nothing_before_it_is_taken_to_live() {
        let now = Instant::now();
        let mut plan = Plan::new(process("a"), ClusterConfig::default(), [], now);
        plan.needs(grid("m"), now);
        assert_eq!(plan.claims(now + Duration::from_secs(60)), []);
    }

    #[test]
    fn what_is_needed_is_claimed_and_taken_once() {
        let mut bench = Bench::fit();
        bench.plan.needs(grid("m"), bench.now);
        assert_eq!(bench.plan.claims(bench.now), [grid("m")]);
        assert_eq!(bench.take("m"), Some(Effect::Take(tenure("m", 1))));
        assert_eq!(bench.take("m"), None);
        assert_eq!(bench.plan.claims(bench.now), []);
        let told = bench.plan.needs(grid("m"), bench.now);
        assert_eq!(told, Some(tenure("m", 1)), "whoever asks has forgotten it");
        assert_eq!(bench.plan.claims(bench.now), []);
    }

    #[test]
    fn what_another_should_have_is_left_to_it_for_a_while() {
        let mut bench = Bench::fit();
        bench.beat(round(Pulse::Kept, &["a", "b"], None));
        let live = [process("a"), process("b")];
        let of_b = (0..).map(|number| grid(&format!("m{number}")));
        let of_b = of_b.into_iter().find(|id| preferred(id, &live) == Some(&live[1])).unwrap();
        bench.plan.needs(of_b.clone(), bench.now);
        assert_eq!(bench.plan.claims(bench.now), []);
        bench.pass(2);
        assert_eq!(bench.plan.claims(bench.now), std::slice::from_ref(&of_b));
        let held = Tenure { process: process("b"), ..tenure(of_b.as_str(), 7) };
        assert_eq!(bench.plan.claimed(&of_b, Claimed::Held(held)), None);
        bench.plan.needs(of_b.clone(), bench.now);
        assert_eq!(bench.plan.claims(bench.now), [], "it is known to be run");
        // Until its process is gone.
        bench.beat(round(Pulse::Kept, &["a"], None));
        bench.plan.needs(of_b.clone(), bench.now);
        assert_eq!(bench.plan.claims(bench.now), [of_b]);
    }

    #[test]
    fn a_process_that_cannot_beat_leaves_everything_a_second_before_its_lease_is_over() {
        let mut bench = Bench::fit();
        bench.take("m");
        assert_eq!(bench.pass(2), []);
        assert_eq!(bench.pass(1), [Effect::Drop(grid("m"))]);
        assert!(!bench.plan.is_fit(bench.now));
        assert_eq!(bench.pass(60), [], "once");
    }

    #[test]
    fn a_beat_that_took_longer_than_it_is_worth_is_none() {
        let mut bench = Bench::fit();
        bench.take("m");
        let began = bench.now;
        bench.now += Duration::from_secs(30);
        let late = round(Pulse::Kept, &["a"], None);
        assert_eq!(bench.plan.beaten(late, began, bench.now), [Effect::Drop(grid("m"))]);
        assert!(!bench.plan.is_fit(bench.now));
    }

    #[test]
    fn after_a_lapse_it_takes_up_what_nobody_took_and_drops_what_somebody_did() {
        let mut bench = Bench::fit();
        bench.take("kept");
        bench.take("lost");
        // The first beat that says so asks for nothing yet.
        let effects = bench.beat(round(Pulse::Lapsed, &["a", "b"], None));
        assert_eq!(effects, [Effect::Drop(grid("kept")), Effect::Drop(grid("lost"))]);
        assert!(bench.plan.asks_tenures());
        let mine = Some(vec![tenure("kept", 1)]);
        let effects = bench.beat(round(Pulse::Kept, &["a", "b"], mine));
        assert!(effects.contains(&Effect::Take(tenure("kept", 1))), "{effects:?}");
        assert!(bench.plan.holds(&grid("kept")) && !bench.plan.holds(&grid("lost")));
    }

    #[test]
    fn a_microgrid_that_came_back_under_a_later_epoch_is_begun_anew() {
        let mut bench = Bench::fit();
        bench.take("m");
        let effects = bench.plan.correct(vec![tenure("m", 3)]);
        assert_eq!(effects, [Effect::Drop(grid("m")), Effect::Take(tenure("m", 3))]);
    }

    #[test]
    fn microgrids_move_to_a_new_process_only_when_it_has_stayed() {
        let mut bench = Bench::fit();
        for number in 0..20 {
            bench.take(&format!("m{number}"));
        }
        let effects = bench.beat(round(Pulse::Kept, &["a", "b"], None));
        assert_eq!(effects, [Effect::Live(vec![process("a"), process("b")])]);
        for _ in 0..9 {
            bench.now += Duration::from_secs(1);
            bench.beat(round(Pulse::Kept, &["a", "b"], None));
            assert_eq!(bench.plan.moves(bench.now), []);
        }
        bench.now += Duration::from_secs(1);
        bench.beat(round(Pulse::Kept, &["a", "b"], None));
        let moves = bench.plan.moves(bench.now);
        assert!((4..=16).contains(&moves.len()), "{}", moves.len());
        assert_eq!(bench.plan.moves(bench.now), [], "each once");
        let Some(Effect::HandOver(moved)) = moves.first().cloned() else { panic!("{moves:?}") };
        assert!(!bench.plan.holds(&moved.microgrid));
        bench.plan.left(&moved);
        assert!(bench.plan.held().all(|held| *held != moved));
    }
}
