//! One look at a source and its target: facts, grants, tables. Asks, never judges.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dm_config::SubtaskConfig;
use dm_ddl::{
    sql_mode::SqlMode,
    table::{Table, parse_create},
};
use dm_model::{TableName, error::Chain};
use dm_mysql::{
    Connector, Error, Purpose, ServerFacts, facts,
    privileges::{Grants, grants},
    schema,
};
use tokio::time::timeout;

/// Limit of one server's look.
const LIMIT: Duration = Duration::from_secs(300);

/// What a server showed, or why it did not.
pub type Seen<T> = Result<T, String>;

pub struct Both {
    pub source: Seen<Source>,
    pub target: Seen<Target>,
}

pub struct Source {
    pub facts: ServerFacts,
    pub grants: Grants,
    /// Tables the task takes, with where they go; a route that is not one is an error text.
    pub tables: Vec<SourceTable>,
    /// Binlog files there are, oldest first; looked at only when the task starts at a given one.
    pub binlogs: Vec<String>,
}

pub struct SourceTable {
    pub name: TableName,
    pub target: Result<TableName, String>,
    pub structure: Result<Table, String>,
}

pub struct Target {
    pub facts: ServerFacts,
    pub grants: Grants,
    /// Those of the routed tables that exist.
    pub tables: BTreeMap<TableName, Result<Table, String>>,
}

/// Looks at the source, then at the tables of the target that its own go to.
pub async fn look(subtask: &SubtaskConfig) -> Both {
    let source = limited(look_at_source(subtask)).await;
    let wanted: Vec<TableName> = source
        .as_ref()
        .map(|source| source.tables.iter().filter_map(|table| table.target.clone().ok()).collect())
        .unwrap_or_default();
    let target = limited(look_at_target(subtask, wanted)).await;
    Both { source, target }
}

async fn limited<T>(look: impl Future<Output = Result<T, Error>>) -> Seen<T> {
    match timeout(LIMIT, look).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

async fn look_at_source(subtask: &SubtaskConfig) -> Result<Source, Error> {
    let mut conn = Connector::new(&subtask.from, Purpose::Check).connect().await?;
    let facts = facts(&mut conn).await?;
    let grants = grants(&mut conn).await?;
    let mut tables = Vec::new();
    // compiled before, when the subtask was resolved
    if let Ok(rules) = subtask.rules() {
        for entry in schema::tables(&mut conn, None).await? {
            if !entry.is_table() || !rules.block_allow.allows_table(&entry.name) {
                continue;
            }
            let target = rules.router.route_table(&entry.name, subtask.id.source.as_str());
            let target = target.map(|target| target.table).map_err(|error| error.to_string());
            let Some(create) = schema::create_table(&mut conn, &entry.name).await? else { continue };
            let structure = structure(&create, &facts);
            tables.push(SourceTable { name: entry.name, target, structure });
        }
    }
    let binlogs = match &subtask.meta {
        Some(_) => schema::binary_logs(&mut conn).await?.into_iter().map(|file| file.name).collect(),
        None => Vec::new(),
    };
    // a connection that does not close is the server's to end
    let _ = conn.disconnect().await;
    Ok(Source { facts, grants, tables, binlogs })
}

async fn look_at_target(subtask: &SubtaskConfig, wanted: Vec<TableName>) -> Result<Target, Error> {
    let mut conn = Connector::new(&subtask.target, Purpose::Check).connect().await?;
    let facts = facts(&mut conn).await?;
    let grants = grants(&mut conn).await?;
    let fold = |name: &TableName| match facts.lower_case_table_names {
        0 => name.clone(),
        _ => TableName::new(name.schema.to_lowercase(), name.table.to_lowercase()),
    };
    // asked for first: the driver logs an error for every table that is not there
    let existing: BTreeSet<TableName> =
        schema::tables(&mut conn, None).await?.into_iter().map(|entry| fold(&entry.name)).collect();
    let mut tables = BTreeMap::new();
    for name in wanted {
        if tables.contains_key(&name) || !existing.contains(&fold(&name)) {
            continue;
        }
        if let Some(create) = schema::create_table(&mut conn, &name).await? {
            tables.insert(name, structure(&create, &facts));
        }
    }
    let _ = conn.disconnect().await;
    Ok(Target { facts, grants, tables })
}

fn structure(create: &str, facts: &ServerFacts) -> Result<Table, String> {
    parse_create(create, SqlMode::parse(&facts.sql_mode)).map(|(_, _, table)| table).map_err(|error| error.to_string())
}
