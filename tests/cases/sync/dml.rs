//! Inserts, updates and deletes of tables with every kind of key.

use anyhow::Result;

use crate::{bench::Bench, on_pairs};

async fn rows_with_and_without_keys_arrive(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "CREATE DATABASE app",
            "USE app",
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n INT, UNIQUE KEY u (v))",
            "CREATE TABLE pair (a INT, b VARCHAR(10), c INT, PRIMARY KEY (a, b))",
            "CREATE TABLE bag (a INT, t TEXT, f FLOAT, d DOUBLE)",
            "CREATE TABLE words (w VARCHAR(30) COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)",
            "CREATE TABLE empty_key (a INT NULL, b INT NULL, UNIQUE KEY (a, b))",
            "INSERT INTO t VALUES (0, 'zero', 0), (1, 'a', 1), (2, 'b', 2), (3, NULL, 3), (4, NULL, 4)",
            "INSERT INTO pair VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)",
            "INSERT INTO bag VALUES (1, 'x', 0.1, 0.1), (1, 'x', 0.1, 0.1), (1, 'x', 0.1, 0.1), (NULL, NULL, NULL, NULL), \
             (NULL, NULL, NULL, NULL), (2, 'it''s \\\\ a \\0 trap', 1e30, 1e300)",
            "INSERT INTO words VALUES ('a', 1), ('B', 2), ('ç', 3), ('straße', 4)",
            "INSERT INTO empty_key VALUES (1, 1), (1, NULL), (1, NULL), (NULL, NULL), (NULL, NULL)",
            // a key goes away and comes again; a swap; a key that moves
            "DELETE FROM t WHERE id = 1",
            "INSERT INTO t VALUES (1, 'a', 11)",
            "UPDATE t SET id = 10 WHERE id = 2",
            "UPDATE t SET id = id + 100",
            "BEGIN",
            "UPDATE t SET v = 'tmp' WHERE v = 'a'",
            "UPDATE t SET v = 'a' WHERE v = 'b'",
            "UPDATE t SET v = 'b' WHERE v = 'tmp'",
            "UPDATE pair SET a = a + 5 WHERE b = 'x'",
            "DELETE FROM pair WHERE b = 'y'",
            "INSERT INTO pair VALUES (1, 'y', 9)",
            "COMMIT",
            "DELETE FROM bag LIMIT 1",
            "UPDATE bag SET a = 7 WHERE a = 1 LIMIT 1",
            "DELETE FROM bag WHERE a IS NULL LIMIT 1",
            "UPDATE bag SET f = 0.3 WHERE a = 2",
            "UPDATE words SET w = 'A' WHERE w = 'a'",
            "DELETE FROM words WHERE w = 'b'",
            "INSERT INTO words VALUES ('b', 5)",
            "DELETE FROM empty_key WHERE a = 1 AND b IS NULL LIMIT 1",
            "UPDATE empty_key SET b = 3 WHERE a IS NULL LIMIT 1",
            "BEGIN",
            "INSERT INTO t VALUES (500, 'rolled back', 1)",
            "ROLLBACK",
            "BEGIN",
            "INSERT INTO t VALUES (501, 'kept', 1)",
            "SAVEPOINT s",
            "INSERT INTO t VALUES (502, 'gone', 1)",
            "ROLLBACK TO s",
            "COMMIT",
        ])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    // many transactions on few rows, so that folds and lanes meet
    let mut statements = vec!["USE app".to_owned()];
    for n in 0..600 {
        statements.push(match n % 6 {
            0 => format!("INSERT INTO t VALUES ({}, 'n{n}', {n})", 1000 + n),
            1 => format!("UPDATE t SET n = n + {n} WHERE id BETWEEN 100 AND {}", 100 + n),
            2 => format!("INSERT INTO bag VALUES ({}, 'y', {n}, {n})", n % 4),
            3 => format!("DELETE FROM bag WHERE a = {} LIMIT 1", n % 4),
            4 => format!("REPLACE INTO pair VALUES ({}, 'z', {n})", n % 5),
            _ => format!("UPDATE t SET v = CONCAT(v, '.') WHERE id = {} AND LENGTH(v) < 15", 1000 + n - 5),
        });
    }
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    bench.on_source(&statements).await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await?;
    bench.same(&["app"]).await
}

on_pairs!(rows_with_and_without_keys_arrive:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mariadb_to_mysql_by_position = (MariaDb, MySql, false),
    mysql_to_mariadb_by_position = (MySql, MariaDb, false),
    mysql_to_mysql = (MySql, MySql, true),
);
