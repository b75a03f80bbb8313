//! What a job found out and said and what is not saved yet. Results are kept by their identity, so
//! that of many versions of one only the newest is written; nothing is forgotten before it is saved.

use std::collections::{BTreeMap, VecDeque};

use memcloud_domain::{JobLogLevel, JobLogLine, JobResult, Timestamp};

use crate::{JobLimits, Outcome};

type Identity = (String, String, Timestamp);

/// Unsaved results and lines of log.
#[derive(Debug)]
pub struct Ledger {
    results: BTreeMap<Identity, JobResult>,
    log: VecDeque<JobLogLine>,
    lines_left_out: u64,
    saving: Option<(Vec<JobResult>, Vec<JobLogLine>)>,
    max_results: usize,
    max_log: usize,
}

impl Ledger {
    /// The most characters of a line.
    const LINE: usize = 2_000;

    /// An empty one.
    #[must_use]
    pub fn new(limits: &JobLimits) -> Self {
        Self {
            results: BTreeMap::new(),
            log: VecDeque::new(),
            lines_left_out: 0,
            saving: None,
            max_results: limits.unsaved_results,
            max_log: limits.unsaved_log,
        }
    }

    /// Takes what a step found.
    pub fn absorb(&mut self, outcome: Outcome, now: Timestamp) {
        for result in outcome.results {
            self.results.insert(identity(&result), result);
        }
        for (level, text) in outcome.log {
            self.say(now, level, text);
        }
    }

    /// Takes a line of log.
    pub fn say(&mut self, at: Timestamp, level: JobLogLevel, text: String) {
        let text = if text.chars().nth(Self::LINE).is_some() {
            text.chars().take(Self::LINE).chain(['…']).collect()
        } else {
            text
        };
        if self.log.len() >= self.max_log {
            self.log.pop_front();
            self.lines_left_out += 1;
        }
        self.log.push_back(JobLogLine { at, level, text });
    }

    /// Whether so much waits that no step should be made before it is saved.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.results.len() >= self.max_results
    }

    /// Whether anything waits to be saved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.results.is_empty() && self.log.is_empty()
    }

    /// What is to be written now. It stays here too, until it is known to be written.
    pub fn begin_saving(&mut self, now: Timestamp) -> (Vec<JobResult>, Vec<JobLogLine>) {
        let results: Vec<_> = std::mem::take(&mut self.results).into_values().collect();
        let mut log: Vec<_> = std::mem::take(&mut self.log).into();
        let left_out = std::mem::take(&mut self.lines_left_out);
        if left_out > 0 {
            let text = format!("{left_out} lines before these were left out: there were too many");
            log.insert(0, JobLogLine { at: now, level: JobLogLevel::Warn, text });
        }
        self.saving = Some((results.clone(), log.clone()));
        (results, log)
    }

    /// It is written; answers which results.
    pub fn saved(&mut self) -> Vec<JobResult> {
        self.saving.take().map(|(results, _)| results).unwrap_or_default()
    }

    /// It may not have been written, and is to be written again; what is newer stays.
    pub fn not_saved(&mut self) {
        let Some((results, log)) = self.saving.take() else { return };
        for result in results {
            self.results.entry(identity(&result)).or_insert(result);
        }
        for line in log.into_iter().rev() {
            if self.log.len() >= self.max_log {
                self.lines_left_out += 1;
            } else {
                self.log.push_front(line);
            }
        }
    }
}

fn identity(result: &JobResult) -> Identity {
    (result.kind.clone(), result.subject.clone(), result.from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(from: i64, value: i64) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.report("energy-hour", "home-1", Timestamp(from), Timestamp(from + 1), json!(value));
        outcome
    }

    fn values(results: &[JobResult]) -> Vec<(i64, i64)> {
        results.iter().map(|result| (result.from.0, result.body.as_i64().unwrap())).collect()
    }

    #[test]
    fn of_many_versions_of_a_result_the_newest_is_written() {
        let mut ledger = Ledger::new(&JobLimits::default());
        for value in 0..10 {
            ledger.absorb(found(0, value), Timestamp(0));
        }
        assert_eq!(values(&ledger.begin_saving(Timestamp(0)).0), [(0, 9)]);
    }

    #[test]
    fn what_was_not_saved_is_written_again_but_never_over_something_newer() {
        let mut ledger = Ledger::new(&JobLimits::default());
        ledger.absorb(found(0, 1), Timestamp(0));
        ledger.absorb(found(5, 1), Timestamp(0));
        ledger.begin_saving(Timestamp(0));
        ledger.absorb(found(5, 2), Timestamp(0));
        ledger.not_saved();
        assert_eq!(values(&ledger.begin_saving(Timestamp(0)).0), [(0, 1), (5, 2)]);
        assert_eq!(values(&ledger.saved()), [(0, 1), (5, 2)]);
        assert!(ledger.is_empty());
    }

    #[test]
    fn an_app_that_talks_too_much_loses_its_oldest_lines_and_the_log_says_so() {
        let limits = JobLimits { unsaved_log: 3, ..JobLimits::default() };
        let mut ledger = Ledger::new(&limits);
        for number in 0..10 {
            ledger.say(Timestamp(number), JobLogLevel::Info, format!("line {number}"));
        }
        let (_, log) = ledger.begin_saving(Timestamp(10));
        assert_eq!(log.len(), 4);
        assert!(log[0].text.starts_with("7 lines"), "{}", log[0].text);
        assert_eq!(log[3].text, "line 9");
    }
}
