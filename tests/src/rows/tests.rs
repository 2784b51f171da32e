use anyhow::anyhow;

use super::*;

fn row(key: i64, text: &str) -> Result<KeyedRow> {
    Ok(KeyedRow { key, image: image(text) })
}

fn image(text: &str) -> RowImage {
    RowImage::new([Some(text.as_bytes())])
}

fn keyed(rows: &[(i64, &str)]) -> std::vec::IntoIter<Result<KeyedRow>> {
    rows.iter().map(|(key, text)| row(*key, text)).collect::<Vec<_>>().into_iter()
}

fn keyless(rows: &[&str]) -> std::vec::IntoIter<Result<RowImage>> {
    rows.iter().map(|text| Ok(image(text))).collect::<Vec<_>>().into_iter()
}

/// (missing, different, doubled)
fn counts(found: &Differences) -> (u64, u64, u64) {
    (found.n_missing, found.n_different, found.n_doubled)
}

#[test]
fn shards_merged_without_loss_are_equal() {
    let shards = vec![keyed(&[(1, "a"), (4, "d")]), keyed(&[(2, "b")]), keyed(&[])];
    let found = compare_keyed(shards, keyed(&[(1, "a"), (2, "b"), (4, "d")])).unwrap();
    assert!(found.is_equal());
    assert_eq!((found.n_sources, found.n_target), (3, 3));
}

#[test]
fn a_row_that_is_missing_is_lost() {
    let sources = || vec![keyed(&[(1, "a"), (3, "c")]), keyed(&[(2, "b")])];
    for (target, key) in [(&[(2, "b"), (3, "c")], 1), (&[(1, "a"), (3, "c")], 2), (&[(1, "a"), (2, "b")], 3)] {
        let found = compare_keyed(sources(), keyed(target)).unwrap();
        assert_eq!(counts(&found), (1, 0, 0), "without {key}");
        assert!(found.samples[0].starts_with(&format!("key {key} is missing")), "{:?}", found.samples);
    }
}

#[test]
fn a_row_with_another_value_is_lost_and_not_doubled() {
    let found = compare_keyed(vec![keyed(&[(1, "a"), (2, "b")])], keyed(&[(1, "a"), (2, "B")])).unwrap();
    assert_eq!(counts(&found), (0, 1, 0));
    assert_eq!(found.n_lost(), 1);
}

#[test]
fn a_row_that_no_source_has_is_doubled() {
    for target in [&[(0, "x"), (1, "a")], &[(1, "a"), (9, "x")]] {
        let found = compare_keyed(vec![keyed(&[(1, "a")])], keyed(target)).unwrap();
        assert_eq!(counts(&found), (0, 0, 1));
        assert!(!found.is_equal());
    }
}

#[test]
fn a_row_that_is_twice_in_the_target_is_doubled() {
    let found = compare_keyed(vec![keyed(&[(1, "a")])], keyed(&[(1, "a"), (1, "a")])).unwrap();
    assert_eq!(counts(&found), (0, 0, 1));
}

#[test]
fn one_key_in_two_sources_needs_two_rows_in_the_target() {
    let sources = || vec![keyed(&[(1, "a")]), keyed(&[(1, "b")])];
    assert!(compare_keyed(sources(), keyed(&[(1, "b"), (1, "a")])).unwrap().is_equal());
    assert_eq!(counts(&compare_keyed(sources(), keyed(&[(1, "b")])).unwrap()), (1, 0, 0));
    assert_eq!(counts(&compare_keyed(sources(), keyed(&[(1, "b"), (1, "c")])).unwrap()), (0, 1, 0));
}

#[test]
fn an_empty_target_has_lost_everything() {
    let found = compare_keyed(vec![keyed(&[(1, "a"), (2, "b")])], keyed(&[])).unwrap();
    assert_eq!(counts(&found), (2, 0, 0));
}

#[test]
fn rows_out_of_order_are_refused() {
    assert!(compare_keyed(vec![keyed(&[(2, "b"), (1, "a")])], keyed(&[(1, "a"), (2, "b")])).is_err());
}

#[test]
fn a_stream_that_fails_is_no_difference() {
    let broken = vec![row(1, "a"), Err(anyhow!("connection lost"))].into_iter();
    let error = compare_keyed(vec![keyed(&[(1, "a"), (2, "b")])], broken).unwrap_err();
    assert_eq!(error.to_string(), "connection lost");
}

#[test]
fn keyless_rows_count() {
    assert!(compare_keyless(keyless(&["a", "b", "a"]), keyless(&["a", "a", "b"])).unwrap().is_equal());
    let found = compare_keyless(keyless(&["a", "a", "a", "b"]), keyless(&["a", "b", "b"])).unwrap();
    assert_eq!(counts(&found), (2, 0, 1));
}

#[test]
fn a_changed_keyless_row_is_lost_and_doubled() {
    let found = compare_keyless(keyless(&["a", "b"]), keyless(&["a", "c"])).unwrap();
    assert_eq!(counts(&found), (1, 0, 1));
}

#[test]
fn null_is_neither_empty_nor_its_name() {
    let null = RowImage::new([None, Some(&b"x"[..])]);
    for other in [RowImage::new([Some(&b""[..]), Some(b"x")]), RowImage::new([Some(&b"NULL"[..]), Some(b"x")])] {
        assert_ne!(null, other);
    }
    assert_eq!(format!("{null:?}"), "NULL | x");
}

#[test]
fn values_do_not_run_into_each_other() {
    assert_ne!(RowImage::new([Some(&b"ab"[..]), Some(b"c")]), RowImage::new([Some(&b"a"[..]), Some(b"bc")]));
}

#[test]
fn samples_are_bounded_and_sums_add_up() {
    let many: Vec<_> = (0..100).map(|key| row(key, "a")).collect();
    let mut found = compare_keyed(vec![many.into_iter()], keyed(&[])).unwrap();
    assert_eq!(found.samples.len(), Differences::MAX_SAMPLES);
    found.add(compare_keyless(keyless(&["a"]), keyless(&["b", "b"])).unwrap());
    assert_eq!(counts(&found), (101, 0, 2));
    assert_eq!((found.n_sources, found.n_target), (101, 2));
    assert_eq!(found.samples.len(), Differences::MAX_SAMPLES);
}
