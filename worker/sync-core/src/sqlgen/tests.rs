use std::{collections::BTreeMap, sync::Arc};

use dm_binlog::Value;
use dm_model::TableName;
use expect_test::expect;
use proptest::prelude::*;

use super::{
    Mode,
    compact::{StepEdit, compact},
    group::{Shape, group},
    statements,
};
use crate::{
    change::{LiteralRow, RowChange},
    literal::Dialect,
    mapping::{
        Mapping, Spec,
        sample::{int, mapping, table, text},
    },
};

const TWO_KEYS: &str = "CREATE TABLE t (id INT PRIMARY KEY, u INT, v INT, UNIQUE (u))";
const ONE_KEY: &str = "CREATE TABLE t (id INT PRIMARY KEY, u INT, v INT)";

type Image = [i64; 3];

fn change(mapping: &Arc<Mapping>, before: Option<Image>, after: Option<Image>) -> RowChange {
    let row = |image: Image| image.map(int);
    let (before, after) = (before.map(row), after.map(row));
    mapping.change(before.as_ref().map(|row| &row[..]), after.as_ref().map(|row| &row[..])).expect("change")
}

/// As on a target that does not check foreign keys.
fn unchecked(sql: &str) -> Arc<Mapping> {
    Mapping::build(&Spec {
        source: &TableName::new("src", "t"),
        source_structure: &table(sql),
        target: &TableName::new("dst", "t"),
        target_structure: &table(sql),
        extracted: &[],
        dialect: Dialect::MySql,
        parent_keys: false,
    })
    .expect("mapping")
}

fn written(sql: &str, mode: Mode, changes: &[(Option<Image>, Option<Image>)]) -> String {
    let mapping = mapping(Dialect::MySql, sql);
    let changes: Vec<RowChange> = changes.iter().map(|(before, after)| change(&mapping, *before, *after)).collect();
    print(&changes, mode)
}

fn print(changes: &[RowChange], mode: Mode) -> String {
    let line = |statement: super::Statement| {
        let super::Affected { min, max } = statement.affected;
        format!("{}  -- {} rows, affects {min}..={max}\n", String::from_utf8_lossy(&statement.sql), statement.n_rows)
    };
    statements(&changes.iter().collect::<Vec<_>>(), mode).into_iter().map(line).collect()
}

