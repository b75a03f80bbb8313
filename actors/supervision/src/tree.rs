//! The tree of all supervised actors, to be looked at.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::node::Node;

/// How an actor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// It handles messages.
    Running,
    /// It crashed and waits for its restart.
    BackingOff,
    /// It is being shut down.
    Stopping,
    /// It ended for good.
    Stopped,
    /// It was given up.
    Failed,
}

/// An actor in the tree.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TreeNode {
    /// Its name under its parent.
    pub name: String,
    /// Its type's name, without the path.
    pub actor: String,
    /// How it stands.
    pub state: ActorState,
    /// How often it was restarted.
    pub restarts: u64,
    /// Messages that wait in its mailbox.
    pub mailbox_depth: usize,
    /// The mailbox's capacity.
    pub mailbox_capacity: usize,
    /// Why it last ended, if ever.
    pub last_exit: Option<crate::ExitReason>,
    /// What it shows of itself.
    pub observed: serde_json::Value,
    /// Its children, by name.
    pub children: Vec<TreeNode>,
    /// How many more children there are than are listed.
    pub more_children: usize,
}

/// The tree of all supervised actors.
#[derive(Clone)]
pub struct Tree {
    root: Arc<Node>,
}

impl fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tree({})", self.root.path())
    }
}

impl Tree {
    pub(crate) fn new(root: Arc<Node>) -> Self {
        Self { root }
    }

    /// A picture of the tree: at most so many children per actor. Actors that do not show themselves
    /// within 100 ms are shown without `observed`; all are asked at the same time.
    pub async fn snapshot(&self, children: usize) -> TreeNode {
        let mut sketch = Sketch::of(&self.root, children);
        sketch.fill_in(Instant::now() + PATIENCE).await;
        sketch.picture
    }
}

/// So long a snapshot waits for actors to show themselves.
const PATIENCE: Duration = Duration::from_millis(100);

/// A picture in which the actors still have to show themselves.
struct Sketch {
    picture: TreeNode,
    shown: Option<oneshot::Receiver<serde_json::Value>>,
    children: Vec<Sketch>,
}

impl Sketch {
    fn of(node: &Arc<Node>, limit: usize) -> Self {
        let (children, more_children) = node.some_children(limit);
        let state = node.state();
        let shows =
            node.parent.is_some() && matches!(state, ActorState::Running | ActorState::Stopping);
        Self {
            picture: TreeNode {
                name: node.name.to_string(),
                actor: node.actor.to_owned(),
                state,
                restarts: node.generation().saturating_sub(1),
                mailbox_depth: node.depth.load(Ordering::Relaxed),
                mailbox_capacity: node.capacity,
                last_exit: node.last_exit(),
                observed: serde_json::Value::Null,
                children: Vec::new(),
                more_children,
            },
            shown: shows.then(|| node.probe()),
            children: children.iter().map(|child| Self::of(child, limit)).collect(),
        }
    }

    fn fill_in(&mut self, by: Instant) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            if let Some(shown) = self.shown.take()
                && let Ok(Ok(observed)) = timeout_at(by, shown).await
            {
                self.picture.observed = observed;
            }
            for mut child in self.children.drain(..) {
                child.fill_in(by).await;
                self.picture.children.push(child.picture);
            }
        })
    }
}
