//! Jobs whose app is a program that its developer runs, in whatever language: it follows the live feed
//! and submits wishes over REST. Here is what the cloud keeps of such a job: how much it may submit,
//! and whether it is still heard of. No cursor is kept for it: the program goes on from the live feed's
//! last event id, or reads the store.

use std::time::Duration;

use memcloud_domain::{HemId, NodeId, Timestamp, Wish};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::apps::terms::seconds;
use crate::{About, AppDescription, AppError, AppFactory, Outcome, RunningApp, Start, View};

/// What a person sets of a program that steers from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalConfiguration {
    /// Its name, for people.
    #[schemars(length(max = 100))]
    pub title: String,
    /// What it does, for people.
    #[schemars(length(max = 2_000))]
    pub description: String,
    /// How long nothing may be heard of it before it counts as silent, s.
    #[schemars(range(min = 5, max = 86_400))]
    pub silent_after_seconds: u32,
    /// The longest lease that a wish of it gets, s; a longer one is cut.
    #[schemars(range(min = 10, max = 86_400))]
    pub max_lease_seconds: u32,
    /// How many wishes and withdrawals it may submit per minute; an empty submission counts as one.
    #[schemars(range(min = 1, max = 600_000))]
    pub wishes_per_minute: u32,
}

impl Default for ExternalConfiguration {
    fn default() -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            silent_after_seconds: 120,
            max_lease_seconds: 900,
            wishes_per_minute: 6_000,
        }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExternalRules {
    /// How long nothing may be heard of it before it counts as silent.
    pub silent_after: Duration,
    /// The longest lease.
    pub max_lease: Duration,
    /// Wishes and withdrawals per minute.
    pub per_minute: u32,
}

/// The app `external`: it makes no steps here.
#[derive(Debug, Clone, Copy, Default)]
pub struct External;

impl External {
    /// What it says of itself.
    pub const ABOUT: About = About {
        name: "external",
        version: "1.0.0",
        title: "External program",
        description: "A program that its developer runs, in any language: it follows the live feed and \
                      submits wishes with a token of this job. Its wishes end with their leases when \
                      it falls silent.",
        start: Start::Now,
        tick: None,
    };

    fn read(configuration: &Value) -> Result<(ExternalConfiguration, ExternalRules), AppError> {
        let invalid = |reason| AppError::InvalidConfiguration { app: Self::ABOUT.name, reason };
        let given =
            if configuration.is_null() { serde_json::json!({}) } else { configuration.clone() };
        let given: ExternalConfiguration =
            serde_json::from_value(given).map_err(|error| invalid(error.to_string()))?;
        for (name, text, most) in
            [("title", &given.title, 100), ("description", &given.description, 2_000)]
        {
            if text.chars().nth(most).is_some() {
                return Err(invalid(format!("{name} may have at most {most} characters")));
            }
        }
        let per_minute = given.wishes_per_minute;
        if !(1..=600_000).contains(&per_minute) {
            return Err(invalid(format!(
                "wishes_per_minute is {per_minute}; it may be 1 to 600000"
            )));
        }
        let silent_after = seconds("silent_after_seconds", given.silent_after_seconds, 5, 86_400)
            .map_err(invalid)?;
        let max_lease =
            seconds("max_lease_seconds", given.max_lease_seconds, 10, 86_400).map_err(invalid)?;
        Ok((given, ExternalRules { silent_after, max_lease, per_minute }))
    }
}

struct Elsewhere;

impl RunningApp for Elsewhere {
    fn step(&mut self, _: Timestamp, _: &View) -> Outcome {
        Outcome::default()
    }

    fn save(&self) -> Result<Value, AppError> {
        Ok(Value::Null)
    }
}

impl AppFactory for External {
    fn about(&self) -> About {
        Self::ABOUT
    }

    fn describe(&self) -> AppDescription {
        AppDescription {
            about: Self::ABOUT,
            schema: schemars::schema_for!(ExternalConfiguration).to_value(),
            default_configuration: serde_json::to_value(ExternalConfiguration::default())
                .unwrap_or(Value::Null),
        }
    }

    fn validate(&self, configuration: &Value) -> Result<Value, AppError> {
        let (given, _) = Self::read(configuration)?;
        serde_json::to_value(given).map_err(|error| AppError::InvalidConfiguration {
            app: Self::ABOUT.name,
            reason: error.to_string(),
        })
    }

    fn start(&self, configuration: &Value, _: &Value) -> Result<Box<dyn RunningApp>, AppError> {
        Self::read(configuration)?;
        Ok(Box::new(Elsewhere))
    }

