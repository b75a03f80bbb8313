//! Moves bytes between a HEM's core and its connection. One task; the core is locked for moments only,
//! and never while the handler is called.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use memcloud_wire::{CloudError, LineDecoder, MAX_FRAME};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::client::Shared;
use super::core::{Answer, Effect};
use super::{CommandReply, Connection, Notice};
use crate::backoff::Backoff;

/// What the cloud says is short.
const READ_BUFFER: usize = 2 * 1024;
/// An output buffer that grew beyond this is given back when it is empty.
const KEPT_OUTPUT: usize = 4 * 1024;
/// Waits that are as good as none.
const FAR: Duration = Duration::from_secs(86_400);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a connection ended.
struct Ended {
    reason: String,
    error: Option<CloudError>,
}

impl Ended {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), error: None }
    }
}

/// Runs until the HEM is stopped.
pub(crate) async fn run(shared: Arc<Shared>) {
    tokio::join!(stay_connected(&shared), end_leases(&shared));
}

/// Ends each lease when its time has come, connected or not.
async fn end_leases(shared: &Shared) {
    while !shared.stopping.load(Ordering::Acquire) {
        let now = Instant::now();
        let next = shared.core().next_lease_end(now).unwrap_or_else(|| now + FAR);
        tokio::select! {
            () = sleep_until(next) => {}
            () = shared.leases.notified() => continue,
            () = shared.until_stopped() => return,
        }
        let ended = shared.core().end_leases(Instant::now());
        for lease in &ended {
            shared.handler.lease_ended(lease);
        }
    }
}

async fn stay_connected(shared: &Shared) {
    let (first, most, seed, patience) = shared.retry;
    let mut backoff = Backoff::new(first, most, seed);
    while !shared.stopping.load(Ordering::Acquire) {
        let connected = tokio::select! {
            connected = timeout(patience, shared.transport.connect()) => connected,
            () = shared.until_stopped() => break,
        };
        let ended = match connected {
            Ok(Ok(connection)) => session(shared, connection, &mut backoff).await,
            Ok(Err(error)) => Ended::because(format!("it could not connect: {error}")),
            Err(_) => Ended::because("it could not connect in time"),
        };
        shared.core().disconnected();
        if shared.stopping.load(Ordering::Acquire) {
            break;
        }
        let code = ended.error.as_ref().map(|error| error.code);
        let asked = ended.error.as_ref().and_then(|error| error.retry_after_ms);
        let away = shared.take_away();
        let retry_in = away.unwrap_or_else(|| backoff.next(code, asked.map(Duration::from_millis)));
        log::debug!(
            hem = shared.hem.as_str(), retry_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
            "the connection to the cloud ended: {}", ended.reason
        );
        shared.handler.notice(Notice::Disconnected { reason: &ended.reason, code, retry_in });
        stay_away(shared, retry_in).await;
    }
    shared.core().disconnected();
}

/// Waits before the next connection, unless it is asked for at once.
async fn stay_away(shared: &Shared, mut wait: Duration) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => return,
            () = shared.until_stopped() => return,
            () = shared.reconnect.notified() => {}
        }
        match shared.take_away() {
            Some(longer) => wait = longer,
            None => return,
        }
    }
}

