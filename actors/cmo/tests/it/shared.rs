//! An operator of one of several processes: it runs what it was given, and asks an owner for the rest.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use memcloud_cmo::ListMicrogridSupervisors;
use memcloud_domain::messages::{LeaveMicrogrid, MicrogridNeeded, MicrogridTaken};
use memcloud_domain::{Epoch, ProcessId, Tenure};
use memcloud_microgrid::{ListJobs, MicrogridError};
use memcloud_supervision::{ChildSpec, Observe, Scope, supervised};
use serde_json::json;

use crate::support::{Town, microgrid, pass, reading, run, up_to};

const SOON: Duration = Duration::from_secs(30);

/// Stands for whoever sees to owners; notes what it is told.
struct Member(Arc<Mutex<Vec<String>>>);

impl Actor for Member {
    type Context = Context<Self>;
}

impl Observe for Member {}

supervised!(Member);

impl Handler<MicrogridNeeded> for Member {
    type Result = ();
    fn handle(&mut self, needed: MicrogridNeeded, _: &mut Context<Self>) {
        self.0.lock().unwrap().push(needed.microgrid.to_string());
    }
}

fn town(scope: &Scope) -> (Town, Arc<Mutex<Vec<String>>>) {
    let needed: Arc<Mutex<Vec<String>>> = Arc::default();
    let own = Arc::clone(&needed);
    let member = scope.supervise(ChildSpec::new("member"), move |_| Member(Arc::clone(&own)));
    (Town::shared(scope, &member.port()), needed)
}

fn taken(name: &str, epoch: u64) -> MicrogridTaken {
    let process = ProcessId::new("here").unwrap();
    MicrogridTaken { tenure: Tenure { microgrid: microgrid(name), process, epoch: Epoch(epoch) } }
}

async fn runs(town: &Town) -> Vec<String> {
    let standings = town.operator.ask(ListMicrogridSupervisors, SOON).await.unwrap();
    standings.into_iter().map(|standing| standing.microgrid.to_string()).collect()
}

#[test]
fn a_microgrid_gets_its_supervisor_only_when_this_process_runs_it_and_an_owner_is_asked_for_until_then()
 {
    run(|scope| async move {
        let (town, needed) = town(&scope);
        town.settle("fontana", &["home-1"]).await;
        for seq in 1..=20 {
            town.send("fontana", "home-1", [reading(seq)]).await;
        }
        assert!(runs(&town).await.is_empty());
        assert_eq!(*needed.lock().unwrap(), ["fontana"], "once, not with every commit");
        let refused = town.operator.ask(ListJobs { microgrid: microgrid("fontana") }, SOON).await;
        assert!(matches!(refused.unwrap(), Err(MicrogridError::RunElsewhere { .. })));
        town.operator.ask(taken("fontana", 1), SOON).await.unwrap();
        assert_eq!(runs(&town).await, ["fontana"]);
        // What was left is not run any more, though its homes send on.
        let leave = LeaveMicrogrid { microgrid: microgrid("fontana"), in_order: true };
        town.operator.ask(leave, SOON).await.unwrap();
        town.send("fontana", "home-1", [reading(21)]).await;
        assert!(runs(&town).await.is_empty());
    });
}

#[test]
fn a_job_goes_on_where_it_stood_when_its_microgrid_has_been_left_and_comes_back() {
    run(|scope| async move {
        let (town, _) = town(&scope);
        town.settle("fontana", &["home-1"]).await;
        town.operator.ask(taken("fontana", 1), SOON).await.unwrap();
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        town.send("fontana", "home-1", (1..=100).map(reading)).await;
        pass(10).await;
        let leave = LeaveMicrogrid { microgrid: microgrid("fontana"), in_order: true };
        town.operator.ask(leave, SOON).await.unwrap();
        town.send("fontana", "home-1", (101..=200).map(reading)).await;
        pass(10).await;
        town.operator.ask(taken("fontana", 3), SOON).await.unwrap();
        pass(10).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(200), "each once, in order");
    });
}

#[test]
fn an_operator_that_crashed_asks_again_for_what_it_ran() {
    run(|scope| async move {
        let (mut town, needed) = town(&scope);
        town.settle("fontana", &["home-1"]).await;
        town.operator.ask(taken("fontana", 1), SOON).await.unwrap();
        town.restart_operator().await;
        town.send("fontana", "home-1", [reading(1)]).await;
        assert_eq!(*needed.lock().unwrap(), ["fontana"]);
    });
}
