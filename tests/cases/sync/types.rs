//! Every column type with its edge values.

use anyhow::Result;
use dm_tests::ServerKind;

use crate::{bench::Bench, on_pairs};

const BOTH: &str = "CREATE TABLE app.types (id INT PRIMARY KEY, \
    i8 TINYINT, u8 TINYINT UNSIGNED, i16 SMALLINT, u16 SMALLINT UNSIGNED, i24 MEDIUMINT, u24 MEDIUMINT UNSIGNED, \
    i32 INT, u32 INT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED, f FLOAT, f2 FLOAT(7,3), d DOUBLE, d2 DOUBLE(10,2), \
    n DECIMAL(65,30), n0 DECIMAL(10,0), nu DECIMAL(20,5) UNSIGNED, b1 BIT(1), b12 BIT(12), b64 BIT(64), y YEAR, da DATE, \
    t0 TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t6 TIME(6), dt DATETIME, dt1 DATETIME(1), dt6 DATETIME(6), \
    ts TIMESTAMP NULL, ts3 TIMESTAMP(3) NULL, ts6 TIMESTAMP(6) NULL, \
    c CHAR(10), cl CHAR(10) CHARACTER SET latin1, vg VARCHAR(20) CHARACTER SET gbk, vb VARCHAR(20) CHARACTER SET big5, \
    vs VARCHAR(20) CHARACTER SET sjis, v16 VARCHAR(20) CHARACTER SET utf16, v32 VARCHAR(20) CHARACTER SET utf32, \
    v3 VARCHAR(20) CHARACTER SET utf8mb3, v4 VARCHAR(300), bi BINARY(8), vbi VARBINARY(300), \
    tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB, \
    e ENUM('a','2','c d'), s SET('x','y','z'), j JSON, g GEOMETRY, p POINT, \
    gv INT GENERATED ALWAYS AS (i32 + 1) VIRTUAL, gs VARCHAR(30) GENERATED ALWAYS AS (CONCAT(v3, '!')) STORED)";

const ROWS: [&str; 5] = [
    "INSERT INTO app.types (id) VALUES (0)",
    "INSERT INTO app.types (id, i8, u8, i16, u16, i24, u24, i32, u32, i64, u64, f, f2, d, d2, n, n0, nu, b1, b12, b64, y, da, \
     t0, t1, t2, t3, t6, dt, dt1, dt6, ts, ts3, ts6) VALUES (1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, \
     4294967295, -9223372036854775808, 18446744073709551615, 0.1, -1234.567, 1.7976931348623157e308, -12345678.91, \
     -12345678901234567890123456789012345.123456789012345678901234567890, -9999999999, 999999999999999.99999, b'1', \
     b'101010101010', x'FFFFFFFFFFFFFFFF', 2155, '9999-12-31', '-838:59:59', '-838:59:58.9', '-00:00:00.01', \
     '-00:00:00.001', '838:59:58.999999', '9999-12-31 23:59:59', '1000-01-01 00:00:00.1', '9999-12-31 23:59:59.999999', \
     '2038-01-19 03:14:07', '1970-01-01 00:00:01.001', '2024-10-27 00:30:00.123456')",
    "INSERT INTO app.types (id, i8, u8, i16, u16, i24, u24, i32, u32, i64, u64, f, f2, d, n, n0, nu, b1, b12, b64, y, da, t0, \
     t1, t2, t3, t6, dt, ts, ts3) VALUES (2, 127, 0, -1, 0, -1, 8388608, 2147483646, 2147483648, -1, 9223372036854775808, \
     3.4e38, 0, 2.2250738585072014e-308, 0.000000000000000000000000000001, 0, 0, b'0', 0, x'8000000000000001', 0, \
     '0000-00-00', '00:00:00', '-00:00:00.1', '-100:00:00.99', '00:00:00.999', '-00:00:00.000001', '0000-00-00 00:00:00', \
     '0000-00-00 00:00:00', '0000-00-00 00:00:00')",
    "INSERT INTO app.types (id, c, cl, vg, vb, vs, v16, v32, v3, v4, bi, vbi, tt, tx, mt, lt, tb, bl, mb, lb, e, s, j, g, p) \
     VALUES (3, 'a  ', '€äß', '中文乗', '中文功', '日本語表', 'aä中😀', 'ä😀', '中ä', 'q\\'\"\\\\\\0\\n\\r\\Z%_😀 ', x'0102', \
     x'00FF5C27', '', 'x\\'y', REPEAT('ä', 40000), REPEAT('long', 50000), x'00', x'FF00', REPEAT(x'80', 70000), '', '2', \
     'x,z', '{\"b\": [1, 2.5, -1e100, true, null, \"ü\\\\\"\\\\n\"], \"a\": {}, \"n\": 18446744073709551615}', \
     ST_GeomFromText('LINESTRING(0 0, 1.5 -2.5)'), POINT(1e-10, -3))",
    "INSERT INTO app.types (id, c, v4, bi, vbi, e, s, j, f, d) VALUES \
     (4, '', '', x'0000000000000000', '', 'c d', '', '[]', -0.0, 1e-300), (5, 'é', 'é', x'6100', x'61', 'a', 'x,y,z', '1.0', 1e-30, 0.1), \
     (6, NULL, '\\\\', NULL, NULL, NULL, NULL, '\"\"', 16777216, 123456789.12345678)",
];

