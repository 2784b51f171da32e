//! How a column's values stand in row images.

use crate::{Error, cursor::Cursor};

/// Type and metadata of one column, with everything decided that does not depend on a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Null,
    /// TINYINT to BIGINT: bytes.
    Int {
        width: u8,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        bits: u16,
    },
    Year,
    Date,
    /// The format before 5.6: no fraction.
    OldTime,
    Time {
        fsp: u8,
    },
    OldDateTime,
    DateTime {
        fsp: u8,
    },
    OldTimestamp,
    Timestamp {
        fsp: u8,
    },
    Enum {
        width: u8,
    },
    Set {
        width: u8,
    },
    /// CHAR, BINARY, UUID, INET with their maximal bytes; `prefix` is the width of a value's length.
    String {
        max_bytes: u16,
        prefix: u8,
    },
    /// VARCHAR and VARBINARY.
    Varchar {
        max_bytes: u16,
        prefix: u8,
    },
    Blob {
        prefix: u8,
    },
    Json {
        prefix: u8,
    },
    Geometry {
        prefix: u8,
    },
    Vector {
        prefix: u8,
    },
    /// MariaDB's `COMPRESSED` columns.
    CompressedVarchar {
        max_bytes: u16,
        prefix: u8,
    },
    CompressedBlob {
        prefix: u8,
    },
}

const ENUM: u8 = 247;
const SET: u8 = 248;
const STRING: u8 = 254;

impl ColumnType {
    /// Reads a column's metadata. `None`: the type's number is not known.
    pub(crate) fn read(number: u8, metadata: &mut Cursor<'_>) -> Result<Option<Self>, Error> {
        let what = "the column metadata of a table map event";
        Ok(Some(match number {
            1 => Self::Int { width: 1 },
            2 => Self::Int { width: 2 },
            3 => Self::Int { width: 4 },
            4 => {
                metadata.u8(what)?;
                Self::Float
            }
            5 => {
                metadata.u8(what)?;
                Self::Double
            }
            6 => Self::Null,
            7 => Self::OldTimestamp,
            8 => Self::Int { width: 8 },
            9 => Self::Int { width: 3 },
            10 | 14 => Self::Date,
            11 => Self::OldTime,
            12 => Self::OldDateTime,
            13 => Self::Year,
            15 | 253 => {
                let max_bytes = metadata.u16(what)?;
                Self::Varchar { max_bytes, prefix: prefix_of(max_bytes) }
            }
            16 => {
                let (bits, bytes) = (metadata.u8(what)?, metadata.u8(what)?);
                let bits = u16::from(bytes) * 8 + u16::from(bits);
                Self::Bit { bits: checked(bits, 64)? }
            }
            17 => Self::Timestamp { fsp: checked(metadata.u8(what)?, 6)? },
            18 => Self::DateTime { fsp: checked(metadata.u8(what)?, 6)? },
            19 => Self::Time { fsp: checked(metadata.u8(what)?, 6)? },
            140 => Self::CompressedBlob { prefix: blob_prefix(metadata.u8(what)?)? },
            141 => {
                let max_bytes = metadata.u16(what)?;
                Self::CompressedVarchar { max_bytes, prefix: prefix_of(max_bytes) }
            }
            242 => Self::Vector { prefix: blob_prefix(metadata.u8(what)?)? },
            245 => Self::Json { prefix: blob_prefix(metadata.u8(what)?)? },
            246 => {
                let precision = checked(metadata.u8(what)?, 65)?;
                let scale = checked(metadata.u8(what)?, 30.min(precision))?;
                Self::Decimal { precision, scale }
            }
            ENUM => {
                let [_, width] = metadata.array(what)?;
                Self::Enum { width: checked(width, 2)? }
            }
            SET => {
                let [_, width] = metadata.array(what)?;
                Self::Set { width: checked(width, 8)? }
            }
            249..=252 => Self::Blob { prefix: blob_prefix(metadata.u8(what)?)? },
            255 => Self::Geometry { prefix: blob_prefix(metadata.u8(what)?)? },
            STRING => {
                let [first, second] = metadata.array(what)?;
                // Lengths over 255 hide their two high bits, inverted, in the real type's byte, whose bits 4 and 5 are
                // always set otherwise.
                let (real, len) = if first & 0x30 == 0x30 {
                    (first, u16::from(second))
                } else {
                    (first | 0x30, u16::from(second) | u16::from((first & 0x30) ^ 0x30) << 4)
                };
                match real {
                    ENUM => Self::Enum { width: checked(second, 2)? },
                    SET => Self::Set { width: checked(second, 8)? },
                    _ => Self::String { max_bytes: len, prefix: prefix_of(len) },
                }
            }
            _ => return Ok(None),
        }))
    }

    /// Whether the signedness list has an entry for the column. YEAR has one, always set; BIT has none (seen on MySQL 9.7
    /// and MariaDB 10.11).
    pub(crate) fn has_sign_bit(self) -> bool {
        matches!(self, Self::Int { .. } | Self::Float | Self::Double | Self::Decimal { .. } | Self::Year)
    }

    /// Whether the character set lists have an entry for the column.
    pub(crate) fn has_charset(self) -> bool {
        matches!(
            self,
            Self::String { .. }
                | Self::Varchar { .. }
                | Self::Blob { .. }
                | Self::CompressedVarchar { .. }
                | Self::CompressedBlob { .. }
        )
    }
}

fn prefix_of(max_bytes: u16) -> u8 {
    if max_bytes > 255 { 2 } else { 1 }
}

fn blob_prefix(prefix: u8) -> Result<u8, Error> {
    if prefix == 0 { Err(OUT_OF_RANGE) } else { checked(prefix, 4) }
}

const OUT_OF_RANGE: Error = Error::Corrupt { what: "the column metadata of a table map event is out of range" };

fn checked<T: PartialOrd>(value: T, max: T) -> Result<T, Error> {
    if value <= max { Ok(value) } else { Err(OUT_OF_RANGE) }
}
