//! A pull reader of JSON (RFC 8259) over one line that may be hostile. It tells apart what is not
//! JSON from what is JSON of another shape, keeps doubles exact, allocates only for strings with
//! escapes and for what its caller collects, and stops at a depth. Not a general JSON library: it
//! knows no tree, and a known field that comes twice is an error, not a choice.
//!
//! Written here because a reading must be read in one pass, and a wrong one must still give up its
//! number and a reason; a derived decoder knows neither after its first mismatch. A property test
//! holds its grammar against `serde_json`'s.

use std::borrow::Cow;

/// Objects and arrays in each other, at most so deep; the protocol needs five.
const MAX_DEPTH: usize = 64;
/// The highest whole number that every JSON reader keeps exact.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;
/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not JSON, or a number beyond a double.
    Syntax(&'static str),
    /// So far JSON, but not what the protocol says.
    Shape(&'static str),
}

/// Where reading stands in a line.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a line.
    pub(crate) fn new(line: &'a [u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(line).map_err(|_| Fault::Syntax("the line is not UTF-8"))?;
        Ok(Self { text, at: 0 })
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of what comes next, behind white space.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// What to say of a value that is not of the expected kind.
    fn mismatch(&mut self, expected: &'static str) -> Fault {
        match self.token() {
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                Fault::Shape(expected)
            }
            Some(_) => Fault::Syntax("a value is not JSON"),
            None => Fault::Syntax("the line ends too early"),
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        match self.token() {
            None => Ok(()),
            Some(_) => Err(Fault::Syntax("something follows the JSON object on the same line")),
        }
    }

    /// Opens an object.
    pub(crate) fn open_object(&mut self, expected: &'static str) -> Result<(), Fault> {
        if self.token() != Some(b'{') {
            return Err(self.mismatch(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the open object, with its colon; nothing where the object ends.
    pub(crate) fn next_key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.token() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.token();
            }
            Some(_) if first => {}
            Some(_) => return Err(Fault::Syntax("an object needs a comma or its end")),
            None => return Err(Fault::Syntax("the line ends within an object")),
        }
        if self.byte() != Some(b'"') {
            return Err(Fault::Syntax("an object needs a key in quotes"));
        }
        let key = self.string_here()?;
        if self.token() != Some(b':') {
            return Err(Fault::Syntax("a key needs a colon"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Reads an object: `field` is called behind each key and must read its value.
    pub(crate) fn object(
        &mut self,
        expected: &'static str,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open_object(expected)?;
        let mut first = true;
        while let Some(key) = self.next_key(first)? {
            first = false;
            field(self, &key)?;
        }
        Ok(())
    }

    /// Reads an array: `item` is called before each item and must read it.
    pub(crate) fn array(
        &mut self,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.token() != Some(b'[') {
            return Err(self.mismatch(expected));
        }
        self.at += 1;
        if self.token() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.token() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => return Err(Fault::Syntax("an array needs a comma or its end")),
                None => return Err(Fault::Syntax("the line ends within an array")),
            }
        }
    }

    /// Reads a value, or nothing where it is `null`.
    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        if self.token() == Some(b'n') {
            self.literal("null")?;
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Reads a value, or, where it is of another shape, passes over it and says what was expected.
    pub(crate) fn attempt<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Result<T, &'static str>, Fault> {
        let start = self.at;
        match read(self) {
            Ok(value) => Ok(Ok(value)),
            Err(Fault::Shape(expected)) => {
                self.at = start;
                self.skip()?;
                Ok(Err(expected))
            }
            Err(syntax) => Err(syntax),
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) == Some(word.as_bytes()) {
            self.at = end;
            Ok(())
        } else {
            Err(Fault::Syntax("a value is not JSON"))
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self, expected: &'static str) -> Result<bool, Fault> {
        match self.token() {
            Some(b't') => self.literal("true").map(|()| true),
            Some(b'f') => self.literal("false").map(|()| false),
            _ => Err(self.mismatch(expected)),
        }
    }

    /// Reads a text.
    pub(crate) fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Fault> {
        if self.token() == Some(b'"') { self.string_here() } else { Err(self.mismatch(expected)) }
    }

    /// Reads the text whose opening quote is here.
    fn string_here(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.at + 1;
        let plain = self.plain_run(start)?;
        self.at = start + plain.len();
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut unescaped = plain.to_owned();
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                Some(b'\\') => {
                    self.at += 1;
                    unescaped.push(self.escape()?);
                }
                _ => {
                    let run = self.plain_run(self.at)?;
                    self.at += run.len();
                    unescaped.push_str(run);
                }
            }
        }
    }

    /// The text from `start` up to a quote or backslash.
    fn plain_run(&self, start: usize) -> Result<&'a str, Fault> {
        let rest = self.text.get(start..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        match rest.as_bytes().iter().position(ends) {
            None => Err(Fault::Syntax("the line ends within a string")),
            Some(length) => {
                let (run, after) = rest.split_at_checked(length).unwrap_or_default();
                if after.starts_with(['"', '\\']) {
                    Ok(run)
                } else {
                    Err(Fault::Syntax("a control character in a string must be escaped"))
                }
            }
        }
    }

    /// The character of an escape whose backslash has been read.
    fn escape(&mut self) -> Result<char, Fault> {
        let letter = self.byte();
        self.at += 1;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex_unit()?;
                let code_point = if (0xD800..0xDC00).contains(&unit) {
                    if self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
                        return Err(Fault::Syntax("half a surrogate pair in a string"));
                    }
                    self.at += 2;
                    let low = self.hex_unit()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(Fault::Syntax("half a surrogate pair in a string"));
                    }
                    0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                } else {
                    unit
                };
                char::from_u32(code_point)
                    .ok_or(Fault::Syntax("half a surrogate pair in a string"))?
            }
            _ => return Err(Fault::Syntax("an unknown escape in a string")),
        })
    }

    fn hex_unit(&mut self) -> Result<u32, Fault> {
        const WRONG: Fault = Fault::Syntax("\\u needs four hexadecimal digits");
        let digits = self.text.get(self.at..self.at + 4).ok_or(WRONG)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| WRONG)
    }

    /// Reads a number, rounded to the nearest double.
    pub(crate) fn number(&mut self, expected: &'static str) -> Result<f64, Fault> {
        match self.token() {
            Some(b'-' | b'0'..=b'9') => self.number_here(),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn number_here(&mut self) -> Result<f64, Fault> {
        const NOT_A_NUMBER: Fault = Fault::Syntax("a number is not JSON");
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let mut digits = Digits::default();
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => {
                while let Some(digit @ b'0'..=b'9') = self.byte() {
                    digits.push(digit);
                    self.at += 1;
                }
            }
            _ => return Err(NOT_A_NUMBER),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            let fraction_start = self.at;
            while let Some(digit @ b'0'..=b'9') = self.byte() {
                digits.push(digit);
                digits.exponent -= 1;
                self.at += 1;
            }
            if self.at == fraction_start {
                return Err(NOT_A_NUMBER);
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            let below_one = self.byte() == Some(b'-');
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            let exponent_start = self.at;
            let mut exponent = 0_i32;
            while let Some(digit @ b'0'..=b'9') = self.byte() {
                exponent = exponent.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
                self.at += 1;
            }
            if self.at == exponent_start {
                return Err(NOT_A_NUMBER);
            }
            let signed = if below_one { -exponent } else { exponent };
            digits.exponent = digits.exponent.saturating_add(signed);
        }
        if let Some(size) = digits.exact() {
            return Ok(if negative { -size } else { size });
        }
        // Long or far from one: the standard library rounds it correctly, only more slowly.
        let value: f64 =
            self.text.get(start..self.at).and_then(|text| text.parse().ok()).ok_or(NOT_A_NUMBER)?;
        if value.is_finite() {
            Ok(value)
        } else {
            Err(Fault::Syntax("a number is beyond what a double can hold"))
        }
    }

    /// Reads a whole number of at most 53 bits, however it is written (`5`, `5.0`, `5e0`).
    #[expect(clippy::cast_possible_truncation, reason = "whole, and of at most 53 bits")]
    pub(crate) fn whole(&mut self, expected: &'static str) -> Result<i64, Fault> {
        let value = self.number(expected)?;
        if value.abs() > MAX_WHOLE {
            return Err(Fault::Shape(expected));
        }
        let whole = value as i64;
        if whole as f64 == value { Ok(whole) } else { Err(Fault::Shape(expected)) }
    }

    /// Passes over a value, whatever it is, and sees that it is JSON.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        self.skip_within(0)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Fault> {
        const ANY: &str = "a value is missing";
        if depth >= MAX_DEPTH {
            return Err(Fault::Syntax("objects and arrays are nested too deeply"));
        }
        match self.token() {
            Some(b'{') => self.object(ANY, |reader, _| reader.skip_within(depth + 1)),
            Some(b'[') => self.array(ANY, |reader| reader.skip_within(depth + 1)),
            Some(b'"') => self.string_here().map(drop),
            Some(b't' | b'f') => self.boolean(ANY).map(drop),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number_here().map(drop),
            _ => Err(self.mismatch(ANY)),
        }
    }
}

