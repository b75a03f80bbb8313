//! The demo in lines, where there is no terminal: a status line every ten seconds, and at once
//! what changes.

use std::collections::BTreeMap;

use memcloud_domain::{CommandId, CommandState, JobState, Timestamp};

use super::figures::{count, local_time, percent, power, rate};
use super::snapshot::{CommandLine, DemoSnapshot, JobLine};
use super::words::{command_to_try, is_told};

/// How often the figures are said again.
const STATUS_EVERY_SECONDS: u64 = 10;
/// How often progress in the back-fill is told, in parts of the whole.
const BACKFILL_STEPS: u64 = 4;
/// So many commands are told at a time; of more, how many there are.
const MOST_COMMANDS: usize = 6;

/// Turns snapshots into lines. Pure: time is the snapshots'.
#[derive(Debug, Default)]
pub struct PlainView {
    said: Option<Timestamp>,
    introduced: bool,
    backfill_step: Option<u64>,
    homes: BTreeMap<String, bool>,
    jobs: BTreeMap<String, (JobState, String, bool)>,
    newest_message: Option<Timestamp>,
    /// The state in which each command was told.
    commands: BTreeMap<CommandId, CommandState>,
    suggested: bool,
}

impl PlainView {
    /// What there is to say of a snapshot after the ones before it.
    pub fn accept(&mut self, snapshot: &DemoSnapshot) -> Vec<String> {
        let mut said = Vec::new();
        if !self.introduced && !snapshot.addresses.rest.is_empty() {
            self.introduced = true;
            let addresses = &snapshot.addresses;
            said.push(format!("REST      {}", addresses.rest));
            said.push(format!("docs      {}", addresses.docs));
            said.push(format!("HEMs      {} (TLS, trust {})", addresses.hem, addresses.ca_file));
            said.push(format!("token     {}", addresses.admin_token));
        }
        self.say_backfill(snapshot, &mut said);
        self.say_messages(snapshot, &mut said);
        self.say_homes(snapshot, &mut said);
        self.say_jobs(snapshot, &mut said);
        self.say_commands(snapshot, &mut said);
        let due = self.said.is_none_or(|then| {
            snapshot.at < then || snapshot.at.since(then).as_secs() >= STATUS_EVERY_SECONDS
        });
        if due && !snapshot.homes.is_empty() {
            self.said = Some(snapshot.at);
            said.push(status(snapshot));
        }
        let to_try = if self.suggested || snapshot.ingest.backfill.is_some() {
            Vec::new()
        } else {
            let online = snapshot.homes.iter().find(|home| home.online);
            command_to_try(&snapshot.addresses, online)
        };
        if !to_try.is_empty() {
            self.suggested = true;
            said.push("a command to try; it ends in `effective`, with its evidence:".to_owned());
        }
        let time = local_time(snapshot.at, snapshot.offset, "%H:%M:%S");
        // What is to be pasted has no time before it.
        said.into_iter().map(|line| format!("{time}  {line}")).chain(to_try).collect()
    }

    fn say_commands(&mut self, snapshot: &DemoSnapshot, said: &mut Vec<String>) {
        let is_news = |command: &&CommandLine| {
            is_told(command.state) && self.commands.get(&command.id) != Some(&command.state)
        };
        // Oldest first, as they happened.
        let news: Vec<&CommandLine> = snapshot.commands.iter().rev().filter(is_news).collect();
        let named = news.iter().take(if news.len() > MOST_COMMANDS {
            MOST_COMMANDS - 1
        } else {
            MOST_COMMANDS
        });
        said.extend(named.map(|command| command_sentence(command)));
        if news.len() > MOST_COMMANDS {
            said.push(format!("and {} more commands", news.len() + 1 - MOST_COMMANDS));
        }
        self.commands =
            snapshot.commands.iter().map(|command| (command.id.clone(), command.state)).collect();
    }

