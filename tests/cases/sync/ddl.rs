//! Changes of structure, and what operators do about those that cannot be replicated.

use std::time::Duration;

use anyhow::{Result, ensure};
use dm_tests::{ServerKind, wait};
use dm_worker::assignment::{Operator, OperatorKind};

use crate::{
    bench::{Bench, Run},
    on_pairs,
};

async fn structures_change_as_in_the_source(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE DATABASE gone",
            "USE app",
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)) COMMENT='ü'",
            "INSERT INTO t VALUES (1, 'a')",
            "ALTER TABLE t ADD COLUMN n INT DEFAULT 7 AFTER id, ADD COLUMN m BIGINT UNSIGNED, ADD INDEX i (v), MODIFY v VARCHAR(40)",
            "INSERT INTO t (id, v, m) VALUES (2, 'b', 18446744073709551615)",
            "ALTER TABLE t CHANGE n k INT, DROP COLUMN m",
            "INSERT INTO t (id, k, v) VALUES (3, 1, 'c')",
            "CREATE INDEX ik ON t (k)",
            "DROP INDEX i ON t",
            "CREATE UNIQUE INDEX u ON t (v)",
            "INSERT INTO t VALUES (4, 4, 'd')",
            "RENAME TABLE t TO t2",
            "INSERT INTO t2 VALUES (5, 5, 'e')",
            "CREATE TABLE copy LIKE t2",
            "INSERT INTO copy VALUES (1, 1, 'x')",
            "CREATE TABLE x (a INT PRIMARY KEY)",
            "CREATE TABLE y (a INT PRIMARY KEY, b INT)",
            "INSERT INTO x VALUES (1)",
            "INSERT INTO y VALUES (2, 2)",
            // a swap: names stay, structures change places
            "RENAME TABLE x TO z, y TO x, z TO y",
            "INSERT INTO x VALUES (3, 3)",
            "INSERT INTO y VALUES (4)",
            "TRUNCATE TABLE copy",
            "INSERT INTO copy VALUES (2, 2, 'y')",
            "CREATE TABLE d1 (a INT)",
            "CREATE TABLE d2 (a INT)",
            "INSERT INTO d1 VALUES (1), (1)",
            "DROP TABLE d1, d2",
            "CREATE TABLE d1 (b VARCHAR(5))",
            "INSERT INTO d1 VALUES ('again')",
            "ALTER TABLE d1 RENAME TO d3, ADD COLUMN c INT",
            "INSERT INTO d3 VALUES ('more', 1)",
            "ALTER TABLE t2 ADD COLUMN created DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "CREATE TABLE selected AS SELECT id, v FROM t2",
            "INSERT INTO selected VALUES (9, 'i')",
            "CREATE TABLE part (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10))",
            "INSERT INTO part VALUES (1, 1)",
            "ALTER TABLE part ADD PARTITION (PARTITION p1 VALUES LESS THAN (20))",
            "INSERT INTO part VALUES (11, 1)",
            "ALTER TABLE part TRUNCATE PARTITION p0",
            "INSERT INTO part VALUES (2, 1)",
            "ALTER TABLE part DROP PARTITION p1",
            "ALTER TABLE t2 CONVERT TO CHARACTER SET latin1",
            "INSERT INTO t2 (id, k, v) VALUES (20, 20, 'ü€')",
            "ALTER DATABASE app CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "CREATE VIEW seen AS SELECT id FROM t2",
            "CREATE TABLE gone.t (a INT)",
            "INSERT INTO gone.t VALUES (1)",
            "DROP DATABASE gone",
            "SET sql_mode = 'ANSI_QUOTES'",
            "CREATE TABLE \"quo\"\"ted\" (\"a b\" INT DEFAULT 3, `c` VARCHAR(9) DEFAULT 'it''s')",
            "INSERT INTO \"quo\"\"ted\" VALUES (1, 'x')",
        ])
        .await?;
    bench.settle(&run).await?;
    bench.same(&["app"]).await?;
    ensure!(
        bench.number_on_target("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'gone'").await?
            == 0
    );
    // what is there already is no error
    bench.on_target(&["ALTER TABLE app.t2 ADD COLUMN early INT", "CREATE TABLE app.there (a INT)"]).await?;
    bench
        .on_source(&[
            "ALTER TABLE app.t2 ADD COLUMN early INT",
            "CREATE TABLE app.there (a INT)",
            "INSERT INTO app.there VALUES (1)",
        ])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await?;
    let run = bench.begin().await?;
    bench.on_source(&["ALTER TABLE app.d3 DROP COLUMN c", "INSERT INTO app.d3 VALUES ('end')"]).await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(structures_change_as_in_the_source:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mariadb_to_mysql_by_position = (MariaDb, MySql, false),
    mysql_to_mariadb = (MySql, MariaDb, true),
);

