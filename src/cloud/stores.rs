//! Opens the stores and finds the keys, before any actor starts; each error says which setting to
//! change.

use std::sync::Arc;

use anyhow::Context;
use memcloud_hem::TlsFiles;
use memcloud_historian::ThrottledStore;
use memcloud_registry::{Listing, PageRequest, Registry, SqlRegistry};
use memcloud_store::StoreError;
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::mongo::MongoOptions;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{MongoTelemetry, SqliteTelemetry, TelemetryStore};
use memcloud_supervision::Scope;

use crate::config::{self, Configuration, IotPlace};
use crate::keys;

pub(super) fn open_registry(configuration: &Configuration) -> anyhow::Result<SqlRegistry> {
    let address = configuration.web_store_address()?;
    SqlRegistry::open_at(&address)
        .with_context(|| format!("the web store {address} cannot be opened (web_store.url)"))
}

/// On a blocking thread: a server may take its time.
pub(super) async fn open_telemetry(
    scope: &Scope,
    configuration: &Configuration,
) -> anyhow::Result<Arc<dyn TelemetryStore>> {
    let (place, historian) = (configuration.iot_place(), configuration.historian.clone());
    let shown = place.to_string();
    scope
        .offload(move || open_at(place, &historian))
        .await?
        .with_context(|| format!("the iot store {shown} cannot be opened (iot_store.url)"))
}

fn open_at(
    place: IotPlace,
    historian: &config::Historian,
) -> Result<Arc<dyn TelemetryStore>, StoreError> {
    let chunk_readings = historian.chunk_entries;
    let rate = historian.throttle_entries_per_second;
    match place {
        IotPlace::File(path) => {
            let options = SqliteOptions { chunk_readings, ..SqliteOptions::default() };
            Ok(slowed(SqliteTelemetry::open(Location::new(path), options)?, rate))
        }
        IotPlace::Mongo(url) => {
            let options = MongoOptions { chunk_readings, ..MongoOptions::default() };
            Ok(slowed(MongoTelemetry::open(&url, options)?, rate))
        }
    }
}

fn slowed(store: impl TelemetryStore, rate: u32) -> Arc<dyn TelemetryStore> {
    if rate == 0 {
        return Arc::new(store);
    }
    log::warn!(
        "the iot store is slowed to {rate} entries a second (historian.throttle_entries_per_second)"
    );
    Arc::new(ThrottledStore::new(store, u64::from(rate)))
}

/// The TLS files; made where that harms nobody: the folder has none, and no HEM trusts others yet.
pub(super) fn keys_for(
    configuration: &Configuration,
    registry: &dyn Registry,
) -> anyhow::Result<TlsFiles> {
    let folder = &configuration.keys.dir;
    if keys::is_empty(folder) {
        if !registry.hems(None, &PageRequest::first(1))?.items.is_empty() {
            anyhow::bail!(
                "{} has no keys, and HEMs are registered that trust others; put those keys there, set keys.dir, \
                 or make new ones with `memcloud keys` and give HEMs the new ca-cert.pem",
                folder.display()
            );
        }
        let made = keys::make(folder, &configuration.keys.names)?;
        log::info!(
            "made TLS keys in {}; clients trust {}",
            folder.display(),
            made.ca_certificate.display()
        );
    }
    let files = keys::Made::at(folder);
    Ok(TlsFiles {
        certificate: files.certificate,
        private_key: files.private_key,
        client_ca: configuration.hem.client_ca.clone(),
    })
}

/// Days are in their microgrid's time zone from the first roll-up on.
pub(super) async fn set_time_zones(
    scope: &Scope,
    registry: &Arc<dyn Registry>,
    store: &Arc<dyn TelemetryStore>,
) -> anyhow::Result<()> {
    let (registry, store) = (Arc::clone(registry), Arc::clone(store));
    scope
        .offload(move || -> anyhow::Result<()> {
            let mut page = PageRequest::first(PageRequest::MAX_LIMIT);
            loop {
                let Listing { items, next } = registry.microgrids(&page)?;
                for microgrid in items {
                    let zone = microgrid.time_zone.parse().unwrap_or(chrono_tz::UTC);
                    store.set_time_zone(&microgrid.id, zone)?;
                }
                let Some(next) = next else { return Ok(()) };
                page.after = Some(next);
            }
        })
        .await?
}
