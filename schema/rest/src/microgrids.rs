//! Microgrids and their enrolment tokens.

use std::fmt;

use chrono::{DateTime, Utc};
use memcloud_domain::{MicrogridId, PowerTotals, Secret, StateOfCharge, Watts};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

#[cfg(feature = "openapi")]
use crate::schemas;

/// Live power by what it is. All but storage are never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// What loads and chargers take, W.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub consumption_watts: Watts,
    /// What sources feed, W.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub generation_watts: Watts,
    /// What batteries take, W; negative when they feed.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub storage_watts: Watts,
    /// Net import over all grid nodes, W; 0 while exporting.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub import_watts: Watts,
    /// Net export over all grid nodes, W; 0 while importing.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub export_watts: Watts,
    /// State of charge, 0 to 1, weighted by capacity; null without a battery that says.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub soc: Option<StateOfCharge>,
}

impl From<PowerTotals> for Totals {
    fn from(totals: PowerTotals) -> Self {
        Self {
            consumption_watts: Watts(rounded(totals.consumption_watts.0)),
            generation_watts: Watts(rounded(totals.generation_watts.0)),
            storage_watts: Watts(rounded(totals.storage_watts.0)),
            import_watts: Watts(rounded(totals.import_watts.0)),
            export_watts: Watts(rounded(totals.export_watts.0)),
            soc: totals.soc.map(|soc| StateOfCharge(rounded(soc.0))),
        }
    }
}

/// Four digits after the point: what is added up in doubles carries dust in the last of its digits.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// What a microgrid's connection bears. An absent limit is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MicrogridLimits {
    /// The most that it may import, W.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>, minimum = 0, exclusive_maximum = 1e12))]
    pub import_watts: Option<Watts>,
    /// The most that it may export, W.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>, minimum = 0, exclusive_maximum = 1e12))]
    pub export_watts: Option<Watts>,
}

/// By hand, since what serde derives would take a list of the two as well.
impl<'de> Deserialize<'de> for MicrogridLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Field {
            ImportWatts,
            ExportWatts,
        }

        struct Limits;

        impl<'de> Visitor<'de> for Limits {
            type Value = MicrogridLimits;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with import_watts and export_watts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut limits = MicrogridLimits::default();
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::ImportWatts => limits.import_watts = map.next_value()?,
                        Field::ExportWatts => limits.export_watts = map.next_value()?,
                    }
                }
                Ok(limits)
            }
        }

        deserializer.deserialize_map(Limits)
    }
}

/// A microgrid, with its live totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Microgrid {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// Its MEMID, under which MEMWeb finds it: the id.
    pub memid: String,
    /// Its time zone, an IANA name; days begin at its midnight.
    #[cfg_attr(feature = "openapi", schema(example = "America/Los_Angeles"))]
    pub time_zone: String,
    /// What its connection bears.
    pub limits: MicrogridLimits,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Its HEMs that have an authenticated socket open now.
    pub online: u64,
    /// Its HEMs of which a reading has arrived lately.
    pub active: u64,
    /// Its live totals.
    #[serde(flatten)]
    pub totals: Totals,
}

/// A microgrid to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewMicrogrid {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: MicrogridId,
    /// Its name, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Name))]
    pub name: String,
    /// Its time zone, an IANA name; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::TimeZone>))]
    pub time_zone: Option<String>,
    /// What its connection bears; nothing is limited if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<MicrogridLimits>,
}

/// What to change of a microgrid. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MicrogridChange {
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Name>))]
    pub name: Option<String>,
    /// Its time zone, an IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::TimeZone>))]
    pub time_zone: Option<String>,
    /// What its connection bears, replaced as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<MicrogridLimits>,
}

/// An enrolment token to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewEnrolmentToken {
    /// How many HEMs may enrol with it; 1 if absent.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000))]
    pub uses: Option<u32>,
    /// Until when; for 24 hours if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
}

/// A new enrolment token, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewEnrolmentTokenCreated {
    /// Its id, under which it is listed and revoked.
    pub id: String,
    /// The token itself, which a HEM sends as `enrol`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Secret,
    /// How many HEMs may enrol with it.
    pub uses: u32,
    /// Until when.
    pub expires: DateTime<Utc>,
}

/// An enrolment token as it is listed: without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolmentToken {
    /// Its id.
    pub id: String,
    /// How many HEMs may enrol with it in all.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Until when.
    pub expires: DateTime<Utc>,
    /// When it was made.
    pub created: DateTime<Utc>,
}