    fn external(&self, configuration: &Value) -> Option<ExternalRules> {
        Self::read(configuration).ok().map(|(_, rules)| rules)
    }
}

/// Why a submission was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The job's app runs here: nobody else wishes for it.
    #[error(
        "the job runs an app of its own; wishes can be submitted only for a job of the app external"
    )]
    NotExternal,
    /// More than its configuration allows per minute.
    #[error(
        "the job may submit {per_minute} wishes per minute; try again in {} s, or raise wishes_per_minute",
        .retry_after.as_secs().saturating_add(1)
    )]
    TooFast {
        /// How many it may.
        per_minute: u32,
        /// When there is room again.
        retry_after: Duration,
    },
    /// More in one submission than can ever be taken.
    #[error("a submission may have at most {most} wishes and withdrawals")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
}

/// Whether a program is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "program", rename_all = "snake_case")]
pub enum Hearing {
    /// It was heard of not long ago.
    Running {
        /// When it was heard of last; absent: not yet in this life of the job.
        heard: Option<Timestamp>,
    },
    /// Nothing was heard of it for too long.
    Silent {
        /// Since when.
        since: Timestamp,
    },
}

/// What is to be said of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// It fell silent.
    FellSilent {
        /// When it was heard of last, or when the job began.
        since: Timestamp,
    },
    /// It is heard of again.
    Returned {
        /// Since when it was silent.
        since: Timestamp,
    },
}

/// What a job of the app `external` admits, and whether its program is heard of. A pure core.
#[derive(Debug, Clone)]
pub struct ExternalGate {
    rules: ExternalRules,
    began: Timestamp,
    heard: Option<Timestamp>,
    silent: bool,
    /// How many wishes it may submit at once, refilled by the minute.
    allowance: f64,
    refilled: Timestamp,
    admitted: u64,
    turned_down: u64,
}

impl ExternalGate {
    /// One that begins now, with a full allowance.
    #[must_use]
    pub fn new(rules: ExternalRules, now: Timestamp) -> Self {
        Self {
            rules,
            began: now,
            heard: None,
            silent: false,
            allowance: f64::from(rules.per_minute),
            refilled: now,
            admitted: 0,
            turned_down: 0,
        }
    }

    /// Takes a submission, which is a sign of life in any case. Answers the wishes, their leases cut to
    /// what they may be.
    ///
    /// # Errors
    /// [`NotAdmitted::TooFast`], [`NotAdmitted::TooMany`]; then nothing of it is taken.
    pub fn admit(
        &mut self,
        mut wishes: Vec<Wish>,
        withdrawn: &[(HemId, NodeId)],
        now: Timestamp,
    ) -> Result<Vec<Wish>, NotAdmitted> {
        self.heard = Some(now);
        let per_minute = f64::from(self.rules.per_minute);
        let elapsed = now.since(self.refilled).as_secs_f64();
        self.refilled = self.refilled.max(now);
        self.allowance = (self.allowance + elapsed * per_minute / 60.0).min(per_minute);
        let count = (wishes.len() + withdrawn.len()).max(1);
        let most = usize::try_from(self.rules.per_minute).unwrap_or(usize::MAX);
        let asked = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let short = asked - self.allowance;
        if count > most || short > 0.0 {
            self.turned_down += u64::try_from(count).unwrap_or(0);
            return Err(if count > most {
                NotAdmitted::TooMany { most }
            } else {
                NotAdmitted::TooFast {
                    per_minute: self.rules.per_minute,
                    retry_after: Duration::from_secs_f64(short * 60.0 / per_minute),
                }
            });
        }
        self.allowance -= asked;
        self.admitted += u64::try_from(wishes.len()).unwrap_or(0);
        let most = u64::try_from(self.rules.max_lease.as_millis()).unwrap_or(u64::MAX);
        for wish in &mut wishes {
            wish.lease_ms = wish.lease_ms.min(most);
        }
        Ok(wishes)
    }

    /// Looks whether the program fell silent, or is heard of again.
    pub fn look(&mut self, now: Timestamp) -> Option<Noticed> {
        let since = self.heard.unwrap_or(self.began);
        let is_silent = now.since(since) >= self.rules.silent_after;
        match (self.silent, is_silent) {
            (false, true) => {
                self.silent = true;
                self.began = since;
                Some(Noticed::FellSilent { since })
            }
            (true, false) => {
                self.silent = false;
                Some(Noticed::Returned { since: self.began })
            }
            _ => None,
        }
    }

    /// Whether the program is heard of.
    #[must_use]
    pub fn hearing(&self) -> Hearing {
        match (self.silent, self.heard) {
            (true, heard) => Hearing::Silent { since: heard.unwrap_or(self.began) },
            (false, heard) => Hearing::Running { heard },
        }
    }

