//! A table's structure as a value: what SHOW CREATE TABLE says, parsed. Names keep their spelling; lookups ignore
//! ASCII case, as servers do for columns and indexes.

use serde::{Deserialize, Serialize};

mod build;
mod charset;
mod identity;
mod parse;
mod print;
#[cfg(test)]
mod tests;

pub use build::Unknown;
pub use charset::{max_bytes_per_char, of_collation};
pub use parse::parse_create;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<Column>,
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub engine: Option<String>,
    pub comment: Option<String>,
    /// The text after the column list that is not modelled (partitions, row format, …), byte-exact.
    pub tail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    pub unsigned: bool,
    pub zerofill: bool,
    pub nullable: bool,
    /// The default as written (a literal or an expression), `None` when there is none.
    pub default: Option<String>,
    pub on_update: Option<String>,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub generated: Option<Generated>,
    pub auto_increment: bool,
    pub invisible: bool,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    pub expression: String,
    pub stored: bool,
}

/// A column type with what decoding and comparing values needs. Lengths are in characters for text, bytes for binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataType {
    TinyInt,
    SmallInt,
    MediumInt,
    Int,
    BigInt,
    /// `BOOL` is `TinyInt`; `SERIAL` is `BigInt` unsigned with its index.
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        n_bits: u8,
    },
    Date,
    Time {
        fsp: u8,
    },
    DateTime {
        fsp: u8,
    },
    Timestamp {
        fsp: u8,
    },
    Year,
    Char {
        n_chars: u32,
    },
    VarChar {
        n_chars: u32,
    },
    Binary {
        n_bytes: u32,
    },
    VarBinary {
        n_bytes: u32,
    },
    TinyText,
    Text,
    MediumText,
    LongText,
    TinyBlob,
    Blob,
    MediumBlob,
    LongBlob,
    Enum {
        members: Vec<String>,
    },
    Set {
        members: Vec<String>,
    },
    Json,
    /// `GEOMETRY`, `POINT`, … in lower case.
    Geometry {
        kind: String,
    },
    Vector {
        dimensions: Option<u32>,
    },
    Uuid,
    Inet4,
    Inet6,
    /// A type this crate does not know; the text as written. Nothing is guessed about its values.
    Other {
        text: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexKind {
    Primary,
    Unique,
    Key,
    Fulltext,
    Spatial,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// `PRIMARY` for the primary key.
    pub name: String,
    pub kind: IndexKind,
    pub parts: Vec<IndexPart>,
    pub invisible: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPart {
    pub on: IndexOn,
    /// `col(10)`: characters for text, bytes for binary.
    pub prefix: Option<u32>,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexOn {
    Column(String),
    /// A functional key part, the expression as written.
    Expression(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    pub name: Option<String>,
    pub columns: Vec<String>,
    /// `None` when the parent is in the table's own schema.
    pub parent_schema: Option<String>,
    pub parent_table: String,
    pub parent_columns: Vec<String>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, c)| c.name.eq_ignore_ascii_case(name))
    }

    pub fn primary_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|i| i.kind == IndexKind::Primary)
    }

    /// The primary key first, then unique keys in order of definition.
    pub fn unique_keys(&self) -> impl Iterator<Item = &Index> {
        self.primary_key().into_iter().chain(self.indexes.iter().filter(|i| i.kind == IndexKind::Unique))
    }

    /// The index of that name, in any case.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|i| i.name.eq_ignore_ascii_case(name))
    }
}
