//! Type names of MySQL, MariaDB and TiDB with their lengths. A word that is no known type becomes
//! [`DataType::Other`] with its text.

use super::ColumnDef;
use crate::error::Error;
use crate::parser::Parser;
use crate::table::DataType;

impl Parser<'_> {
    pub(super) fn data_type(&mut self, def: &mut ColumnDef) -> Result<(), Error> {
        let start = self.at;
        let word = if self.is_name(0) { self.name()?.to_ascii_uppercase() } else { return self.expected("a type") };
        let national = word == "NATIONAL";
        let word = if national { self.name()?.to_ascii_uppercase() } else { word };
        if national || matches!(word.as_str(), "NCHAR" | "NVARCHAR") {
            def.column.charset = Some("utf8mb3".to_owned());
        }
        def.column.data_type = match word.as_str() {
            "TINYINT" | "INT1" => self.integer(DataType::TinyInt)?,
            "BOOL" | "BOOLEAN" => DataType::TinyInt,
            "SMALLINT" | "INT2" => self.integer(DataType::SmallInt)?,
            "MEDIUMINT" | "INT3" | "MIDDLEINT" => self.integer(DataType::MediumInt)?,
            "INT" | "INTEGER" | "INT4" => self.integer(DataType::Int)?,
            "BIGINT" | "INT8" => self.integer(DataType::BigInt)?,
            "SERIAL" => {
                def.column.unsigned = true;
                def.column.nullable = false;
                def.column.auto_increment = true;
                def.unique = true;
                DataType::BigInt
            }
            "FLOAT" | "FLOAT4" => match self.precision()? {
                Some((precision, None)) if precision > 24 => DataType::Double,
                _ => DataType::Float,
            },
            "DOUBLE" | "FLOAT8" => {
                self.take(&["PRECISION"]);
                self.precision()?;
                DataType::Double
            }
            "REAL" => {
                self.precision()?;
                if self.real_is_float() { DataType::Float } else { DataType::Double }
            }
            "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" | "NUMBER" => {
                let (precision, scale) = self.precision()?.unwrap_or((10, None));
                // A precision of 0 means the default.
                let precision = if precision == 0 { 10 } else { precision };
                DataType::Decimal { precision: self.small(precision)?, scale: self.small(scale.unwrap_or(0))? }
            }
            "BIT" => {
                let n_bits = self.length()?.unwrap_or(1).max(1);
                DataType::Bit { n_bits: self.small(n_bits)? }
            }
            "DATE" => DataType::Date,
            "TIME" => DataType::Time { fsp: self.fsp()? },
            "DATETIME" => DataType::DateTime { fsp: self.fsp()? },
            "TIMESTAMP" => DataType::Timestamp { fsp: self.fsp()? },
            "YEAR" | "SQL_TSI_YEAR" => {
                self.length()?;
                DataType::Year
            }
            "CHAR" | "CHARACTER" | "NCHAR" => {
                if self.take(&["VARYING"]) || self.take_any(&["VARCHAR", "VARCHARACTER"]) {
                    DataType::VarChar { n_chars: self.length()?.unwrap_or(1) }
                } else {
                    DataType::Char { n_chars: self.length()?.unwrap_or(1) }
                }
            }
            "VARCHAR" | "VARCHARACTER" | "NVARCHAR" | "VARCHAR2" => {
                self.take(&["VARYING"]);
                match self.length()? {
                    Some(n_chars) => DataType::VarChar { n_chars },
                    None => return self.expected("a length"),
                }
            }
            "BINARY" => DataType::Binary { n_bytes: self.length()?.unwrap_or(1) },
            "VARBINARY" | "RAW" => match self.length()? {
                Some(n_bytes) => DataType::VarBinary { n_bytes },
                None => return self.expected("a length"),
            },
            "TINYTEXT" => DataType::TinyText,
            "TEXT" => {
                def.text_length = self.length()?;
                DataType::Text
            }
            "MEDIUMTEXT" => DataType::MediumText,
            "LONGTEXT" | "CLOB" => DataType::LongText,
            "LONG" => {
                if self.take(&["VARBINARY"]) {
                    DataType::MediumBlob
                } else {
                    let _ = self.take(&["VARCHAR"])
                        || self.take(&["CHAR", "VARYING"])
                        || self.take(&["CHARACTER", "VARYING"]);
                    DataType::MediumText
                }
            }
            "TINYBLOB" => DataType::TinyBlob,
            "BLOB" => match self.length()? {
                Some(n) if n <= 0xff => DataType::TinyBlob,
                Some(n) if n > 0xff_ffff => DataType::LongBlob,
                Some(n) if n > 0xffff => DataType::MediumBlob,
                _ => DataType::Blob,
            },
            "MEDIUMBLOB" => DataType::MediumBlob,
            "LONGBLOB" => DataType::LongBlob,
            "ENUM" => DataType::Enum { members: self.members()? },
            "SET" => DataType::Set { members: self.members()? },
            "JSON" => DataType::Json,
            "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
            | "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => {
                let kind = word.to_ascii_lowercase();
                DataType::Geometry {
                    kind: if kind == "geomcollection" { "geometrycollection".to_owned() } else { kind },
                }
            }
            "VECTOR" => {
                if self.take_symbol('<') {
                    self.name()?;
                    self.need_symbol('>', "`>`")?;
                }
                DataType::Vector { dimensions: self.length()? }
            }
            "UUID" => DataType::Uuid,
            "INET4" => DataType::Inet4,
            "INET6" => DataType::Inet6,
            _ => {
                if self.is_symbol(0, '(') {
                    self.skip_group()?;
                }
                DataType::Other { text: self.source.slice(start..self.at) }
            }
        };
        Ok(())
    }

    /// The display width says nothing about values.
    fn integer(&mut self, data_type: DataType) -> Result<DataType, Error> {
        self.length()?;
        Ok(data_type)
    }

    /// `(p)` or `(p, s)`.
    fn precision(&mut self) -> Result<Option<(u32, Option<u32>)>, Error> {
        if !self.take_symbol('(') {
            return Ok(None);
        }
        let precision = self.number()?;
        let scale = if self.take_symbol(',') { Some(self.number()?) } else { None };
        self.need_symbol(')', "`)` after a precision")?;
        Ok(Some((precision, scale)))
    }

    fn fsp(&mut self) -> Result<u8, Error> {
        let fsp = self.length()?.unwrap_or(0);
        if fsp > 6 { self.expected("at most 6 fraction digits") } else { Ok(fsp as u8) }
    }

    fn small(&self, n: u32) -> Result<u8, Error> {
        u8::try_from(n).or_else(|_| self.expected("a smaller length"))
    }

    fn members(&mut self) -> Result<Vec<String>, Error> {
        self.need_symbol('(', "`(` before the members")?;
        let mut members = Vec::new();
        loop {
            // Trailing spaces are cut from members when they are defined.
            members.push(self.text_or_hex()?.trim_end_matches(' ').to_owned());
            if !self.take_symbol(',') {
                break;
            }
        }
        self.need_symbol(')', "`)` after the members")?;
        Ok(members)
    }
}
