use std::collections::BTreeSet;

use dm_binlog::Value;
use dm_model::TableName;
use expect_test::expect;
use proptest::prelude::*;

use super::{
    Chunk, ChunkKey, Order,
    bound::Bound,
    copy::{Copy, Verb},
    probe::Probes,
    select,
    skip::{Applies, SkipTest},
};
use crate::{
    literal::Dialect,
    mapping::{
        Spec,
        sample::{int, table},
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
fn keys_whose_values_move_between_rows_couple_chunks() {
    let is_coupled = |source, target| super::is_coupled(&table(source), &table(target));
    const BY_ID_AND_V: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT, UNIQUE (v))";
    assert!(!is_coupled(BY_ID, BY_ID));
    assert!(is_coupled(BY_ID_AND_V, BY_ID) && is_coupled(BY_ID, BY_ID_AND_V));
    // More columns than the chunks' key, in any order: its rows never meet.
    assert!(!is_coupled(BY_ID, "CREATE TABLE t (id BIGINT, v INT, PRIMARY KEY (v, ID))"));
    assert!(
        is_coupled(BY_ID, "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, UNIQUE (id, v(3)))"),
        "not told: a prefix"
    );
    assert!(is_coupled(
        "CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b))",
        "CREATE TABLE t (a INT PRIMARY KEY, b INT)"
    ));
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
    expect!["SELECT MIN(`id`),MAX(`id`) FROM `src`.`t`"].assert_eq(&text(select::min_max(&name, &structure, &key)));
    expect!["SELECT MIN(`id`),MAX(`id`) FROM `src`.`t` WHERE `id`>=-3 AND `id`<=9"]
        .assert_eq(&text(select::min_max_in(&name, &structure, &key, -3, 9)));
    expect!["EXPLAIN FORMAT=TRADITIONAL SELECT `id` FROM `src`.`t` USE INDEX (`PRIMARY`) WHERE `id`>=-3 AND `id`<=9"]
        .assert_eq(&text(select::expected_rows(&name, &structure, &key, -3, 9)));
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
    let written = |values: &[Option<&[u8]>]| {
        let mut sql = copy.insert(Verb::Replace);
        copy.row(values, &mut sql).map(|()| sql)
    };
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
    expect![[r#"REPLACE INTO `src`.`t` (`a`,`f`,`d`,`b`,`y`,`s`,`bin`,`e`,`ss`,`j`,`ts`,`n`) VALUES (-1,0.10000000149011612,1.50,511,0000,'a\'b',x'610000',2,3,'{}','2024-01-01 00:00:00.500',NULL)"#]]
        .assert_eq(&text(written(&row).expect("row")));
    assert_eq!(copy.key_of(&row).expect("key"), Some(Bound::of_integer(-1)));
    assert!(written(&row[1..]).is_err());
    let mut injected = row;
    injected[0] = Some(b"1);DROP");
    assert!(written(&injected).is_err());
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

    /// Rule 11 of data-plane.md 4.1: a table with a second unique key whose values move, copied at several positions with REPLACE and
    /// then replicated in safe mode until past the newest, ends as the source.
    #[test]
    fn moving_values_and_several_positions_equal_the_source_in_safe_mode(
        draws in proptest::collection::vec((0i64..8, 0i64..8, 0u8..5), 1..60),
        bounds in proptest::collection::btree_set(0i64..8, 0..3),
        positions in proptest::collection::vec(0usize..60, 4),
    ) {
        type Rows = std::collections::BTreeMap<i64, i64>;
        // (id, v) before and after, each unique in both columns.
        let mut states = vec![Rows::new()];
        let mut changes = Vec::new();
        for (id, v, kind) in draws {
            let mut rows = states.last().cloned().unwrap_or_default();
            let is_free = |rows: &Rows, v: i64| rows.values().all(|other| *other != v);
            let before = rows.get(&id).map(|v| (id, *v));
            let after = match (before, kind) {
                (None, _) => Some((id, v)),
                (Some(_), 0) => None,
                (Some(_), 1) => Some((v, before.map_or(0, |row| row.1))),
                (Some(_), _) => Some((id, v)),
            };
            rows.remove(&id);
            match after {
                Some((id, v)) if rows.contains_key(&id) || !is_free(&rows, v) => continue,
                Some((id, v)) => { rows.insert(id, v); }
                None => {}
            }
            states.push(rows);
            changes.push((before, after));
        }
        let replace = |rows: &mut Rows, (id, v): (i64, i64)| {
            rows.retain(|_, other| *other != v);
            rows.insert(id, v);
        };
        let chunks = super::from_bounds(bounds.iter().map(|bound| Bound::of_integer(i128::from(*bound))).collect());
        let mut read: Vec<(usize, &Chunk)> =
            chunks.iter().zip(&positions).map(|(chunk, at)| (*at.min(&changes.len()), chunk)).collect();
        // Chunks are written in the order in which they were read.
        read.sort_by_key(|(at, _)| *at);
        let mut target = Rows::new();
        for (at, chunk) in &read {
            for row in states[*at].iter().filter(|(id, _)| holds(chunk, i128::from(**id))) {
                replace(&mut target, (*row.0, *row.1));
            }
        }
        let at = |chunk: &Chunk| read.iter().find(|(_, other)| *other == chunk).map_or(0, |(at, _)| *at);
        let map = chunks.iter().map(|chunk| (chunk.upper.clone(), at(chunk))).collect();
        let structure = table("CREATE TABLE t (id BIGINT PRIMARY KEY, v INT, UNIQUE (v))");
        let test = SkipTest::new(&structure, false, map).expect("chunks");
        for (index, (before, after)) in changes.iter().enumerate() {
            let row = |row: &Option<(i64, i64)>| row.map(|(id, v)| [int(id), int(v)]);
            let (old, new) = (row(before), row(after));
            let applies = test
                .applies(|read| index + 1 > *read, old.as_ref().map(|row| &row[..]), new.as_ref().map(|row| &row[..]))
                .expect("row");
            if let Some((id, _)) = before.filter(|_| applies.old) {
                let was_there = target.remove(&id).is_some();
                prop_assert!(was_there || applies.safe, "row {} is missing", id);
            }
            if let Some(row) = after.filter(|_| applies.new) {
                let is_free = !target.contains_key(&row.0) && target.values().all(|v| *v != row.1);
                prop_assert!(is_free || applies.safe, "{:?} collides", row);
                replace(&mut target, row);
            }
        }
        prop_assert_eq!(Some(&target), states.last());
    }
}