#[test]
fn rows_of_one_kind_share_a_statement() {
    let changes = [
        (None, Some([1, 1, 1])),
        (Some([7, 7, 7]), None),
        (None, Some([2, 2, 2])),
        (Some([8, 8, 8]), None),
        (Some([5, 5, 5]), Some([5, 5, 6])),
        (Some([6, 6, 5]), Some([6, 6, 6])),
    ];
    expect![[r"
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (1,1,1),(2,2,2)  -- 2 rows, affects 2..=2
        DELETE FROM `dst`.`t` WHERE `id` IN (7,8)  -- 2 rows, affects 2..=2
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (5,5,6),(6,6,6) ON DUPLICATE KEY UPDATE `id`=VALUES(`id`),`u`=VALUES(`u`),`v`=VALUES(`v`)  -- 2 rows, affects 4..=4
    "]]
    .assert_eq(&written(ONE_KEY, Mode::NORMAL, &changes));
    expect![[r"
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (1,1,1),(2,2,2)  -- 2 rows, affects 2..=2
        DELETE FROM `dst`.`t` WHERE `id` IN (7,8)  -- 2 rows, affects 2..=2
        UPDATE `dst`.`t` SET `id`=5,`u`=5,`v`=6 WHERE `id`=5 LIMIT 1  -- 1 rows, affects 1..=1
        UPDATE `dst`.`t` SET `id`=6,`u`=6,`v`=6 WHERE `id`=6 LIMIT 1  -- 1 rows, affects 1..=1
    "]]
    .assert_eq(&written(TWO_KEYS, Mode::NORMAL, &changes));
}

#[test]
fn changes_of_one_row_are_compacted() {
    expect![[r"
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (3,1,9)  -- 3 rows, affects 1..=1
        DELETE FROM `dst`.`t` WHERE `id`=5 LIMIT 1  -- 2 rows, affects 1..=1
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (5,6,7)  -- 1 rows, affects 1..=1
    "]]
    .assert_eq(&written(
        TWO_KEYS,
        Mode::NORMAL,
        &[
            (None, Some([1, 1, 1])),
            (Some([5, 5, 5]), Some([5, 5, 6])),
            (Some([1, 1, 1]), Some([2, 1, 1])),
            (Some([2, 1, 1]), Some([3, 1, 9])),
            (Some([5, 5, 6]), None),
            (None, Some([5, 6, 7])),
        ],
    ));
}

#[test]
fn a_row_that_is_deleted_and_comes_back_is_upserted_with_the_updated_ones() {
    let mapping = unchecked(ONE_KEY);
    let changes = [
        change(&mapping, Some([1, 1, 1]), Some([1, 1, 2])),
        change(&mapping, Some([2, 2, 2]), None),
        change(&mapping, None, Some([2, 3, 4])),
    ];
    expect![[r"
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (1,1,2),(2,3,4) ON DUPLICATE KEY UPDATE `id`=VALUES(`id`),`u`=VALUES(`u`),`v`=VALUES(`v`)  -- 3 rows, affects 2..=4
    "]]
    .assert_eq(&print(&changes, Mode::NORMAL));
    expect![[r"
        INSERT INTO `dst`.`t` (`id`,`u`,`v`) VALUES (2,3,4) ON DUPLICATE KEY UPDATE `id`=VALUES(`id`),`u`=VALUES(`u`),`v`=VALUES(`v`)  -- 2 rows, affects 0..=2
    "]]
    .assert_eq(&print(&changes[1..], Mode::NORMAL));
    // a foreign key may act on the delete, another unique key may refuse the row
    for kept in [crate::mapping::sample::mapping(Dialect::MySql, ONE_KEY), unchecked(TWO_KEYS)] {
        let changes = [change(&kept, Some([2, 2, 2]), None), change(&kept, None, Some([2, 3, 4]))];
        assert_eq!(statements(&changes.iter().collect::<Vec<_>>(), Mode::NORMAL).len(), 2);
    }
}

#[test]
fn safe_mode_replaces_and_deletes_first_when_a_key_moves() {
    expect![[r"
        REPLACE INTO `dst`.`t` (`id`,`u`,`v`) VALUES (1,1,1)  -- 1 rows, affects 1..=18446744073709551615
        REPLACE INTO `dst`.`t` (`id`,`u`,`v`) VALUES (1,1,2)  -- 1 rows, affects 1..=18446744073709551615
        DELETE FROM `dst`.`t` WHERE `id`=1 LIMIT 1  -- 0 rows, affects 0..=1
        REPLACE INTO `dst`.`t` (`id`,`u`,`v`) VALUES (1,2,2)  -- 1 rows, affects 1..=18446744073709551615
        DELETE FROM `dst`.`t` WHERE `id`=1 LIMIT 1  -- 1 rows, affects 0..=1
    "]]
    .assert_eq(&written(
        TWO_KEYS,
        Mode::SAFE,
        &[
            (None, Some([1, 1, 1])),
            (Some([1, 1, 1]), Some([1, 1, 2])),
            (Some([1, 1, 2]), Some([1, 2, 2])),
            (Some([1, 2, 2]), None),
        ],
    ));
}

#[test]
fn keyless_rows_are_found_by_all_columns_and_by_their_bytes() {
    let mapping = mapping(
        Dialect::MySql,
        "CREATE TABLE t (a INT, s VARCHAR(9), j JSON, f FLOAT) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
    );
    let row = [Value::Null, text("A"), Value::OwnedJsonText("{}".into()), Value::Float(0.1)];
    let changes = [mapping.change(Some(&row), None).expect("change")];
    expect![[r"
        DELETE FROM `dst`.`t` WHERE `a` IS NULL AND `s`='A' AND CAST(CONVERT(`s` USING utf8mb4) AS BINARY)=CAST(CONVERT('A' USING utf8mb4) AS BINARY) AND `j`=CAST('{}' AS JSON) AND `f`=1.0000000149011612e-1 LIMIT 1  -- 1 rows, affects 1..=1
    "]]
    .assert_eq(&print(&changes, Mode::NORMAL));
}

#[test]
fn composite_keys_are_deleted_together() {
    expect![[r"
        DELETE FROM `dst`.`t` WHERE (`id`=1 AND `u`=2) OR (`id`=3 AND `u`=4)  -- 2 rows, affects 2..=2
    "]]
    .assert_eq(&written(
        "CREATE TABLE t (id INT, u INT, v INT, PRIMARY KEY (id, u))",
        Mode::NORMAL,
        &[(Some([1, 2, 3]), None), (Some([3, 4, 5]), None)],
    ));
}

#[test]
fn statements_are_bounded() {
    let mapping = mapping(Dialect::MySql, ONE_KEY);
    let changes: Vec<RowChange> =
        (0..super::MAX_ROWS as i64 + 1).map(|id| change(&mapping, None, Some([id, 0, 0]))).collect();
    let sizes: Vec<usize> = statements(&changes.iter().collect::<Vec<_>>(), Mode::NORMAL)
        .iter()
        .map(|statement| statement.n_rows)
        .collect();
    assert_eq!(sizes, [super::MAX_ROWS, 1]);
}

/// The model of a table with a primary key and a unique one, refusing what a server refuses.
#[derive(Debug, Clone, PartialEq, Default)]
struct Model {
    rows: BTreeMap<i64, Image>,
    unique: bool,
}

impl Model {
    fn insert(&mut self, row: Image) -> Result<(), String> {
        let taken = self.unique && self.rows.values().any(|other| other[1] == row[1]);
        if taken || self.rows.contains_key(&row[0]) {
            return Err(format!("duplicate {row:?} in {:?}", self.rows));
        }
        self.rows.insert(row[0], row);
        Ok(())
    }

    fn delete(&mut self, id: i64) -> Option<Image> {
        self.rows.remove(&id)
    }

    fn update(&mut self, id: i64, row: Image) -> Result<(), String> {
        self.delete(id).ok_or_else(|| format!("no row {id} to update"))?;
        self.insert(row)
    }
}

fn number(literal: &[u8]) -> i64 {
    String::from_utf8_lossy(literal).parse().expect("number")
}

fn image(row: &LiteralRow) -> Image {
    [0, 1, 2].map(|column| number(row.get(column)))
}

/// Executes groups as their statements would be.
fn execute(model: &mut Model, changes: &[&RowChange], mode: Mode) -> Result<(), String> {
    let steps = compact(changes, mode.compact);
    for group in group(&steps, mode) {
        for step in &group.steps {
            match (group.shape, step.edit) {
                (Shape::Insert | Shape::Single, StepEdit::Insert { after }) => model.insert(image(after))?,
                (Shape::Upsert, StepEdit::Update { after, .. } | StepEdit::Replace { after, .. }) => {
                    model.update(image(after)[0], image(after))?;
                }
                (Shape::Single, StepEdit::Update { before, after, .. }) => {
                    model.update(number(before.literals.get(0)), image(after))?;
                }
                (Shape::DeleteByKey | Shape::Single, StepEdit::Delete { before, existed }) => {
                    let gone = model.delete(number(before.literals.get(0)));
                    if gone.is_some() != existed {
                        return Err(format!("delete of {before:?}: expected {existed}"));
                    }
                }
                (shape, edit) => return Err(format!("{shape:?} of {edit:?}")),
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn folded_statements_equal_single_ones_in_their_order(
        unique: bool,
        start in proptest::collection::vec((0i64..5, 0i64..6), 0..4),
        draws in proptest::collection::vec((0u8..8, 0i64..5, 0i64..5, 0i64..6, 0i64..3), 1..25),
        compacted: bool,
        checked: bool,
        shards in 1usize..3,
    ) {
        let sql = if unique { TWO_KEYS } else { ONE_KEY };
        let mappings: Vec<_> = (0..shards).map(|_| if checked { mapping(Dialect::MySql, sql) } else { unchecked(sql) }).collect();
        let mut model = Model { unique, ..Model::default() };
        for (id, u) in start {
            let _taken = model.insert([id, u, 0]);
        }
        let mut folded = model.clone();
        let mut changes = Vec::new();
        for (index, (kind, id, to, u, v)) in draws.into_iter().enumerate() {
            let mapping = &mappings[index % mappings.len()];
            let before = model.rows.get(&id).copied();
            let mut next = model.clone();
            let (after, outcome) = match (kind, before) {
                (_, None) => (Some([id, u, v]), next.insert([id, u, v])),
                (0 | 1, Some(_)) => (None, next.delete(id).map(drop).ok_or_else(String::new)),
                (2 | 3, Some(_)) => (Some([to, u, v]), next.update(id, [to, u, v])),
                (4 | 5, Some(old)) => (Some([id, old[1], v]), next.update(id, [id, old[1], v])),
                (_, Some(_)) => (Some([id, u, v]), next.update(id, [id, u, v])),
            };
            if outcome.is_ok() && before != after {
                model = next;
                changes.push(change(mapping, before, after));
            }
        }
        let mode = Mode { compact: compacted, ..Mode::NORMAL };
        let outcome = execute(&mut folded, &changes.iter().collect::<Vec<_>>(), mode);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(folded, model);
    }
}
