//! The live feed, as Server-Sent Events: what happens, as it happens, over as many connections as it
//! takes. After a break it goes on where it was, if the cloud still holds that; if not, the first message
//! is [`LiveMessage::Missed`], and what lies between is asked for by REST.

use std::pin::Pin;
use std::time::Duration;

use awc::error::PayloadError;
use awc::http::header::{ACCEPT, ACCEPT_ENCODING, RETRY_AFTER};
use awc::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use memcloud_domain::{HemId, MicrogridId, Seq};
use memcloud_rest::LiveMessage;
use tokio::time::{sleep, timeout};

use crate::SdkError;
use crate::backoff::Backoff;
use crate::rest::{RestClient, problem};

/// The cloud gives a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// A century, as long as a timer can be.
const FOR_EVER: Duration = Duration::from_hours(100 * 366 * 24);
/// An event longer than this ends the connection.
const MOST_EVENT: usize = 4 << 20;

/// What of the feed is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveFilter {
    /// Only of this microgrid.
    pub microgrid: Option<MicrogridId>,
    /// Only of this HEM.
    pub hem: Option<HemId>,
}

/// What a feed tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LiveUpdate {
    /// It is connected. What happened since the last message follows, or [`LiveMessage::Missed`].
    Connected,
    /// Something happened.
    Message {
        /// Of what is stored: whose number it has.
        id: Option<(HemId, Seq)>,
        /// What happened.
        message: Box<LiveMessage>,
    },
    /// The connection is over; the next call waits, and connects again.
    Disconnected {
        /// Why.
        reason: String,
        /// The wait.
        retry_in: Duration,
    },
}

/// A live feed that connects again by itself.
pub struct LiveFeed {
    cloud: RestClient,
    filter: LiveFilter,
    backoff: Backoff,
    wait: Option<Duration>,
    connection: Option<Connected>,
    last_id: Option<String>,
}

struct Connected {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>,
    parser: EventParser,
}

impl LiveFeed {
    /// A feed of a cloud. `seed` is for the jitter of its waits. Connects with the first
    /// [`LiveFeed::next_update`].
    #[must_use]
    pub fn new(cloud: RestClient, filter: LiveFilter, seed: u64) -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30), seed);
        Self { cloud, filter, backoff, wait: None, connection: None, last_id: None }
    }

    /// Waits for what happens next. Nothing is lost where the future is dropped while it waits for a
    /// message.
    ///
    /// # Errors
    /// [`SdkError::Problem`] for what will not get better by trying again: a token that does not hold,
    /// a filter that is wrong. What may get better is told as [`LiveUpdate::Disconnected`].
    pub async fn next_update(&mut self) -> Result<LiveUpdate, SdkError> {
        loop {
            if let Some(wait) = self.wait {
                sleep(wait).await;
                self.wait = None;
            }
            let Some(connected) = &mut self.connection else {
                return match self.connect().await {
                    Ok(connected) => {
                        self.connection = Some(connected);
                        self.backoff.succeeded();
                        Ok(LiveUpdate::Connected)
                    }
                    Err(Failed::ForGood(error)) => Err(error),
                    Err(Failed::ForNow { reason, retry_after }) => {
                        Ok(self.disconnected(reason, retry_after))
                    }
                };
            };
            if let Some(event) = connected.parser.next_event() {
                self.last_id = event.id.or(self.last_id.take());
                // A message of a later version is passed over; an id alone is where to go on.
                let Ok(message) = serde_json::from_str(&event.data) else { continue };
                let id = stored_id(&message);
                return Ok(LiveUpdate::Message { id, message: Box::new(message) });
            }
            let reason = match timeout(SILENCE, connected.body.next()).await {
                Ok(Some(Ok(bytes))) => match connected.parser.feed(&bytes) {
                    Ok(()) => continue,
                    Err(reason) => reason.to_owned(),
                },
                Ok(Some(Err(error))) => error.to_string(),
                Ok(None) => "the cloud ended the feed".to_owned(),
                Err(_) => "the cloud fell silent".to_owned(),
            };
            return Ok(self.disconnected(reason, None));
        }
    }

    fn disconnected(&mut self, reason: String, retry_after: Option<Duration>) -> LiveUpdate {
        self.connection = None;
        let retry_in = self.backoff.next(None, retry_after);
        self.wait = Some(retry_in);
        LiveUpdate::Disconnected { reason, retry_in }
    }

    async fn connect(&self) -> Result<Connected, Failed> {
        let mut parameters = Vec::new();
        parameters.extend(self.filter.microgrid.as_ref().map(|id| ("microgrid", id.as_str())));
        parameters.extend(self.filter.hem.as_ref().map(|id| ("hem", id.as_str())));
        let url = self.cloud.url("/live");
        let mut request = self
            .cloud
            .request(Method::GET, &url)
            .insert_header((ACCEPT, "text/event-stream"))
            .insert_header((ACCEPT_ENCODING, "identity"));
        if !parameters.is_empty() {
            request = request
                .query(&parameters)
                .map_err(|error| Failed::ForGood(SdkError::NotSendable(error.to_string())))?;
        }
        if let Some(id) = &self.last_id {
            request = request.insert_header(("Last-Event-ID", id.as_str()));
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| Failed::ForNow { reason: error.to_string(), retry_after: None })?;
        let status = response.status();
        if status == StatusCode::OK {
            // The answer never ends, so its time must not either; silence is watched instead.
            let body = response.timeout(FOR_EVER);
            return Ok(Connected { body: Box::pin(body), parser: EventParser::default() });
        }
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = response.body().await.unwrap_or_default();
        let error = problem(&url, status, &body);
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Err(Failed::ForNow { reason: error.to_string(), retry_after })
        } else {
            Err(Failed::ForGood(error))
        }
    }
}

