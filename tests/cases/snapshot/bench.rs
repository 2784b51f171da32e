//! A server whose schema `src` is copied to its schema `dst`, so that the server itself compares them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use dm_config::{SourceConfig, SubtaskConfig, TaskConfig};
use dm_model::{ClusterId, Epoch, Stage};
use dm_tests::{Server, ServerKind, ServerOptions};
use dm_worker::{
    assignment::Assignment,
    status::Board,
    unit::{
        Context, Leave, Stop,
        incarnation::Incarnation,
        snapshot::{self, Handover},
    },
};
use mysql_async::{Conn, Row, prelude::Queryable};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) board: Board,
    /// Lines of the `mydumpers` section.
    pub(crate) dump: &'static str,
    /// Who reads the source.
    pub(crate) reader: &'static str,
}

/// A run under an epoch.
pub(crate) struct Run {
    pub(crate) stop: Stop,
    pub(crate) ended: JoinHandle<Result<Handover, Leave>>,
}

impl Bench {
    pub(crate) async fn start(kind: ServerKind, dump: &'static str) -> Result<Self> {
        let server = Server::start(kind, ServerOptions::default()).await?;
        let bench = Self { server, board: Board::new(), dump, reader: "dm" };
        bench.run_sql(&["CREATE DATABASE src"]).await?;
        Ok(bench)
    }

    pub(crate) async fn conn(&self) -> Result<Conn> {
        let mut conn = self.server.connect().await?;
        conn.query_drop("SET NAMES utf8mb4").await?;
        conn.query_drop("SET sql_mode = '', time_zone = '+00:00'").await?;
        Ok(conn)
    }

    pub(crate) async fn run_sql(&self, statements: &[&str]) -> Result<()> {
        let mut conn = self.conn().await?;
        for sql in statements {
            conn.query_drop(*sql).await.with_context(|| (*sql).to_owned())?;
        }
        conn.disconnect().await?;
        Ok(())
    }

    pub(crate) async fn number(&self, sql: &str) -> Result<u64> {
        let mut conn = self.conn().await?;
        let number: Option<Option<u64>> = conn.query_first(sql).await.with_context(|| sql.to_owned())?;
        conn.disconnect().await?;
        Ok(number.flatten().unwrap_or_default())
    }

    pub(crate) fn context(&self, epoch: u64) -> Result<(Context, SubtaskConfig)> {
        let port = self.server.port();
        let task_yaml = format!(
            "name: copy\ntask-mode: all\nmeta-schema: dm_meta\n\
             target-database: {{host: 127.0.0.1, port: {port}, user: dm, password: dm}}\n\
             mysql-instances:\n  - {{source-id: one, block-allow-list: ba, route-rules: [r], mydumper-config-name: d}}\n\
             block-allow-list: {{ba: {{do-dbs: [src]}}}}\n\
             routes: {{r: {{schema-pattern: src, target-schema: dst}}}}\n\
             mydumpers: {{d: {{{}}}}}\n",
            self.dump
        );
        let source_yaml =
            format!("source-id: one\nfrom: {{host: 127.0.0.1, port: {port}, user: {}, password: dm}}\n", self.reader);
        let (task, _) = TaskConfig::parse(&task_yaml)?;
        let (source, _) = SourceConfig::parse(&source_yaml)?;
        let config = SubtaskConfig::resolve(&task, &source, None)?;
        let assignment = Assignment {
            epoch: Epoch(epoch),
            wanted_stage: Stage::Running,
            wanted_revision: 1,
            task_yaml,
            source_yaml,
            start_time: None,
            operators: Vec::new(),
            take_over: false,
        };
        let context = Context {
            id: config.id.clone(),
            cluster_id: ClusterId("cluster-a".to_owned()),
            secret_key: Vec::new(),
            cell: self.board.open(config.id.clone(), Epoch(epoch), 1),
            wish: tokio::sync::watch::channel(assignment.clone()).1,
            assignment,
        };
        Ok((context, config))
    }

    /// Takes the target over, then copies in the background.
    pub(crate) async fn begin(&self, epoch: u64) -> Result<Run> {
        let (context, config) = self.context(epoch)?;
        let incarnation = Incarnation::begin(&context, &config).await.map_err(|leave| anyhow::anyhow!("{leave:?}"))?;
        let stop = Stop { drain: CancellationToken::new(), kill: CancellationToken::new() };
        let told = stop.clone();
        let incarnation = Arc::new(incarnation);
        let ended = tokio::spawn(async move { snapshot::run(&incarnation, &told).await });
        Ok(Run { stop, ended })
    }

    pub(crate) async fn copy(&self, epoch: u64) -> Result<Handover> {
        match self.begin(epoch).await?.ended.await? {
            Ok(handover) => Ok(handover),
            Err(leave) => bail!("the copy ended: {leave:?}"),
        }
    }

    /// The server's own checksum of each table, here and there.
    pub(crate) async fn same(&self, tables: &[&str]) -> Result<()> {
        let mut conn = self.conn().await?;
        for table in tables {
            let rows: Vec<Row> = conn.query(format!("CHECKSUM TABLE src.{table}, dst.{table}")).await?;
            let sums: Vec<Option<u64>> = rows.iter().map(|row| row.get(1).flatten()).collect();
            let [there, here] = sums.as_slice() else { bail!("two checksums of {table}") };
            ensure!(there.is_some() && there == here, "{table}: {there:?} and {here:?}");
        }
        conn.disconnect().await?;
        Ok(())
    }

    /// A lock in the target's `dst.big` at which the copy stands still, half done: drop it to let it go on.
    pub(crate) async fn obstacle(&self) -> Result<Conn> {
        self.run_sql(&["CREATE DATABASE dst", "CREATE TABLE dst.big LIKE src.big"]).await?;
        let mut conn = self.conn().await?;
        conn.query_drop("BEGIN").await?;
        conn.query_drop("INSERT INTO dst.big (id) VALUES (35000)").await?;
        Ok(conn)
    }

    /// Waits until the first transactions of `src.big` are in the target.
    pub(crate) async fn half_copied(&self) -> Result<()> {
        let sql = "SELECT row_count FROM dm_meta.dm_snapshot_chunk WHERE src_table = 'big' AND state = 'copying'";
        wait_until(|| async { Ok(self.number(sql).await? >= 20_000) }).await
    }
}

/// Asks until it is so; fails after a minute.
pub(crate) async fn wait_until<F: Future<Output = Result<bool>>>(is_so: impl Fn() -> F) -> Result<()> {
    for _ in 0..600 {
        if is_so().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("not so within a minute")
}

/// `src.big`: 60 000 rows with integer keys.
pub(crate) const BIG: [&str; 4] = [
    "CREATE TABLE src.big (id INT PRIMARY KEY, v VARCHAR(20), n INT)",
    "INSERT INTO src.big WITH RECURSIVE d AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM d WHERE i < 244) \
     SELECT a.i * 245 + b.i + 1, CONCAT('v', a.i), b.i FROM d a, d b WHERE a.i * 245 + b.i < 60000",
    "ANALYZE TABLE src.big",
    "CREATE VIEW src.seen AS SELECT id FROM src.big",
];
