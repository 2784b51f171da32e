//! The replicated state of a cluster as a value, the commands that change it, and the scheduler that reads it.
//!
//! Owns: what masters agree on (members, workers, sessions, sources, tasks, owners and their epochs, trailing progress,
//! operators, a small key-value space) and the rules of changing it.
//! Never does: reading a clock, a file or the network; encoding (the Raft crate writes logs and snapshots); knowing who
//! leads. Everything a command needs is in the command; time is a stamp for display.
//! Fails: never. A command that cannot be carried out is answered with a typed [`Rejection`] and changes nothing.

pub mod apply;
pub mod command;
pub mod record;
pub mod rejection;
pub mod reply;
pub mod scheduler;
pub mod state;

pub use apply::apply;
pub use command::{ClientId, ClientSeq, Command, Entry, Stamp};
pub use rejection::Rejection;
pub use reply::{Applied, Reply, Touched};
pub use state::State;
