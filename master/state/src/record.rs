//! The records the state is made of: plain values, one per thing, each carrying its own key.
//!
//! They are what readers see and what a snapshot holds. Changing them is the business of `apply` alone; a copy changed
//! elsewhere changes nothing.

pub mod member;
pub mod source;
pub mod task;
pub mod worker;

pub use member::{Cluster, Master, MasterAddresses};
pub use source::{ConfigText, Placement, Source};
pub use task::{
    Chunks, Operator, OperatorAction, OperatorAt, OperatorId, Ownership, Progress, StartArguments, Subtask, Task,
    Wanted, Watermark,
};
pub use worker::{Session, Worker};
