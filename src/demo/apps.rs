//! The apps of the demo, set so that a person sees them at work on a handful of homes.

use memcloud_domain::MicrogridId;
use memcloud_emulator::nodes::WATER_HEATER;
use memcloud_registry::{Clerk, CreateJob, ListJobs, PageRequest};
use memcloud_worker::AppCatalogue;
use serde_json::{Value, json};

/// Net import over which `limit-watch` raises an alarm, W per home.
const ALARM_WATTS: f64 = 2_000.0;
/// Net import under which `peak-shaving` holds the microgrid, W per home.
const PEAK_WATTS: f64 = 700.0;
/// Loads up to this priority may be shed: the water heaters and the cars.
const SHED_UP_TO: i32 = 30;

struct App {
    name: &'static str,
    configuration: Value,
    priority: i32,
}

/// Deploys the apps, unless someone has deployed jobs there already. An app that this build does not
/// have is left out.
pub(super) fn deploy(clerk: &Clerk, microgrid: &MicrogridId, homes: usize) -> anyhow::Result<()> {
    let page = PageRequest::first(1);
    if !clerk.carry_out(ListJobs { microgrid: Some(microgrid.clone()), page })?.items.is_empty() {
        return Ok(());
    }
    let catalogue = AppCatalogue::standard();
    for app in apps(homes) {
        if catalogue.get(app.name).is_err() {
            log::info!(
                "the demo goes without the app {}, which this build does not have",
                app.name
            );
            continue;
        }
        clerk.carry_out(CreateJob {
            microgrid: microgrid.clone(),
            app: app.name.to_owned(),
            configuration: catalogue.validate(app.name, &app.configuration)?,
            priority: app.priority,
        })?;
    }
    Ok(())
}

fn apps(homes: usize) -> [App; 5] {
    #[expect(clippy::cast_precision_loss, reason = "nobody demonstrates 2^52 homes")]
    let homes = homes as f64;
    [
        App { name: "energy-accounting", configuration: json!({}), priority: 0 },
        App {
            name: "limit-watch",
            configuration: json!({ "limit_watts": homes * ALARM_WATTS }),
            priority: 0,
        },
        App { name: "self-consumption", configuration: json!({}), priority: 10 },
        App {
            name: "peak-shaving",
            configuration: json!({
                "import_limit_watts": homes * PEAK_WATTS,
                "between_peaks": "leave_to_others",
                "shed_up_to_priority": SHED_UP_TO,
            }),
            priority: 20,
        },
        // Water is heated while the sun shines, so that at any hour a load is seen being steered.
        App {
            name: "schedule",
            configuration: json!({
                "schedules": [{
                    "node": WATER_HEATER.0,
                    "times": [{ "at": "10:00", "on": true }, { "at": "16:00", "on": false }],
                }],
            }),
            priority: 5,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_app_of_the_demo_takes_its_configuration() {
        let catalogue = AppCatalogue::standard();
        for app in apps(5) {
            assert!(catalogue.get(app.name).is_ok(), "{}", app.name);
            assert!(catalogue.validate(app.name, &app.configuration).is_ok(), "{}", app.name);
        }
    }
}
