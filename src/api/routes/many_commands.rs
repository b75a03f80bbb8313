//! The same command for many homes. Never all or nothing: each home's are taken by themselves.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use futures_util::{StreamExt, stream};
use memcloud_domain::messages::{GetRoster, RequestCommands, RosterHem};
use memcloud_domain::{Asker, HemId, MicrogridId, NodeDeclaration, NodeId, NodeKind, Timestamp};
use memcloud_registry::Microgrid;
use memcloud_rest::{CommandTaken, CommandsTaken, NewCommands};

use crate::api::caller::{Authorised, Operator};
use crate::api::command_check::{Asked, invalid};
use crate::api::error::{ApiError, ApiResult};
use crate::api::extract::Body;
use crate::api::idempotency::{Made, Once};
use crate::api::owner::Original;
use crate::api::state::State;

/// How many HEMs may be commanded at once.
const MOST_HEMS: usize = 1_000;
/// How many commands may come of it.
const MOST_COMMANDS: usize = 10_000;
/// How many HEMs' commands are handed to the ledger at a time; it commits those together.
const AT_A_TIME: usize = 64;

/// Command many homes
///
/// Those of a microgrid, or some of them; of each the nodes that fit `kind`, `name` and `node`. What
/// became of it at each is in the answer.
#[utoipa::path(
    operation_id = "command_microgrid", tag = "Commands",
    request_body = NewCommands,
    responses((status = 202, body = CommandsTaken, description = "What can be is on disk, and on its way; the rest is explained."))
)]
#[post("/microgrids/{microgrid}/commands")]
pub(super) async fn make(
    microgrid: Authorised<Microgrid, Operator>,
    state: web::Data<State>,
    original: Original,
    once: Once,
    body: Body<NewCommands>,
) -> ApiResult<HttpResponse> {
    if let Some(answer) = original.elsewhere(&state, &microgrid.id, body.bytes.clone()).await? {
        return Ok(answer);
    }
    let NewCommands { hems, kind, name, node, critical, .. } = &body.value;
    let asked = Asked::read(&body.value.command(*node), Timestamp(state.clock.unix_ms()))?;
    let names_nodes = kind.is_some() || name.is_some() || node.is_some();
    match asked.action.control() {
        Some(_) if !names_nodes => {
            return Err(invalid("kind", "say which nodes: kind, name or node"));
        }
        None if names_nodes => {
            let reason = format!("{} is for the HEM itself; name no nodes", asked.action.name());
            return Err(invalid("kind", reason));
        }
        _ => {}
    }
    if hems.as_ref().is_some_and(|hems| hems.is_empty() || hems.len() > MOST_HEMS) {
        return Err(invalid("hems", format!("name from 1 to {MOST_HEMS} HEMs")));
    }
    let own = state.get_ref().clone();
    let selection = Selection {
        kind: *kind,
        name: name.as_deref().map(str::to_lowercase),
        node: *node,
        takes_critical: critical.unwrap_or(false),
        is_for_nodes: names_nodes,
    };
    let (id, hems, asker) = (microgrid.id.clone(), hems.clone(), microgrid.caller.asker());
    let work = async move {
        let homes = homes(&own, &id, hems).await?;
        let meant: usize = homes
            .iter()
            .filter_map(|(_, nodes)| nodes.as_deref())
            .map(|nodes| selection.of(nodes).len())
            .sum();
        if meant > MOST_COMMANDS {
            let reason = format!(
                "{meant} nodes are meant; at most {MOST_COMMANDS} can be commanded at a time"
            );
            return Err(invalid("hems", reason));
        }
        let taken = take_all(&own, &id, &homes, &selection, &asked, &asker).await;
        Made::without_path(StatusCode::ACCEPTED, &taken)
    };
    once.run(&state, &microgrid.caller, body.digest, work).await
}

/// A HEM that was named, with its nodes; absent where the microgrid has none of the name.
type Home = (HemId, Option<Vec<NodeDeclaration>>);

