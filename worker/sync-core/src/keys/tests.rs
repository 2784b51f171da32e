use dm_binlog::{Value, value::DecimalText};

use crate::{
    literal::Dialect,
    mapping::sample::{int, mapping, text, try_mapping},
};

fn keys(sql: &str, row: &[Value<'_>]) -> Vec<u64> {
    mapping(Dialect::MySql, sql).change(None, Some(row)).expect("change").keys().to_vec()
}

fn decimal(text: &str) -> Value<'static> {
    let mut decimal = DecimalText::new();
    assert!(decimal.push(text.as_bytes()));
    Value::Decimal(decimal)
}

#[test]
fn a_prefix_key_only_sees_its_prefix() {
    let sql = "CREATE TABLE t (k VARCHAR(20) NOT NULL, UNIQUE (k(2))) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
    assert_eq!(keys(sql, &[text("äbc")]), keys(sql, &[text("äbd")]));
    assert_ne!(keys(sql, &[text("äbc")]), keys(sql, &[text("äcc")]));
    let sql = "CREATE TABLE t (k VARBINARY(20) NOT NULL, UNIQUE (k(2)))";
    assert_eq!(keys(sql, &[text("abc")]), keys(sql, &[text("abd")]));
}

#[test]
fn uncertain_parts_are_left_out_of_the_key() {
    let sql = "CREATE TABLE t (a INT NOT NULL, k VARCHAR(20) COLLATE utf8mb4_da_0900_ai_ci NOT NULL, UNIQUE (a, k))";
    assert_eq!(keys(sql, &[int(1), text("aa")]), keys(sql, &[int(1), text("å")]));
    assert_ne!(keys(sql, &[int(1), text("aa")]), keys(sql, &[int(2), text("aa")]));
}

#[test]
fn parts_do_not_run_together() {
    let sql = "CREATE TABLE t (a VARBINARY(9) NOT NULL, b VARBINARY(9) NOT NULL, UNIQUE (a, b))";
    assert_ne!(keys(sql, &[text("ab"), text("c")]), keys(sql, &[text("a"), text("bc")]));
}

#[test]
fn numbers_are_equal_across_scales_and_spellings() {
    let target = "CREATE TABLE t (a DECIMAL(9,3) NOT NULL PRIMARY KEY)";
    let hash = |source: &str, value: Value<'_>| {
        let mapping = try_mapping(Dialect::MySql, source, target, &[]).expect("mapping");
        mapping.change(None, Some(&[value])).expect("change").keys().to_vec()
    };
    let two = hash("CREATE TABLE t (a DECIMAL(9,2) NOT NULL PRIMARY KEY)", decimal("5.50"));
    assert_eq!(two, hash(target, decimal("5.500")));
    let whole = hash("CREATE TABLE t (a BIGINT NOT NULL PRIMARY KEY)", int(5));
    assert_eq!(whole, hash(target, decimal("5.000")));
    assert_eq!(hash(target, decimal("-0.000")), hash(target, decimal("0.000")));
}

#[test]
fn a_functional_key_orders_the_table() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, a INT, UNIQUE KEY f ((a + 1)))";
    let (one, two) = (keys(sql, &[int(1), int(1)]), keys(sql, &[int(2), int(2)]));
    assert!(one.iter().any(|key| two.contains(key)));
}

#[test]
fn a_charset_that_cannot_be_read_is_uncertain() {
    let sql = "CREATE TABLE t (k VARCHAR(9) CHARACTER SET cp850 COLLATE cp850_bin NOT NULL PRIMARY KEY)";
    assert_eq!(keys(sql, &[Value::Bytes(b"\x82")]), keys(sql, &[text("e")]));
}
