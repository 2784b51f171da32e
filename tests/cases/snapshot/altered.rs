//! Tables that are altered while they are copied: before, between and after their chunks, by the same owner's view or between two
//! owners.

use anyhow::{Context as _, Result, ensure};
use dm_tests::ServerKind;
use mysql_async::prelude::Queryable;

use super::{
    pair::{Pair, Run, conn},
    writers::{Kind, Writer},
};

const N_ROWS: u64 = 60_000;
const CHUNKS: &str = "threads: 2, rows: 4000";

/// A schema with a table `t` under writers, and a second one that is copied after it.
async fn begin(pair: &Pair, schema: &str) -> Result<Writer> {
    let mut statements = Kind::Integer.create(schema, N_ROWS);
    statements.push(format!("CREATE TABLE {schema}.z LIKE {schema}.t"));
    statements.push(format!("INSERT INTO {schema}.z SELECT * FROM {schema}.t"));
    pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let writer = Writer::start(&pair.source, Kind::Integer, schema, N_ROWS);
    writer.go_on(10).await?;
    Ok(writer)
}

/// Everything is as in the source, tables and rows of these columns.
async fn ends_equal(pair: &Pair, schema: &str, run: Run, writer: Writer, columns: &str) -> Result<()> {
    pair.until_sync(&run).await?;
    writer.go_on(50).await?;
    writer.stop().await?;
    pair.catch_up(&run).await?;
    let (there, here): (Vec<String>, Vec<String>) =
        (Pair::tables(&pair.source, schema).await?, Pair::tables(&pair.target, schema).await?);
    // What was renamed while nobody looked stays behind under its old name.
    ensure!(there.iter().all(|name| here.contains(name)), "tables {there:?}, in the target {here:?}");
    let n_left_behind = if schema == "swapped" { 1 } else { 0 };
    ensure!(here.len() <= there.len() + n_left_behind, "tables {there:?}, in the target {here:?}");
    pair.same(schema, "t", columns).await?;
    pair.same(schema, "z", "id, v, n").await?;
    run.drain().await
}

/// As SQL of a schema: what happens while nobody copies, and which columns are compared then.
const BETWEEN_OWNERS: [(&str, &[&str], &str); 9] = [
    ("added", &["ALTER TABLE @.t ADD COLUMN extra INT DEFAULT 5"], "id, v, n, extra"),
    ("dropped", &["ALTER TABLE @.t DROP COLUMN v"], "id, n"),
    ("modified", &["ALTER TABLE @.t MODIFY n BIGINT", "UPDATE @.t SET n = 5000000000 WHERE id < 900"], "id, v, n"),
    ("moved", &["ALTER TABLE @.t MODIFY n INT FIRST"], "id, v, n"),
    // The same columns again, other values.
    ("and_back", &["ALTER TABLE @.t DROP COLUMN v", "ALTER TABLE @.t ADD COLUMN v VARCHAR(60) AFTER id"], "id, v, n"),
    (
        "emptied",
        &["TRUNCATE TABLE @.t", "INSERT INTO @.t (id, v, n) VALUES (1, 'after', 1), (100000, 'after', 2)"],
        "id, v, n",
    ),
    (
        "swapped",
        &[
            "CREATE TABLE @.other (id INT PRIMARY KEY, v VARCHAR(60), n INT) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
            "INSERT INTO @.other (id, n) VALUES (3, 4)",
            "RENAME TABLE @.t TO @.old, @.other TO @.t",
            "DROP TABLE @.old",
        ],
        "id, v, n",
    ),
    // The rows of a table that nobody planned, and that the binlog alone does not bring.
    (
        "came",
        &[
            "CREATE TABLE @.u (id INT PRIMARY KEY, v INT)",
            "INSERT INTO @.u VALUES (1, 1), (2, 2)",
            "ALTER TABLE @.t ADD COLUMN extra INT",
        ],
        "id, v, n, extra",
    ),
    (
        "twice",
        &["ALTER TABLE @.t ADD COLUMN extra INT", "ALTER TABLE @.t ADD KEY (n)", "ALTER TABLE @.z ADD KEY (n)"],
        "id, v, n, extra",
    ),
];

async fn altered_between_owners(kind: ServerKind) -> Result<()> {
    let pair = Pair::start(kind).await?;
    for (name, statements, columns) in BETWEEN_OWNERS {
        println!("{} {name}", kind.as_str());
        let writer = begin(&pair, name).await?;
        let first = pair.run(name, 1, CHUNKS)?;
        pair.until_copied(&first, name, "t", N_ROWS / 3).await?;
        first.kill().await;
        let statements: Vec<String> = statements.iter().map(|sql| sql.replace('@', name)).collect();
        pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        writer.go_on(50).await?;
        let second = pair.run(name, 2, CHUNKS)?;
        ends_equal(&pair, name, second, writer, columns).await.context(name)?;
        if name == "came" {
            pair.same(name, "u", "id, v").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_tables_altered_between_two_owners() -> Result<()> {
    altered_between_owners(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_tables_altered_between_two_owners() -> Result<()> {
    altered_between_owners(ServerKind::MySql).await
}

/// The source alters the table while its copy runs, and does not wait for the copy's end: error 1412, other columns, or columns that
/// are shown to an older view with values that never were.
async fn altered_while_it_is_read(kind: ServerKind) -> Result<()> {
    let pair = Pair::start(kind).await?;
    let alter = |schema: &str, sql: &str| format!("ALTER TABLE {schema}.t {sql}");
    for (name, after, changes, columns) in [
        ("planned", 0, ["ADD COLUMN extra INT DEFAULT 7", "ADD KEY (n)"], "id, v, n, extra"),
        ("midst", N_ROWS / 3, ["ADD COLUMN extra INT DEFAULT 7", "MODIFY n BIGINT"], "id, v, n, extra"),
        ("there_and_back", N_ROWS / 4, ["DROP COLUMN v", "ADD COLUMN v VARCHAR(60)"], "id, v, n"),
        ("behind", N_ROWS, ["ADD COLUMN extra INT DEFAULT 7", "DROP COLUMN v"], "id, n, extra"),
    ] {
        println!("{} {name}", kind.as_str());
        let writer = begin(&pair, name).await?;
        let run = pair.run(name, 1, CHUNKS)?;
        pair.until_planned(&run, name, "t").await?;
        pair.until_copied(&run, name, "t", after.min(N_ROWS * 9 / 10)).await?;
        let mut root = conn(&pair.source).await?;
        // It may have to wait for a chunk that is being read, never for the whole copy.
        root.query_drop("SET lock_wait_timeout = 60").await?;
        for change in changes {
            root.query_drop(alter(name, change)).await?;
            writer.go_on(5).await?;
        }
        root.disconnect().await?;
        ends_equal(&pair, name, run, writer, columns).await.context(name)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_tables_altered_while_they_are_read() -> Result<()> {
    altered_while_it_is_read(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_tables_altered_while_they_are_read() -> Result<()> {
    altered_while_it_is_read(ServerKind::MySql).await
}
