//! Copying a chunk: what is selected, and how a row of the text protocol becomes a row of literals.
//!
//! Owns the select list and its inverse. The reading session has `SET NAMES utf8mb4` and `time_zone = '+00:00'`: texts arrive in UTF-8,
//! bytes raw, numbers as digits. Fails on a text that its column cannot have.

use std::sync::Arc;

use dm_binlog::Value;
use dm_ddl::table::{Column, DataType, Table};
use dm_model::name::quote_identifier;

use super::{Chunk, ChunkKey, Error, bound::Bound, select};
use crate::{
    change::LiteralRow,
    literal::{
        Dialect, Plan,
        charset::Charset,
        text::{push_hex, push_quoted},
        write_to,
    },
    mapping::{From, Mapping, Spec},
};

/// How one table is copied; compiled once.
#[derive(Debug)]
pub struct Copy {
    mapping: Arc<Mapping>,
    structure: Table,
    key: Option<ChunkKey>,
    select_list: String,
    columns: Vec<TextColumn>,
    key_columns: Vec<TextColumn>,
    n_selected: usize,
}

/// What becomes of rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// They are an error.
    Insert,
    /// They stay.
    InsertIgnore,
    /// They go.
    Replace,
}

/// A column of an answer.
#[derive(Debug, Clone)]
pub(super) enum TextColumn {
    Selected { kind: TextKind, plan: Plan },
    Constant(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    Number,
    Bit,
    /// Dates, times, UUIDs, addresses: ASCII to quote.
    Quoted,
    Text,
    Binary {
        pad_to: usize,
    },
    Enum,
    Set,
    Vector,
}

impl Copy {
    pub fn build(spec: &Spec<'_>) -> Result<Self, Error> {
        let mapping = Mapping::build(spec)?;
        let key = ChunkKey::of(spec.source_structure);
        let mut select_list = Vec::new();
        let mut columns = Vec::new();
        for column in (0..).map_while(|index| mapping.column(index)) {
            columns.push(match &column.from {
                From::Row { column, plan } => {
                    let Some(source) = spec.source_structure.columns.get(*column) else { continue };
                    let kind = TextKind::of(source, spec.source_structure, spec.dialect);
                    select_list.push(selected(source, kind));
                    TextColumn::Selected { kind, plan: plan.clone() }
                }
                From::Constant { literal, .. } => TextColumn::Constant(literal.clone()),
            });
        }
        let key_columns = key.as_ref().map(|key| key_plans(spec.source_structure, key)).unwrap_or_default();
        select_list.extend(key.iter().flat_map(|key| key_list(spec.source_structure, key)));
        Ok(Self {
            mapping,
            structure: spec.source_structure.clone(),
            key,
            n_selected: select_list.len(),
            select_list: select_list.join(","),
            columns,
            key_columns,
        })
    }

    /// The mapping of the rows.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// The key the table is split by.
    pub fn key(&self) -> Option<&ChunkKey> {
        self.key.as_ref()
    }

    /// The text that reads a chunk, through the text protocol. `ordered` when a sub-position is to be recorded.
    pub fn select(&self, chunk: &Chunk, filter: Option<&str>, ordered: bool) -> Vec<u8> {
        let name = self.mapping.source();
        select::chunk(name, &self.structure, self.key.as_ref(), &self.select_list, filter, chunk, ordered)
    }

    /// What leads a statement that writes rows: everything before the first `(…)`.
    pub fn insert(&self, verb: Verb) -> Vec<u8> {
        let verb = match verb {
            Verb::Insert => "INSERT",
            Verb::InsertIgnore => "INSERT IGNORE",
            Verb::Replace => "REPLACE",
        };
        let mut sql = Vec::with_capacity(256);
        write_to(&mut sql, format_args!("{verb} INTO {} (", self.mapping.target()));
        for (index, column) in self.mapping.columns().enumerate() {
            sql.extend_from_slice(if index == 0 { b"" } else { b"," });
            sql.extend_from_slice(column.as_bytes());
        }
        sql.extend_from_slice(b") VALUES ");
        sql
    }

    /// Writes a row of [`select`](Self::select)'s answer as `(…)` at the end of a statement that [`insert`](Self::insert) leads.
    /// After an error the end of `sql` is not a row.
    pub fn row(&self, values: &[Option<&[u8]>], sql: &mut Vec<u8>) -> Result<(), Error> {
        if values.len() != self.n_selected {
            return Err(Error::Answer { n_values: values.len(), n_columns: self.n_selected });
        }
        let mut values = values.iter();
        let mut separator = b'(';
        for column in &self.columns {
            sql.push(std::mem::replace(&mut separator, b','));
            match column {
                TextColumn::Selected { kind, plan } => write_text(*kind, plan, values.next().copied().flatten(), sql)?,
                TextColumn::Constant(literal) => sql.extend_from_slice(literal),
            }
        }
        sql.push(b')');
        Ok(())
    }

