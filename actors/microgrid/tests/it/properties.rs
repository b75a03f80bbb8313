//! What holds whatever comes, in whatever order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{JobWished, OrderDraft, Origin, Placement, Verdict};
use memcloud_domain::{
    Asker, ClaimFate, CommandAction, CommandId, CommandRecord, CommandState, NodeDeclaration,
    NodeId, NodeKind, Setting, Timestamp, Transition, Wish,
};
use memcloud_microgrid::DispatchLimits;
use memcloud_microgrid::dispatch::claim::{ClaimKey, Class, Kind, Rank, Stage, Standing};
use memcloud_microgrid::dispatch::decision::{By, Case, Decision, Fate, Room, decide, watts_of};
use memcloud_microgrid::dispatch::envelope::{Range, fit};
use memcloud_microgrid::dispatch::{Effect, Event};
use proptest::prelude::*;

use crate::house::{BATTERY, CHARGER, FRIDGE, HEATER, House, NOON, anna, app, hem, job, nodes};

fn a_power() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-40_i32..40).prop_map(|step| f64::from(step) * 250.0),
        1 => prop_oneof![Just(1e6), Just(-1e6), Just(f64::NAN), Just(f64::INFINITY), Just(1e300)],
    ]
}

fn a_setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        any::<bool>().prop_map(crate::house::on),
        a_power().prop_map(crate::house::power),
        a_power().prop_map(crate::house::limit),
    ]
}

fn a_node() -> impl Strategy<Value = u8> {
    prop_oneof![Just(BATTERY), Just(CHARGER), Just(HEATER), Just(FRIDGE), Just(77)]
}

const JOBS: [&str; 3] = ["a", "b", "c"];

/// Whether an order may be sent to a node at all.
fn check_envelope(node: &NodeDeclaration, action: &CommandAction, asker: &Asker) {
    let limits = DispatchLimits::default();
    let range = Range::of(node, &limits);
    let controls = node.controls.as_deref().unwrap_or_default();
    assert!(controls.contains(&action.control().unwrap()), "{action:?} at {node:?}");
    let is_load = matches!(node.kind, NodeKind::Load | NodeKind::Charger);
    match action.setting().unwrap() {
        Setting::Power { watts } => assert!(range.holds(watts.0), "{watts} in {range:?}"),
        Setting::Limit { watts } => assert!((0.0..=range.size()).contains(&watts.0)),
        Setting::Switch { .. } => {}
    }
    if node.critical == Some(true) && asker.is_job() {
        let sheds = match action.setting().unwrap() {
            Setting::Switch { on } => !on,
            _ => is_load,
        };
        assert!(!sheds, "a job sheds what is critical: {action:?}");
    }
}

// ------------------------------------------------------------------------------------- one decision

fn a_claim() -> impl Strategy<Value = Standing> {
    (0..8_usize, 0..3_i32, a_setting(), 0..3_i64, 1..5_i64).prop_map(
        |(who, priority, setting, since, until)| {
            let asker = if who < 3 { app(JOBS[who]) } else { anna() };
            let (key, rank) = match who {
                0..3 => (ClaimKey::Wish(job(JOBS[who])), Rank::Job),
                _ => {
                    let id = CommandId::new(&format!("c{who}")).unwrap();
                    (ClaimKey::Command(id), Rank::Operator)
                }
            };
            Standing {
                key,
                asker: Arc::new(asker),
                setting,
                class: Class { rank, priority },
                reason: String::new(),
                since: Timestamp(NOON - since * 1_000),
                until: Timestamp(NOON + (until - 1) * 1_000),
                lease_ms: Some(60_000),
                stage: Stage::Standing,
                complained: false,
            }
        },
    )
}

fn unique(claims: Vec<Standing>) -> Vec<Standing> {
    let mut seen = BTreeSet::new();
    claims.into_iter().filter(|claim| seen.insert((claim.key.clone(), claim.kind()))).collect()
}

fn decided(node: &NodeDeclaration, claims: &[Standing], room: &Room) -> Decision {
    let case = Case { declaration: node, at_home: None, claims, draws_on: 500.0 };
    decide(&case, |_| room.clone(), &DispatchLimits::default(), Timestamp(NOON))
}

