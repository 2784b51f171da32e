//! Bytes to events.

pub mod value;

pub use value::Value;
