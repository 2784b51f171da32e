//! What arrives equals what is there, also when the copy is interrupted, taken over or has few rights.

use anyhow::{Context as _, Result, bail, ensure};
use dm_sync_core::chunk::skip::SkipTest;
use dm_tests::ServerKind;
use dm_worker::{
    status::UnitView,
    unit::{Leave, UnitEnd},
};
use mysql_async::prelude::Queryable;

use super::bench::{BIG, Bench, wait_until};

async fn copies_every_kind_of_table(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind, "threads: 3, rows: 5000").await?;
    bench.run_sql(&BIG).await?;
    bench
        .run_sql(&[
            "CREATE TABLE src.pair (a INT, b VARCHAR(10), c INT, PRIMARY KEY (a, b), UNIQUE KEY (c))",
            "INSERT INTO src.pair SELECT id % 100, CONCAT('k', id), id FROM src.big",
            "CREATE TABLE src.words (w VARCHAR(30) COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)",
            "INSERT INTO src.words SELECT CONCAT(CHAR(65 + id % 26), 'ä', id), id FROM src.big",
            "CREATE TABLE src.bag (a INT, t TEXT)",
            "INSERT INTO src.bag VALUES (1, 'x'), (1, 'x'), (NULL, NULL), (2, 'it''s \\\\ a \\0 trap')",
            "CREATE TABLE src.nothing (id INT PRIMARY KEY)",
            "ANALYZE TABLE src.pair, src.words",
        ])
        .await?;
    let handover = bench.copy(1).await?;
    bench.same(&["big", "pair", "words", "bag", "nothing"]).await?;
    ensure!(bench.number("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'dst'").await? == 5);
    ensure!(bench.number("SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE state <> 'done'").await? == 0);
    ensure!(bench.number("SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk").await? > 20, "tables were split");
    ensure!(bench.number("SELECT COUNT(*) FROM dm_meta.dm_table_structure").await? == 5);
    ensure!(handover.tests.len() == 5 && handover.tests.iter().all(|(_, test)| matches!(test, SkipTest::Single(_))));
    ensure!(!handover.location.position.is_empty());
    let views = bench.board.views();
    let UnitView::Load(load) = &views[0].1.unit_view else { bail!("{views:?}") };
    ensure!(load.finished_tables == 5 && load.chunks_done == load.chunks_total, "{load:?}");

    // A later run copies nothing and hands over the same.
    bench.run_sql(&["DELETE FROM dst.bag"]).await?;
    let again = bench.copy(2).await?;
    ensure!(again.location == handover.location && again.tests.len() == 5);
    ensure!(again.rows.iter().any(|row| row.low_location == handover.location));
    ensure!(bench.number("SELECT COUNT(*) FROM dst.bag").await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_copies_every_kind_of_table() -> Result<()> {
    copies_every_kind_of_table(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_copies_every_kind_of_table() -> Result<()> {
    copies_every_kind_of_table(ServerKind::MySql).await
}

async fn copies_every_type(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind, "threads: 1").await?;
    // an ENUM's error value can only be written without strict mode, which a target has when its source has it
    let mut root = bench.server.root().await?;
    root.query_drop("SET GLOBAL sql_mode = ''").await?;
    root.disconnect().await?;
    let (uuid, uuid_value) = match kind {
        ServerKind::MariaDb => (", u UUID, i6 INET6", ", '123e4567-e89b-12d3-a456-426655440000', '::ffff:1.2.3.4'"),
        ServerKind::MySql => ("", ""),
    };
    let create = format!(
        "CREATE TABLE src.types (id BIGINT UNSIGNED PRIMARY KEY, ti TINYINT, mi MEDIUMINT UNSIGNED, bi BIGINT, f FLOAT, \
         d DOUBLE, de DECIMAL(30,10), bt BIT(13), da DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL, tm TIME(2), y YEAR, \
         c CHAR(10), v VARCHAR(50), l VARCHAR(50) CHARACTER SET latin1, g VARCHAR(50) CHARACTER SET gbk, bn BINARY(6), \
         vb VARBINARY(20), bl BLOB, tx LONGTEXT, en ENUM('a','b','it''s'), st SET('x','y','z'), j JSON, \
         gm GEOMETRY, gen INT AS (ti + 1), gs INT AS (ti + 2) STORED{uuid}) DEFAULT CHARSET = utf8mb4"
    );
    let columns = "id, ti, mi, bi, f, d, de, bt, da, dt, ts, tm, y, c, v, l, g, bn, vb, bl, tx, en, st, j, gm";
    let more = if uuid.is_empty() { "" } else { ", u, i6" };
    let insert = format!(
        "INSERT INTO src.types ({columns}{more}) VALUES (18446744073709551615, -128, 16777215, -9223372036854775808, 0.1, \
         1.7976931348623157e308, -12345678901234567890.0123456789, b'1000000000001', '2024-02-29', \
         '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.123', '-838:59:59.00', 1901, 'pad  ', 'smile 😀 \\'\\\\\"\\n', \
         'é€', '中文', x'0001000000', x'00ff27', x'deadbeef00', REPEAT('long ', 5000), 'it''s', 'x,z', \
         '{{\"a\": [1, 1.5, \"é\", null]}}', ST_GeomFromText('POINT(1 2)'){uuid_value})"
    );
    let zero = "INSERT INTO src.types (id, da, dt, en, y, ti, v) VALUES (0, '0000-00-00', '0000-00-00', 0, 0, 0, '')";
    let null = "INSERT INTO src.types (id) VALUES (7)";
    bench.run_sql(&[&create, &insert, zero, null]).await?;
    bench.copy(1).await?;
    bench.same(&["types"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_copies_every_type() -> Result<()> {
    copies_every_type(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_copies_every_type() -> Result<()> {
    copies_every_type(ServerKind::MySql).await
}

async fn goes_on_inside_a_chunk_after_a_kill(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind, "threads: 1, rows: 1000000").await?;
    bench.run_sql(&BIG).await?;
    let obstacle = bench.obstacle().await?;
    let run = bench.begin(1).await?;
    bench.half_copied().await?;
    run.stop.kill.cancel();
    ensure!(matches!(run.ended.await?, Err(Leave::End(UnitEnd::Drained))));
    obstacle.disconnect().await?;
    let half = bench.number("SELECT COUNT(*) FROM dst.big").await?;
    ensure!((1..60_000).contains(&half), "{half} rows");

    // Changes between the two moments: sync will bring them, by the positions of the chunks.
    bench.run_sql(&["UPDATE src.big SET n = -1 WHERE id IN (5, 59000)"]).await?;
    let handover = bench.copy(2).await?;
    ensure!(bench.number("SELECT COUNT(*) FROM dst.big").await? == 60_000);
    let different =
        "SELECT COUNT(*) FROM src.big s LEFT JOIN dst.big d ON d.id = s.id WHERE NOT (s.v <=> d.v AND s.n <=> d.n)";
    ensure!(bench.number(different).await? == 1, "only the row that was read before its change differs");
    let (_, test) = handover.tests.first().context("a test")?;
    let SkipTest::ByChunk { chunks, .. } = test else { bail!("{test:?}") };
    let positions: std::collections::BTreeSet<_> = chunks.iter().map(|(_, at)| at.clone()).collect();
    ensure!(positions.len() == 2, "{chunks:?}");
    ensure!(positions.first() == Some(&handover.location.position), "sync begins at the older one");
    ensure!(bench.number("SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE state <> 'done'").await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_goes_on_inside_a_chunk_after_a_kill() -> Result<()> {
    goes_on_inside_a_chunk_after_a_kill(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_goes_on_inside_a_chunk_after_a_kill() -> Result<()> {
    goes_on_inside_a_chunk_after_a_kill(ServerKind::MySql).await
}

async fn an_earlier_owner_is_fenced(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind, "threads: 1, rows: 1000000").await?;
    bench.run_sql(&BIG).await?;
    let obstacle = bench.obstacle().await?;
    let first = bench.begin(1).await?;
    bench.half_copied().await?;
    let second = bench.begin(2).await?;
    obstacle.disconnect().await?;
    let end = first.ended.await?;
    ensure!(matches!(end, Err(Leave::End(UnitEnd::Fenced))), "{end:?}");
    second.ended.await?.map_err(|leave| anyhow::anyhow!("{leave:?}"))?;
    bench.same(&["big"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_fences_an_earlier_owner() -> Result<()> {
    an_earlier_owner_is_fenced(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_fences_an_earlier_owner() -> Result<()> {
    an_earlier_owner_is_fenced(ServerKind::MySql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_keyless_table_is_emptied_and_copied_again() -> Result<()> {
    let bench = Bench::start(ServerKind::MariaDb, "threads: 1").await?;
    bench.run_sql(&BIG).await?;
    bench
        .run_sql(&[
            "CREATE TABLE src.bag (a INT, v VARCHAR(20))",
            "INSERT INTO src.bag SELECT id % 7, v FROM src.big",
            "DROP VIEW src.seen",
            "DROP TABLE src.big",
            "CREATE DATABASE dst",
            "CREATE TABLE dst.bag (a INT, v VARCHAR(20), KEY (a))",
        ])
        .await?;
    let run = bench.begin(1).await?;
    let copying = "SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE state <> 'planned'";
    wait_until(|| async { Ok(bench.number(copying).await? > 0) }).await?;
    run.stop.drain.cancel();
    let end = run.ended.await?;
    ensure!(matches!(end, Err(Leave::End(UnitEnd::Drained)) | Ok(_)), "{end:?}");
    bench.copy(2).await?;
    let counted = "SELECT COUNT(*) FROM (SELECT a, v, COUNT(*) n FROM src.bag GROUP BY a, v) s \
                   LEFT JOIN (SELECT a, v, COUNT(*) n FROM dst.bag GROUP BY a, v) d USING (a, v, n) WHERE d.n IS NULL";
    ensure!(bench.number(counted).await? == 0);
    ensure!(bench.number("SELECT COUNT(*) FROM dst.bag").await? == 60_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changed_while_nobody_copied_begins_again() -> Result<()> {
    let bench = Bench::start(ServerKind::MariaDb, "threads: 1, rows: 1000000").await?;
    bench.run_sql(&BIG).await?;
    let obstacle = bench.obstacle().await?;
    let run = bench.begin(1).await?;
    bench.half_copied().await?;
    run.stop.kill.cancel();
    ensure!(run.ended.await?.is_err());
    obstacle.disconnect().await?;
    bench.run_sql(&["ALTER TABLE src.big MODIFY n BIGINT", "ALTER TABLE dst.big MODIFY n BIGINT"]).await?;
    let handover = bench.copy(2).await?;
    bench.same(&["big"]).await?;
    ensure!(matches!(handover.tests.as_slice(), [(_, SkipTest::Single(_))]), "{:?}", handover.tests);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_targets_that_cannot_roll_back_and_says_what_the_target_refused() -> Result<()> {
    let bench = Bench::start(ServerKind::MariaDb, "threads: 1").await?;
    bench.run_sql(&["CREATE TABLE src.t (id INT PRIMARY KEY, v INT) ENGINE = MyISAM"]).await?;
    let end = bench.begin(1).await?.ended.await?;
    let Err(Leave::End(UnitEnd::Failed(failure))) = end else { bail!("{end:?}") };
    ensure!(failure.report.code == 60051, "{failure:?}");
    bench
        .run_sql(&[
            "DROP TABLE dst.t",
            "CREATE TABLE dst.t (id INT PRIMARY KEY, v INT CHECK (v < 10))",
            "INSERT INTO src.t VALUES (1, 4711)",
        ])
        .await?;
    let end = bench.begin(2).await?.ended.await?;
    let Err(Leave::End(UnitEnd::Failed(failure))) = end else { bail!("{end:?}") };
    ensure!(failure.report.code == 60050 && failure.report.message.contains("chunk 0 of `src`.`t`"), "{failure:?}");
    ensure!(!format!("{failure:?}").contains("4711"), "{failure:?}");
    Ok(())
}

/// `src.wide`: enough bytes that the reader cannot be far ahead of the writer.
const WIDE: [&str; 2] = [
    "CREATE TABLE src.wide (id INT PRIMARY KEY, v VARCHAR(400))",
    "INSERT INTO src.wide SELECT b.id + k.i * 60000, REPEAT(b.v, 60) FROM src.big b, \
     (SELECT 0 AS i UNION ALL SELECT 1 UNION ALL SELECT 2) k",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reader_goes_on_with_another_view() -> Result<()> {
    let bench = Bench::start(ServerKind::MariaDb, "threads: 1, rows: 10000000").await?;
    bench.run_sql(&BIG).await?;
    bench.run_sql(&WIDE).await?;
    bench.run_sql(&["DROP VIEW src.seen", "DROP TABLE src.big", "CREATE DATABASE dst"]).await?;
    bench.run_sql(&["CREATE TABLE dst.wide LIKE src.wide"]).await?;
    let mut obstacle = bench.conn().await?;
    obstacle.query_drop("BEGIN").await?;
    obstacle.query_drop("INSERT INTO dst.wide (id) VALUES (15000)").await?;
    let run = bench.begin(1).await?;
    let begun = "SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE state = 'copying'";
    wait_until(|| async { Ok(bench.number(begun).await? == 1) }).await?;
    let reader = "SELECT id FROM information_schema.processlist WHERE info LIKE '%ROM `src`.`wide`%' AND command = 'Query' \
                  AND info NOT LIKE '%processlist%'";
    let id = bench.number(reader).await?;
    ensure!(id > 0, "the reader is not done");
    bench.run_sql(&["UPDATE src.wide SET v = 'later' WHERE id = 1", &format!("KILL {id}")]).await?;
    obstacle.disconnect().await?;
    let handover = run.ended.await?.map_err(|leave| anyhow::anyhow!("{leave:?}"));
    // A lane that had to wait may be in doubt: then its rows are read anew by a takeover.
    let handover = match handover {
        Ok(handover) => handover,
        Err(error) if error.to_string().contains("TakeOverAgain") => bench.copy(2).await?,
        Err(error) => return Err(error),
    };
    ensure!(bench.number("SELECT COUNT(*) FROM dst.wide").await? == 180_000);
    let different = "SELECT COUNT(*) FROM src.wide s LEFT JOIN dst.wide d ON d.id = s.id WHERE NOT (s.v <=> d.v)";
    ensure!(bench.number(different).await? == 1);
    ensure!(matches!(handover.tests.as_slice(), [(_, SkipTest::ByChunk { .. })]), "{:?}", handover.tests);
    Ok(())
}

async fn copies_with_fewer_rights(rights: &[&str]) -> Result<()> {
    let mut bench = Bench::start(ServerKind::MySql, "threads: 2").await?;
    bench.run_sql(&BIG).await?;
    let mut root = bench.server.root().await?;
    root.query_drop("CREATE USER reader IDENTIFIED BY 'dm'").await?;
    for right in rights {
        root.query_drop(format!("GRANT {right} TO reader")).await?;
    }
    root.disconnect().await?;
    bench.reader = "reader";
    let handover = bench.copy(1).await?;
    ensure!(!handover.location.position.is_empty());
    bench.same(&["big"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_global_lock_tables_are_locked() -> Result<()> {
    copies_with_fewer_rights(&["REPLICATION CLIENT ON *.*", "SELECT, SHOW VIEW, LOCK TABLES ON src.*"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_lock_a_quiet_moment_is_found() -> Result<()> {
    // The target on the same server writes only after the view is open.
    copies_with_fewer_rights(&["REPLICATION CLIENT ON *.*", "SELECT, SHOW VIEW ON src.*"]).await
}