/// A decision by what is claimed, not by its place.
fn shown(claims: &[Standing], decision: &Decision) -> BTreeMap<(ClaimKey, Kind), String> {
    let named = |by: By| match by {
        By::Home => "home".to_owned(),
        By::Claim(place) => format!("{:?}", (&claims[place].key, claims[place].kind())),
    };
    let mut shown = BTreeMap::new();
    for (place, fate) in &decision.fates {
        let claim = &claims[*place];
        let fate = match fate {
            Fate::Satisfied(by) => format!("satisfied by {}", named(*by)),
            Fate::Outranked(by) => format!("outranked by {}", named(*by)),
            other => format!("{other:?}"),
        };
        let chosen = decision.chosen(claim.kind()).map(|chosen| format!("{:?}", chosen.setting));
        let before = shown.insert((claim.key.clone(), claim.kind()), format!("{fate} {chosen:?}"));
        assert_eq!(before, None, "a claim has one fate");
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_decision_does_not_depend_on_the_order_of_the_claims(
        (claims, shuffled) in prop::collection::vec(a_claim(), 0..10).prop_map(unique)
            .prop_flat_map(|claims| (Just(claims.clone()), Just(claims).prop_shuffle())),
        node in 1..5_usize,
    ) {
        let node = &nodes()[node];
        let one = shown(&claims, &decided(node, &claims, &Room::default()));
        let other = shown(&shuffled, &decided(node, &shuffled, &Room::default()));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_decision_stays_in_the_envelope_and_the_strongest_that_can_be_holds(
        claims in prop::collection::vec(a_claim(), 0..10).prop_map(unique),
        node in 1..5_usize,
    ) {
        let node = &nodes()[node];
        let decision = decided(node, &claims, &Room::default());
        let now = Timestamp(NOON);
        let limits = DispatchLimits::default();
        let standing = claims.iter().filter(|claim| claim.stands(now)).count();
        prop_assert_eq!(decision.fates.len(), standing);
        for kind in Kind::ALL {
            let Some(chosen) = decision.chosen(kind) else { continue };
            let By::Claim(place) = chosen.by else { panic!("nobody is at home") };
            prop_assert!(claims[place].stands(now));
            prop_assert_eq!(claims[place].kind(), kind);
            check_envelope(node, &chosen.setting.into(), &claims[place].asker);
        }
        // A power keeps every limit that goes before it.
        if let Some(power) = decision.chosen(Kind::Power)
            && let By::Claim(holder) = power.by
        {
            let size = watts_of(power.setting).unwrap().abs();
            for claim in claims.iter().filter(|claim| claim.stands(now)) {
                let goes_before = claim.class >= claims[holder].class;
                let fitted = fit(node, claim.setting, &claim.asker, "", &limits);
                if let (true, Ok((Setting::Limit { watts }, _))) = (goes_before, fitted) {
                    prop_assert!(size <= watts.0 + 1e-9);
                }
            }
        }
        let can_be = |place: &usize| {
            let claim = &claims[*place];
            fit(node, claim.setting, &claim.asker, &claim.reason, &limits).is_ok()
        };
        let strongest = decision.fates.iter().find(|(place, _)| can_be(place));
        if let Some((_, fate)) = strongest {
            prop_assert!(matches!(fate, Fate::Holds | Fate::Narrowed), "{:?}", fate);
        }
    }
}

// ------------------------------------------------------------------------------- the whole dispatcher

#[derive(Debug, Clone)]
enum Deed {
    Wish { who: usize, priority: i32, node: u8, setting: Setting, seconds: u64 },
    Withdraw { who: usize, node: u8 },
    Stop { who: usize },
    Command { priority: i32, node: u8, setting: Setting, lease: Option<u64> },
    Press { node: u8, on: Option<bool>, watts: Option<f64>, seconds: u64 },
    Measure { node: u8, watts: f64 },
    Pass { seconds: u64 },
    Answer { how: u8 },
    News { which: usize, state: usize },
}

fn a_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..3_usize, 0..3_i32, a_node(), a_setting(), 1..200_u64).prop_map(
            |(who, priority, node, setting, seconds)| Deed::Wish { who, priority, node, setting, seconds }
        ),
        1 => (0..3_usize, a_node()).prop_map(|(who, node)| Deed::Withdraw { who, node }),
        1 => (0..3_usize).prop_map(|who| Deed::Stop { who }),
        3 => (0..3_i32, a_node(), a_setting(), prop::option::of(1..200_u64)).prop_map(
            |(priority, node, setting, lease)| Deed::Command { priority, node, setting, lease }
        ),
        1 => (a_node(), prop::option::of(any::<bool>()), prop::option::of(a_power()), 0..300_u64)
            .prop_map(|(node, on, watts, seconds)| Deed::Press { node, on, watts, seconds }),
        1 => (0..5_u8, a_power()).prop_map(|(node, watts)| Deed::Measure { node, watts }),
        3 => (0..90_u64).prop_map(|seconds| Deed::Pass { seconds }),
        4 => (0..12_u8).prop_map(|how| Deed::Answer { how }),
        2 => (any::<usize>(), 0..12_usize).prop_map(|(which, state)| Deed::News { which, state }),
    ]
}

