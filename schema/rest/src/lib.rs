//! Request and response bodies of the REST API, shared by the server and the Rust SDK. JSON in
//! `snake_case`, times in RFC 3339. No behaviour but the conversions from what the domain knows.
//!
//! What is received by the server refuses unknown fields; what is received by a client ignores them.

pub mod actions;
pub mod cluster;
pub mod commands;
pub mod hems;
pub mod history;
pub mod jobs;
pub mod live;
pub mod many_commands;
pub mod microgrids;
pub mod operations;
pub mod paging;
pub mod problem;
pub mod readings;
#[cfg(feature = "openapi")]
pub mod schemas;
pub mod session;
pub mod why;
pub mod wishes;

pub use actions::{Action, ActionName};
pub use cluster::{Cluster, ClusterProcess};
pub use commands::{
    Command, CommandAsker, CommandEvidence, CommandSighting, CommandStep, NewCommand,
};
pub use hems::{
    DeviceKey, Hem, HemChange, HemDetail, HemNode, KeyStateName, NewHem, NewHemCreated,
};
pub use history::{HistoryPoint, HistorySeries};
pub use jobs::{
    App, Job, JobChange, JobLogEntry, JobResultItem, JobStateName, NewJob, WantedJobState,
};
pub use live::{LiveDevice, LiveEvent, LiveJobReport, LiveMessage};
pub use many_commands::{CommandTaken, CommandsTaken, NewCommands};
pub use microgrids::{
    EnrolmentToken, Microgrid, MicrogridChange, MicrogridLimits, NewEnrolmentToken,
    NewEnrolmentTokenCreated, NewMicrogrid, Totals,
};
pub use operations::{Away, Health, HealthState, TreeActor};
pub use paging::Page;
pub use problem::Problem;
pub use readings::{NodeValues, RawEvent, RawReading};
pub use session::WhoAmI;
pub use why::{Why, WhyClaim, WhySetting};
pub use wishes::{
    JobTokenCreated, NewWish, NewWishes, NodeOfHem, WishTaken, WishedAction, WishesTaken,
};

use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use memcloud_domain::{NodeId, Timestamp};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a whole number as JSON Schema understands it: `7.0` is one too.
pub(crate) fn whole<'de, D, N>(deserializer: D) -> Result<Option<N>, D::Error>
where
    D: serde::Deserializer<'de>,
    N: TryFrom<i64>,
{
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    // Without a fraction and below 2^53 in size, a double is exactly the whole number that it shows.
    let exact = |value: f64| value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
    let value = number
        .as_i64()
        .or_else(|| number.as_f64().filter(|value| exact(*value)).map(|value| value as i64));
    value.and_then(|value| N::try_from(value).ok()).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!("{number} is not a whole number in its bounds"))
    })
}

/// Reads a whole number that must be there.
pub(crate) fn whole_given<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i64>,
{
    whole(deserializer)?.ok_or_else(|| D::Error::custom("null is not a whole number"))
}

/// Reads a node's number.
pub(crate) fn whole_node<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NodeId>, D::Error> {
    whole::<D, u8>(deserializer).map(|node| node.map(NodeId))
}

/// Reads a node's number that must be there.
pub(crate) fn whole_node_given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<NodeId, D::Error> {
    whole_given::<D, u8>(deserializer).map(NodeId)
}

/// A struct that is written as an object: what serde derives would take a list of its fields as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnObject<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for AnObject<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(AnObject(PhantomData)).map(Self)
    }
}

/// Reads a list of objects.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let items = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|item| item.0).collect())
}

/// A domain moment as it is written in bodies.
pub(crate) fn moment(ts: Timestamp) -> DateTime<Utc> {
    ts.to_datetime()
}

#[cfg(test)]
mod tests {
    use crate::NewEnrolmentToken;

    #[test]
    fn a_whole_number_may_be_written_with_a_point_but_not_have_a_fraction() {
        let uses = |text: &str| {
            serde_json::from_str::<NewEnrolmentToken>(&format!("{{\"uses\":{text}}}"))
                .map(|token| token.uses)
        };
        assert_eq!(uses("7").unwrap(), Some(7));
        assert_eq!(uses("7.0").unwrap(), Some(7));
        assert_eq!(uses("null").unwrap(), None);
        for bad in ["7.5", "-1", "1e300", "\"7\"", "true"] {
            assert!(uses(bad).is_err(), "{bad}");
        }
    }
}
