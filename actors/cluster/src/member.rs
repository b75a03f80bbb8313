//! The actor that makes a process one of a cluster: a thin shell over the [`Plan`]. It beats, claims and
//! releases on blocking threads, tells what this process runs, and has it left.

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, ResponseFuture,
};
use memcloud_domain::messages::{
    FindOwner, LeaveMicrogrid, MicrogridNeeded, MicrogridTaken, ProcessesChanged, Unavailable,
};
use memcloud_domain::{MicrogridId, Owner, ProcessId, Tenure};
use memcloud_store::registry::{Beat, Claimed, ClusterStore, Pulse, RegistryError};
use memcloud_supervision::{
    Child, ChildSpec, Observe, OffloadError, Port, RestartPolicy, Scope, TellError, supervised,
};
use serde_json::json;
use tokio::time::Instant;

use crate::plan::{Effect, Plan, Round};
use crate::{
    Begin, ClusterConfig, ClusterMetrics, ClusterProcess, ClusterStanding, GetCluster, MemberPorts,
    StepDown,
};

const WEB_STORE: &str = "web store";
/// So many microgrids without owner are looked at with each beat.
const OWNERLESS: usize = 1_000;

/// What a `ClusterMember` is made of.
#[derive(Clone)]
pub struct MemberParts {
    /// The database. A connection of its own: a beat does not wait for what others write.
    pub store: Arc<dyn ClusterStore>,
    /// Which process this is.
    pub process: ProcessId,
    /// Its version.
    pub version: String,
    /// Whom it tells; they are added after the start.
    pub ports: MemberPorts,
    /// What it counts.
    pub metrics: Arc<ClusterMetrics>,
    /// Its times and bounds.
    pub config: ClusterConfig,
}

impl std::fmt::Debug for MemberParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("MemberParts")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// Makes a process one of a cluster.
pub struct ClusterMember {
    parts: MemberParts,
    scope: Scope,
    plan: Plan,
    is_beating: bool,
    is_claiming: bool,
    is_away: bool,
    has_stepped_down: bool,
    /// What somebody had no room for; told again.
    untold: Vec<MicrogridTaken>,
}

impl ClusterMember {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 4_096;

    /// Starts it below a scope, named `cluster`. It does nothing before [`Begin`].
    pub fn start(scope: &Scope, parts: MemberParts) -> Child<Self> {
        let spec =
            ChildSpec::new("cluster").policy(RestartPolicy::permanent()).mailbox(Self::MAILBOX);
        scope.supervise(spec, move |own| Self::new(own, parts.clone()))
    }

