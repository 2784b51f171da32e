use std::collections::BTreeSet;

use dm_binlog::Value;
use dm_model::TableName;
use expect_test::expect;
use proptest::prelude::*;

use super::{
    Chunk, ChunkKey, Estimate, Order,
    bound::Bound,
    copy::Copy,
    probe::Probes,
    select,
    skip::{Applies, SkipTest},
    split_integers,
};
use crate::{
    literal::Dialect,
    mapping::{
        Spec,
        sample::{int, show, table},
    },
};

const BY_ID: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT)";

fn text(sql: Vec<u8>) -> String {
    String::from_utf8(sql).expect("text")
}

fn integer(bound: &Bound) -> i128 {
    String::from_utf8_lossy(bound.literals.get(0)).parse().expect("integer")
}

fn holds(chunk: &Chunk, key: i128) -> bool {
    chunk.lower.as_ref().is_none_or(|lower| integer(lower) < key)
        && chunk.upper.as_ref().is_none_or(|upper| key <= integer(upper))
}

fn copy(sql: &str) -> Copy {
    let structure = table(sql);
    let name = TableName::new("src", "t");
    Copy::build(&Spec {
        source: &name,
        source_structure: &structure,
        target: &name,
        target_structure: &structure,
        extracted: &[],
        dialect: Dialect::MySql,
        parent_keys: false,
    })
    .expect("copy")
}

#[test]
fn the_key_is_the_first_unique_one_without_null() {
    let key = |sql| ChunkKey::of(&table(sql)).map(|key| (key.columns, key.order));
    assert_eq!(key(BY_ID), Some((vec![0], Order::Integer)));
    assert_eq!(key("CREATE TABLE t (a INT, UNIQUE (a))"), None);
    assert_eq!(key("CREATE TABLE t (a INT, b DATE, PRIMARY KEY (b, a))"), Some((vec![1, 0], Order::Known)));
    assert_eq!(key("CREATE TABLE t (a VARCHAR(9) PRIMARY KEY)"), Some((vec![0], Order::Server)));
    assert_eq!(key("CREATE TABLE t (a TEXT NOT NULL, UNIQUE (a(5)))"), None);
}

#[test]
fn texts_of_questions_and_chunks() {
    let copy_by_id = copy(BY_ID);
    let chunk = Chunk { lower: Some(Bound::of_integer(5)), upper: Some(Bound::of_integer(9)) };
    expect!["SELECT `id`,`v`,`id` FROM `src`.`t` WHERE `id`>5 AND `id`<=9 AND (v > 1 OR v IS NULL) ORDER BY `id`"]
        .assert_eq(&text(copy_by_id.select(&chunk, Some("v > 1 OR v IS NULL"), true)));
    expect!["SELECT `id`,`v`,`id` FROM `src`.`t`"].assert_eq(&text(copy_by_id.select(&Chunk::ALL, None, false)));
    let structure = table("CREATE TABLE t (a INT, b DATE, PRIMARY KEY (b, a))");
    let key = ChunkKey::of(&structure).expect("key");
    let name = TableName::new("src", "t");
    let mut probes = Probes::new(&name, &structure, &key, None, 100);
    expect!["SELECT `b`,`a` FROM `src`.`t` ORDER BY `b`,`a` LIMIT 1 OFFSET 99"]
        .assert_eq(&text(probes.question().expect("question")));
    probes.answer(Some(&[Some(b"2024-01-02"), Some(b"7")])).expect("answer");
    expect!["SELECT `b`,`a` FROM `src`.`t` WHERE (`b`>='2024-01-02' AND (`b`>'2024-01-02' OR (`b`='2024-01-02' AND `a`>7))) ORDER BY `b`,`a` LIMIT 1 OFFSET 99"]
        .assert_eq(&text(probes.question().expect("question")));
    probes.answer(None).expect("answer");
    expect!["SELECT `b`,`a` FROM `src`.`t` ORDER BY `b` DESC,`a` DESC LIMIT 1"]
        .assert_eq(&text(probes.question().expect("question")));
    probes.answer(Some(&[Some(b"2024-05-01"), Some(b"1")])).expect("answer");
    assert_eq!(probes.question(), None);
    assert_eq!(probes.finish().len(), 3);
    let structure = table(BY_ID);
    let key = ChunkKey::of(&structure).expect("key");
    expect!["SELECT MIN(`id`),MAX(`id`) FROM `src`.`t` WHERE (v)"].assert_eq(&text(select::min_max(
        &name,
        &structure,
        &key,
        Some("v"),
    )));
}

