//! The data all contenders start from: folders of stopped servers, made once and kept in the cache.
//!
//! `baseline` holds sysbench's tables; `source-four` and `source-hot` are the baseline after a run of `oltp_write_only`, with that
//! run and nothing else in its binlog. A run copies these folders and never changes them. Fails when a program is missing or
//! the disk is full; a folder without its `complete` file is made again.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use dm_tests::{Server, ServerKind, ServerOptions};
use mysql_async::prelude::Queryable;

use super::{Part, decode_file, process::want_programs, sync::Load};

pub const SCHEMA: &str = "sbtest";
pub const N_TABLES: u32 = 4;
pub const N_TABLE_ROWS: u32 = 250_000;
/// Every transaction of `oltp_write_only` changes so many rows.
pub const ROWS_PER_TRANSACTION: u64 = 4;
/// Clients that write the backlog: what they commit together, a replica may apply together.
const N_WRITERS: u32 = 8;

/// Where the data is.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    quick: bool,
}

impl Data {
    /// Makes what the parts need and is not there.
    ///
    /// # Errors
    /// See the module.
    pub async fn open(quick: bool, parts: &[Part], out: &mut dyn Write) -> Result<Self> {
        let cache = std::env::var_os("DM_CACHE").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/dm"));
        let folder = cache.or_else(home).context("find the cache folder: set DM_CACHE or HOME")?.join("bench-1");
        let data = Self { folder, quick };
        let has = |wanted: &[Part]| parts.iter().any(|part| wanted.contains(part));
        if has(&[Part::Sync1, Part::Sync2, Part::Hot1, Part::Hot2, Part::Snapshot]) {
            want_programs(&[("sysbench", "sysbench"), ("mydumper", "mydumper")])?;
            data.make("baseline", out, data.baseline_server()).await?;
        }
        for (wanted, load) in [(&[Part::Sync1, Part::Sync2], Load::Four), (&[Part::Hot1, Part::Hot2], Load::Hot)] {
            if has(wanted) {
                data.make(&data.source_name(load), out, data.source_server(load)).await?;
            }
        }
        if has(&[Part::Decode]) {
            data.make("binlog", out, decode_file::server()).await?;
        }
        Ok(data)
    }

    /// A data folder with the tables as they are before the backlog.
    pub fn baseline(&self) -> PathBuf {
        self.folder.join("baseline/data")
    }

    /// A data folder with the backlog in its binlog.
    pub fn source(&self, load: Load) -> PathBuf {
        self.folder.join(self.source_name(load)).join("data")
    }

    pub fn binlog_folder(&self) -> PathBuf {
        self.folder.join("binlog/data")
    }

    fn source_name(&self, load: Load) -> String {
        format!("source-{}-{}", load.as_str(), self.n_transactions())
    }

    /// Transactions of a backlog.
    pub fn n_transactions(&self) -> u64 {
        if self.quick { 20_000 } else { 60_000 }
    }

    async fn make(&self, name: &str, out: &mut dyn Write, server: impl Future<Output = Result<Server>>) -> Result<()> {
        let folder = self.folder.join(name);
        if folder.join("complete").is_file() {
            return Ok(());
        }
        writeln!(out, "making {} (once)", folder.display())?;
        out.flush()?;
        if folder.exists() {
            fs::remove_dir_all(&folder).context("remove an incomplete folder")?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut server = server.await?;
        server.stop().await?;
        let copied = Command::new("cp")
            .arg("-a")
            .arg(server.dir().join("data"))
            .arg(folder.join("data"))
            .status()
            .context("copy a data folder")?;
        ensure!(copied.success(), "cannot copy to {}", folder.display());
        fs::write(folder.join("complete"), "").context("mark a folder as complete")
    }

    async fn baseline_server(&self) -> Result<Server> {
        let server = Server::start(ServerKind::MariaDb, options(1, 2).with("--skip-log-bin")).await?;
        let mut root = server.root().await?;
        root.query_drop(format!("CREATE DATABASE {SCHEMA}")).await?;
        root.disconnect().await?;
        sysbench(&server, &[&format!("--tables={N_TABLES}"), "--threads=2", "prepare"])?;
        Ok(server)
    }

    async fn source_server(&self, load: Load) -> Result<Server> {
        let server = Server::start_from(ServerKind::MariaDb, options(1, 2), &self.baseline()).await?;
        let (tables, threads) = (format!("--tables={}", load.n_tables()), format!("--threads={N_WRITERS}"));
        let events = format!("--events={}", self.n_transactions());
        sysbench(&server, &[&tables, &threads, &events, "--time=0", "--rand-seed=7", "run"])?;
        Ok(server)
    }
}

/// A server as all of them are here: everything fits into memory, and the redo log does not make it wait.
pub fn options(server_id: u32, flush: u8) -> ServerOptions {
    ServerOptions::default()
        .with_server_id(server_id)
        .with_flush(flush)
        .with("--innodb-buffer-pool-size=1G")
        .with("--innodb-log-file-size=256M")
        .with("--max-connections=200")
}

fn sysbench(server: &Server, words: &[&str]) -> Result<()> {
    let output = Command::new("sysbench")
        .args(["oltp_write_only", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=root"])
        .args([format!("--mysql-port={}", server.port()), format!("--mysql-db={SCHEMA}")])
        .arg(format!("--table-size={N_TABLE_ROWS}"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("run sysbench")?;
    ensure!(
        output.status.success(),
        "sysbench failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A fresh server on a copy of a folder, with its pages in memory and nothing left to be written to disk.
///
/// # Errors
/// It does not start.
pub async fn warm_server(options: ServerOptions, folder: &Path) -> Result<Server> {
    let server = Server::start_from(ServerKind::MariaDb, options, folder).await?;
    let mut root = server.root().await?;
    for table in 1..=N_TABLES {
        for index in ["PRIMARY".to_owned(), format!("k_{table}")] {
            let sql = format!("SELECT SUM(k), COUNT(*) FROM {SCHEMA}.sbtest{table} FORCE INDEX (`{index}`)");
            root.query_drop(sql).await.context("read a table")?;
        }
    }
    root.disconnect().await?;
    flush_disk();
    Ok(server)
}

/// What was copied is written now and not during a measurement.
pub fn flush_disk() {
    nix::unistd::sync();
}

/// `CHECKSUM TABLE` of all tables.
///
/// # Errors
/// The server does not answer.
pub async fn checksums(server: &Server) -> Result<Vec<(String, Option<u64>)>> {
    let tables: Vec<String> = (1..=N_TABLES).map(|table| format!("{SCHEMA}.sbtest{table}")).collect();
    let mut root = server.root().await?;
    let sums = root.query(format!("CHECKSUM TABLE {}", tables.join(", "))).await.context("checksum tables")?;
    root.disconnect().await?;
    Ok(sums)
}
