//! The only place that reads DDL text.

pub mod table;
