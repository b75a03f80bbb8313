//! Where keys, tokens and ids come from: the operating system's random numbers, or a seed in tests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use memcloud_domain::{Secret, Timestamp};
use memcloud_store::registry::RegistryError;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use uuid::Uuid;

type Fill = dyn Fn(&mut [u8]) -> Result<(), String> + Send + Sync;

/// A source of random bytes.
#[derive(Clone)]
pub struct Randomness(Arc<Fill>);

impl fmt::Debug for Randomness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Randomness(…)")
    }
}

impl Randomness {
    /// The operating system's random numbers.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|bytes| SysRng.try_fill_bytes(bytes).map_err(|error| error.to_string())))
    }

    /// The same numbers for the same seed: for tests and simulations only.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let generator = Mutex::new(StdRng::seed_from_u64(seed));
        Self(Arc::new(move |bytes| {
            generator.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
            Ok(())
        }))
    }

    fn bytes<const N: usize>(&self) -> Result<[u8; N], RegistryError> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes).map_err(|reason| RegistryError::Unavailable {
            reason: format!("the operating system gives no random numbers: {reason}"),
        })?;
        Ok(bytes)
    }

    /// A UUID of version 7: ascends with time.
    ///
    /// # Errors
    /// `Unavailable` when there are no random numbers.
    pub fn uuid(&self, now: Timestamp) -> Result<Uuid, RegistryError> {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()?).into_uuid())
    }

    /// A device key.
    ///
    /// # Errors
    /// `Unavailable` when there are no random numbers.
    pub fn device_key(&self) -> Result<Secret, RegistryError> {
        self.secret("mck")
    }

    /// An enrolment token.
    ///
    /// # Errors
    /// `Unavailable` when there are no random numbers.
    pub fn enrolment_token(&self) -> Result<Secret, RegistryError> {
        self.secret("mce")
    }

    /// An API token.
    ///
    /// # Errors
    /// `Unavailable` when there are no random numbers.
    pub fn api_token(&self) -> Result<Secret, RegistryError> {
        self.secret("mct")
    }

    /// 256 random bits as hexadecimal digits, behind a tag by which people (and scanners of source
    /// code) tell keys and tokens apart.
    fn secret(&self, tag: &str) -> Result<Secret, RegistryError> {
        use std::fmt::Write as _;
        let mut text = format!("{tag}_");
        for byte in self.bytes::<32>()? {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_256_bits_and_a_tag_and_never_repeat() {
        let randomness = Randomness::system();
        let one = randomness.device_key().unwrap();
        let two = randomness.device_key().unwrap();
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), "mck_".len() + 64);
        assert!(one.expose().starts_with("mck_"));
    }

    #[test]
    fn ids_ascend_with_time() {
        let randomness = Randomness::seeded(1);
        let earlier = randomness.uuid(Timestamp(1_000)).unwrap();
        let later = randomness.uuid(Timestamp(1_001)).unwrap();
        assert!(earlier.to_string() < later.to_string());
        assert_eq!(earlier.get_version_num(), 7);
    }
}
