//! Keeps an exchange connected: one session after another, with pauses between them.

use std::sync::Arc;
use std::time::Duration;

use super::RabbitMq;
use super::session::{Ended, Session};
use super::shared::Shared;

/// Starts the driver of an exchange on the broker's thread.
pub(super) fn start(broker: &RabbitMq, shared: Arc<Shared>, instance: String) {
    let inner = &broker.inner;
    let session = Session {
        uri: inner.uri.clone(),
        settings: inner.settings.clone(),
        shared: Arc::clone(&shared),
        instance,
        number: 0,
    };
    let running = broker.running().clone();
    let mut stopping = inner.stop.subscribe();
    inner.runtime.spawn(async move {
        let stopped = async {
            let within = stopping.wait_for(Option::is_some).await.ok().and_then(|told| *told);
            shared.close(within.unwrap_or(RabbitMq::LAST_WORDS));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = drive(session) => {}
            () = stopped => {}
        }
        shared.end();
        drop(running);
    });
}

async fn drive(mut session: Session) {
    let shared = Arc::clone(&session.shared);
    let mut failures = 0;
    while shared.closing().is_none() {
        let before = shared.figures().broker.map_or(0, |broker| broker.connections);
        let ended = session.run().await;
        let reason = match ended {
            Ended::Closed => "it was stopped".to_owned(),
            Ended::Lost(reason) => reason,
        };
        let was_connected = shared.figures().broker.is_some_and(|now| now.connections > before);
        if shared.closing().is_some() {
            shared.disconnected(reason);
            return;
        }
        failures = if was_connected { 1 } else { failures + 1 };
        let pause = session.settings.backoff.pause(failures, rand::random());
        say(&shared.name, &reason, was_connected, failures, pause);
        shared.disconnected(reason);
        // A time-out is the ordinary end.
        let _ = tokio::time::timeout(pause, shared.until_closing()).await;
    }
}

/// Once when it goes, and then now and then.
fn say(exchange: &str, reason: &str, was_connected: bool, failures: u32, pause: Duration) {
    if was_connected || failures == 1 || failures.is_multiple_of(30) {
        log::warn!(exchange, failures; "the bus is away, and what is published on it is dropped: {reason}");
    } else {
        log::debug!(exchange, failures; "the bus is still away, the next attempt follows in {pause:?}: {reason}");
    }
}
