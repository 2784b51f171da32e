//! What any of our processes needs to run: shutdown in order, named tasks, the clock, logs, the server that answers
//! gRPC and HTTP on one port, channels to others, and TLS for both.
//!
//! IO is allowed here; rules about migration are not.

pub mod channel;
pub mod clock;
pub mod metrics;
pub mod serve;
pub mod shutdown;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod version;

pub use shutdown::Shutdown;
pub use task::Tasks;
