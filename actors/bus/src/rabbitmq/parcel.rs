//! How a message looks on the broker: JSON, with its version, publisher and number beside it.
//!
//! JSON, because the messages' types are written for it (fields that may be absent, tags beside the
//! fields), and because an operator can read what lies in a queue. A reading is some 700 bytes so.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::{BusMessage, QueueInlet};

/// What this version writes, and all that it reads. It changes when an old reader would misunderstand.
pub(super) const VERSION: &str = "memcloud/1";
/// The largest body, in bytes. Commits are split long before.
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

const PUBLISHER: &str = "publisher";
const NUMBER: &str = "number";

/// Why a message cannot be carried or understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum ParcelError {
    /// Its body cannot be written or read as JSON.
    #[error("the body is not what it should be: {0}")]
    Body(#[from] serde_json::Error),
    /// It is larger than a message may be.
    #[error("the body has {0} bytes, and may have {MAX_BODY}")]
    TooLarge(usize),
    /// Another version, or none of ours.
    #[error("it is of the kind {0:?}, and this version reads {VERSION:?}")]
    Version(String),
    /// It does not say who numbered it.
    #[error("it has no publisher and number")]
    Headers,
}

/// A message that waits to be written: where that is done, nobody waits for it.
pub(super) trait Encode: Send + Sync {
    /// Its body.
    fn encode(&self) -> Result<Vec<u8>, ParcelError>;
}

impl<M: BusMessage> Encode for M {
    fn encode(&self) -> Result<Vec<u8>, ParcelError> {
        let body = serde_json::to_vec(self)?;
        if body.len() > MAX_BODY {
            return Err(ParcelError::TooLarge(body.len()));
        }
        Ok(body)
    }
}

/// A queue of this process, whatever the type of its messages.
pub(super) trait Deliver: Send + Sync {
    /// Reads a body and puts the message in; answers how many messages this cost.
    fn deliver(&self, body: &[u8]) -> Result<u64, ParcelError>;
    /// Says that messages were lost before the next.
    fn note_lost(&self, count: u64);
    /// Whether the reader has dropped its end.
    fn is_abandoned(&self) -> bool;
}

impl<M: BusMessage> Deliver for QueueInlet<M> {
    fn deliver(&self, body: &[u8]) -> Result<u64, ParcelError> {
        Ok(self.push(serde_json::from_slice(body)?))
    }

    fn note_lost(&self, count: u64) {
        Self::note_lost(self, count);
    }

    fn is_abandoned(&self) -> bool {
        Self::is_abandoned(self)
    }
}

/// What stands beside a body.
pub(super) fn properties(publisher: &str, number: u64) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(PUBLISHER.into(), AMQPValue::LongString(publisher.into()));
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    headers.insert(NUMBER.into(), AMQPValue::LongLongInt(number));
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_type(VERSION.into())
        .with_headers(headers)
}

/// Who numbered a message, and how.
pub(super) fn origin(properties: &BasicProperties) -> Result<(String, u64), ParcelError> {
    let kind = properties.kind().as_ref().map_or("", ShortString::as_str);
    if kind != VERSION {
        return Err(ParcelError::Version(kind.chars().take(40).collect()));
    }
    let headers =
        properties.headers().as_ref().map(FieldTable::inner).ok_or(ParcelError::Headers)?;
    let (Some(AMQPValue::LongString(publisher)), Some(AMQPValue::LongLongInt(number))) =
        (headers.get(PUBLISHER), headers.get(NUMBER))
    else {
        return Err(ParcelError::Headers);
    };
    let publisher = publisher.to_string();
    // Ours have 40 bytes or so; a longer one would be remembered for nothing.
    match u64::try_from(*number) {
        Ok(number) if number > 0 && publisher.len() <= 100 => Ok((publisher, number)),
        _ => Err(ParcelError::Headers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_numbered_a_message_is_read_back() {
        assert_eq!(origin(&properties("a.1", 7)).unwrap(), ("a.1".to_owned(), 7));
    }

    #[test]
    fn a_message_of_another_version_or_without_a_number_is_refused() {
        let newer = properties("a.1", 7).with_type("memcloud/2".into());
        assert!(matches!(origin(&newer), Err(ParcelError::Version(kind)) if kind == "memcloud/2"));
        let foreign = BasicProperties::default();
        assert!(matches!(origin(&foreign), Err(ParcelError::Version(_))));
        let unnumbered = BasicProperties::default().with_type(VERSION.into());
        assert!(matches!(origin(&unnumbered), Err(ParcelError::Headers)));
        assert!(matches!(origin(&properties("a.1", 0)), Err(ParcelError::Headers)));
    }
}
