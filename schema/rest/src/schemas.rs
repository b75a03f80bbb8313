//! How the domain's own types look in the OpenAPI document. They are named in `value_type` alone and
//! never made.

use utoipa::ToSchema;

/// An id: of a microgrid, HEM, job or app.
#[derive(Debug, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[a-z0-9][a-z0-9_-]{0,62}$",
    min_length = 1,
    max_length = 63,
    example = "fontana"
)]
pub struct Id(pub String);

/// A name, for people: no control characters.
#[derive(Debug, ToSchema)]
#[schema(
    value_type = String,
    pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
    min_length = 1,
    max_length = 200,
    example = "Fontana, California"
)]
pub struct Name(pub String);

/// A sentence, for people: no control characters.
#[derive(Debug, ToSchema)]
#[schema(
    value_type = String,
    pattern = r"^[^\x00-\x1f\x7f-\x9f]*$",
    max_length = 500,
    example = "the feeder is close to its limit"
)]
pub struct Sentence(pub String);

/// A time zone, an IANA name.
#[derive(Debug, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[A-Za-z][A-Za-z0-9_+/-]*$",
    min_length = 1,
    max_length = 64,
    example = "America/Los_Angeles"
)]
pub struct TimeZone(pub String);

/// What a token or person may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Sees, and wishes for the one job that the token is for.
    Job,
    /// Sees, and runs.
    Operator,
    /// Sees, runs, and changes what there is.
    Admin,
}

/// What a node is to the home.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// The connection to the feeder.
    Grid,
    /// PV, wind, a generator.
    Source,
    /// A battery.
    Storage,
    /// A consumer.
    Load,
    /// A car's charging point.
    Charger,
}

/// What a node can be told to do.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeAction {
    /// On or off.
    Switch,
    /// Hold a power.
    SetPower,
    /// Stay under a power.
    LimitPower,
    /// On and off at given times.
    SetSchedule,
    /// How important the node is.
    SetPriority,
}

/// What a node falls back to when a lease ends.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
pub struct DefaultState {
    /// Whether it is on.
    pub on: Option<bool>,
    /// The power it holds, W.
    pub watts: Option<f64>,
}

/// What is odd about a HEM's data. More may come.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QualityFlag {
    /// Its clock is off by more than the tolerance.
    ClockSkew,
    /// A counter that only grows went back.
    CounterReset,
    /// Numbers, or time, are missing.
    Gap,
    /// Its nodes do not sum to about zero.
    NotConserved,
    /// It sends of nodes that it never declared; they are in no total.
    UndeclaredNode,
    /// What a node measures stands still though others move.
    Frozen,
    /// A node showed a power that it cannot have, and then an ordinary one again.
    Spike,
}

/// From what a series was made.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// One-minute roll-ups.
    Minute,
    /// Quarter-hour roll-ups.
    QuarterHour,
    /// Hour roll-ups.
    Hour,
    /// Day roll-ups, in the microgrid's time zone.
    Day,
}

/// How much a line of a job's log matters.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobLogLevel {
    /// Good to know.
    Info,
    /// Someone may want to look.
    Warn,
    /// The app failed.
    Error,
}

/// How far a command is. No state claims more than is proven.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommandState {
    /// On disk; not sent yet: it was not decided on, or the HEM is away.
    Accepted,
    /// Written as sent before its first byte left; the HEM has not answered.
    Sent,
    /// The HEM says that it carried it out.
    Acknowledged,
    /// Readings show it.
    Effective,
    /// Readings show that it had no effect.
    Ineffective,
    /// Its lease ended, and the node is back at its default.
    Reverted,
    /// It was turned down, by the cloud or by the HEM.
    Refused,
    /// The HEM tried, and it did not work.
    Failed,
    /// A later one took its place.
    Superseded,
    /// Taken back before it was sent.
    Cancelled,
    /// Certainly never carried out: not sent in time, or too late at the HEM.
    Expired,
    /// Sent, and nobody knows: no answer came. A late one still tells.
    Unconfirmed,
}

/// What became of something that is wanted of a node.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimFate {
    /// It holds as wanted.
    Holds,
    /// It holds within another's limit.
    Narrowed,
    /// Another won.
    Outranked,
    /// It may not be.
    Refused,
    /// It waits: for the HEM, for a limit's next minute.
    Waits,
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Each name that is documented is one that the domain knows.
    fn are_known<Documented: Serialize, Domain: DeserializeOwned + Serialize>(all: &[Documented]) {
        for documented in all {
            let text = serde_json::to_value(documented).unwrap();
            let domain: Domain = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(serde_json::to_value(domain).unwrap(), text);
        }
    }

    #[test]
    fn what_is_documented_is_what_the_domain_says() {
        are_known::<_, memcloud_domain::Role>(&[
            Role::Viewer,
            Role::Job,
            Role::Operator,
            Role::Admin,
        ]);
        are_known::<_, memcloud_domain::ClaimFate>(&[
            ClaimFate::Holds,
            ClaimFate::Narrowed,
            ClaimFate::Outranked,
            ClaimFate::Refused,
            ClaimFate::Waits,
        ]);
        let states = [
            CommandState::Accepted,
            CommandState::Sent,
            CommandState::Acknowledged,
            CommandState::Effective,
            CommandState::Ineffective,
            CommandState::Reverted,
            CommandState::Refused,
            CommandState::Failed,
            CommandState::Superseded,
            CommandState::Cancelled,
            CommandState::Expired,
            CommandState::Unconfirmed,
        ];
        assert_eq!(states.len(), memcloud_domain::CommandState::ALL.len());
        are_known::<_, memcloud_domain::CommandState>(&states);
        are_known::<_, memcloud_domain::NodeKind>(&[
            NodeKind::Grid,
            NodeKind::Source,
            NodeKind::Storage,
            NodeKind::Load,
            NodeKind::Charger,
        ]);
        are_known::<_, memcloud_domain::NodeAction>(&[
            NodeAction::Switch,
            NodeAction::SetPower,
            NodeAction::LimitPower,
            NodeAction::SetSchedule,
            NodeAction::SetPriority,
        ]);
        are_known::<_, memcloud_domain::QualityFlag>(&[
            QualityFlag::ClockSkew,
            QualityFlag::CounterReset,
            QualityFlag::Gap,
            QualityFlag::NotConserved,
            QualityFlag::UndeclaredNode,
            QualityFlag::Frozen,
            QualityFlag::Spike,
        ]);
        are_known::<_, memcloud_domain::Resolution>(&[
            Resolution::Minute,
            Resolution::QuarterHour,
            Resolution::Hour,
            Resolution::Day,
        ]);
        are_known::<_, memcloud_domain::JobLogLevel>(&[
            JobLogLevel::Info,
            JobLogLevel::Warn,
            JobLogLevel::Error,
        ]);
    }
}
