//! dm-master: takes requests, keeps the cluster's state with the other masters, and, when it leads, tells workers what
//! to run.
//!
//! Owns the process: flags, ports, forwarding, the leader's duties, the API of dmctl. What may change and how is
//! dm-state's, how masters agree is dm-raft's. Fails at start with a text and a code that say what to do.

pub mod api;
pub mod boot;
pub mod cluster;
pub mod context;
pub mod error;
pub mod evict;
pub mod flags;
pub mod forward;
pub mod latch;
pub mod leader;
pub mod metrics;
pub mod precheck;

pub use boot::{Master, Options};
pub use error::Error;
