//! Block-allow-lists, event filters, routes and merged shards.

use anyhow::{Result, ensure};

use crate::{bench::Bench, on_pairs};

async fn rows_go_where_the_rules_say(mut bench: Bench) -> Result<()> {
    bench.instance = "block-allow-list: ba, route-rules: [orders, users, keep], filter-rules: [f]".to_owned();
    bench.sections = r#"
block-allow-list:
  ba: {do-dbs: ["~^shop_[0-9]+$", "plain"], ignore-tables: [{db-name: "shop_*", tbl-name: "tmp_*"}]}
routes:
  orders: {schema-pattern: "shop_*", table-pattern: "orders_*", target-schema: shop, target-table: orders, extract-table: {table-regexp: "orders_(.*)", target-column: c_table}, extract-schema: {schema-regexp: "shop_(.*)", target-column: c_schema}, extract-source: {source-regexp: "(.*)", target-column: c_source}}
  users: {schema-pattern: "~^shop_[0-9]+$", table-pattern: "~^users_?[0-9]*$", target-schema: shop, target-table: users}
  keep: {schema-pattern: "plain", target-schema: kept}
filters:
  f: {schema-pattern: "plain", table-pattern: "*", events: ["truncate table", "drop table", "delete"], action: Ignore}
"#
    .to_owned();
    bench
        .on_source(&[
            "CREATE DATABASE shop_01",
            "CREATE DATABASE shop_02",
            "CREATE DATABASE other",
            "CREATE DATABASE plain",
            "CREATE TABLE shop_01.orders_1 (id INT, v VARCHAR(10), PRIMARY KEY (id))",
            "CREATE TABLE shop_01.orders_2 LIKE shop_01.orders_1",
            "CREATE TABLE shop_02.orders_1 LIKE shop_01.orders_1",
            "CREATE TABLE shop_01.users (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE shop_02.users_7 LIKE shop_01.users",
            "CREATE TABLE shop_01.tmp_x (a INT)",
            "CREATE TABLE other.t (a INT)",
            "CREATE TABLE plain.t (a INT PRIMARY KEY)",
        ])
        .await?;
    bench
        .on_target(&[
            "CREATE DATABASE shop",
            "CREATE DATABASE kept",
            "CREATE TABLE shop.orders (id INT, v VARCHAR(10), c_table VARCHAR(9), c_schema VARCHAR(9), c_source VARCHAR(9), \
             PRIMARY KEY (id, c_table, c_schema, c_source))",
            "CREATE TABLE shop.users (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE kept.t (a INT PRIMARY KEY)",
        ])
        .await?;
    let run = bench.begin().await?;
    bench
        .on_source(&[
            "INSERT INTO shop_01.orders_1 VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO shop_01.orders_2 VALUES (1, 'c'), (2, 'd')",
            "INSERT INTO shop_02.orders_1 VALUES (1, 'e')",
            "UPDATE shop_01.orders_2 SET id = 9 WHERE id = 1",
            "DELETE FROM shop_01.orders_1 WHERE id = 1",
            "INSERT INTO shop_01.users VALUES (1, 1)",
            "INSERT INTO shop_02.users_7 VALUES (2, 2), (3, 3)",
            "DELETE FROM shop_02.users_7 WHERE id = 3",
            "INSERT INTO shop_01.tmp_x VALUES (1)",
            "INSERT INTO other.t VALUES (1)",
            "DROP TABLE other.t",
            "INSERT INTO plain.t VALUES (1), (2), (3)",
            "DELETE FROM plain.t WHERE a = 1",
            "TRUNCATE TABLE plain.t",
            "CREATE TABLE plain.u (a INT PRIMARY KEY)",
            "INSERT INTO plain.u VALUES (1)",
            "DROP TABLE plain.u",
        ])
        .await?;
    bench.settle(&run).await?;
    let orders = "SELECT COUNT(*) FROM shop.orders WHERE (c_source, c_schema, c_table, id, v) IN (('one','01','1',2,'b'), \
                  ('one','01','2',9,'c'), ('one','01','2',2,'d'), ('one','02','1',1,'e'))";
    ensure!(bench.number_on_target(orders).await? == 4);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM shop.orders").await? == 4);
    ensure!(bench.number_on_target("SELECT SUM(id) FROM shop.users").await? == 3);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM kept.t").await? == 3);
    ensure!(bench.number_on_target("SELECT COUNT(*) FROM kept.u").await? == 1);
    let schemas = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name IN ('other', 'plain', 'shop_01')";
    ensure!(bench.number_on_target(schemas).await? == 0);

    // several tables feed `shop.users`: a change of its structure waits for a person
    bench.on_source(&["ALTER TABLE shop_01.users ADD COLUMN n INT"]).await?;
    let failure = run.failure().await?;
    ensure!(failure.ddl_at.is_some(), "{failure:#?}");
    Ok(())
}

on_pairs!(rows_go_where_the_rules_say:
    mariadb_to_mariadb = (MariaDb, MariaDb, true),
    mysql_to_mysql = (MySql, MySql, true),
    mysql_to_mariadb_by_position = (MySql, MariaDb, false),
);
