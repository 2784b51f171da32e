//! The target's schemas and tables: made where they are missing, looked at where they are there.
//!
//! Statements are the source's own, with routed names; IF NOT EXISTS in effect, so several workers may do it at once. Nothing is ever
//! dropped or altered.

use dm_config::subtask::Rules;
use dm_ddl::{ParseContext, Piece, pieces, table::Table};
use dm_model::{SourceId, TableName};
use dm_mysql::schema;
use dm_rules::route::Target;
use mysql_async::{Conn, prelude::Queryable};
use tracing::info;

use super::{error::Error, source};

/// Makes the schemas that schemas of the source go to.
pub(super) async fn ensure_schemas(
    from: &mut Conn,
    to: &mut Conn,
    rules: &Rules,
    targets: &[(String, String)],
    sources: &[String],
) -> Result<(), Error> {
    let mut wanted = Vec::new();
    for schema in sources {
        wanted.push((schema.clone(), rules.router.route_schema(schema)?));
    }
    wanted.extend_from_slice(targets);
    wanted.sort_by(|a, b| a.1.cmp(&b.1));
    wanted.dedup_by(|a, b| a.1 == b.1);
    for (schema, target) in wanted {
        if schema::create_schema(to, &target).await?.is_some() {
            continue;
        }
        let Some(sql) = schema::create_schema(from, &schema).await? else { continue };
        let text = renamed(&sql, &schema, |piece| piece.rename_database(&|_| target.clone()))
            .map_err(|source| Error::Structure { table: TableName::new(schema.as_str(), ""), source })?;
        run(to, &text).await.map_err(|source| Error::CreateSchema { schema: target.clone(), source })?;
        info!(schema = %target, "target schema created");
    }
    Ok(())
}

/// The target table's structure; the table is made first where it is missing.
pub(super) async fn ensure_table(
    to: &mut Conn,
    table: &TableName,
    create_sql: &str,
    target: &Target,
) -> Result<Table, Error> {
    let mut found = schema::create_table(to, &target.table).await?;
    if found.is_none() {
        let text = renamed(create_sql, &table.schema, |piece| {
            piece.rename(&|name| if name == table { target.table.clone() } else { name.clone() })
        })
        .map_err(|source| Error::Structure { table: table.clone(), source })?;
        let failed = |source| Error::CreateTable { table: table.clone(), target: target.table.clone(), source };
        run(to, &text).await.map_err(failed)?;
        info!(%table, target = %target.table, "target table created");
        crate::fail_point::pass("target-table");
        found = schema::create_table(to, &target.table).await?;
    }
    let structure = source::parse(&target.table, &found.unwrap_or_default())?;
    if let Some(engine) = structure.engine.clone().filter(|engine| source::is_not_transactional(engine)) {
        return Err(Error::Engine { target: target.table.clone(), engine });
    }
    Ok(structure)
}

/// The target table's structure; `None` when there is no such table.
pub(super) async fn structure(to: &mut Conn, target: &TableName) -> Result<Option<Table>, Error> {
    let found = schema::create_table(to, target).await?;
    found.map(|sql| source::parse(target, &sql)).transpose()
}

pub(super) async fn is_empty(to: &mut Conn, target: &TableName) -> Result<bool, Error> {
    let sql = format!("SELECT 1 FROM {target} LIMIT 1");
    let found: Option<u8> = to.query_first(&sql).await.map_err(|source| dm_mysql::Error::Execute { sql, source })?;
    Ok(found.is_none())
}

/// Other sources may write to the tables of this task.
pub(super) fn has_other_sources(task_yaml: &str, source: &SourceId) -> bool {
    match dm_config::TaskConfig::parse(task_yaml) {
        Ok((task, _)) => task.instances.iter().any(|instance| instance.source_id != *source),
        // Not known: nothing may be emptied.
        Err(_) => true,
    }
}

fn renamed(sql: &str, schema: &str, rename: impl Fn(&Piece) -> String) -> Result<String, dm_ddl::Error> {
    let all = pieces(sql, &ParseContext::default(), schema)?;
    Ok(all.first().map(rename).unwrap_or_else(|| sql.to_owned()))
}

async fn run(conn: &mut Conn, sql: &str) -> Result<(), dm_mysql::Error> {
    match conn.query_drop(sql).await {
        Ok(()) => Ok(()),
        // Another worker was faster.
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1007 | 1050) => Ok(()),
        Err(source) => Err(dm_mysql::Error::Execute { sql: dm_mysql::text::shorten(sql), source }),
    }
}
