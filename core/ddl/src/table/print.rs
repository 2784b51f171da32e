//! A [`Table`] as CREATE TABLE, in the grammar both MySQL and MariaDB take. What the structure does not keep (display
//! widths, checks, index comments) is not there. Reading the text again gives the same structure.

use std::fmt::Write as _;

use dm_model::TableName;
use dm_model::name::quote_identifier;

use crate::table::{Column, DataType, ForeignKey, Index, IndexKind, IndexOn, Table};

impl Table {
    pub fn to_create_sql(&self, name: &TableName) -> String {
        format!("CREATE TABLE {name} {}", self.definition())
    }

    /// Everything behind the name.
    pub(crate) fn definition(&self) -> String {
        let mut lines: Vec<String> = self.columns.iter().map(column).collect();
        lines.extend(self.indexes.iter().map(index));
        lines.extend(self.foreign_keys.iter().map(foreign_key));
        let mut out = format!("(\n  {}\n)", lines.join(",\n  "));
        let mut option = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _ = write!(out, " {name}={value}");
            }
        };
        option("ENGINE", self.engine.as_deref());
        option("DEFAULT CHARSET", self.charset.as_deref());
        option("COLLATE", self.collation.as_deref());
        option("COMMENT", self.comment.as_deref().map(quote_text).as_deref());
        if !self.tail.is_empty() {
            let _ = write!(out, " {}", self.tail);
        }
        out
    }
}

/// A string literal for a session without NO_BACKSLASH_ESCAPES.
fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn column(column: &Column) -> String {
    let mut out = format!("{} {}", quote_identifier(&column.name), data_type(&column.data_type));
    let mut put = |text: &str| {
        out.push(' ');
        out.push_str(text);
    };
    if column.unsigned {
        put("unsigned");
    }
    if column.zerofill {
        put("zerofill");
    }
    if let Some(charset) = &column.charset {
        put(&format!("CHARACTER SET {charset}"));
    }
    if let Some(collation) = &column.collation {
        put(&format!("COLLATE {collation}"));
    }
    match &column.generated {
        Some(generated) if generated.expression.starts_with("ROW ") => {
            put(&format!("GENERATED ALWAYS AS {}", generated.expression));
        }
        Some(generated) => {
            put(&format!("GENERATED ALWAYS AS ({})", generated.expression));
            put(if generated.stored { "STORED" } else { "VIRTUAL" });
            if !column.nullable {
                put("NOT NULL");
            }
        }
        None => put(if column.nullable { "NULL" } else { "NOT NULL" }),
    }
    if let Some(default) = &column.default {
        put(&format!("DEFAULT {default}"));
    }
    if let Some(value) = &column.on_update {
        put(&format!("ON UPDATE {value}"));
    }
    if column.auto_increment {
        put("AUTO_INCREMENT");
    }
    if column.invisible {
        put("/*!80023 INVISIBLE */ /*M!100303 INVISIBLE */");
    }
    if let Some(comment) = &column.comment {
        put(&format!("COMMENT {}", quote_text(comment)));
    }
    out
}

fn index(index: &Index) -> String {
    let kind = match index.kind {
        IndexKind::Primary => "PRIMARY KEY".to_owned(),
        IndexKind::Unique => format!("UNIQUE KEY {}", quote_identifier(&index.name)),
        IndexKind::Key => format!("KEY {}", quote_identifier(&index.name)),
        IndexKind::Fulltext => format!("FULLTEXT KEY {}", quote_identifier(&index.name)),
        IndexKind::Spatial => format!("SPATIAL KEY {}", quote_identifier(&index.name)),
    };
    let parts: Vec<String> = index
        .parts
        .iter()
        .map(|part| {
            let on = match &part.on {
                IndexOn::Column(name) => quote_identifier(name),
                IndexOn::Expression(expression) => format!("({expression})"),
            };
            let prefix = part.prefix.map(|n| format!("({n})")).unwrap_or_default();
            format!("{on}{prefix}{}", if part.descending { " DESC" } else { "" })
        })
        .collect();
    let invisible = if index.invisible { " /*!80000 INVISIBLE */ /*M!100600 IGNORED */" } else { "" };
    format!("{kind} ({}){invisible}", parts.join(","))
}

fn foreign_key(key: &ForeignKey) -> String {
    let names = |names: &[String]| names.iter().map(|n| quote_identifier(n)).collect::<Vec<_>>().join(",");
    let symbol = key.name.as_deref().map(|n| format!("CONSTRAINT {} ", quote_identifier(n))).unwrap_or_default();
    let parent = match &key.parent_schema {
        Some(schema) => format!("{}.{}", quote_identifier(schema), quote_identifier(&key.parent_table)),
        None => quote_identifier(&key.parent_table),
    };
    let parent_columns =
        if key.parent_columns.is_empty() { String::new() } else { format!(" ({})", names(&key.parent_columns)) };
    format!("{symbol}FOREIGN KEY ({}) REFERENCES {parent}{parent_columns}", names(&key.columns))
}

fn data_type(data_type: &DataType) -> String {
    let members = |members: &[String]| members.iter().map(|m| quote_text(m)).collect::<Vec<_>>().join(",");
    let fsp = |name: &str, fsp: u8| if fsp == 0 { name.to_owned() } else { format!("{name}({fsp})") };
    match data_type {
        DataType::TinyInt => "tinyint".to_owned(),
        DataType::SmallInt => "smallint".to_owned(),
        DataType::MediumInt => "mediumint".to_owned(),
        DataType::Int => "int".to_owned(),
        DataType::BigInt => "bigint".to_owned(),
        DataType::Float => "float".to_owned(),
        DataType::Double => "double".to_owned(),
        DataType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        DataType::Bit { n_bits } => format!("bit({n_bits})"),
        DataType::Date => "date".to_owned(),
        DataType::Time { fsp: n } => fsp("time", *n),
        DataType::DateTime { fsp: n } => fsp("datetime", *n),
        DataType::Timestamp { fsp: n } => fsp("timestamp", *n),
        DataType::Year => "year".to_owned(),
        DataType::Char { n_chars } => format!("char({n_chars})"),
        DataType::VarChar { n_chars } => format!("varchar({n_chars})"),
        DataType::Binary { n_bytes } => format!("binary({n_bytes})"),
        DataType::VarBinary { n_bytes } => format!("varbinary({n_bytes})"),
        DataType::TinyText => "tinytext".to_owned(),
        DataType::Text => "text".to_owned(),
        DataType::MediumText => "mediumtext".to_owned(),
        DataType::LongText => "longtext".to_owned(),
        DataType::TinyBlob => "tinyblob".to_owned(),
        DataType::Blob => "blob".to_owned(),
        DataType::MediumBlob => "mediumblob".to_owned(),
        DataType::LongBlob => "longblob".to_owned(),
        DataType::Enum { members: m } => format!("enum({})", members(m)),
        DataType::Set { members: m } => format!("set({})", members(m)),
        DataType::Json => "json".to_owned(),
        DataType::Geometry { kind } => kind.clone(),
        DataType::Vector { dimensions: Some(n) } => format!("vector({n})"),
        DataType::Vector { dimensions: None } => "vector".to_owned(),
        DataType::Uuid => "uuid".to_owned(),
        DataType::Inet4 => "inet4".to_owned(),
        DataType::Inet6 => "inet6".to_owned(),
        DataType::Other { text } => text.clone(),
    }
}
