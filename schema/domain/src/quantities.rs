//! Physical quantities, each a type of its own, so that watts are never added to watt-hours.
//!
//! Sign convention (passive) at every node: positive watts take power from the home's bus (a
//! load, a charging battery, export to the grid), negative watts feed it (PV, discharging, import).

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0.0);
            /// The unit's symbol.
            pub const UNIT: &'static str = $unit;

            /// The bare number.
            #[must_use]
            pub fn value(self) -> f64 {
                self.0
            }

            /// The size without the sign.
            #[must_use]
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!("{} ", $unit), self.0)
            }
        }
    };
}

quantity!(
    /// Active power.
    Watts, "W"
);
quantity!(
    /// Energy.
    WattHours, "Wh"
);
quantity!(
    /// Voltage, root mean square.
    Volts, "V"
);
quantity!(
    /// Current, root mean square.
    Amps, "A"
);
quantity!(
    /// Reactive power.
    Vars, "var"
);
quantity!(
    /// Line frequency.
    Hertz, "Hz"
);
quantity!(
    /// How full a battery is, from 0 to 1.
    StateOfCharge, ""
);

/// No home measures more, in whichever unit.
const GREATEST_CREDIBLE: f64 = 1e15;

/// Whether a home can have measured this. JSON carries values up to 1.8e308: they are stored as they
/// came, but a sum that takes one in is lost, and two make it infinite, which JSON cannot carry.
#[must_use]
pub fn is_credible(value: f64) -> bool {
    value.abs() <= GREATEST_CREDIBLE
}

/// What a connection to the grid may carry: a microgrid's or a home's. An absent limit is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PowerLimits {
    /// The most that may be imported, W.
    pub import_watts: Option<Watts>,
    /// The most that may be exported, W.
    pub export_watts: Option<Watts>,
}

/// What can be asked of a node's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Active power, W.
    Watts,
    /// Voltage, V.
    Volts,
    /// Current, A.
    Amps,
    /// Reactive power, var.
    Vars,
    /// Frequency, Hz.
    Hertz,
    /// State of charge, 0 to 1.
    Soc,
    /// Energy taken from the home's bus, Wh per bucket.
    EnergyIn,
    /// Energy fed to the home's bus, Wh per bucket.
    EnergyOut,
}

impl Quantity {
    /// All of them, in the order of their names in the documentation.
    pub const ALL: [Self; 8] = [
        Self::Watts,
        Self::Volts,
        Self::Amps,
        Self::Vars,
        Self::Hertz,
        Self::Soc,
        Self::EnergyIn,
        Self::EnergyOut,
    ];

    /// The name used in REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watts => "watts",
            Self::Volts => "volts",
            Self::Amps => "amps",
            Self::Vars => "vars",
            Self::Hertz => "hertz",
            Self::Soc => "soc",
            Self::EnergyIn => "energy_in",
            Self::EnergyOut => "energy_out",
        }
    }

    /// The unit's symbol; empty for a ratio.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Watts => Watts::UNIT,
            Self::Volts => Volts::UNIT,
            Self::Amps => Amps::UNIT,
            Self::Vars => Vars::UNIT,
            Self::Hertz => Hertz::UNIT,
            Self::Soc => StateOfCharge::UNIT,
            Self::EnergyIn | Self::EnergyOut => WattHours::UNIT,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Quantity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|quantity| quantity.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!(
                "\"{}\" is not a quantity; there are {known}",
                text.chars().take(40).collect::<String>()
            )
        })
    }
}