/// Runs deeds with a ledger that answers when a deed says so, and checks each verdict.
#[derive(Default)]
struct Trial {
    waiting: VecDeque<(u64, Vec<Verdict>)>,
    placed: Vec<Arc<CommandRecord>>,
    wished: BTreeSet<(String, u8)>,
    commands: BTreeMap<CommandId, Arc<CommandRecord>>,
    number: usize,
}

impl Trial {
    fn see(&mut self, house: &mut House, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Place { batch, verdicts } => {
                    for verdict in &verdicts {
                        self.check(verdict);
                    }
                    self.waiting.push_back((batch, verdicts));
                }
                Effect::LookBack(hem) => {
                    let events = Some(Vec::new());
                    let more =
                        house.dispatcher.accept(Event::LookedBack { hem, events }, house.now);
                    self.see(house, more);
                }
                Effect::Say { .. } | Effect::RefreshRoster => {}
            }
        }
    }

    fn tell(&mut self, house: &mut House, event: Event) {
        let effects = house.dispatcher.accept(event, house.now);
        self.see(house, effects);
        for _ in 0..1_000 {
            if house.dispatcher.due().is_none_or(|due| due > house.now) {
                return;
            }
            let effects = house.dispatcher.accept(Event::Tick, house.now);
            self.see(house, effects);
        }
        panic!("dispatch never comes to rest");
    }

    /// Every order traces to a claim, is within the envelope, and is the only one on its way.
    fn check(&self, verdict: &Verdict) {
        let Verdict::Order(draft) = verdict else { return };
        let node = draft.node.unwrap();
        let asker = match &draft.origin {
            Origin::Command(id) => {
                let command = &self.commands[id];
                assert_eq!((command.node, &command.hem), (draft.node, &draft.hem));
                command.asker.clone()
            }
            Origin::Wish { asker, .. } => {
                match asker {
                    Asker::Job { app, .. } => {
                        assert!(self.wished.contains(&(app.clone(), node.0)), "{draft:?}");
                    }
                    person => assert!(*person == anna() || person.shown() == "someone at home"),
                }
                asker.clone()
            }
        };
        assert!(!draft.because.is_empty() && draft.because.ends_with('.'), "{draft:?}");
        assert!(draft.moves_watts >= 0.0 && draft.moves_watts.is_finite(), "{draft:?}");
        assert!(draft.lease_ms.is_none_or(|lease| lease > 0));
        check_envelope(&nodes()[usize::from(node.0)], &draft.action, &asker);
        let kind = |draft: &OrderDraft| (draft.node, draft.action.control());
        for other in self.waiting.iter().flat_map(|(_, verdicts)| verdicts) {
            if let Verdict::Order(other) = other {
                assert_ne!(kind(other), kind(draft), "two on their way");
            }
        }
    }

    fn placement(&mut self, house: &House, verdict: &Verdict, how: u8) -> Placement {
        let Verdict::Order(draft) = verdict else { return Placement::Unknown };
        match how {
            0 => return Placement::OverFleetBudget { retry_after_ms: 3_000 },
            1 => return Placement::HemIsBusy,
            2 => return Placement::Unknown,
            _ => {}
        }
        let mut record = match &draft.origin {
            Origin::Command(id) => (*self.commands[id]).clone(),
            Origin::Wish { asker, reason, priority, expires_ms } => {
                self.number += 1;
                CommandRecord {
                    id: CommandId::new(&format!("order-{}", self.number)).unwrap(),
                    asker: asker.clone(),
                    reason: reason.clone(),
                    priority: *priority,
                    expires: house.now.plus(Duration::from_millis(*expires_ms)),
                    ..self.record(house, draft.node.unwrap().0, draft.action.clone())
                }
            }
        };
        record.ordered = Some(draft.action.clone());
        record.lease_ms = draft.lease_ms;
        record.order = Some(1);
        if how == 3 {
            record.state = CommandState::Expired;
            return Placement::Moot(Arc::new(record));
        }
        let record = Arc::new(record);
        self.placed.push(Arc::clone(&record));
        Placement::Placed(record)
    }

    fn record(&self, house: &House, node: u8, action: CommandAction) -> CommandRecord {
        let at = house.now;
        CommandRecord {
            id: CommandId::new("x").unwrap(),
            microgrid: memcloud_domain::MicrogridId::new("fontana").unwrap(),
            hem: hem("home-1"),
            node: Some(NodeId(node)),
            action,
            asker: anna(),
            reason: "because".to_owned(),
            priority: 0,
            issued: at,
            expires: at.plus(Duration::from_secs(60)),
            lease_ms: None,
            ordered: None,
            order: None,
            acted_at: None,
            state: CommandState::Accepted,
            history: vec![Transition {
                state: CommandState::Accepted,
                at,
                because: None,
                evidence: None,
            }],
        }
    }

    fn wished(
        &mut self,
        who: usize,
        priority: i32,
        wishes: Vec<Wish>,
        withdrawn: Vec<u8>,
    ) -> Event {
        for wish in &wishes {
            self.wished.insert((JOBS[who].to_owned(), wish.node.0));
        }
        let withdrawn = withdrawn.into_iter().map(|node| (hem("home-1"), NodeId(node))).collect();
        Event::Wished(JobWished { asker: app(JOBS[who]), priority, wishes, withdrawn })
    }

    fn command(
        &mut self,
        house: &House,
        priority: i32,
        node: u8,
        setting: Setting,
        lease: Option<u64>,
    ) -> Event {
        self.number += 1;
        let record = Arc::new(CommandRecord {
            id: CommandId::new(&format!("c{}", self.number)).unwrap(),
            priority,
            lease_ms: lease.map(|seconds| seconds * 1_000),
            ..self.record(house, node, setting.into())
        });
        self.commands.insert(record.id.clone(), Arc::clone(&record));
        Event::Offered(record)
    }

    fn perform(&mut self, house: &mut House, deed: Deed) {
        match deed {
            Deed::Wish { who, priority, node, setting, seconds } => {
                let wish = a_wish(node, setting, seconds);
                let event = self.wished(who, priority, vec![wish], Vec::new());
                self.tell(house, event);
            }
            Deed::Withdraw { who, node } => {
                let event = self.wished(who, 0, Vec::new(), vec![node]);
                self.tell(house, event);
            }
            Deed::Stop { who } => {
                let running = JOBS.iter().enumerate().filter(|(other, _)| *other != who);
                let running = running.map(|(_, name)| job(name)).collect();
                self.tell(house, Event::Jobs(running));
            }
            Deed::Command { priority, node, setting, lease } => {
                let event = self.command(house, priority, node, setting, lease);
                self.tell(house, event);
            }
            Deed::Press { node, on, watts, seconds } => {
                let event = house.press_event(node, on, watts, Some(seconds));
                self.tell(house, stored(event));
            }
            Deed::Measure { node, watts } => {
                // Without answers this cannot order anything new by itself.
                let reading = memcloud_domain::Reading {
                    seq: memcloud_domain::Seq(1),
                    ts: house.now,
                    received: house.now,
                    nodes: vec![memcloud_domain::NodeReading {
                        watts: Some(memcloud_domain::Watts(watts)),
                        ..memcloud_domain::NodeReading::empty(NodeId(node))
                    }],
                };
                self.tell(house, batch(memcloud_domain::Entry::Reading(reading)));
            }
            Deed::Pass { seconds } => {
                let end = house.now.plus(Duration::from_secs(seconds));
                while let Some(due) = house.dispatcher.due().filter(|due| *due <= end) {
                    house.now = house.now.max(due);
                    self.tell(house, Event::Tick);
                }
                house.now = end;
            }
            Deed::Answer { how } => {
                let Some((batch, verdicts)) = self.waiting.pop_front() else { return };
                let event = if how == 4 {
                    Event::NotPlaced { batch }
                } else {
                    let answers = verdicts
                        .iter()
                        .map(|verdict| self.placement(house, verdict, how))
                        .collect();
                    Event::Placed { batch, placements: answers }
                };
                self.tell(house, event);
            }
            Deed::News { which, state } => {
                if self.placed.is_empty() {
                    return;
                }
                let place = which % self.placed.len();
                let mut record = (*self.placed[place]).clone();
                record.state = CommandState::ALL[state];
                let (state, at) = (record.state, house.now);
                record.history.push(Transition { state, at, because: None, evidence: None });
                let record = Arc::new(record);
                self.placed[place] = Arc::clone(&record);
                self.tell(house, Event::Changed(record));
            }
        }
        for why in house.dispatcher.why_all(house.now) {
            assert!(why.sentence.ends_with('.') && why.sentence.len() < 2_000, "{why:?}");
        }
    }
}

