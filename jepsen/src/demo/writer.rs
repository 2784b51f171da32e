//! One source's writer: transactions of one to eight changes over several shards, until told to stop.
//!
//! Owns what it writes and counts it. Each transaction goes in one packet and is committed or, on any error, ends the writer.
//! Its rate is bounded; a slow server makes it slower. The seed decides what it writes, not when.

use std::{collections::VecDeque, fmt, time::Duration};

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, prelude::Queryable};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

use super::shop::{self, FRESH_IDS, N_KINDS, SHARD_STRIDE, Shop};

/// What was written: statements by kind, and the rows they changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub n_transactions: u64,
    pub n_inserts: u64,
    pub n_updates: u64,
    /// Updates that give a row another key.
    pub n_moves: u64,
    pub n_deletes: u64,
    /// Of them, on the table without a key.
    pub n_keyless: u64,
    /// Rows that the server says were changed.
    pub n_rows: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.n_transactions += other.n_transactions;
        self.n_inserts += other.n_inserts;
        self.n_updates += other.n_updates;
        self.n_moves += other.n_moves;
        self.n_deletes += other.n_deletes;
        self.n_keyless += other.n_keyless;
        self.n_rows += other.n_rows;
    }

    pub fn n_statements(&self) -> u64 {
        self.n_inserts + self.n_updates + self.n_moves + self.n_deletes
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_transactions, n_inserts, n_updates, n_moves, n_deletes, n_keyless, n_rows } = self;
        write!(
            f,
            "{n_rows} rows in {n_transactions} transactions: {n_inserts} inserts, {n_updates} updates, {n_moves} updates of \
             keys, {n_deletes} deletes; {n_keyless} of them without a key"
        )
    }
}

/// A writer at work.
#[derive(Debug)]
pub struct Writer {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Counts>>,
}

impl Writer {
    /// Connects and starts to write.
    ///
    /// # Errors
    /// The source does not answer.
    pub async fn start(
        opts: Opts,
        shop: &'static Shop,
        n_shard_rows: u64,
        tx_per_second: u32,
        seed: u64,
    ) -> Result<Self> {
        let conn = shop::connect(opts).await?;
        let (stop, stopped) = watch::channel(false);
        let script = Script::new(shop, n_shard_rows, seed);
        let task = tokio::spawn(write(conn, script, tx_per_second, stopped));
        Ok(Self { stop, task })
    }

    /// Stops behind the transaction in flight.
    ///
    /// # Errors
    /// The error that ended it before.
    pub async fn stop(self) -> Result<Counts> {
        let _ended_already = self.stop.send(true);
        self.task.await.context("wait for a writer")?
    }
}

async fn write(
    mut conn: Conn,
    mut script: Script,
    tx_per_second: u32,
    stopped: watch::Receiver<bool>,
) -> Result<Counts> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / tx_per_second.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        pace.tick().await;
        let sql = script.transaction();
        script.counts.n_rows += execute(&mut conn, &sql).await.with_context(|| format!("execute {sql}"))?;
        script.counts.n_transactions += 1;
    }
    conn.disconnect().await?;
    Ok(script.counts)
}

/// Executes several statements sent as one text and gives the rows they changed.
async fn execute(conn: &mut Conn, sql: &str) -> Result<u64> {
    let mut result = conn.query_iter(sql).await?;
    let mut n_rows = 0;
    while !result.is_empty() {
        n_rows += result.affected_rows();
        result.for_each(drop).await?;
    }
    // An error of a later statement ends the loop and is told only here.
    result.drop_result().await?;
    Ok(n_rows)
}

/// Decides what is written next.
struct Script {
    shop: &'static Shop,
    n_shard_rows: u64,
    random: StdRng,
    n_fresh: u64,
    /// Rows of its own that may still be there.
    own: VecDeque<(u64, u64)>,
    counts: Counts,
}

/// Own rows that are remembered.
const MAX_OWN: usize = 2_000;

const NAMES: [&str; 6] = ["Zoë", "José", "Łukasz", "李雷", "O''Hara", "Ünal 🙂"];

impl Script {
    fn new(shop: &'static Shop, n_shard_rows: u64, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { shop, n_shard_rows, random, n_fresh: 0, own: VecDeque::new(), counts: Counts::default() }
    }

    fn transaction(&mut self) -> String {
        let mut sql = String::from("BEGIN");
        for _ in 0..self.random.random_range(1..=8) {
            let statement = if self.shop.has_events && self.random.random_ratio(1, 5) {
                self.counts.n_keyless += 1;
                self.change_event()
            } else {
                self.change_order()
            };
            sql.push(';');
            sql.push_str(&statement);
        }
        sql.push_str(";COMMIT");
        sql
    }

