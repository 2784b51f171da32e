//! Order by keys: what conflicts in the target stays in order, however many lanes and folds there are.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use dm_tests::ServerKind;
use mysql_async::prelude::Queryable;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    bench::{self, Bench},
    on_pairs,
};

/// Texts that some collation calls equal, or that share prefixes.
const TEXTS: [&str; 30] = [
    "a", "A", "á", "Á", "a ", "A  ", "ab", "aB", "abc", "abcd", "ABCE", "b", "B", "ß", "ss", "s", "ę", "e\u{301}", "é",
    "æ", "ae", "ı", "i", "I", "ñ", "n", "", " ", "ﬁ", "fi",
];

/// A table with a unique column `u` beside its primary key, and the values that may stand there.
struct Keyed {
    name: &'static str,
    column: &'static str,
    values: fn(&mut StdRng) -> String,
}

fn text(dice: &mut StdRng) -> String {
    format!("'{}'", TEXTS[dice.random_range(0..TEXTS.len())])
}

fn text_or_null(dice: &mut StdRng) -> String {
    if dice.random_range(0..4) == 0 { "NULL".to_owned() } else { text(dice) }
}

fn ascii(dice: &mut StdRng) -> String {
    let texts = ["a", "A", "b", "B ", "b", "ab", "aB", "ac", "abc", "z", ""];
    format!("'{}'", texts[dice.random_range(0..texts.len())])
}

fn number(dice: &mut StdRng) -> String {
    dice.random_range(0..12).to_string()
}

fn real(dice: &mut StdRng) -> String {
    ["0e0", "0.1e0", "1.5e0", "1.25e0", "NULL", "1e300", "3e0"][dice.random_range(0..7)].to_owned()
}

fn moment(dice: &mut StdRng) -> String {
    format!("'2024-01-01 00:00:00.{:03}'", dice.random_range(0..10) * 100)
}

const TABLES: [Keyed; 12] = [
    Keyed { name: "prefix", column: "VARCHAR(20) COLLATE utf8mb4_bin, UNIQUE KEY (u(2))", values: text },
    Keyed { name: "prefix_ci", column: "TEXT COLLATE utf8mb4_general_ci, UNIQUE KEY (u(3))", values: text_or_null },
    Keyed { name: "general_ci", column: "VARCHAR(20) COLLATE utf8mb4_general_ci, UNIQUE KEY (u)", values: text },
    Keyed {
        name: "unicode_ci",
        column: "VARCHAR(20) COLLATE utf8mb4_unicode_ci NULL, UNIQUE KEY (u)",
        values: text_or_null,
    },
    Keyed { name: "pad_bin", column: "VARCHAR(20) COLLATE utf8mb4_bin, UNIQUE KEY (u)", values: text },
    Keyed { name: "fixed", column: "CHAR(8) COLLATE utf8mb4_unicode_520_ci, UNIQUE KEY (u)", values: text },
    Keyed {
        name: "latin",
        column: "VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci, UNIQUE KEY (u)",
        values: ascii,
    },
    Keyed { name: "bytes", column: "VARBINARY(9), UNIQUE KEY (u)", values: ascii },
    Keyed { name: "price", column: "DECIMAL(9,2), UNIQUE KEY (u)", values: number },
    Keyed { name: "reals", column: "DOUBLE NULL, UNIQUE KEY (u)", values: real },
    Keyed { name: "moments", column: "DATETIME(3), UNIQUE KEY (u)", values: moment },
    // the key's second part decides only where the first is equal
    Keyed {
        name: "pair",
        column: "VARCHAR(9) COLLATE utf8mb4_general_ci NULL, UNIQUE KEY (u, n), UNIQUE KEY (n, u)",
        values: text_or_null,
    },
];

/// Executes; a duplicate key undoes the statement on the source and is part of the load.
async fn may_collide(conn: &mut mysql_async::Conn, sql: &str) -> Result<()> {
    match conn.query_drop(sql).await {
        Err(mysql_async::Error::Server(error)) if error.code == 1062 => Ok(()),
        done => Ok(done?),
    }
}

