//! The demo's data on real servers: what the writers leave behind compares equal with an exact copy, and every kind of difference
//! is found. The copy is made by plain statements, so neither masters nor workers take part.

use std::time::Duration;

use dm_jepsen::demo::{
    place::Place,
    shop::{self, SHARD_STRIDE, SHOPS},
    writer::Writer,
};
use mysql_async::{Conn, Row, Value, prelude::Queryable};

const N_SHARD_ROWS: u64 = 300;

async fn copy_table(source: &mut Conn, from: &str, target: &mut Conn, to: &str) {
    let create: Option<(String, String)> = source.query_first(format!("SHOW CREATE TABLE {from}")).await.unwrap();
    let (_, create) = create.unwrap();
    let (_, columns) = create.split_once('(').unwrap();
    target.query_drop(format!("CREATE TABLE IF NOT EXISTS {to} ({columns}")).await.unwrap();
    let rows: Vec<Row> = source.query(format!("SELECT * FROM {from}")).await.unwrap();
    for rows in rows.chunks(200) {
        let literal = |row: &Row| {
            let values: Vec<String> = (0..row.len()).map(|column| value_literal(row.as_ref(column).unwrap())).collect();
            format!("({})", values.join(","))
        };
        let rows: Vec<String> = rows.iter().map(literal).collect();
        target.query_drop(format!("INSERT INTO {to} VALUES {}", rows.join(","))).await.unwrap();
    }
}

fn value_literal(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        // Text and not a hexadecimal literal, which would be a number in a column of numbers.
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
            Err(_) => format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        },
        other => panic!("the text protocol gave {other:?}"),
    }
}

#[tokio::test]
async fn an_exact_copy_is_equal_and_every_difference_is_found() {
    let place = Place::start().await.unwrap();
    let n_rows = place.fill(N_SHARD_ROWS).await.unwrap();
    let mut writers = Vec::new();
    for (shop, seed) in SHOPS.iter().zip(1..) {
        let opts = place.source(shop).unwrap().root_opts();
        writers.push(Writer::start(opts, shop, N_SHARD_ROWS, 2000, seed).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for writer in writers {
        let counts = writer.stop().await.unwrap();
        assert!(counts.n_rows > 0 && counts.n_transactions > 0, "{counts}");
    }
    let ends = shop::write_markers(&place).await.unwrap();
    assert_eq!(ends.len(), SHOPS.len());

    let mut target = shop::connect(place.target().root_opts()).await.unwrap();
    target.query_drop("CREATE DATABASE shop CHARACTER SET utf8mb4").await.unwrap();
    for shop in &SHOPS {
        let mut source = shop::connect(place.source(shop).unwrap().root_opts()).await.unwrap();
        for shard in shop.shards {
            copy_table(&mut source, &shop.orders(shard), &mut target, "shop.orders").await;
        }
        if shop.has_events {
            copy_table(&mut source, &format!("{}.events", shop.schema), &mut target, "shop.events").await;
        }
    }
    shop::wait_markers(&place, Duration::from_secs(1)).await.unwrap();
    let found = shop::compare(&place).await.unwrap();
    assert!(found.is_equal(), "{found:#?}");
    assert_eq!(found.n_sources, found.n_target);
    assert!(found.n_sources > n_rows / 2, "{found:?}");

    let some_id = |shard: u64| shard * SHARD_STRIDE + 9_999_999;
    for sql in [
        format!("DELETE FROM shop.orders WHERE id = {}", some_id(1)),
        format!("UPDATE shop.orders SET placed_at = placed_at + INTERVAL 1 MICROSECOND WHERE id = {}", some_id(5)),
        format!("UPDATE shop.orders SET token = x'00' WHERE id = {}", some_id(8)),
        "INSERT INTO shop.orders SELECT 7, customer, note, amount, state, placed_at, changed_at, attributes, weight, token FROM \
         shop.orders LIMIT 1"
            .to_owned(),
        "INSERT INTO shop.events SELECT * FROM shop.events WHERE kind = -1".to_owned(),
        "DELETE FROM shop.events WHERE kind = 3 LIMIT 2".to_owned(),
    ] {
        target.query_drop(sql).await.unwrap();
    }
    let found = shop::compare(&place).await.unwrap();
    assert_eq!((found.n_missing, found.n_different, found.n_doubled), (3, 2, 2), "{found:#?}");
    assert_eq!(found.n_lost(), 5);
    target.disconnect().await.unwrap();
}
