//! How much one token may ask for. What is beyond is refused after a pause: a program that hammers
//! waits for each refusal, so that it slows itself and not its neighbours.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::Method;
use memcloud_domain::Role;
use tokio::time::Instant;
use uuid::Uuid;

use super::caller::Identity;
use super::error::{ApiError, ErrorCode};

/// How long a refusal is held back.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);
/// So many refusals are held back at a time; more are said at once, and their connections closed.
const MOST_HELD: usize = 1_000;
/// So many tokens are watched at a time; there are no more tokens than that.
const MOST_TOKENS: usize = 10_000;
/// How many seconds' worth may come in a burst.
const BURST_SECONDS: f64 = 2.0;

/// How much may be asked for a second; 0: as much as anyone likes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Writes of a token.
    pub(crate) writes: u32,
    /// Requests of any kind of a job's token.
    pub(crate) job_requests: u32,
}

/// Counts what each token asks for.
#[derive(Debug)]
pub(crate) struct Limiter {
    rates: Rates,
    buckets: Mutex<HashMap<Uuid, Bucket>>,
    held: Arc<AtomicUsize>,
}

/// What a token may still ask for.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// A refusal that is held back; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Limiter {
    /// Nobody has asked for anything yet.
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, buckets: Mutex::default(), held: Arc::default() }
    }

    /// Takes a request into account.
    ///
    /// # Errors
    /// `too-many-requests`.
    pub(crate) fn take(
        &self,
        who: &Identity,
        method: &Method,
        now: Instant,
    ) -> Result<(), ApiError> {
        let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let (rate, what, key) = match who.access.role {
            Role::Job => (self.rates.job_requests, "requests", "http.max_job_requests"),
            _ if is_read => return Ok(()),
            _ => (self.rates.writes, "writes", "http.max_writes"),
        };
        if rate == 0 || self.has_room(who.id, f64::from(rate), now) {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::TooManyRequests,
            format!("this token may send {rate} {what} a second (`{key}`), and has sent more"),
        )
        .retry_after(Duration::from_secs(1)))
    }

    fn has_room(&self, token: Uuid, rate: f64, now: Instant) -> bool {
        let most = rate * BURST_SECONDS;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_TOKENS && !buckets.contains_key(&token) {
            // Who has not asked for as long as a burst takes to come back may be forgotten.
            let full_again = Duration::from_secs_f64(BURST_SECONDS);
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < full_again);
            if buckets.len() >= MOST_TOKENS {
                return false;
            }
        }
        let bucket = buckets.entry(token).or_insert(Bucket { left: most, at: now });
        let regained = now.saturating_duration_since(bucket.at).as_secs_f64() * rate;
        bucket.left = (bucket.left + regained).min(most);
        bucket.at = now;
        let has_room = bucket.left >= 1.0;
        if has_room {
            bucket.left -= 1.0;
        }
        has_room
    }

    /// A place to hold a refusal back, if there is one.
    pub(crate) fn hold(&self) -> Option<Held> {
        let one_more = |held: usize| (held < MOST_HELD).then_some(held + 1);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Held(Arc::clone(&self.held)))
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::Access;

    use super::*;

    fn who(role: Role, id: u128) -> Identity {
        let access = Access { role, microgrid: None };
        Identity { id: Uuid::from_u128(id), name: "a script".to_owned(), access, job: None }
    }

    fn limiter() -> Limiter {
        Limiter::new(Rates { writes: 10, job_requests: 2 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_may_write_in_a_burst_and_then_at_its_rate() {
        let limiter = limiter();
        let start = Instant::now();
        let write = |who: &Identity, now| limiter.take(who, &Method::POST, now).is_ok();
        let one = who(Role::Operator, 1);
        assert_eq!((0..50).filter(|_| write(&one, start)).count(), 20);
        assert!(write(&who(Role::Operator, 2), start), "another token has its own");
        assert!(limiter.take(&one, &Method::GET, start).is_ok(), "reading is free");
        let later = start + Duration::from_secs(1);
        assert_eq!((0..50).filter(|_| write(&one, later)).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_job_asks_counts() {
        let limiter = limiter();
        let now = Instant::now();
        let job = who(Role::Job, 1);
        let asked = (0..10).filter(|_| limiter.take(&job, &Method::GET, now).is_ok()).count();
        assert_eq!(asked, 4);
        let error = limiter.take(&job, &Method::POST, now).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooManyRequests);
        let unlimited = Limiter::new(Rates { writes: 0, job_requests: 0 });
        assert!((0..1_000).all(|_| unlimited.take(&job, &Method::POST, now).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let limiter = limiter();
        let start = Instant::now();
        for id in 0..MOST_TOKENS as u128 {
            assert!(limiter.take(&who(Role::Admin, id), &Method::POST, start).is_ok());
        }
        let one_more = who(Role::Admin, u128::MAX);
        assert!(limiter.take(&one_more, &Method::POST, start).is_err());
        let later = start + Duration::from_secs(3);
        assert!(limiter.take(&one_more, &Method::POST, later).is_ok());
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
        let held: Vec<_> = std::iter::from_fn(|| limiter.hold()).collect();
        assert_eq!(held.len(), MOST_HELD);
        drop(held);
        assert!(limiter.hold().is_some());
    }
}
