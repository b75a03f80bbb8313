//! Several equal processes as one cloud. [`ClusterMember`] says that its process lives and takes and
//! gives up microgrids; [`PresenceKeeper`] says which HEMs are connected here, to processes that cannot
//! know; [`CommandSender`] takes commands to the process that has the HEM's socket; [`NotesFeed`] takes in
//! what other
//! processes say, and [`NotesWriter`] says what they should know.
//!
//! There is no consensus in here: the web store's clock and transactions are the referee (`ClusterStore`),
//! and what a process writes as a microgrid's owner is fenced by its tenure. A cloud of one process has
//! none of these actors.

mod command_sender;
mod config;
mod member;
mod messages;
mod metrics;
mod notes_feed;
mod notes_writer;
mod plan;
mod ports;
mod presence;
mod rendezvous;

pub use command_sender::CommandSender;
pub use config::ClusterConfig;
pub use member::{ClusterMember, MemberParts};
pub use messages::{Begin, ClusterProcess, ClusterStanding, GetCluster, StepDown};
pub use metrics::ClusterMetrics;
pub use notes_feed::{NotePorts, NotesFeed};
pub use notes_writer::NotesWriter;
pub use ports::MemberPorts;
pub use presence::{PresenceKeeper, SayWhoIsConnected};
