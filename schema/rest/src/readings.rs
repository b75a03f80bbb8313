//! Raw readings and events.

use chrono::{DateTime, Utc};
use memcloud_domain::{
    Amps, HemEvent, Hertz, NodeId, NodeReading, Reading, Seq, StateOfCharge, Vars, Volts,
    WattHours, Watts,
};
use serde::{Deserialize, Serialize};

use crate::moment;

/// What one node measured. What it did not measure is absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeValues {
    /// Which node.
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub node: NodeId,
    /// Active power, W; positive takes from the home's bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub watts: Option<Watts>,
    /// Voltage, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub volts: Option<Volts>,
    /// Current, A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub amps: Option<Amps>,
    /// Reactive power, var.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub vars: Option<Vars>,
    /// Frequency, Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub hertz: Option<Hertz>,
    /// Counter of energy taken from the home's bus, Wh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub wh_in: Option<WattHours>,
    /// Counter of energy fed to the home's bus, Wh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub wh_out: Option<WattHours>,
    /// State of charge, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub soc: Option<StateOfCharge>,
    /// Whether it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
}

impl From<NodeReading> for NodeValues {
    fn from(reading: NodeReading) -> Self {
        Self {
            node: reading.node,
            watts: reading.watts,
            volts: reading.volts,
            amps: reading.amps,
            vars: reading.vars,
            hertz: reading.hertz,
            wh_in: reading.wh_in,
            wh_out: reading.wh_out,
            soc: reading.soc,
            on: reading.on,
        }
    }
}

/// A raw reading: one numbered sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RawReading {
    /// Its number, which is its identity.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub seq: Seq,
    /// When the HEM took it.
    pub ts: DateTime<Utc>,
    /// When the cloud received it.
    pub received: DateTime<Utc>,
    /// What the nodes measured.
    pub nodes: Vec<NodeValues>,
}

impl From<Reading> for RawReading {
    fn from(reading: Reading) -> Self {
        Self {
            seq: reading.seq,
            ts: moment(reading.ts),
            received: moment(reading.received),
            nodes: reading.nodes.into_iter().map(NodeValues::from).collect(),
        }
    }
}

/// A raw event: something that happened at a HEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RawEvent {
    /// Its number, from the same sequence as the readings'.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub seq: Seq,
    /// When it happened.
    pub ts: DateTime<Utc>,
    /// When the cloud received it.
    pub received: DateTime<Utc>,
    /// What happened: `relay-tripped`, `booted`, `low-battery`, `override`, …
    pub kind: String,
    /// At which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub node: Option<NodeId>,
    /// The switch position it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// The power it speaks of, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub watts: Option<Watts>,
    /// Until when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl From<HemEvent> for RawEvent {
    fn from(event: HemEvent) -> Self {
        Self {
            seq: event.seq,
            ts: moment(event.ts),
            received: moment(event.received),
            kind: event.kind,
            node: event.node,
            on: event.on,
            watts: event.watts,
            until: event.until.map(moment),
            text: event.text,
        }
    }
}
