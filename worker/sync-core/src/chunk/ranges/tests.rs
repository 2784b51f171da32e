use dm_ddl::table::Table;
use proptest::prelude::*;

use super::*;
use crate::mapping::sample::table;

/// A server that has these keys, in order. Wide ranges are counted wrong by up to `noise` percent, as InnoDB does.
struct Server {
    keys: Vec<i128>,
    noise: u64,
}

struct Plan {
    chunks: Vec<Chunk>,
    n_questions: u64,
}

impl Server {
    fn range(&self, sql: &str) -> &[i128] {
        let number = |after: &str| -> Option<i128> {
            let text = sql.split(after).nth(1)?;
            text.split(|c: char| !c.is_ascii_digit() && c != '-').next()?.parse().ok()
        };
        let (low, high) = (number(">=").unwrap_or(i128::MIN), number("<=").unwrap_or(i128::MAX));
        let from = self.keys.partition_point(|key| *key < low);
        let to = self.keys.partition_point(|key| *key <= high);
        &self.keys[from..to.max(from)]
    }

    fn plan(&self, believed_rows: u64, chunk_rows: u64) -> Plan {
        let structure: Table = table("CREATE TABLE t (id BIGINT PRIMARY KEY, v INT)");
        let key = ChunkKey::of(&structure).expect("key");
        let name = TableName::new("src", "t");
        let estimate = Estimate { n_rows: believed_rows, n_bytes: believed_rows * 100 };
        let mut ranges = Ranges::new(&name, &structure, &key, estimate, chunk_rows * 100);
        let mut n_questions = 0;
        while let Some(question) = ranges.question() {
            n_questions += 1;
            match question {
                Question::MinMax(sql) => {
                    let found = self.range(std::str::from_utf8(&sql).expect("text"));
                    ranges.answer(&[found.first().copied(), found.last().copied()]);
                }
                Question::Rows(sql) => {
                    let n = self.range(std::str::from_utf8(&sql).expect("text")).len() as u64;
                    // The same range has the same error, small ones none.
                    let wrong = if n < 500 { 0 } else { n * (n * 2_654_435_761 % (self.noise + 1)) / 100 };
                    ranges.answer(&[Some(i128::from(n + wrong))]);
                }
            }
        }
        Plan { chunks: ranges.finish(), n_questions }
    }

    /// Rows of each closed chunk.
    fn sizes(&self, plan: &Plan) -> Vec<usize> {
        let closed = plan.chunks.iter().filter(|chunk| chunk.upper.is_some());
        closed.map(|chunk| self.keys.iter().filter(|key| holds(chunk, **key)).count()).collect()
    }
}

fn integer(bound: &Bound) -> i128 {
    String::from_utf8_lossy(bound.literals.get(0)).parse().expect("integer")
}

fn holds(chunk: &Chunk, key: i128) -> bool {
    chunk.lower.as_ref().is_none_or(|lower| integer(lower) < key)
        && chunk.upper.as_ref().is_none_or(|upper| key <= integer(upper))
}

/// Keys whose gaps are drawn by `gap` from a counter.
fn keys(first: i128, n: u64, gap: impl Fn(u64) -> i128) -> Vec<i128> {
    (0..n)
        .scan(first, |key, at| {
            *key += gap(at).max(1);
            Some(*key)
        })
        .collect()
}

/// Largest and median chunk of tables of 40 000 rows in chunks of 1000, and how many questions that took.
fn figures(keys: Vec<i128>, noise: u64) -> (f64, u64, usize) {
    let server = Server { keys, noise };
    let plan = server.plan(server.keys.len() as u64, 1000);
    let mut sizes = server.sizes(&plan);
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2].max(1);
    let largest = *sizes.last().expect("chunks");
    assert_eq!(sizes.iter().sum::<usize>(), server.keys.len(), "every row is in a closed chunk");
    (largest as f64 / median as f64, plan.n_questions, sizes.len())
}

