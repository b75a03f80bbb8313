//! What a person sees of `memcloud demo`: a microgrid at a glance, redrawn as its figures come in.
//!
//! [`screen`] draws a [`DemoSnapshot`] and knows no terminal, [`plain`] says the same in lines for
//! a log file or a pipe; only [`run`] touches the terminal, and gives it back as it was. Nothing
//! here asks the cloud for anything: whoever starts it sends the snapshots.

mod figures;
mod palette;
pub mod plain;
pub mod screen;
mod snapshot;
mod words;

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::{oneshot, watch};

pub(crate) use self::figures::count;
pub use self::plain::PlainView;
pub use self::screen::ScreenView;
pub use self::snapshot::{
    Addresses, CommandLine, DemoSnapshot, HomeLine, HomeWhy, IngestLine, JobLine, Message,
    TREND_POINTS, TrendPoint,
};
pub(crate) use self::words::{asked, ordered, short_name};

/// How long a key may wait for its answer, and a snapshot for being drawn.
const BEAT: Duration = Duration::from_millis(100);

/// Shows snapshots until their sender is dropped or the person has had enough.
///
/// Blocks: it wants a thread of its own. In a terminal it draws, and `q`, Escape or Ctrl-C fulfil
/// `quit` and end it; otherwise it prints plain lines, and only the sender's end ends it. The
/// terminal is restored however this ends, also by a panic anywhere in the process. `chosen` is told
/// which home the person looks at.
///
/// # Errors
/// The terminal's own errors. A reader of the plain lines that went away is none.
pub fn run(
    snapshots: watch::Receiver<DemoSnapshot>,
    chosen: &watch::Sender<Option<String>>,
    quit: oneshot::Sender<()>,
) -> io::Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return run_plain(snapshots, &mut io::stdout().lock());
    }
    let mut terminal = ratatui::try_init()?;
    let ended = run_screen(snapshots, chosen, &mut terminal);
    ratatui::restore();
    if matches!(ended, Ok(Ended::ByPerson)) {
        // Nobody waits for it any more when the demo is already on its way down.
        let _ = quit.send(());
    }
    ended.map(|_| ())
}

/// Why the screen was left.
enum Ended {
    /// By a key.
    ByPerson,
    /// There will be no more snapshots.
    BySender,
}

fn run_screen(
    mut snapshots: watch::Receiver<DemoSnapshot>,
    chosen: &watch::Sender<Option<String>>,
    terminal: &mut DefaultTerminal,
) -> io::Result<Ended> {
    let mut view = ScreenView::default();
    let mut stale = true;
    loop {
        match snapshots.has_changed() {
            Err(_) => return Ok(Ended::BySender),
            Ok(changed) => stale |= changed,
        }
        if stale {
            let snapshot = snapshots.borrow_and_update().clone();
            terminal.draw(|frame| view.render(frame, &snapshot))?;
            let home = view.chosen(&snapshot).map(|home| home.name.clone());
            chosen.send_if_modified(|known| {
                let is_new = *known != home;
                *known = home;
                is_new
            });
            stale = false;
        }
        if event::poll(BEAT)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if wants_out(key) {
                        return Ok(Ended::ByPerson);
                    }
                    stale = view.accept(key.code);
                }
                Event::Resize(..) => stale = true,
                _ => {}
            }
        }
    }
}

fn wants_out(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc)
        || (control && matches!(key.code, KeyCode::Char('c' | 'd')))
}

fn run_plain(mut snapshots: watch::Receiver<DemoSnapshot>, out: &mut impl Write) -> io::Result<()> {
    let mut view = PlainView::default();
    loop {
        let Ok(changed) = snapshots.has_changed() else { return Ok(()) };
        if changed {
            let lines = view.accept(&snapshots.borrow_and_update());
            for line in lines {
                match writeln!(out, "{line}").and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    written => written?,
                }
            }
        }
        thread::sleep(BEAT);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::screen::tests::evening;
}
