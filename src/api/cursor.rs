//! Where a list goes on: opaque to callers, safe in a URL, and bound to its list, so that a cursor of
//! another one is refused rather than misread.

use super::error::{ApiError, ApiResult, ErrorCode};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// No key of ours is longer; a longer cursor is not worth decoding.
const MAX_LENGTH: usize = 2_048;

/// Makes the cursor of a list that goes on beyond a key.
#[must_use]
pub(crate) fn encode(list: &str, key: &str) -> String {
    let plain = format!("{list}/{key}");
    let mut text = String::with_capacity(plain.len().div_ceil(3) * 4);
    for group in plain.as_bytes().chunks(3) {
        let mut bits = 0_u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or(0));
        }
        for digit in 0..=group.len() {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS.get(index as usize).copied().unwrap_or(b'A')));
        }
    }
    text
}

/// Reads the key that a list goes on beyond.
///
/// # Errors
/// `bad-cursor` where it is not one that this list gave.
pub(crate) fn decode(list: &str, cursor: &str) -> ApiResult<String> {
    let key = (cursor.len() <= MAX_LENGTH)
        .then(|| decode_digits(cursor))
        .flatten()
        .and_then(|plain| plain.strip_prefix(list)?.strip_prefix('/').map(str::to_owned));
    match key {
        Some(key) if encode(list, &key) == cursor => Ok(key),
        _ => Err(ApiError::new(
            ErrorCode::BadCursor,
            "after: this cursor is not from this list; pass on what `next` said, unchanged",
        )),
    }
}

fn decode_digits(cursor: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(cursor.len() * 3 / 4);
    for group in cursor.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for index in 0..4 {
            let value = match group.get(index) {
                Some(byte) => DIGITS.iter().position(|digit| digit == byte)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        let [_, decoded @ ..] = bits.to_be_bytes();
        bytes.extend(decoded.into_iter().take(group.len().saturating_sub(1)));
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = encode("hems", "home-1");
        assert_eq!(decode("hems", &cursor).unwrap(), "home-1");
        let error = decode("jobs", &cursor).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BadCursor);
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_whole_and_is_safe_in_a_url(key in ".{0,100}") {
            let cursor = encode("list", &key);
            prop_assert!(cursor.bytes().all(|byte| DIGITS.contains(&byte)));
            prop_assert_eq!(decode("list", &cursor).unwrap(), key);
        }

        #[test]
        fn a_made_up_cursor_never_panics(cursor in ".{0,60}") {
            let _ = decode("list", &cursor);
        }
    }
}
