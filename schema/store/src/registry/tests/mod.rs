//! The registry asked through its port. What one engine can, the other can: each test is a function of a
//! fresh registry, run on every engine that is there.

/// Makes of functions of a [`Fixture`] one test for each engine.
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[test]
                fn $test() {
                    super::$test(crate::registry::tests::fixture::sqlite());
                }
            )+
        }

        #[cfg(feature = "mysql")]
        mod mysql {
            $(
                #[test]
                fn $test() {
                    if let Some(registry) = crate::registry::tests::fixture::mysql() {
                        super::$test(registry);
                    }
                }
            )+
        }
    };
}

mod admission;
mod cluster;
mod commands;
mod file;
mod fixture;
mod idempotency;
mod jobs;
mod microgrids_and_hems;
mod processes;
#[cfg(feature = "mysql")]
mod server;
mod tokens;
mod transactions;

use memcloud_domain::{HemId, MicrogridId, PowerLimits, Secret, Timestamp};
use uuid::Uuid;

use self::fixture::{Fixture, sqlite};
use super::*;

impl Fixture {
    fn with_microgrid(self, id: &str) -> Self {
        self.create_microgrid(&a_microgrid(id)).unwrap();
        self
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