/// Runs until it fails, checks why, gives the operator, goes on to equality.
async fn mended(bench: &Bench, run: Run, code: u32, kind: OperatorKind) -> Result<Run> {
    let failure = run.failure().await?;
    ensure!(failure.report.code == code, "{failure:#?}");
    let Some(position) = failure.ddl_at else { anyhow::bail!("no position: {failure:#?}") };
    let run = bench.begin_with(vec![Operator { id: 1, kind, position }]).await?;
    bench.settle(&run).await?;
    // with the next row that says so, of idle progress if of nothing else
    wait::until("the operator to be used up", Duration::from_secs(60), || async {
        Ok((run.view().consumed_operators == [1]).then_some(()))
    })
    .await?;
    Ok(run)
}

async fn operators_replace_or_skip_what_fails(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench.on_source(&["CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)"]).await?;
    bench.settle(&run).await?;
    // the target refuses: its rows do not fit
    bench.on_target(&["INSERT INTO app.t VALUES (100, 1), (101, 1)"]).await?;
    bench.on_source(&["ALTER TABLE app.t ADD UNIQUE KEY u (v)", "INSERT INTO app.t VALUES (1, 10)"]).await?;
    let failure = run.failure().await?;
    ensure!(failure.ddl_at.is_some(), "{failure:#?}");
    let code = failure.report.code;
    let run =
        mended(&bench, bench.spawn()?, code, OperatorKind::Replace(vec!["ALTER TABLE app.t ADD KEY u (v)".into()]))
            .await?;
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM app.t").await? == 3);
    // a statement that nobody can read here
    bench.on_target(&["DELETE FROM app.t WHERE id >= 100"]).await?;
    bench.on_source(&["SET SESSION binlog_format = STATEMENT", "INSERT INTO app.t VALUES (2, 20)"]).await?;
    let run = mended(&bench, run, 36014, OperatorKind::Skip).await?;
    bench.on_source(&["INSERT INTO app.t VALUES (3, 30)"]).await?;
    bench.settle(&run).await?;
    ensure!(bench.number_on_target("SELECT SUM(id) FROM app.t").await? == 4);
    run.drain().await
}

on_pairs!(operators_replace_or_skip_what_fails:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

async fn a_ghost_table_waits_for_a_person(mut bench: Bench) -> Result<()> {
    bench.sections = "online-ddl: true\n".to_owned();
    let run = bench.begin().await?;
    bench.on_source(&["CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)"]).await?;
    bench.settle(&run).await?;
    bench.on_source(&["CREATE TABLE app._t_gho LIKE app.t"]).await?;
    let failure = run.failure().await?;
    ensure!(failure.ddl_at.is_some(), "{failure:#?}");
    ensure!(matches!(bench.source.kind(), ServerKind::MariaDb | ServerKind::MySql));
    Ok(())
}

on_pairs!(a_ghost_table_waits_for_a_person: mariadb_to_mariadb = (MariaDb, MariaDb, true));