#[test]
fn members_are_asked_for_and_compared_by_number() {
    let structure = table("CREATE TABLE t (e ENUM('b','a') PRIMARY KEY)");
    let key = ChunkKey::of(&structure).expect("key");
    let name = TableName::new("src", "t");
    let mut probes = Probes::new(&name, &structure, &key, None, 1);
    probes.answer(Some(&[Some(b"1")])).expect("answer");
    expect!["SELECT `e`+0 FROM `src`.`t` WHERE `e`>1 ORDER BY `e` LIMIT 1 OFFSET 0"]
        .assert_eq(&text(probes.question().expect("question")));
}

#[test]
fn rows_of_the_text_protocol_become_literals() {
    let copy = copy(
        "CREATE TABLE t (a INT NOT NULL PRIMARY KEY, f FLOAT, d DECIMAL(5,2), b BIT(9), y YEAR, s VARCHAR(9), bin BINARY(3), \
         e ENUM('x','y'), ss SET('p','q'), j JSON, ts TIMESTAMP(3) NULL, n INT) DEFAULT CHARSET=utf8mb4",
    );
    expect!["SELECT `a`,`f`+0e0,`d`,`b`,`y`,`s`,`bin`,`e`+0,`ss`+0,`j`,`ts`,`n`,`a` FROM `src`.`t`"]
        .assert_eq(&text(copy.select(&Chunk::ALL, None, false)));
    let row: [Option<&[u8]>; 13] = [
        Some(b"-1"),
        Some(b"0.10000000149011612"),
        Some(b"1.50"),
        Some(&[1, 255]),
        Some(b"0000"),
        Some(b"a'b"),
        Some(b"a\0\0"),
        Some(b"2"),
        Some(b"3"),
        Some(b"{}"),
        Some(b"2024-01-01 00:00:00.500"),
        None,
        Some(b"-1"),
    ];
    expect![[r"-1 | 0.10000000149011612 | 1.50 | 511 | 0000 | 'a\'b' | x'610000' | 2 | 3 | '{}' | '2024-01-01 00:00:00.500' | NULL"]]
        .assert_eq(&show(&copy.row(&row).expect("row")));
    assert_eq!(copy.key_of(&row).expect("key"), Some(Bound::of_integer(-1)));
    assert!(copy.row(&row[1..]).is_err());
    let mut injected = row;
    injected[0] = Some(b"1);DROP");
    assert!(copy.row(&injected).is_err());
}

#[test]
fn stored_bounds_come_back_and_corrupt_ones_are_refused() {
    let copy = copy("CREATE TABLE t (a VARBINARY(9), b DATE, PRIMARY KEY (a, b))");
    let bound = copy.key_of(&[Some(b"\0'"), Some(b"2024-01-01"), Some(b"\0'"), Some(b"2024-01-01")]);
    let bound = bound.expect("row").expect("key");
    let bytes = bound.encode();
    assert_eq!(Bound::decode(&bytes).expect("bound"), bound);
    for length in 0..bytes.len() {
        // A cut between two literals is a shorter bound, which the reader of the table checks; all others are refused.
        if let Ok(cut) = Bound::decode(&bytes[..length]) {
            assert_eq!(cut.literals.len(), 1);
        }
    }
}

