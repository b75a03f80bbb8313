//! Which routing keys a queue wants, as AMQP's topic exchanges have it: words separated by dots,
//! `*` for exactly one word, `#` for any number of words, none included.

use std::fmt;
use std::str::FromStr;

use memcloud_domain::{HemId, JobId, MicrogridId};

/// What can go wrong with a bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// A routing pattern that no broker would take.
    #[error(
        "\"{text}\" is not a routing pattern: at most 255 bytes, '*' and '#' stand alone between dots"
    )]
    InvalidPattern {
        /// The beginning of what was given.
        text: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Exactly(String),
    One,
    Any,
}

/// A routing pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    words: Vec<Word>,
}

impl Pattern {
    /// AMQP's limit for a routing key, in bytes.
    const MAX_BYTES: usize = 255;

    /// `#`: everything.
    #[must_use]
    pub fn all() -> Self {
        Self { words: vec![Word::Any] }
    }

    /// Whether a routing key fits. Linear in words for patterns with at most one `#`, and never
    /// worse than words of the pattern times words of the key.
    #[must_use]
    pub fn fits(&self, key: &str) -> bool {
        // The empty key is one empty word for a broker, and no word for `#`; both fit `#`.
        if let [Word::Any] = self.words.as_slice() {
            return true;
        }
        let key_words: Vec<&str> =
            if key.is_empty() { Vec::new() } else { key.split('.').collect() };
        // reachable[i]: the pattern's words so far can have consumed i words of the key.
        let mut reachable = vec![false; key_words.len() + 1];
        if let Some(first) = reachable.first_mut() {
            *first = true;
        }
        for word in &self.words {
            let mut next = vec![false; key_words.len() + 1];
            match word {
                Word::Any => {
                    let mut open = false;
                    for (cell, was) in next.iter_mut().zip(&reachable) {
                        open |= was;
                        *cell = open;
                    }
                }
                Word::One => {
                    for (cell, was) in next.iter_mut().skip(1).zip(&reachable) {
                        *cell = *was;
                    }
                }
                Word::Exactly(text) => {
                    let steps = next.iter_mut().skip(1).zip(&reachable).zip(&key_words);
                    for ((cell, was), key_word) in steps {
                        *cell = *was && key_word == text;
                    }
                }
            }
            reachable = next;
        }
        reachable.last().copied().unwrap_or(false)
    }
}

impl FromStr for Pattern {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || BusError::InvalidPattern { text: text.chars().take(80).collect() };
        if text.len() > Self::MAX_BYTES {
            return Err(invalid());
        }
        let mut words = Vec::new();
        if text.is_empty() {
            return Ok(Self { words });
        }
        for word in text.split('.') {
            words.push(match word {
                "*" => Word::One,
                "#" => Word::Any,
                _ if word.contains(['*', '#']) => return Err(invalid()),
                _ => Word::Exactly(word.to_owned()),
            });
        }
        Ok(Self { words })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, word) in self.words.iter().enumerate() {
            if position > 0 {
                formatter.write_str(".")?;
            }
            formatter.write_str(match word {
                Word::Exactly(text) => text,
                Word::One => "*",
                Word::Any => "#",
            })?;
        }
        Ok(())
    }
}

macro_rules! from_id {
    ($id:ty) => {
        impl From<&$id> for Pattern {
            /// Exactly this one: an id has no dots and no wildcards.
            fn from(id: &$id) -> Self {
                Self { words: vec![Word::Exactly(id.as_str().to_owned())] }
            }
        }
    };
}
from_id!(MicrogridId);
from_id!(HemId);
from_id!(JobId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, key: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().fits(key)
    }

    #[test]
    fn a_star_is_exactly_one_word_and_a_hash_any_number() {
        for (pattern, key) in [
            ("fontana", "fontana"),
            ("*", "fontana"),
            ("#", ""),
            ("#", "a.b.c"),
            ("a.#", "a"),
            ("a.#", "a.b.c"),
            ("#.c", "c"),
            ("#.c", "a.b.c"),
            ("a.*.c", "a.b.c"),
            ("*.#.*", "a.b"),
            ("a.#.b.#.c", "a.x.b.y.z.c"),
            ("a.*", "a."),
        ] {
            assert!(fits(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("fontana", "fontana2"),
            ("*", ""),
            ("*", "a.b"),
            ("a.*", "a"),
            ("a.*.c", "a.c"),
            ("*.#.*", "a"),
            ("a.#.b.#.c", "a.c.b"),
            ("", "a"),
        ] {
            assert!(!fits(pattern, key), "{pattern} {key}");
        }
    }

    #[test]
    fn a_wildcard_inside_a_word_is_refused_with_a_sentence() {
        let error = "home*".parse::<Pattern>().unwrap_err();
        assert!(error.to_string().contains("\"home*\""), "{error}");
        assert!("x".repeat(256).parse::<Pattern>().is_err());
    }

    /// The definition, word by word.
    fn fits_by_definition(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            ([], _) => false,
            (["#", rest @ ..], _) => {
                (0..=key.len()).any(|taken| fits_by_definition(rest, &key[taken..]))
            }
            (["*", rest @ ..], [_, key_rest @ ..]) => fits_by_definition(rest, key_rest),
            ([word, rest @ ..], [key_word, key_rest @ ..]) => {
                word == key_word && fits_by_definition(rest, key_rest)
            }
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_follows_the_definition(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 1..6),
            key in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..7),
        ) {
            prop_assert_eq!(fits(&pattern.join("."), &key.join(".")), fits_by_definition(&pattern, &key));
        }

        #[test]
        fn a_pattern_reads_back_what_it_shows(text in "[a-c*#]?(\\.[a-c]{1,3}|\\.\\*|\\.#){0,4}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                prop_assert_eq!(pattern.to_string().parse::<Pattern>().unwrap(), pattern);
            }
        }
    }
}
