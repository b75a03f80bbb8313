//! What the `CommandProcessor` knows of HEMs: their nodes, for the judgement of effects, and how far
//! their readings are stored. Bounded; of a HEM that finds no place effects are judged without.

use std::collections::HashMap;
use std::sync::Arc;

use memcloud_domain::{Epoch, HemId, NodeDeclaration, Seq};

#[derive(Debug, Default)]
struct KnownHem {
    epoch: Epoch,
    nodes: Arc<[NodeDeclaration]>,
    mark: Option<Seq>,
}

/// What is known of HEMs.
#[derive(Debug)]
pub(crate) struct KnownHems {
    limit: usize,
    hems: HashMap<HemId, KnownHem>,
}

impl KnownHems {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, hems: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.hems.len()
    }

    pub(crate) fn knows(&self, hem: &HemId) -> bool {
        self.hems.contains_key(hem)
    }

    pub(crate) fn knows_nodes(&self, hem: &HemId) -> bool {
        self.hems.get(hem).is_some_and(|known| !known.nodes.is_empty())
    }

    /// The epoch of its newest connection; the lowest where nobody said it.
    pub(crate) fn epoch(&self, hem: &HemId) -> Epoch {
        self.hems.get(hem).map_or(Epoch(0), |known| known.epoch)
    }

    pub(crate) fn nodes(&self, hem: &HemId) -> Arc<[NodeDeclaration]> {
        self.hems.get(hem).map(|known| Arc::clone(&known.nodes)).unwrap_or_default()
    }

    /// Its highest stored number.
    pub(crate) fn mark(&self, hem: &HemId) -> Option<Seq> {
        self.hems.get(hem)?.mark
    }

    pub(crate) fn connected(
        &mut self,
        hem: &HemId,
        epoch: Epoch,
        mark: Seq,
        nodes: Vec<NodeDeclaration>,
    ) {
        let Some(known) = self.place(hem) else { return };
        known.epoch = known.epoch.max(epoch);
        known.nodes = nodes.into();
        known.mark = known.mark.max(Some(mark));
    }

    pub(crate) fn declared(&mut self, hem: &HemId, nodes: Vec<NodeDeclaration>) {
        if let Some(known) = self.place(hem) {
            known.nodes = nodes.into();
        }
    }

    pub(crate) fn stored(&mut self, hem: &HemId, through: Seq) {
        if let Some(known) = self.hems.get_mut(hem) {
            known.mark = known.mark.max(Some(through));
        }
    }

    pub(crate) fn forget(&mut self, hem: &HemId) {
        self.hems.remove(hem);
    }

    fn place(&mut self, hem: &HemId) -> Option<&mut KnownHem> {
        if !self.hems.contains_key(hem) {
            if self.hems.len() >= self.limit {
                return None;
            }
            self.hems.insert(hem.clone(), KnownHem::default());
        }
        self.hems.get_mut(hem)
    }
}
