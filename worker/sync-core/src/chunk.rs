//! The snapshot: how a table is split, what a chunk reads, how its rows are written, and which later changes still apply.
//!
//! Owns plan, bounds, SELECT texts, rendering of text-protocol rows and the row-skip test. Never runs a statement: texts go
//! out, results come in. A plan is a function of the structure and the answers, so it may be made again; once stored it is
//! what counts. Fails on answers that do not fit the table.
//!
//! Chunks are `(lower, upper]`. The first has no lower bound, the last no upper one: every key that ever exists is in exactly one
//! chunk. What is known to exist is in closed chunks; the open one at the end only holds what was added since.

pub mod bound;
pub mod copy;
pub mod probe;
pub mod ranges;
pub mod select;
pub mod skip;

use std::collections::BTreeSet;

use dm_ddl::table::{Column, DataType, IndexKind, Table};

use self::bound::Bound;
use crate::mapping::{self, index_columns};

/// A part of a table: keys above `lower` up to and including `upper`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub lower: Option<Bound>,
    pub upper: Option<Bound>,
}

impl Chunk {
    /// The whole table.
    pub const ALL: Self = Self { lower: None, upper: None };

    /// Splits a half-copied chunk behind the last key that was written: what is done, and what is left.
    pub fn split_at(&self, last: &Bound) -> (Self, Self) {
        (
            Self { lower: self.lower.clone(), upper: Some(last.clone()) },
            Self { lower: Some(last.clone()), upper: self.upper.clone() },
        )
    }
}

/// Why a chunk cannot be planned or a row not be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the answer has {n_values} values where {n_columns} were asked for")]
    Answer { n_values: usize, n_columns: usize },
    #[error("`{text}` is no {wanted}")]
    Text { text: String, wanted: &'static str },
    #[error("a stored chunk bound is corrupt")]
    Bound,
    #[error(transparent)]
    Literal(#[from] crate::literal::Error),
    #[error(transparent)]
    Mapping(#[from] mapping::Error),
}

/// How far a client can reproduce the order of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One integer column: chunks by arithmetic and the server's estimates of ranges.
    Integer,
    /// Integers, dates and bytes: the chunk of a key is known here.
    Known,
    /// The server's order (collations and others): chunks must share one position.
    Server,
}

/// The key a table is split by: the primary key, else the first unique key without NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkKey {
    /// Indexes into the structure's columns, in the key's order.
    pub columns: Vec<usize>,
    pub order: Order,
    /// The name of the index, as the server knows it.
    pub index: String,
}

impl ChunkKey {
    /// `None`: no such key, the table is one chunk.
    pub fn of(table: &Table) -> Option<Self> {
        table.unique_keys().find_map(|index| {
            let whole = index.parts.iter().all(|part| part.prefix.is_none());
            let names = index_columns(index).filter(|names| whole && !names.is_empty())?;
            let columns: Vec<(usize, &Column)> = names.iter().map(|name| table.column(name)).collect::<Option<_>>()?;
            let not_null = columns.iter().all(|(_, column)| !column.nullable) || index.kind == IndexKind::Primary;
            let order = match columns.as_slice() {
                [(_, column)] if is_integer(&column.data_type) => Order::Integer,
                columns if columns.iter().all(|(_, column)| has_known_order(&column.data_type)) => Order::Known,
                _ => Order::Server,
            };
            let name = if index.kind == IndexKind::Primary { "PRIMARY".to_owned() } else { index.name.clone() };
            not_null.then(|| Self { columns: columns.iter().map(|(at, _)| *at).collect(), order, index: name })
        })
    }
}

/// True when a unique key of the source or of the target ties rows together that may be in different chunks: its values can
/// move from row to row. A key that holds all columns of the chunks' key cannot.
pub fn is_coupled(source: &Table, target: &Table) -> bool {
    let Some(key) = ChunkKey::of(source) else { return false };
    let own: BTreeSet<String> =
        key.columns.iter().filter_map(|at| source.columns.get(*at)).map(|column| column.name.to_lowercase()).collect();
    [source, target].iter().flat_map(|table| table.unique_keys()).any(|unique| {
        let whole = unique.parts.iter().all(|part| part.prefix.is_none());
        match index_columns(unique).filter(|_| whole) {
            Some(names) => {
                let names: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
                !own.is_subset(&names)
            }
            // Of expressions or prefixes nothing is known.
            None => true,
        }
    })
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::TinyInt | DataType::SmallInt | DataType::MediumInt | DataType::Int | DataType::BigInt)
}

fn has_known_order(data_type: &DataType) -> bool {
    is_integer(data_type)
        || matches!(
            data_type,
            DataType::Year
                | DataType::Date
                | DataType::DateTime { .. }
                | DataType::Timestamp { .. }
                | DataType::Binary { .. }
                | DataType::VarBinary { .. }
        )
}

/// What the server believes about a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub n_rows: u64,
    pub n_bytes: u64,
}

/// Bytes of a chunk unless the task says otherwise (`chunk-filesize`).
pub const CHUNK_BYTES: u64 = 64 << 20;
/// More chunks than this are not planned for one table; they get larger instead.
pub const MAX_CHUNKS: u64 = 10_000;

/// Bytes of a row where the server does not know.
const ROW_BYTES: u64 = 100;

impl Estimate {
    /// Rows of a chunk of about `chunk_bytes`, at least 1.
    pub fn chunk_rows(self, chunk_bytes: u64) -> u64 {
        (chunk_bytes / self.row_bytes()).max(self.n_rows.div_ceil(MAX_CHUNKS)).max(1)
    }

    /// Bytes of a row, at least 1.
    pub fn row_bytes(self) -> u64 {
        if self.n_rows == 0 { ROW_BYTES } else { (self.n_bytes / self.n_rows).max(1) }
    }
}

/// The chunks between ascending bounds, with the open one at the end.
pub fn from_bounds(bounds: Vec<Bound>) -> Vec<Chunk> {
    let mut chunks = Vec::with_capacity(bounds.len() + 1);
    let mut lower = None;
    for bound in bounds {
        chunks.push(Chunk { lower: lower.replace(bound.clone()), upper: Some(bound) });
    }
    chunks.push(Chunk { lower, upper: None });
    chunks
}

#[cfg(test)]
mod tests;
