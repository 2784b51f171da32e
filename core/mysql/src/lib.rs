//! Everything that speaks SQL to sources and targets: connections, what a server is, what a user may do, and the
//! fence's statements.
//!
//! Decisions are dm-fence's; this crate executes them and reports what happened as values. Row data and binlog bodies
//! are not decoded here. Errors carry the server's number and DM's code; `error_number` is the one place that says
//! which numbers may be retried.

pub mod connector;
pub mod error;
pub mod error_number;
pub mod facts;
pub mod fail_point;
pub mod fence;
pub mod packet;
pub mod prelude;
pub mod privileges;
pub mod schema;
pub mod text;

pub use connector::{Connector, Purpose};
pub use error::Error;
pub use error_number::retry;
pub use facts::{ServerFacts, facts};

pub type Result<T> = std::result::Result<T, Error>;
