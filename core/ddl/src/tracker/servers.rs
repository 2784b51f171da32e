//! What real servers said: SHOW CREATE TABLE before and after changes, and of the corpus' tables. The tracker has to
//! come to the structure the server came to, or say that it does not know.

use dm_model::Flavor;

use super::*;
use crate::table::{DataType, IndexKind, parse_create};
use crate::{ParseContext, SqlMode, pieces};

#[derive(serde::Deserialize)]
struct Record {
    server: String,
    /// SHOW CREATE TABLE before; absent when `sql` creates the table.
    before: Option<String>,
    sql: String,
    after: String,
}

fn records() -> Vec<Record> {
    include_str!("../../testdata/servers.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a CREATE TABLE and the server's own words for it must agree on. Charsets are resolved, since servers spell out
/// defaults; indexes that servers make for foreign keys are left out, and so is the order of the others, which servers
/// choose by their own rules.
fn essence(table: &Table) -> Table {
    let mut out = table.clone();
    for (idx, column) in out.columns.iter_mut().enumerate() {
        column.charset = table.column_charset(idx).map(|c| if c == "utf8" { "utf8mb3" } else { c }.to_owned());
        column.collation = None;
        column.data_type = match &column.data_type {
            // MariaDB stores JSON as text with a check.
            DataType::Json => {
                column.charset = Some("utf8mb4".to_owned());
                DataType::LongText
            }
            other => other.clone(),
        };
        // Servers rewrite expressions and literals.
        column.default = None;
        column.on_update = column.on_update.as_ref().map(|_| String::new());
        if let Some(generated) = &mut column.generated {
            generated.expression.clear();
        }
    }
    out.indexes.retain(|i| i.kind != IndexKind::Key || table.foreign_keys.is_empty());
    out.indexes.sort_by_key(|i| (i.kind != IndexKind::Primary, i.name.to_lowercase()));
    for part in out.indexes.iter_mut().flat_map(|i| &mut i.parts) {
        if let crate::table::IndexOn::Expression(expression) = &mut part.on {
            expression.clear();
        }
    }
    out.foreign_keys.clear();
    (out.charset, out.collation, out.engine, out.tail) = (None, None, None, String::new());
    out
}

#[test]
fn changes_end_where_the_servers_ended() {
    let (mut n, mut n_stale, mut wrong) = (0, 0, String::new());
    for record in records() {
        let mut tracker = Tracker::new(true);
        if let Some(before) = &record.before {
            let (_, _, table) = parse_create(before, SqlMode::default()).unwrap();
            tracker.put(TableName::new("d", "t"), table);
        } else {
            let defaults = SchemaDefaults { charset: Some("utf8mb4".to_owned()), collation: None };
            tracker.set_schema_defaults("d", defaults);
        }
        let mut name = TableName::new("d", "t");
        let mariadb = record.server.starts_with("mariadb");
        let (flavor, version) = if mariadb { (Flavor::MariaDb, 101_119) } else { (Flavor::MySql, 90_704) };
        let context = ParseContext { flavor, version: Some(version), tidb_comments: false, ..ParseContext::default() };
        for piece in pieces(&record.sql, &context, "d").unwrap() {
            name = piece.target().unwrap();
            tracker.apply(&piece);
        }
        let (_, _, after) =
            parse_create(&record.after, SqlMode::default()).unwrap_or_else(|e| panic!("{e}\n{}", record.after));
        n += 1;
        match tracker.get(&name) {
            Tracked::Known(table) if essence(table) == essence(&after) => {}
            Tracked::Known(table) => {
                let of = |t: &Table| essence(t).to_create_sql(&name);
                wrong += &format!(
                    "{}: {}\n--- tracked\n{}\n--- server\n{}\n",
                    record.server,
                    record.sql,
                    of(table),
                    of(&after)
                );
            }
            Tracked::Stale => n_stale += 1,
            Tracked::Unknown => wrong += &format!("{}: {}\n--- not tracked\n", record.server, record.sql),
        }
        // What a server prints survives printing.
        let (_, _, again) = parse_create(&after.to_create_sql(&name), SqlMode::default()).unwrap();
        assert_eq!(again, after, "{}", record.after);
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(n > 100 && n_stale * 10 < n, "{n} records, {n_stale} stale");
}
