//! Decoding a binlog file of 300 MB: events cut, checked, and every value of every 12-column row read, on one thread.

use std::{fs, io::Write};

use anyhow::{Context, Result};
use dm_binlog::{Body, Decoder, Tables, Value};
use dm_model::Flavor;
use dm_tests::{Server, ServerKind};
use mysql_async::prelude::Queryable;

use super::{
    Options,
    data::{self, Data},
    decode,
    figures::{Goal, Series, Verdicts},
    process,
};

const N_ROWS: u64 = 2_400_000;
const ROWS_PER_STATEMENT: u64 = 50_000;
const TABLE: &str = "CREATE TABLE bench.wide (id BIGINT NOT NULL PRIMARY KEY, account INT UNSIGNED NOT NULL, customer VARCHAR(64) \
     NOT NULL, note VARCHAR(160), amount DECIMAL(14,4) NOT NULL, weight DOUBLE, state ENUM('new','paid','sent','returned') \
     NOT NULL, placed_at DATETIME(6) NOT NULL, changed_at TIMESTAMP NOT NULL, day DATE, token VARBINARY(32) NOT NULL, flags \
     SMALLINT) ENGINE=BLACKHOLE";

/// A server whose first binlog holds the rows.
pub async fn server() -> Result<Server> {
    let options = data::options(1, 2).with("--plugin-load-add=ha_blackhole");
    let server = Server::start(ServerKind::MariaDb, options.with("--max-binlog-size=1G")).await?;
    let mut root = server.root().await?;
    root.query_drop("CREATE DATABASE bench").await.context("make a schema")?;
    root.query_drop("USE bench").await.context("choose a schema")?;
    root.query_drop(TABLE).await.context("make a table")?;
    let mut first = 1;
    while first <= N_ROWS {
        let last = first + ROWS_PER_STATEMENT - 1;
        let sql = format!(
            "INSERT INTO bench.wide SELECT seq, seq % 4000000, CONCAT('customer ', seq), CONCAT('deliver to number ', \
             seq % 977, ', second floor, ring twice'), seq / 7, seq / 3, 1 + seq % 4, '2024-02-29 23:59:59.5' + INTERVAL seq SECOND, \
             FROM_UNIXTIME(1600000000 + seq), '2024-02-29' + INTERVAL seq % 1000 DAY, UNHEX(MD5(seq)), seq % 32000 \
             FROM seq_{first}_to_{last}"
        );
        root.query_drop(sql).await.context("fill a binlog")?;
        first = last + 1;
    }
    root.disconnect().await?;
    Ok(server)
}

/// Prints rates of all rounds.
///
/// # Errors
/// The file cannot be read or decoded.
pub fn run(options: &Options, data: &Data, out: &mut dyn Write, verdicts: &mut Verdicts) -> Result<()> {
    let path = data.binlog_folder().join("mysql-bin.000001");
    let file = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let frames = decode::frames(&file)?;
    let (mut per_cpu, mut mb_per_cpu) = (Series::default(), Series::default());
    let mut n_rows = 0;
    for _ in 0..options.n_rounds().max(3) {
        let before = process::thread_cpu_seconds()?;
        n_rows = decode_all(&frames)?;
        let seconds = (process::thread_cpu_seconds()? - before).max(1e-3);
        per_cpu.push(n_rows as f64 / seconds / 1e6);
        mb_per_cpu.push(file.len() as f64 / seconds / 1e6);
    }
    let mb = file.len() / 1_000_000;
    writeln!(out, "decode: {mb} MB of binlog, {n_rows} rows of 12 columns, checksums checked, one thread")?;
    writeln!(out, "  million rows per CPU second  {}", per_cpu.text(2))?;
    writeln!(out, "  MB per CPU second            {}", mb_per_cpu.text(0))?;
    verdicts.add(format!("decode {mb} MB, 12 columns: rows per CPU second"), Goal::AtLeast(2.0), " M", per_cpu);
    Ok(())
}

fn decode_all(frames: &[&[u8]]) -> Result<u64> {
    let (mut decoder, mut tables) = (Decoder::new(Flavor::MariaDb), Tables::new());
    let mut n_rows = 0;
    for frame in frames {
        match decoder.decode(frame).context("decode an event")?.body {
            Body::TableMap(map) => {
                tables.learn(&map).context("learn a table map")?;
            }
            Body::Rows(rows) if !rows.is_dummy() => {
                let table = tables.get(rows.table_id).context("find a table map")?;
                let (mut before, mut after): (Vec<Value<'_>>, Vec<Value<'_>>) = (Vec::new(), Vec::new());
                let mut reader = rows.reader(&table.plan).context("read rows")?;
                while reader.next(&mut before, &mut after).context("read a row")? {
                    n_rows += 1;
                    std::hint::black_box((&before, &after));
                }
            }
            _ => {}
        }
    }
    Ok(n_rows)
}
