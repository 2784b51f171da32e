//! How to read the images of one table, worked out once per table map.

use super::{compressed, read_decimal, temporal};
use crate::{
    cursor::{Cursor, uint_le},
    table_map::ColumnType,
    value::Value,
};

/// A table's columns in the order of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    columns: Vec<ColumnType>,
    n_json: usize,
}

/// Why a value cannot be read.
pub(super) type Reason = &'static str;

pub(super) const SHORT: Reason = "the event ends within it";

impl Plan {
    pub fn new(columns: Vec<ColumnType>) -> Self {
        let n_json = columns.iter().filter(|column| matches!(column, ColumnType::Json { .. })).count();
        Self { columns, n_json }
    }

    pub fn n_columns(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn columns(&self) -> &[ColumnType] {
        &self.columns
    }

    pub(super) fn n_json(&self) -> usize {
        self.n_json
    }
}

/// Reads one value that is not NULL. `limit` bounds what a compressed value may unpack to.
#[inline]
pub(super) fn read_value<'a>(column: ColumnType, cursor: &mut Cursor<'a>, limit: u64) -> Result<Value<'a>, Reason> {
    Ok(match column {
        ColumnType::Null => Value::Null,
        ColumnType::Int { width } => {
            let value = match width {
                1 => i64::from(i8::from_le_bytes(cursor.get_array().ok_or(SHORT)?)),
                2 => i64::from(i16::from_le_bytes(cursor.get_array().ok_or(SHORT)?)),
                3 => {
                    let [a, b, c] = cursor.get_array().ok_or(SHORT)?;
                    i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
                }
                4 => i64::from(i32::from_le_bytes(cursor.get_array().ok_or(SHORT)?)),
                _ => i64::from_le_bytes(cursor.get_array().ok_or(SHORT)?),
            };
            Value::Int { value, width }
        }
        ColumnType::Float => Value::Float(f32::from_le_bytes(cursor.get_array().ok_or(SHORT)?)),
        ColumnType::Double => Value::Double(f64::from_le_bytes(cursor.get_array().ok_or(SHORT)?)),
        ColumnType::Decimal { precision, scale } => Value::Decimal(read_decimal(cursor, precision, scale)?),
        ColumnType::Bit { bits } => Value::Bit(cursor.get(usize::from(bits).div_ceil(8)).ok_or(SHORT)?),
        ColumnType::Year => match cursor.get_array::<1>().ok_or(SHORT)? {
            [0] => Value::Year(0),
            [year] => Value::Year(1900 + u16::from(year)),
        },
        ColumnType::Date => temporal::date(cursor)?,
        ColumnType::OldTime => temporal::old_time(cursor)?,
        ColumnType::Time { fsp } => temporal::time(cursor, fsp)?,
        ColumnType::OldDateTime => temporal::old_date_time(cursor)?,
        ColumnType::DateTime { fsp } => temporal::date_time(cursor, fsp)?,
        ColumnType::OldTimestamp => {
            let seconds = u32::from_le_bytes(cursor.get_array().ok_or(SHORT)?);
            Value::Timestamp { seconds, micros: 0, fsp: 0 }
        }
        ColumnType::Timestamp { fsp } => temporal::timestamp(cursor, fsp)?,
        ColumnType::Enum { width } => Value::Enum(cursor.get_uint_le(usize::from(width)).ok_or(SHORT)? as u16),
        ColumnType::Set { width } => Value::Set(cursor.get_uint_le(usize::from(width)).ok_or(SHORT)?),
        ColumnType::String { prefix, .. } | ColumnType::Varchar { prefix, .. } | ColumnType::Blob { prefix } => {
            Value::Bytes(counted(cursor, prefix)?)
        }
        ColumnType::Json { prefix } => Value::Json(counted(cursor, prefix)?),
        ColumnType::Geometry { prefix } => Value::Geometry(counted(cursor, prefix)?),
        ColumnType::Vector { prefix } => Value::Vector(counted(cursor, prefix)?),
        ColumnType::CompressedVarchar { prefix, .. } | ColumnType::CompressedBlob { prefix } => {
            compressed::unpack(counted(cursor, prefix)?, limit)?
        }
    })
}

/// Bytes behind a little-endian length of `prefix` bytes.
#[inline(always)]
fn counted<'a>(cursor: &mut Cursor<'a>, prefix: u8) -> Result<&'a [u8], Reason> {
    let len = match prefix {
        1 => usize::from(cursor.get_array::<1>().ok_or(SHORT)?[0]),
        2 => usize::from(u16::from_le_bytes(cursor.get_array().ok_or(SHORT)?)),
        _ => uint_le(cursor.get(usize::from(prefix)).ok_or(SHORT)?) as usize,
    };
    cursor.get(len).ok_or(SHORT)
}