async fn one_statement(conn: &mut mysql_async::Conn, dice: &mut StdRng) -> Result<()> {
    let table = &TABLES[dice.random_range(0..TABLES.len())];
    let (name, id, other) = (table.name, dice.random_range(0..16), dice.random_range(0..16));
    let value = (table.values)(dice);
    let n = dice.random_range(0..3);
    let sql = match dice.random_range(0..10) {
        0..=3 => format!("INSERT INTO {name} VALUES ({id}, {n}, {value})"),
        4 | 5 => format!("UPDATE {name} SET u = {value}, n = {n} WHERE id = {id}"),
        6 => format!("UPDATE {name} SET id = {other} WHERE id = {id}"),
        7 => format!("DELETE FROM {name} WHERE id = {id}"),
        8 => format!("REPLACE INTO {name} VALUES ({id}, {n}, {value})"),
        // a chain: many rows move at once, from the end
        _ => format!("UPDATE {name} SET id = id + 1 WHERE id >= {id} ORDER BY id DESC"),
    };
    may_collide(conn, &sql).await
}

async fn random_transactions(bench: &Bench, seed: u64, n: usize) -> Result<()> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut conn = bench::conn(&bench.source).await?;
    conn.query_drop("USE app").await?;
    for _ in 0..n {
        let n_statements = if dice.random_range(0..3) == 0 { dice.random_range(2..6) } else { 1 };
        conn.query_drop("BEGIN").await?;
        for _ in 0..n_statements {
            one_statement(&mut conn, &mut dice).await?;
        }
        conn.query_drop("COMMIT").await?;
    }
    conn.disconnect().await?;
    Ok(())
}

