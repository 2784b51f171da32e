//! The tables that rows events refer to by number.
//!
//! Servers send a table map before each statement's rows, nearly always the same bytes again: those cost a comparison,
//! and only new bytes are compiled. Tables are shared by `Arc`, so rows may be decoded while later maps are learned.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Error, Plan, TableMap,
    table_map::{ColumnType, Metadata},
};

/// A table as its table map tells it.
#[derive(Debug)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub columns: Vec<ColumnType>,
    pub nullable: Vec<bool>,
    pub metadata: Metadata,
    pub plan: Plan,
    content: Vec<u8>,
}

/// Tables by id. Ids are only unique until the end of a statement, so a newer map replaces an older one.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    by_id: BTreeMap<u64, Arc<Table>>,
}

impl Tables {
    /// Servers give out new ids without end (each reopening of a table is one); beyond this many the collection starts
    /// anew at the next end of a statement.
    const MANY: usize = 1024;

    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a table map, and says what it means. The same `Arc` comes back as long as the map does not change.
    pub fn learn(&mut self, map: &TableMap<'_>) -> Result<Arc<Table>, Error> {
        if let Some(table) = self.by_id.get(&map.table_id)
            && table.content == map.content
        {
            return Ok(Arc::clone(table));
        }
        let columns = map.columns()?;
        let table = Arc::new(Table {
            schema: map.schema.to_owned(),
            name: map.table.to_owned(),
            nullable: (0..columns.len()).map(|column| map.is_nullable(column)).collect(),
            metadata: map.metadata(&columns)?,
            plan: Plan::new(columns.clone()),
            columns,
            content: map.content.to_vec(),
        });
        self.by_id.insert(map.table_id, Arc::clone(&table));
        Ok(table)
    }

    pub fn get(&self, table_id: u64) -> Result<&Arc<Table>, Error> {
        self.by_id.get(&table_id).ok_or(Error::UnknownTable { table_id })
    }

    /// To be called behind a rows event with [`crate::Rows::FLAG_STATEMENT_END`], or at the end of a transaction.
    pub fn statement_end(&mut self) {
        if self.by_id.len() > Self::MANY {
            self.by_id.clear();
        }
    }

    /// To be called when the stream is opened anew or another file begins.
    pub fn clear(&mut self) {
        self.by_id.clear();
    }
}