fn a_wish(node: u8, setting: Setting, seconds: u64) -> Wish {
    let (hem, node) = (hem("home-1"), NodeId(node));
    Wish { hem, node, setting, lease_ms: seconds * 1_000, reason: String::new() }
}

fn stored(event: memcloud_domain::HemEvent) -> Event {
    batch(memcloud_domain::Entry::Event(event))
}

fn batch(entry: memcloud_domain::Entry) -> Event {
    let batch = memcloud_domain::HemBatch {
        hem: hem("home-1"),
        epoch: memcloud_domain::Epoch(1),
        after: memcloud_domain::Seq(0),
        through: memcloud_domain::Seq(1),
        entries: vec![entry],
    };
    Event::Stored(Arc::new(vec![batch]))
}

/// What holds at the nodes: who has it, and what. Whoever wants the same besides is left out: a command
/// that was turned down before it was the same is gone.
fn holders(house: &House) -> BTreeSet<String> {
    let mut holders = BTreeSet::new();
    for why in house.dispatcher.why_all(house.now) {
        for claim in &why.claims {
            let is_besides = claim.because.starts_with("what ");
            let holds =
                matches!(claim.fate, ClaimFate::Holds | ClaimFate::Narrowed | ClaimFate::Waits);
            if holds && !is_besides {
                holders.insert(format!("{} {:?} {:?}", why.node, claim.asker, claim.setting));
            }
        }
    }
    holders
}

