//! Whether a structure is the one a table map speaks of.
//!
//! A row event carries types, and sometimes names, but no structure. Decoding by a structure that does not fit would
//! put values into wrong columns, so every structure is held against the table map before it is used. A fit is
//! necessary, not sufficient: columns of one type that changed places look the same where names are not logged.

use dm_binlog::table_map::ColumnType;
use dm_ddl::table::{Column, DataType, Table};

/// True when number, types, signs and names of columns agree as far as the map tells them.
pub fn fits(structure: &Table, map: &dm_binlog::Table) -> bool {
    if structure.columns.len() != map.columns.len() {
        return false;
    }
    let metadata = &map.metadata;
    structure.columns.iter().zip(&map.columns).enumerate().all(|(idx, (column, logged))| {
        let sign = metadata.unsigned.as_ref().and_then(|signs| signs.get(idx).copied().flatten());
        let name = metadata.names.as_ref().and_then(|names| names.get(idx));
        type_fits(column, *logged)
            && sign.is_none_or(|unsigned| unsigned == (column.unsigned || column.zerofill))
            && name.is_none_or(|name| name.eq_ignore_ascii_case(&column.name) || !name.is_ascii())
    })
}

fn type_fits(column: &Column, logged: ColumnType) -> bool {
    let member_width = |n_members: usize| if n_members < 256 { 1 } else { 2 };
    match (&column.data_type, logged) {
        // What the type is called is not known here; its values are refused when they are rendered, if at all.
        (DataType::Other { .. }, _) => true,
        (DataType::TinyInt, ColumnType::Int { width }) => width == 1,
        (DataType::SmallInt, ColumnType::Int { width }) => width == 2,
        (DataType::MediumInt, ColumnType::Int { width }) => width == 3,
        (DataType::Int, ColumnType::Int { width }) => width == 4,
        (DataType::BigInt, ColumnType::Int { width }) => width == 8,
        (DataType::Float, ColumnType::Float)
        | (DataType::Double, ColumnType::Double)
        | (DataType::Year, ColumnType::Year)
        | (DataType::Date, ColumnType::Date)
        | (DataType::Json, ColumnType::Json { .. })
        | (DataType::Geometry { .. }, ColumnType::Geometry { .. })
        | (DataType::Vector { .. }, ColumnType::Vector { .. } | ColumnType::Varchar { .. } | ColumnType::Blob { .. }) => {
            true
        }
        (DataType::Decimal { precision, scale }, ColumnType::Decimal { precision: p, scale: s }) => {
            *precision == p && *scale == s
        }
        (DataType::Bit { n_bits }, ColumnType::Bit { bits }) => u16::from(*n_bits) == bits,
        (DataType::Time { fsp }, ColumnType::Time { fsp: logged })
        | (DataType::DateTime { fsp }, ColumnType::DateTime { fsp: logged })
        | (DataType::Timestamp { fsp }, ColumnType::Timestamp { fsp: logged }) => *fsp == logged,
        (DataType::Time { .. }, ColumnType::OldTime)
        | (DataType::DateTime { .. }, ColumnType::OldDateTime)
        | (DataType::Timestamp { .. }, ColumnType::OldTimestamp) => true,
        (DataType::Enum { members }, ColumnType::Enum { width }) => width == member_width(members.len()),
        (DataType::Set { members }, ColumnType::Set { width }) => usize::from(width) >= members.len().div_ceil(8),
        (
            DataType::Char { .. } | DataType::Binary { .. } | DataType::Uuid | DataType::Inet4 | DataType::Inet6,
            ColumnType::String { .. },
        )
        | (
            DataType::VarChar { .. } | DataType::VarBinary { .. },
            ColumnType::Varchar { .. } | ColumnType::CompressedVarchar { .. },
        ) => true,
        (
            DataType::TinyText | DataType::TinyBlob,
            ColumnType::Blob { prefix } | ColumnType::CompressedBlob { prefix },
        ) => prefix == 1,
        (DataType::Text | DataType::Blob, ColumnType::Blob { prefix } | ColumnType::CompressedBlob { prefix }) => {
            prefix == 2
        }
        (
            DataType::MediumText | DataType::MediumBlob,
            ColumnType::Blob { prefix } | ColumnType::CompressedBlob { prefix },
        ) => prefix == 3,
        // MariaDB's JSON is a LONGTEXT.
        (
            DataType::LongText | DataType::LongBlob | DataType::Json,
            ColumnType::Blob { prefix } | ColumnType::CompressedBlob { prefix },
        ) => prefix == 4,
        (_, _) => false,
    }
}