#[test]
fn collated_or_coupled_tables_fall_back_to_safe_mode() {
    let two = |upper| vec![(Some(upper), 5), (None, 9)];
    for (sql, coupled) in [
        ("CREATE TABLE t (a VARCHAR(9) PRIMARY KEY, v INT)", false),
        ("CREATE TABLE t (a INT PRIMARY KEY, v INT, UNIQUE (v))", false),
        (BY_ID, true),
    ] {
        let test = SkipTest::new(&table(sql), coupled, two(Bound::of_integer(1))).expect("chunks");
        let at = |position: i32| test.applies(|read| position > *read, None, Some(&[int(1), int(1)])).expect("row");
        assert_eq!(at(5), Applies { old: false, new: false, safe: false });
        assert_eq!(at(6), Applies { old: false, new: true, safe: true });
        assert_eq!(at(10), Applies { old: false, new: true, safe: false });
    }
    assert!(matches!(SkipTest::new(&table(BY_ID), true, vec![(None, 7)]), Some(SkipTest::Single(7))));
}

#[test]
fn unsigned_and_byte_keys_have_their_own_order() {
    let test = |sql, upper| SkipTest::new(&table(sql), false, vec![(Some(upper), 5), (None, 9)]).expect("chunks");
    let is_new =
        |test: &SkipTest<i32>, key: Value<'_>| test.applies(|read| 7 > *read, None, Some(&[key])).expect("row").new;
    let big = test("CREATE TABLE t (a BIGINT UNSIGNED PRIMARY KEY)", Bound::of_integer(i128::from(u64::MAX) - 1));
    assert!(is_new(&big, int(-2)));
    assert!(!is_new(&big, int(-1)));
    let copy = copy("CREATE TABLE t (a VARBINARY(9) PRIMARY KEY)");
    let bound = copy.key_of(&[Some(b"ab"), Some(b"ab")]).expect("row").expect("key");
    let bytes = test("CREATE TABLE t (a VARBINARY(9) PRIMARY KEY)", bound);
    assert!(is_new(&bytes, Value::Bytes(b"a")));
    assert!(is_new(&bytes, Value::Bytes(b"")));
    assert!(!is_new(&bytes, Value::Bytes(b"aba")));
    assert!(!is_new(&bytes, Value::Bytes(b"b")));
}

