//! The real engines that tests talk to. `cargo xtask test` starts one of each and names them in the
//! environment; a test asks [`amqp`], [`mysql`] or [`mongodb`] for its address. A test of faults, which
//! must stop its engine and start it again, starts one of its own.
//!
//! Nothing here stands in for an engine, and nothing installs one: that is `xtask`'s.

mod guarded;
mod haproxy;
mod mariadb;
mod mongo_wire;
mod mongodb;
mod rabbitmq;

pub use guarded::{Guarded, spare_port, wait_until};
pub use haproxy::{Behind, HaProxy};
pub use mariadb::MariaDb;
pub use mongodb::MongoDb;
pub use rabbitmq::RabbitMq;

/// Names a RabbitMQ, e.g. `amqp://127.0.0.1:5672`.
pub const AMQP: &str = "MEMCLOUD_TEST_AMQP_URL";
/// Names a MariaDB or MySQL without a database, e.g. `mysql://root@127.0.0.1:3306`: tests make their own.
pub const MYSQL: &str = "MEMCLOUD_TEST_MYSQL_URL";
/// Names a MongoDB replica set, e.g. `mongodb://127.0.0.1:27017/?replicaSet=rs0`.
pub const MONGODB: &str = "MEMCLOUD_TEST_MONGODB_URL";
/// Where the program `mongod` is, for tests that start and kill servers of their own.
pub const MONGOD: &str = "MEMCLOUD_TEST_MONGOD";

/// The RabbitMQ that tests share; without one the test is left out.
///
/// # Panics
/// Without one where `CI` is set: there no test is left out.
#[must_use]
pub fn amqp() -> Option<String> {
    named(AMQP, "RabbitMQ")
}

/// The MariaDB that tests share; without one the test is left out.
///
/// # Panics
/// Without one where `CI` is set: there no test is left out.
#[must_use]
pub fn mysql() -> Option<String> {
    named(MYSQL, "MariaDB")
}

/// The MongoDB that tests share; without one the test is left out.
///
/// # Panics
/// Without one where `CI` is set: there no test is left out.
#[must_use]
pub fn mongodb() -> Option<String> {
    named(MONGODB, "MongoDB")
}

/// Whether nothing may be left out.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn named(variable: &str, engine: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        assert!(
            !is_ci(),
            "{variable} names no {engine}, and with CI=true no test is left out; run `cargo xtask test`"
        );
        eprintln!(
            "left out: {test} needs a {engine}; run `cargo xtask test`, or name one in {variable}"
        );
    }
    url
}
