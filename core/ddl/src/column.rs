//! Column types and column definitions. Attributes that say nothing about a column's structure are read and dropped;
//! what is not known at all is noted as not modelled.

use crate::error::Error;
use crate::lexer::TokenKind;
use crate::parser::Parser;
use crate::sql_mode::SqlMode;
use crate::statement::TableRole;
use crate::table::{Column, DataType, ForeignKey, Generated};

mod data_type;

/// A column definition with what it says about things outside the column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    pub column: Column,
    pub primary: bool,
    pub unique: bool,
    pub references: Option<ForeignKey>,
    /// `TEXT(n)`: the type depends on the charset that the column ends up with.
    pub text_length: Option<u32>,
    /// `BINARY` on a character column: the collation is the `_bin` one of its charset.
    pub binary_collation: bool,
    /// Whether the definition says `NULL` itself.
    pub explicit_null: bool,
}

/// Words that end a DEFAULT or ON UPDATE value that is not in parentheses.
const ATTRIBUTES: &[&str] = &[
    "NOT",
    "NULL",
    "DEFAULT",
    "ON",
    "AUTO_INCREMENT",
    "AUTO_RANDOM",
    "UNIQUE",
    "PRIMARY",
    "KEY",
    "COMMENT",
    "COLLATE",
    "COLUMN_FORMAT",
    "STORAGE",
    "REFERENCES",
    "CONSTRAINT",
    "CHECK",
    "VISIBLE",
    "INVISIBLE",
    "GENERATED",
    "AS",
    "VIRTUAL",
    "STORED",
    "PERSISTENT",
    "FIRST",
    "AFTER",
    "CHARACTER",
    "CHARSET",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "WITH",
    "WITHOUT",
    "COMPRESSED",
    "SERIAL",
    "SRID",
    "REF_SYSTEM_ID",
];