async fn homes(
    state: &State,
    microgrid: &MicrogridId,
    named: Option<Vec<HemId>>,
) -> ApiResult<Vec<Home>> {
    let roster = state
        .registrar
        .ask(GetRoster { microgrid: microgrid.clone() })
        .await?
        .ok_or_else(|| ApiError::not_found("microgrid", microgrid.as_str()))?;
    let Some(mut named) = named else {
        if roster.hems.len() > MOST_HEMS {
            let reason = format!(
                "the microgrid has {} HEMs; name at most {MOST_HEMS} at a time",
                roster.hems.len()
            );
            return Err(invalid("hems", reason));
        }
        return Ok(roster.hems.into_iter().map(|home| (home.hem, Some(home.nodes))).collect());
    };
    named.sort();
    named.dedup();
    let mut known: HashMap<HemId, RosterHem> =
        roster.hems.into_iter().map(|home| (home.hem.clone(), home)).collect();
    Ok(named
        .into_iter()
        .map(|hem| {
            let nodes = known.remove(&hem).map(|home| home.nodes);
            (hem, nodes)
        })
        .collect())
}

/// Which nodes of a HEM are meant.
struct Selection {
    kind: Option<NodeKind>,
    /// In lower case.
    name: Option<String>,
    node: Option<NodeId>,
    takes_critical: bool,
    is_for_nodes: bool,
}

impl Selection {
    /// The nodes that fit; one absent node for the HEM itself.
    fn of<'a>(&self, declared: &'a [NodeDeclaration]) -> Vec<Option<&'a NodeDeclaration>> {
        if !self.is_for_nodes {
            return vec![None];
        }
        let fits = |node: &&NodeDeclaration| {
            self.kind.is_none_or(|kind| node.kind == kind)
                && self.node.is_none_or(|number| node.node == number)
                && self.name.as_ref().is_none_or(|name| node.name.to_lowercase() == *name)
                && (self.takes_critical || node.critical != Some(true))
        };
        declared.iter().filter(fits).map(Some).collect()
    }

    /// The nodes that are meant, in a sentence.
    fn shown(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.kind.map(|kind| format!("of the kind {}", kind.as_str())));
        parts.extend(self.name.as_ref().map(|name| format!("named \"{name}\"")));
        parts.extend(self.node.map(|node| format!("with the number {node}")));
        if !self.takes_critical {
            parts.push("that is not critical".to_owned());
        }
        parts.join(" and ")
    }
}

async fn take_all(
    state: &State,
    microgrid: &MicrogridId,
    homes: &[Home],
    selection: &Selection,
    asked: &Asked,
    asker: &Asker,
) -> CommandsTaken {
    let items: Vec<CommandTaken> = stream::iter(homes)
        .map(|home| take(state, microgrid, home, selection, asked, asker))
        .buffered(AT_A_TIME)
        .flat_map(stream::iter)
        .collect()
        .await;
    let accepted = items.iter().filter(|item| item.command.is_some()).count() as u64;
    CommandsTaken { accepted, refused: items.len() as u64 - accepted, items }
}

/// What becomes of it at one home.
async fn take(
    state: &State,
    microgrid: &MicrogridId,
    (hem, nodes): &Home,
    selection: &Selection,
    asked: &Asked,
    asker: &Asker,
) -> Vec<CommandTaken> {
    let refused = |node: Option<NodeId>, error: &ApiError| CommandTaken {
        hem: hem.clone(),
        node,
        command: None,
        problem: Some(error.problem()),
    };
    let Some(nodes) = nodes else {
        return vec![refused(None, &ApiError::not_found("HEM", hem.as_str()))];
    };
    let selected = selection.of(nodes);
    if selected.is_empty() {
        let error = invalid("kind", format!("{hem} has no node {}", selection.shown()));
        return vec![refused(None, &error)];
    }
    let mut items = Vec::new();
    let mut requests = Vec::new();
    for node in selected.into_iter().map(|node| node.map(|node| node.node)) {
        match asked.check_node(hem, nodes, node) {
            Ok(()) => requests.push(asked.request(microgrid, hem, node, asker)),
            Err(error) => items.push(refused(node, &error)),
        }
    }
    if requests.is_empty() {
        return items;
    }
    let at: Vec<Option<NodeId>> = requests.iter().map(|request| request.node).collect();
    match state.commands.ask(RequestCommands { requests }).await {
        Ok(records) => items.extend(records.iter().map(|record| CommandTaken {
            hem: hem.clone(),
            node: record.node,
            command: Some(record.id.clone()),
            problem: None,
        })),
        Err(error) => items.extend(at.into_iter().map(|node| refused(node, &error))),
    }
    items.sort_by_key(|item| item.node);
    items
}
