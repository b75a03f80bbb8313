//! Dispatch in its place: between the jobs, people, homes and the ledger.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcloud_domain::messages::{CommandChanged, DispatchCommand};
use memcloud_domain::{
    CommandAction, CommandState, Entry, HemEvent, NodeWhy, Seq, Setting, Timestamp, Watts,
};
use memcloud_microgrid::{ExplainNodes, MicrogridError, StopJob, SubmitWishes, WishesTaken};
use memcloud_supervision::Scope;
use serde_json::json;

use crate::ledger::{BATTERY, Ledger, Pages, a_wish, command, nodes};
use crate::support::{NOW, Town, hem, microgrid, pass, record, run};

const SOON: Duration = Duration::from_secs(30);

fn power(watts: f64) -> CommandAction {
    CommandAction::SetPower { watts: Watts(watts) }
}

async fn steered(scope: &Scope) -> (Town, Arc<Mutex<Pages>>) {
    let (ledger, pages) = Ledger::start(scope);
    let town = Town::steered(scope, &ledger);
    town.settle_with("fontana", &["home-1"], nodes()).await;
    (town, pages)
}

fn orders(pages: &Arc<Mutex<Pages>>) -> Vec<CommandAction> {
    pages.lock().unwrap().orders.iter().map(|record| record.as_sent().clone()).collect()
}

async fn offer(town: &Town, pages: &Arc<Mutex<Pages>>, id: &str, watts: f64) {
    let now = Timestamp(town.scope.clock().unix_ms());
    let command = Arc::new(command(id, Setting::Power { watts: Watts(watts) }, now));
    pages.lock().unwrap().offered.push(Arc::clone(&command));
    town.operator.ask(DispatchCommand { command }, SOON).await.unwrap();
}

async fn explain(town: &Town) -> Result<Vec<NodeWhy>, MicrogridError> {
    let ask = ExplainNodes { microgrid: microgrid("fontana"), hem: None };
    town.operator.ask(ask, SOON).await.unwrap()
}

async fn sentence(town: &Town) -> String {
    explain(town).await.unwrap().remove(0).sentence
}

async fn submit(town: &Town, job: &str, watts: &[f64]) -> Result<WishesTaken, MicrogridError> {
    let submit = SubmitWishes {
        microgrid: microgrid("fontana"),
        job: memcloud_domain::JobId::new(job).unwrap(),
        wishes: watts.iter().map(|watts| a_wish(hem("home-1"), *watts)).collect(),
        withdrawn: Vec::new(),
    };
    town.operator.ask(submit, SOON).await.unwrap()
}

#[test]
fn the_first_command_of_a_microgrid_creates_its_supervisor_and_is_ordered_once() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        offer(&town, &pages, "c1", 1_500.0).await;
        offer(&town, &pages, "c1", 1_500.0).await;
        pass(3).await;
        assert_eq!(orders(&pages), [power(1_500.0)]);
        assert_eq!(sentence(&town).await, "The battery charges at 1.5 kW: anna asked for 1.5 kW.");
        assert!(town.node(&["fontana"]).await.is_some());
    });
}

#[test]
fn a_job_steers_and_when_it_stops_its_home_goes_back_to_its_default() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        let job = town.deploy("fontana", "job-1", "steerer", json!({ "watts": -800.0 })).await;
        pass(10).await;
        assert_eq!(orders(&pages), [power(-800.0)], "though it wishes every second");
        assert_eq!(
            sentence(&town).await,
            "The battery discharges at 800 W: steerer asked for a discharge at 800 W (it is a test)."
        );
        pass(90).await;
        assert!(orders(&pages).len() >= 2, "renewed before the lease of a minute ended");
        let stop = StopJob { microgrid: microgrid("fontana"), job };
        town.operator.ask(stop, SOON).await.unwrap().unwrap();
        pass(3).await;
        assert_eq!(orders(&pages).last(), Some(&power(0.0)));
    });
}

#[test]
fn a_supervisor_that_crashes_keeps_what_was_decided() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        town.deploy("fontana", "job-1", "steerer", json!({ "watts": -800.0 })).await;
        pass(5).await;
        offer(&town, &pages, "c1", 1_500.0).await;
        pass(2).await;
        assert_eq!(orders(&pages), [power(-800.0), power(1_500.0)]);
        let _ = town.assign(record("fontana", "job-3", "trap", json!({}))).await;
        pass(30).await;
        assert_eq!(town.node(&["fontana"]).await.unwrap().restarts, 1);
        assert_eq!(orders(&pages).len(), 2, "the command still holds the node");
        assert!(sentence(&town).await.starts_with("The battery charges at 1.5 kW: anna"));
        pass(700).await;
        assert_eq!(orders(&pages).get(2), Some(&power(-800.0)), "when its lease is over");
    });
}

#[test]
fn what_is_heard_of_a_command_reaches_its_supervisor() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        offer(&town, &pages, "c1", 1_500.0).await;
        pass(3).await;
        let mut failed = (*pages.lock().unwrap().orders[0]).clone();
        failed.state = CommandState::Failed;
        let changed = CommandChanged { command: Arc::new(failed) };
        town.operator.ask(changed, SOON).await.unwrap();
        pass(1).await;
        assert_eq!(
            sentence(&town).await,
            "Nothing is ordered of the battery: nobody asks for anything."
        );
    });
}