proptest! {
    #[test]
    fn integer_chunks_hold_every_key_exactly_once(
        min in -1000i128..1000, width in 0i128..2000, n_rows in 0u64..5000, n_bytes in 0u64..1 << 30, probe in -3000i128..4000,
    ) {
        let max = min + width;
        let chunks = split_integers(Some((min, max)), Estimate { n_rows, n_bytes }, 1 << 20);
        prop_assert_eq!(chunks.iter().filter(|chunk| holds(chunk, probe)).count(), 1);
        // What exists is in closed chunks.
        for key in [min, max] {
            prop_assert!(chunks.iter().any(|chunk| holds(chunk, key) && chunk.upper.is_some()));
        }
    }

    #[test]
    fn extreme_integers_are_split(n_rows in 1u64.., n_bytes: u64) {
        let (min, max) = (i128::from(i64::MIN), i128::from(u64::MAX));
        let chunks = split_integers(Some((min, max)), Estimate { n_rows, n_bytes }, 1);
        prop_assert_eq!(chunks.last().and_then(|chunk| chunk.lower.as_ref()).map(integer), Some(max));
    }

    #[test]
    fn probed_chunks_hold_every_key_exactly_once(keys in proptest::collection::btree_set(-50i64..50, 0..40), n in 1u64..9) {
        let structure = table(BY_ID);
        let key = ChunkKey::of(&structure).expect("key");
        let name = TableName::new("src", "t");
        let mut probes = Probes::new(&name, &structure, &key, None, n);
        let mut after: Option<i64> = None;
        while let Some(question) = probes.question() {
            // The model of the server: it answers what the text asks for.
            let answer = if text(question).contains("DESC") {
                keys.last().copied()
            } else {
                keys.iter().filter(|key| after.is_none_or(|after| **key > after)).nth(n as usize - 1).copied()
            };
            after = answer.or(after);
            let answer = answer.map(|key| key.to_string());
            probes.answer(answer.as_ref().map(|key| [Some(key.as_bytes())]).as_ref().map(|row| &row[..])).expect("answer");
        }
        let chunks = probes.finish();
        for key in -60..60 {
            prop_assert_eq!(chunks.iter().filter(|chunk| holds(chunk, key)).count(), 1);
        }
        for chunk in &chunks {
            let n_held = keys.iter().filter(|key| holds(chunk, i128::from(**key))).count();
            prop_assert!(n_held <= n as usize);
            prop_assert!(chunk.upper.is_some() || n_held == 0);
        }
    }

    #[test]
    fn a_split_chunk_holds_the_same_keys(lower in 0i128..10, last in 0i128..10, upper in 0i128..10, key in -5i128..15) {
        let (lower, last, upper) = (lower, lower + last, lower + last + upper);
        let whole = Chunk { lower: Some(Bound::of_integer(lower)), upper: Some(Bound::of_integer(upper)) };
        let (done, left) = whole.split_at(&Bound::of_integer(last));
        prop_assert_eq!(usize::from(holds(&done, key)) + usize::from(holds(&left, key)), usize::from(holds(&whole, key)));
    }

    /// The model: each chunk is read at its own position, then the changes are replayed through the test; the
    /// result is the source.
    #[test]
    fn snapshot_and_skipped_changes_equal_the_source(
        draws in proptest::collection::vec((0i64..12, 0i64..12, 0u8..3), 1..40),
        bounds in proptest::collection::btree_set(0i64..12, 0..4),
        positions in proptest::collection::vec(0usize..40, 5),
    ) {
        let mut states = vec![BTreeSet::new()];
        let mut changes = Vec::new();
        for (from, to, kind) in draws {
            let mut rows: BTreeSet<i64> = states.last().cloned().unwrap_or_default();
            let change = match (rows.contains(&from), rows.contains(&to), kind) {
                (false, _, _) => (None, Some(from)),
                (true, false, 0 | 1) => (Some(from), Some(to)),
                (true, _, _) => (Some(from), None),
            };
            change.0.map(|key| rows.remove(&key));
            change.1.map(|key| rows.insert(key));
            states.push(rows);
            changes.push(change);
        }
        let chunks = super::from_bounds(bounds.iter().map(|bound| Bound::of_integer(i128::from(*bound))).collect());
        let read: Vec<usize> = chunks.iter().zip(&positions).map(|(_, position)| *position.min(&changes.len())).collect();
        let mut target: BTreeSet<i64> = BTreeSet::new();
        for (chunk, position) in chunks.iter().zip(&read) {
            target.extend(states[*position].iter().filter(|key| holds(chunk, i128::from(**key))));
        }
        let map = chunks.iter().zip(&read).map(|(chunk, position)| (chunk.upper.clone(), *position)).collect();
        let test = SkipTest::new(&table(BY_ID), false, map).expect("chunks");
        for (index, (before, after)) in changes.iter().enumerate() {
            let row = |key: &Option<i64>| key.map(|key| [int(key), int(0)]);
            let (old, new) = (row(before), row(after));
            // The n-th change leads to state n + 1.
            let applies = test
                .applies(|read| index + 1 > *read, old.as_ref().map(|row| &row[..]), new.as_ref().map(|row| &row[..]))
                .expect("row");
            if let Some(key) = before.filter(|_| applies.old) {
                prop_assert!(target.remove(&key));
            }
            if let Some(key) = after.filter(|_| applies.new) {
                prop_assert!(target.insert(key));
            }
        }
        prop_assert_eq!(Some(&target), states.last());
    }
}
