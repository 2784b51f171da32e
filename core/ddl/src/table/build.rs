//! From the parts of a definition to a [`Table`]: keys given with columns, names the server would choose, types that
//! depend on the charset.

use crate::column::ColumnDef;
use crate::create_table::{CreateTable, Element, TableOption};
use crate::index::Constraint;
use crate::table::charset::{max_bytes_per_char, of_collation};
use crate::table::{Column, DataType, Index, IndexKind, IndexOn, IndexPart, Table};

/// A clause whose effect on the structure is not known: the structure must be read from the server again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl Table {
    /// The table that a CREATE TABLE without LIKE or query describes, and whether nothing in it was left open.
    pub(crate) fn of_create(create: &CreateTable) -> (Self, Result<(), Unknown>) {
        let mut table = Self { tail: create.tail.clone(), ..Self::default() };
        let mut known = Ok(());
        for option in &create.options {
            table.set_option(option);
        }
        for element in &create.elements {
            if let Element::Column(def) = element {
                known = known.and(table.push_column(def, None));
            }
        }
        // Keys that stand with their columns are named after the ones of the list, as the server does.
        for element in &create.elements {
            match element {
                Element::Constraint(Constraint::Index(def)) => table.push_index(def.index.clone()),
                Element::Constraint(Constraint::ForeignKey(key)) => table.foreign_keys.push(key.clone()),
                Element::Constraint(Constraint::Check { .. } | Constraint::Other) | Element::Column(_) => {}
            }
        }
        (table, known)
    }

    pub(crate) fn set_option(&mut self, option: &TableOption) {
        match option {
            TableOption::Charset(charset) => {
                // A new charset brings its own default collation, unless one that fits has been given before.
                if self.collation.as_deref().is_some_and(|c| of_collation(c) != Some(charset.as_str())) {
                    self.collation = None;
                }
                self.charset = Some(charset.clone());
            }
            TableOption::Collation(collation) => {
                if let Some(charset) = of_collation(collation) {
                    self.charset = Some(charset.to_owned());
                }
                self.collation = Some(collation.clone());
            }
            TableOption::Engine(engine) => self.engine = Some(engine.clone()),
            TableOption::Comment(comment) => self.comment = Some(comment.clone()).filter(|c| !c.is_empty()),
            TableOption::AutoIncrement | TableOption::Other(_) => {}
        }
    }

    /// Puts a column at `at` (or last) with the keys that stand in its definition.
    pub(crate) fn push_column(&mut self, def: &ColumnDef, at: Option<usize>) -> Result<(), Unknown> {
        let (column, known) = self.resolve(def);
        let at = at.unwrap_or(self.columns.len()).min(self.columns.len());
        self.columns.insert(at, column);
        self.push_column_keys(def);
        known
    }

    pub(crate) fn push_column_keys(&mut self, def: &ColumnDef) {
        let part = || vec![IndexPart { on: IndexOn::Column(def.column.name.clone()), prefix: None, descending: false }];
        if def.primary {
            let name = "PRIMARY".to_owned();
            self.push_index(Index { name, kind: IndexKind::Primary, parts: part(), invisible: false });
        }
        if def.unique {
            self.push_index(Index { name: String::new(), kind: IndexKind::Unique, parts: part(), invisible: false });
        }
        if let Some(key) = &def.references {
            self.foreign_keys.push(key.clone());
        }
    }

    /// The column with everything that depends on the table's charset.
    pub(crate) fn resolve(&self, def: &ColumnDef) -> (Column, Result<(), Unknown>) {
        let mut column = def.column.clone();
        let mut known = Ok(());
        if column.data_type.has_charset() || def.text_length.is_some() {
            let own = column.charset.as_deref().or_else(|| column.collation.as_deref().and_then(of_collation));
            let charset = own.or(self.charset.as_deref()).map(str::to_owned);
            if def.binary_collation && column.collation.is_none() {
                match charset.as_deref() {
                    Some(charset) => column.collation = Some(format!("{charset}_bin")),
                    None => known = Err(Unknown),
                }
            }
            if let Some(n) = def.text_length {
                match charset.as_deref().and_then(max_bytes_per_char) {
                    Some(width) => column.data_type = DataType::text_for(u64::from(n) * u64::from(width)),
                    None if n == 0 => column.data_type = DataType::Text,
                    None => known = Err(Unknown),
                }
            }
            if charset.as_deref() == Some("binary") {
                column.data_type = column.data_type.as_binary();
                column.charset = None;
                column.collation = None;
            }
        }
        (column, known)
    }

    /// Adds an index, names it as the server would if it has no name, and makes primary key columns NOT NULL.
    pub(crate) fn push_index(&mut self, mut index: Index) {
        if index.name.is_empty() {
            index.name = self.free_index_name(&index);
        }
        if index.kind == IndexKind::Primary {
            for part in &index.parts {
                if let IndexOn::Column(name) = &part.on
                    && let Some(column) = self.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(name))
                {
                    column.nullable = false;
                }
            }
        }
        self.indexes.push(index);
    }

    fn free_index_name(&self, index: &Index) -> String {
        let base = match index.parts.first().map(|p| &p.on) {
            Some(IndexOn::Column(name)) => name.clone(),
            Some(IndexOn::Expression(_)) | None => "functional_index".to_owned(),
        };
        let taken = |name: &str| name.eq_ignore_ascii_case("PRIMARY") || self.index(name).is_some();
        if !taken(&base) {
            return base;
        }
        (2u32..).map(|n| format!("{base}_{n}")).find(|name| !taken(name)).unwrap_or(base)
    }
}
