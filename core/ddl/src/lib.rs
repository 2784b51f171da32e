//! The only place that reads DDL text: statements of MySQL, MariaDB and TiDB into structure, structure into one statement
//! per change, and the catalogue of source tables that follows them. Pure; a text that is not understood is an error
//! with its position, never a guess.

pub mod column;
pub mod create_table;
pub mod error;
pub mod index;
pub mod lexer;
mod parser;
pub mod sql_mode;
pub mod statement;
pub mod table;

pub use error::Error;
pub use lexer::ParseContext;
pub use sql_mode::SqlMode;