    fn new(scope: Scope, parts: MemberParts) -> Self {
        let now = scope.clock().instant();
        let plan = Plan::new(parts.process.clone(), parts.config, parts.ports.held(), now);
        Self {
            parts,
            scope,
            plan,
            is_beating: false,
            is_claiming: false,
            is_away: false,
            has_stepped_down: false,
            untold: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.scope.clock().instant()
    }

    fn is_member(&self) -> bool {
        self.parts.ports.address().is_some() && !self.has_stepped_down
    }

    /// Does something at the database, then goes on with what came of it.
    fn at_store<T: Send + 'static>(
        &self,
        context: &mut Context<Self>,
        work: impl FnOnce(&dyn ClusterStore) -> Result<T, RegistryError> + Send + 'static,
        done: impl FnOnce(&mut Self, Result<T, String>, &mut Context<Self>) + 'static,
    ) {
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.parts.store));
        let work = async move { scope.offload(move || work(store.as_ref())).await };
        context.spawn(wrap_future::<_, Self>(work).map(|answer, member, context| {
            done(member, flatten(answer), context);
        }));
    }

    // ------------------------------------------------------------------------------------ beats

    fn tick(&mut self, context: &mut Context<Self>) {
        let effects = self.plan.look(self.now());
        self.carry_out(effects, context);
        self.tell_again();
        if self.is_member() && !self.is_beating {
            self.beat(context);
        }
    }

    fn beat(&mut self, context: &mut Context<Self>) {
        let Some(address) = self.parts.ports.address() else { return };
        self.is_beating = true;
        let began = self.now();
        let asks_tenures = self.plan.asks_tenures();
        let beat = Beat {
            process: self.parts.process.clone(),
            address,
            version: self.parts.version.clone(),
            lease: self.parts.config.lease,
        };
        let round = move |store: &dyn ClusterStore| {
            let pulse = store.beat(&beat)?;
            // Asked for after the beat: from here on nobody takes them.
            let is_asked = asks_tenures || pulse == Pulse::Lapsed;
            let tenures = is_asked.then(|| store.tenures(&beat.process)).transpose()?;
            let processes = store.processes()?;
            Ok(Round { pulse, processes, ownerless: store.ownerless(OWNERLESS)?, tenures })
        };
        self.at_store(context, round, move |member, round, context| {
            member.is_beating = false;
            match round {
                Ok(round) => {
                    member.heard(true, "");
                    let now = member.now();
                    let effects = member.plan.beaten(round, began, now);
                    member.carry_out(effects, context);
                    member.claim(context);
                    let moves = member.plan.moves(now);
                    member.carry_out(moves, context);
                }
                Err(reason) => {
                    member.parts.metrics.failed_beats.add(1);
                    member.heard(false, &reason);
                }
            }
        });
    }

    fn heard(&mut self, is_there: bool, reason: &str) {
        if is_there && self.is_away {
            log::info!("the cluster's rows are reached again");
        } else if !is_there && !self.is_away {
            log::error!(reason; "this process cannot say that it lives: it leaves its microgrids to others before its lease is over");
        }
        self.is_away = !is_there;
    }

    fn claim(&mut self, context: &mut Context<Self>) {
        let wanted = self.plan.claims(self.now());
        if wanted.is_empty() || self.is_claiming {
            return;
        }
        self.is_claiming = true;
        let me = self.parts.process.clone();
        let claim = move |store: &dyn ClusterStore| {
            let claim = |id: MicrogridId| Ok((store.claim(&id, &me)?, id));
            Ok(wanted.into_iter().map(claim).collect::<Vec<Result<_, RegistryError>>>())
        };
        self.at_store(context, claim, |member, answers, context| {
            member.is_claiming = false;
            for answer in answers.into_iter().flatten() {
                match answer {
                    Ok((claimed, microgrid)) => member.claimed(&microgrid, claimed, context),
                    Err(error) => log::warn!("a microgrid could not be claimed: {error}"),
                }
            }
        });
    }

    fn claimed(&mut self, microgrid: &MicrogridId, answer: Claimed, context: &mut Context<Self>) {
        let effect = self.plan.claimed(microgrid, answer);
        self.carry_out(effect.into_iter().collect(), context);
    }

    // ---------------------------------------------------------------------------------- effects

    fn carry_out(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Take(tenure) => self.take(tenure),
                Effect::Drop(microgrid) => self.drop_at_once(microgrid, context),
                Effect::HandOver(tenure) => self.hand_over(tenure, context),
                Effect::Live(live) => self.tell_live(&live),
            }
        }
        let metrics = &self.parts.metrics;
        metrics.live.set(self.plan.live().len());
        metrics.held.set(self.plan.held().count());
        let is_fit = self.plan.is_fit(self.now());
        metrics.suspended.set(usize::from(self.is_member() && !is_fit));
    }

    fn take(&mut self, tenure: Tenure) {
        log::info!(microgrid = tenure.microgrid.as_str(), epoch = tenure.epoch.0; "this process runs a microgrid");
        self.parts.metrics.taken.add(1);
        self.parts.ports.note_taken(&tenure);
        self.untold.push(MicrogridTaken { tenure });
        self.tell_again();
    }

    /// Tells what is taken; in order, and whoever had no room once more later. Who knows it passes it
    /// over.
    fn tell_again(&mut self) {
        let ports = self.parts.ports.to_taken();
        let plan = &self.plan;
        self.untold.retain(|taken| {
            let is_full = |port: &Port<MicrogridTaken>| {
                matches!(port.tell(taken.clone()), Err(TellError::Full(_)))
            };
            // Each of them is told, whatever the others say.
            let full = ports.iter().filter(|port| is_full(port)).count();
            full > 0 && plan.held().any(|held| *held == taken.tenure)
        });
    }

    fn drop_at_once(&mut self, microgrid: MicrogridId, context: &mut Context<Self>) {
        log::warn!(microgrid = microgrid.as_str(); "this process no longer runs a microgrid: its lease is over, or nearly");
        self.parts.metrics.dropped.add(1);
        let leaving = self.leave(microgrid, false);
        context.spawn(wrap_future::<_, Self>(leaving).map(|(), _, _| ()));
    }

    fn hand_over(&mut self, tenure: Tenure, context: &mut Context<Self>) {
        log::info!(microgrid = tenure.microgrid.as_str(); "a microgrid is handed over to another process");
        self.parts.metrics.handed_over.add(1);
        let leaving = self.leave(tenure.microgrid.clone(), true);
        context.spawn(wrap_future::<_, Self>(leaving).map(move |(), member, context| {
            let released = tenure.clone();
            member.at_store(
                context,
                move |store| store.release(&released),
                move |member, released, _| {
                    // Where it could not be given up it stays this process's, and is begun anew.
                    member.plan.left(&tenure);
                    if let Err(reason) = released {
                        log::warn!(microgrid = tenure.microgrid.as_str(), reason = reason.as_str(); "a microgrid could not be given up");
                        member.plan.asks_again();
                    }
                },
            );
        }));
    }

    /// Has everyone leave a microgrid, one after the other.
    fn leave(&self, microgrid: MicrogridId, in_order: bool) -> impl Future<Output = ()> + use<> {
        self.parts.ports.note_left(&microgrid);
        let ports = self.parts.ports.to_leave();
        let deadline = self.parts.config.leave_deadline;
        async move {
            for port in ports {
                let leave = LeaveMicrogrid { microgrid: microgrid.clone(), in_order };
                if let Err(error) = port.ask(leave, deadline).await {
                    // What it still writes is fenced off.
                    log::warn!(microgrid = microgrid.as_str(), reason = error.to_string().as_str(); "a microgrid was not left in time");
                }
            }
        }
    }

    fn tell_live(&self, live: &[ProcessId]) {
        let names: Vec<&str> = live.iter().map(ProcessId::as_str).collect();
        log::info!(processes = names.join(", ").as_str(); "the processes of this cloud");
        for port in self.parts.ports.to_live() {
            if port.tell(ProcessesChanged { live: live.to_vec() }).is_err() {
                log::error!("somebody was not told which processes live");
            }
        }
    }

    fn owner_known(&self, microgrid: &MicrogridId) -> Option<Result<Owner, Unavailable>> {
        if !self.plan.is_fit(self.now()) {
            let reason = "this process cannot say that it lives, so it runs nothing and passes \
                          nothing on; ask again, or ask another process"
                .to_owned();
            return Some(Err(Unavailable { what: WEB_STORE, reason }));
        }
        self.plan.holds(microgrid).then_some(Ok(Owner::Here))
    }

    fn owner_is(&self, tenure: &Tenure) -> Owner {
        match self.plan.address(&tenure.process) {
            Some(address) => {
                Owner::There { process: tenure.process.clone(), address: address.to_owned() }
            }
            // It came this moment.
            None => Owner::Nobody,
        }
    }
}