async fn every_type_keeps_its_value(bench: Bench) -> Result<()> {
    let run = bench.begin().await?;
    bench.on_source(&["CREATE DATABASE app", BOTH]).await?;
    bench.on_source(&ROWS).await?;
    bench.settle_same(&run, &["app"]).await?;
    // the same values found again by updates and deletes, with a key and by whole rows
    bench
        .on_source(&[
            "UPDATE app.types SET i8 = 5, v4 = CONCAT(COALESCE(v4, ''), '+'), j = '{\"k\": [1]}' WHERE id IN (1, 3, 5)",
            "UPDATE app.types SET g = POINT(1, 2), b64 = 7, e = 'c d', ts6 = '2001-02-03 04:05:06.789' WHERE id < 3",
        ])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    let keyless = BOTH.replace("app.types (id INT PRIMARY KEY", "app.bag (id INT");
    bench.on_source(&[&keyless]).await?;
    for row in &ROWS {
        let row = row.replace("app.types", "app.bag");
        bench.on_source(&[&row, &row]).await?;
    }
    bench.settle_same(&run, &["app"]).await?;
    bench
        .on_source(&[
            "UPDATE app.bag SET i8 = 9 WHERE id IN (0, 1, 2) LIMIT 4",
            "UPDATE app.bag SET i8 = 9 WHERE id = 3 LIMIT 1",
            "UPDATE app.bag SET s = 'z' WHERE id > 3 LIMIT 4",
            "DELETE FROM app.bag WHERE id = 1 LIMIT 1",
            "DELETE FROM app.bag WHERE id = 2 LIMIT 1",
            "DELETE FROM app.bag WHERE id = 3 LIMIT 1",
            "DELETE FROM app.bag WHERE id = 6 LIMIT 1",
        ])
        .await?;
    bench.settle_same(&run, &["app"]).await?;
    own_types(&bench).await?;
    bench.settle_same(&run, &["app"]).await?;
    run.drain().await
}

/// Types that only one family of servers has.
async fn own_types(bench: &Bench) -> Result<()> {
    if bench.source.kind() != bench.target.kind() {
        return Ok(());
    }
    match bench.source.kind() {
        ServerKind::MariaDb => {
            bench
                .on_source(&[
                    "CREATE TABLE app.own (id INT PRIMARY KEY, u UUID, i6 INET6, i4 INET4, z TEXT COMPRESSED, zv VARCHAR(500) COMPRESSED, \
                     INDEX (u))",
                    "INSERT INTO app.own VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.168.0.1', \
                     REPEAT('abc', 1000), 'short'), (2, '00000000-0000-0000-0000-000000000000', '::', '0.0.0.0', '', ''), \
                     (3, NULL, NULL, NULL, NULL, NULL)",
                    "UPDATE app.own SET z = REPEAT('y', 300), i4 = '1.2.3.0' WHERE id < 3",
                    "DELETE FROM app.own WHERE id = 3",
                ])
                .await
        }
        ServerKind::MySql => {
            bench
                .on_source(&[
                    "CREATE TABLE app.own (id INT PRIMARY KEY, v VECTOR(3), g GEOMETRY SRID 4326, j JSON, h VARCHAR(9) INVISIBLE)",
                    "INSERT INTO app.own (id, v, g, j, h) VALUES (1, TO_VECTOR('[1.5,-2,0.1]'), ST_GeomFromText('POINT(10 20)', 4326), \
                     JSON_OBJECT('d', CAST('2020-01-02 03:04:05.678' AS DATETIME(3)), 'n', CAST(1.10 AS DECIMAL(5,2)), 't', \
                     CAST('-10:00:00' AS TIME), 'f', 1.0), 'hid'), (2, NULL, NULL, NULL, NULL)",
                    "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
                    "UPDATE app.own SET j = JSON_SET(j, '$.f', 2.5) WHERE id = 1",
                    "UPDATE app.own SET j = JSON_REMOVE(j, '$.f'), v = TO_VECTOR('[0,0,1]') WHERE id = 1",
                    "SET SESSION binlog_row_value_options = ''",
                    "SET SESSION binlog_transaction_compression = ON",
                    "INSERT INTO app.own (id, h) VALUES (3, 'zipped'), (4, 'zipped')",
                    "DELETE FROM app.own WHERE id = 4",
                    "SET SESSION sql_generate_invisible_primary_key = ON",
                    "CREATE TABLE app.gipk (a INT)",
                    "INSERT INTO app.gipk VALUES (1), (1), (2)",
                    "DELETE FROM app.gipk WHERE a = 1 LIMIT 1",
                ])
                .await
        }
    }
}

on_pairs!(every_type_keeps_its_value:
    mariadb_to_mariadb_by_position = (MariaDb, MariaDb, false),
    mariadb_to_mysql = (MariaDb, MySql, true),
    mysql_to_mariadb = (MySql, MariaDb, true),
    mysql_to_mysql_by_position = (MySql, MySql, false),
);
