//! What is ordered of the homes, how far that is, and why: asked of the same actors that REST asks.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::messages::ListCommands;
use memcloud_domain::{
    ClaimFate, CommandRecord, CommandState, HemId, HemStatus, MicrogridId, NodeId, NodeWhy,
};
use memcloud_microgrid::ExplainNodes;
use tokio::sync::watch;

use crate::api::{CommandPorts, DispatchPorts};
use crate::cloud::Cloud;
use crate::demo_view::{CommandLine, DemoSnapshot, HomeWhy, asked, ordered, short_name};

const DEADLINE: Duration = Duration::from_secs(2);
/// So many of the newest commands are looked at.
const MOST_COMMANDS: usize = 50;
/// Of more homes than this it is only asked what is ordered of the chosen one.
const MOST_EXPLAINED: usize = 100;

type Names = BTreeMap<(HemId, NodeId), String>;

/// Asks what is steered.
pub(super) struct SteeringSampler {
    commands: CommandPorts,
    dispatch: DispatchPorts,
    /// The home that the person looks at.
    chosen: watch::Receiver<Option<String>>,
    names: Names,
}

impl SteeringSampler {
    pub(super) fn new(cloud: &Cloud, chosen: watch::Receiver<Option<String>>) -> Self {
        Self {
            commands: cloud.commands().clone(),
            dispatch: DispatchPorts::of(cloud.cmo()),
            chosen,
            names: Names::new(),
        }
    }

    /// Learns what nodes are called.
    pub(super) fn learn(&mut self, status: &HemStatus) {
        for declared in status.nodes.iter().filter_map(|node| node.declaration.as_ref()) {
            let place = (status.hem.clone(), declared.node);
            self.names.entry(place).or_insert_with(|| short_name(declared));
        }
    }

    /// Puts what is steered into the picture. Who does not answer in time stays as he was.
    pub(super) async fn sample(&self, microgrid: &MicrogridId, snapshot: &mut DemoSnapshot) {
        let newest = ListCommands {
            microgrid: Some(microgrid.clone()),
            limit: MOST_COMMANDS,
            ..ListCommands::default()
        };
        if let Ok(Ok(page)) = self.commands.list.ask(newest, DEADLINE).await {
            snapshot.commands =
                page.items.iter().map(|record| command_line(record, &self.names)).collect();
        }
        let chosen = self.chosen.borrow().clone();
        let chosen = chosen.or_else(|| snapshot.homes.first().map(|home| home.name.clone()));
        let Some(chosen) = chosen.and_then(|home| HemId::new(&home).ok()) else { return };
        let of_one = (snapshot.homes.len() > MOST_EXPLAINED).then(|| chosen.clone());
        let question = ExplainNodes { microgrid: microgrid.clone(), hem: of_one };
        let Ok(Ok(nodes)) = self.dispatch.explain.ask(question, DEADLINE).await else { return };
        for home in &mut snapshot.homes {
            home.ordered = nodes
                .iter()
                .filter(|why| why.hem.as_str() == home.name)
                .flat_map(|why| orders(why, &self.names))
                .collect();
        }
        let of_chosen = nodes.iter().filter(|why| why.hem == chosen);
        snapshot.why = Some(HomeWhy { home: chosen.to_string(), sentences: sentences(of_chosen) });
    }
}

fn name_of(names: &Names, hem: &HemId, node: NodeId) -> String {
    let known = names.get(&(hem.clone(), node)).cloned();
    known.unwrap_or_else(|| format!("node {node}"))
}

/// What holds at a node, in a few words each.
fn orders(why: &NodeWhy, names: &Names) -> Vec<String> {
    let name = name_of(names, &why.hem, why.node);
    why.settings.iter().map(|held| ordered(&name, held.setting)).collect()
}

/// The sentences of a home: first the nodes where something holds, then those of which something is
/// wanted. Of nodes of which nothing is, there is nothing to say.
fn sentences<'a>(nodes: impl Iterator<Item = &'a NodeWhy>) -> Vec<String> {
    let mut told: Vec<(u8, &NodeWhy)> = nodes
        .filter_map(|why| {
            let is_refused = |claim: &memcloud_domain::Claim| claim.fate == ClaimFate::Refused;
            let rank = match () {
                () if !why.settings.is_empty() => 0,
                () if why.claims.iter().any(is_refused) => 1,
                () if !why.claims.is_empty() => 2,
                () => return None,
            };
            Some((rank, why))
        })
        .collect();
    told.sort_by_key(|(rank, why)| (*rank, why.node));
    if told.is_empty() {
        return vec!["nothing is ordered: everything does as the home wants.".to_owned()];
    }
    told.into_iter().map(|(_, why)| why.sentence.clone()).collect()
}

fn command_line(record: &CommandRecord, names: &Names) -> CommandLine {
    let node = record.node.map(|node| name_of(names, &record.hem, node));
    CommandLine {
        id: record.id.clone(),
        at: record.issued,
        home: record.hem.to_string(),
        what: asked(node.as_deref(), record.as_sent()),
        state: record.state,
        by: record.asker.shown(),
        because: because(record),
    }
}

/// Why it was asked for; of one that did not come to be, why not.
fn because(record: &CommandRecord) -> String {
    let last = record.history.last();
    let failure = match record.state {
        CommandState::Ineffective
        | CommandState::Refused
        | CommandState::Failed
        | CommandState::Expired
        | CommandState::Unconfirmed => last.and_then(|step| step.because.clone()),
        _ => None,
    };
    failure.unwrap_or_else(|| record.reason.clone())
}
