//! A job that wants too much harms nobody else, and is told.

use memcloud_domain::messages::Placement;
use memcloud_domain::{NodeId, Wish};
use memcloud_microgrid::DispatchLimits;
use memcloud_microgrid::dispatch::{Effect, Event};

use crate::house::{BATTERY, CHARGER, HEATER, House, app, hem, on, power};

fn flood(count: usize, watts: f64) -> Vec<Wish> {
    (0..count)
        .map(|number| Wish {
            hem: hem(&format!("home-{}", 1 + number / 2)),
            node: NodeId(if number % 2 == 0 { BATTERY } else { CHARGER }),
            setting: power(watts),
            lease_ms: 300_000,
            reason: "more".to_owned(),
        })
        .collect()
}

#[test]
fn jobs_change_a_node_only_so_often_a_minute_and_it_is_said() {
    let mut house = House::new();
    for step in 0..30_u32 {
        house.wish("restless", 0, BATTERY, power(100.0 * f64::from(step % 10)));
        house.pass(1);
    }
    assert_eq!(house.orders.len(), 6);
    assert!(
        house
            .sentence(BATTERY)
            .contains("since jobs changed the node as often as they may in a minute"),
        "{}",
        house.sentence(BATTERY)
    );
    // Who goes before it is not held back by it.
    house.wish("peak-shaving", 9, BATTERY, power(-700.0));
    assert_eq!(house.last(), (BATTERY, power(-700.0).into()));
}

#[test]
fn two_jobs_that_wish_the_opposite_of_each_other_do_not_make_a_relay_chatter() {
    let mut house = House::new();
    for _ in 0..60 {
        house.wish_for("a", 5, HEATER, on(false), 2);
        house.pass(1);
        house.wish_for("b", 0, HEATER, on(true), 2);
        house.pass(2);
    }
    assert!(house.orders.len() <= 3 * 6 * 2 + 6, "{}", house.orders.len());
}

#[test]
fn a_job_has_so_many_orders_a_minute_and_the_rest_follows() {
    let limits = DispatchLimits { orders_per_job: 10, ..DispatchLimits::default() };
    let mut house = House::with(limits);
    house.add_homes(20);
    house.wishes("eager", 0, flood(40, 1_000.0));
    assert_eq!(house.orders.len(), 10);
    assert_eq!(house.said.len(), 1);
    assert!(house.said[0].1.contains("it had the 10 orders that it may have in a minute"));
    house.pass(60);
    assert!((19..=21).contains(&house.orders.len()), "{}", house.orders.len());
    house.pass(240);
    assert_eq!(house.orders.len(), 40, "all in the end");
}

#[test]
fn a_job_has_so_many_wishes_and_further_ones_are_refused_aloud() {
    let limits = DispatchLimits { wishes_per_job: 4, ..DispatchLimits::default() };
    let mut house = House::with(limits);
    house.add_home("home-2");
    house.add_home("home-3");
    house.wishes("greedy", 0, flood(4, 1_000.0));
    house.wishes("greedy", 0, flood(6, 1_000.0).split_off(4));
    assert_eq!(house.orders.len(), 4);
    assert_eq!(house.dispatcher.figures().refused_by_budget, 2);
    assert!(
        house.said[0].1.contains("it has the 4 standing wishes that it may have"),
        "{:?}",
        house.said
    );
    let why = house.dispatcher.why(&hem("home-3"), house.now);
    assert_eq!(
        why[1].sentence,
        "Nothing is ordered of the battery: nobody asks for anything; a wish of greedy was turned away, since it has as many as it may have."
    );
    // More at once than it may have standing.
    house.wishes("greedy", 0, flood(6, 900.0));
    assert_eq!(house.dispatcher.figures().refused_by_budget, 4);
}