    fn say_backfill(&mut self, snapshot: &DemoSnapshot, said: &mut Vec<String>) {
        let step = snapshot
            .ingest
            .backfill
            .map(|(done, all)| done.saturating_mul(BACKFILL_STEPS) / all.max(1));
        if step == self.backfill_step {
            return;
        }
        if let Some((done, all)) = snapshot.ingest.backfill {
            said.push(format!("filling in the past: {} of {} readings", count(done), count(all)));
        }
        self.backfill_step = step;
    }

    fn say_messages(&mut self, snapshot: &DemoSnapshot, said: &mut Vec<String>) {
        let newest = self.newest_message;
        let new = snapshot.messages.iter().filter(|message| Some(message.at) > newest);
        said.extend(new.map(|message| message.text.clone()));
        self.newest_message =
            snapshot.messages.iter().map(|message| Some(message.at)).fold(newest, Option::max);
    }

    fn say_homes(&mut self, snapshot: &DemoSnapshot, said: &mut Vec<String>) {
        let mut changed: Vec<(&str, bool)> = Vec::new();
        for home in &snapshot.homes {
            let before = self.homes.insert(home.name.clone(), home.online);
            if before.unwrap_or(false) != home.online {
                changed.push((&home.name, home.online));
            }
        }
        self.homes.retain(|name, _| snapshot.homes.iter().any(|home| home.name == *name));
        for (online, word) in [(true, "online"), (false, "offline")] {
            let mut names: Vec<&str> =
                changed.iter().filter(|(_, now)| *now == online).map(|(name, _)| *name).collect();
            // home-10 comes after home-9.
            names.sort_unstable_by_key(|name| (name.len(), *name));
            match names.as_slice() {
                [] => {}
                [first, .., last] if names.len() > 6 => {
                    said.push(format!("{word}: {} homes, {first} to {last}", names.len()));
                }
                few => said.push(format!("{word}: {}", few.join(", "))),
            }
        }
    }

    fn say_jobs(&mut self, snapshot: &DemoSnapshot, said: &mut Vec<String>) {
        for job in &snapshot.jobs {
            let now = (job.state.clone(), job.latest.clone(), job.alarm);
            if self.jobs.get(&job.app) != Some(&now) {
                said.push(job_sentence(job));
                self.jobs.insert(job.app.clone(), now);
            }
        }
        self.jobs.retain(|app, _| snapshot.jobs.iter().any(|job| job.app == *app));
    }
}

fn command_sentence(command: &CommandLine) -> String {
    let CommandLine { home, what, state, by, because, .. } = command;
    let because = if because.is_empty() { String::new() } else { format!(": {because}") };
    format!("{home} {what}: {}, by {by}{because}", state.as_str())
}

fn job_sentence(job: &JobLine) -> String {
    let mark = if job.alarm { "ALARM " } else { "" };
    let state = job_state(&job.state);
    if job.latest.is_empty() {
        format!("{mark}job {}: {state}", job.app)
    } else {
        format!("{mark}job {}: {state}; {}", job.app, job.latest)
    }
}

/// A job's state in a word or a sentence.
pub(super) fn job_state(state: &JobState) -> String {
    match state {
        JobState::Running => "running".to_owned(),
        JobState::Stopped => "stopped".to_owned(),
        JobState::Failed { reason, .. } => format!("failed: {reason}"),
    }
}

