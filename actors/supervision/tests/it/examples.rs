//! The examples run.

#[path = "../../examples/flaky_sensor.rs"]
mod flaky_sensor;

#[test]
fn the_flaky_sensor_is_measured_to_the_end() {
    flaky_sensor::main();
}