    /// How many wishes were admitted.
    #[must_use]
    pub fn admitted(&self) -> u64 {
        self.admitted
    }

    /// How many wishes and withdrawals were turned down.
    #[must_use]
    pub fn turned_down(&self) -> u64 {
        self.turned_down
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::Setting;
    use proptest::prelude::*;

    use super::*;

    const RULES: ExternalRules = ExternalRules {
        silent_after: Duration::from_secs(60),
        max_lease: Duration::from_secs(100),
        per_minute: 60,
    };

    fn wishes(count: usize) -> Vec<Wish> {
        let wish = Wish {
            hem: HemId::new("home-1").unwrap(),
            node: NodeId(3),
            setting: Setting::Switch { on: false },
            lease_ms: 3_600_000,
            reason: "its budget is used up".into(),
        };
        vec![wish; count]
    }

    #[test]
    fn leases_are_cut_to_what_they_may_be() {
        let mut gate = ExternalGate::new(RULES, Timestamp(0));
        let admitted = gate.admit(wishes(2), &[], Timestamp(0)).unwrap();
        assert!(admitted.iter().all(|wish| wish.lease_ms == 100_000));
    }

    #[test]
    fn a_flood_is_turned_down_whole_and_told_when_to_come_again() {
        let mut gate = ExternalGate::new(RULES, Timestamp(0));
        assert!(gate.admit(wishes(50), &[], Timestamp(0)).is_ok());
        let refused = gate.admit(wishes(40), &[], Timestamp(0)).unwrap_err();
        let retry_after = Duration::from_secs(30);
        assert_eq!(refused, NotAdmitted::TooFast { per_minute: 60, retry_after });
        assert!(gate.admit(wishes(40), &[], Timestamp(30_000)).is_ok());
        let refused = gate.admit(wishes(61), &[], Timestamp(600_000)).unwrap_err();
        assert_eq!(refused, NotAdmitted::TooMany { most: 60 });
        assert_eq!((gate.admitted(), gate.turned_down()), (90, 101));
    }

    #[test]
    fn an_empty_submission_is_a_sign_of_life_and_silence_is_noticed_once() {
        let mut gate = ExternalGate::new(RULES, Timestamp(0));
        assert_eq!(gate.look(Timestamp(59_000)), None);
        gate.admit(vec![], &[], Timestamp(59_000)).unwrap();
        assert_eq!(gate.look(Timestamp(118_000)), None);
        let since = Timestamp(59_000);
        assert_eq!(gate.look(Timestamp(119_000)), Some(Noticed::FellSilent { since }));
        assert_eq!(gate.look(Timestamp(500_000)), None);
        assert_eq!(gate.hearing(), Hearing::Silent { since });
        gate.admit(vec![], &[], Timestamp(500_000)).unwrap();
        assert_eq!(gate.look(Timestamp(500_000)), Some(Noticed::Returned { since }));
        assert_eq!(gate.hearing(), Hearing::Running { heard: Some(Timestamp(500_000)) });
    }

    #[test]
    fn a_program_that_never_came_is_silent_since_the_job_began() {
        let mut gate = ExternalGate::new(RULES, Timestamp(1_000));
        let since = Timestamp(1_000);
        assert_eq!(gate.look(Timestamp(61_000)), Some(Noticed::FellSilent { since }));
    }

    #[test]
    fn a_wrong_setting_is_refused_with_what_it_may_be() {
        let refused = External.validate(&serde_json::json!({"silent_after_seconds": 1}));
        let sentence = "the configuration of external is not valid: \
                        silent_after_seconds is 1; it may be 5 to 86400";
        assert_eq!(refused.unwrap_err().to_string(), sentence);
        assert!(External.validate(&Value::Null).is_ok());
    }

    proptest! {
        /// However it is submitted, in no minute more than two allowances pass.
        #[test]
        fn no_minute_admits_more_than_it_may(
            submissions in prop::collection::vec((0_i64..5_000, 0_usize..30), 1..200),
        ) {
            let mut gate = ExternalGate::new(RULES, Timestamp(0));
            let mut now = 0;
            let mut passed: Vec<(i64, usize)> = Vec::new();
            for (span, count) in submissions {
                now += span;
                if gate.admit(wishes(count), &[], Timestamp(now)).is_ok() {
                    passed.push((now, count));
                }
                let minute: usize =
                    passed.iter().filter(|(at, _)| *at > now - 60_000).map(|(_, count)| count).sum();
                prop_assert!(minute <= 120);
            }
        }
    }
}
