//! The connection: every wait is bounded, every error is sorted by whether it may pass.

use std::future::Future;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{
    ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, SessionOptions,
    TransactionOptions, WriteConcern,
};
use mongodb::{Client, ClientSession, Database};
use tokio::runtime::Runtime;

use super::{IOT_STORE, MongoOptions};
use crate::StoreError;

/// What our connections call themselves, so that our transactions can be told from others'.
pub(super) const APPLICATION: &str = "memcloud";
/// The database, where the URL names none.
const DATABASE: &str = "memcloud";
/// Threads that serve the driver: it only moves bytes.
const DRIVER_THREADS: usize = 2;
/// Connections to a server, at most.
const CONNECTIONS: u32 = 16;
/// The server's code for a key that is there already.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

/// A client with a runtime of its own, so that it may be used from any blocking thread.
pub(super) struct Server {
    runtime: Option<Runtime>,
    pub(super) client: Client,
    pub(super) database: Database,
    pub(super) patience: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without waiting: a store may be dropped where nothing may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(super) fn away(error: Error) -> StoreError {
    StoreError::Away { what: IOT_STORE, reason: reason(&error), source: Some(Box::new(error)) }
}

fn too_slow(patience: Duration) -> StoreError {
    let reason = format!("MongoDB has not answered within {} ms", patience.as_millis());
    StoreError::Away { what: IOT_STORE, reason, source: None }
}

/// In a line. The driver's own words for a server that is not found hold the whole topology.
fn reason(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => format!("{} ({})", command.message, command.code_name),
        ErrorKind::ServerSelection { .. } => {
            format!("no MongoDB server takes writes now, or none is reached: {}", error.kind)
        }
        kind => kind.to_string(),
    }
}

/// Whether a unique key refused a write.
pub(super) fn is_duplicate(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => command.code == DUPLICATE_KEY,
        ErrorKind::Write(WriteFailure::WriteError(one)) => one.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(many) => {
            many.write_errors.iter().flatten().any(|one| one.code == DUPLICATE_KEY)
        }
        _ => false,
    }
}

fn wrong_url(reason: impl Into<String>) -> StoreError {
    StoreError::Invalid { what: "the URL of MongoDB", reason: reason.into() }
}

impl Server {
    /// Connects, and sees that the server can keep our promises.
    pub(super) fn connect(url: &str, options: &MongoOptions) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(DRIVER_THREADS)
            .thread_name("mongodb")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Away {
                what: IOT_STORE,
                reason: "no threads for the driver".to_owned(),
                source: Some(Box::new(error)),
            })?;
        let patience = options.patience;
        let bounded = async {
            match tokio::time::timeout(patience, ClientOptions::parse(url)).await {
                Ok(Ok(parsed)) => Ok(parsed),
                Ok(Err(error)) if matches!(error.kind.as_ref(), ErrorKind::DnsResolve { .. }) => {
                    Err(away(error))
                }
                // What the driver says of a URL names its parts, not its password.
                Ok(Err(error)) => Err(wrong_url(error.kind.to_string())),
                Err(_) => Err(too_slow(patience)),
            }
        };
        let mut client_options = runtime.block_on(bounded)?;
        client_options.app_name = Some(APPLICATION.to_owned());
        client_options.server_selection_timeout = Some(options.server_selection);
        client_options.connect_timeout = Some(options.server_selection);
        client_options.max_pool_size = Some(CONNECTIONS);
        client_options.retry_writes = Some(true);
        client_options.retry_reads = Some(true);
        client_options.read_concern = Some(ReadConcern::majority());
        client_options.write_concern = Some(durable());
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        client_options.selection_criteria = Some(primary);
        let name = client_options.default_database.clone();
        let name = name.unwrap_or_else(|| DATABASE.to_owned());
        // The driver starts its tasks where it is made.
        let client = {
            let _entered = runtime.enter();
            Client::with_options(client_options)
                .map_err(|error| wrong_url(error.kind.to_string()))?
        };
        let database = client.database(&name);
        let server = Self { runtime: Some(runtime), client, database, patience };
        server.see_that_it_fits()?;
        Ok(server)
    }

    /// A lone server has no transactions, and no majority.
    fn see_that_it_fits(&self) -> Result<(), StoreError> {
        let admin = self.client.database("admin");
        let hello = admin.run_command(doc! { "hello": 1 });
        let told = self.run(self.patience, async { hello.await.map_err(refused_or_away) })?;
        let is_set =
            told.contains_key("setName") || told.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        if !is_set {
            return Err(wrong_url(
                "this mongod stands alone; MEMCloud needs a replica set (one member is enough): start \
                 mongod with --replSet and run rs.initiate() once",
            ));
        }
        // What needs a right is what shows whether the user has it.
        let names = self.database.list_collection_names();
        self.run(self.patience, async { names.await.map_err(refused_or_away) })?;
        Ok(())
    }

    /// Waits for some work, but not longer than it may take.
    pub(super) fn run<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime else { return Err(too_slow(patience)) };
        runtime.block_on(async {
            match tokio::time::timeout(patience, work).await {
                Ok(result) => result,
                Err(_) => Err(too_slow(patience)),
            }
        })
    }

    /// Waits for one answer of the driver's.
    pub(super) fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        self.run(self.patience, async { work.await.map_err(away) })
    }

    /// A session for transactions.
    pub(super) fn writing(&self) -> Result<ClientSession, StoreError> {
        let transactions = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(durable())
            .build();
        let options = SessionOptions::builder().default_transaction_options(transactions).build();
        self.wait(async { self.client.start_session().with_options(options).await })
    }

    /// A session all of whose reads see the same moment, and nothing that a failing primary could
    /// take back.
    pub(super) fn snapshot(&self) -> Result<ClientSession, StoreError> {
        let options = SessionOptions::builder().snapshot(true).build();
        self.wait(async { self.client.start_session().with_options(options).await })
    }
}

/// On the disks of most servers.
fn durable() -> WriteConcern {
    let mut concern = WriteConcern::majority();
    concern.journal = Some(true);
    concern
}

/// While a store is opened: what the server refuses, a person must change.
fn refused_or_away(error: Error) -> StoreError {
    const UNAUTHORIZED: i32 = 13;
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => wrong_url(
            "the server does not accept the user and password; check them, and authSource (the database \
             that the user was made in)",
        ),
        ErrorKind::Command(command) if command.code == UNAUTHORIZED => wrong_url(format!(
            "the user may not use this database; give it the role readWrite there ({})",
            command.message
        )),
        _ => away(error),
    }
}
