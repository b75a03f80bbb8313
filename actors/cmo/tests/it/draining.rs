//! Stopping a job in the middle of a step, which takes a thread and hence real time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use memcloud_cmo::{OperatorLimits, Standalone};
use memcloud_domain::messages::{MicrogridProfile, MicrogridRoster};
use memcloud_domain::{PowerLimits, Timestamp};
use memcloud_microgrid::{AssignJob, MicrogridLimits, StopJob};
use memcloud_supervision::{Clock, Scope};
use memcloud_worker::{
    About, AppCatalogue, EnergyApp, Outcome, PutJob, PutRoster, Start, StepThreads, View,
};
use serde_json::json;

use crate::support::{RecorderConfiguration, microgrid, record};

const SOON: Duration = Duration::from_secs(20);

static STEPS: AtomicUsize = AtomicUsize::new(0);

/// Thinks for a while in every step, and finds nothing.
struct Ponderer;

impl EnergyApp for Ponderer {
    type Configuration = RecorderConfiguration;
    type State = ();
    const ABOUT: About = About {
        name: "ponderer",
        version: "1",
        title: "Ponderer",
        description: "Finds nothing.",
        start: Start::Beginning,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(_: RecorderConfiguration) -> Result<Self, String> {
        Ok(Self)
    }

    fn step(&self, (): &mut (), _: Timestamp, _: &View) -> Outcome {
        STEPS.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(300));
        Outcome::default()
    }
}

#[test]
fn a_job_that_is_stopped_while_it_finds_nothing_is_drained_with_the_end_of_its_step() {
    actix::System::new().block_on(async {
        let scope = Scope::root("test", Clock::system());
        let limits = OperatorLimits {
            microgrid: MicrogridLimits { drain_deadline: SOON * 3, ..MicrogridLimits::default() },
            ask_deadline: SOON * 3,
            ..OperatorLimits::default()
        };
        let apps = AppCatalogue::standard().with::<Ponderer>();
        let cloud = Standalone::with_limits(&scope, apps, StepThreads::new(1, 1), limits);
        let id = microgrid("fontana");
        let profile = MicrogridProfile { id: id.clone(), time_zone: "UTC".into() };
        let roster = MicrogridRoster { profile, limits: PowerLimits::default(), hems: Vec::new() };
        cloud.jobs.ask(PutRoster(roster), SOON).await.unwrap();
        let record = record("fontana", "job-1", "ponderer", json!({}));
        let job = record.id.clone();
        cloud.jobs.ask(PutJob(record.clone()), SOON).await.unwrap();
        cloud.operator.ask(AssignJob { record }, SOON).await.unwrap().unwrap();
        // The first steps save that the job has begun; after them there is nothing to be saved.
        while STEPS.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let stop = StopJob { microgrid: id, job };
        cloud.operator.ask(stop, SOON).await.unwrap().unwrap();
        cloud.stop(SOON).await;
    });
}
