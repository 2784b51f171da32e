//! What a row conflicts on: 64-bit hashes of its values in every unique key of the target, as the target compares them.
//!
//! Owns the choice of keys and their normal form. Two rows that the target could call equal in a unique key share a hash; the
//! reverse does not hold and need not: a shared hash only costs parallelism. A part whose normal form is not certain
//! is left out, so that all rows that agree in the other parts (or all rows of the table) share the hash. NULL never conflicts.
//! Rows that no key finds share the key of their table. Fails on values that do not fit their column.
//!
//! Hashes are stable: a function of names and values alone, the same in every process and version that stores none of
//! them. Known limit: a type change of a key column between two shards of one target within one source (for example INT
//! here, DECIMAL with a smaller scale there) is not compared across the two types.

pub mod collation;
mod hash;

use dm_binlog::Value;
use dm_ddl::table::{Column, DataType, Table};
use dm_model::TableName;

use self::{
    collation::{Fold, fold_of, push_folded},
    hash::Hasher,
};
use crate::{
    literal::{Error, Plan, charset::Charset},
    mapping::{Spec, index_columns},
};

/// The compiled keys of one mapping.
#[derive(Debug)]
pub(crate) struct RowKeys {
    keys: Vec<Key>,
    table: u64,
}

#[derive(Debug)]
struct Key {
    seed: Hasher,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    from: From,
    normal: Normal,
    prefix: Option<usize>,
}