fn status(snapshot: &DemoSnapshot) -> String {
    let totals = &snapshot.totals;
    let online = snapshot.homes.iter().filter(|home| home.online).count();
    let (grid, direction) = if totals.export_watts > totals.import_watts {
        (totals.export_watts, "to")
    } else {
        (totals.import_watts, "from")
    };
    let battery = if totals.storage_watts.value() < 0.0 { "giving" } else { "taking" };
    let charge = totals.soc.map(|soc| format!(" ({})", percent(soc.value()))).unwrap_or_default();
    format!(
        "{online}/{} homes online, use {}, solar {}, batteries {battery} {}{charge}, {} {direction} \
         the grid, {} readings acknowledged, {}",
        snapshot.homes.len(),
        power(totals.consumption_watts),
        power(totals.generation_watts),
        power(totals.storage_watts.abs()),
        power(grid),
        count(snapshot.ingest.acknowledged),
        rate(snapshot.ingest.per_second),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo_view::tests::evening;

    fn told(view: &mut PlainView, snapshot: &DemoSnapshot) -> String {
        view.accept(snapshot).join("\n")
    }

    #[test]
    fn the_first_lines_say_where_everything_is_and_the_rest_only_what_changed() {
        let mut view = PlainView::default();
        let mut snapshot = evening();
        insta::assert_snapshot!("plain_first", told(&mut view, &snapshot));
        snapshot.at = snapshot.at.plus(Duration::from_secs(9));
        assert_eq!(told(&mut view, &snapshot), "");
        snapshot.at = snapshot.at.plus(Duration::from_secs(1));
        assert_eq!(view.accept(&snapshot).len(), 1, "the status line is due");
    }

    #[test]
    fn a_home_that_goes_offline_and_a_job_that_fails_are_told_at_once() {
        let mut view = PlainView::default();
        let mut snapshot = evening();
        view.accept(&snapshot);
        snapshot.homes[1].online = false;
        let at = snapshot.at;
        snapshot.jobs[0].state = JobState::Failed { reason: "it divided by zero".into(), at };
        let told = told(&mut view, &snapshot);
        assert!(told.contains("offline: home-2"), "{told}");
        assert!(told.contains("job energy-accounting: failed: it divided by zero"), "{told}");
    }

    #[test]
    fn a_thousand_homes_that_come_online_are_one_line() {
        let mut view = PlainView::default();
        let mut snapshot = evening();
        let home = snapshot.homes[0].clone();
        snapshot.homes = (1..=1_000)
            .map(|i| super::super::HomeLine { name: format!("h{i}"), ..home.clone() })
            .collect();
        snapshot.homes.sort_by(|one, other| one.name.cmp(&other.name));
        let told = view.accept(&snapshot);
        assert_eq!(told.iter().filter(|line| line.contains("online: ")).count(), 1);
        assert!(told.iter().any(|line| line.ends_with("online: 1000 homes, h1 to h1000")));
    }

    #[test]
    fn each_message_is_told_once_and_the_back_fill_in_four_steps() {
        let mut view = PlainView::default();
        let mut snapshot = evening();
        let mut lines = Vec::new();
        for done in (0..=50_400).step_by(1_200) {
            snapshot.at = snapshot.at.plus(Duration::from_millis(50));
            snapshot.ingest.backfill = Some((done, 50_400));
            lines.extend(view.accept(&snapshot));
        }
        snapshot.ingest.backfill = None;
        lines.extend(view.accept(&snapshot));
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("filling in the past"), 5);
        assert_eq!(count(&snapshot.messages[0].text), 1);
    }

    #[test]
    fn a_command_is_told_when_it_is_known_what_became_of_it_and_only_once() {
        let mut view = PlainView::default();
        let mut snapshot = evening();
        view.accept(&snapshot);
        let command = |number: usize, state| CommandLine {
            id: CommandId::new(&format!("c-{number}")).unwrap(),
            at: snapshot.at,
            home: "home-1".into(),
            what: "battery −1.25 kW".into(),
            state,
            by: "the job self-consumption".into(),
            because: "covers the home's demand".into(),
        };
        let (sent, effective) =
            (command(1, CommandState::Sent), command(1, CommandState::Effective));
        let many: Vec<CommandLine> =
            (2..12).map(|number| command(number, CommandState::Ineffective)).collect();
        snapshot.commands = vec![sent];
        assert_eq!(told(&mut view, &snapshot), "");
        snapshot.commands = vec![effective.clone()];
        let line = "18:03:02  home-1 battery −1.25 kW: effective, by the job self-consumption: \
                    covers the home's demand";
        assert_eq!(told(&mut view, &snapshot), line);
        assert_eq!(told(&mut view, &snapshot), "");
        snapshot.commands.extend(many);
        let lines = view.accept(&snapshot);
        assert_eq!(lines.len(), 6);
        assert!(lines[5].ends_with("and 5 more commands"), "{lines:?}");
    }
}
