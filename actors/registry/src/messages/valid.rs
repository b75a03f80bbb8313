//! What people may type: names, time zones, limits.

use memcloud_domain::Watts;
use memcloud_store::registry::RegistryError;

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;

/// A name, trimmed.
pub(crate) fn name(what: &'static str, text: &str) -> Result<String, RegistryError> {
    let trimmed = text.trim();
    let invalid = |reason: String| Err(RegistryError::Invalid { what, reason });
    if trimmed.is_empty() {
        return invalid("must not be empty".to_owned());
    }
    if trimmed.chars().count() > LONGEST_NAME {
        return invalid(format!("must not be longer than {LONGEST_NAME} characters"));
    }
    if trimmed.chars().any(char::is_control) {
        return invalid("must not contain control characters".to_owned());
    }
    Ok(trimmed.to_owned())
}

/// An IANA time zone, by its own spelling.
pub(crate) fn time_zone(text: &str) -> Result<String, RegistryError> {
    match text.parse::<chrono_tz::Tz>() {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(_) => Err(RegistryError::Invalid {
            what: "time_zone",
            reason: format!(
                "\"{}\" is not an IANA time zone, such as Europe/Berlin or UTC",
                text.chars().take(80).collect::<String>()
            ),
        }),
    }
}

/// A limit of power: finite, and not negative.
pub(crate) fn limit(what: &'static str, limit: Option<Watts>) -> Result<(), RegistryError> {
    match limit {
        Some(watts) if !watts.value().is_finite() || watts.value() < 0.0 => {
            Err(RegistryError::Invalid {
                what,
                reason: format!("{watts} is not a number of watts from 0 up"),
            })
        }
        _ => Ok(()),
    }
}
