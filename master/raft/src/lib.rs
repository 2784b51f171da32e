//! Consensus among dm-masters: openraft on RocksDB, driving the state machine of `dm-state`.
//!
//! Owns: the log and snapshots on disk, the messages between masters, and [`Node`], the handle the master process uses.
//! The only crate that names openraft or RocksDB.
//! Never does: decide what to propose, or act on being leader.
//! Fails: a failed write, damaged data or an unknown command stops the node for good ([`node::Node::fatal`]); losing the
//! majority makes proposals fail, and they say whether trying again elsewhere is safe.

pub mod codec;
mod entry_codec;
pub mod error;
mod keys;
pub mod log_store;
mod machine;
mod network;
pub mod node;
mod snapshot_store;
pub mod types;
mod wire;

pub use error::{Corrupt, Error};
pub use machine::Change;
pub use node::{Node, ProposeError};
pub use types::MasterNode;
