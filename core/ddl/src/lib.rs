//! The only place that reads DDL text: statements of MySQL, MariaDB and TiDB into structure, structure into one statement
//! per change, and the catalogue of source tables that follows them. Pure; a text that is not understood is an error
//! with its position, never a guess.

pub mod alter;
pub mod column;
pub mod create_table;
pub mod error;
pub mod event_kind;
pub mod index;
pub mod lexer;
mod parser;
pub mod piece;
pub mod split;
pub mod sql_mode;
pub mod statement;
pub mod table;
pub mod tracker;

pub use error::Error;
pub use event_kind::EventKind;
pub use lexer::ParseContext;
pub use piece::{Piece, pieces};
pub use split::split;
pub use sql_mode::SqlMode;
pub use statement::{Statement, StatementKind, Treatment, parse};
