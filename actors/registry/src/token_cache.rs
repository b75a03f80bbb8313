//! API tokens that were found good a moment ago, so that a request costs no database. Each is believed
//! for a short time only: another process on the same database may have revoked it.

use std::collections::HashMap;
use std::time::Duration;

use memcloud_store::registry::{ApiToken, SecretHash};
use tokio::time::Instant;
use uuid::Uuid;

/// API tokens that were found good a moment ago, by their hashes.
#[derive(Debug)]
pub(crate) struct TokenCache {
    tokens: HashMap<[u8; 32], (ApiToken, Instant)>,
    trust: Duration,
    capacity: usize,
    /// How often something was forgotten: what was read before that is not to be remembered after it.
    forgettings: u64,
}

/// When a token began to be looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookUp {
    began: Instant,
    forgettings: u64,
}

impl TokenCache {
    pub(crate) fn new(trust: Duration, capacity: usize) -> Self {
        Self { tokens: HashMap::new(), trust, capacity: capacity.max(1), forgettings: 0 }
    }

    /// A token that is still believed.
    pub(crate) fn get(&self, hash: &SecretHash, now: Instant) -> Option<&ApiToken> {
        let (token, since) = self.tokens.get(hash.as_bytes())?;
        (now.duration_since(*since) < self.trust).then_some(token)
    }

    /// To be called before the database is asked.
    pub(crate) fn begin(&self, now: Instant) -> LookUp {
        LookUp { began: now, forgettings: self.forgettings }
    }

    /// Remembers what the database said; that nobody has a token is not remembered.
    pub(crate) fn finish(&mut self, look_up: LookUp, hash: &SecretHash, found: Option<&ApiToken>) {
        let Some(token) = found.filter(|_| look_up.forgettings == self.forgettings) else {
            self.tokens.remove(hash.as_bytes());
            return;
        };
        if self.tokens.len() >= self.capacity {
            let trust = self.trust;
            self.tokens.retain(|_, (_, since)| look_up.began.duration_since(*since) < trust);
            if self.tokens.len() >= self.capacity {
                self.tokens.clear();
            }
        }
        self.tokens.insert(*hash.as_bytes(), (token.clone(), look_up.began));
    }

    /// Forgets a token that was revoked.
    pub(crate) fn forget(&mut self, id: Uuid) {
        self.forgettings += 1;
        self.tokens.retain(|_, (token, _)| token.id != id);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.forgettings += 1;
        self.tokens.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{Access, Role, Secret, Timestamp};

    use super::*;

    fn token(id: u128) -> (SecretHash, ApiToken) {
        let token = ApiToken {
            id: Uuid::from_u128(id),
            name: "script".to_owned(),
            access: Access { role: Role::Viewer, microgrid: None },
            job: None,
            created: Timestamp(0),
        };
        (SecretHash::of(&Secret::new(id.to_string())), token)
    }

    fn cache() -> TokenCache {
        TokenCache::new(Duration::from_secs(2), 3)
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_believed_for_a_while_and_then_asked_about_again() {
        let mut cache = cache();
        let (hash, token) = token(1);
        let start = Instant::now();
        cache.finish(cache.begin(start), &hash, Some(&token));
        assert_eq!(cache.get(&hash, start + Duration::from_millis(1_999)), Some(&token));
        assert_eq!(cache.get(&hash, start + Duration::from_secs(2)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_revoked_while_it_was_looked_up_is_not_remembered() {
        let mut cache = cache();
        let (hash, token) = token(1);
        let look_up = cache.begin(Instant::now());
        cache.forget(token.id);
        cache.finish(look_up, &hash, Some(&token));
        assert_eq!(cache.get(&hash, Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn more_tokens_than_the_bound_are_never_remembered() {
        let mut cache = cache();
        for id in 0..1_000 {
            let (hash, token) = token(id);
            cache.finish(cache.begin(Instant::now()), &hash, Some(&token));
            assert!(cache.len() <= 3);
            assert!(cache.get(&hash, Instant::now()).is_some());
        }
    }
}
