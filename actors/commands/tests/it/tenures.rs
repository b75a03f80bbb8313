//! The ledger in a cluster: of the microgrids that this process runs, and of no other.

use memcloud_commands::{CommandsConfig, Holdings};
use memcloud_domain::messages::{CommandError, LeaveMicrogrid, MicrogridTaken, ProcessesChanged};
use memcloud_domain::{CommandOutcome, CommandState, ProcessId, Tenure};

use crate::house::{Crash, House, SOON, microgrid, set_power, switch_off, with_config};

fn in_a_cluster<Fut: Future<Output = ()>>(test: impl FnOnce(House) -> Fut) {
    with_config(CommandsConfig { holdings: Holdings::Tenures, ..CommandsConfig::default() }, test);
}

impl House {
    async fn take(&self, process: &str) -> Tenure {
        let tenure = self.store.claim_for(process, &microgrid());
        self.processor.ask(MicrogridTaken { tenure: tenure.clone() }, SOON).await.unwrap();
        self.pass(100).await;
        tenure
    }

    async fn leave(&self) {
        let leave = LeaveMicrogrid { microgrid: microgrid(), in_order: true };
        self.processor.ask(leave, SOON).await.unwrap();
    }
}

#[test]
fn without_a_tenure_nothing_is_taken_and_after_it_nothing_more() {
    in_a_cluster(async |house| {
        let refused = house.try_request(vec![switch_off("home")]).await.unwrap_err();
        assert!(matches!(refused, CommandError::Unavailable(_)), "{refused}");
        assert!(refused.to_string().contains("another process runs the microgrid"), "{refused}");
        house.take("a").await;
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        house.assert_sent(&[&record.id]);
        house.leave().await;
        assert!(house.try_request(vec![switch_off("home")]).await.is_err());
        // What the HEM answers now is for whoever runs the microgrid.
        house.answer(&record, CommandOutcome::Done, Some(1)).await;
        assert_eq!(house.on_disk(&record.id).state, CommandState::Sent);
    });
}

#[test]
fn whoever_takes_over_sends_again_what_was_sent_and_gives_higher_orders() {
    in_a_cluster(async |mut house| {
        house.take("a").await;
        house.connect("home", 1).await;
        let first = house.order(set_power("home", 1_000.0)).await;
        let second = house.order(switch_off("home")).await;
        house.answer(&first, CommandOutcome::Done, Some(1)).await;
        assert_eq!((first.order, second.order), (Some(1), Some(2)));
        house.assert_sent(&[&first.id, &second.id]);

        // The process is gone, and another knows that the home is connected.
        house.restart().await;
        house.connect("home", 2).await;
        assert_eq!(house.sent(), [], "it does not run the microgrid yet");
        house.take("b").await;
        house.assert_sent(&[&second.id]);
        let third = house.order(set_power("home", 2_000.0)).await;
        assert_eq!(third.order, Some(3));
        house.answer(&second, CommandOutcome::Done, Some(2)).await;
        assert_eq!(house.state(&second.id).await, CommandState::Acknowledged);
    });
}

#[test]
fn a_processor_that_crashed_holds_the_ledgers_that_it_held() {
    in_a_cluster(async |house| {
        house.take("a").await;
        house.connect("home", 1).await;
        let first = house.order(switch_off("home")).await;
        house.processor.tell(Crash).unwrap();
        house.pass(5_000).await;
        house.connect("home", 1).await;
        let second = house.order(set_power("home", 500.0)).await;
        assert_eq!((first.order, second.order), (Some(1), Some(2)));
    });
}

#[test]
fn what_is_written_under_a_tenure_that_is_over_is_not_and_whoever_waits_is_told() {
    in_a_cluster(async |house| {
        house.take("a").await;
        house.connect("home", 1).await;
        let first = house.order(switch_off("home")).await;
        // Another process takes it over, and this one has not noticed.
        let later = house.store.claim_for("b", &microgrid());
        assert_eq!(later.epoch.0, 2);
        let refused = house.try_request(vec![set_power("home", 500.0)]).await.unwrap_err();
        assert!(refused.to_string().contains("another process"), "{refused}");
        assert_eq!(house.metrics.fenced_writes.get(), 1);
        house.answer(&first, CommandOutcome::Done, Some(1)).await;
        assert_eq!(house.on_disk(&first.id).state, CommandState::Sent, "it is the other's to say");
    });
}

#[test]
fn homes_of_a_process_that_is_gone_get_their_orders_when_they_are_back() {
    in_a_cluster(async |house| {
        house.take("a").await;
        house.connect_at("home", 1, "b").await;
        let live = vec![ProcessId::new("a").unwrap()];
        house.processor.ask(ProcessesChanged { live }, SOON).await.unwrap();
        let held = house.order(switch_off("home")).await;
        assert_eq!(held.state, CommandState::Accepted);
        assert_eq!(house.sent(), []);
        house.connect_at("home", 2, "a").await;
        house.assert_sent(&[&held.id]);
    });
}
