//! The HEM socket protocol, version 1, sans-io: one JSON object per line, `\n` at its end.
//!
//! Server and clients share this codec. Bytes go into a [`LineDecoder`]; a line becomes a
//! [`HemFrame`] (what a HEM says), a [`Greeting`] (its first frame, as the server checks it) or a
//! [`CloudFrame`] (what the cloud says), or a [`FrameFault`] that knows its own answer. It is the
//! code that meets hostile bytes first: it never panics, allocates no more than a small multiple of
//! the line, and looks at no clock. What a session does with a frame is not decided here.

mod cloud;
mod cloud_decode;
mod command;
mod fault;
mod hello;
mod hem;
mod hem_decode;
mod json;
mod line;
mod numbers;
mod time;

pub use cloud::{Ack, CloudError, CloudFrame, Refused, Welcome};
pub use command::{Command, CommandResult, Instruction};
pub use fault::{ErrorCode, FrameFault, Unstorable};
pub use hello::{Greeting, Hello, HelloFault};
pub use hem::{Event, HemFrame, Latest, Sample};
pub use line::{LineDecoder, Lines};
pub use memcloud_domain::{CommandAction, CommandOutcome as Outcome};
pub use numbers::{NumberGate, Renumbering, Taken};
pub use time::{SampleTime, check_time};

/// The one version of the protocol there is.
pub const PROTOCOL: u32 = 1;
/// `welcome.heartbeat_s` by default.
pub const HEARTBEAT_S: u32 = 30;
/// `welcome.max_in_flight` by default.
pub const MAX_IN_FLIGHT: u32 = 1_000;
/// `welcome.max_batch` by default.
pub const MAX_BATCH: u32 = 500;
/// `welcome.max_frame` by default: the longest line, without its `\n`.
pub const MAX_FRAME: u32 = 524_288;
/// The longest first line, before anyone knows who speaks: 256 fully declared nodes fit.
pub const MAX_HELLO: u32 = 131_072;
/// So many `bad-frame`s in a row are fatal.
pub const MAX_BAD_FRAMES: u32 = 100;
/// The longest `kind` of an event, in characters.
pub const MAX_KIND: usize = 64;
/// The longest `text` of an event and `reason` of a result, in characters.
pub const MAX_TEXT: usize = 1_000;
/// The longest `name` of a node and `firmware`, in characters.
pub const MAX_NAME: usize = 200;
/// The longest id of a command, in characters.
pub const MAX_COMMAND_ID: usize = 64;
