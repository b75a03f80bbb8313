//! A sample of a home's nodes.

use serde::{Deserialize, Serialize};

use crate::{Amps, Hertz, NodeId, Seq, StateOfCharge, Timestamp, Vars, Volts, WattHours, Watts};

/// What one node measured. Everything but its number may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NodeReading {
    /// Which node.
    pub node: NodeId,
    /// Active power, W; positive takes from the home's bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<Watts>,
    /// Voltage, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volts: Option<Volts>,
    /// Current, A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amps: Option<Amps>,
    /// Reactive power, var.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars: Option<Vars>,
    /// Frequency, Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hertz: Option<Hertz>,
    /// Counter of energy taken from the home's bus, Wh; only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wh_in: Option<WattHours>,
    /// Counter of energy fed to the home's bus, Wh; only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wh_out: Option<WattHours>,
    /// State of charge, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soc: Option<StateOfCharge>,
    /// Whether it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
}

impl NodeReading {
    /// A node of which nothing is known yet.
    #[must_use]
    pub fn empty(node: NodeId) -> Self {
        Self {
            node,
            watts: None,
            volts: None,
            amps: None,
            vars: None,
            hertz: None,
            wh_in: None,
            wh_out: None,
            soc: None,
            on: None,
        }
    }

    /// Takes what the newer sample says, and keeps the rest.
    pub fn update_from(&mut self, newer: &Self) {
        fn take<T>(kept: &mut Option<T>, newer: Option<T>) {
            if newer.is_some() {
                *kept = newer;
            }
        }
        take(&mut self.watts, newer.watts);
        take(&mut self.volts, newer.volts);
        take(&mut self.amps, newer.amps);
        take(&mut self.vars, newer.vars);
        take(&mut self.hertz, newer.hertz);
        take(&mut self.wh_in, newer.wh_in);
        take(&mut self.wh_out, newer.wh_out);
        take(&mut self.soc, newer.soc);
        take(&mut self.on, newer.on);
    }
}

/// One numbered sample of any of a HEM's nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its number, which is its identity.
    pub seq: Seq,
    /// When the HEM took it.
    pub ts: Timestamp,
    /// When the cloud received it.
    pub received: Timestamp,
    /// What the nodes measured.
    pub nodes: Vec<NodeReading>,
}

impl Reading {
    /// When it was taken, as far as that can be believed: a time that lies ahead of its receipt counts
    /// as the receipt, so that a HEM whose clock ran ahead is not taken to be of tomorrow.
    #[must_use]
    pub fn taken(&self) -> Timestamp {
        self.ts.min(self.received)
    }
}
