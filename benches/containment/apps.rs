//! Energy apps that no one should write: one that panics, one that floods its dispatch with wishes, one
//! that asks for a megawatt. Each is deployed for a neighbour not to notice.

use std::time::Duration;

use memcloud_domain::{NodeKind, Setting, Timestamp, Watts};
use memcloud_worker::{About, EnergyApp, Outcome, Start, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many wishes does the flood make in a step.
const FLOOD: u32 = 20_000;
const LEASE: Duration = Duration::from_secs(60);

/// Nothing to set.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NoConfiguration {}

const fn about(name: &'static str, title: &'static str) -> About {
    About {
        name,
        version: "1.0.0",
        title,
        description: "Misbehaves, to be contained.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    }
}

macro_rules! app {
    ($(#[$doc:meta])* $name:ident, $id:literal, $title:literal, $step:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl EnergyApp for $name {
            type Configuration = NoConfiguration;
            type State = u64;
            const ABOUT: About = about($id, $title);

            fn new(_: NoConfiguration) -> Result<Self, String> {
                Ok(Self)
            }

            fn step(&self, state: &mut u64, _: Timestamp, view: &View) -> Outcome {
                *state += 1;
                let step: fn(u64, &View) -> Outcome = $step;
                step(*state, view)
            }
        }
    };
}

app!(
    /// Panics in every step.
    Panics,
    "panics",
    "Panics",
    |_, _| {
        #[expect(clippy::panic, reason = "that is what it is for")]
        {
            panic!("this app cannot go on");
        }
    }
);

app!(
    /// Wishes the one node over and over, each time otherwise.
    Floods,
    "floods",
    "Floods its dispatch",
    |step, view| {
        let mut outcome = Outcome::default();
        for (hem, nodes) in view.roster().homes() {
            for node in nodes.iter().filter(|node| node.kind == NodeKind::Load) {
                for turn in 0..FLOOD {
                    let on = (step + u64::from(turn)).is_multiple_of(2);
                    outcome.wish(hem, node.node, Setting::Switch { on }, LEASE, "I cannot decide");
                }
            }
        }
        outcome
    }
);

app!(
    /// Asks every battery for a megawatt.
    Megawatt,
    "megawatt",
    "Asks for a megawatt",
    |_, view| {
        let mut outcome = Outcome::default();
        for (hem, nodes) in view.roster().homes() {
            for node in nodes.iter().filter(|node| node.kind == NodeKind::Storage) {
                let watts = Watts(1e6);
                outcome.wish(hem, node.node, Setting::Power { watts }, LEASE, "more is more");
            }
        }
        outcome
    }
);
