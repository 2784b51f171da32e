//! dm-worker: runs the subtasks that the leader assigns.
//!
//! Reading order: [`boot`] (what the process is made of), [`session`] (the stream to the leader), [`supervisor`] (what
//! runs is what is wanted), [`unit`] (what a subtask does). A worker keeps nothing on disk that matters.

pub mod assignment;
pub mod boot;
pub mod fail_point;
pub mod flags;
pub mod metrics;
pub mod session;
pub mod status;
pub mod supervisor;
pub mod unit;