#[test]
fn skewed_and_holey_keys_make_balanced_chunks() {
    const N: u64 = 40_000;
    let clusters = |at: u64| if at % 10_000 == 9_999 { 1 << 50 } else { 1 };
    let mut outlier = keys(0, N - 1, |_| 1);
    outlier.push(i128::from(i64::MAX));
    let mut sparse_head = keys(i128::from(i64::MIN), 100, |_| 1 << 55);
    sparse_head.extend(keys(1 << 62, N - 100, |_| 1));
    let worlds: [(&str, Vec<i128>); 7] = [
        ("dense", keys(0, N, |_| 1)),
        ("negative, every seventh", keys(-100_000, N, |_| 7)),
        ("four clusters", keys(0, N, clusters)),
        ("ever wider", keys(0, N, |at| 1 << (at / 1000))),
        ("one far away", outlier),
        ("sparse, then dense", sparse_head),
        ("random gaps", keys(0, N, |at| i128::from(at.wrapping_mul(2_654_435_761) % 100_000))),
    ];
    let mut lines = Vec::new();
    for (name, keys) in worlds {
        for noise in [0, 100] {
            let (ratio, n_questions, n_chunks) = figures(keys.clone(), noise);
            lines.push(format!("{name}, {noise} % wrong: {ratio:.2} of {n_chunks} chunks, {n_questions} questions"));
            // A cell is half a chunk, so a chunk is at most half too large; wrong counts may double that.
            let limit = if noise == 0 { 1.6 } else { 2.6 };
            assert!(ratio <= limit, "{}", lines.join("\n"));
            assert!(n_questions <= 600, "{}", lines.join("\n"));
            assert!((25..=90).contains(&n_chunks), "{}", lines.join("\n"));
        }
    }
    println!("{}", lines.join("\n"));
}

#[test]
fn small_tables_cost_two_questions() {
    let server = Server { keys: keys(0, 900, |at| i128::from(at)), noise: 0 };
    let plan = server.plan(900, 1000);
    assert_eq!((plan.chunks.len(), plan.n_questions), (2, 2));
    let empty = Server { keys: Vec::new(), noise: 0 };
    let plan = empty.plan(0, 1000);
    assert_eq!((plan.chunks, plan.n_questions), (vec![Chunk::ALL], 1));
}

#[test]
fn estimates_that_are_old_do_not_matter() {
    let server = Server { keys: keys(0, 40_000, |_| 3), noise: 0 };
    for believed in [0, 100, 1_000_000] {
        let plan = server.plan(believed, 1000);
        let sizes = server.sizes(&plan);
        assert!(sizes.iter().all(|n| *n <= 2500), "{believed}: {sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 40_000);
    }
}

#[test]
fn a_server_that_does_not_answer_gets_equal_ranges() {
    let structure = table("CREATE TABLE t (id BIGINT PRIMARY KEY)");
    let key = ChunkKey::of(&structure).expect("key");
    let name = TableName::new("src", "t");
    let mut ranges = Ranges::new(&name, &structure, &key, Estimate { n_rows: 10_000, n_bytes: 1_000_000 }, 100_000);
    let mut is_first = true;
    while ranges.question().is_some() {
        if std::mem::take(&mut is_first) { ranges.answer(&[Some(1), Some(10_000)]) } else { ranges.answer(&[]) }
    }
    let chunks = ranges.finish();
    assert!((8..=14).contains(&chunks.len()), "{chunks:?}");
    assert_eq!(chunks.last().and_then(|chunk| chunk.lower.as_ref()).map(integer), Some(10_000));
}

proptest! {
    #[test]
    fn every_key_is_in_exactly_one_chunk_and_what_exists_in_a_closed_one(
        mut drawn in proptest::collection::vec(any::<i64>(), 0..300),
        near in proptest::collection::vec(-200i64..200, 0..300),
        chunk_rows in 1u64..60,
        believed in 0u64..2000,
        noise in 0u64..120,
        probe: i64,
    ) {
        drawn.extend(near);
        drawn.sort_unstable();
        drawn.dedup();
        let server = Server { keys: drawn.into_iter().map(i128::from).collect(), noise };
        let plan = server.plan(believed, chunk_rows);
        for key in server.keys.iter().copied().chain([i128::from(probe), i128::from(u64::MAX)]) {
            prop_assert_eq!(plan.chunks.iter().filter(|chunk| holds(chunk, key)).count(), 1);
        }
        prop_assert_eq!(server.sizes(&plan).iter().sum::<usize>(), server.keys.len());
        let last = plan.chunks.last().expect("a chunk");
        prop_assert!(last.upper.is_none());
    }

    #[test]
    fn extreme_keys_are_split(n_rows: u64) {
        let server = Server { keys: vec![i128::from(i64::MIN), 0, i128::from(u64::MAX)], noise: 0 };
        let plan = server.plan(n_rows % 1_000_000_000, 1);
        prop_assert_eq!(plan.chunks.last().and_then(|chunk| chunk.lower.as_ref()).map(integer), Some(i128::from(u64::MAX)));
    }
}
