//! The optional part of a table map: signedness, names, members, character sets, keys, visibility.

use super::ColumnType;
use crate::{
    Error,
    cursor::{Cursor, text},
};

/// Facts per column, by column index. What the server did not log is `None`, or an entry of `None` for columns that the
/// fact does not apply to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `Some(true)`: UNSIGNED.
    pub unsigned: Option<Vec<Option<bool>>>,
    /// Collation numbers of CHAR to LONGTEXT (63 = binary) and, if logged, of ENUM and SET.
    pub collations: Option<Vec<Option<u64>>>,
    pub names: Option<Vec<String>>,
    /// Member texts of ENUM and SET columns, in the column's character set.
    pub members: Option<Vec<Option<Vec<Vec<u8>>>>>,
    /// In key order.
    pub primary_key: Option<Vec<PrimaryKeyPart>>,
    pub visible: Option<Vec<bool>>,
    pub geometry_types: Option<Vec<u64>>,
    pub vector_dimensions: Option<Vec<u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryKeyPart {
    pub column: u64,
    /// Characters; 0 = the whole column.
    pub prefix: u64,
}

const WHAT: &str = "the optional metadata of a table map event";
const NAMES: u8 = 4;

impl Metadata {
    pub(crate) fn read(optional: &[u8], columns: &[ColumnType]) -> Result<Self, Error> {
        let mut metadata = Self::default();
        let mut cursor = Cursor::new(optional);
        while !cursor.is_empty() {
            let field = cursor.u8(WHAT)?;
            let mut value = Cursor::new(cursor.packed_bytes(WHAT)?);
            match field {
                1 => {
                    let mut bits = Bits { bytes: value.rest(), at: 0 };
                    let entry = |column: &ColumnType| {
                        let bit = column.has_sign_bit().then(|| bits.next()).transpose()?;
                        // a year has no sign, whatever its bit says
                        Ok(bit.filter(|_| *column != ColumnType::Year))
                    };
                    metadata.unsigned = Some(columns.iter().map(entry).collect::<Result<_, _>>()?);
                }
                2 => default_collations(&mut value, columns, ColumnType::has_charset, &mut metadata.collations)?,
                3 => listed_collations(&mut value, columns, ColumnType::has_charset, &mut metadata.collations)?,
                NAMES => metadata.names = Some(read_names(&mut value)?),
                5 => read_members(&mut value, columns, |c| matches!(c, ColumnType::Set { .. }), &mut metadata.members)?,
                6 => {
                    read_members(&mut value, columns, |c| matches!(c, ColumnType::Enum { .. }), &mut metadata.members)?
                }
                7 => metadata.geometry_types = Some(read_list(&mut value)?),
                8 => {
                    let list = read_list(&mut value)?;
                    metadata.primary_key =
                        Some(list.into_iter().map(|column| PrimaryKeyPart { column, prefix: 0 }).collect());
                }
                9 => {
                    let mut parts = Vec::new();
                    while !value.is_empty() {
                        parts.push(PrimaryKeyPart { column: value.packed(WHAT)?, prefix: value.packed(WHAT)? });
                    }
                    metadata.primary_key = Some(parts);
                }
                10 => default_collations(&mut value, columns, is_enum_or_set, &mut metadata.collations)?,
                11 => listed_collations(&mut value, columns, is_enum_or_set, &mut metadata.collations)?,
                12 => {
                    let mut bits = Bits { bytes: value.rest(), at: 0 };
                    metadata.visible = Some(columns.iter().map(|_| bits.next()).collect::<Result<_, _>>()?);
                }
                13 => metadata.vector_dimensions = Some(read_list(&mut value)?),
                // Newer servers may add fields; their length is known.
                _ => {}
            }
        }
        Ok(metadata)
    }
}

fn is_enum_or_set(column: ColumnType) -> bool {
    matches!(column, ColumnType::Enum { .. } | ColumnType::Set { .. })
}

