//! The tree of all supervised actors, to be looked at.

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
#[derive(Debug, Clone)]
pub struct Tree {}

impl Tree {
    /// A picture of the tree: at most so many children per actor. Actors that do not show themselves
    /// in time are shown without `observed`.
    pub async fn snapshot(&self, children: usize) -> TreeNode {
        let _ = children;
        todo!()
    }
}
