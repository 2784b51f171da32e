//! Text to typed, checked configuration, once.
//!
//! Owns the formats of source.yaml, task.yaml and the TOML files of the three programs: every key, every default, every
//! check. Raw structs mirror a file; resolved structs are what code uses and cannot be wrong. Never reads a file, the
//! environment or a clock: texts, file contents and randomness come in as arguments. Fails with [`Error`], which carries
//! DM's code; what is odd but harmless comes back as [`Warning`].

pub mod ctl;
pub mod db;
pub mod duration;
pub mod flags;
pub mod logging;
pub mod master;
pub mod redact;
pub mod secret;
pub mod server_tls;
pub mod size;
pub mod source;
pub mod start_time;
pub mod subtask;
pub mod task;
pub mod timezone;
pub mod worker;

mod address;
mod error;
mod toml_file;
mod yaml;

pub use error::{Error, Warning};
pub use secret::SecretKey;
pub use source::SourceConfig;
pub use subtask::SubtaskConfig;
pub use task::TaskConfig;