/// The names alone, for messages about columns that cannot be read.
pub(super) fn names(optional: &[u8]) -> Result<Option<Vec<String>>, Error> {
    let mut cursor = Cursor::new(optional);
    while !cursor.is_empty() {
        let field = cursor.u8(WHAT)?;
        let mut value = Cursor::new(cursor.packed_bytes(WHAT)?);
        if field == NAMES {
            return read_names(&mut value).map(Some);
        }
    }
    Ok(None)
}

/// Bits from the highest of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn next(&mut self) -> Result<bool, Error> {
        let byte = *self.bytes.get(self.at / 8).ok_or(Error::Truncated { what: WHAT })?;
        let bit = byte & (0x80 >> (self.at % 8)) != 0;
        self.at += 1;
        Ok(bit)
    }
}

fn read_names(value: &mut Cursor<'_>) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    while !value.is_empty() {
        names.push(text(value.packed_bytes(WHAT)?, "a column name is not text")?.to_owned());
    }
    Ok(names)
}

fn read_list(value: &mut Cursor<'_>) -> Result<Vec<u64>, Error> {
    let mut list = Vec::new();
    while !value.is_empty() {
        list.push(value.packed(WHAT)?);
    }
    Ok(list)
}

/// One collation for most columns, and pairs (how manieth of the columns concerned, collation) for the others.
fn default_collations(
    value: &mut Cursor<'_>,
    columns: &[ColumnType],
    concerns: fn(ColumnType) -> bool,
    collations: &mut Option<Vec<Option<u64>>>,
) -> Result<(), Error> {
    let default = value.packed(WHAT)?;
    let collations = collations.get_or_insert_with(|| vec![None; columns.len()]);
    let mut concerned: Vec<_> =
        collations.iter_mut().zip(columns).filter(|(_, column)| concerns(**column)).map(|(entry, _)| entry).collect();
    for entry in &mut concerned {
        **entry = Some(default);
    }
    while !value.is_empty() {
        let nth = value.packed_len(WHAT)?;
        let collation = value.packed(WHAT)?;
        **concerned.get_mut(nth).ok_or(Error::Corrupt { what: WHAT })? = Some(collation);
    }
    Ok(())
}

/// A collation for each of the columns concerned.
fn listed_collations(
    value: &mut Cursor<'_>,
    columns: &[ColumnType],
    concerns: fn(ColumnType) -> bool,
    collations: &mut Option<Vec<Option<u64>>>,
) -> Result<(), Error> {
    let collations = collations.get_or_insert_with(|| vec![None; columns.len()]);
    for (entry, _) in collations.iter_mut().zip(columns).filter(|(_, column)| concerns(**column)) {
        *entry = Some(value.packed(WHAT)?);
    }
    Ok(())
}

fn read_members(
    value: &mut Cursor<'_>,
    columns: &[ColumnType],
    concerns: fn(&ColumnType) -> bool,
    members: &mut Option<Vec<Option<Vec<Vec<u8>>>>>,
) -> Result<(), Error> {
    let members = members.get_or_insert_with(|| vec![None; columns.len()]);
    for (entry, _) in members.iter_mut().zip(columns).filter(|(_, column)| concerns(column)) {
        let n = value.packed_len(WHAT)?;
        let mut texts = Vec::new();
        for _ in 0..n {
            texts.push(value.packed_bytes(WHAT)?.to_vec());
        }
        *entry = Some(texts);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that MySQL 9.7 and MariaDB 10.11 write for `(YEAR, INT)` and `(BIT(1), INT)`: a missed bit would give every
    /// later column its neighbour's sign.
    #[test]
    fn a_year_has_a_sign_bit_and_a_bit_column_has_none() {
        let int = ColumnType::Int { width: 4 };
        let signs = |bits: u8, first| Metadata::read(&[1, 1, bits], &[first, int]).unwrap().unsigned.unwrap();
        assert_eq!(signs(0x80, ColumnType::Year), [None, Some(false)]);
        assert_eq!(signs(0x00, ColumnType::Bit { bits: 1 }), [None, Some(false)]);
        assert_eq!(signs(0x40, int), [Some(false), Some(true)]);
    }
}
