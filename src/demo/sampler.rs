//! Turns what the cloud knows into the picture of the demo, once a second, by asking the same actors
//! that REST asks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use memcloud_domain::{JobRecord, MicrogridId, Timestamp};
use memcloud_emulator::FleetProgress;
use memcloud_registry::{ListJobResults, ListJobs, PageRequest, ResultQuery};
use memcloud_status::{GetMicrogridStatus, ListHemStatuses};
use memcloud_supervision::Clock;
use tokio::sync::watch;
use tokio::time::Instant;

use super::findings::{sentence, wanted};
use super::steering_sampler::SteeringSampler;
use crate::api::{RegistrarPorts, StatusPorts};
use crate::cloud::Cloud;
use crate::demo_view::{DemoSnapshot, HomeLine, IngestLine, JobLine, Message, count};

const DEADLINE: Duration = Duration::from_secs(2);
/// Jobs' results change slowly; they are asked for less often than the homes.
const JOBS_EVERY: Duration = Duration::from_secs(3);
/// How far back a job's latest result may lie.
const RESULTS_WITHIN: Duration = Duration::from_secs(36 * 3_600);
/// The rate of acknowledged readings is that of this long.
const RATE_OVER: Duration = Duration::from_secs(5);
const MOST_HOMES: usize = 1_000;
const MOST_MESSAGES: usize = 50;

/// Keeps the picture of the demo.
pub(super) struct Sampler {
    microgrid: MicrogridId,
    clock: Clock,
    registrar: RegistrarPorts,
    status: StatusPorts,
    steering: SteeringSampler,
    snapshot: DemoSnapshot,
    counted: VecDeque<(Instant, u64)>,
    jobs_due: Instant,
    said: BTreeMap<String, String>,
}

impl Sampler {
    /// A sampler of a microgrid.
    pub(super) fn new(
        microgrid: MicrogridId,
        cloud: &Cloud,
        chosen: watch::Receiver<Option<String>>,
        first: DemoSnapshot,
    ) -> Self {
        let clock = cloud.scope().clock().clone();
        Self {
            microgrid,
            jobs_due: clock.instant(),
            clock,
            registrar: cloud.registrar().clone(),
            status: cloud.status().clone(),
            steering: SteeringSampler::new(cloud, chosen),
            snapshot: first,
            counted: VecDeque::new(),
            said: BTreeMap::new(),
        }
    }

    /// The picture as it is.
    pub(super) fn snapshot(&self) -> &DemoSnapshot {
        &self.snapshot
    }

    /// Makes the picture anew. Who does not answer in time stays as he was.
    pub(super) async fn sample(&mut self, fleet: &FleetProgress) {
        self.snapshot.at = Timestamp(self.clock.unix_ms());
        self.count(fleet);
        self.sample_homes().await;
        self.steering.sample(&self.microgrid, &mut self.snapshot).await;
        if self.clock.instant() >= self.jobs_due {
            self.jobs_due = self.clock.instant() + JOBS_EVERY;
            self.sample_jobs().await;
        }
    }

    fn count(&mut self, fleet: &FleetProgress) {
        let at = self.clock.instant();
        while self.counted.len() > 1
            && self.counted.get(1).is_some_and(|(before, _)| *before + RATE_OVER <= at)
        {
            self.counted.pop_front();
        }
        let per_second = self.counted.front().map_or(0.0, |&(before, acknowledged)| {
            let seconds = at.saturating_duration_since(before).as_secs_f64().max(0.001);
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let more = fleet.acknowledged.saturating_sub(acknowledged) as f64;
            more / seconds
        });
        self.counted.push_back((at, fleet.acknowledged));
        let was_filling = self.snapshot.ingest.backfill;
        self.snapshot.ingest = IngestLine {
            acknowledged: fleet.acknowledged,
            per_second,
            refused: fleet.refused,
            backfill: fleet.backfill,
        };
        if let (Some((_, all)), None) = (was_filling, fleet.backfill) {
            // What follows is slow: its rate begins anew.
            self.counted.clear();
            let all = count(all);
            self.say(format!("the past is filled in: {all} readings on disk; the homes are live"));
        }
    }

    async fn sample_homes(&mut self) {
        let totals = GetMicrogridStatus { microgrid: self.microgrid.clone() };
        if let Ok(status) = self.status.get_microgrid_status.ask(totals, DEADLINE).await {
            self.snapshot.totals = status.totals;
            self.snapshot.extend_trend();
        }
        let homes = ListHemStatuses {
            microgrid: Some(self.microgrid.clone()),
            hems: None,
            after: None,
            limit: MOST_HOMES,
        };
        if let Ok(page) = self.status.list_hem_statuses.ask(homes, DEADLINE).await {
            let before = std::mem::take(&mut self.snapshot.homes);
            self.snapshot.homes =
                page.items.iter().map(|status| HomeLine::from(status.as_ref())).collect();
            // What is ordered is asked for next; until it is answered it stays.
            let mut known: BTreeMap<String, Vec<String>> =
                before.into_iter().map(|home| (home.name, home.ordered)).collect();
            for home in &mut self.snapshot.homes {
                home.ordered = known.remove(&home.name).unwrap_or_default();
            }
            for status in &page.items {
                self.steering.learn(status);
            }
        }
    }

    async fn sample_jobs(&mut self) {
        let list = ListJobs {
            microgrid: Some(self.microgrid.clone()),
            page: PageRequest::first(PageRequest::MAX_LIMIT),
        };
        let Ok(Ok(jobs)) = self.registrar.list_jobs.ask(list, DEADLINE).await else { return };
        let mut lines = Vec::new();
        for job in jobs.items {
            let line = self.job_line(job).await;
            let before = self.said.insert(line.app.clone(), line.latest.clone());
            if line.alarm && before.as_deref() != Some(line.latest.as_str()) {
                self.say(format!("{}: {}", line.app, line.latest));
            }
            lines.push(line);
        }
        self.snapshot.jobs = lines;
    }

    async fn job_line(&self, job: JobRecord) -> JobLine {
        let (kind, subject) = wanted(&job.app);
        let query = ResultQuery {
            job: job.id.clone(),
            from: Some(self.snapshot.at.minus(RESULTS_WITHIN)),
            to: None,
            kind: kind.map(str::to_owned),
            subject: subject.map(str::to_owned),
            after: None,
            limit: PageRequest::MAX_LIMIT,
        };
        let results =
            match self.registrar.list_job_results.ask(ListJobResults(query), DEADLINE).await {
                Ok(Ok(page)) => page.items,
                _ => Vec::new(),
            };
        let (latest, alarm) = sentence(&results);
        JobLine { app: job.app, state: job.state, latest, alarm }
    }

    fn say(&mut self, text: String) {
        if self.snapshot.messages.len() >= MOST_MESSAGES {
            self.snapshot.messages.pop_front();
        }
        self.snapshot.messages.push_back(Message { at: self.snapshot.at, text });
    }
}