fn flatten<T>(answer: Result<Result<T, RegistryError>, OffloadError>) -> Result<T, String> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl Actor for ClusterMember {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Twice as often as it beats: so it leaves in time what it must.
        context.run_interval(self.parts.config.beat / 2, |member, context| {
            let effects = member.plan.look(member.now());
            member.carry_out(effects, context);
        });
        context.run_interval(self.parts.config.beat, Self::tick);
        if self.is_member() {
            self.beat(context);
        }
    }
}

impl Observe for ClusterMember {
    fn observe(&self) -> serde_json::Value {
        let live: Vec<&str> = self.plan.live().iter().map(ProcessId::as_str).collect();
        json!({
            "process": self.plan.me().as_str(),
            "live": live,
            "held": self.plan.held().count(),
            "is_fit": self.plan.is_fit(self.now()),
        })
    }
}

supervised!(ClusterMember);

impl Handler<Begin> for ClusterMember {
    type Result = ();

    fn handle(&mut self, begin: Begin, context: &mut Self::Context) {
        self.parts.ports.begin(begin.address);
        self.tick(context);
    }
}

impl Handler<MicrogridNeeded> for ClusterMember {
    type Result = ();

    fn handle(&mut self, needed: MicrogridNeeded, context: &mut Self::Context) {
        if let Some(tenure) = self.plan.needs(needed.microgrid, self.now()) {
            self.untold.push(MicrogridTaken { tenure });
            self.tell_again();
            return;
        }
        self.claim(context);
    }
}

