//! An actix program of one's own that runs an energy app of one's own on a microgrid: it embeds the
//! Chief Microgrid Operator, hands it readings from wherever they come, and asks what the app found.
//! No HTTP, no SQL, no sockets. Run it with `cargo run -p example-embedded-operator`.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_cmo::Standalone;
use memcloud_domain::messages::{MicrogridProfile, MicrogridRoster, RosterHem};
use memcloud_domain::{
    Entry, HemId, JobId, JobRecord, JobState, MicrogridId, NodeDeclaration, NodeId, NodeKind,
    NodeReading, PowerLimits, Reading, Seq, Timestamp, Watts,
};
use memcloud_microgrid::AssignJob;
use memcloud_supervision::{Clock, Scope};
use memcloud_worker::in_memory::PutJob;
use memcloud_worker::{
    About, AppCatalogue, AppendEntries, EnergyApp, GetJobOutput, Outcome, PutRoster, Start,
    StepThreads, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(5);
const LOAD: NodeId = NodeId(1);

/// What a person may set: peaks below this are not worth a result.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PeakFinderConfiguration {
    least_watts: f64,
}

/// Finds each home's highest load. All that an app is: a configuration, a state, and a pure step.
struct PeakFinder {
    least: Watts,
}

impl EnergyApp for PeakFinder {
    type Configuration = PeakFinderConfiguration;
    type State = BTreeMap<HemId, f64>;

    const ABOUT: About = About {
        name: "peak-finder",
        version: "1.0.0",
        title: "Peak finder",
        description: "Finds each home's highest load.",
        start: Start::Beginning,
        tick: None,
    };

    fn new(configuration: Self::Configuration) -> Result<Self, String> {
        if configuration.least_watts < 0.0 {
            return Err("least_watts must not be negative".to_owned());
        }
        Ok(Self { least: Watts(configuration.least_watts) })
    }

    fn step(&self, state: &mut Self::State, _: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        for seen in view.entries() {
            let Some(reading) = seen.reading() else { continue };
            for node in &reading.nodes {
                let is_load = view.roster().kind(seen.hem, node.node) == Some(NodeKind::Load);
                let Some(watts) = node.watts.filter(|watts| is_load && *watts >= self.least) else {
                    continue;
                };
                let peak = state.entry(seen.hem.clone()).or_default();
                if watts.value() > *peak {
                    *peak = watts.value();
                    let found = json!({ "peak_watts": watts, "at": reading.ts });
                    outcome.report("peak", seen.hem.as_str(), Timestamp(0), reading.ts, found);
                }
            }
        }
        outcome
    }
}

fn load_reading(seq: u64, watts: f64) -> Entry {
    let ts = Timestamp(1_790_000_000_000 + i64::try_from(seq).unwrap_or(0) * 1_000);
    let load = NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(LOAD) };
    Entry::Reading(Reading { seq: Seq(seq), ts, received: ts, nodes: vec![load] })
}

#[actix_rt::main]
async fn main() -> anyhow::Result<()> {
    let scope = Scope::root("example", Clock::system());
    let apps = AppCatalogue::new().with::<PeakFinder>();
    let cloud = Standalone::start(&scope, apps, StepThreads::new(2, 4));

    // Who there is: one microgrid, one home, one load.
    let (microgrid, home) = (MicrogridId::new("valley")?, HemId::new("home-1")?);
    let load = NodeDeclaration {
        node: LOAD,
        name: "kettle".to_owned(),
        kind: NodeKind::Load,
        rated_watts: Some(Watts(2_000.0)),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: None,
        default: None,
    };
    let roster = MicrogridRoster {
        profile: MicrogridProfile { id: microgrid.clone(), time_zone: "Europe/Berlin".to_owned() },
        limits: PowerLimits::default(),
        hems: vec![RosterHem {
            hem: home.clone(),
            nodes: vec![load],
            limits: PowerLimits::default(),
        }],
    };
    cloud.jobs.ask(PutRoster(roster), DEADLINE).await?;

    // What runs there.
    let record = JobRecord {
        id: JobId::new("peaks")?,
        microgrid: microgrid.clone(),
        app: PeakFinder::ABOUT.name.to_owned(),
        configuration: json!({ "least_watts": 100.0 }),
        priority: 0,
        created: Timestamp(scope.clock().unix_ms()),
        state: JobState::Running,
    };
    cloud.jobs.ask(PutJob(record.clone()), DEADLINE).await?;
    cloud.operator.ask(AssignJob { record: record.clone() }, DEADLINE).await??;

    // What comes in, from wherever this program has it.
    let entries =
        [230.0, 1_850.0, 90.0].into_iter().zip(1..).map(|(watts, seq)| load_reading(seq, watts));
    let entries = entries.collect();
    cloud.history.ask(AppendEntries { microgrid, hem: home, entries }, DEADLINE).await?;

    // What the app found.
    let found = loop {
        let output = cloud.jobs.ask(GetJobOutput { job: record.id.clone() }, DEADLINE).await?;
        if let Some(result) = output.results.first() {
            break result.clone();
        }
        scope.clock().sleep(Duration::from_millis(50)).await;
    };
    println!("{}: {} {}", found.subject, found.kind, found.body);
    cloud.stop(DEADLINE).await;
    scope.shutdown(DEADLINE).await;
    Ok(())
}
