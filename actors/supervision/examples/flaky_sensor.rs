//! A sensor that crashes now and then, the parent that owns it, and what a caller sees of that.
//! `cargo run -p memcloud-supervision --example flaky_sensor`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "an example"
)]

use std::time::Duration;

use actix::prelude::*;
use memcloud_supervision::{
    AskError, Backoff, Child, ChildSpec, Clock, Observe, RestartPolicy, Scope, supervised,
};

const DEADLINE: Duration = Duration::from_secs(1);

/// Measures, and crashes on every third measurement.
#[derive(Default)]
struct Sensor {
    measured: u32,
}

impl Actor for Sensor {
    type Context = Context<Self>;
}

impl Observe for Sensor {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "measured": self.measured })
    }
}

supervised!(Sensor);

#[derive(Message)]
#[rtype(result = "u32")]
struct Measure;

impl Handler<Measure> for Sensor {
    type Result = u32;
    fn handle(&mut self, _: Measure, _: &mut Context<Self>) -> u32 {
        self.measured += 1;
        assert!(self.measured < 3, "the sensor does not answer");
        self.measured
    }
}

/// Owns the sensor. When it crashes itself, its sensor ends first and is made anew with it.
struct Station {
    sensor: Child<Sensor>,
}

impl Station {
    fn new(scope: Scope) -> Self {
        let pause = Backoff { initial: Duration::from_millis(20), ..Backoff::default() };
        let policy = RestartPolicy::transient().bearing(10, DEADLINE).backoff(pause);
        let sensor = ChildSpec::new("sensor").policy(policy).mailbox(8);
        Self { sensor: scope.supervise(sensor, |_| Sensor::default()) }
    }
}

impl Actor for Station {
    type Context = Context<Self>;
}

impl Observe for Station {}

supervised!(Station);

impl Handler<Measure> for Station {
    type Result = ResponseFuture<u32>;
    fn handle(&mut self, _: Measure, _: &mut Context<Self>) -> Self::Result {
        let sensor = self.sensor.clone();
        Box::pin(async move {
            loop {
                match sensor.ask(Measure, DEADLINE).await {
                    Ok(value) => return value,
                    Err(AskError::Stopped) => return 0,
                    Err(error) => {
                        println!("  {error}; trying again");
                        actix::clock::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        })
    }
}

pub(crate) fn main() {
    System::new().block_on(async {
        let root = Scope::root("example", Clock::system());
        let station = root.supervise(ChildSpec::new("station"), Station::new);
        for _ in 0..5 {
            println!("measured {:?}", station.ask(Measure, DEADLINE).await);
        }
        let tree = root.tree().snapshot(10).await;
        println!("{}", serde_json::to_string_pretty(&tree).expect("a tree is plain data"));
        let sensor = &tree.children[0].children[0];
        assert_eq!((sensor.actor.as_str(), sensor.restarts), ("Sensor", 2));
        let left_behind = root.shutdown(DEADLINE).await;
        assert!(left_behind.is_empty(), "{left_behind:?}");
    });
}