    fn change_order(&mut self) -> String {
        match self.random.random_range(0..10) {
            0..=3 => self.insert(),
            4..=6 => {
                self.counts.n_updates += 1;
                let (shard, id) = self.some_order();
                let set = match self.random.random_range(0..4) {
                    0 => format!("amount = amount + {}.0625", self.random.random_range(0..100)),
                    1 => format!("state = {}, changed_at = NOW(3)", self.random.random_range(1..=4)),
                    2 => format!("note = {}, weight = NULL", self.text()),
                    _ => format!("customer = {}, placed_at = NOW(6), attributes = NULL", self.text()),
                };
                format!("UPDATE {} SET {set} WHERE id = {id}", self.shop.orders(shard))
            }
            7 => {
                self.counts.n_moves += 1;
                let (shard, id) = self.some_order();
                let fresh = self.fresh_id(shard);
                format!("UPDATE {} SET id = {fresh} WHERE id = {id}", self.shop.orders(shard))
            }
            _ => {
                self.counts.n_deletes += 1;
                let (shard, id) = self.some_order();
                format!("DELETE FROM {} WHERE id = {id}", self.shop.orders(shard))
            }
        }
    }

    fn insert(&mut self) -> String {
        self.counts.n_inserts += 1;
        let shard = self.some_shard();
        let id = self.fresh_id(shard);
        let (customer, note) = (self.text(), self.text());
        let random = &mut self.random;
        let (amount, state) = (random.random_range(-9_999_999..9_999_999), random.random_range(1..=4));
        let (weight, token): (f64, u128) = (random.random_range(-1e9..1e9), random.random());
        format!(
            "INSERT INTO {} VALUES ({id}, {customer}, {note}, {amount} / 1000, {state}, NOW(6), NOW(3), \
             '{{\"by\": \"writer\", \"n\": {id}}}', {weight:e}, x'{token:032x}')",
            self.shop.orders(shard)
        )
    }

    /// Rows of `events` are there several times, so LIMIT 1 takes one of several equal ones.
    fn change_event(&mut self) -> String {
        let events = format!("{}.events", self.shop.schema);
        let kind = self.random.random_range(0..N_KINDS);
        match self.random.random_range(0..4) {
            0 | 1 => {
                self.counts.n_inserts += 1;
                let what = self.text();
                let n_copies = self.random.random_range(1..=2);
                let row = format!("({kind}, {what}, TIMESTAMP'2025-01-01 00:00:00' + INTERVAL {kind} SECOND, NULL)");
                format!("INSERT INTO {events} VALUES {}", vec![row; n_copies].join(", "))
            }
            2 => {
                self.counts.n_updates += 1;
                let what = self.text();
                format!("UPDATE {events} SET what = {what} WHERE kind = {kind} LIMIT 1")
            }
            _ => {
                self.counts.n_deletes += 1;
                format!("DELETE FROM {events} WHERE kind = {kind} LIMIT 1")
            }
        }
    }

    /// A row that was there before or, as often, one of its own. It may be gone.
    fn some_order(&mut self) -> (u64, u64) {
        if !self.own.is_empty() && self.random.random_bool(0.5) {
            let at = self.random.random_range(0..self.own.len());
            if let Some(own) = self.own.get(at) {
                return *own;
            }
        }
        let shard = self.some_shard();
        (shard, shard * SHARD_STRIDE + self.random.random_range(1..=self.n_shard_rows))
    }

    fn some_shard(&mut self) -> u64 {
        self.shop.shards.choose(&mut self.random).copied().unwrap_or(self.shop.shards[0])
    }

    fn fresh_id(&mut self, shard: u64) -> u64 {
        self.n_fresh += 1;
        let id = shard * SHARD_STRIDE + FRESH_IDS + self.n_fresh;
        self.own.push_back((shard, id));
        if self.own.len() > MAX_OWN {
            self.own.pop_front();
        }
        id
    }

    fn text(&mut self) -> String {
        let name = NAMES.choose(&mut self.random).copied().unwrap_or(NAMES[0]);
        format!("'{name} {}'", self.random.random_range(0..1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_what_is_written() {
        let script = |seed| {
            let mut script = Script::new(&shop::SHOPS[0], 100, seed);
            (0..50).map(|_| script.transaction()).collect::<Vec<_>>()
        };
        assert_eq!(script(1), script(1));
        assert_ne!(script(1), script(2));
    }

    #[test]
    fn every_statement_is_counted_once() {
        let mut script = Script::new(&shop::SHOPS[0], 100, 7);
        let n_statements: usize = (0..500).map(|_| script.transaction().split(';').count() - 2).sum();
        assert_eq!(script.counts.n_statements(), n_statements as u64);
        let Counts { n_inserts, n_updates, n_moves, n_deletes, n_keyless, .. } = script.counts;
        assert!([n_inserts, n_updates, n_moves, n_deletes, n_keyless].iter().all(|n| *n > 0));
    }

    #[test]
    fn new_ids_stay_in_the_range_of_their_shard() {
        let mut script = Script::new(&shop::SHOPS[1], 100, 3);
        for _ in 0..1000 {
            let shard = script.some_shard();
            let id = script.fresh_id(shard);
            assert_eq!(id / SHARD_STRIDE, shard);
        }
    }

    #[test]
    fn only_the_source_with_events_writes_them() {
        let mut script = Script::new(&shop::SHOPS[1], 100, 3);
        assert!((0..500).all(|_| !script.transaction().contains("events")));
    }
}
