//! What is kept of a POST with an `Idempotency-Key`, so that sending it again does nothing twice.

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use memcloud_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::RegistryError;
use super::connection::WebConnection;
use super::dialect::for_update;
use super::job::to_json;
use super::schema::idempotency;

/// Whose key it is: keys of different callers never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyScope {
    /// The caller, e.g. the id of its API token.
    pub principal: String,
    /// The key that it chose, at most 255 characters.
    pub key: String,
}

/// A POST that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Whose key it is.
    pub scope: IdempotencyScope,
    /// SHA-256 over method, path and body: the same key with another one is a mistake.
    pub fingerprint: [u8; 32],
}

/// How a POST with a key is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// It is new: do it, then keep the answer.
    Fresh,
    /// It was done: give the same answer.
    Replay(IdempotentAnswer),
    /// The key was used for something else: 422.
    Conflict,
    /// It was done, and the answer carried a secret, which is not kept: 409 `secret-shown`.
    SecretShown {
        /// The id of what was made.
        id: String,
    },
    /// The first one is still being done: 409, ask again later.
    InProgress,
}

/// What was answered to a POST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdempotentAnswer {
    /// An answer that may be given again.
    Body {
        /// The HTTP status.
        status: u16,
        /// The content type.
        content_type: String,
        /// The `Location`, if there was one.
        location: Option<String>,
        /// The body.
        body: String,
    },
    /// An answer that carried a secret: only the id of what was made is kept.
    Secret {
        /// The id of what was made.
        id: String,
    },
}

/// How long and how much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyLimits {
    /// How long an answer is kept.
    pub keep: Duration,
    /// How long a POST may take; after that it counts as never begun.
    pub lease: Duration,
    /// How many are kept, the newest.
    pub most: usize,
}

impl Default for IdempotencyLimits {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(60),
            most: 100_000,
        }
    }
}

/// The longest answer that is kept, in bytes of JSON.
const LONGEST_ANSWER: usize = 1 << 20;

/// A row of `idempotency`.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = idempotency, treat_none_as_null = true)]
struct Row {
    principal: String,
    idempotency_key: String,
    fingerprint: Vec<u8>,
    begun: i64,
    expires: i64,
    answer: Option<String>,
}

pub(super) fn begin(
    connection: &mut WebConnection,
    request: &IdempotentRequest,
    now: Timestamp,
    limits: &IdempotencyLimits,
) -> Result<Beginning, RegistryError> {
    let scope = &request.scope;
    let row = Row {
        principal: scope.principal.clone(),
        idempotency_key: scope.key.clone(),
        fingerprint: request.fingerprint.to_vec(),
        begun: now.as_millis(),
        expires: now.plus(limits.lease).as_millis(),
        answer: None,
    };
    // Of two processes that begin the same at once, the key lets one in: a look before would not.
    match diesel::insert_into(idempotency::table).values(&row).execute(connection) {
        Ok(_) => return Ok(Beginning::Fresh),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
        Err(error) => return Err(error.into()),
    }
    let its_place = idempotency::table.find((&scope.principal, &scope.key));
    let kept: Option<Row> =
        for_update(its_place.select(Row::as_select())).get_result(connection).optional()?;
    let Some(kept) = kept else {
        return Err(RegistryError::Contended { reason: "the key has just become free".to_owned() });
    };
    if kept.expires <= now.as_millis() {
        diesel::update(its_place).set(&row).execute(connection)?;
        return Ok(Beginning::Fresh);
    }
    if kept.fingerprint != request.fingerprint {
        return Ok(Beginning::Conflict);
    }
    let Some(answer) = kept.answer else { return Ok(Beginning::InProgress) };
    match serde_json::from_str(&answer) {
        Ok(IdempotentAnswer::Secret { id }) => Ok(Beginning::SecretShown { id }),
        Ok(answer) => Ok(Beginning::Replay(answer)),
        Err(error) => Err(RegistryError::corrupt("answer for Idempotency-Key", &scope.key, error)),
    }
}

pub(super) fn finish(
    connection: &mut WebConnection,
    scope: &IdempotencyScope,
    answer: Option<&IdempotentAnswer>,
    now: Timestamp,
    limits: &IdempotencyLimits,
) -> Result<(), RegistryError> {
    let row = idempotency::table.find((&scope.principal, &scope.key));
    let Some(answer) = answer else {
        diesel::delete(row).execute(connection)?;
        return Ok(());
    };
    let json = to_json("answer", answer)?;
    if json.len() > LONGEST_ANSWER {
        return Err(RegistryError::Invalid {
            what: "answer",
            reason: format!("at most {LONGEST_ANSWER} bytes are kept for an Idempotency-Key"),
        });
    }
    diesel::update(row)
        .set((
            idempotency::answer.eq(json),
            idempotency::expires.eq(now.plus(limits.keep).as_millis()),
        ))
        .execute(connection)?;
    Ok(())
}

pub(super) fn sweep(
    connection: &mut WebConnection,
    now: Timestamp,
    limits: &IdempotencyLimits,
) -> Result<usize, RegistryError> {
    let over = diesel::delete(idempotency::table.filter(idempotency::expires.le(now.as_millis())))
        .execute(connection)?;
    let newest_beyond: Option<i64> = idempotency::table
        .select(idempotency::begun)
        .order(idempotency::begun.desc())
        .offset(i64::try_from(limits.most).unwrap_or(i64::MAX))
        .limit(1)
        .first(connection)
        .optional()?;
    let Some(newest_beyond) = newest_beyond else { return Ok(over) };
    let beyond = diesel::delete(idempotency::table.filter(idempotency::begun.le(newest_beyond)))
        .execute(connection)?;
    Ok(over + beyond)
}
