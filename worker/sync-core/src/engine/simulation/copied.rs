//! Rule 11: a snapshot whose chunks were read at different positions, and the stream that makes it whole.
//!
//! The copy is written as the snapshot writes it: REPLACE where chunks of different moments may hold each other's values, INSERT
//! elsewhere. Until the newest position the target is nothing the source ever was; at the end it must be the source.

use dm_model::{BinlogPosition, TableName};

use super::{
    Plan, SEEDS,
    dice::Dice,
    history::{History, SourceTable, Step},
    mutants::Broken,
    run,
    schema::Datum,
    shrink,
    target::Target,
};
use crate::{
    chunk::{bound::Bound, is_coupled, skip::SkipTest},
    engine::testbed::{FILE, Shape, structure},
};

/// One chunk: keys up to `upper`, read when the binlog ended at `position`.
#[derive(Debug, Clone)]
struct Chunk {
    upper: Option<Datum>,
    position: u64,
    rows: Vec<Vec<Datum>>,
}

/// The copies of all tables.
pub(super) struct Copied {
    /// By source table.
    chunks: Vec<Vec<Chunk>>,
}

impl Plan {
    /// A plan whose tables are copied first: no DDL, and no shards without a primary key, which the snapshot refuses.
    pub(super) fn copied(seed: u64) -> Self {
        let mut plan = Self::random(seed);
        plan.tables.retain(|source| source.name == source.target || source.table.keys.iter().any(|key| key.primary));
        if plan.tables.is_empty() {
            let target = TableName::new("s", "t9");
            let table = super::schema::Table::random(&mut Dice(seed));
            plan.tables.push(SourceTable { name: target.clone(), target, table });
        }
        plan.steps.retain(|step| matches!(step, Step::Transaction(_) | Step::Other));
        plan.n_wrapped_tables();
        plan.shape = Shape::MySqlPlain;
        plan.copied = true;
        plan
    }
}

impl Copied {
    /// Reads each table at one position or at several.
    pub(super) fn of(plan: &Plan, history: &History, dice: &mut Dice, broken: Option<Broken>) -> Self {
        let at = |dice: &mut Dice| dice.roll(history.ends.len());
        let chunks = plan.tables.iter().enumerate().map(|(table, source)| {
            let key = source.table.keys.first().filter(|key| key.primary);
            let mut uppers: Vec<Option<Datum>> = vec![None];
            if let Some(key) = key {
                let kind = source.table.columns[key.parts[0].0].kind;
                let mut bounds: Vec<Datum> = (0..dice.roll(3))
                    .filter_map(|_| kind.compared(&kind.value(dice.byte(), plan.n_values), None))
                    .collect();
                bounds.sort();
                bounds.dedup();
                uppers = bounds.into_iter().map(Some).chain([None]).collect();
            }
            let mut lower: Option<Datum> = None;
            let mut chunks = Vec::new();
            for upper in uppers {
                let read = at(dice);
                let (position, rows) = &history.ends[read];
                let first = key.map(|key| key.parts[0].0);
                let compared =
                    |row: &Vec<Datum>| first.and_then(|at| source.table.columns[at].kind.compared(&row[at], None));
                let is_in = |row: &&Vec<Datum>| {
                    let value = compared(row);
                    (lower.is_none() || value > lower) && (upper.is_none() || value <= upper)
                };
                let mut rows: Vec<Vec<Datum>> = rows[table].iter().filter(is_in).cloned().collect();
                let mut position = *position;
                if broken == Some(Broken::ChunkNotSplit) {
                    // Its first half was read before a resume, and the whole counts as read after it.
                    let later = (read + 3).min(history.ends.len() - 1);
                    let half = rows.len() / 2;
                    let seen: Vec<Vec<Datum>> = rows.drain(..half).collect();
                    let (end, now) = &history.ends[later];
                    rows = now[table]
                        .iter()
                        .filter(is_in)
                        .filter(|row| !seen.iter().any(|old| source.table.collide(old, row)))
                        .cloned()
                        .collect();
                    rows.extend(seen);
                    position = *end;
                }
                lower = upper.clone();
                chunks.push(Chunk { upper, position, rows });
            }
            chunks
        });
        Self { chunks: chunks.collect() }
    }

