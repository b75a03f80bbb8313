//! Brings the collections and their indexes up to date, under a lock: of several processes that start
//! at a time one does it, the others wait.
//!
//! Steps only expand: a process of the version before goes on working beside them. What is no longer
//! used is dropped by a later version.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{IndexOptions, ReturnDocument};
use serde::Deserialize;

use super::documents::{
    CHUNKS, COUNTERS, DIRTY, EVENTS, HEMS, MICROGRIDS, REFUSALS, ROLLUPS, RUNS, SCHEMA,
};
use super::server::{Server, away, is_duplicate};
use crate::StoreError;

/// The version that this code reads and writes.
const VERSION: i32 = 1;
/// So long one process may be at it before another one takes over: steps may be done twice.
const LOCKED_MILLIS: i64 = 60_000;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a waiting process looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const KEY: &str = "telemetry";

#[derive(Deserialize)]
struct State {
    version: i32,
}

pub(super) fn bring_up_to_date(server: &Server) -> Result<(), StoreError> {
    server.run(PATIENCE, async {
        insert_first(server).await.map_err(away)?;
        loop {
            let states = server.database.collection::<State>(SCHEMA);
            let state = states.find_one(doc! { "_id": KEY }).await.map_err(away)?;
            let version = state.map_or(0, |state| state.version);
            if version > VERSION {
                return Err(StoreError::Migration {
                    path: format!("the database {}", server.database.name()),
                    reason: format!(
                        "it is of version {version}, this program knows {VERSION}; start a newer one"
                    ),
                });
            }
            if version == VERSION {
                return Ok(());
            }
            if take_lock(server).await.map_err(away)? {
                step_to_1(server).await.map_err(away)?;
                finish(server).await.map_err(away)?;
            } else {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    })
}

async fn insert_first(server: &Server) -> Result<(), Error> {
    let inserted = server
        .database
        .collection::<Document>(SCHEMA)
        .insert_one(doc! { "_id": KEY, "version": 0 })
        .await;
    match inserted {
        Err(error) if !is_duplicate(&error) => Err(error),
        _ => Ok(()),
    }
}

/// By the server's clock.
async fn take_lock(server: &Server) -> Result<bool, Error> {
    let free = doc! {
        "_id": KEY,
        "version": { "$lt": VERSION },
        "$expr": { "$lt": [{ "$ifNull": ["$locked_until", { "$toDate": 0_i64 }] }, "$$NOW"] },
    };
    let until = doc! { "$set": { "locked_until": { "$add": ["$$NOW", LOCKED_MILLIS] } } };
    let taken = server
        .database
        .collection::<Document>(SCHEMA)
        .find_one_and_update(free, vec![until])
        .return_document(ReturnDocument::After)
        .await?;
    Ok(taken.is_some())
}

async fn finish(server: &Server) -> Result<(), Error> {
    let change = doc! { "$set": { "version": VERSION }, "$unset": { "locked_until": "" } };
    let filter = doc! { "_id": KEY, "version": { "$lt": VERSION } };
    server.database.collection::<Document>(SCHEMA).update_one(filter, change).await?;
    Ok(())
}

async fn step_to_1(server: &Server) -> Result<(), Error> {
    // Made beforehand: a transaction that makes a collection gets into the way of others.
    for name in [HEMS, MICROGRIDS, RUNS, CHUNKS, EVENTS, REFUSALS, ROLLUPS, DIRTY, COUNTERS] {
        match server.database.create_collection(name).await {
            Err(error) if !exists_already(&error) => return Err(error),
            _ => {}
        }
    }
    let sealable =
        IndexOptions::builder().partial_filter_expression(doc! { "sealable": true }).build();
    let moving = IndexOptions::builder().partial_filter_expression(doc! { "moving": true }).build();
    let unique = IndexOptions::builder().unique(true).build();
    let none = IndexOptions::default();
    let wide = doc! { "_id.h": 1, "_id.s": 1, "last_seq": 1, "min_ts": 1, "max_ts": 1 };
    for (collection, keys, options) in [
        (HEMS, doc! { "hem": 1 }, unique),
        (HEMS, doc! { "microgrid": 1, "hem": 1 }, none.clone()),
        (HEMS, doc! { "sealable": 1 }, sealable),
        (MICROGRIDS, doc! { "moving": 1 }, moving),
        (CHUNKS, wide, none.clone()),
        (DIRTY, doc! { "_id.l": 1, "due": 1 }, none),
    ] {
        let index = IndexModel::builder().keys(keys).options(options).build();
        server.database.collection::<Document>(collection).create_index(index).await?;
    }
    Ok(())
}

fn exists_already(error: &Error) -> bool {
    const NAMESPACE_EXISTS: i32 = 48;
    matches!(error.kind.as_ref(), ErrorKind::Command(command) if command.code == NAMESPACE_EXISTS)
}
