//! A microgrid of some homes on a cluster, and what is counted of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::{TestCluster, wait_for};
use crate::homes::{TestHome, now_ms, until};
use crate::rest::Caller;

pub(crate) const GRID: &str = "valley";

/// Whether a command went to its home, and the home answered: these homes refuse what they are told.
pub(crate) fn was_answered(command: &Value) -> bool {
    let went = command["history"].as_array().unwrap().iter().any(|step| step["state"] == "sent");
    went && ["acknowledged", "refused"].contains(&command["state"].as_str().unwrap())
}

/// A microgrid of some homes, which send through the balancer.
pub(crate) struct Town {
    pub(crate) cluster: TestCluster,
    pub(crate) homes: Vec<TestHome>,
    /// How many readings each home took.
    pub(crate) sent: u64,
}

impl Town {
    /// With the engines that the tests share.
    pub(crate) fn build(processes: usize, homes: usize) -> Option<Self> {
        Some(Self::of(TestCluster::start(processes)?, homes))
    }

    /// With engines of its own, which may be stopped.
    pub(crate) async fn apart(processes: usize, homes: usize) -> Option<Self> {
        let mut town = Self::of(TestCluster::start_apart(processes)?, homes);
        town.wake_up().await;
        Some(town)
    }

    fn of(cluster: TestCluster, homes: usize) -> Self {
        let first = &cluster.processes[0];
        first.call_for_line(&["microgrid", "add", GRID]);
        let mut keyed = Vec::new();
        for number in 0..homes {
            let id = format!("home-{number}");
            let key = first.call_for_line(&["hem", "register", &id, "--microgrid", GRID]);
            keyed.push(TestHome::connect_to(cluster.hem(), &cluster.ca(), &id, &key));
        }
        Self { cluster, homes: keyed, sent: 0 }
    }

    /// The same, with a first reading of each home.
    pub(crate) async fn begun(processes: usize, homes: usize) -> Option<Self> {
        let mut town = Self::build(processes, homes)?;
        town.wake_up().await;
        Some(town)
    }

    async fn wake_up(&mut self) {
        self.sample();
        self.all_acknowledged().await;
        wait_for("somebody runs the microgrid", async || self.cluster.owner(GRID)).await;
    }

    /// Has a home told something by way of a process, until it has answered; how often it was asked.
    pub(crate) async fn command(&self, process: usize, home: usize) -> usize {
        let caller = Caller::admin(&self.cluster.processes[process]);
        let path = format!("/api/v1/hems/home-{home}/commands?wait=5s");
        let mut asked = 0;
        wait_for("a home answers a command", async || {
            asked += 1;
            let body = json!({"action": "report-every", "seconds": 9, "expires_seconds": 20});
            let made = caller.post(&path, body).await;
            assert!(matches!(made.status, 202 | 503), "{} {}", made.status, made.text);
            let is_answered = made.status == 202 && was_answered(&made.json());
            if !is_answered {
                println!("home-{home} by process {process}: {}", made.text);
            }
            is_answered.then_some(())
        })
        .await;
        asked
    }

    /// What a process says is away.
    pub(crate) async fn away(&self, process: usize) -> Vec<String> {
        // Nobody: whose token holds is not known while the web store is away.
        let caller = Caller::with_token(&self.cluster.processes[process], "");
        let health = caller.get("/health/ready").await.json();
        let items = health["away"].as_array().unwrap().iter();
        items.map(|item| item["what"].as_str().unwrap().to_owned()).collect()
    }

    /// Each home takes a reading.
    pub(crate) fn sample(&mut self) {
        for home in &self.homes {
            home.sample(now_ms(), 1_000.0, 200.0, self.sent as f64);
        }
        self.sent += 1;
    }

    pub(crate) async fn all_acknowledged(&self) {
        let sent = self.sent;
        until("all that was sent is acknowledged", || {
            self.homes.iter().all(|home| home.hem.counters().acknowledged >= sent)
        })
        .await;
    }

    /// Any process that runs.
    pub(crate) fn admin(&self) -> Caller<'_> {
        let running = self.cluster.processes.iter().find(|process| process.is_running());
        Caller::admin(running.unwrap())
    }

    /// How often each number of a home is stored.
    async fn stored(&self, home: usize) -> BTreeMap<u64, usize> {
        let path = format!("/api/v1/hems/home-{home}/readings?limit=1000");
        let mut counts = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.admin().get(&format!("{path}{after}")).await.json();
            for item in page["items"].as_array().unwrap() {
                *counts.entry(item["seq"].as_u64().unwrap()).or_default() += 1;
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return counts,
            }
        }
    }

    /// Nothing that was acknowledged is missing, and nothing is there twice.
    pub(crate) async fn count(&self) {
        for (number, home) in self.homes.iter().enumerate() {
            let stored = self.stored(number).await;
            let lost: Vec<u64> =
                home.acknowledged().into_iter().filter(|seq| !stored.contains_key(seq)).collect();
            assert!(lost.is_empty(), "home-{number}: acknowledged and not stored: {lost:?}");
            let twice: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "home-{number}: stored twice: {twice:?}");
        }
    }

    pub(crate) async fn deploy(&self, app: &str, configuration: Value) -> String {
        let body = json!({"app": app, "configuration": configuration});
        let made = self.admin().post(&format!("/api/v1/microgrids/{GRID}/jobs"), body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// What each home used as a job counted it, Wh.
    pub(crate) async fn used(&self, job: &str) -> BTreeMap<String, f64> {
        let path = format!("/api/v1/jobs/{job}/results?kind=energy-day&limit=1000");
        let mut used = BTreeMap::new();
        for item in self.admin().get(&path).await.json()["items"].as_array().unwrap() {
            let subject = item["subject"].as_str().unwrap();
            *used.entry(subject.to_owned()).or_default() +=
                item["body"]["consumption_wh"].as_f64().unwrap();
        }
        used
    }
}
