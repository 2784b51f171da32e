//! The harness of the tests that need more than one crate: servers, and later whole clusters.
//!
//! The cases are in `cases/`. Everything started here ends with the value that stands for it.

pub mod binlog_text;
pub mod certificates;
pub mod cluster;
pub mod process;
pub mod rows;
pub mod server;
pub mod wait;

pub use server::{MariaDb, MySql, Server, ServerKind, ServerOptions};