enum Failed {
    ForGood(SdkError),
    ForNow { reason: String, retry_after: Option<Duration> },
}

/// Whose number a message has, if it is of something stored.
fn stored_id(message: &LiveMessage) -> Option<(HemId, Seq)> {
    match message {
        LiveMessage::Reading { hem, seq, .. } => Some((hem.clone(), *seq)),
        LiveMessage::Event { hem, event, .. } => Some((hem.clone(), event.seq)),
        _ => None,
    }
}

/// An event of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    data: String,
}

/// Bytes to events, as the HTML standard says (section 9.2.6, without `event` and `retry`, which are not
/// needed here). An id without data comes out too: it is where to go on.
#[derive(Debug, Default)]
struct EventParser {
    buffer: Vec<u8>,
    /// Everything before is done.
    done: usize,
    /// There is no end of a line before this.
    searched: usize,
    event: Event,
    has_data: bool,
}

impl EventParser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.buffer.drain(..self.done);
        self.searched = self.searched.saturating_sub(self.done);
        self.done = 0;
        if self.buffer.len() + self.event.data.len() + bytes.len() > MOST_EVENT {
            return Err("an event of the feed is too long");
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event> {
        loop {
            self.searched = self.searched.max(self.done);
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(length) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return None;
            };
            let end = self.searched + length;
            let line = self.buffer.get(self.done..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = String::from_utf8_lossy(line).into_owned();
            self.done = end + 1;
            if text.is_empty() {
                let event = std::mem::take(&mut self.event);
                if std::mem::take(&mut self.has_data) || event.id.is_some() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = text.split_once(':').unwrap_or((&text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if self.has_data {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                    self.has_data = true;
                }
                "id" => self.event.id = Some(value.to_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let mut parser = EventParser::default();
        let mut found = Vec::new();
        for piece in pieces {
            parser.feed(piece).unwrap();
            while let Some(event) = parser.next_event() {
                found.push((event.id, event.data));
            }
        }
        found
    }

    #[test]
    fn comments_and_unknown_fields_are_passed_over() {
        let stream =
            b": alive\n\nretry: 5\nid: r-1\n\nid: r-7\ndata: {\"a\":1}\n\ndata:x\r\ndata: y\r\n\r\n";
        let id = |number: &str| Some(format!("r-{number}"));
        assert_eq!(
            events(&[stream]),
            [
                (id("1"), String::new()),
                (id("7"), "{\"a\":1}".to_owned()),
                (None, "x\ny".to_owned())
            ]
        );
    }

    #[test]
    fn an_endless_event_ends_the_connection_and_not_the_memory() {
        let mut parser = EventParser::default();
        let outcome = (0..10_000).try_for_each(|_| {
            parser.feed(&[b'x'; 1_000])?;
            assert!(parser.next_event().is_none());
            Ok::<_, &str>(())
        });
        assert!(outcome.is_err());
        assert!(parser.buffer.len() <= MOST_EVENT);
    }

    #[test]
    fn what_is_stored_is_known_by_its_hem_and_number() {
        let read = |text: &str| stored_id(&serde_json::from_str(text).unwrap());
        let event = r#"{"type":"event","microgrid":"m","hem":"home-1","event":{"seq":7,"ts":"2026-11-23T12:00:00Z","received":"2026-11-23T12:00:00Z","kind":"booted"}}"#;
        assert_eq!(read(event), Some((HemId::new("home-1").unwrap(), Seq(7))));
        assert_eq!(read(r#"{"type":"lost","count":7}"#), None);
        assert_eq!(read(r#"{"type":"missed","hems":{"home-1":7},"more":false}"#), None);
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_how_the_stream_is_cut(
            datas in prop::collection::vec("[a-zé{}:]{1,20}", 1..8),
            cuts in prop::collection::vec(1_usize..17, 1..40),
        ) {
            let stream: Vec<u8> =
                datas.iter().flat_map(|data| format!("data: {data}\n\n").into_bytes()).collect();
            let mut pieces = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            let found: Vec<String> = events(&pieces).into_iter().map(|(_, data)| data).collect();
            prop_assert_eq!(found, datas);
        }
    }
}