impl Parser<'_> {
    /// A column's name, type and attributes, up to `,`, `)`, `FIRST`, `AFTER` or the end.
    pub(crate) fn column_def(&mut self) -> Result<ColumnDef, Error> {
        let name = self.column_name()?;
        let mut def = ColumnDef {
            column: Column {
                name,
                data_type: DataType::Int,
                unsigned: false,
                zerofill: false,
                nullable: true,
                default: None,
                on_update: None,
                charset: None,
                collation: None,
                generated: None,
                auto_increment: false,
                invisible: false,
                comment: None,
            },
            primary: false,
            unique: false,
            references: None,
            text_length: None,
            binary_collation: false,
            explicit_null: false,
        };
        self.data_type(&mut def)?;
        while !self.at_item_end() && !self.is_any(0, &["FIRST", "AFTER"]) {
            self.attribute(&mut def)?;
        }
        if def.column.data_type == DataType::Year {
            def.column.unsigned = false;
            def.column.zerofill = false;
        }
        // NULL cannot win against these, wherever it stands.
        def.column.nullable &= !def.column.auto_increment && !def.primary;
        if def.column.nullable && def.column.default.as_deref().is_some_and(|d| d.eq_ignore_ascii_case("NULL")) {
            def.column.default = None;
        }
        Ok(def)
    }

    fn attribute(&mut self, def: &mut ColumnDef) -> Result<(), Error> {
        let start = self.at;
        let column = &mut def.column;
        if self.take(&["NOT", "NULL"]) {
            column.nullable = false;
        } else if self.take(&["NULL"]) {
            column.nullable = true;
            def.explicit_null = true;
        } else if self.take(&["UNSIGNED"]) {
            column.unsigned = true;
        } else if self.take(&["ZEROFILL"]) {
            column.zerofill = true;
            column.unsigned = true;
        } else if self.take(&["SERIAL", "DEFAULT", "VALUE"]) {
            column.nullable = false;
            column.auto_increment = true;
            def.unique = true;
        } else if self.take(&["DEFAULT"]) {
            column.default = Some(self.value()?);
        } else if self.take(&["ON", "UPDATE"]) {
            column.on_update = Some(self.value()?);
        } else if self.take(&["AUTO_INCREMENT"]) {
            column.auto_increment = true;
            column.nullable = false;
        } else if self.take(&["AUTO_RANDOM"]) {
            if self.is_symbol(0, '(') {
                self.skip_group()?;
            }
        } else if self.take(&["UNIQUE"]) {
            self.take(&["KEY"]);
            self.take_any(&["GLOBAL", "LOCAL"]);
            def.unique = true;
        } else if self.take(&["PRIMARY", "KEY"]) || self.take(&["KEY"]) || self.take(&["PRIMARY"]) {
            self.take_any(&["CLUSTERED", "NONCLUSTERED"]);
            self.take_any(&["GLOBAL", "LOCAL"]);
            def.primary = true;
            column.nullable = false;
        } else if self.take(&["COMMENT"]) {
            self.take_symbol('=');
            column.comment = Some(self.text()?).filter(|c| !c.is_empty());
        } else if self.take(&["COLLATE"]) {
            self.take_symbol('=');
            column.collation = Some(self.name_or_text()?.to_ascii_lowercase());
        } else if self.take_charset_words() {
            self.take_symbol('=');
            column.charset = Some(self.name_or_text()?.to_ascii_lowercase());
        } else if self.take(&["BINARY"]) {
            def.binary_collation = true;
        } else if self.take(&["ASCII"]) {
            column.charset = Some("latin1".to_owned());
        } else if self.take(&["UNICODE"]) {
            column.charset = Some("ucs2".to_owned());
        } else if self.take(&["BYTE"]) {
            column.charset = Some("binary".to_owned());
        } else if self.take(&["INVISIBLE"]) {
            column.invisible = true;
        } else if self.take(&["GENERATED", "ALWAYS", "AS"]) || self.take(&["AS"]) {
            self.generated(def)?;
        } else if self.take(&["GENERATED", "BY", "DEFAULT", "ON", "NULL", "AS", "IDENTITY"])
            || self.take(&["GENERATED", "BY", "DEFAULT", "AS", "IDENTITY"])
        {
            column.auto_increment = true;
        } else if self.take(&["REFERENCES"]) {
            let mut key = self.references(TableRole::ForeignKeyParent)?;
            key.columns = vec![def.column.name.clone()];
            def.references = Some(key);
        } else if self.take(&["COLUMN_FORMAT"]) || self.take(&["STORAGE"]) || self.take(&["SRID"]) {
            self.skip_one()?;
        } else if self.is_word(0, "CONSTRAINT") || self.is_word(0, "CHECK") {
            self.check()?;
        } else if self.take_any(&["VISIBLE", "SIGNED", "COMPRESSED", "NOT SECONDARY"])
            || self.take(&["NOT", "SECONDARY"])
            || self.take(&["WITH", "SYSTEM", "VERSIONING"])
            || self.take(&["WITHOUT", "SYSTEM", "VERSIONING"])
        {
            if self.take_symbol('=') {
                self.skip_one()?;
            }
        } else if self.is_any(0, &["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "REF_SYSTEM_ID"])
            || (self.is_name(0) && self.is_symbol(1, '='))
        {
            self.at += 1;
            self.take_symbol('=');
            self.skip_one()?;
        } else {
            self.skip_one()?;
            self.not_modelled.push(start..self.at);
        }
        Ok(())
    }

    /// `CHARACTER SET`, `CHAR SET` or `CHARSET`.
    pub(crate) fn take_charset_words(&mut self) -> bool {
        self.take(&["CHARACTER", "SET"]) || self.take(&["CHAR", "SET"]) || self.take(&["CHARSET"])
    }

    /// A DEFAULT or ON UPDATE value as written: a literal, a call, or an expression in parentheses.
    pub(crate) fn value(&mut self) -> Result<String, Error> {
        let start = self.at;
        self.skip_one()?;
        loop {
            let previous = self.source.lexed.tokens.get(self.at.saturating_sub(1)).map(|t| t.kind);
            let after_operator = matches!(previous, Some(TokenKind::Symbol(c)) if c != ')');
            if self.at_item_end() || (!after_operator && self.is_any(0, ATTRIBUTES)) {
                break;
            }
            self.skip_one()?;
        }
        Ok(self.source.slice(start..self.at))
    }

    fn generated(&mut self, def: &mut ColumnDef) -> Result<(), Error> {
        if self.is_word(0, "ROW") && self.is_any(1, &["START", "END"]) {
            let expression = format!("ROW {}", self.raw(1).to_ascii_uppercase());
            self.at += 2;
            def.column.nullable = false;
            def.column.generated = Some(Generated { expression, stored: true });
            return Ok(());
        }
        if self.take(&["IDENTITY"]) {
            def.column.auto_increment = true;
            return Ok(());
        }
        let inner = self.skip_group()?;
        let expression = self.source.slice(inner);
        let stored = self.take_any(&["STORED", "PERSISTENT"]);
        self.take(&["VIRTUAL"]);
        def.column.generated = Some(Generated { expression, stored });
        Ok(())
    }

    /// `[CONSTRAINT [name]] CHECK (…) [[NOT] ENFORCED]`; returns the name.
    pub(crate) fn check(&mut self) -> Result<Option<String>, Error> {
        let mut name = None;
        if self.take(&["CONSTRAINT"]) && !self.is_word(0, "CHECK") {
            self.if_not_exists();
            name = Some(self.name()?);
        }
        if !self.take(&["CHECK"]) {
            return self.expected("CHECK");
        }
        self.skip_group()?;
        let _ = self.take(&["NOT", "ENFORCED"]) || self.take(&["ENFORCED"]);
        Ok(name)
    }

    pub(crate) fn real_is_float(&self) -> bool {
        self.source.context.sql_mode.contains(SqlMode::REAL_AS_FLOAT)
    }
}
