//! Index, foreign key and constraint definitions as they stand in CREATE TABLE and after ADD.

use crate::error::Error;
use crate::parser::Parser;
use crate::statement::TableRole;
use crate::table::{ForeignKey, Index, IndexKind, IndexOn, IndexPart};

/// An index as written; an empty name means that the server chooses one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDef {
    pub index: Index,
    pub if_not_exists: bool,
}

/// What may stand in a table's list beside columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    Index(IndexDef),
    ForeignKey(ForeignKey),
    Check {
        name: Option<String>,
    },
    /// Indexes and clauses without a meaning for rows: vector and columnar indexes, periods.
    Other,
}

impl Parser<'_> {
    /// Whether an index, key or constraint definition starts here rather than a column.
    pub(crate) fn at_constraint(&self) -> bool {
        let next_is = |ahead: usize, words: &[&str]| self.is_any(ahead, words);
        if next_is(0, &["PRIMARY", "FOREIGN"]) {
            return next_is(1, &["KEY"]);
        }
        if next_is(0, &["CONSTRAINT", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "CHECK"]) {
            return true;
        }
        (next_is(0, &["VECTOR", "COLUMNAR"]) && next_is(1, &["INDEX", "KEY"]))
            || (next_is(0, &["PERIOD"]) && next_is(1, &["FOR"]))
            || (next_is(0, &["LIKE"]) && self.is_name(1))
    }

    pub(crate) fn constraint(&mut self) -> Result<Constraint, Error> {
        let mut symbol = None;
        if self.take(&["CONSTRAINT"]) {
            self.if_not_exists();
            if !self.is_any(0, &["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
                symbol = Some(self.name()?);
            }
        }
        if self.take(&["PRIMARY", "KEY"]) {
            let mut def = self.index_rest(IndexKind::Primary)?;
            def.index.name = "PRIMARY".to_owned();
            return Ok(Constraint::Index(def));
        }
        if self.take(&["FOREIGN", "KEY"]) {
            self.if_not_exists();
            let own = if self.is_symbol(0, '(') { None } else { Some(self.name()?) };
            let columns = self.column_names()?;
            if !self.take(&["REFERENCES"]) {
                return self.expected("REFERENCES");
            }
            let mut key = self.references(TableRole::ForeignKeyParent)?;
            key.columns = columns;
            key.name = symbol.or(own);
            return Ok(Constraint::ForeignKey(key));
        }
        if self.take(&["UNIQUE"]) {
            self.take_any(&["INDEX", "KEY"]);
            let mut def = self.index_rest(IndexKind::Unique)?;
            if def.index.name.is_empty() {
                def.index.name = symbol.unwrap_or_default();
            }
            return Ok(Constraint::Index(def));
        }
        if self.is_word(0, "CHECK") {
            self.check()?;
            return Ok(Constraint::Check { name: symbol });
        }
        let kind = match () {
            () if self.take(&["FULLTEXT"]) => IndexKind::Fulltext,
            () if self.take(&["SPATIAL"]) => IndexKind::Spatial,
            () if self.is_any(0, &["INDEX", "KEY"]) => IndexKind::Key,
            () => {
                let start = self.at;
                let period = self.is_word(0, "PERIOD");
                self.skip_item()?;
                if period {
                    // It changes the columns it names.
                    self.not_modelled.push(start..self.at);
                }
                return Ok(Constraint::Other);
            }
        };
        self.take_any(&["INDEX", "KEY"]);
        Ok(Constraint::Index(self.index_rest(kind)?))
    }

    /// `[IF NOT EXISTS] [name] [USING type] (parts) options`.
    fn index_rest(&mut self, kind: IndexKind) -> Result<IndexDef, Error> {
        let if_not_exists = self.if_not_exists();
        let mut name = String::new();
        let at_type =
            self.is_any(0, &["USING", "TYPE"]) && !self.is_symbol(1, '(') && !self.is_any(1, &["USING", "TYPE"]);
        if !self.is_symbol(0, '(') && !at_type {
            name = self.name()?;
        }
        if self.take_any(&["USING", "TYPE"]) {
            self.skip_one()?;
        }
        let mut index = Index { name, kind, parts: self.index_parts()?, invisible: false };
        self.index_options(&mut index)?;
        Ok(IndexDef { index, if_not_exists })
    }

    pub(crate) fn index_parts(&mut self) -> Result<Vec<IndexPart>, Error> {
        self.need_symbol('(', "`(` before the key parts")?;
        let mut parts = Vec::new();
        loop {
            let on = if self.is_symbol(0, '(') {
                let inner = self.skip_group()?;
                IndexOn::Expression(self.source.slice(inner))
            } else {
                IndexOn::Column(self.column_name()?)
            };
            let prefix = self.length()?.filter(|&n| n > 0);
            self.take(&["ASC"]);
            let descending = self.take(&["DESC"]);
            self.take(&["WITHOUT", "OVERLAPS"]);
            parts.push(IndexPart { on, prefix, descending });
            if !self.take_symbol(',') {
                break;
            }
        }
        self.need_symbol(')', "`)` after the key parts")?;
        Ok(parts)
    }

    /// What follows the key parts. Only visibility matters to the structure.
    pub(crate) fn index_options(&mut self, index: &mut Index) -> Result<(), Error> {
        while !self.at_item_end() {
            if self.take(&["NOT", "IGNORED"]) || self.take(&["VISIBLE"]) {
                index.invisible = false;
            } else if self.take_any(&["INVISIBLE", "IGNORED"]) {
                index.invisible = true;
            } else if self.is_any(0, &["COMMENT", "USING", "TYPE", "PARSER"]) {
                self.at += 1;
                self.take_symbol('=');
                self.skip_one()?;
            } else {
                self.skip_one()?;
            }
        }
        Ok(())
    }

    pub(crate) fn column_names(&mut self) -> Result<Vec<String>, Error> {
        self.need_symbol('(', "`(` before column names")?;
        let mut names = Vec::new();
        loop {
            names.push(self.column_name()?);
            self.length()?;
            self.take_any(&["ASC", "DESC"]);
            if !self.take_symbol(',') {
                break;
            }
        }
        self.need_symbol(')', "`)` after column names")?;
        Ok(names)
    }

    /// What follows REFERENCES; the child's columns and the name are left for the caller.
    pub(crate) fn references(&mut self, role: TableRole) -> Result<ForeignKey, Error> {
        let table = self.table(role)?;
        let parent_columns = if self.is_symbol(0, '(') { self.column_names()? } else { Vec::new() };
        loop {
            if self.take(&["MATCH"]) {
                self.skip_one()?;
            } else if self.is_word(0, "ON") && self.is_any(1, &["DELETE", "UPDATE"]) {
                self.at += 2;
                let known = self.take_any(&["RESTRICT", "CASCADE"])
                    || self.take(&["SET", "NULL"])
                    || self.take(&["SET", "DEFAULT"])
                    || self.take(&["NO", "ACTION"]);
                if !known {
                    return self.expected("a referential action");
                }
            } else {
                break;
            }
        }
        let (parent_schema, parent_table) =
            self.tables.get(table).map(|t| (t.schema.clone(), t.table.clone())).unwrap_or_default();
        Ok(ForeignKey { name: None, columns: Vec::new(), parent_schema, parent_table, parent_columns })
    }
}
