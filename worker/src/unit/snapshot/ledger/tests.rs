use dm_ddl::{sql_mode::SqlMode, table::parse_create};
use dm_sync_core::chunk::from_bounds;

use super::*;

fn table() -> TableName {
    TableName::new("shop", "t")
}

fn structure() -> Table {
    parse_create("CREATE TABLE `t` (`id` int NOT NULL, PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8mb4", SqlMode::default())
        .expect("a structure")
        .2
}

fn key(value: i128) -> Vec<u8> {
    Bound::of_integer(value).encode()
}

fn at(offset: u64) -> Option<Location> {
    Some(Location::new(BinlogPosition::new("b.000001", offset), None))
}

/// `(..10] (10..20] (20..)`, as a plan.
fn plan() -> Ledger {
    Ledger::new(planned(&table(), &from_bounds(vec![Bound::of_integer(10), Bound::of_integer(20)])))
}

fn set(ledger: &mut Ledger, chunk: u32, state: ChunkState, last: Option<i128>, offset: u64) {
    let row = ledger.chunks(&table()).find(|row| row.chunk == chunk).expect("a chunk").clone();
    ledger.put(ChunkRow { state, last_key: last.map(key), snapshot: at(offset), n_rows: 5, ..row });
}

#[test]
fn a_fresh_plan_is_all_work() {
    let ledger = plan();
    let jobs = ledger.jobs(&table()).unwrap();
    assert_eq!(jobs.iter().map(|job| job.row.chunk).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(!ledger.is_any_begun() && !ledger.is_complete() && ledger.oldest().is_none());
}

#[test]
fn a_half_copied_chunk_is_split_behind_its_last_key() {
    let mut ledger = plan();
    set(&mut ledger, 0, ChunkState::Done, None, 100);
    set(&mut ledger, 1, ChunkState::Copying, Some(14), 100);
    let jobs = ledger.jobs(&table()).unwrap();
    let split = jobs.iter().find(|job| job.split_from.is_some()).expect("a split");
    assert_eq!(split.row.chunk, 3, "a number that is not taken");
    assert_eq!((&split.row.lower_key, &split.row.upper_key), (&Some(key(14)), &Some(key(20))));
    assert_eq!((split.row.state, split.row.n_rows, &split.row.snapshot), (ChunkState::Planned, 0, &None));
    let done = split.split_from.as_ref().expect("checked above");
    assert_eq!((done.chunk, done.state, done.n_rows), (1, ChunkState::Done, 5));
    assert_eq!((&done.lower_key, &done.upper_key, &done.snapshot), (&Some(key(10)), &Some(key(14)), &at(100)));
}

#[test]
fn every_key_is_in_one_chunk_after_a_split() {
    let mut ledger = plan();
    set(&mut ledger, 0, ChunkState::Done, None, 100);
    set(&mut ledger, 1, ChunkState::Copying, Some(14), 100);
    for job in ledger.jobs(&table()).unwrap() {
        job.split_from.into_iter().for_each(|row| ledger.put(row));
        ledger.put(ChunkRow { state: ChunkState::Done, snapshot: at(200), ..job.row });
    }
    assert!(ledger.is_complete());
    assert_eq!(ledger.oldest(), at(100));
    assert_eq!(ledger.newest(), at(200));
    let test = ledger.skip_test(&table(), &structure(), false).unwrap().expect("chunks");
    let SkipTest::ByChunk { chunks, .. } = test else { panic!("positions differ and the order is known: {test:?}") };
    let shape: Vec<_> = chunks.iter().map(|(upper, at)| (upper.as_ref().map(Bound::encode), at.offset)).collect();
    assert_eq!(shape, [(Some(key(10)), 100), (Some(key(14)), 100), (Some(key(20)), 200), (None, 200)]);
}

#[test]
fn one_position_is_one_test() {
    let mut ledger = plan();
    (0..3).for_each(|chunk| set(&mut ledger, chunk, ChunkState::Done, None, 100));
    let test = ledger.skip_test(&table(), &structure(), true).unwrap();
    assert!(matches!(test, Some(SkipTest::Single(position)) if position.offset == 100));
}

#[test]
fn a_chunk_without_a_sub_position_makes_the_table_begin_again() {
    let mut ledger = plan();
    set(&mut ledger, 0, ChunkState::Copying, None, 100);
    assert!(ledger.must_begin_again(&table()));
    assert!(!plan().must_begin_again(&table()));
}

#[test]
fn a_hole_in_the_plan_is_no_plan() {
    let mut ledger = plan();
    (0..3).for_each(|chunk| set(&mut ledger, chunk, ChunkState::Done, None, 100));
    let mut rows: Vec<ChunkRow> = ledger.chunks(&table()).cloned().collect();
    rows.remove(1);
    assert!(Ledger::new(rows).skip_test(&table(), &structure(), false).is_err());
}

#[test]
fn the_oldest_position_is_that_of_the_tables_meant() {
    let other = TableName::new("shop", "u");
    let mut ledger = plan();
    planned(&other, &from_bounds(Vec::new())).into_iter().for_each(|row| ledger.put(row));
    assert_eq!(ledger.oldest_of(|_| true), None, "nothing is read yet");
    set(&mut ledger, 0, ChunkState::Done, None, 100);
    let row = ledger.chunks(&other).next().expect("a chunk").clone();
    ledger.put(ChunkRow { state: ChunkState::Done, snapshot: at(200), ..row });
    assert_eq!((ledger.oldest(), ledger.oldest_of(|table| *table == other)), (at(100), at(200)));
}

#[test]
fn a_table_is_mixed_once_its_chunks_were_read_at_two_moments() {
    let mut ledger = plan();
    set(&mut ledger, 0, ChunkState::Done, None, 100);
    set(&mut ledger, 1, ChunkState::Done, None, 100);
    assert!(!ledger.is_mixed(&table()));
    set(&mut ledger, 2, ChunkState::Copying, Some(30), 200);
    assert!(ledger.is_mixed(&table()));
}

#[test]
fn shards_of_one_target_know_when_they_were_read_at_different_moments() {
    let other = TableName::new("shop", "u");
    let mut ledger = plan();
    for row in planned(&other, &from_bounds(Vec::new())) {
        ledger.put(row);
    }
    let shards = [table(), other.clone()];
    assert_eq!(ledger.moments_of_shards(&shards), None, "nothing is read yet");
    set(&mut ledger, 0, ChunkState::Done, None, 100);
    let row = ledger.chunks(&other).next().expect("a chunk").clone();
    ledger.put(ChunkRow { state: ChunkState::Done, snapshot: at(100), ..row.clone() });
    assert_eq!(ledger.moments_of_shards(&shards), None);
    ledger.put(ChunkRow { state: ChunkState::Done, snapshot: at(200), ..row });
    let (oldest, newest) = ledger.moments_of_shards(&shards).expect("two moments");
    assert_eq!((oldest.offset, newest.offset), (100, 200));
    assert_eq!(ledger.moments_of_shards(&shards[..1]), None, "a table that is alone is told apart by its chunks");
}