#[derive(Debug)]
enum From {
    Row { column: usize, plan: Plan },
    Constant(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Normal {
    /// Character data under a collation.
    Text(Fold),
    /// Bytes, trailing zero bytes cut.
    Bytes,
    /// The literal, trailing zeros of a fraction cut.
    Literal,
    /// Only NULL is told from the rest.
    Uncertain,
}

impl RowKeys {
    pub(crate) fn new(spec: &Spec<'_>) -> Self {
        let mut keys = Vec::new();
        for index in spec.target_structure.unique_keys() {
            #[cfg(test)]
            if crate::mutants::is(crate::mutants::Mutant::FirstKeyOnly) && !keys.is_empty() {
                break;
            }
            let Some(columns) = index_columns(index) else {
                // An expression: its value is not known here. Plain columns of the key may still be NULL, which is not used.
                keys.push(Key { seed: seed(spec.target, &[&index.name]), parts: Vec::new() });
                continue;
            };
            let prefixes = index.parts.iter().map(|part| part.prefix.map(|n| n as usize));
            keys.push(key(spec, spec.target, &columns, &columns, prefixes));
        }
        if spec.parent_keys {
            for foreign in &spec.target_structure.foreign_keys {
                let schema = foreign.parent_schema.as_ref().unwrap_or(&spec.target.schema);
                let parent = TableName::new(schema.clone(), foreign.parent_table.clone());
                let own: Vec<&str> = foreign.columns.iter().map(String::as_str).collect();
                let theirs: Vec<&str> = foreign.parent_columns.iter().map(String::as_str).collect();
                keys.push(key(spec, &parent, &own, &theirs, std::iter::repeat_n(None, own.len())));
            }
        }
        Self { keys, table: seed(spec.target, &[]).finish() }
    }

    /// Adds the hashes of one row. The error comes with the source column it is about.
    pub(crate) fn hash(
        &self,
        row: &[Value<'_>],
        keyless: bool,
        scratch: &mut Vec<u8>,
        keys: &mut Vec<u64>,
    ) -> Result<(), (usize, Error)> {
        if keyless {
            keys.push(self.table);
        }
        'keys: for key in &self.keys {
            let mut hasher = key.seed;
            for part in &key.parts {
                scratch.clear();
                match &part.from {
                    From::Row { column, plan } => {
                        let value = row.get(*column).unwrap_or(&Value::Null);
                        if *value == Value::Null {
                            continue 'keys;
                        }
                        part.normalise(value, plan, scratch).map_err(|error| (*column, error))?;
                    }
                    From::Constant(text) => part.normalise_text(text, scratch),
                }
                hasher.write(scratch);
            }
            keys.push(hasher.finish());
        }
        Ok(())
    }
}

impl Part {
    fn normalise(&self, value: &Value<'_>, plan: &Plan, out: &mut Vec<u8>) -> Result<(), Error> {
        let bytes = match value {
            Value::Bytes(bytes) => Some(*bytes),
            Value::OwnedBytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        };
        match (self.normal, bytes) {
            (Normal::Uncertain | Normal::Text(Fold::Uncertain), _) => {}
            // Bytes without a meaning add nothing: no fold can be trusted, and they equal no readable text.
            (Normal::Text(fold), Some(bytes)) => {
                if let Some(text) = plan.charset().unwrap_or(Charset::Utf8).decode(bytes) {
                    push_folded(fold, truncated(&text, self.prefix), out);
                }
            }
            (Normal::Text(fold), None) => {
                let mut literal = Vec::new();
                plan.write(value, &mut literal)?;
                let text = String::from_utf8_lossy(&literal);
                push_folded(fold, truncated(text.trim_matches('\''), self.prefix), out);
            }
            (Normal::Bytes, Some(bytes)) => {
                let bytes = self.prefix.and_then(|n| bytes.get(..n)).unwrap_or(bytes);
                out.extend_from_slice(bytes);
                while out.last() == Some(&0) {
                    out.pop();
                }
            }
            (Normal::Bytes, None) | (Normal::Literal, _) => {
                plan.write(value, out)?;
                trim_fraction(out);
            }
        }
        Ok(())
    }

    fn normalise_text(&self, text: &str, out: &mut Vec<u8>) {
        match self.normal {
            Normal::Text(fold) => push_folded(fold, truncated(text, self.prefix), out),
            Normal::Bytes | Normal::Literal | Normal::Uncertain => {}
        }
    }
}

fn truncated(text: &str, n_chars: Option<usize>) -> &str {
    let end = n_chars.and_then(|n| text.char_indices().nth(n)).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// `'12:00:00.500'`, `'12:00:00.5'` and `1.50`, `1.5` are equal; so are `-0.00` and `0`.
fn trim_fraction(literal: &mut Vec<u8>) {
    if literal.last() == Some(&b'\'') {
        literal.pop();
    }
    if literal.contains(&b'.') && !literal.contains(&b'e') {
        while literal.last() == Some(&b'0') {
            literal.pop();
        }
        if literal.last() == Some(&b'.') {
            literal.pop();
        }
    }
    if matches!(literal.as_slice(), b"-0" | b"-0e0") {
        literal.remove(0);
    }
}

fn seed(table: &TableName, columns: &[&str]) -> Hasher {
    let mut hasher = Hasher::default();
    hasher.write(table.schema.to_lowercase().as_bytes());
    hasher.write(table.table.to_lowercase().as_bytes());
    for column in columns {
        hasher.write(column.to_lowercase().as_bytes());
    }
    hasher
}

/// `columns` are the row's own, `named` how the key's table calls them: parts go by these names, so that a child's
/// foreign key hashes as its parent's unique key does.
fn key(
    spec: &Spec<'_>,
    table: &TableName,
    columns: &[&str],
    named: &[&str],
    prefixes: impl Iterator<Item = Option<usize>>,
) -> Key {
    let mut order: Vec<(&str, &str, Option<usize>)> =
        named.iter().zip(columns).zip(prefixes).map(|((named, column), prefix)| (*named, *column, prefix)).collect();
    order.sort_by_key(|(named, ..)| named.to_lowercase());
    let names: Vec<&str> = order.iter().map(|(named, ..)| *named).collect();
    let parts = order.iter().filter_map(|(_, column, prefix)| part(spec, column, *prefix)).collect();
    Key { seed: seed(table, &names), parts }
}

fn part(spec: &Spec<'_>, name: &str, prefix: Option<usize>) -> Option<Part> {
    let (_, target) = spec.target_structure.column(name)?;
    if let Some((_, text)) = spec.extracted.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)) {
        let normal = Normal::Text(fold_of(spec.target_structure, target));
        return Some(Part { from: From::Constant(text.clone()), normal, prefix });
    }
    let (column, source) = spec.source_structure.column(name)?;
    let plan = Plan::new(spec.source_structure, source, target, spec.dialect);
    // A charset that cannot be read here can only be compared with itself, and other shards may have another one.
    let unreadable = matches!(plan.charset(), Some(Charset::Other { decode: None, .. }));
    let normal = if unreadable { Normal::Uncertain } else { normal(spec.target_structure, source, target) };
    Some(Part { from: From::Row { column, plan }, normal, prefix })
}

fn normal(target_table: &Table, source: &Column, target: &Column) -> Normal {
    let (from, to) = (Class::of(&source.data_type), Class::of(&target.data_type));
    let exact = match (&source.data_type, &target.data_type) {
        (DataType::Decimal { scale: from, .. }, DataType::Decimal { scale: to, .. }) => from <= to,
        (DataType::Decimal { scale, .. }, _) => *scale == 0,
        (DataType::Time { fsp: from }, DataType::Time { fsp: to })
        | (
            DataType::DateTime { fsp: from } | DataType::Timestamp { fsp: from },
            DataType::DateTime { fsp: to } | DataType::Timestamp { fsp: to },
        ) => from <= to,
        (DataType::Float | DataType::Double, _) => source.data_type == target.data_type,
        _ => true,
    };
    match to {
        Class::Text => Normal::Text(fold_of(target_table, target)),
        _ if from != to || !exact => Normal::Uncertain,
        Class::Bytes => Normal::Bytes,
        Class::Number | Class::Real | Class::Date | Class::Time | Class::DateTime | Class::Member | Class::Address => {
            Normal::Literal
        }
        Class::Unknown => Normal::Uncertain,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    Real,
    Date,
    Time,
    DateTime,
    Text,
    Bytes,
    Member,
    Address,
    Unknown,
}

impl Class {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::TinyInt
            | DataType::SmallInt
            | DataType::MediumInt
            | DataType::Int
            | DataType::BigInt
            | DataType::Bit { .. }
            | DataType::Year
            | DataType::Decimal { .. } => Self::Number,
            DataType::Float | DataType::Double => Self::Real,
            DataType::Date => Self::Date,
            DataType::Time { .. } => Self::Time,
            DataType::DateTime { .. } | DataType::Timestamp { .. } => Self::DateTime,
            DataType::Char { .. }
            | DataType::VarChar { .. }
            | DataType::TinyText
            | DataType::Text
            | DataType::MediumText
            | DataType::LongText => Self::Text,
            DataType::Binary { .. }
            | DataType::VarBinary { .. }
            | DataType::TinyBlob
            | DataType::Blob
            | DataType::MediumBlob
            | DataType::LongBlob => Self::Bytes,
            DataType::Enum { .. } | DataType::Set { .. } => Self::Member,
            DataType::Uuid | DataType::Inet4 | DataType::Inet6 => Self::Address,
            DataType::Json | DataType::Geometry { .. } | DataType::Vector { .. } | DataType::Other { .. } => {
                Self::Unknown
            }
        }
    }
}

#[cfg(test)]
mod tests;
