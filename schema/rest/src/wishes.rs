//! What a job that runs elsewhere (of the app `external`) wants of homes.

use memcloud_domain::{HemId, JobId, MicrogridId, NodeId, Secret, Setting, Watts, Wish};
use serde::{Deserialize, Serialize};

use crate::actions::WrongArgument;
#[cfg(feature = "openapi")]
use crate::schemas;

/// How a node can be wanted to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WishedAction {
    /// On or off: `on`.
    Switch,
    /// Hold a power: `watts`, positive takes from the home's bus.
    SetPower,
    /// Stay at or under a size of power: `watts`.
    LimitPower,
}

/// The most wishes, and the most withdrawals, of one request.
pub const MOST_WISHES: usize = 1_000;

/// What a job wants of a node. It stands until its lease ends, it is withdrawn, or the job wishes anew
/// for the node and the same action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewWish {
    /// Which HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub hem: HemId,
    /// Which node.
    #[serde(deserialize_with = "crate::whole_node_given")]
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub node: NodeId,
    /// How it is to be.
    pub action: WishedAction,
    /// Of `switch`: on?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// Of `set-power` and `limit-power`, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub watts: Option<Watts>,
    /// For how long, unless it is wished again.
    #[serde(deserialize_with = "crate::whole_given")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    pub lease_seconds: u32,
    /// Why, in a sentence.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Sentence))]
    pub reason: String,
}

impl NewWish {
    /// How the node is wanted to be.
    ///
    /// # Errors
    /// Names the argument that is missing, or that the action does not take.
    pub fn setting(&self) -> Result<Setting, WrongArgument> {
        let wrong = |field, reason: &str| WrongArgument { field, reason: reason.to_owned() };
        match (self.action, self.on, self.watts) {
            (WishedAction::Switch, Some(on), None) => Ok(Setting::Switch { on }),
            (WishedAction::Switch, None, _) => Err(wrong("on", "switch needs it")),
            (WishedAction::Switch, Some(_), Some(_)) => Err(wrong("watts", "switch takes on")),
            (_, Some(_), _) => Err(wrong("on", "a power takes watts")),
            (_, None, None) => Err(wrong("watts", "a power needs it")),
            (WishedAction::SetPower, None, Some(watts)) => Ok(Setting::Power { watts }),
            (WishedAction::LimitPower, None, Some(watts)) => Ok(Setting::Limit { watts }),
        }
    }

    /// The wish.
    ///
    /// # Errors
    /// As [`NewWish::setting`].
    pub fn wish(&self) -> Result<Wish, WrongArgument> {
        Ok(Wish {
            hem: self.hem.clone(),
            node: self.node,
            setting: self.setting()?,
            lease_ms: u64::from(self.lease_seconds) * 1_000,
            reason: self.reason.clone(),
        })
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeOfHem {
    /// Which HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub hem: HemId,
    /// Which node.
    #[serde(deserialize_with = "crate::whole_node_given")]
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub node: NodeId,
}

/// What a job wants now. Nothing at all is a sign of life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(example = json!({
    "wishes": [{
        "hem": "home-1", "node": 5, "action": "switch", "on": false, "lease_seconds": 120,
        "reason": "12.4 of today's 12 kWh are used"
    }],
    "withdraw": [{"hem": "home-2", "node": 5}]
})))]
#[serde(deny_unknown_fields)]
pub struct NewWishes {
    /// What it wants; each takes the place of its earlier one for the node and action.
    #[serde(default, deserialize_with = "crate::objects")]
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub wishes: Vec<NewWish>,
    /// Nodes of which it wants nothing any more.
    #[serde(default, deserialize_with = "crate::objects")]
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub withdraw: Vec<NodeOfHem>,
}

/// What was taken of a job's wishes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishesTaken {
    /// How many wishes were taken: dispatch weighs them. `GET /hems/{hem}/why` says what became of them.
    pub taken: u64,
    /// How many were not.
    pub refused: u64,
    /// How many wishes of the job stand now, these included.
    pub standing: u64,
    /// Wish by wish, in their order.
    pub items: Vec<WishTaken>,
}

/// What was done with one wish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WishTaken {
    /// Which HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub hem: HemId,
    /// Which node.
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub node: NodeId,
    /// How it was to be.
    pub action: WishedAction,
    /// Whether it was taken.
    pub taken: bool,
    /// Why not, or what was made of it, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A job's own token, shown this once. With it its program reads its microgrid and wishes for this job,
/// and nothing else. The one before no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobTokenCreated {
    /// The token's id.
    pub id: String,
    /// What is sent as `Authorization: Bearer`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Secret,
    /// Whose it is.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub job: JobId,
    /// What it may look at.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub microgrid: MicrogridId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_says_how_the_node_is_to_be() {
        let wish = |arguments: &str| {
            let text = format!(
                r#"{{"wishes":[{{"hem":"h","node":5,"lease_seconds":60,"reason":"r",{arguments}}}]}}"#
            );
            serde_json::from_str::<NewWishes>(&text).unwrap().wishes[0].wish()
        };
        let off = wish(r#""action":"switch","on":false"#).unwrap();
        assert_eq!((off.setting, off.lease_ms), (Setting::Switch { on: false }, 60_000));
        let power = wish(r#""action":"set-power","watts":-800"#).unwrap();
        assert_eq!(power.setting, Setting::Power { watts: Watts(-800.0) });
        assert_eq!(wish(r#""action":"switch""#).unwrap_err().field, "on");
        assert_eq!(wish(r#""action":"limit-power""#).unwrap_err().field, "watts");
        assert_eq!(wish(r#""action":"limit-power","on":true,"watts":1"#).unwrap_err().field, "on");
    }

    #[test]
    fn a_wish_is_an_object_and_nothing_is_a_sign_of_life() {
        assert_eq!(serde_json::from_str::<NewWishes>("{}").unwrap(), NewWishes::default());
        let listed = r#"{"withdraw":[["h",5]]}"#;
        assert!(serde_json::from_str::<NewWishes>(listed).is_err());
        let unknown = r#"{"withdraw":[{"hem":"h","node":5,"why":"x"}]}"#;
        let error = serde_json::from_str::<NewWishes>(unknown).unwrap_err().to_string();
        assert!(error.contains("`why`"), "{error}");
    }
}
