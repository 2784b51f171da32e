use dm_binlog::Value;
use dm_model::error::Coded;
use expect_test::expect;

use super::sample::{int, mapping, show, table, text, try_mapping};
use super::{Error, Mapping};
use crate::{
    change::{Edit, Identity},
    literal::Dialect,
};

fn before_of(mapping: &std::sync::Arc<Mapping>, row: &[Value<'_>]) -> (Identity, String) {
    match mapping.change(Some(row), None).expect("change").edit() {
        Edit::Delete { before } => (before.identity, show(&before.literals)),
        Edit::Insert { .. } | Edit::Update { .. } => panic!("a delete was asked for"),
    }
}

#[test]
fn columns_are_paired_by_name_and_generated_ones_left_out() {
    let mapping = try_mapping(
        Dialect::MySql,
        "CREATE TABLE t (id INT PRIMARY KEY, b INT, g INT GENERATED ALWAYS AS (b+1))",
        "CREATE TABLE t (extra INT DEFAULT 1, B INT, ID INT PRIMARY KEY, g INT GENERATED ALWAYS AS (b+1), shard VARCHAR(9))",
        &[("shard".into(), "s'1".into())],
    )
    .expect("mapping");
    assert_eq!(mapping.columns().collect::<Vec<_>>(), ["`ID`", "`B`", "`shard`"]);
    let change = mapping.change(None, Some(&[int(1), int(2), int(3)])).expect("change");
    let Edit::Insert { after } = change.edit() else { panic!("an insert was asked for") };
    expect![[r"1 | 2 | 's\'1'"]].assert_eq(&show(after));
}

#[test]
fn a_missing_target_column_is_refused_with_a_way_out() {
    let error = try_mapping(Dialect::MySql, "CREATE TABLE t (a INT, b INT)", "CREATE TABLE t (a INT)", &[])
        .expect_err("column b is missing");
    assert_eq!(error.to_string(), "column `b` of `src`.`t` does not exist in `dst`.`t`");
    assert_eq!(error.code().number, 36027);
    assert!(error.code().workaround.contains("binlog-schema update"));
}

#[test]
fn a_row_of_another_width_is_refused() {
    let error = mapping(Dialect::MySql, "CREATE TABLE t (a INT, b INT)").change(None, Some(&[int(1)]));
    assert!(matches!(error, Err(Error::ColumnCount { n_values: 1, n_columns: 2, .. })));
}

#[test]
fn identity_is_primary_then_not_null_then_valued_unique_then_all() {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, a INT, UNIQUE (a))";
    assert_eq!(before_of(&mapping(Dialect::MySql, sql), &[int(7), int(8)]), (Identity::Key(0), "7".into()));
    let sql = "CREATE TABLE t (a INT, b INT NOT NULL, UNIQUE (a), UNIQUE (b))";
    assert_eq!(before_of(&mapping(Dialect::MySql, sql), &[int(7), int(8)]), (Identity::Key(0), "8".into()));
    let sql = "CREATE TABLE t (a INT, b INT, UNIQUE (a), UNIQUE (b))";
    let loose = mapping(Dialect::MySql, sql);
    assert_eq!(before_of(&loose, &[Value::Null, int(8)]), (Identity::Key(1), "8".into()));
    assert_eq!(before_of(&loose, &[Value::Null, Value::Null]), (Identity::AllColumns, "NULL | NULL".into()));
}

#[test]
fn rows_conflict_by_any_key_of_either_image_and_never_by_null() {
    let mapping = mapping(Dialect::MySql, "CREATE TABLE t (id INT PRIMARY KEY, u INT, UNIQUE (u))");
    let insert = |id, u| mapping.change(None, Some(&[int(id), u])).expect("change");
    let shared =
        |a: &crate::change::RowChange, b: &crate::change::RowChange| a.keys().iter().any(|k| b.keys().contains(k));
    assert!(shared(&insert(1, int(5)), &insert(2, int(5))));
    assert!(!shared(&insert(1, Value::Null), &insert(2, Value::Null)));
    let update = mapping.change(Some(&[int(1), int(5)]), Some(&[int(2), int(6)])).expect("change");
    for other in [insert(1, Value::Null), insert(2, Value::Null), insert(9, int(5)), insert(9, int(6))] {
        assert!(shared(&update, &other));
    }
    assert!(!shared(&update, &insert(3, int(7))));
}

#[test]
fn keyless_rows_are_ordered_by_their_table() {
    let mapping = mapping(Dialect::MySql, "CREATE TABLE t (a INT)");
    let keys = |value| mapping.change(None, Some(&[value])).expect("change").keys().to_vec();
    assert_eq!(keys(int(1)), keys(int(2)));
    assert_eq!(keys(int(1)).len(), 1);
}

#[test]
fn a_child_shares_its_parents_key() {
    let parent = super::Mapping::build(&super::Spec {
        source: &dm_model::TableName::new("src", "p"),
        source_structure: &table("CREATE TABLE p (id INT PRIMARY KEY)"),
        target: &dm_model::TableName::new("dst", "p"),
        target_structure: &table("CREATE TABLE p (id INT PRIMARY KEY)"),
        extracted: &[],
        dialect: Dialect::MySql,
        parent_keys: true,
    })
    .expect("mapping");
    let child = mapping(
        Dialect::MySql,
        "CREATE TABLE t (id INT PRIMARY KEY, p INT, CONSTRAINT f FOREIGN KEY (p) REFERENCES p (id))",
    );
    let parent = parent.change(None, Some(&[int(5)])).expect("change");
    let child = |p: i64| child.change(None, Some(&[int(1), int(p)])).expect("change");
    assert!(child(5).keys().contains(&parent.keys()[0]));
    assert!(!child(6).keys().contains(&parent.keys()[0]));
}

#[test]
fn collated_keys_are_hashed_as_the_target_compares() {
    let mapping = mapping(
        Dialect::MySql,
        "CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_0900_ai_ci NOT NULL, PRIMARY KEY (k)) DEFAULT CHARSET=utf8mb4",
    );
    let key = |value| mapping.change(None, Some(&[text(value)])).expect("change").keys().to_vec();
    assert_eq!(key("Café "), key("cafe"));
    assert_ne!(key("cafe"), key("cave"));
}

#[test]
fn a_change_of_case_moves_a_key() {
    let mapping = mapping(Dialect::MySql, "CREATE TABLE t (k VARCHAR(20) NOT NULL PRIMARY KEY, v INT) CHARSET=utf8mb4");
    let moves = |from, to| {
        let change = mapping.change(Some(&[text(from), int(1)]), Some(&[text(to), int(2)])).expect("change");
        matches!(change.edit(), Edit::Update { moves_key: true, .. })
    };
    assert!(moves("a", "A"));
    assert!(!moves("a", "a"));
}
