//! The feed over a WebSocket. What the listener says is read only to notice that it lives.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use tokio::sync::watch;
use tokio::time::Instant;

use super::feed::{Feed, SIGN_OF_LIFE};
use crate::api::error::{ApiError, ApiResult, ErrorCode};

/// How long a listener may take to take a message, or be silent after pings.
const PATIENCE: Duration = Duration::from_secs(40);
/// The largest message that is read.
const MAX_FRAME: usize = 4_096;

/// Answers with the WebSocket.
///
/// # Errors
/// `bad-header` where the handshake is not one.
pub(super) fn answer(
    request: &HttpRequest,
    body: web::Payload,
    feed: Feed,
    closing: watch::Receiver<bool>,
) -> ApiResult<HttpResponse> {
    let (response, session, incoming) = actix_ws::handle(request, body).map_err(|error| {
        ApiError::new(ErrorCode::BadHeader, format!("this is no WebSocket handshake: {error}"))
    })?;
    actix_web::rt::spawn(converse(feed, session, incoming.max_frame_size(MAX_FRAME), closing));
    Ok(response)
}

/// Why a conversation ends.
enum End {
    /// With a close frame of this code.
    Say(CloseCode, &'static str),
    /// The listener is gone.
    Gone,
}

async fn converse(
    mut feed: Feed,
    mut session: Session,
    mut incoming: MessageStream,
    mut closing: watch::Receiver<bool>,
) {
    let mut ping = tokio::time::interval(SIGN_OF_LIFE);
    let mut heard = Instant::now();
    let end = loop {
        let sent = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => {
                break End::Say(CloseCode::Away, "the server is shutting down");
            }
            message = incoming.recv() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Ping(bytes))) => patiently(session.pong(&bytes)).await,
                    Some(Ok(Message::Close(_))) | None => break End::Say(CloseCode::Normal, ""),
                    Some(Ok(_)) => Ok(()),
                    Some(Err(_)) => break End::Say(CloseCode::Protocol, "not understood"),
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > PATIENCE {
                    break End::Gone;
                }
                patiently(session.ping(b"")).await
            }
            said = feed.next() => match said {
                Some(said) => patiently(session.text(said.json_with_id())).await,
                None => break End::Say(CloseCode::Away, "the feed has ended"),
            },
        };
        if sent.is_err() {
            break End::Gone;
        }
    };
    if let End::Say(code, why) = end {
        let description = (!why.is_empty()).then(|| why.to_owned());
        let goodbye = session.close(Some(CloseReason { code, description }));
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}

/// Waits until the listener has taken a message, but not for ever.
async fn patiently(
    sent: impl Future<Output = Result<(), actix_ws::Closed>>,
) -> Result<(), actix_ws::Closed> {
    tokio::time::timeout(PATIENCE, sent).await.unwrap_or(Err(actix_ws::Closed))
}
