//! A column's value as a SQL literal, exact for every type: read back, the target holds what the source held.
//!
//! Owns the rules of rendering (signs, fractions, charsets, members, padding). Never decides which columns are written. Fails
//! on a value that does not fit the column's type, which means that the structure is not the row's.
//!
//! One form serves VALUES and WHERE: FLOAT is written widened to double, because only that finds the row again and both
//! store the same. JSON alone needs a cast in WHERE, which the statement adds.

pub mod charset;
pub mod plain;
pub mod text;

use std::io::Write as _;

use dm_binlog::Value;
use dm_ddl::table::{Column, DataType, Table};

use self::{
    charset::Charset,
    text::{push_hex, push_quoted},
};

/// The SQL that the target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    MySql,
    MariaDb,
    TiDb,
}

/// Why a value has no literal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a {found} value does not fit the type {data_type}")]
    Type { found: &'static str, data_type: &'static str },
    #[error("member number {number} is beyond the {n_members} members")]
    Member { number: u64, n_members: usize },
    #[error("a bit value of {n_bytes} bytes is longer than 8")]
    Bits { n_bytes: usize },
    #[error("an address of {n_bytes} bytes is longer than {limit}")]
    Address { n_bytes: usize, limit: usize },
    #[error("{n_bytes} bytes are no vector")]
    Vector { n_bytes: usize },
    #[error("not readable as binary JSON")]
    Json(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How the values of one column are rendered; compiled from its type here and there.
#[derive(Debug, Clone)]
pub struct Plan {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Integer {
        unsigned: bool,
    },
    Real,
    Decimal,
    Bit,
    Year,
    Date,
    Time,
    DateTime,
    Timestamp,
    Text(Charset),
    Binary {
        pad_to: usize,
    },
    /// Literal by member number, 0 first; empty: the number itself.
    Enum {
        literals: Vec<Vec<u8>>,
        n_members: usize,
    },
    /// Texts of the members; empty: the bitmap itself.
    Set {
        members: Vec<String>,
    },
    Json,
    Geometry,
    Vector {
        as_text: bool,
    },
    Uuid,
    Inet4,
    Inet6,
    /// Bytes of a type this crate does not know.
    Opaque,
}

impl Plan {
    /// `source` is a column of `table`, whose default charset it may inherit; `target` is where its values go.
    pub fn new(table: &Table, source: &Column, target: &Column, dialect: Dialect) -> Self {
        let kind = match &source.data_type {
            DataType::TinyInt | DataType::SmallInt | DataType::MediumInt | DataType::Int | DataType::BigInt => {
                Kind::Integer { unsigned: source.unsigned || source.zerofill }
            }
            DataType::Float | DataType::Double => Kind::Real,
            DataType::Decimal { .. } => Kind::Decimal,
            DataType::Bit { .. } => Kind::Bit,
            DataType::Year => Kind::Year,
            DataType::Date => Kind::Date,
            DataType::Time { .. } => Kind::Time,
            DataType::DateTime { .. } => Kind::DateTime,
            DataType::Timestamp { .. } => Kind::Timestamp,
            DataType::Char { .. }
            | DataType::VarChar { .. }
            | DataType::TinyText
            | DataType::Text
            | DataType::MediumText
            | DataType::LongText => match Charset::of_column(table, source, dialect) {
                Charset::Binary => Kind::Binary { pad_to: 0 },
                charset => Kind::Text(charset),
            },
            DataType::Binary { n_bytes } => Kind::Binary { pad_to: *n_bytes as usize },
            DataType::VarBinary { .. }
            | DataType::TinyBlob
            | DataType::Blob
            | DataType::MediumBlob
            | DataType::LongBlob => Kind::Binary { pad_to: 0 },
            DataType::Enum { members } => enum_kind(members, &target.data_type),
            DataType::Set { members } => set_kind(members, &target.data_type),
            DataType::Json => Kind::Json,
            DataType::Geometry { .. } => Kind::Geometry,
            DataType::Vector { .. } => Kind::Vector { as_text: dialect == Dialect::TiDb },
            DataType::Uuid => Kind::Uuid,
            DataType::Inet4 => Kind::Inet4,
            DataType::Inet6 => Kind::Inet6,
            DataType::Other { .. } => Kind::Opaque,
        };
        Self { kind }
    }

    /// Appends the literal of `value`.
    pub fn write(&self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match (&self.kind, value) {
            (_, Value::Null) => out.extend_from_slice(b"NULL"),
            (Kind::Integer { unsigned }, Value::Int { value, width }) => plain::integer(*value, *width, *unsigned, out),
            (Kind::Real, Value::Float(value)) => plain::real(f64::from(*value), out),
            (Kind::Real, Value::Double(value)) => plain::real(*value, out),
            (Kind::Decimal, Value::Decimal(text)) => out.extend_from_slice(text.as_bytes()),
            (Kind::Bit, Value::Bit(bytes)) => plain::bits(bytes, out)?,
            (Kind::Year, Value::Year(year)) => write_to(out, format_args!("{year}")),
            (Kind::Date, Value::Date { year, month, day }) => {
                write_to(out, format_args!("'{year:04}-{month:02}-{day:02}'"));
            }
            (Kind::Time, Value::Time { negative, hours, minutes, seconds, micros, fsp }) => {
                let sign = if *negative { "-" } else { "" };
                write_to(out, format_args!("'{sign}{hours:02}:{minutes:02}:{seconds:02}"));
                plain::fraction(*micros, *fsp, out);
                out.push(b'\'');
            }
            (Kind::DateTime, Value::DateTime { year, month, day, hour, minute, second, micros, fsp }) => {
                write_to(out, format_args!("'{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));
                plain::fraction(*micros, *fsp, out);
                out.push(b'\'');
            }
            (Kind::Timestamp, Value::Timestamp { seconds, micros, fsp }) => {
                plain::timestamp(*seconds, *micros, *fsp, out);
            }
            (Kind::Text(charset), Value::Bytes(bytes)) => charset.write(bytes, out),
            (Kind::Text(charset), Value::OwnedBytes(bytes)) => charset.write(bytes, out),
            (Kind::Binary { pad_to }, Value::Bytes(bytes)) => push_hex(out, bytes, *pad_to),
            (Kind::Binary { pad_to }, Value::OwnedBytes(bytes)) => push_hex(out, bytes, *pad_to),
            (Kind::Enum { literals, n_members }, Value::Enum(number)) => {
                let number = usize::from(*number);
                if number > *n_members {
                    return Err(Error::Member { number: number as u64, n_members: *n_members });
                }
                match literals.get(number) {
                    Some(literal) => out.extend_from_slice(literal),
                    None => write_to(out, format_args!("{number}")),
                }
            }
            (Kind::Set { members }, Value::Set(bits)) if members.is_empty() => write_to(out, format_args!("{bits}")),
            (Kind::Set { members }, Value::Set(bits)) => push_members(members, *bits, out)?,
            (Kind::Json, Value::Json(binary)) => push_quoted(out, &json_text(binary)?),
            (Kind::Json | Kind::Text(_), Value::OwnedJsonText(text)) => push_quoted(out, text),
            (Kind::Json, Value::Bytes(bytes)) => Charset::Utf8.write(bytes, out),
            (Kind::Json, Value::OwnedBytes(bytes)) => Charset::Utf8.write(bytes, out),
            (Kind::Geometry, Value::Geometry(bytes) | Value::Bytes(bytes)) => push_hex(out, bytes, 0),
            (Kind::Vector { as_text: false }, Value::Vector(bytes) | Value::Bytes(bytes)) => push_hex(out, bytes, 0),
            (Kind::Vector { as_text: true }, Value::Vector(bytes) | Value::Bytes(bytes)) => plain::vector(bytes, out)?,
            (Kind::Uuid, Value::Bytes(bytes)) => plain::uuid(bytes, out)?,
            (Kind::Inet4, Value::Bytes(bytes)) => plain::inet4(bytes, out)?,
            (Kind::Inet6, Value::Bytes(bytes)) => plain::inet6(bytes, out)?,
            (Kind::Opaque, Value::Bytes(bytes)) => push_hex(out, bytes, 0),
            (Kind::Opaque, Value::OwnedBytes(bytes)) => push_hex(out, bytes, 0),
            (
                kind,
                Value::Int { .. }
                | Value::Float(_)
                | Value::Double(_)
                | Value::Decimal(_)
                | Value::Bit(_)
                | Value::Year(_)
                | Value::Date { .. }
                | Value::Time { .. }
                | Value::DateTime { .. }
                | Value::Timestamp { .. }
                | Value::Enum(_)
                | Value::Set(_)
                | Value::Bytes(_)
                | Value::Json(_)
                | Value::OwnedBytes(_)
                | Value::OwnedJsonText(_)
                | Value::Geometry(_)
                | Value::Vector(_),
            ) => return Err(Error::Type { found: value_name(value), data_type: kind.name() }),
        }
        Ok(())
    }

    /// The charset of character data, for comparing values as the target does.
    pub(crate) fn charset(&self) -> Option<Charset> {
        match &self.kind {
            Kind::Text(charset) => Some(*charset),
            Kind::Integer { .. }
            | Kind::Real
            | Kind::Decimal
            | Kind::Bit
            | Kind::Year
            | Kind::Date
            | Kind::Time
            | Kind::DateTime
            | Kind::Timestamp
            | Kind::Binary { .. }
            | Kind::Enum { .. }
            | Kind::Set { .. }
            | Kind::Json
            | Kind::Geometry
            | Kind::Vector { .. }
            | Kind::Uuid
            | Kind::Inet4
            | Kind::Inet6
            | Kind::Opaque => None,
        }
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Integer { .. } => "integer",
            Self::Real => "float or double",
            Self::Decimal => "decimal",
            Self::Bit => "bit",
            Self::Year => "year",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "datetime",
            Self::Timestamp => "timestamp",
            Self::Text(_) => "text",
            Self::Binary { .. } => "binary",
            Self::Enum { .. } => "enum",
            Self::Set { .. } => "set",
            Self::Json => "json",
            Self::Geometry => "geometry",
            Self::Vector { .. } => "vector",
            Self::Uuid => "uuid",
            Self::Inet4 => "inet4",
            Self::Inet6 => "inet6",
            Self::Opaque => "unknown",
        }
    }
}

fn value_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Int { .. } => "integer",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::Decimal(_) => "decimal",
        Value::Bit(_) => "bit",
        Value::Year(_) => "year",
        Value::Date { .. } => "date",
        Value::Time { .. } => "time",
        Value::DateTime { .. } => "datetime",
        Value::Timestamp { .. } => "timestamp",
        Value::Enum(_) => "enum",
        Value::Set(_) => "set",
        Value::Bytes(_) | Value::OwnedBytes(_) => "byte",
        Value::Json(_) | Value::OwnedJsonText(_) => "json",
        Value::Geometry(_) => "geometry",
        Value::Vector(_) => "vector",
    }
}

