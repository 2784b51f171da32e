//! The pure core of a subtask's data plane: rows to statements, transactions to folds, tables to chunks.
//!
//! No clock, no file, no socket, no randomness: everything comes in as values and goes out as values.

pub mod batch;
pub mod catalog;
pub mod change;
pub mod chunk;
pub mod engine;
pub mod error_op;
pub mod fits;
pub mod fold;
pub mod graph;
pub mod handover;
pub mod keys;
pub mod lanes;
pub mod literal;
pub mod mapping;
#[cfg(test)]
mod mutants;
pub mod online_ddl;
pub mod safe_mode;
pub mod sqlgen;
pub mod stream;
pub mod structures;
pub mod unit;
pub mod watermark;
