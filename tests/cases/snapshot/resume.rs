//! An owner dies at half of a table, under writers: its successor reads what is left, and the target ends as the source.

use anyhow::{Result, ensure};
use dm_tests::ServerKind;

use super::{
    pair::{Pair, number},
    writers::{Kind, Writer},
};

/// Kills the first owner at half and says what share of the table the second one read.
async fn share_of_the_successor(pair: &Pair, kind: Kind, n_rows: u64, dump: &str) -> Result<f64> {
    let schema = format!("by_{kind:?}").to_lowercase();
    let statements = kind.create(&schema, n_rows);
    pair.on_source(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let writer = Writer::start(&pair.source, kind, &schema, n_rows);
    writer.go_on(20).await?;
    let first = pair.run(&schema, 1, dump)?;
    pair.until_copied(&first, &schema, "t", n_rows / 2).await?;
    first.kill().await;
    let n_copied = pair.copied(&schema, "t").await?;
    ensure!(n_copied < n_rows * 9 / 10, "killed too late: {n_copied} of {n_rows} rows");
    writer.go_on(200).await?;

    let n_before = pair.read_by(2).await?;
    let second = pair.run(&schema, 2, dump)?;
    pair.until_sync(&second).await?;
    let n_read = pair.read_by(2).await? - n_before;
    let positions = format!(
        "SELECT COUNT(DISTINCT snap_file, snap_off) FROM dm_meta.dm_snapshot_chunk WHERE task = '{schema}' AND src_table = 't'"
    );
    let n_positions = number(&pair.target, &positions).await?;
    ensure!(n_positions == if kind == Kind::Keyless { 1 } else { 2 }, "{n_positions} positions");
    let unfinished =
        format!("SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE task = '{schema}' AND state <> 'done'");
    ensure!(number(&pair.target, &unfinished).await? == 0);
    writer.go_on(50).await?;
    let n_changes = writer.stop().await?;
    pair.catch_up(&second).await?;
    pair.same(&schema, "t", kind.columns()).await?;
    pair.same(&schema, "nothing", "id, v, n").await?;
    second.drain().await?;
    let share = n_read as f64 / n_rows as f64;
    println!(
        "{} {kind:?}: {n_rows} rows, killed at {:.0} %, successor read {:.1} %, {n_changes} changes by then",
        pair.source.kind().as_str(),
        n_copied as f64 * 100.0 / n_rows as f64,
        share * 100.0
    );
    Ok(share)
}

/// Small chunks, and one large one in which the successor goes on.
async fn reads_at_most_what_is_left(kind: ServerKind) -> Result<()> {
    let pair = Pair::start(kind).await?;
    for (key, dump) in [
        (Kind::Integer, "threads: 2, rows: 5000"),
        (Kind::Collated, "threads: 2, rows: 5000"),
        (Kind::Composite, "threads: 2, rows: 10000000"),
        (Kind::Coupled, "threads: 2, rows: 8000"),
    ] {
        let share = share_of_the_successor(&pair, key, 120_000, dump).await?;
        ensure!(share <= 0.6, "{key:?}: {share}");
    }
    // No order to go on in: emptied and read again, by a source that is alone.
    let share = share_of_the_successor(&pair, Kind::Keyless, 60_000, "threads: 2").await?;
    ensure!((0.9..1.2).contains(&share), "keyless: {share}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_of_mariadb_reads_at_most_what_is_left() -> Result<()> {
    reads_at_most_what_is_left(ServerKind::MariaDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_of_mysql_reads_at_most_what_is_left() -> Result<()> {
    reads_at_most_what_is_left(ServerKind::MySql).await
}
