//! What tables look like, on both sides: asked by the engine, answered from SHOW CREATE TABLE.
//!
//! One task with one connection per side, opened when first needed and again after errors. A table whose text cannot be
//! read is an error of that question, not of the service.

use dm_ddl::{
    sql_mode::SqlMode,
    table::{Table, parse_create},
};
use dm_fence::UnitNumber;
use dm_model::{
    TableName,
    error::{Class, Code, Level, Report, Retry, Scope},
};
use dm_mysql::{
    Connector, Purpose,
    fence::{FenceTarget, structure},
    schema,
};
use dm_sync_core::batch::StoredStructure;
use mysql_async::Conn;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

use crate::unit::Failure;

/// How often a question is asked again after a lost connection.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

const UNREADABLE: Code = Code::new(
    44006,
    Class::SchemaTracker,
    Scope::Internal,
    Level::High,
    "The structure has a form this version does not read: filter the table, or report the statement.",
);

/// Which side a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) side: Side,
    pub(super) table: TableName,
    pub(super) structure: Result<Option<Table>, Report>,
}

/// Reads structures until the question channel closes.
pub(super) async fn serve(
    source: Connector,
    target: Connector,
    mut questions: mpsc::UnboundedReceiver<(Side, TableName)>,
    answers: mpsc::Sender<Answer>,
) {
    let mut source = Reader::new(source);
    let mut target = Reader::new(target);
    while let Some((side, table)) = questions.recv().await {
        let reader = match side {
            Side::Source => &mut source,
            Side::Target => &mut target,
        };
        let structure = reader.read(&table).await;
        if answers.send(Answer { side, table, structure }).await.is_err() {
            return;
        }
    }
}

#[derive(Debug)]
struct Reader {
    connector: Connector,
    conn: Option<Conn>,
}

impl Reader {
    fn new(connector: Connector) -> Self {
        Self { connector: connector.for_purpose(Purpose::Check), conn: None }
    }

    async fn read(&mut self, table: &TableName) -> Result<Option<Table>, Report> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.show(table).await {
                Ok(None) => return Ok(None),
                Ok(Some(text)) => return parse(table, &text).map(Some),
                Err(error) if tries < TRIES && error.retry() == Retry::Backoff => {
                    self.conn = None;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(Report::of(&error, error.retry())),
            }
        }
    }

    async fn show(&mut self, table: &TableName) -> dm_mysql::Result<Option<String>> {
        if self.conn.is_none() {
            self.conn = Some(self.connector.connect().await?);
        }
        match &mut self.conn {
            Some(conn) => schema::create_table(conn, table).await,
            None => Ok(None),
        }
    }
}

fn parse(table: &TableName, text: &str) -> Result<Table, Report> {
    parse_create(text, SqlMode::default()).map(|(_, _, structure)| structure).map_err(|error| {
        Report::new(UNREADABLE, Retry::Never, format!("cannot read the structure of {table}"))
            .with_cause(error.to_string())
    })
}

/// The structures that former owners stored.
pub(super) async fn load(conn: &mut Conn, target: &FenceTarget) -> Result<Vec<StoredStructure>, Failure> {
    let rows = structure::load(conn, target).await?;
    rows.into_iter()
        // what is kept for other purposes has no schema
        .filter(|row| !row.table.schema.is_empty())
        .map(|row| {
            let structure = match row.create_sql.as_str() {
                "" => None,
                text => Some(Arc::new(parse(&row.table, text).map_err(Failure::new)?)),
            };
            Ok(StoredStructure { table: row.table, from_unit: row.from_unit, structure })
        })
        .collect()
}

/// The statements that store structures, to be executed with what makes them true.
pub(super) fn put(
    target: &FenceTarget,
    structures: &[StoredStructure],
    low: UnitNumber,
) -> Vec<dm_mysql::fence::Statement> {
    let mut statements = Vec::with_capacity(structures.len() * 2);
    for stored in structures {
        let row = structure::StructureRow {
            table: stored.table.clone(),
            from_unit: stored.from_unit,
            create_sql: stored.structure.as_ref().map(|s| s.to_create_sql(&stored.table)).unwrap_or_default(),
        };
        statements.push(structure::put(target, &row));
    }
    // what only units at or below the watermark needed is not needed any more, but for each table's newest such row
    for stored in structures {
        if let Some(older) = newest_at_or_below(structures, stored, low) {
            statements.push(structure::prune(target, &stored.table, older));
        }
    }
    statements
}

/// Of this table's structures in the list: the newest that starts at or below the watermark.
fn newest_at_or_below(all: &[StoredStructure], of: &StoredStructure, low: UnitNumber) -> Option<UnitNumber> {
    all.iter().filter(|s| s.table == of.table && s.from_unit <= low).map(|s| s.from_unit).max()
}
