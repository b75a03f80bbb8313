//! A process of a cluster, as far as its member is concerned, and whoever it tells.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use memcloud_cluster::{
    Begin, ClusterConfig, ClusterMember, ClusterMetrics, MemberParts, MemberPorts,
};
use memcloud_domain::messages::{
    FindOwner, LeaveMicrogrid, MicrogridNeeded, MicrogridTaken, ProcessesChanged,
};
use memcloud_domain::{MicrogridId, Owner, ProcessId, Tenure};
use memcloud_store::registry::SqlRegistry;
use memcloud_supervision::{Child, ChildSpec, Clock, Observe, Scope, supervised};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a process was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) runs: BTreeMap<MicrogridId, Tenure>,
    pub(crate) left: Vec<(MicrogridId, bool)>,
    pub(crate) live: Vec<ProcessId>,
}

/// Stands for everyone who runs microgrids.
pub(crate) struct Worker(Arc<Mutex<Told>>);

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Observe for Worker {}

supervised!(Worker);

impl Handler<MicrogridTaken> for Worker {
    type Result = ();
    fn handle(&mut self, taken: MicrogridTaken, _: &mut Context<Self>) {
        self.0.lock().unwrap().runs.insert(taken.tenure.microgrid.clone(), taken.tenure);
    }
}

impl Handler<LeaveMicrogrid> for Worker {
    type Result = ();
    fn handle(&mut self, leave: LeaveMicrogrid, _: &mut Context<Self>) {
        let mut told = self.0.lock().unwrap();
        told.runs.remove(&leave.microgrid);
        told.left.push((leave.microgrid, leave.in_order));
    }
}

impl Handler<ProcessesChanged> for Worker {
    type Result = ();
    fn handle(&mut self, changed: ProcessesChanged, _: &mut Context<Self>) {
        self.0.lock().unwrap().live = changed.live;
    }
}

/// Leases that are over soon, and a process that settles soon.
pub(crate) fn hasty() -> ClusterConfig {
    ClusterConfig {
        beat: Duration::from_millis(100),
        lease: Duration::from_millis(1_500),
        margin: Duration::from_millis(300),
        grace: Duration::from_millis(300),
        settle: Duration::from_millis(500),
        ..ClusterConfig::default()
    }
}

/// A process of a cluster.
pub(crate) struct Process {
    pub(crate) scope: Scope,
    pub(crate) member: Child<ClusterMember>,
    pub(crate) told: Arc<Mutex<Told>>,
}

impl Process {
    pub(crate) fn start(name: &str, web_store: &Path) -> Self {
        let scope = Scope::root(name, Clock::system());
        let told: Arc<Mutex<Told>> = Arc::default();
        let own = Arc::clone(&told);
        let worker = scope.supervise(ChildSpec::new("worker"), move |_| Worker(Arc::clone(&own)));
        let ports = MemberPorts::default();
        ports.taken(worker.port()).leave(worker.port()).live(worker.port());
        let parts = MemberParts {
            store: Arc::new(SqlRegistry::open(web_store).unwrap()),
            process: ProcessId::new(name).unwrap(),
            version: "1".to_owned(),
            ports,
            metrics: Arc::new(ClusterMetrics::default()),
            config: hasty(),
        };
        let member = ClusterMember::start(&scope, parts);
        member.tell(Begin { address: format!("{name}:8080") }).unwrap();
        Self { scope, member, told }
    }

    pub(crate) fn needs(&self, microgrid: &MicrogridId) {
        let needed = MicrogridNeeded { microgrid: microgrid.clone() };
        self.member.tell(needed).unwrap();
    }

    pub(crate) fn runs(&self, microgrid: &MicrogridId) -> Option<Tenure> {
        self.told.lock().unwrap().runs.get(microgrid).cloned()
    }

    pub(crate) async fn owner(&self, microgrid: &MicrogridId) -> Option<Owner> {
        let find = FindOwner { microgrid: microgrid.clone() };
        self.member.ask(find, PATIENCE).await.unwrap().ok()
    }

    /// It ends without a word, as after a kill.
    pub(crate) async fn die(self) {
        self.scope.shutdown(PATIENCE).await;
    }
}

pub(crate) fn grid(name: &str) -> MicrogridId {
    MicrogridId::new(name).unwrap()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_so(), "{what}: not within 20 s");
}
