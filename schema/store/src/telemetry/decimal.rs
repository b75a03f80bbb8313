//! Numbers in few bytes without loss. Sensors speak in decimals (230.1, 50.02, 1234567.8): such an
//! `f64` is stored as its digits, a varint, wherever dividing them again gives exactly the same bits;
//! any other as its eight bytes.

/// Bytes that end too early, or say what no encoder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end too early or are not of this form")]
pub struct Malformed;

/// How a quantity is usually written: the form that costs the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Digits after the point.
    pub places: u8,
    /// Whether it may be negative.
    pub sign: Sign,
}

/// Whether a quantity may be negative; one that is against expectation costs a few bits more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It may.
    Either,
    /// It is not expected to.
    Positive,
}

impl Style {
    /// A quantity of either sign with so many digits after the point.
    #[must_use]
    pub const fn signed(places: u8) -> Self {
        Self { places, sign: Sign::Either }
    }

    /// A quantity that is not negative, with so many digits after the point.
    #[must_use]
    pub const fn positive(places: u8) -> Self {
        Self { places, sign: Sign::Positive }
    }
}

const POWERS: [f64; 7] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];
/// The most digits after the point that are tried.
pub const MAX_PLACES: u8 = 6;
/// Below this every integer is exact in an `f64`, and its zigzag leaves room for five more bits.
const LARGEST_DIGITS: f64 = 4_503_599_627_370_496.0;
const RAW: u64 = 0b1111;

/// The digits of a number with so many places after the point, where that loses nothing.
#[must_use]
pub fn digits(value: f64, places: u8) -> Option<i64> {
    let power = *POWERS.get(usize::from(places))?;
    let scaled = value * power;
    // Rounds as `round` does, without the call that it is; what that loses is seen below.
    let nudged = scaled + 0.5_f64.copysign(scaled);
    if nudged.is_nan() || nudged.abs() >= LARGEST_DIGITS {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 2^52, and the fraction is to go")]
    let digits = nudged as i64;
    (from_digits(digits, places).to_bits() == value.to_bits()).then_some(digits)
}

/// The number again.
#[must_use]
pub fn from_digits(digits: i64, places: u8) -> f64 {
    let power = POWERS.get(usize::from(places)).copied().unwrap_or(1.0);
    #[expect(clippy::cast_precision_loss, reason = "digits are below 2^52")]
    let whole = digits as f64;
    whole / power
}

/// Maps small numbers of either sign to small numbers.
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Writes a whole number, seven bits to the byte.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Writes a whole number of either sign.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Writes bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a number: its digits in the expected style, else in another, else its eight bytes.
pub fn put_number(out: &mut Vec<u8>, value: f64, style: Style) {
    if let Some(digits) = digits(value, style.places) {
        match (style.sign, u64::try_from(digits)) {
            (Sign::Either, _) => return put_varint(out, zigzag(digits) << 1),
            (Sign::Positive, Ok(digits)) => return put_varint(out, digits << 1),
            (Sign::Positive, Err(_)) => {}
        }
    }
    for places in 0..=MAX_PLACES {
        if let Some(digits) = digits(value, places) {
            return put_varint(out, (zigzag(digits) << 4) | (u64::from(places) << 1) | 1);
        }
    }
    put_varint(out, RAW);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Reads what the `put_…` functions wrote, from the front.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// All of it.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes behind their length.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.length()?;
        self.take(count)
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A whole number of either sign.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        self.varint().map(unzigzag)
    }

    /// A length or count.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| Malformed)
    }

    /// A number.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn number(&mut self, style: Style) -> Result<f64, Malformed> {
        let code = self.varint()?;
        if code & 1 == 0 {
            let digits = match style.sign {
                Sign::Either => unzigzag(code >> 1),
                Sign::Positive => i64::try_from(code >> 1).map_err(|_| Malformed)?,
            };
            return Ok(from_digits(digits, style.places));
        }
        if code == RAW {
            let raw: [u8; 8] = self.take(8)?.try_into().map_err(|_| Malformed)?;
            return Ok(f64::from_bits(u64::from_le_bytes(raw)));
        }
        let places = u8::try_from((code >> 1) & 0b111).map_err(|_| Malformed)?;
        if places > MAX_PLACES {
            return Err(Malformed);
        }
        Ok(from_digits(unzigzag(code >> 4), places))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(value: f64, style: Style) -> f64 {
        let mut out = Vec::new();
        put_number(&mut out, value, style);
        let mut bytes = Bytes::new(&out);
        let read = bytes.number(style).unwrap();
        assert!(bytes.is_empty());
        read
    }

    fn style() -> impl Strategy<Value = Style> {
        (0..=MAX_PLACES, any::<bool>()).prop_map(|(places, signed)| Style {
            places,
            sign: if signed { Sign::Either } else { Sign::Positive },
        })
    }

    proptest! {
        #[test]
        fn any_number_comes_back_bit_by_bit(bits: u64, style in style()) {
            let value = f64::from_bits(bits);
            prop_assert_eq!(round_trip(value, style).to_bits(), bits);
        }

        #[test]
        fn any_decimal_comes_back_bit_by_bit(
            digits in -10_000_000_000_i64..10_000_000_000, places in 0_usize..9, style in style(),
        ) {
            let value: f64 = format!("{digits}e-{places}").parse().unwrap();
            prop_assert_eq!(round_trip(value, style).to_bits(), value.to_bits());
        }

        #[test]
        fn any_whole_number_comes_back(value: i64) {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            prop_assert_eq!(Bytes::new(&out).signed(), Ok(value));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(noise: Vec<u8>, style in style()) {
            let mut bytes = Bytes::new(&noise);
            while bytes.number(style).is_ok() {}
        }
    }

    #[test]
    fn a_typical_sensor_value_takes_two_or_three_bytes() {
        for (value, style, most) in [
            (230.1, Style::positive(1), 2),
            (50.02, Style::positive(2), 2),
            (5.23, Style::signed(2), 2),
            (-1234.5, Style::signed(1), 3),
            (1_234_567.8, Style::positive(1), 4),
        ] {
            let mut out = Vec::new();
            put_number(&mut out, value, style);
            assert!(out.len() <= most, "{value} takes {} bytes", out.len());
        }
    }

    #[test]
    fn minus_zero_and_infinities_are_kept() {
        for value in [-0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX] {
            assert_eq!(round_trip(value, Style::signed(1)).to_bits(), value.to_bits());
        }
    }
}