async fn unique_keys_of_every_kind_keep_their_order(mut bench: Bench) -> Result<()> {
    bench.syncer = "worker-count: 8, batch: 40".to_owned();
    let run = bench.begin().await?;
    let mut creates = vec!["CREATE DATABASE app".to_owned()];
    for Keyed { name, column, .. } in &TABLES {
        creates.push(format!("CREATE TABLE app.{name} (id INT PRIMARY KEY, n INT, u {column})"));
    }
    bench.on_source(&creates.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    random_transactions(&bench, 1, 300).await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await?;
    // a backlog, so that folds are full and all lanes are open
    random_transactions(&bench, 2, 3000).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(unique_keys_of_every_kind_keep_their_order:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mariadb_to_mysql_by_position = (MariaDb, MySql, false),
    mysql_to_mariadb = (MySql, MariaDb, true),
);

/// MySQL's own collation has no padding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collations_of_mysql_8_keep_their_order() -> Result<()> {
    let mut bench = Bench::start(ServerKind::MySql, ServerKind::MySql, true).await?;
    bench.syncer = "worker-count: 8, batch: 40".to_owned();
    let run = bench.begin().await?;
    let mut creates = vec!["CREATE DATABASE app".to_owned(), "USE app".to_owned()];
    let collations = [
        "utf8mb4_0900_ai_ci",
        "utf8mb4_0900_as_ci",
        "utf8mb4_0900_as_cs",
        "utf8mb4_0900_bin",
        "utf8mb4_de_pb_0900_ai_ci",
    ];
    for (at, collation) in collations.iter().enumerate() {
        creates.push(format!(
            "CREATE TABLE c{at} (id INT PRIMARY KEY, u VARCHAR(20) COLLATE {collation}, UNIQUE KEY (u))"
        ));
    }
    bench.on_source(&creates.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let mut dice = StdRng::seed_from_u64(3);
    let mut conn = bench::conn(&bench.source).await?;
    conn.query_drop("USE app").await?;
    for _ in 0..1500 {
        let (table, id, value) = (dice.random_range(0..collations.len()), dice.random_range(0..16), text(&mut dice));
        let sql = match dice.random_range(0..3) {
            0 => format!("INSERT INTO c{table} VALUES ({id}, {value})"),
            1 => format!("UPDATE c{table} SET u = {value} WHERE id = {id}"),
            _ => format!("DELETE FROM c{table} WHERE id = {id}"),
        };
        may_collide(&mut conn, &sql).await?;
    }
    conn.disconnect().await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

async fn swaps_and_chains_keep_their_order(mut bench: Bench) -> Result<()> {
    bench.syncer = "worker-count: 8, batch: 30".to_owned();
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, u INT NULL, w VARCHAR(9) NULL, UNIQUE KEY (u), UNIQUE KEY (w))",
            "INSERT INTO app.t SELECT n, n, CONCAT('w', n) FROM (SELECT a.n + 5 * b.n AS n FROM (SELECT 0 n UNION SELECT 1 UNION \
             SELECT 2 UNION SELECT 3 UNION SELECT 4) a, (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) b) q",
        ])
        .await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let mut statements = vec!["USE app".to_owned()];
    for n in 0..400 {
        let (a, b, c) = (n % 20, (n * 7 + 3) % 20, (n * 3 + 11) % 20);
        if a == b || b == c || a == c {
            continue;
        }
        let moves = match n % 4 {
            // a swap of a unique value between two rows, by way of NULL
            0 => vec![
                format!("SET @x = (SELECT u FROM t WHERE id = {a}), @y = (SELECT u FROM t WHERE id = {b})"),
                format!("UPDATE t SET u = NULL WHERE id = {a}"),
                format!("UPDATE t SET u = @x WHERE id = {b}"),
                format!("UPDATE t SET u = @y WHERE id = {a}"),
            ],
            // a chain of three on the other key
            1 => vec![
                format!(
                    "SET @x = (SELECT w FROM t WHERE id = {a}), @y = (SELECT w FROM t WHERE id = {b}), @z = (SELECT w FROM t WHERE id = {c})"
                ),
                format!("UPDATE t SET w = NULL WHERE id = {a}"),
                format!("UPDATE t SET w = @x WHERE id = {b}"),
                format!("UPDATE t SET w = @y WHERE id = {c}"),
                format!("UPDATE t SET w = @z WHERE id = {a}"),
            ],
            // the rows change places: primary keys move
            2 => vec![
                format!("UPDATE t SET id = -1 WHERE id = {a}"),
                format!("UPDATE t SET id = {a} WHERE id = {b}"),
                format!("UPDATE t SET id = {b} WHERE id = -1"),
            ],
            // a row goes and another takes its values
            _ => vec![
                format!("SET @x = (SELECT u FROM t WHERE id = {a}), @y = (SELECT w FROM t WHERE id = {a})"),
                format!("DELETE FROM t WHERE id = {a}"),
                format!("INSERT INTO t VALUES (100 + {a}, @x, @y)"),
                format!("UPDATE t SET id = {a} WHERE id = 100 + {a}"),
            ],
        };
        // in one transaction, or each step in its own
        let as_one = n % 3 != 0;
        statements.extend(as_one.then(|| "BEGIN".to_owned()));
        statements.extend(moves);
        statements.extend(as_one.then(|| "COMMIT".to_owned()));
    }
    bench.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(swaps_and_chains_keep_their_order:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

const MERGED: &str = "
routes:
  r: {schema-pattern: \"shard_*\", table-pattern: \"t*\", target-schema: app, target-table: t}
";

async fn shards(bench: &Bench) -> Result<()> {
    bench
        .on_source(&[
            "CREATE DATABASE shard_1",
            "CREATE DATABASE shard_2",
            "CREATE TABLE shard_1.t1 (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE shard_2.t2 (id INT PRIMARY KEY, v INT)",
        ])
        .await?;
    bench.on_target(&["CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)"]).await
}

/// In safe mode the later change wins, in the order of the source, whichever shard it comes from.
async fn colliding_shards_in_safe_mode_let_the_later_change_win(mut bench: Bench) -> Result<()> {
    bench.instance = "route-rules: [r]".to_owned();
    bench.sections = MERGED.to_owned();
    bench.syncer = "worker-count: 8, batch: 20, safe-mode: true".to_owned();
    shards(&bench).await?;
    let run = bench.begin().await?;
    run.drain().await?;
    let mut dice = StdRng::seed_from_u64(5);
    let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut shards: [BTreeMap<u64, u64>; 2] = Default::default();
    let mut statements = Vec::new();
    for n in 0..1500_u64 {
        let shard = dice.random_range(0..2);
        let (table, id) = (["shard_1.t1", "shard_2.t2"][shard], dice.random_range(0..20_u64));
        if !shards[shard].contains_key(&id) {
            statements.push(format!("INSERT INTO {table} VALUES ({id}, {n})"));
            shards[shard].insert(id, n);
            merged.insert(id, n);
        } else if dice.random_range(0..3) == 0 {
            statements.push(format!("DELETE FROM {table} WHERE id = {id}"));
            shards[shard].remove(&id);
            merged.remove(&id);
        } else {
            statements.push(format!("UPDATE {table} SET v = {n} WHERE id = {id}"));
            shards[shard].insert(id, n);
            merged.insert(id, n);
        }
    }
    bench.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let run = bench.begin().await?;
    bench.settle(&run).await?;
    let mut conn = bench::conn(&bench.target).await?;
    let found: Vec<(u64, u64)> = conn.query("SELECT id, v FROM app.t ORDER BY id").await?;
    conn.disconnect().await?;
    ensure!(found == merged.iter().map(|(id, v)| (*id, *v)).collect::<Vec<_>>(), "{found:?}, not {merged:?}");
    run.drain().await
}

on_pairs!(colliding_shards_in_safe_mode_let_the_later_change_win:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// Without safe mode a collision stops the task with what the target says; nothing else is lost.
async fn colliding_shards_stop_with_the_duplicate_key(mut bench: Bench) -> Result<()> {
    bench.instance = "route-rules: [r]".to_owned();
    bench.sections = MERGED.to_owned();
    shards(&bench).await?;
    let run = bench.begin().await?;
    bench.on_source(&["INSERT INTO shard_1.t1 VALUES (1, 1), (2, 2)"]).await?;
    bench.settle(&run).await?;
    bench.on_source(&["INSERT INTO shard_2.t2 VALUES (3, 3)", "INSERT INTO shard_2.t2 VALUES (1, 10)"]).await?;
    let failure = run.failure().await?;
    let report = format!("{:?}", failure.report);
    ensure!(report.contains("Duplicate entry") && !failure.report.workaround.is_empty(), "{report}");
    ensure!(bench.number_on_target("SELECT SUM(v) FROM app.t").await? == 6, "what came before is there");
    // the way out: let the later one win
    bench.syncer = "worker-count: 4, safe-mode: true".to_owned();
    let run = bench.begin().await?;
    bench.settle(&run).await?;
    ensure!(bench.number_on_target("SELECT SUM(v) FROM app.t").await? == 15);
    run.drain().await
}

on_pairs!(colliding_shards_stop_with_the_duplicate_key:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// The target decides what conflicts: other unique keys, none, more columns, another order of columns.
async fn targets_with_other_keys_and_more_columns_are_served(mut bench: Bench) -> Result<()> {
    bench.syncer = "worker-count: 8, batch: 30".to_owned();
    let run = bench.begin().await?;
    bench
        .on_target(&[
            "CREATE DATABASE app",
            "CREATE TABLE app.more_keys (id INT PRIMARY KEY, u INT NULL, s VARCHAR(9) COLLATE utf8mb4_general_ci NULL, UNIQUE KEY (u), \
             UNIQUE KEY (s, u), KEY (s))",
            "CREATE TABLE app.fewer_keys (id INT NOT NULL, u INT NULL, s VARCHAR(9) NULL, KEY (id))",
            "CREATE TABLE app.other_key (u INT NOT NULL, s VARCHAR(9) NULL, id INT NOT NULL, PRIMARY KEY (u))",
            "CREATE TABLE app.more_columns (more INT NOT NULL DEFAULT 7, s VARCHAR(9) NULL, id INT PRIMARY KEY AUTO_INCREMENT, u INT NULL, \
             made TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, twice INT GENERATED ALWAYS AS (u * 2) STORED, UNIQUE KEY (u))",
        ])
        .await?;
    bench
        .on_source(&[
            "CREATE DATABASE IF NOT EXISTS app",
            "CREATE TABLE app.more_keys (id INT PRIMARY KEY, u INT NULL, s VARCHAR(9) NULL)",
            "CREATE TABLE app.fewer_keys (id INT PRIMARY KEY, u INT NULL, s VARCHAR(9) NULL, UNIQUE KEY (u))",
            "CREATE TABLE app.other_key (id INT PRIMARY KEY, u INT NOT NULL, s VARCHAR(9) NULL, UNIQUE KEY (u))",
            "CREATE TABLE app.more_columns (id INT PRIMARY KEY, u INT NULL, s VARCHAR(9) NULL)",
        ])
        .await?;
    bench.settle(&run).await?;
    run.drain().await?;
    let mut statements = vec!["USE app".to_owned()];
    let mut dice = StdRng::seed_from_u64(9);
    for table in ["more_keys", "fewer_keys", "other_key", "more_columns"] {
        for id in 0..12 {
            statements.push(format!("INSERT INTO {table} VALUES ({id}, {}, 's{id}')", id + 100));
        }
        for n in 0..200 {
            let (a, b) = (dice.random_range(0..12), dice.random_range(0..12));
            match n % 4 {
                // a value that is unique in the target wanders
                0 | 1 if a != b => statements.extend([
                    "BEGIN".to_owned(),
                    format!(
                        "SET @x = (SELECT u FROM {table} WHERE id = {a}), @y = (SELECT u FROM {table} WHERE id = {b})"
                    ),
                    format!("UPDATE {table} SET u = 1000 + {n} WHERE id = {a}"),
                    format!("UPDATE {table} SET u = @x WHERE id = {b}"),
                    format!("UPDATE {table} SET u = @y WHERE id = {a}"),
                    "COMMIT".to_owned(),
                ]),
                2 => statements.extend([
                    format!("SET @x = (SELECT u FROM {table} WHERE id = {a})"),
                    format!("DELETE FROM {table} WHERE id = {a}"),
                    format!("INSERT INTO {table} VALUES ({a}, @x, 'n{n}')"),
                ]),
                _ => statements.push(format!("UPDATE {table} SET s = 'v{n}' WHERE id = {a}")),
            }
        }
    }
    bench.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    let filled =
        "SELECT COUNT(*) FROM app.more_columns WHERE more = 7 AND made IS NOT NULL AND (u IS NULL OR twice = u * 2)";
    ensure!(bench.number_on_target(filled).await? == 12, "columns of the target alone have their defaults");
    // an update keeps what only the target has
    bench.on_target(&["UPDATE app.more_columns SET more = 8"]).await?;
    bench
        .on_source(&[
            "UPDATE app.more_columns SET s = CONCAT(s, '.') WHERE id < 6",
            "UPDATE app.more_columns SET u = u + 5000",
        ])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM app.more_columns WHERE more = 8").await? == 12);
    run.drain().await
}

on_pairs!(targets_with_other_keys_and_more_columns_are_served:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);

/// Fewer columns stop the task with a code and a way out, which leads on without a loss.
async fn a_target_with_fewer_columns_is_refused_with_a_way_out(bench: Bench) -> Result<()> {
    bench.on_target(&["CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)"]).await?;
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE IF NOT EXISTS app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE app.other (id INT PRIMARY KEY)",
            "INSERT INTO app.other VALUES (1)",
            "INSERT INTO app.t VALUES (1, 1)",
        ])
        .await?;
    let failure = run.failure().await?;
    ensure!(failure.report.code == 36027 && failure.report.workaround.contains("resume"), "{:?}", failure.report);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM app.other").await? == 1, "what came before is there");
    bench.on_target(&["ALTER TABLE app.t ADD COLUMN v INT"]).await?;
    bench.on_source(&["INSERT INTO app.t VALUES (2, 2)"]).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    // a column that must be given and is not
    bench.on_target(&["ALTER TABLE app.t ADD COLUMN must INT NOT NULL"]).await?;
    bench.on_source(&["INSERT INTO app.t VALUES (3, 3)"]).await?;
    let failure = run.failure().await?;
    let text = format!("{:?}", failure.report);
    ensure!(text.contains("must") && !failure.report.workaround.is_empty(), "{text}");
    bench.on_target(&["ALTER TABLE app.t ALTER COLUMN must SET DEFAULT 1"]).await?;
    let run = bench.begin().await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

on_pairs!(a_target_with_fewer_columns_is_refused_with_a_way_out:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
);