    /// The key of a row of the answer: the sub-position after it was written. `None` for a table without a key.
    pub fn key_of(&self, values: &[Option<&[u8]>]) -> Result<Option<Bound>, Error> {
        if self.key_columns.is_empty() {
            return Ok(None);
        }
        if values.len() != self.n_selected {
            return Err(Error::Answer { n_values: values.len(), n_columns: self.n_selected });
        }
        let start = values.len() - self.key_columns.len();
        key_bound(&self.key_columns, values.get(start..).unwrap_or_default()).map(Some)
    }
}

/// What to select for a key, so that [`key_bound`] can read it.
pub(super) fn key_list(table: &Table, key: &ChunkKey) -> Vec<String> {
    let columns = key.columns.iter().filter_map(|index| table.columns.get(*index));
    columns.map(|column| selected(column, TextKind::of(column, table, Dialect::MySql))).collect()
}

/// Plans for a key's own columns, as literals for the source.
pub(super) fn key_plans(table: &Table, key: &ChunkKey) -> Vec<TextColumn> {
    let columns = key.columns.iter().filter_map(|index| table.columns.get(*index));
    columns
        .map(|column| TextColumn::Selected {
            kind: TextKind::of(column, table, Dialect::MySql),
            plan: Plan::new(table, column, column, Dialect::MySql),
        })
        .collect()
}

pub(super) fn key_bound(columns: &[TextColumn], row: &[Option<&[u8]>]) -> Result<Bound, Error> {
    if row.len() != columns.len() {
        return Err(Error::Answer { n_values: row.len(), n_columns: columns.len() });
    }
    let mut literals = LiteralRow::with_capacity(columns.len(), 32);
    for (column, value) in columns.iter().zip(row) {
        match column {
            TextColumn::Selected { kind, plan } => literals.push(|out| write_text(*kind, plan, *value, out))?,
            TextColumn::Constant(literal) => literals.push_literal(literal),
        }
    }
    Ok(Bound { literals })
}

impl TextKind {
    fn of(column: &Column, table: &Table, dialect: Dialect) -> Self {
        match &column.data_type {
            DataType::TinyInt
            | DataType::SmallInt
            | DataType::MediumInt
            | DataType::Int
            | DataType::BigInt
            | DataType::Float
            | DataType::Double
            | DataType::Decimal { .. }
            | DataType::Year => Self::Number,
            DataType::Bit { .. } => Self::Bit,
            DataType::Date
            | DataType::Time { .. }
            | DataType::DateTime { .. }
            | DataType::Timestamp { .. }
            | DataType::Uuid
            | DataType::Inet4
            | DataType::Inet6 => Self::Quoted,
            DataType::Char { .. }
            | DataType::VarChar { .. }
            | DataType::TinyText
            | DataType::Text
            | DataType::MediumText
            | DataType::LongText => match Charset::of_column(table, column, dialect) {
                Charset::Binary => Self::Binary { pad_to: 0 },
                Charset::Utf8
                | Charset::Latin1
                | Charset::Utf16
                | Charset::Utf16Le
                | Charset::Utf32
                | Charset::Other { .. } => Self::Text,
            },
            DataType::Json => Self::Text,
            DataType::Binary { n_bytes } => Self::Binary { pad_to: *n_bytes as usize },
            DataType::VarBinary { .. }
            | DataType::TinyBlob
            | DataType::Blob
            | DataType::MediumBlob
            | DataType::LongBlob
            | DataType::Geometry { .. }
            | DataType::Other { .. } => Self::Binary { pad_to: 0 },
            DataType::Enum { .. } => Self::Enum,
            DataType::Set { .. } => Self::Set,
            DataType::Vector { .. } => Self::Vector,
        }
    }
}

fn selected(column: &Column, kind: TextKind) -> String {
    let quoted = quote_identifier(&column.name);
    match kind {
        // FLOAT is printed with six digits; as a double it is whole.
        TextKind::Number if column.data_type == DataType::Float => format!("{quoted}+0e0"),
        TextKind::Enum | TextKind::Set => format!("{quoted}+0"),
        TextKind::Number
        | TextKind::Bit
        | TextKind::Quoted
        | TextKind::Text
        | TextKind::Binary { .. }
        | TextKind::Vector => quoted,
    }
}

fn write_text(kind: TextKind, plan: &Plan, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Error> {
    let Some(bytes) = value else {
        out.extend_from_slice(b"NULL");
        return Ok(());
    };
    match kind {
        TextKind::Number => {
            let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
            if bytes.is_empty() || !bytes.iter().all(is_number) {
                return Err(unreadable(bytes, "number"));
            }
            // Year 0000 and zero-filled numbers have leading zeros, which change nothing.
            out.extend_from_slice(bytes);
        }
        TextKind::Bit => plan.write(&Value::Bit(bytes), out)?,
        TextKind::Quoted | TextKind::Text => match std::str::from_utf8(bytes) {
            Ok(text) => push_quoted(out, text),
            Err(_) => return Err(unreadable(bytes, "text in UTF-8")),
        },
        TextKind::Binary { pad_to } => push_hex(out, bytes, pad_to),
        TextKind::Enum => {
            let number = number(bytes)?;
            let number = u16::try_from(number).map_err(|_| unreadable(bytes, "member number"))?;
            plan.write(&Value::Enum(number), out)?;
        }
        TextKind::Set => plan.write(&Value::Set(number(bytes)?), out)?,
        TextKind::Vector => plan.write(&Value::Vector(bytes), out)?,
    }
    Ok(())
}

fn number(bytes: &[u8]) -> Result<u64, Error> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(|| unreadable(bytes, "member number"))
}

fn unreadable(bytes: &[u8], wanted: &'static str) -> Error {
    let text = String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)).into_owned();
    Error::Text { text, wanted }
}
