//! The words every other crate stands on: names, ids, stages, locations, time and what an error means to an operator.
//!
//! Pure: no clock, no file, no socket, no randomness. There is no list of errors here; each crate owns its enum and
//! says through [`error::Coded`] what its variants mean.

pub mod error;
pub mod flavor;
pub mod gtid;
pub mod id;
pub mod location;
pub mod name;
pub mod position;
pub mod stage;
pub mod time;

pub use flavor::Flavor;
pub use gtid::GtidSet;
pub use id::{ClusterId, Epoch, Incarnation, NodeId, Revision, SessionId};
pub use location::Location;
pub use name::{MasterName, SourceId, SubtaskId, TableName, TaskName, WorkerName};
pub use position::BinlogPosition;
pub use stage::{Stage, UnitKind};
pub use time::UnixMillis;