#[test]
fn a_button_pressed_at_home_goes_before_jobs_whether_it_is_heard_or_found_in_the_store() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        let press = |seq: u64, at: i64| HemEvent {
            seq: Seq(seq),
            ts: Timestamp(at),
            received: Timestamp(at),
            kind: "override".into(),
            node: Some(BATTERY),
            on: None,
            watts: Some(Watts(500.0)),
            until: Some(Timestamp(NOW + 600_000)),
            text: None,
        };
        pages.lock().unwrap().events.push(press(1, NOW));
        town.deploy("fontana", "job-1", "steerer", json!({ "watts": -800.0 })).await;
        pass(10).await;
        assert!(orders(&pages).is_empty());
        assert!(
            sentence(&town).await.starts_with("Someone at home set the battery to 500 W at 02:00")
        );
        pass(600).await;
        assert_eq!(orders(&pages), [power(-800.0)]);
        let mut again = press(2, NOW + 612_000);
        again.until = None;
        town.send("fontana", "home-1", [Entry::Event(again)]).await;
        pass(120).await;
        assert_eq!(orders(&pages).len(), 1, "not even renewed");
    });
}

#[test]
fn an_external_job_wishes_over_rest_and_is_told_what_cannot_be() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        town.deploy("fontana", "job-1", "external", json!({})).await;
        pass(3).await;
        let taken = submit(&town, "job-1", &[700.0]).await.unwrap();
        assert_eq!((taken.taken, taken.standing), (1, 1));
        let taken = submit(&town, "job-1", &[1e6]).await.unwrap();
        assert_eq!((taken.taken, taken.standing), (0, 1));
        assert_eq!(
            taken.refused[0].because,
            "the battery cannot be set so, since the node's limit is 2.0 kW, and what is so far beyond it is taken for a mistake"
        );
        pass(1).await;
        assert_eq!(orders(&pages), [power(700.0)]);
        // It falls silent: its wishes end with their leases.
        pass(120).await;
        assert_eq!(
            sentence(&town).await,
            "Nothing is ordered of the battery: nobody asks for anything."
        );

        town.deploy("fontana", "job-2", "steerer", json!({ "watts": 100.0 })).await;
        pass(3).await;
        let error = submit(&town, "job-2", &[100.0]).await.unwrap_err();
        assert!(error.to_string().contains("runs the app steerer"), "{error}");
        let error = submit(&town, "job-9", &[100.0]).await.unwrap_err();
        assert_eq!(error.to_string(), "microgrid fontana has no job job-9");
        let error = submit(&town, "job-1", &[1.0; 1_001]).await.unwrap_err();
        assert_eq!(error.to_string(), "1001 wishes are too many at once; send at most 1000");
    });
}

#[test]
fn what_dispatch_refuses_a_job_is_in_its_log() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        let job = town.deploy("fontana", "job-1", "steerer", json!({ "watts": 1e6 })).await;
        pass(20).await;
        assert!(orders(&pages).is_empty());
        let log = town.output(&job).await.log;
        let lines: Vec<&str> = log.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "the wish of 1.0 MW for the battery of home-1 was refused, since the node's limit is 2.0 kW, and what is so far beyond it is taken for a mistake"
            ]
        );
    });
}

#[test]
fn a_ledger_that_is_away_is_asked_again_and_nothing_is_lost() {
    run(|scope| async move {
        let (town, pages) = steered(&scope).await;
        pages.lock().unwrap().away = true;
        offer(&town, &pages, "c1", 1_500.0).await;
        pass(10).await;
        assert!(orders(&pages).is_empty());
        assert!(sentence(&town).await.contains("waits until the ledger of commands answers again"));
        pages.lock().unwrap().away = false;
        pass(5).await;
        assert_eq!(orders(&pages), [power(1_500.0)]);
    });
}

#[test]
fn where_no_ledger_is_nothing_is_steered_and_it_is_said() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle_with("fontana", &["home-1"], nodes()).await;
        town.deploy("fontana", "job-1", "steerer", json!({ "watts": 100.0 })).await;
        town.deploy("fontana", "job-2", "external", json!({})).await;
        pass(10).await;
        assert_eq!(
            sentence(&town).await,
            "Nothing is ordered of the battery: nothing is steered here, since this cloud keeps no ledger of commands."
        );
        let taken = submit(&town, "job-2", &[700.0]).await.unwrap();
        assert_eq!((taken.taken, taken.refused.len()), (0, 1));
        let ask = ExplainNodes { microgrid: microgrid("fontana"), hem: Some(hem("home-7")) };
        let error = town.operator.ask(ask, SOON).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "microgrid fontana has no HEM home-7");
    });
}

#[test]
fn many_homes_are_explained_without_holding_up_anyone() {
    run(|scope| async move {
        let (town, _) = steered(&scope).await;
        let names: Vec<String> = (1..=200).map(|number| format!("home-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        town.settle_with("fontana", &names, nodes()).await;
        town.deploy("fontana", "job-1", "steerer", json!({ "watts": 100.0 })).await;
        pass(70).await;
        let whys = explain(&town).await.unwrap();
        assert_eq!(whys.len(), 200);
        assert!(whys.iter().all(|why| why.sentence.starts_with("The battery charges at 100 W")));
    });
}
