//! What `/health/ready` asks of the actors: what is away, and why.

use std::sync::Arc;
use std::time::Duration;

use memcloud_bus::CloudBus;
use memcloud_historian::GetHealth;
use memcloud_rest::Away;
use memcloud_supervision::Port;

use crate::api::HealthProbe;

/// How long `/health/ready` waits for a store's answer.
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);

pub(super) fn historian_health(port: Port<GetHealth>) -> HealthProbe {
    Arc::new(move || {
        let port = port.clone();
        Box::pin(async move {
            match port.ask(GetHealth, HEALTH_DEADLINE).await {
                Ok(health) => {
                    health.away.into_iter().map(|away| shown(away.what, away.reason)).collect()
                }
                Err(error) => vec![shown("historian", error.to_string())],
            }
        })
    })
}

pub(super) fn registrar_health(port: Port<memcloud_registry::GetHealth>) -> HealthProbe {
    Arc::new(move || {
        let port = port.clone();
        Box::pin(async move {
            match port.ask(memcloud_registry::GetHealth, HEALTH_DEADLINE).await {
                Ok(Ok(())) => Vec::new(),
                Ok(Err(away)) => vec![shown(away.what, away.reason)],
                Err(error) => vec![shown("registrar", error.to_string())],
            }
        })
    })
}

pub(super) fn commands_health(port: Port<memcloud_commands::GetHealth>) -> HealthProbe {
    Arc::new(move || {
        let port = port.clone();
        Box::pin(async move {
            match port.ask(memcloud_commands::GetHealth, HEALTH_DEADLINE).await {
                Ok(health) => {
                    let away = health.away.into_iter();
                    away.map(|away| shown("commands", away.to_string())).collect()
                }
                Err(error) => vec![shown("commands", error.to_string())],
            }
        })
    })
}

/// Why the broker lets nothing through. Readings are stored all the same, but nobody hears of them
/// at once.
pub(super) fn bus_health(bus: CloudBus) -> HealthProbe {
    Arc::new(move || {
        let away = bus.away();
        Box::pin(async move { away.map(|reason| shown("bus", reason)).into_iter().collect() })
    })
}

fn shown(what: &str, reason: String) -> Away {
    Away { what: what.to_owned(), reason }
}
