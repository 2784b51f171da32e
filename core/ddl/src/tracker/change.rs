//! What each clause of ALTER TABLE does to a [`Table`]. `Err(Unknown)` leaves the structure in doubt: the clause does
//! not fit what is tracked, or its effect depends on something that is not known here.

use super::SchemaDefaults;
use crate::alter::{Change, Place};
use crate::column::ColumnDef;
use crate::create_table::{Element, TableOption};
use crate::index::{Constraint, IndexDef};
use crate::table::{DataType, IndexKind, IndexOn, Table, Unknown, max_bytes_per_char, of_collation};

type Outcome = Result<(), Unknown>;

impl Table {
    pub(crate) fn apply_change(&mut self, change: &Change, defaults: Option<&SchemaDefaults>) -> Outcome {
        match change {
            Change::AddColumn { if_not_exists, def, place } => self.add_column(def, place, *if_not_exists),
            Change::AddList { if_not_exists, elements } => {
                elements.iter().try_for_each(|listed| match &listed.element {
                    Element::Column(def) => self.add_column(def, &Place::Same, *if_not_exists),
                    Element::Constraint(constraint) => self.add_constraint(constraint),
                })
            }
            Change::AddConstraint(constraint) => self.add_constraint(constraint),
            Change::DropColumn { name, if_exists } => self.drop_column(name, *if_exists),
            Change::ModifyColumn { def, place, if_exists } => {
                self.change_column(&def.column.name, def, place, *if_exists)
            }
            Change::ChangeColumn { old, def, place, if_exists } => self.change_column(old, def, place, *if_exists),
            Change::RenameColumn { from, to } => self.rename_column(from, to),
            Change::SetDefault { column, value } => {
                let idx = self.position(column)?;
                let column = &mut self.columns[idx];
                let null = column.nullable && value.as_deref().is_some_and(|v| v.eq_ignore_ascii_case("NULL"));
                column.default = if null { None } else { value.clone() };
                Ok(())
            }
            Change::SetVisibility { column, visible } => {
                let idx = self.position(column)?;
                self.columns[idx].invisible = !visible;
                Ok(())
            }
            Change::DropIndex { name, if_exists } => self.drop_index(name, *if_exists),
            Change::DropPrimaryKey => self.drop_index("PRIMARY", false),
            Change::DropForeignKey { name } => self.drop_foreign_key(name),
            Change::DropConstraint { name } => {
                if self.index(name).is_some() {
                    return self.drop_index(name, false);
                }
                if self.foreign_key(name).is_some() || self.foreign_keys.iter().any(|k| k.name.is_none()) {
                    return self.drop_foreign_key(name);
                }
                Ok(())
            }
            Change::RenameIndex { from, to } => {
                let index = self.indexes.iter_mut().find(|i| i.name.eq_ignore_ascii_case(from)).ok_or(Unknown)?;
                index.name.clone_from(to);
                Ok(())
            }
            Change::IndexVisibility { name, visible } => {
                let index = self.indexes.iter_mut().find(|i| i.name.eq_ignore_ascii_case(name)).ok_or(Unknown)?;
                index.invisible = !visible;
                Ok(())
            }
            Change::ConvertCharset { charset, collation } => {
                self.convert_charset(charset.as_deref(), collation.as_deref(), defaults)
            }
            Change::Options(options) => options.iter().try_for_each(|option| self.change_option(option)),
            // Partitions and their rows move, columns and keys stay.
            Change::Partition(_) | Change::Ttl { .. } | Change::Check | Change::Hint | Change::Inert => Ok(()),
            Change::RenameTable { .. } | Change::NotModelled => Err(Unknown),
        }
    }

    fn position(&self, column: &str) -> Result<usize, Unknown> {
        self.column(column).map(|(idx, _)| idx).ok_or(Unknown)
    }

    fn add_column(&mut self, def: &ColumnDef, place: &Place, if_not_exists: bool) -> Outcome {
        if self.column(&def.column.name).is_some() {
            return if if_not_exists { Ok(()) } else { Err(Unknown) };
        }
        if def.primary && self.primary_key().is_some() {
            return Err(Unknown);
        }
        let at = match place {
            Place::Same => None,
            Place::First => Some(0),
            Place::After(column) => Some(self.position(column)? + 1),
        };
        self.push_column(def, at)
    }

    fn add_constraint(&mut self, constraint: &Constraint) -> Outcome {
        match constraint {
            Constraint::Index(def) => self.add_index(def),
            Constraint::ForeignKey(key) => {
                self.foreign_keys.push(key.clone());
                Ok(())
            }
            Constraint::Check { .. } => Ok(()),
            Constraint::Other => Err(Unknown),
        }
    }

    pub(super) fn add_index(&mut self, def: &IndexDef) -> Outcome {
        let index = &def.index;
        let there = match index.kind {
            IndexKind::Primary => self.primary_key().is_some(),
            IndexKind::Unique | IndexKind::Key | IndexKind::Fulltext | IndexKind::Spatial => {
                !index.name.is_empty() && self.index(&index.name).is_some()
            }
        };
        if there {
            return if def.if_not_exists { Ok(()) } else { Err(Unknown) };
        }
        for part in &index.parts {
            if let IndexOn::Column(name) = &part.on {
                self.position(name)?;
            }
        }
        self.push_index(index.clone());
        Ok(())
    }

    pub(super) fn drop_index_if_there(&mut self, name: &str) {
        self.indexes.retain(|i| !i.name.eq_ignore_ascii_case(name));
    }

