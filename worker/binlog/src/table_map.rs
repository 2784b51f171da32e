//! Table maps: what the rows events behind them mean.
//!
//! Reading one is cheap (it borrows); [`TableMap::columns`] and [`TableMap::metadata`] take it apart, which
//! [`crate::Tables`] does once per distinct map.

mod column_type;
mod metadata;

pub use column_type::ColumnType;
pub use metadata::{Metadata, PrimaryKeyPart};

use crate::{
    Error,
    cursor::{Cursor, text},
};

#[derive(Debug, Clone, Copy)]
pub struct TableMap<'a> {
    /// Good until the end of the statement; then the server may give it to another table.
    pub table_id: u64,
    pub flags: u16,
    pub schema: &'a str,
    pub table: &'a str,
    types: &'a [u8],
    type_metadata: &'a [u8],
    nullable: &'a [u8],
    optional: &'a [u8],
    /// Everything behind table id and flags: equal bytes mean equal maps.
    pub(crate) content: &'a [u8],
}

impl<'a> TableMap<'a> {
    /// More columns than any server allows (MySQL 4096, MariaDB 4096 with hidden ones counted apart).
    const MAX_COLUMNS: usize = 1 << 16;

    pub(crate) fn read(mut cursor: Cursor<'a>, short_id: bool) -> Result<Self, Error> {
        let what = "a table map event";
        let table_id = cursor.uint_le(if short_id { 4 } else { 6 }, what)?;
        let flags = cursor.u16(what)?;
        let content = cursor.rest();
        let schema = name(&mut cursor)?;
        let table = name(&mut cursor)?;
        let n_columns = cursor.packed_len(what)?;
        if n_columns > Self::MAX_COLUMNS {
            return Err(Error::Corrupt { what: "the number of columns of a table map" });
        }
        let types = cursor.take(n_columns, what)?;
        let type_metadata = cursor.packed_bytes(what)?;
        let nullable = cursor.take(n_columns.div_ceil(8), what)?;
        let optional = cursor.take_rest();
        Ok(Self { table_id, flags, schema, table, types, type_metadata, nullable, optional, content })
    }

    pub fn n_columns(&self) -> usize {
        self.types.len()
    }

    pub fn is_nullable(&self, column: usize) -> bool {
        column < self.types.len() && self.nullable.get(column / 8).is_some_and(|byte| byte & (1 << (column % 8)) != 0)
    }

    /// The columns' types with their metadata.
    pub fn columns(&self) -> Result<Vec<ColumnType>, Error> {
        let mut metadata = Cursor::new(self.type_metadata);
        let mut columns = Vec::with_capacity(self.types.len());
        for (index, number) in self.types.iter().enumerate() {
            match ColumnType::read(*number, &mut metadata)? {
                Some(column_type) => columns.push(column_type),
                None => {
                    return Err(Error::ColumnType {
                        schema: self.schema.to_owned(),
                        table: self.table.to_owned(),
                        column: self.column_label(index),
                        column_type: *number,
                    });
                }
            }
        }
        Ok(columns)
    }

    /// What the server adds by `binlog_row_metadata` (MySQL 8, MariaDB 10.5); all absent for older servers.
    pub fn metadata(&self, columns: &[ColumnType]) -> Result<Metadata, Error> {
        Metadata::read(self.optional, columns)
    }

    fn column_label(&self, index: usize) -> String {
        match metadata::names(self.optional) {
            Ok(Some(names)) => names.get(index).map_or_else(|| index.to_string(), |name| format!("`{name}`")),
            Ok(None) | Err(_) => format!("{index} (counted from 0)"),
        }
    }
}

fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Error> {
    let what = "a name in a table map event";
    let bytes = cursor.packed_bytes(what)?;
    if cursor.u8(what)? != 0 {
        return Err(Error::Corrupt { what: "a name in a table map event has no end mark" });
    }
    text(bytes, "a name in a table map event is not text")
}
