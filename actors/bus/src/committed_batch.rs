//! One HEM's share of a commit, as a microgrid's own bus carries it: it shares the commit's memory,
//! so that ten jobs do not make ten copies of every reading.

use std::sync::Arc;

use memcloud_domain::messages::HemBatch;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One HEM's batch within a commit. On a wire it is the batch alone.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedBatch {
    commit: Arc<Vec<HemBatch>>,
    index: usize,
}

impl CommittedBatch {
    /// The batches of a commit, each by itself.
    pub fn of_commit(commit: &Arc<Vec<HemBatch>>) -> impl Iterator<Item = Self> + '_ {
        (0..commit.len()).map(|index| Self { commit: Arc::clone(commit), index })
    }

    /// The batch.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the index is within the commit by construction")]
    pub fn batch(&self) -> &HemBatch {
        &self.commit[self.index]
    }
}

impl From<HemBatch> for CommittedBatch {
    fn from(batch: HemBatch) -> Self {
        Self { commit: Arc::new(vec![batch]), index: 0 }
    }
}

impl Serialize for CommittedBatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.batch().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CommittedBatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(HemBatch::deserialize(deserializer)?))
    }
}