#[test]
fn a_flood_of_wishes_is_taken_a_little_at_a_time() {
    let mut house = House::new();
    house.add_homes(500);
    house.calls = 0;
    house.wishes("flood", 0, flood(1_000, 1_000.0));
    let at_once = DispatchLimits::default().at_once;
    assert!(house.most_verdicts <= at_once, "{}", house.most_verdicts);
    assert!(house.calls > 1_000 / at_once);
    // Orders are counted a minute, the wishes all stand.
    assert_eq!(house.orders.len(), 600);
    assert_eq!(house.dispatcher.figures().wishes_standing, 1_000);
    // A person does not wait for them.
    house.wishes("flood", 0, flood(1_000, 900.0));
    let before = house.orders.len();
    let calls = house.calls;
    house.command("c1", 0, HEATER, on(false), None);
    assert_eq!(house.last(), (HEATER, on(false).into()));
    assert_eq!(house.orders.len(), before + 1);
    assert!(house.calls - calls < 5);
}

#[test]
fn a_command_is_decided_before_the_wishes_that_wait() {
    let mut house = House::new();
    house.wish("a", 0, BATTERY, power(50.0));
    let wished = memcloud_domain::messages::JobWished {
        asker: app("flood"),
        priority: 0,
        wishes: (0..5_000).flat_map(|_| flood(2, 100.0)).collect(),
        withdrawn: Vec::new(),
    };
    // Only one go, though thousands wait.
    let _ = house.dispatcher.accept(Event::Wished(wished), house.now);
    assert!(house.dispatcher.wishes_of(&crate::house::job("flood")) > 9_000);
    let record = house.command("c1", 0, BATTERY, power(-300.0), Some(60));
    assert_eq!(house.orders.iter().filter(|order| order.id == record.id).count(), 1);
}

#[test]
fn the_budget_of_the_fleet_makes_an_order_wait_and_is_said() {
    let mut house = House::new();
    house.answers = vec![Placement::OverFleetBudget { retry_after_ms: 20_000 }];
    house.command("c1", 0, BATTERY, power(1_000.0), Some(600));
    assert!(house.orders.is_empty());
    assert_eq!(
        house.sentence(BATTERY),
        "The battery is to charge at 1.0 kW but waits until the fleet's budget of watts a minute has room again: anna asked for 1.0 kW."
    );
    // What moves as many watts elsewhere waits as well, without asking; what moves less is tried.
    house.wish("a", 0, CHARGER, power(5_000.0));
    assert!(house.orders.is_empty());
    house.wish("a", 0, CHARGER, power(900.0));
    assert_eq!(house.last(), (CHARGER, power(900.0).into()));
    house.pass(21);
    assert_eq!(house.orders.len(), 2);
    assert_eq!(house.dispatcher.figures().over_fleet_budget, 1);
}

#[test]
fn a_hem_that_is_busy_and_a_ledger_that_is_away_are_asked_again() {
    let mut house = House::new();
    house.answers = vec![Placement::HemIsBusy];
    house.wish("a", 0, BATTERY, power(1_000.0));
    assert!(house.sentence(BATTERY).contains("waits until its HEM has answered earlier commands"));
    house.pass(3);
    assert_eq!(house.orders.len(), 1);

    let mut house = House::new();
    let wish = flood(1, 1_000.0);
    let wished = memcloud_domain::messages::JobWished {
        asker: app("a"),
        priority: 0,
        wishes: wish,
        withdrawn: Vec::new(),
    };
    let mut effects = house.dispatcher.accept(Event::Wished(wished), house.now);
    if let Some(Effect::LookBack(hem)) = effects.first().cloned() {
        let events = Some(Vec::new());
        effects = house.dispatcher.accept(Event::LookedBack { hem, events }, house.now);
    }
    let Some(Effect::Place { batch, .. }) = effects.first() else { panic!("{effects:?}") };
    house.tell(Event::NotPlaced { batch: *batch });
    assert!(house.sentence(BATTERY).contains("waits until the ledger of commands answers again"));
    house.pass(3);
    assert_eq!(house.orders.len(), 1);
}
