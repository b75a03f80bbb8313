//! The feed as Server-Sent Events.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;

use super::EVENT_STREAM;
use super::feed::{Feed, SIGN_OF_LIFE, Said};

/// Answers with the stream. It ends when the server is shut down.
pub(super) fn answer(feed: Feed, closing: watch::Receiver<bool>) -> HttpResponse {
    // The id alone is no event, but where a listener goes on that hears nothing else.
    let hello = format!("retry: 2000\nid: {}\n: listening\n\n", feed.begins_behind());
    let hello = Bytes::from(hello);
    let events =
        stream::unfold((feed, closing, Some(hello)), |(mut feed, mut closing, hello)| async {
            if let Some(hello) = hello {
                return Some((Ok::<_, actix_web::Error>(hello), (feed, closing, None)));
            }
            let block = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return None,
                said = feed.next() => block(&said?),
                () = tokio::time::sleep(SIGN_OF_LIFE) => Bytes::from_static(b": still here\n\n"),
            };
            Some((Ok(block), (feed, closing, None)))
        });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, EVENT_STREAM))
        // Compression would hold events back.
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(Box::pin(events))
}

fn block(said: &Said) -> Bytes {
    Bytes::from(match &said.id {
        Some(id) => format!("id: {id}\ndata: {}\n\n", said.json),
        None => format!("data: {}\n\n", said.json),
    })
}