fn enum_kind(members: &[String], target: &DataType) -> Kind {
    let literals = match target {
        DataType::Enum { members: theirs } if theirs == members => Vec::new(),
        DataType::Enum { members: theirs } => {
            let literal = |member: &String| match theirs.iter().position(|their| their == member) {
                Some(index) => (index + 1).to_string().into_bytes(),
                None => quoted(member),
            };
            std::iter::once(b"0".to_vec()).chain(members.iter().map(literal)).collect()
        }
        _ if is_text(target) => std::iter::once(b"''".to_vec()).chain(members.iter().map(|m| quoted(m))).collect(),
        _ => Vec::new(),
    };
    Kind::Enum { literals, n_members: members.len() }
}

fn set_kind(members: &[String], target: &DataType) -> Kind {
    let same_bits = match target {
        DataType::Set { members: theirs } => theirs.starts_with(members),
        _ => !is_text(target),
    };
    Kind::Set { members: if same_bits { Vec::new() } else { members.to_vec() } }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Char { .. }
            | DataType::VarChar { .. }
            | DataType::TinyText
            | DataType::Text
            | DataType::MediumText
            | DataType::LongText
    )
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push_quoted(&mut out, text);
    out
}

fn push_members(members: &[String], bits: u64, out: &mut Vec<u8>) -> Result<(), Error> {
    if members.len() < 64 && bits >> members.len() != 0 {
        return Err(Error::Member { number: u64::from(64 - bits.leading_zeros()), n_members: members.len() });
    }
    let chosen: Vec<&str> = members
        .iter()
        .enumerate()
        .filter(|(index, _)| *index < 64 && bits >> index & 1 == 1)
        .map(|(_, member)| member.as_str())
        .collect();
    push_quoted(out, &chosen.join(","));
    Ok(())
}

fn json_text(binary: &[u8]) -> Result<String, Error> {
    dm_binlog::json::to_text(binary).map_err(|error| Error::Json(Box::new(error)))
}

pub(crate) fn write_to(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory has no error to report.
    let _infallible = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests;