/// The digits of a number as they are read.
#[derive(Default)]
struct Digits {
    significand: u64,
    exponent: i32,
    too_many: bool,
}

impl Digits {
    fn push(&mut self, digit: u8) {
        let longer = self
            .significand
            .checked_mul(10)
            .and_then(|shifted| shifted.checked_add(u64::from(digit - b'0')));
        match longer {
            Some(significand) => self.significand = significand,
            None => self.too_many = true,
        }
    }

    /// The value, where one multiplication or division of exact doubles gives it, so that it is
    /// correctly rounded (Clinger 1990, the fast path).
    fn exact(&self) -> Option<f64> {
        if self.too_many || self.significand > (1 << 53) {
            return None;
        }
        let significand = self.significand as f64;
        let power = EXACT_POWERS.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
        Some(if self.exponent < 0 { significand / power } else { significand * power })
    }
}

/// Puts a field's value into its place; a field that comes twice is wrong.
pub(crate) fn set<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::Shape("a field comes twice"));
    }
    *slot = value;
    Ok(())
}

/// Whether a text has at most so many characters.
pub(crate) fn within(text: &str, characters: usize) -> bool {
    text.len() <= characters || text.chars().nth(characters).is_none()
}

/// A text cut to so many characters.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_number(text: &str) -> Result<f64, Fault> {
        let mut reader = Reader::new(text.as_bytes())?;
        let value = reader.number("a number")?;
        reader.finish()?;
        Ok(value)
    }

    fn is_json(line: &[u8]) -> bool {
        Reader::new(line)
            .and_then(|mut reader| reader.skip().and_then(|()| reader.finish()))
            .is_ok()
    }

    #[test]
    fn a_number_is_the_nearest_double() {
        for text in [
            "0",
            "-0",
            "0.1",
            "-12.5",
            "1e22",
            "123456789012345678901234567890",
            "1e-400",
            "9007199254740993",
            "0.000000000000000000000000000000123",
            "1.7976931348623157e308",
            "4.9e-324",
            "2.2250738585072011e-308",
            "179769313486231570000000000000000e276",
            "0e99999999999",
        ] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(read_number(text).unwrap().to_bits(), expected.to_bits(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_number_is_none() {
        for text in
            ["1e999", "-1e309", "01", "1.", ".5", "+1", "-", "1e", "0x1", "NaN", "Infinity", "1e+"]
        {
            assert!(matches!(read_number(text), Err(Fault::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn a_bomb_of_brackets_is_stopped_at_a_depth() {
        assert!(is_json(format!("{}{}", "[".repeat(63), "]".repeat(63)).as_bytes()));
        assert!(!is_json("[".repeat(500_000).as_bytes()));
        assert!(!is_json(format!("{}{}", "[".repeat(65), "]".repeat(65)).as_bytes()));
    }

    #[test]
    fn a_string_is_unescaped_and_half_a_surrogate_is_not_one() {
        let text = r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#;
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        assert_eq!(reader.string("a text").unwrap(), "a\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}\u{e9}");
        for wrong in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dA""#, r#""\x41""#, "\"\t\""] {
            assert!(!is_json(wrong.as_bytes()), "{wrong}");
        }
    }

    fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            ".{0,12}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_double_comes_back_bit_for_bit(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            for text in [value.to_string(), format!("{value:e}")] {
                prop_assert_eq!(read_number(&text).unwrap().to_bits(), value.to_bits());
            }
        }

        #[test]
        fn decimals_are_rounded_as_by_the_standard_library(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = text.parse().unwrap();
            match read_number(&text) {
                Ok(value) => prop_assert_eq!(value.to_bits(), expected.to_bits()),
                Err(_) => prop_assert!(expected.is_infinite()),
            }
        }

        #[test]
        fn what_serde_json_writes_is_json(value in arbitrary_json()) {
            prop_assert!(is_json(value.to_string().as_bytes()));
            prop_assert!(is_json(serde_json::to_string_pretty(&value).unwrap().as_bytes()));
        }

        #[test]
        fn the_grammar_is_that_of_serde_json(
            value in arbitrary_json(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"{}[]\",:\\u0123456789.eE+-tfn \x00\xff"[..])), 0..4),
        ) {
            let mut line = value.to_string().into_bytes();
            for (index, byte) in edits {
                let at = index.index(line.len());
                line[at] = byte;
            }
            let theirs = serde_json::from_slice::<serde_json::Value>(&line).is_ok();
            prop_assert_eq!(is_json(&line), theirs, "{}", String::from_utf8_lossy(&line));
        }
    }
}
