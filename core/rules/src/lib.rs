//! Which schemas, tables and events a subtask replicates, and whereto.
//!
//! Owns the three kinds of rules of a task file: block-allow lists, routes and binlog event filters. Each module has the
//! rule as it is written in YAML (`Rule`) and its compiled form. Never touches a database or a clock: the same rules and
//! the same name always give the same answer. Fails while compiling (bad pattern, unknown event), or with
//! [`Error::AmbiguousRoute`] while routing.

pub mod block_allow;
pub mod event_filter;
pub mod event_name;
pub mod pattern;
pub mod route;

mod error;
mod null;

pub use error::Error;
pub use event_name::EventName;
pub use pattern::CaseSensitivity;
