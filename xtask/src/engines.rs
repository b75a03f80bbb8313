//! Keeps the real engines that the tests talk to: installs what is missing, starts each on a spare
//! port with its data under `target/engines/`, and stops what it started.

mod install;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use memcloud_test_engines::{AMQP, MONGOD, MONGODB, MYSQL, MariaDb, MongoDb, RabbitMq, is_ci};

use crate::layout;

pub(crate) use self::install::debian_packages;

/// Which engines to keep.
#[derive(Args)]
pub(crate) struct Options {
    /// Which to start; all of them if none is named.
    engines: Vec<EngineName>,
}

/// An engine that tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    #[value(name = "rabbitmq")]
    RabbitMq,
    #[value(name = "mariadb")]
    MariaDb,
    #[value(name = "mongodb")]
    MongoDb,
}

impl EngineName {
    pub(crate) const ALL: [Self; 3] = [Self::RabbitMq, Self::MariaDb, Self::MongoDb];

    /// Where tests read its address.
    fn variable(self) -> &'static str {
        match self {
            Self::RabbitMq => AMQP,
            Self::MariaDb => MYSQL,
            Self::MongoDb => MONGODB,
        }
    }
}

/// What is kept alive; dropping it stops it.
enum Engine {
    RabbitMq(RabbitMq),
    MariaDb(MariaDb),
    MongoDb(MongoDb),
}

impl Engine {
    fn start(name: EngineName, folder: &Path) -> anyhow::Result<Self> {
        match name {
            EngineName::RabbitMq => {
                install::rabbitmq()?;
                Ok(Self::RabbitMq(RabbitMq::start(folder)?))
            }
            EngineName::MariaDb => {
                install::mariadb()?;
                Ok(Self::MariaDb(MariaDb::start(folder)?))
            }
            EngineName::MongoDb => {
                let mongod = install::mongod(&engines_folder())?;
                Ok(Self::MongoDb(MongoDb::start(&mongod, folder)?))
            }
        }
    }

    fn url(&self) -> String {
        match self {
            Self::RabbitMq(rabbit) => rabbit.url(),
            Self::MariaDb(maria) => maria.url(),
            Self::MongoDb(mongo) => mongo.url(),
        }
    }
}

/// The engines of one run. Dropping it stops those that it started, and removes their data.
pub(crate) struct Engines {
    started: Vec<Engine>,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Engines {
    /// Starts these engines, but those that the environment already names.
    ///
    /// An engine that cannot be had is left out, aloud: the tests that need it leave themselves out.
    /// With `CI=true` it is an error.
    pub(crate) fn start(wanted: &[EngineName]) -> anyhow::Result<Self> {
        remove_what_killed_runs_left();
        let folder = engines_folder().join(format!("run-{}", std::process::id()));
        let mut engines = Self { started: Vec::new(), folder, environment: Vec::new() };
        for &name in wanted {
            let variable = name.variable();
            if std::env::var(variable).is_ok_and(|url| !url.is_empty()) {
                eprintln!("engines: {name:?} is the one that {variable} names");
                continue;
            }
            let below = engines.folder.join(format!("{name:?}").to_lowercase());
            match Engine::start(name, &below) {
                Ok(engine) => {
                    eprintln!("engines: {name:?} answers at {}", engine.url());
                    engines.environment.push((variable, engine.url()));
                    if name == EngineName::MongoDb {
                        let program = install::mongod(&engines_folder())?;
                        engines.environment.push((MONGOD, program.display().to_string()));
                    }
                    engines.started.push(engine);
                }
                Err(error) if is_ci() => {
                    return Err(error.context(format!("{name:?} is needed, since CI is set")));
                }
                Err(error) => eprintln!(
                    "engines: the tests that need {name:?} ({variable}) are LEFT OUT: {error:#}"
                ),
            }
        }
        match install::haproxy() {
            Ok(()) => {}
            Err(error) if is_ci() => {
                return Err(error.context("HAProxy is needed, since CI is set"));
            }
            Err(error) => {
                eprintln!("engines: the tests of several processes are LEFT OUT: {error:#}");
            }
        }
        Ok(engines)
    }

    /// Whether there is such an engine, started here or named by the environment.
    pub(crate) fn has(&self, name: EngineName) -> bool {
        let variable = name.variable();
        self.environment.iter().any(|(known, _)| *known == variable)
            || std::env::var(variable).is_ok_and(|url| !url.is_empty())
    }

    /// The variables that name them to the tests.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(variable, url)| (*variable, url.as_str())).collect()
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.started.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `cargo xtask engines`: keeps them until Ctrl-C.
#[expect(clippy::print_stdout, reason = "the lines are for a shell")]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let wanted =
        if options.engines.is_empty() { &EngineName::ALL[..] } else { &options.engines[..] };
    let engines = Engines::start(wanted)?;
    if engines.started.is_empty() {
        bail!("no engine was started");
    }
    println!("# For another terminal, then `cargo test` there. Ctrl-C here stops them.");
    for (variable, url) in engines.environment() {
        println!("export {variable}='{url}'");
    }
    // However this process ends, also by Ctrl-C, the servers' guards notice and stop them.
    loop {
        std::thread::park();
    }
}

fn engines_folder() -> PathBuf {
    layout::root().join("target/engines")
}

/// A run that was killed could not remove its data; its servers are gone with it.
fn remove_what_killed_runs_left() {
    let Ok(entries) = fs::read_dir(engines_folder()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix("run-") else { continue };
        if !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