    /// Writes the chunks in any order.
    pub(super) fn write(&self, plan: &Plan, target: &mut Target, dice: &mut Dice) -> Result<(), String> {
        let mut all: Vec<(usize, &Chunk)> = self
            .chunks
            .iter()
            .enumerate()
            .flat_map(|(table, chunks)| chunks.iter().map(move |chunk| (table, chunk)))
            .collect();
        while !all.is_empty() {
            let (table, chunk) = all.remove(dice.roll(all.len()));
            let source = &plan.tables[table];
            let is_mixed = self.chunks[table].iter().any(|other| other.position != chunk.position);
            let replaces = is_mixed && self.is_coupled(plan, source) || self.moments_of_shards(plan, table).is_some();
            target.insert_rows(&source.target, &source.table, &chunk.rows, replaces)?;
        }
        Ok(())
    }

    /// The oldest and the newest position of all shards of a table's target, when there are several: a row that moved from
    /// shard to shard in between was read twice, or never.
    fn moments_of_shards(&self, plan: &Plan, table: usize) -> Option<(u64, u64)> {
        let target = &plan.tables[table].target;
        let is_shard = |(source, _): &(&SourceTable, &Vec<Chunk>)| source.target == *target;
        let shards = plan.tables.iter().zip(&self.chunks).filter(is_shard);
        let positions: Vec<u64> = shards.flat_map(|(_, chunks)| chunks.iter().map(|chunk| chunk.position)).collect();
        let (oldest, newest) = (*positions.iter().min()?, *positions.iter().max()?);
        (plan.is_merged(table) && oldest != newest).then_some((oldest, newest))
    }

    fn is_coupled(&self, plan: &Plan, source: &SourceTable) -> bool {
        let n_keys = if plan.fewer_keys { 1 } else { usize::MAX };
        let there = structure(&source.table.create(&source.target.table, n_keys));
        is_coupled(&structure(&source.table.create(&source.name.table, usize::MAX)), &there)
    }

    /// Where the stream begins.
    pub(super) fn start(&self, broken: Option<Broken>) -> BinlogPosition {
        let positions = || self.chunks.iter().flatten().map(|chunk| chunk.position);
        let at = if broken == Some(Broken::StartsAtNewest) { positions().max() } else { positions().min() };
        BinlogPosition::new(FILE, at.unwrap_or(4))
    }

    pub(super) fn tests(&self, plan: &Plan, broken: Option<Broken>) -> Vec<(TableName, SkipTest<BinlogPosition>)> {
        let test = |(table, (source, chunks)): (usize, (&SourceTable, &Vec<Chunk>))| {
            if let Some((oldest, newest)) = self.moments_of_shards(plan, table)
                && broken != Some(Broken::ShardsApart)
            {
                let [oldest, newest] = [oldest, newest].map(|position| BinlogPosition::new(FILE, position));
                return Some((source.name.clone(), SkipTest::Safe { oldest, newest }));
            }
            let bound = |value: &Datum| match value {
                Datum::Int(number) => Bound::of_integer(i128::from(*number)),
                // Never looked at: the order of texts is the server's.
                Datum::Text(_) | Datum::Null => Bound::of_integer(0),
            };
            let chunks = chunks
                .iter()
                .map(|chunk| (chunk.upper.as_ref().map(bound), BinlogPosition::new(FILE, chunk.position)))
                .collect();
            let by_chunk = broken == Some(Broken::CoupledByChunk);
            let n_keys = if by_chunk { 1 } else { usize::MAX };
            let structure = structure(&source.table.create(&source.name.table, n_keys));
            let coupled = !by_chunk && self.is_coupled(plan, source);
            Some((source.name.clone(), SkipTest::new(&structure, coupled, chunks)?))
        };
        plan.tables.iter().zip(&self.chunks).enumerate().filter_map(test).collect()
    }
}

#[test]
fn a_copy_of_many_moments_becomes_the_source() {
    for seed in 0..u64::from(SEEDS) {
        let plan = Plan::copied(seed);
        if let Err(what) = run(&plan, seed, None) {
            panic!("seed {seed}: {what}\n{}", shrink::shrink(plan, seed, None));
        }
    }
}
