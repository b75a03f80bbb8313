//! What the cloud itself found in a run, read from its registry once all jobs have saved.

use memcloud_domain::{JobId, JobLogLevel, JobRecord};
use memcloud_registry::{
    Clerk, GetJob, ListJobLog, ListJobResults, PageRequest, RegistryError, ResultQuery,
};
use memcloud_worker::EnergyAccounting;
use serde_json::Value;

use super::meter::Metered;
use super::report::{Audit, JobReport, rounded};
use super::scenario::Scenario;

/// So many of a job's newest complaints are reported.
const COMPLAINTS: usize = 5;
/// So many lines of log are read at a time.
const PAGE: usize = 500;

/// How jobs stand, and of what they complained last.
pub(super) fn jobs(clerk: &Clerk, jobs: &[JobRecord]) -> Result<Vec<JobReport>, RegistryError> {
    jobs.iter()
        .map(|job| {
            let kept = clerk.carry_out(GetJob { id: job.id.clone() })?;
            Ok(JobReport {
                app: kept.app,
                priority: kept.priority,
                state: kept.state,
                complaints: complaints(clerk, &job.id)?,
            })
        })
        .collect()
}

fn complaints(clerk: &Clerk, job: &JobId) -> Result<Vec<String>, RegistryError> {
    let mut newest = Vec::new();
    let mut after = 0;
    loop {
        let lines = clerk.carry_out(ListJobLog { job: job.clone(), after, limit: PAGE })?;
        let Some(last) = lines.last() else { return Ok(newest) };
        after = last.number;
        for numbered in &lines {
            let line = &numbered.line;
            if line.level == JobLogLevel::Info {
                continue;
            }
            if newest.len() >= COMPLAINTS {
                newest.remove(0);
            }
            newest.push(format!("{} {}", line.at, line.text));
        }
    }
}

/// What the first accounting job found of all homes, beside what their meters say.
pub(super) fn audit(
    clerk: &Clerk,
    jobs: &[JobRecord],
    scenario: &Scenario,
    metered: &Metered,
) -> Result<Option<Audit>, RegistryError> {
    let Some(job) = jobs.iter().find(|job| job.app == "energy-accounting") else {
        return Ok(None);
    };
    let mut audit = Audit::default();
    for (home, account) in scenario.homes.iter().zip(&metered.homes) {
        audit.metered_consumption_wh += account.flows.consumption;
        audit.metered_import_wh += account.flows.import;
        let mut after = None;
        loop {
            let page = clerk.carry_out(ListJobResults(ResultQuery {
                job: job.id.clone(),
                from: None,
                to: None,
                kind: Some(EnergyAccounting::HOUR.to_owned()),
                subject: Some(home.hem.to_string()),
                after,
                limit: PageRequest::MAX_LIMIT,
            }))?;
            for result in &page.items {
                let of = |field: &str| result.body.get(field).and_then(Value::as_f64);
                audit.consumption_wh += of("consumption_wh").unwrap_or(0.0);
                audit.import_wh += of("import_wh").unwrap_or(0.0);
            }
            let Some(next) = page.next else { break };
            after = Some(next);
        }
    }
    Ok(Some(Audit {
        consumption_wh: rounded(audit.consumption_wh, 1),
        metered_consumption_wh: rounded(audit.metered_consumption_wh, 1),
        import_wh: rounded(audit.import_wh, 1),
        metered_import_wh: rounded(audit.metered_import_wh, 1),
    }))
}
