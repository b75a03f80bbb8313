//! What nobody may exceed.

use memcloud_commands::CommandsConfig;
use memcloud_domain::messages::{CommandError, Placement};
use memcloud_domain::{CommandOutcome, CommandState};

use crate::house::{order_of, set_power, switch_off, universe, with_config};

#[test]
fn a_hem_has_no_more_open_commands_than_it_may_and_a_bulk_is_taken_whole_or_not_at_all() {
    let config = CommandsConfig { open_per_hem: 3, ..CommandsConfig::default() };
    with_config(config, async |house| {
        house.try_request(vec![switch_off("home"), switch_off("home")]).await.unwrap();
        let answer = house
            .try_request(vec![switch_off("other"), switch_off("home"), switch_off("home")])
            .await;
        let Err(CommandError::TooMany { hem, open }) = answer else { panic!("{answer:?}") };
        assert_eq!((hem.as_str(), open), ("home", 2));
        house.pass(10).await;
        assert_eq!(house.world.lock().unwrap().offered.len(), 2);
        house.try_request(vec![switch_off("other"), switch_off("home")]).await.unwrap();
        // They expire, and there is room again.
        house.pass(61_000).await;
        house.request(switch_off("home")).await;
    });
}

#[test]
fn all_orders_together_move_no_more_watts_a_minute_than_the_fleet_may() {
    let config = CommandsConfig { fleet_watts_per_minute: 2_500.0, ..CommandsConfig::default() };
    with_config(config, async |house| {
        house.connect("home", 1).await;
        let mut records = Vec::new();
        for hem in ["one", "two", "three"] {
            records.push(house.request(set_power(hem, 1_000.0)).await);
        }
        let verdicts = records.iter().map(|record| order_of(record)).collect();
        let placed = house.try_place(verdicts).await.unwrap();
        let Placement::OverFleetBudget { retry_after_ms } = placed[2] else { panic!("{placed:?}") };
        assert!(matches!(&placed[..2], [Placement::Placed(_), Placement::Placed(_)]));
        assert!((11_000..=13_000).contains(&retry_after_ms), "{retry_after_ms}");
        assert_eq!(house.metrics.over_fleet_budget.get(), 1);
        house.pass(retry_after_ms).await;
        assert!(matches!(house.place(order_of(&records[2])).await, Placement::Placed(_)));
    });
}

#[test]
fn an_order_that_was_not_placed_gives_its_watts_back() {
    let config = CommandsConfig { fleet_watts_per_minute: 1_000.0, ..CommandsConfig::default() };
    with_config(config, async |house| {
        let record = house.request(set_power("home", 1_000.0)).await;
        house.pass(61_000).await;
        assert!(matches!(house.place(order_of(&record)).await, Placement::Moot(_)));
        let next = house.request(set_power("home", 1_000.0)).await;
        assert!(matches!(house.place(order_of(&next)).await, Placement::Placed(_)));
    });
}

#[test]
fn dispatch_of_one_microgrid_decides_nothing_in_another() {
    universe(async |house| {
        let record = house.request(switch_off("home")).await;
        let place = memcloud_domain::messages::PlaceOrders {
            microgrid: memcloud_domain::MicrogridId::new("elsewhere").unwrap(),
            verdicts: vec![order_of(&record)],
        };
        let placed = house.processor.ask(place, crate::house::SOON).await.unwrap().unwrap();
        assert_eq!(placed, [Placement::Unknown]);
        assert_eq!(house.state(&record.id).await, CommandState::Accepted);
    });
}

#[test]
fn memory_holds_only_what_is_open() {
    universe(async |house| {
        house.connect("home", 1).await;
        for round in 0..50 {
            let record = house.order(switch_off("home")).await;
            house.answer(&record, CommandOutcome::Done, Some(round)).await;
        }
        assert_eq!(house.metrics.open.get(), 1);
        house.pass(2 * 3_600_000).await;
        assert_eq!(house.metrics.open.get(), 0);
    });
}
