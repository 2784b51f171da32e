//! The crash matrix: an owner ends (SIGKILL) or freezes (SIGSTOP, longer than its lease) at every named point, by GTID and by
//! position, on both kinds of server, while an application writes. The data is equal in every cell, and a cell whose point
//! was never passed has failed.
//!
//! `DM_MATRIX=all` runs every cell, a word only cells whose text has it; else two cells of each row are drawn by
//! `DM_SEED`.

#[path = "matrix/cell.rs"]
mod cell;
#[path = "matrix/life.rs"]
mod life;
#[path = "matrix/load.rs"]
mod load;
#[path = "matrix/mutants.rs"]
mod mutants;
#[path = "matrix/place.rs"]
mod place;
#[path = "matrix/run.rs"]
mod run;
#[path = "matrix/texts.rs"]
mod texts;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use cell::{Action, Cell};
use dm_mysql::fail_point::Mutant;
use dm_tests::ServerKind;
use place::{Servers, Stream};

const SEED: u64 = 1;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn every_point_is_in_the_matrix() {
    let points = dm_mysql::fail_point::POINTS.into_iter().chain(dm_worker::fail_point::POINTS);
    for point in points {
        assert!(cell::ROWS.iter().any(|row| row.point == point), "no row passes {point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_lost_or_doubled_wherever_an_owner_ends() {
    let _turn = turn().await;
    let begun = Instant::now();
    let wanted = std::env::var("DM_MATRIX").unwrap_or_default();
    let seed = number("DM_SEED", SEED);
    let all = wanted == "all" || !wanted.is_empty();
    let cells: Vec<Cell> = cell::cells(seed, all)
        .into_iter()
        .filter(|cell| wanted == "all" || cell.to_string().contains(&wanted))
        .collect();
    let n_cells = cells.len();
    assert!(n_cells > 0, "no cell has `{wanted}`");
    let servers = Servers::start().await.expect("start the servers");
    let done = Arc::new(Mutex::new(Vec::new()));
    let mut streams = Vec::new();
    // the proof reads all that happens in a target: one cell at a time in each
    for target in ServerKind::ALL {
        let mut queue: VecDeque<Cell> = cells.iter().filter(|cell| cell.target == target).cloned().collect();
        let (servers, done) = (Arc::clone(&servers), Arc::clone(&done));
        streams.push(tokio::spawn(async move {
            let stream = Stream::start(servers).await.expect("start a master");
            while let Some(cell) = queue.pop_front() {
                let ran = run::run(&stream, &cell).await;
                match &ran.result {
                    Ok(()) => println!("matrix: {cell}: ok ({:.1?})", ran.took),
                    Err(error) => println!("matrix: {cell}: FAILED ({:.1?}): {error:#}", ran.took),
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).push((cell, ran));
            }
        }));
    }
    for stream in streams {
        stream.await.expect("a stream of cells");
    }
    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", table(&done));
    println!("matrix: {} of {n_cells} cells in {:.0?}, seed {seed}", done.len(), begun.elapsed());
    let failed: Vec<String> = done
        .iter()
        .filter_map(|(cell, ran)| ran.result.as_ref().err().map(|error| format!("{cell}: {}", error.root_cause())))
        .collect();
    assert!(failed.is_empty() && done.len() == n_cells, "{} cells failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proof_notices_every_rule_that_is_switched_off() {
    let _turn = turn().await;
    let servers = Servers::start().await.expect("start the servers");
    let stream = Stream::start(servers).await.expect("start a master");
    let only = std::env::var("DM_MUTANTS").unwrap_or_default();
    let mut failed = Vec::new();
    for mutant in Mutant::ALL.into_iter().filter(|mutant| mutant.as_str().contains(&only)) {
        if let Err(error) = mutants::is_caught(&stream, mutant).await {
            failed.push(format!("{}: {error:#}", mutant.as_str()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The tests of this file take turns: each starts servers and masters.
async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TURN.lock().await
}

/// A line for each point in each situation: cells, hits, failures, seconds.
fn table(done: &[(Cell, run::Done)]) -> String {
    let mut lines: BTreeMap<(String, &str), (u32, u32, u32, f64)> = BTreeMap::new();
    for (cell, ran) in done {
        let action = match cell.action {
            Action::Kill => "kill",
            Action::Stop => "stop",
        };
        let line = lines.entry((format!("{} ({:?})", cell.row.point, cell.row.scenario), action)).or_default();
        line.0 += 1;
        line.1 += u32::from(ran.hits.iter().any(|hit| hit.point == cell.row.point && hit.action == cell.action));
        line.2 += u32::from(ran.result.is_err());
        line.3 += ran.took.as_secs_f64();
    }
    let mut text =
        format!("{:<34} {:<5} {:>5} {:>5} {:>6} {:>8}\n", "point", "act", "cells", "hits", "failed", "s/cell");
    for ((point, action), (n, hits, failed, seconds)) in lines {
        text.push_str(&format!(
            "{point:<34} {action:<5} {n:>5} {hits:>5} {failed:>6} {:>8.1}\n",
            seconds / f64::from(n.max(1))
        ));
    }
    text
}
