//! Whether a structure is the one a table map speaks of.
//!
//! A row event carries types, and sometimes names, but no structure. Decoding by a structure that does not fit would
//! put values into wrong columns, so every structure is held against the table map before it is used. A fit is
//! necessary, not sufficient: columns of one type that changed places look the same where names are not logged.

use dm_binlog::table_map::{ColumnType, Metadata};
use dm_ddl::table::{Column, DataType, Table};

/// True when number, types, signs and names of columns agree as far as the map tells them.
pub fn fits(structure: &Table, map: &dm_binlog::Table) -> bool {
    misfit(structure, map).is_none()
}

/// The first thing in which the two differ, for a message; `None` when the structure fits.
pub fn misfit(structure: &Table, map: &dm_binlog::Table) -> Option<String> {
    if structure.columns.len() != map.columns.len() {
        return Some(format!("{} columns, {} in the binlog", structure.columns.len(), map.columns.len()));
    }
    let (idx, column) = structure
        .columns
        .iter()
        .enumerate()
        .find(|(idx, column)| !column_fits(*idx, column, map.columns[*idx], &map.metadata))?;
    Some(format!(
        "column {} `{}` is {:?}, in the binlog {:?}",
        idx + 1,
        column.name,
        column.data_type,
        map.columns[idx]
    ))
}

fn column_fits(idx: usize, column: &Column, logged: ColumnType, metadata: &Metadata) -> bool {
    let sign = metadata.unsigned.as_ref().and_then(|signs| signs.get(idx).copied().flatten());
    let name = metadata.names.as_ref().and_then(|names| names.get(idx));
    type_fits(column, logged)
        && sign.is_none_or(|unsigned| unsigned == (column.unsigned || column.zerofill))
        && name.is_none_or(|name| name.eq_ignore_ascii_case(&column.name) || !name.is_ascii())
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

#[cfg(test)]
mod tests {
    use dm_binlog::{Body, Decoder, Tables, frame};
    use dm_ddl::{SqlMode, table::parse_create};
    use dm_model::Flavor;

    use super::*;

    /// The table maps of a binlog that a real server wrote.
    fn table_maps(flavor: Flavor, file: &[u8]) -> Vec<std::sync::Arc<dm_binlog::Table>> {
        let mut rest = &file[frame::FILE_MAGIC.len()..];
        let (mut decoder, mut tables, mut maps) = (Decoder::new(flavor), Tables::new(), Vec::new());
        while let Some(len) = frame::event_len(rest).unwrap() {
            if rest.len() < len {
                break;
            }
            let (raw, tail) = rest.split_at(len);
            rest = tail;
            if let Body::TableMap(map) = decoder.decode(raw).unwrap().body {
                maps.push(tables.learn(&map).unwrap());
            }
        }
        maps
    }

    /// The CREATE TABLE of `t` in a script.
    fn structure(script: &str) -> Table {
        let start = script.find("CREATE TABLE t (").unwrap();
        let len = script[start..].find(";\n").unwrap();
        parse_create(&script[start..start + len], SqlMode::default()).unwrap().2
    }

    #[test]
    fn structures_of_real_servers_fit_what_they_log() {
        for (flavor, file, script) in [
            (
                Flavor::MySql,
                include_bytes!("../../binlog/testdata/types-mysql.binlog").as_slice(),
                include_str!("../../binlog/testdata/types-mysql.sql"),
            ),
            (
                Flavor::MariaDb,
                include_bytes!("../../binlog/testdata/types-mariadb.binlog").as_slice(),
                include_str!("../../binlog/testdata/types-mariadb.sql"),
            ),
        ] {
            let structure = structure(script);
            let maps = table_maps(flavor, file);
            let of_t: Vec<_> = maps.iter().filter(|map| map.name == "t").collect();
            assert!(!of_t.is_empty(), "{flavor}: no table map of `t`");
            for map in of_t {
                assert_eq!(structure.columns.len(), map.columns.len(), "{flavor}");
                let misfits: Vec<_> = structure
                    .columns
                    .iter()
                    .zip(&map.columns)
                    .enumerate()
                    .filter(|(idx, (column, logged))| !column_fits(*idx, column, **logged, &map.metadata))
                    .map(|(idx, (column, logged))| {
                        let signs = map.metadata.unsigned.as_ref().map(|signs| signs[idx]);
                        format!("{} {:?}: {logged:?}, unsigned {signs:?}", column.name, column.data_type)
                    })
                    .collect();
                assert!(misfits.is_empty(), "{flavor}: {misfits:#?}");
            }
        }
    }
}
