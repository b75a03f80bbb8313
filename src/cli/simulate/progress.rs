//! How far a run is, on standard error: a bar on a terminal, else a line for each tenth. Ctrl-C stops
//! the run with what there is; a second one ends the process. On a thread of its own, whose clock is the
//! machine's.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use memcloud_domain::Timestamp;
use tokio::sync::oneshot;

use crate::cli::say;
use crate::cli::serve::stop_signal;
use crate::simulate::Watch;
use crate::simulate::scenario::Scenario;

/// How often the bar moves.
const BEAT: Duration = Duration::from_millis(250);
/// How long a bar is, in characters.
const LENGTH: usize = 30;

/// Shows how far a run is.
pub(super) struct Progress {
    watch: Arc<Watch>,
    over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to show it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(scenario: &Scenario) -> anyhow::Result<Self> {
        let watch = Arc::new(Watch::default());
        let (over, is_over) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the progress cannot be shown")?;
        let watched = Arc::clone(&watch);
        let shown = Shown {
            from: scenario.from,
            until: scenario.until,
            on_terminal: std::io::stderr().is_terminal(),
            begun: false,
            said: 0,
        };
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || runtime.block_on(show(shown, watched, is_over)))
            .context("the progress cannot be shown")?;
        Ok(Self { watch, over: Some(over), thread: Some(thread) })
    }

    /// What the run tells how far it is.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The run is over.
    pub(super) fn end(mut self) {
        if let Some(over) = self.over.take() {
            let _ = over.send(());
        }
        if let Some(thread) = self.thread.take() {
            // It only shows; a run is none the worse where it crashed.
            let _ = thread.join();
        }
    }
}

async fn show(mut shown: Shown, watch: Arc<Watch>, mut is_over: oneshot::Receiver<()>) {
    let mut beat = tokio::time::interval(BEAT);
    let mut signals = 0;
    let mut signal = pin!(stop_signal());
    loop {
        // Whoever is told that it runs can already stop it.
        if futures_util::poll!(signal.as_mut()).is_ready() {
            signal.set(stop_signal());
            signals += 1;
            shown.clear();
            if signals > 1 {
                std::process::exit(130);
            }
            watch.stop();
            say("stopping; the report is of what was simulated so far (again: end at once)");
            continue;
        }
        shown.begin();
        tokio::select! {
            _ = &mut is_over => break,
            _ = beat.tick() => shown.say(watch.at()),
        }
    }
    shown.clear();
}

struct Shown {
    from: Timestamp,
    until: Timestamp,
    on_terminal: bool,
    begun: bool,
    /// Tenths that were said.
    said: u128,
}

impl Shown {
    /// Where there is no bar, a first line says what runs.
    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) && !self.on_terminal {
            let day = |moment: Timestamp| moment.to_datetime().format("%Y-%m-%d").to_string();
            say(format!("simulating {} to {}", day(self.from), day(self.until)));
        }
    }

    fn say(&mut self, at: Timestamp) {
        let whole = self.until.since(self.from).as_millis().max(1);
        let done = at.since(self.from).as_millis().min(whole);
        let day = at.to_datetime().format("%Y-%m-%d");
        let mut out = std::io::stderr();
        if self.on_terminal {
            let length = u128::try_from(LENGTH).unwrap_or(0);
            let full = usize::try_from(done * length / whole).unwrap_or(LENGTH);
            let percent = done * 100 / whole;
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(LENGTH.saturating_sub(full)));
            let _ = write!(out, "\r{bar} {percent:3} %  {day} ");
            let _ = out.flush();
        } else {
            let tenths = done * 10 / whole;
            if tenths > self.said {
                self.said = tenths;
                let _ = writeln!(out, "simulated {} % ({day})", tenths * 10);
            }
        }
    }

    fn clear(&self) {
        if self.on_terminal {
            let mut out = std::io::stderr();
            let _ = write!(out, "\r{:60}\r", "");
            let _ = out.flush();
        }
    }
}
