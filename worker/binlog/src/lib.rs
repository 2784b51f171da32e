//! Bytes to events: framing, checksums, every event body of MySQL 5.7–9.x and MariaDB 10.x–11.x, row images to typed
//! values, MySQL's binary JSON to text.
//!
//! Pure: no I/O, no clock. Input is what a server sends (or a binlog file holds) and is never trusted: truncated or
//! corrupt bytes are an [`Error`], never a panic, and never cost more memory than [`Limits`] allows.
//!
//! The way through: [`Decoder::decode`] gives an [`Event`]; a table map goes to [`Tables::learn`], which compiles a
//! [`rows::Plan`]; a rows event is read with that plan; a transaction payload yields its inner events.

mod cursor;
pub mod decoder;
pub mod error;
pub mod event;
pub mod frame;
pub mod json;
pub mod payload;
pub mod rows;
#[cfg(test)]
mod sample;
pub mod table_map;
pub mod tables;
pub mod value;

pub use decoder::{Decoder, Limits};
pub use error::Error;
pub use event::{Body, Event};
pub use frame::{EventType, Header};
pub use rows::{Plan, Rows, RowsKind};
pub use table_map::TableMap;
pub use tables::{Table, Tables};
pub use value::Value;
