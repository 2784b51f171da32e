//! A process that writes to a store and is killed at any moment: whatever it said was done is there afterwards.
//!
//! The writer is this test binary started again. It tells each finished step on its standard error; the test kills it,
//! opens the store and compares. Rounds go on with the same store.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use dm_raft::{
    log_store::LogStore,
    types::{Entry, LeaderId, LogId, TypeConfig, Vote},
};
use openraft::{
    EntryPayload, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
    type_config::TypeConfigExt,
    vote::RaftLeaderId as _,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Tells the child where to write; without it the child's part does nothing.
const STORE: &str = "DM_RAFT_CRASH_STORE";
const ROUNDS: u32 = 24;
/// No round starts after this; fewer rounds than [`ROUNDS`] are a failure.
const LIMIT: Duration = Duration::from_secs(60);
/// Steps after which a child that nobody kills ends.
const MAX_STEPS: u32 = 2_000;

fn id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId::new(term, 1), index)
}

/// The entry that a term writes at an index: its content follows from both.
fn entry(term: u64, index: u64) -> Entry {
    let length = (term * 37 + index * 101) % 1500 + 1;
    let content = (0..length).map(|at| (term ^ index ^ at).to_le_bytes()[0]).collect::<Vec<u8>>();
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(dm_raft::types::Proposal(content.into())) }
}

fn say(step: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    // One write per line, so that a line is there whole or not at all.
    Ok(std::io::stderr().write_all(format!("@{step}\n").as_bytes())?)
}

/// The child: steps of a Raft log's life, each told when the store says it is durable.
#[tokio::test]
async fn writer() -> anyhow::Result<()> {
    let Ok(directory) = std::env::var(STORE) else { return Ok(()) };
    let mut random = StdRng::seed_from_u64(u64::from(std::process::id()));
    let mut store = LogStore::open(Path::new(&directory))?;
    let mut term = store.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    let mut next = store.get_log_state().await?.last_log_id.map_or(0, |id| id.index + 1);
    for step in 0..MAX_STEPS {
        match random.random_range(0..20) {
            0 => {
                term += 1;
                store.save_vote(&Vote::new(term, 1)).await?;
                say(format_args!("vote {term}"))?;
            }
            // A new leader cuts off what the old one left.
            1 if next > 20 => {
                term += 1;
                store.save_vote(&Vote::new_committed(term, 1)).await?;
                say(format_args!("vote {term}"))?;
                let purged = store.get_log_state().await?.last_purged_log_id.map_or(0, |id| id.index);
                let keep = next.saturating_sub(random.random_range(2..10)).max(purged);
                if keep > purged {
                    let kept = store.try_get_log_entries(keep..=keep).await?;
                    say(format_args!("cutting {keep} {term}"))?;
                    store.truncate_after(kept.first().map(|entry| entry.log_id)).await?;
                    next = keep + 1;
                }
            }
            2 if next > 200 && step % 2 == 0 => {
                let upto = next - 100;
                if let Some(entry) = store.try_get_log_entries(upto..=upto).await?.first() {
                    say(format_args!("purging {upto}"))?;
                    store.purge(entry.log_id).await?;
                }
            }
            _ => {
                // Several appends under way at once, as a leader's are.
                let mut under_way = Vec::new();
                for _ in 0..random.random_range(1..4) {
                    let first = next;
                    next += random.random_range(1..12);
                    let (done, waiter) = TypeConfig::oneshot();
                    let entries: Vec<_> = (first..next).map(|index| entry(term, index)).collect();
                    store.append(entries, IOFlushed::signal(done)).await?;
                    under_way.push((first, next - 1, waiter));
                }
                store.save_committed(Some(id(term, next - 1))).await?;
                for (first, last, waiter) in under_way {
                    waiter.await??;
                    say(format_args!("wrote {first} {last} {term}"))?;
                }
            }
        }
    }
    Ok(())
}

/// What the children said.
#[derive(Default)]
struct Told {
    vote: u64,
    /// Index to term.
    written: BTreeMap<u64, u64>,
    purging: u64,
    n_lines: u64,
}

impl Told {
    fn hear(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(words) = line.strip_prefix('@') else { return Ok(()) };
        let mut words = words.split(' ');
        let step = words.next().unwrap_or_default();
        let numbers = words.map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        match (step, numbers.as_slice()) {
            ("vote", [term]) => self.vote = *term,
            ("cutting", [keep, _]) => {
                self.written.split_off(&(keep + 1));
            }
            ("purging", [upto]) => self.purging = *upto,
            ("wrote", [first, last, term]) => self.written.extend((*first..=*last).map(|index| (index, *term))),
            _ => anyhow::bail!("not a step: {line}"),
        }
        self.n_lines += 1;
        Ok(())
    }

    /// Compares with what is in the store.
    async fn check(&self, directory: &Path) -> anyhow::Result<()> {
        let mut store = LogStore::open(directory)?;
        let vote = store.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
        ensure!(vote >= self.vote, "vote of term {} fell back to {vote}", self.vote);
        let state = store.get_log_state().await?;
        let start = state.last_purged_log_id.map_or(0, |id| id.index + 1);
        ensure!(start <= self.purging + 1, "entries below {start} are gone, asked was {}", self.purging);
        let found = store.try_get_log_entries(..).await?;
        for (expected, found) in (start..).zip(&found) {
            let term = found.log_id.leader_id.term;
            ensure!(found.log_id.index == expected, "entry {expected} is missing");
            ensure!(found == &entry(term, expected), "entry {expected} has another content");
        }
        for (index, term) in self.written.range(start..) {
            let found = usize::try_from(index - start).ok().and_then(|at| found.get(at));
            let found = found.with_context(|| format!("entry {index} was acknowledged and is lost"))?;
            let found = found.log_id.leader_id.term;
            ensure!(found >= *term, "entry {index} of term {term} is one of term {found} again");
        }
        store.close();
        Ok(())
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_it_said_was_done() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let started = Instant::now();
    let mut random = StdRng::seed_from_u64(7);
    let mut told = Told::default();
    for round in 0..ROUNDS {
        ensure!(started.elapsed() < LIMIT, "only {round} rounds in {LIMIT:?}");
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "writer", "--nocapture"])
            .env(STORE, directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no pipe")?).lines();
        // Some are killed while they open the store, the others anywhere in their work.
        let n_lines = if round % 6 == 5 { 0 } else { random.random_range(1..150) };
        for line in lines.by_ref().take(n_lines) {
            told.hear(&line?)?;
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..5_000)));
        child.kill()?;
        child.wait()?;
        for line in lines {
            told.hear(&line?)?;
        }
        told.check(directory.path()).await.with_context(|| format!("round {round}"))?;
    }
    ensure!(told.n_lines > 500, "the children did only {} steps", told.n_lines);
    println!("{} steps in {:?}, {} entries", told.n_lines, started.elapsed(), told.written.len());
    Ok(())
}