    pub(super) fn drop_index(&mut self, name: &str, if_exists: bool) -> Outcome {
        if self.index(name).is_none() {
            return if if_exists { Ok(()) } else { Err(Unknown) };
        }
        self.drop_index_if_there(name);
        Ok(())
    }

    fn drop_foreign_key(&mut self, name: &str) -> Outcome {
        if self.foreign_key(name).is_none() {
            return Err(Unknown);
        }
        self.foreign_keys.retain(|k| !k.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name)));
        Ok(())
    }

    fn drop_column(&mut self, name: &str, if_exists: bool) -> Outcome {
        let Some((idx, _)) = self.column(name) else {
            return if if_exists { Ok(()) } else { Err(Unknown) };
        };
        self.columns.remove(idx);
        for index in &mut self.indexes {
            index.parts.retain(|part| !matches!(&part.on, IndexOn::Column(c) if c.eq_ignore_ascii_case(name)));
        }
        self.indexes.retain(|index| !index.parts.is_empty());
        Ok(())
    }

    fn change_column(&mut self, old: &str, def: &ColumnDef, place: &Place, if_exists: bool) -> Outcome {
        let Some((idx, _)) = self.column(old) else {
            return if if_exists { Ok(()) } else { Err(Unknown) };
        };
        let new_name = &def.column.name;
        if !old.eq_ignore_ascii_case(new_name) && self.column(new_name).is_some() {
            return Err(Unknown);
        }
        if def.primary && self.primary_key().is_some() {
            return Err(Unknown);
        }
        self.rename_in_keys(old, new_name);
        let (mut column, known) = self.resolve(def);
        let in_primary = self.primary_key().is_some_and(|key| {
            key.parts.iter().any(|p| matches!(&p.on, IndexOn::Column(c) if c.eq_ignore_ascii_case(new_name)))
        });
        column.nullable &= !in_primary;
        self.columns.remove(idx);
        let at = match place {
            Place::Same => idx,
            Place::First => 0,
            Place::After(after) => self.position(after)? + 1,
        };
        self.columns.insert(at, column);
        self.push_column_keys(def);
        known
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Outcome {
        let idx = self.position(from)?;
        if !from.eq_ignore_ascii_case(to) && self.column(to).is_some() {
            return Err(Unknown);
        }
        self.columns[idx].name = to.to_owned();
        self.rename_in_keys(from, to);
        Ok(())
    }

    fn rename_in_keys(&mut self, from: &str, to: &str) {
        for part in self.indexes.iter_mut().flat_map(|i| &mut i.parts) {
            if let IndexOn::Column(name) = &mut part.on
                && name.eq_ignore_ascii_case(from)
            {
                to.clone_into(name);
            }
        }
        for name in self.foreign_keys.iter_mut().flat_map(|k| &mut k.columns) {
            if name.eq_ignore_ascii_case(from) {
                to.clone_into(name);
            }
        }
    }

    /// Every text column gets the new charset.
    fn convert_charset(
        &mut self,
        charset: Option<&str>,
        collation: Option<&str>,
        defaults: Option<&SchemaDefaults>,
    ) -> Outcome {
        let schema = defaults.map(|d| (d.charset.as_deref(), d.collation.as_deref()));
        let (charset, collation) = match (charset, schema) {
            (Some(charset), _) => (charset, collation),
            (None, Some((Some(charset), default))) => (charset, collation.or(default)),
            (None, _) => return Err(Unknown),
        };
        let new_width = max_bytes_per_char(charset);
        for idx in 0..self.columns.len() {
            let old_width = self.column_charset(idx).and_then(max_bytes_per_char);
            let column = &mut self.columns[idx];
            if !column.data_type.has_charset() {
                continue;
            }
            // A TEXT grows to a larger type when its characters may need more bytes.
            let long = matches!(column.data_type, DataType::TinyText | DataType::Text | DataType::MediumText);
            if long && !matches!((old_width, new_width), (Some(old), Some(new)) if new <= old) {
                return Err(Unknown);
            }
            column.charset = None;
            column.collation = None;
            if charset == "binary" {
                column.data_type = column.data_type.as_binary();
            }
        }
        self.charset = Some(charset.to_owned());
        self.collation = collation.map(str::to_owned);
        Ok(())
    }

    /// A new default charset is for new columns: those that relied on the old one keep it.
    fn change_option(&mut self, option: &TableOption) -> Outcome {
        let new = match option {
            TableOption::Charset(charset) => Some(charset.as_str()),
            TableOption::Collation(collation) => of_collation(collation),
            TableOption::Engine(_) | TableOption::Comment(_) | TableOption::AutoIncrement | TableOption::Other(_) => {
                self.set_option(option);
                return Ok(());
            }
        };
        let relies = |table: &Self, idx: usize| {
            let column = &table.columns[idx];
            column.data_type.has_charset() && column.charset.is_none() && column.collation.is_none()
        };
        let relying: Vec<usize> = (0..self.columns.len()).filter(|&idx| relies(self, idx)).collect();
        if !relying.is_empty() {
            let Some(old) = self.default_charset().map(str::to_owned) else { return Err(Unknown) };
            let collation = self.collation.clone();
            // Without a collation by name, the same charset may still bring another one.
            if new != Some(old.as_str()) || collation.is_some() {
                for idx in relying {
                    self.columns[idx].charset = Some(old.clone());
                    self.columns[idx].collation.clone_from(&collation);
                }
            } else if matches!(option, TableOption::Collation(_)) {
                for idx in relying {
                    self.columns[idx].charset = Some(old.clone());
                }
            }
        }
        self.set_option(option);
        Ok(())
    }
}
