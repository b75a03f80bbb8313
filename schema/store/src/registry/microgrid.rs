//! Microgrids.

use memcloud_domain::{MicrogridId, Timestamp, Watts};

/// What a microgrid may draw and feed at its connection. An absent limit is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MicrogridLimits {
    /// The most it may import, W.
    pub import_watts: Option<Watts>,
    /// The most it may export, W.
    pub export_watts: Option<Watts>,
}

/// A microgrid, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Microgrid {
    /// Its id.
    pub id: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// Its time zone, an IANA name.
    pub time_zone: String,
    /// Its limits.
    pub limits: MicrogridLimits,
    /// When it was made.
    pub created: Timestamp,
}

/// A microgrid to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMicrogrid {
    /// Its id.
    pub id: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// Its time zone, an IANA name; absent: `UTC`.
    pub time_zone: Option<String>,
    /// Its limits.
    pub limits: MicrogridLimits,
}

/// What is to change of a microgrid; absent: stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MicrogridChange {
    /// Its name.
    pub name: Option<String>,
    /// Its time zone.
    pub time_zone: Option<String>,
    /// The most it may import; `Some(None)` lifts the limit.
    pub import_watts: Option<Option<Watts>>,
    /// The most it may export; `Some(None)` lifts the limit.
    pub export_watts: Option<Option<Watts>>,
}