/// At most one wish per job, node and kind, and one command per node: of two commands the one that goes
/// behind is refused at once, and then is gone whatever comes later.
fn a_scene() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..3_usize, 0..3_i32, a_node(), a_setting()).prop_map(|(who, priority, node, setting)| {
            Deed::Wish { who, priority, node, setting, seconds: 300 }
        }),
        2 => (0..3_i32, a_node(), a_setting()).prop_map(|(priority, node, setting)| {
            Deed::Command { priority, node, setting, lease: Some(300) }
        }),
    ];
    prop::collection::vec(deed, 1..12).prop_map(|deeds| {
        let mut seen = BTreeSet::new();
        let mut commanded = BTreeSet::new();
        let mut priorities = BTreeMap::new();
        let mut scene = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Wish { who, priority, node, setting, seconds } => {
                    // A job has one priority.
                    let priority = *priorities.entry(who).or_insert(priority);
                    if seen.insert((who, node, Kind::of(setting))) {
                        scene.push(Deed::Wish { who, priority, node, setting, seconds });
                    }
                }
                Deed::Command { node, .. } if !commanded.insert(node) => {}
                other => scene.push(other),
            }
        }
        scene
    })
}

/// Plays a scene at one moment, with a ledger that takes everything.
fn play(scene: &[(usize, Deed)]) -> (House, Vec<Event>) {
    let limits = DispatchLimits { orders_per_node: 1_000, ..DispatchLimits::default() };
    let mut house = House::with(limits);
    let mut events = Vec::new();
    for (number, deed) in scene {
        let event = match deed {
            Deed::Wish { who, priority, node, setting, seconds } => Event::Wished(JobWished {
                asker: app(JOBS[*who]),
                priority: *priority,
                wishes: vec![a_wish(*node, *setting, *seconds)],
                withdrawn: Vec::new(),
            }),
            Deed::Command { priority, node, setting, lease } => {
                let id = format!("c{number}");
                let record = house.command(&id, *priority, *node, *setting, *lease);
                events.push(Event::Offered(record));
                continue;
            }
            _ => continue,
        };
        events.push(event.clone());
        house.tell(event);
    }
    (house, events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_is_outside_the_envelope_and_each_traces_to_a_claim(
        deeds in prop::collection::vec(a_deed(), 1..80)
    ) {
        let mut house = House::new();
        let mut trial = Trial::default();
        for deed in deeds {
            trial.perform(&mut house, deed);
        }
        // In the end everything ends.
        while !trial.waiting.is_empty() {
            trial.perform(&mut house, Deed::Answer { how: 9 });
        }
        for _ in 0..200 {
            trial.perform(&mut house, Deed::Pass { seconds: 89 });
            trial.perform(&mut house, Deed::Answer { how: 9 });
        }
        prop_assert_eq!(house.dispatcher.figures().wishes_standing, 0);
        for why in house.dispatcher.why_all(house.now) {
            prop_assert!(why.claims.is_empty() && why.settings.is_empty(), "{:?}", why);
        }
    }

    #[test]
    fn who_wins_does_not_depend_on_who_came_first_in_the_same_moment(
        (scene, shuffled) in a_scene().prop_flat_map(|scene| {
            let scene: Vec<(usize, Deed)> = scene.into_iter().enumerate().collect();
            (Just(scene.clone()), Just(scene).prop_shuffle())
        })
    ) {
        let (one, _) = play(&scene);
        let (other, _) = play(&shuffled);
        prop_assert_eq!(holders(&one), holders(&other));
    }

    #[test]
    fn what_is_said_twice_is_ordered_once(scene in a_scene()) {
        let scene: Vec<(usize, Deed)> = scene.into_iter().enumerate().collect();
        let (mut house, events) = play(&scene);
        let orders = house.ordered();
        for event in events {
            // A command that was turned down is turned down again; nothing is ordered of it.
            house.tell(event);
        }
        prop_assert_eq!(house.ordered(), orders);
    }

    #[test]
    fn powers_ordered_together_keep_the_homes_import_limit(
        limit in 500..8_000_u32,
        net in 0..6_000_u32,
        powers in prop::collection::vec((prop_oneof![Just(BATTERY), Just(CHARGER)], -2_000..9_000_i32, 0..3_usize), 1..10),
    ) {
        let limit = f64::from(limit);
        let mut house = House::with(DispatchLimits { orders_per_node: 1_000, ..DispatchLimits::default() });
        house.limit_home(Some(limit), None);
        house.measure(&[(0, -f64::from(net)), (BATTERY, 0.0), (CHARGER, 0.0)]);
        for (node, watts, who) in powers {
            house.wish(JOBS[who], 0, node, crate::house::power(f64::from(watts)));
            house.pass(6);
            let held = house.dispatcher.why_all(house.now);
            let powers = held.iter().flat_map(|why| &why.settings).filter_map(|held| watts_of(held.setting));
            let draws: f64 = powers.filter(|watts| *watts > 0.0).sum();
            prop_assert!(draws == 0.0 || f64::from(net) + draws <= limit + 1.0, "{draws} over {net} of {limit}");
        }
    }
}
