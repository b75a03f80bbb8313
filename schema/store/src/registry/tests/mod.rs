//! The registry on real files, asked through its port.

mod admission;
mod commands;
mod file;
mod idempotency;
mod jobs;
mod microgrids_and_hems;
mod tokens;

use memcloud_domain::{HemId, MicrogridId, PowerLimits, Secret, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// A registry on a file of its own.
struct Fixture {
    registry: SqliteRegistry,
    folder: TempDir,
}

impl std::ops::Deref for Fixture {
    type Target = SqliteRegistry;

    fn deref(&self) -> &SqliteRegistry {
        &self.registry
    }
}

fn registry() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let registry = SqliteRegistry::open(folder.path().join("web.db")).unwrap();
    Fixture { registry, folder }
}

impl Fixture {
    fn with_microgrid(self, id: &str) -> Self {
        self.create_microgrid(&a_microgrid(id)).unwrap();
        self
    }

    /// The same file, as another process opens it.
    fn opened_again(&self) -> SqliteRegistry {
        SqliteRegistry::open(self.folder.path().join("web.db")).unwrap()
    }

    fn register(&self, id: &str, microgrid: &str, key: &str) -> Hem {
        self.register_hem(&NewHem {
            id: hem(id),
            microgrid: microgrid_id(microgrid),
            name: None,
            key: hash(key),
            created: Timestamp(0),
        })
        .unwrap()
    }
}

fn a_microgrid(id: &str) -> Microgrid {
    Microgrid {
        id: microgrid_id(id),
        name: format!("The grid of {id}"),
        time_zone: "UTC".to_owned(),
        limits: PowerLimits::default(),
        created: Timestamp(1_700_000_000_000),
    }
}

fn microgrid_id(id: &str) -> MicrogridId {
    MicrogridId::new(id).unwrap()
}

fn hem(id: &str) -> HemId {
    HemId::new(id).unwrap()
}

fn hash(secret: &str) -> SecretHash {
    SecretHash::of(&Secret::new(secret))
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}
