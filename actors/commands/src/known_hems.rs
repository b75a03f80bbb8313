//! What the `CommandProcessor` knows of HEMs: their nodes, for the judgement of effects, and how far
//! their readings are stored. Bounded; of a HEM that finds no place effects are judged without.

use std::collections::HashMap;
use std::sync::Arc;

use memcloud_domain::messages::HemConnected;
use memcloud_domain::{Epoch, HemId, MicrogridId, NodeDeclaration, ProcessId, Seq};

#[derive(Debug, Default)]
struct KnownHem {
    epoch: Epoch,
    nodes: Arc<[NodeDeclaration]>,
    mark: Option<Seq>,
    microgrid: Option<MicrogridId>,
    is_connected: bool,
    /// Whether anyone has said anything of it.
    is_heard: bool,
    /// Which process of a cluster has its socket.
    process: Option<ProcessId>,
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
        self.hems.get(hem).is_some_and(|known| known.is_heard)
    }

    /// Notes whose a HEM is.
    pub(crate) fn belongs(&mut self, hem: &HemId, microgrid: &MicrogridId) {
        if let Some(known) = self.place(hem)
            && known.microgrid.is_none()
        {
            known.microgrid = Some(microgrid.clone());
        }
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

    /// Whose it is, as it was heard last.
    pub(crate) fn microgrid(&self, hem: &HemId) -> Option<&MicrogridId> {
        self.hems.get(hem)?.microgrid.as_ref()
    }

    /// The HEMs of a microgrid that are connected, with their epochs.
    pub(crate) fn connected_in(&self, microgrid: &MicrogridId) -> Vec<(HemId, Epoch)> {
        let is_there =
            |known: &KnownHem| known.is_connected && known.microgrid.as_ref() == Some(microgrid);
        let there = self.hems.iter().filter(|(_, known)| is_there(known));
        there.map(|(hem, known)| (hem.clone(), known.epoch)).collect()
    }

    /// Connected HEMs whose process is not among these; they are not connected any more.
    pub(crate) fn lost_with_their_process(
        &mut self,
        live: &[ProcessId],
    ) -> Vec<(HemId, MicrogridId, Epoch)> {
        let mut lost = Vec::new();
        for (hem, known) in &mut self.hems {
            let is_gone = known.process.as_ref().is_some_and(|process| !live.contains(process));
            if known.is_connected && is_gone {
                known.is_connected = false;
                if let Some(microgrid) = &known.microgrid {
                    lost.push((hem.clone(), microgrid.clone(), known.epoch));
                }
            }
        }
        lost
    }

    /// A HEM was welcomed. Answers whose it was before, if that is another microgrid.
    pub(crate) fn connected(&mut self, fact: HemConnected) -> Option<MicrogridId> {
        let known = self.place(&fact.hem)?;
        if fact.epoch < known.epoch {
            return None;
        }
        known.epoch = fact.epoch;
        known.nodes = fact.nodes.into();
        known.mark = known.mark.max(Some(fact.mark));
        (known.is_heard, known.is_connected) = (true, true);
        known.process = fact.process;
        known.microgrid.replace(fact.microgrid.clone()).filter(|before| *before != fact.microgrid)
    }

    pub(crate) fn disconnected(&mut self, hem: &HemId, epoch: Epoch) {
        if let Some(known) = self.hems.get_mut(hem)
            && known.epoch <= epoch
        {
            known.is_connected = false;
        }
    }

    pub(crate) fn declared(&mut self, hem: &HemId, nodes: Vec<NodeDeclaration>) {
        if let Some(known) = self.place(hem) {
            known.nodes = nodes.into();
            known.is_heard = true;
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