/// One connection, from hello to its end.
async fn session(shared: &Shared, connection: Box<dyn Connection>, backoff: &mut Backoff) -> Ended {
    let (mut reader, mut writer) = tokio::io::split(connection);
    let mut scratch = vec![0; READ_BUFFER];
    let mut lines = LineDecoder::new(usize::try_from(MAX_FRAME).unwrap_or(usize::MAX));
    let mut out = Vec::new();
    let mut written = 0;
    let mut is_flushed = true;
    let mut effects = Vec::new();
    shared.core().connected(Instant::now(), &mut out);
    let timer = sleep_until(Instant::now() + FAR);
    tokio::pin!(timer);
    loop {
        if written == out.len() {
            written = 0;
            out.clear();
            let deadline = {
                let mut core = shared.core();
                core.say(Instant::now(), &mut out);
                core.deadline()
            };
            if out.is_empty() && out.capacity() > KEPT_OUTPUT {
                out = Vec::new();
            }
            let deadline = deadline.unwrap_or_else(|| Instant::now() + FAR);
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
        }
        let unwritten = out.get(written..).unwrap_or_default();
        tokio::select! {
            read = reader.read(&mut scratch) => match read {
                Ok(0) => return Ended::because("the cloud closed the connection"),
                Ok(length) => {
                    let input = scratch.get(..length).unwrap_or_default();
                    if let Err(fault) = hear(shared, &mut lines, input, &mut effects) {
                        return Ended::because(fault);
                    }
                }
                Err(error) => return broken(&error),
            },
            pushed = push_out(&mut writer, unwritten), if !(unwritten.is_empty() && is_flushed) => {
                match pushed {
                    Ok(Pushed::Written(0)) => {
                        return Ended::because("the connection takes nothing more");
                    }
                    Ok(Pushed::Written(length)) => {
                        written += length;
                        is_flushed = false;
                    }
                    Ok(Pushed::Flushed) => is_flushed = true,
                    Err(error) => return broken(&error),
                }
            }
            () = &mut timer => {
                shared.core().tick(Instant::now(), &mut effects);
                // What is due is said at the top of the loop, or it is too late for it.
                timer.as_mut().reset(Instant::now() + Duration::from_secs(1));
            }
            () = shared.wake.notified() => {}
            () = shared.reconnect.notified() => return Ended::because("it was asked to reconnect"),
            () = shared.until_stopped() => {
                // Best effort: whoever stops does not wait for a cloud that does not read.
                let _ = timeout(GOODBYE, writer.shutdown()).await;
                return Ended::because("it was stopped");
            }
        }
        if let Some(ended) = perform(shared, &mut effects, backoff) {
            return ended;
        }
    }
}

enum Pushed {
    Written(usize),
    Flushed,
}

/// Writes, or flushes where all is written. Loses nothing when it is dropped half-way.
async fn push_out(
    writer: &mut (impl AsyncWriteExt + Unpin),
    unwritten: &[u8],
) -> io::Result<Pushed> {
    if unwritten.is_empty() {
        writer.flush().await.map(|()| Pushed::Flushed)
    } else {
        writer.write(unwritten).await.map(Pushed::Written)
    }
}

fn broken(error: &io::Error) -> Ended {
    Ended::because(format!("the connection broke: {error}"))
}

fn hear(
    shared: &Shared,
    decoder: &mut LineDecoder,
    input: &[u8],
    effects: &mut Vec<Effect>,
) -> Result<(), String> {
    let now = Instant::now();
    let mut core = shared.core();
    let mut lines = decoder.lines(input);
    while let Some(line) = lines.next_line().map_err(|fault| fault.to_string())? {
        core.hear(line, now, effects);
        if matches!(effects.last(), Some(Effect::Close { .. })) {
            break;
        }
    }
    if core.held() == 0 {
        shared.drained.notify_waiters();
    }
    Ok(())
}

/// Tells the handler what happened; the end of the connection, if that is what follows.
fn perform(shared: &Shared, effects: &mut Vec<Effect>, backoff: &mut Backoff) -> Option<Ended> {
    let mut ended = None;
    for effect in effects.drain(..) {
        match effect {
            Effect::Welcomed { welcome, renumbered, held } => {
                backoff.succeeded();
                shared.handler.notice(Notice::Welcomed { welcome: &welcome, renumbered, held });
            }
            Effect::Acknowledged(settled) => {
                shared
                    .handler
                    .notice(Notice::Acknowledged { seq: settled.seq, sent: settled.sent });
            }
            Effect::Refused(refused) => shared.handler.notice(Notice::Refused(&refused)),
            Effect::Error(error) => shared.handler.notice(Notice::Error(&error)),
            Effect::CarryOut(command) => match shared.handler.command(&command) {
                CommandReply::Now(outcome, reason) => {
                    shared.core().finish(&command.command, outcome, reason, Answer::Said);
                    shared.leases.notify_one();
                }
                CommandReply::Later => {}
            },
            Effect::Close { reason, error } => ended = Some(Ended { reason, error }),
        }
    }
    if effects.capacity() > 256 {
        *effects = Vec::new();
    }
    ended
}
