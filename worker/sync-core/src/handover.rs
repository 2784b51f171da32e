//! The hand-over from the snapshot: which row changes it holds already.
//!
//! Rows at or before their chunk's position are in the target; later ones apply. A table's test is dropped once the stream
//! is past its newest position. Positions are those of the server the snapshot was read from.

use std::collections::BTreeMap;

use dm_binlog::Value;
use dm_model::{BinlogPosition, TableName};

use crate::{
    chunk::skip::{Applies, SkipTest},
    literal,
};

/// The tests that still say no to something.
#[derive(Debug, Default)]
pub struct Handover {
    tests: BTreeMap<TableName, SkipTest<BinlogPosition>>,
}

impl Handover {
    pub fn new(tests: Vec<(TableName, SkipTest<BinlogPosition>)>) -> Self {
        Self { tests: tests.into_iter().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// A row event of `table` ends at `end`: drops the table's test if it says yes to everything from here on.
    pub fn enter(&mut self, table: &TableName, end: &BinlogPosition) {
        let is_passed = |test: &SkipTest<BinlogPosition>| test.newest().is_none_or(|newest| end > newest);
        if self.tests.get(table).is_some_and(is_passed) {
            self.tests.remove(table);
        }
    }

    /// True when no row of `table` at `end` applies: the snapshot read all of them later.
    pub fn holds_all(&self, table: &TableName, end: &BinlogPosition) -> bool {
        let oldest = match self.tests.get(table) {
            Some(SkipTest::Single(position) | SkipTest::Safe { oldest: position, .. }) => Some(position),
            Some(SkipTest::ByChunk { chunks, .. }) => chunks.iter().map(|(_, position)| position).min(),
            None => None,
        };
        oldest.is_some_and(|oldest| end <= oldest)
    }

    /// True when the snapshot was taken after a DDL at `end`: the copy and its structure have it already.
    pub fn holds_ddl(&self, table: &TableName, end: &BinlogPosition) -> bool {
        self.tests.get(table).and_then(SkipTest::newest).is_some_and(|newest| end <= newest)
    }

    /// What of a change at `end` applies; `None`: all of it, as for any other table.
    pub fn applies(
        &self,
        table: &TableName,
        end: &BinlogPosition,
        before: Option<&[Value<'_>]>,
        after: Option<&[Value<'_>]>,
    ) -> Result<Option<Applies>, literal::Error> {
        match self.tests.get(table) {
            Some(test) => test.applies(|position| end > position, before, after).map(Some),
            None => Ok(None),
        }
    }
}
