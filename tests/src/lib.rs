//! The harness of the tests that need more than one crate: servers, and later whole clusters.
//!
//! The cases are in `cases/`. Everything started here ends with the value that stands for it.

pub mod server;

pub use server::{MariaDb, MySql, Server, ServerKind, ServerOptions};
