//! Transactions: tried again while others are in the way, and never left open.
//!
//! A process that dies within a transaction leaves its documents held until the server gives that
//! transaction up, after a minute. Whoever is in the way of such a one for longer than a moment ends
//! it: a transaction of ours of which nothing was heard for [`IDLE`].

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::ReadConcern;
use tokio::time::Instant;

use super::IOT_STORE;
use super::server::{APPLICATION, DUPLICATE_KEY, Server, away, is_duplicate};
use crate::StoreError;

/// The pauses between tries grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// After so long in vain, abandoned transactions are looked for; no more often than this.
const IDLE: Duration = Duration::from_secs(1);
/// How long ending a transaction that failed may take.
const ABORTING: Duration = Duration::from_secs(1);

/// Why a try came to nothing.
pub(super) enum Failure {
    /// The server says so.
    Server(Error),
    /// We do.
    Store(StoreError),
    /// Another transaction was in between: the next try sees what it did.
    Again,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    /// Whether the next try may succeed, because only another transaction was in the way.
    fn may_be_tried_again(&self) -> bool {
        match self {
            Self::Server(error) => error.contains_label(TRANSIENT_TRANSACTION_ERROR),
            Self::Store(_) => false,
            Self::Again => true,
        }
    }

    fn into_error(self) -> StoreError {
        match self {
            Self::Server(error) if is_duplicate(&error) => {
                StoreError::Conflict { what: "what was to be written", reason: error.to_string() }
            }
            Self::Server(error) => away(error),
            Self::Store(error) => error,
            Self::Again => StoreError::Away {
                what: IOT_STORE,
                reason: "other processes write of the same HEMs all the time".to_owned(),
                source: None,
            },
        }
    }
}

/// Does some work in a transaction: all of it, or nothing. Tried again within the server's patience.
///
/// Where the answer to the commit is lost it is asked for again, of whoever is primary then. Should
/// that be in vain too, the caller is told that the store is away, and whatever it asks next decides:
/// the mark says whether it is there.
pub(super) fn transact<T>(
    server: &Server,
    session: &mut ClientSession,
    work: impl AsyncFn(&mut ClientSession) -> Result<T, Failure>,
) -> Result<T, StoreError> {
    let result = server.run(server.patience, attempts(server, session, work));
    if result.is_err() {
        // Also after a wait that was cut off in the middle.
        let _ = server.run(ABORTING, async { session.abort_transaction().await.map_err(away) });
    }
    result
}

async fn attempts<T>(
    server: &Server,
    session: &mut ClientSession,
    work: impl AsyncFn(&mut ClientSession) -> Result<T, Failure>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    let mut looked = begun;
    loop {
        let failure = match attempt(session, &work).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        if !failure.may_be_tried_again() || begun.elapsed() + pause > server.patience {
            return Err(failure.into_error());
        }
        // It may be over already.
        let _ = session.abort_transaction().await;
        if looked.elapsed() >= IDLE {
            looked = Instant::now();
            if let Err(error) = end_abandoned(server).await {
                log::warn!("transactions that were abandoned cannot be ended: {error}");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt<T>(
    session: &mut ClientSession,
    work: &impl AsyncFn(&mut ClientSession) -> Result<T, Failure>,
) -> Result<T, Failure> {
    session.start_transaction().await?;
    let done = work(session).await?;
    loop {
        match session.commit_transaction().await {
            Ok(()) => return Ok(done),
            // Bounded by the patience of whoever waits for the attempts.
            Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                tokio::time::sleep(LONGEST_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends transactions of ours in which nothing has happened for a while: their process is gone, or
/// hangs. One that wakes finds its transaction gone, and begins anew with what is stored then.
pub(super) async fn end_abandoned(server: &Server) -> Result<(), Error> {
    let admin = server.client.database("admin");
    let idle = i64::try_from(IDLE.as_micros()).unwrap_or(i64::MAX);
    let mut found = admin
        .aggregate([
            doc! { "$currentOp": { "allUsers": false, "idleSessions": true } },
            doc! { "$match": {
                "type": "idleSession",
                "appName": APPLICATION,
                "transaction.timeInactiveMicros": { "$gt": idle },
            } },
            doc! { "$project": { "id": "$lsid.id" } },
        ])
        // Of this server, as it is: there is no other for it.
        .read_concern(ReadConcern::local())
        .await?;
    let mut sessions = Vec::new();
    while found.advance().await? {
        let one = Document::try_from(found.current()).unwrap_or_default();
        if let Some(id) = one.get("id") {
            sessions.push(doc! { "id": id.clone() });
        }
    }
    if !sessions.is_empty() {
        log::warn!("ended {} transactions that their process had abandoned", sessions.len());
        admin.run_command(doc! { "killSessions": sessions }).await?;
    }
    Ok(())
}

/// Updates many documents with one command, each by its own statement; answers how many were found or
/// made.
pub(super) async fn update(
    server: &Server,
    session: &mut ClientSession,
    collection: &str,
    statements: Vec<Document>,
) -> Result<usize, Failure> {
    let mut found = 0;
    for part in statements.chunks(STATEMENTS) {
        let command = doc! { "update": collection, "updates": part.to_vec(), "ordered": true };
        let told = server.database.run_command(command).session(&mut *session).await?;
        if let Some(error) = write_error(&told) {
            return Err(error);
        }
        let count = told.get("n").and_then(number).unwrap_or(0);
        found += usize::try_from(count).unwrap_or(0);
    }
    Ok(found)
}

/// Statements in one command: far below what a server takes.
const STATEMENTS: usize = 2_000;

fn number(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// A command that ran may still tell of statements that did not.
fn write_error(told: &Document) -> Option<Failure> {
    let first = told.get_array("writeErrors").ok()?.first()?.as_document()?;
    if first.get("code").and_then(number) == Some(i64::from(DUPLICATE_KEY)) {
        return Some(Failure::Again);
    }
    let reason = first.get_str("errmsg").unwrap_or("a write failed").to_owned();
    Some(StoreError::Away { what: IOT_STORE, reason, source: None }.into())
}
