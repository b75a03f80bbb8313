//! A meter that crashes on a bad sample, and goes on: an actor of one's own under the supervision kit.
//!
//! Run it with `cargo run -p example-supervised-actor`. The panic that it prints is the point: the
//! next question is answered by a fresh meter at the same address.

use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use memcloud_supervision::{AskError, ChildSpec, Clock, ExitReason, Observe, Scope, supervised};

/// Adds up energy. It trusts its input, and crashes where that is wrong.
struct Meter {
    total_wh: f64,
}

impl Actor for Meter {
    type Context = Context<Self>;
}

supervised!(Meter);

impl Observe for Meter {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "total_wh": self.total_wh })
    }
}

/// Anybody tells the meter of a sample; answers the total.
#[derive(Message)]
#[rtype(result = "f64")]
struct AddSample {
    wh: f64,
}

impl Handler<AddSample> for Meter {
    type Result = f64;

    fn handle(&mut self, sample: AddSample, _: &mut Context<Self>) -> f64 {
        assert!(sample.wh.is_finite(), "a sample of {} Wh", sample.wh);
        self.total_wh += sample.wh;
        self.total_wh
    }
}

#[actix_rt::main]
async fn main() {
    let deadline = Duration::from_secs(5);
    let scope = Scope::root("example", Clock::system());
    let meter = scope.supervise(ChildSpec::new("meter"), |_| Meter { total_wh: 0.0 });

    println!("after 2 Wh: {:?}", meter.ask(AddSample { wh: 2.0 }, deadline).await);
    println!("after NaN:  {:?}", meter.ask(AddSample { wh: f64::NAN }, deadline).await);

    // Between the crash and the restart a question is answered at once: `Restarting`. Asked again
    // later, the same address has a fresh meter behind it.
    let again = loop {
        match meter.ask(AddSample { wh: 3.0 }, deadline).await {
            Err(AskError::Restarting) => scope.clock().sleep(Duration::from_millis(20)).await,
            answer => break answer,
        }
    };
    println!("after 3 Wh: {again:?}");

    let tree = scope.tree().snapshot(10).await;
    for child in &tree.children {
        println!(
            "{}: {:?}, {} restart(s), shows {}",
            child.name, child.state, child.restarts, child.observed
        );
    }
    let reason = meter.stop(deadline).await;
    assert_eq!(reason, ExitReason::Shutdown);
    println!("stopped: {reason:?}");
}
