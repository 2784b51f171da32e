//! ALTER TABLE: its clauses in text order, each with the tokens it was read from.

use std::ops::Range;

use crate::column::ColumnDef;
use crate::create_table::{Element, TableOption};
use crate::error::Error;
use crate::index::Constraint;
use crate::parser::Parser;
use crate::statement::TableRole;

mod partition;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTable {
    pub ignore: bool,
    pub if_exists: bool,
    pub clauses: Vec<AlterClause>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterClause {
    pub change: Change,
    pub(crate) run: Range<usize>,
}

/// Where an added or changed column goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At the end when added, where it was when changed.
    Same,
    First,
    After(String),
}

/// An element of `ADD COLUMN (…)` with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedElement {
    pub element: Element,
    pub(crate) run: Range<usize>,
}

/// What one clause changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    AddColumn {
        if_not_exists: bool,
        def: Box<ColumnDef>,
        place: Place,
    },
    AddList {
        if_not_exists: bool,
        elements: Vec<ListedElement>,
    },
    AddConstraint(Constraint),
    DropColumn {
        name: String,
        if_exists: bool,
    },
    ModifyColumn {
        def: Box<ColumnDef>,
        place: Place,
        if_exists: bool,
    },
    ChangeColumn {
        old: String,
        def: Box<ColumnDef>,
        place: Place,
        if_exists: bool,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    /// `None`: DROP DEFAULT.
    SetDefault {
        column: String,
        value: Option<String>,
    },
    SetVisibility {
        column: String,
        visible: bool,
    },
    DropIndex {
        name: String,
        if_exists: bool,
    },
    DropPrimaryKey,
    DropForeignKey {
        name: String,
    },
    /// DROP CONSTRAINT: a key, a foreign key or a check.
    DropConstraint {
        name: String,
    },
    /// ADD, DROP and ALTER of checks that need no name looked up.
    Check,
    RenameIndex {
        from: String,
        to: String,
    },
    IndexVisibility {
        name: String,
        visible: bool,
    },
    /// Index of the new name among the statement's tables.
    RenameTable {
        to: usize,
    },
    /// `None`: DEFAULT, the schema's charset.
    ConvertCharset {
        charset: Option<String>,
        collation: Option<String>,
    },
    Options(Vec<TableOption>),
    Partition(PartitionChange),
    Ttl {
        remove: bool,
    },
    /// ALGORITHM, LOCK, WITH VALIDATION: how to do it, not what.
    Hint,
    /// Without effect on the structure: FORCE, ENABLE KEYS, ORDER BY, tablespaces, TiDB's replicas and attributes.
    Inert,
    NotModelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionChange {
    Add,
    Drop,
    Truncate,
    Reorganize,
    Rebuild,
    Coalesce,
    Split,
    /// Index of the other table among the statement's tables.
    Exchange {
        with: usize,
    },
    PartitionBy,
    RemovePartitioning,
    /// Maintenance and TiDB's attributes of partitions.
    Other,
}

impl Parser<'_> {
    /// From `[IGNORE] TABLE` on.
    pub(crate) fn alter_table(&mut self) -> Result<AlterTable, Error> {
        let mut ignore = false;
        while self.is_any(0, &["ONLINE", "OFFLINE", "IGNORE"]) {
            ignore |= self.is_word(0, "IGNORE");
            self.at += 1;
        }
        if !self.take(&["TABLE"]) {
            return self.expected("TABLE");
        }
        let if_exists = self.if_exists();
        self.table(TableRole::Target)?;
        let _ = (self.take(&["WAIT"]) && self.skip_one().is_ok()) || self.take(&["NOWAIT"]);
        let mut clauses = Vec::new();
        while !self.ended() && !self.is_symbol(0, ';') {
            if self.take_symbol(',') {
                if self.ended() {
                    return self.expected("a clause");
                }
                continue;
            }
            let start = self.at;
            let change = self.change()?;
            if self.at == start {
                return self.expected("a clause of ALTER TABLE");
            }
            if change == Change::NotModelled {
                self.not_modelled.push(start..self.at);
            }
            clauses.push(AlterClause { change, run: start..self.at });
        }
        Ok(AlterTable { ignore, if_exists, clauses })
    }

    fn change(&mut self) -> Result<Change, Error> {
        if let Some(change) = self.partition_change()? {
            return Ok(Change::Partition(change));
        }
        let word = self.raw(0).to_ascii_uppercase();
        match word.as_str() {
            "ADD" => self.change_add(),
            "DROP" => self.change_drop(),
            "MODIFY" => {
                self.at += 1;
                self.take(&["COLUMN"]);
                let if_exists = self.if_exists();
                let def = Box::new(self.column_def()?);
                Ok(Change::ModifyColumn { def, place: self.place()?, if_exists })
            }
            "CHANGE" => {
                self.at += 1;
                self.take(&["COLUMN"]);
                let if_exists = self.if_exists();
                let old = self.column_name()?;
                let def = Box::new(self.column_def()?);
                Ok(Change::ChangeColumn { old, def, place: self.place()?, if_exists })
            }
            "ALTER" => self.change_alter(),
            "RENAME" => self.change_rename(),
            "CONVERT" => self.convert(),
            "ALGORITHM" | "LOCK" => {
                self.at += 1;
                self.take_symbol('=');
                self.skip_one()?;
                Ok(Change::Hint)
            }
            "WITH" | "WITHOUT" if self.is_word(1, "VALIDATION") => {
                self.at += 2;
                Ok(Change::Hint)
            }
            "FORCE" => {
                self.at += 1;
                if self.is_any(0, &["AUTO_INCREMENT", "AUTO_RANDOM_BASE"]) {
                    return Ok(Change::Options(self.options()?));
                }
                Ok(Change::Inert)
            }
            "ENABLE" | "DISABLE" if self.is_word(1, "KEYS") => {
                self.at += 2;
                Ok(Change::Inert)
            }
            "DISCARD" | "IMPORT" if self.is_word(1, "TABLESPACE") => {
                self.at += 2;
                Ok(Change::Inert)
            }
            "ORDER" if self.is_word(1, "BY") => {
                while !self.ended() && !self.is_symbol(0, ';') {
                    self.skip_one()?;
                }
                Ok(Change::Inert)
            }
            "REMOVE" if self.is_word(1, "TTL") => {
                self.at += 2;
                Ok(Change::Ttl { remove: true })
            }
            "TTL" => {
                self.skip_item()?;
                Ok(Change::Ttl { remove: false })
            }
            "SECONDARY_LOAD" | "SECONDARY_UNLOAD" | "CACHE" | "NOCACHE" => {
                self.at += 1;
                Ok(Change::Inert)
            }
            "SET" => {
                while !self.ended() && !self.is_symbol(0, ';') {
                    self.skip_one()?;
                }
                Ok(Change::Inert)
            }
            "ATTRIBUTES" | "READ" | "COMPACT" => {
                self.skip_item()?;
                Ok(Change::Inert)
            }
            _ => Ok(Change::Options(self.options()?)),
        }
    }

    fn options(&mut self) -> Result<Vec<TableOption>, Error> {
        let mut options = vec![self.table_option()?];
        while !self.at_item_end()
            && !self
                .is_any(0, &["PARTITION", "REMOVE", "ALGORITHM", "LOCK", "FORCE", "ADD", "DROP", "MODIFY", "CHANGE"])
        {
            options.push(self.table_option()?);
        }
        Ok(options)
    }

    fn place(&mut self) -> Result<Place, Error> {
        if self.take(&["FIRST"]) {
            return Ok(Place::First);
        }
        if self.take(&["AFTER"]) {
            return Ok(Place::After(self.column_name()?));
        }
        Ok(Place::Same)
    }

    fn change_add(&mut self) -> Result<Change, Error> {
        self.at += 1;
        if self.is_any(0, &["SYSTEM", "PERIOD"]) && self.is_any(1, &["VERSIONING", "FOR"])
            || self.is_any(0, &["VECTOR", "COLUMNAR"]) && self.is_any(1, &["INDEX", "KEY"])
        {
            self.skip_item()?;
            return Ok(Change::NotModelled);
        }
        if self.is_word(0, "STATS_EXTENDED") {
            self.skip_item()?;
            return Ok(Change::Inert);
        }
        if self.at_constraint() {
            return Ok(Change::AddConstraint(self.constraint()?));
        }
        self.take(&["COLUMN"]);
        let if_not_exists = self.if_not_exists();
        if self.take_symbol('(') {
            let mut elements = Vec::new();
            loop {
                let start = self.at;
                let element = self.element()?;
                elements.push(ListedElement { element, run: start..self.at });
                if !self.take_symbol(',') {
                    break;
                }
            }
            self.need_symbol(')', "`)` after the added columns")?;
            return Ok(Change::AddList { if_not_exists, elements });
        }
        let def = Box::new(self.column_def()?);
        Ok(Change::AddColumn { if_not_exists, def, place: self.place()? })
    }

    fn change_drop(&mut self) -> Result<Change, Error> {
        self.at += 1;
        if self.take(&["PRIMARY", "KEY"]) {
            return Ok(Change::DropPrimaryKey);
        }
        if self.take(&["FOREIGN", "KEY"]) {
            self.if_exists();
            return Ok(Change::DropForeignKey { name: self.name()? });
        }
        if self.take_any(&["INDEX", "KEY"]) {
            let if_exists = self.if_exists();
            return Ok(Change::DropIndex { name: self.name()?, if_exists });
        }
        if self.take(&["CHECK"]) {
            self.name()?;
            return Ok(Change::Check);
        }
        if self.take(&["CONSTRAINT"]) {
            self.if_exists();
            return Ok(Change::DropConstraint { name: self.name()? });
        }
        if self.take(&["SYSTEM", "VERSIONING"]) || (self.are_words(&["PERIOD", "FOR"])) {
            self.skip_item()?;
            return Ok(Change::NotModelled);
        }
        if self.is_word(0, "STATS_EXTENDED") {
            self.skip_item()?;
            return Ok(Change::Inert);
        }
        self.take(&["COLUMN"]);
        let if_exists = self.if_exists();
        let name = self.column_name()?;
        self.take_any(&["RESTRICT", "CASCADE"]);
        Ok(Change::DropColumn { name, if_exists })
    }

    fn change_alter(&mut self) -> Result<Change, Error> {
        self.at += 1;
        if self.take_any(&["INDEX", "KEY"]) {
            self.if_exists();
            let name = self.name()?;
            let visible = self.take(&["VISIBLE"]) || self.take(&["NOT", "IGNORED"]);
            if !visible && !self.take_any(&["INVISIBLE", "IGNORED"]) {
                return self.expected("VISIBLE or INVISIBLE");
            }
            return Ok(Change::IndexVisibility { name, visible });
        }
        if self.is_any(0, &["CHECK", "CONSTRAINT"]) {
            self.skip_item()?;
            return Ok(Change::Check);
        }
        self.take(&["COLUMN"]);
        self.if_exists();
        let column = self.column_name()?;
        if self.take(&["SET", "DEFAULT"]) {
            return Ok(Change::SetDefault { column, value: Some(self.value()?) });
        }
        if self.take(&["DROP", "DEFAULT"]) {
            return Ok(Change::SetDefault { column, value: None });
        }
        if self.take(&["SET"]) {
            let visible = self.is_word(0, "VISIBLE");
            if self.take_any(&["VISIBLE", "INVISIBLE"]) {
                return Ok(Change::SetVisibility { column, visible });
            }
        }
        self.expected("SET DEFAULT, DROP DEFAULT or SET VISIBLE")
    }

    fn change_rename(&mut self) -> Result<Change, Error> {
        self.at += 1;
        if self.take(&["COLUMN"]) {
            self.if_exists();
            let from = self.column_name()?;
            if !self.take(&["TO"]) {
                return self.expected("TO");
            }
            return Ok(Change::RenameColumn { from, to: self.column_name()? });
        }
        if self.is_any(0, &["INDEX", "KEY"]) && !self.at_end_after(1) {
            self.at += 1;
            self.if_exists();
            let from = self.name()?;
            if !self.take(&["TO"]) {
                return self.expected("TO");
            }
            return Ok(Change::RenameIndex { from, to: self.name()? });
        }
        if !self.take_any(&["TO", "AS"]) {
            self.take_symbol('=');
        }
        Ok(Change::RenameTable { to: self.table(TableRole::RenameTo)? })
    }

    fn at_end_after(&self, n: usize) -> bool {
        self.token(n).is_none() || self.is_symbol(n, ',') || self.is_symbol(n, '.')
    }

    fn convert(&mut self) -> Result<Change, Error> {
        self.at += 1;
        if self.take(&["TABLE"]) {
            self.table(TableRole::ExchangePartner)?;
            self.skip_item()?;
            return Ok(Change::NotModelled);
        }
        if self.take(&["PARTITION"]) {
            self.name()?;
            if !self.take(&["TO", "TABLE"]) {
                return self.expected("TO TABLE");
            }
            self.table(TableRole::ExchangePartner)?;
            return Ok(Change::NotModelled);
        }
        if !self.take(&["TO"]) || !self.take_charset_words() {
            return self.expected("TO CHARACTER SET");
        }
        self.take_symbol('=');
        let charset = if self.take(&["DEFAULT"]) { None } else { Some(self.name_or_text()?.to_ascii_lowercase()) };
        let collation = if self.take(&["COLLATE"]) {
            self.take_symbol('=');
            Some(self.name_or_text()?.to_ascii_lowercase()).filter(|c| c != "default")
        } else {
            None
        };
        Ok(Change::ConvertCharset { charset, collation })
    }
}