impl Handler<FindOwner> for ClusterMember {
    type Result = ResponseActFuture<Self, Result<Owner, Unavailable>>;

    fn handle(&mut self, find: FindOwner, _: &mut Self::Context) -> Self::Result {
        if let Some(known) = self.owner_known(&find.microgrid) {
            return Box::pin(actix::fut::ready(known));
        }
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.parts.store));
        let (me, microgrid) = (self.parts.process.clone(), find.microgrid.clone());
        let asking = async move {
            // Whoever lives and has it is told; else it is taken, since somebody waits for it.
            scope.offload(move || store.claim(&microgrid, &me)).await
        };
        Box::pin(wrap_future::<_, Self>(asking).map(move |answer, member, context| {
            let claimed =
                flatten(answer).map_err(|reason| Unavailable { what: WEB_STORE, reason })?;
            let owner = match &claimed {
                Claimed::Taken(_) => Owner::Here,
                Claimed::Held(tenure) => member.owner_is(tenure),
                Claimed::NotAlive => Owner::Nobody,
            };
            member.claimed(&find.microgrid, claimed, context);
            Ok(owner)
        }))
    }
}

impl Handler<GetCluster> for ClusterMember {
    type Result = ResponseFuture<Result<ClusterStanding, Unavailable>>;

    fn handle(&mut self, _: GetCluster, _: &mut Self::Context) -> Self::Result {
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.parts.store));
        let here = self.parts.process.clone();
        Box::pin(async move {
            let read = move || {
                let counts = store.owned_counts()?;
                let ownerless = store.ownerless(OWNERLESS)?.len();
                Ok((store.processes()?, counts, ownerless))
            };
            let (rows, counts, ownerless) = flatten(scope.offload(read).await)
                .map_err(|reason| Unavailable { what: WEB_STORE, reason })?;
            let shown = |row: memcloud_store::registry::ProcessRow| ClusterProcess {
                microgrids: counts
                    .iter()
                    .find(|(process, _)| *process == row.process)
                    .map_or(0, |(_, count)| *count),
                process: row.process,
                address: row.address,
                version: row.version,
                age: row.age,
                silent_for: row.silent_for,
                lives: row.lives,
            };
            let processes = rows.into_iter().map(shown).collect();
            Ok(ClusterStanding { here, processes, ownerless })
        })
    }
}

impl Handler<StepDown> for ClusterMember {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StepDown, _: &mut Self::Context) -> Self::Result {
        let has_begun = self.is_member();
        self.has_stepped_down = true;
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.parts.store));
        let me = self.parts.process.clone();
        Box::pin(async move {
            if !has_begun {
                return;
            }
            let goodbye = flatten(scope.offload(move || store.say_goodbye(&me)).await);
            if let Err(reason) = goodbye {
                log::warn!(reason = reason.as_str(); "this process could not say goodbye: others take its microgrids once its lease is over");
            }
        })
    }
}
