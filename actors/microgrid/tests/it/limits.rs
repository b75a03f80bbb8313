//! The limits of a home and of a microgrid.

use memcloud_domain::ClaimFate;

use crate::house::{BATTERY, CHARGER, GRID, HEATER, House, on, power};

#[test]
fn a_set_point_is_narrowed_to_what_the_homes_import_leaves() {
    let mut house = House::new();
    house.limit_home(Some(6_000.0), None);
    house.measure(&[(GRID, -2_000.0), (CHARGER, 0.0), (BATTERY, 0.0)]);
    house.wish("solar-charging", 0, CHARGER, power(7_000.0));
    assert_eq!(house.last(), (CHARGER, power(4_000.0).into()));
    assert!(
        house.sentence(CHARGER).ends_with(
            "solar-charging asked for 7.0 kW, limited by the import limit of 6.0 kW of home-1."
        ),
        "{}",
        house.sentence(CHARGER)
    );
    assert_eq!(house.why(CHARGER).claims[0].fate, ClaimFate::Narrowed);
}

#[test]
fn a_command_for_which_there_is_no_room_is_refused_and_names_the_limit() {
    let mut house = House::new();
    house.limit_home(Some(2_000.0), None);
    house.measure(&[(GRID, -2_500.0)]);
    house.command("c1", 0, BATTERY, power(1_000.0), Some(60));
    house.command("c2", 0, HEATER, on(true), Some(60));
    assert!(house.orders.is_empty());
    for (_, because) in &house.refused {
        assert!(
            because.contains("the import limit of 2.0 kW of home-1 leaves no room for it"),
            "{because}"
        );
    }
    // What feeds, or draws nothing, may be.
    house.command("c3", 0, BATTERY, power(-1_000.0), Some(60));
    house.command("c4", 0, HEATER, on(false), Some(60));
    assert_eq!(house.orders.len(), 2);
}

#[test]
fn an_export_limit_narrows_what_feeds() {
    let mut house = House::new();
    house.limit_microgrid(None, Some(1_000.0));
    house.measure(&[(GRID, 200.0), (BATTERY, 0.0)]);
    house.wish("arbitrage", 0, BATTERY, power(-2_000.0));
    assert_eq!(house.last(), (BATTERY, power(-800.0).into()));
    assert!(house.sentence(BATTERY).contains("limited by the microgrid's export limit of 1.0 kW"));
}

#[test]
fn what_was_ordered_and_does_not_show_yet_counts_already() {
    let mut house = House::new();
    house.limit_home(Some(5_000.0), None);
    house.measure(&[(GRID, 0.0), (CHARGER, 0.0), (BATTERY, 0.0)]);
    house.wish("a", 0, CHARGER, power(4_000.0));
    house.wish("a", 0, BATTERY, power(2_000.0));
    assert_eq!(house.last(), (BATTERY, power(1_000.0).into()));
    // Once it shows, it is not counted twice.
    house.measure(&[(GRID, -5_000.0), (CHARGER, 4_000.0), (BATTERY, 1_000.0)]);
    house.pass(20);
    assert_eq!(house.orders.len(), 2, "{:?}", house.ordered());
}

#[test]
fn who_goes_first_takes_the_room_of_who_goes_behind() {
    let mut house = House::new();
    house.limit_microgrid(Some(5_000.0), None);
    house.measure(&[(GRID, 0.0), (CHARGER, 0.0), (BATTERY, 0.0)]);
    house.wish_for("a", 0, CHARGER, power(5_000.0), 3_600);
    house.measure(&[(GRID, -5_000.0), (CHARGER, 5_000.0), (BATTERY, 0.0)]);
    house.pass(10);
    house.command("c1", 0, BATTERY, power(2_000.0), Some(600));
    assert_eq!(house.last(), (BATTERY, power(2_000.0).into()), "it holds whole");
    house.pass(10);
    assert_eq!(house.last(), (CHARGER, power(3_000.0).into()), "{:?}", house.ordered());
}

#[test]
fn what_was_narrowed_widens_when_there_is_room_but_not_for_a_trifle() {
    let mut house = House::new();
    house.limit_home(Some(6_000.0), None);
    house.measure(&[(GRID, -2_000.0), (CHARGER, 0.0)]);
    house.wish_for("a", 0, CHARGER, power(7_000.0), 3_600);
    assert_eq!(house.last(), (CHARGER, power(4_000.0).into()));
    house.pass(30);
    house.measure(&[(GRID, -5_900.0), (CHARGER, 4_000.0)]);
    house.pass(30);
    assert_eq!(house.orders.len(), 1, "100 W more are not worth an order");
    house.measure(&[(GRID, -4_500.0), (CHARGER, 4_000.0)]);
    house.pass(30);
    assert_eq!(house.last(), (CHARGER, power(5_500.0).into()));
    house.measure(&[(GRID, -8_000.0), (CHARGER, 5_500.0)]);
    house.pass(30);
    assert_eq!(house.last(), (CHARGER, power(3_500.0).into()), "tightened");
}

#[test]
fn homes_of_a_microgrid_share_its_limit() {
    let mut house = House::new();
    house.add_home("home-2");
    house.limit_microgrid(Some(4_000.0), None);
    house.measure(&[(GRID, -1_000.0), (BATTERY, 0.0)]);
    house.measure_at("home-2", &[(GRID, -2_500.0)]);
    house.wish("a", 0, BATTERY, power(2_000.0));
    assert_eq!(house.last(), (BATTERY, power(500.0).into()));
}
