//! A source and a target of their own, and whole subtasks between them (copy, then replication), each owner with a source user of
//! its own, so that the server counts what each has read.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use dm_model::{ClusterId, Epoch, SourceId, Stage, SubtaskId, TaskName};
use dm_mysql::{facts, schema};
use dm_tests::{Server, ServerKind, ServerOptions, wait};
use dm_worker::{
    assignment::Assignment,
    status::{Board, Cell, UnitView},
    unit::{self, Context, Failure, Stop, UnitEnd},
};
use mysql_async::{Conn, prelude::Queryable};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a copy may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Pair {
    pub(crate) source: Server,
    pub(crate) target: Server,
    /// Where the target is reached, when not at its own port.
    pub(crate) target_port: Option<u16>,
    /// Further lines of the task.
    pub(crate) lines: String,
    /// Further keys of its instance, as `route-rules: [r]`.
    pub(crate) instance: String,
}

/// One owner's run of a task.
pub(crate) struct Run {
    pub(crate) stop: Stop,
    pub(crate) ended: JoinHandle<UnitEnd>,
    pub(crate) cell: Cell,
    _wish: watch::Sender<Assignment>,
}

impl Pair {
    pub(crate) async fn start(source: ServerKind) -> Result<Self> {
        log();
        let options = ServerOptions::default().with("--performance-schema=ON");
        let (source, target) = tokio::try_join!(
            Server::start(source, options),
            Server::start(ServerKind::MariaDb, ServerOptions::default().with_server_id(2)),
        )?;
        let pair = Self { source, target, target_port: None, lines: String::new(), instance: String::new() };
        let mut root = pair.source.root().await?;
        for epoch in 1..=4 {
            root.query_drop(format!("CREATE USER reader{epoch} IDENTIFIED BY 'dm'")).await?;
            root.query_drop(format!("GRANT ALL PRIVILEGES ON *.* TO reader{epoch}")).await?;
        }
        root.disconnect().await?;
        Ok(pair)
    }

    /// Runs the task that copies and follows the schema of its name.
    pub(crate) fn run(&self, schema: &str, epoch: u64, dump: &str) -> Result<Run> {
        let port = self.target_port.unwrap_or_else(|| self.target.port());
        let instance = if self.instance.is_empty() { String::new() } else { format!(", {}", self.instance) };
        let task_yaml = format!(
            "name: {schema}\ntask-mode: all\nmeta-schema: dm_meta\n\
             target-database: {{host: 127.0.0.1, port: {port}, user: dm, password: dm}}\n\
             mysql-instances:\n  - {{source-id: one, block-allow-list: ba, mydumper-config-name: d{instance}}}\n\
             block-allow-list: {{ba: {{do-dbs: [{schema}]}}}}\n\
             mydumpers: {{d: {{{dump}}}}}\n{}",
            self.lines,
        );
        let source_yaml = format!(
            "source-id: one\nenable-gtid: true\nfrom: {{host: 127.0.0.1, port: {}, user: reader{epoch}, password: dm}}\n",
            self.source.port()
        );
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
        let id = SubtaskId::new(TaskName::parse(schema)?, SourceId::parse("one")?);
        let cell = Board::new().open(id.clone(), Epoch(epoch), 1);
        let (wish, receiver) = watch::channel(assignment.clone());
        let context = Context {
            id,
            cluster_id: ClusterId("cluster-a".to_owned()),
            secret_key: Vec::new(),
            assignment,
            wish: receiver,
            cell: cell.clone(),
        };
        let stop = Stop { drain: CancellationToken::new(), kill: CancellationToken::new() };
        let told = stop.clone();
        let name = format!("{schema}, epoch {epoch}");
        let ended = tokio::spawn(async move {
            let end = unit::run(context, told).await;
            if let UnitEnd::Failed(failure) = &end {
                println!("{name} failed: {:?}", failure.report);
            }
            end
        });
        Ok(Run { stop, ended, cell, _wish: wish })
    }

    pub(crate) async fn on_source(&self, statements: &[&str]) -> Result<()> {
        execute(&self.source, statements).await
    }

    /// Rows that the markers of a table say are in the target.
    pub(crate) async fn copied(&self, schema: &str, table: &str) -> Result<u64> {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(row_count), 0) AS UNSIGNED) FROM dm_meta.dm_snapshot_chunk WHERE src_schema = '{schema}' \
             AND src_table = '{table}'"
        );
        match number(&self.target, &sql).await {
            Ok(n_rows) => Ok(n_rows),
            // Not taken over yet.
            Err(_) => Ok(0),
        }
    }

    /// Waits until at least so many rows of a table are in the target.
    pub(crate) async fn until_copied(&self, run: &Run, schema: &str, table: &str, n_rows: u64) -> Result<()> {
        wait::until("rows of the copy", LIMIT, || async {
            ensure_alive(run)?;
            Ok((self.copied(schema, table).await? >= n_rows).then_some(()))
        })
        .await
    }

    /// Waits until a table has a plan.
    pub(crate) async fn until_planned(&self, run: &Run, schema: &str, table: &str) -> Result<()> {
        let sql = format!(
            "SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE src_schema = '{schema}' AND src_table = '{table}'"
        );
        wait::until("a plan", LIMIT, || async {
            ensure_alive(run)?;
            Ok((number(&self.target, &sql).await? > 0).then_some(()))
        })
        .await
    }

    /// What an owner has read from the source's tables, by the server's own counters (`Handler_read_*` of its user).
    pub(crate) async fn read_by(&self, epoch: u64) -> Result<u64> {
        let sql = format!(
            "SELECT CAST(SUM(variable_value) AS UNSIGNED) FROM performance_schema.status_by_user WHERE user = 'reader{epoch}' \
             AND variable_name LIKE 'Handler_read_%'"
        );
        number(&self.source, &sql).await
    }

    /// Waits until replication runs.
    pub(crate) async fn until_sync(&self, run: &Run) -> Result<()> {
        wait::until("replication", LIMIT, || async {
            ensure_alive(run)?;
            Ok(matches!(run.cell.read().unit_view, UnitView::Sync(_)).then_some(()))
        })
        .await
    }

    /// Waits until what the source has now is in the target.
    pub(crate) async fn catch_up(&self, run: &Run) -> Result<()> {
        let mut conn = self.source.connect().await?;
        let found = facts(&mut conn).await?;
        let end = schema::binlog_status(&mut conn, &found).await?.context("the source's position")?;
        conn.disconnect().await?;
        wait::until("the target to catch up", LIMIT, || async {
            ensure_alive(run)?;
            let view = run.cell.read();
            Ok(match &view.unit_view {
                UnitView::Sync(sync) => (sync.synced.position >= end.position).then_some(()),
                UnitView::Load(_) | UnitView::Message(_) | UnitView::None => None,
            })
        })
        .await
        .with_context(|| format!("{:#?}", run.cell.read()))
    }

    /// The same rows of these columns on both sides.
    pub(crate) async fn same(&self, schema: &str, table: &str, columns: &str) -> Result<()> {
        let shown: Vec<String> =
            columns.split(',').map(|column| format!("COALESCE(HEX({}), '-')", column.trim())).collect();
        let row = format!("CONCAT_WS('|', {})", shown.join(", "));
        // Not a checksum of the table: order and storage differ.
        let sql = format!(
            "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(CRC32({row})), 0), ' ', COALESCE(BIT_XOR(CRC32(CONCAT('+', {row}))), 0)) \
             FROM {schema}.{table}"
        );
        let (there, here) = (text(&self.source, &sql).await?, text(&self.target, &sql).await?);
        ensure!(there == here, "{schema}.{table}: {there} in the source, {here} in the target");
        Ok(())
    }

    /// Names of a schema's tables.
    pub(crate) async fn tables(server: &Server, schema: &str) -> Result<Vec<String>> {
        let mut conn = server.connect().await?;
        let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? ORDER BY table_name";
        let names = conn.exec(sql, (schema,)).await?;
        conn.disconnect().await?;
        Ok(names)
    }
}

impl Run {
    /// As `kill -9`: nothing is finished, told or closed in order.
    pub(crate) async fn kill(self) {
        self.stop.kill.cancel();
        self.ended.abort();
        let _gone = self.ended.await;
    }

    pub(crate) async fn drain(self) -> Result<()> {
        self.stop.drain.cancel();
        match self.end().await? {
            UnitEnd::Drained => Ok(()),
            end => bail!("ended as {end:#?}"),
        }
    }

    pub(crate) async fn end(self) -> Result<UnitEnd> {
        tokio::time::timeout(LIMIT, self.ended).await.context("the run does not end")?.context("the run panicked")
    }

    pub(crate) async fn failure(self) -> Result<Failure> {
        match self.end().await? {
            UnitEnd::Failed(failure) => Ok(failure),
            end => bail!("ended as {end:#?}"),
        }
    }
}

fn ensure_alive(run: &Run) -> Result<()> {
    // An error would be asked again; what cannot come any more is a panic's business.
    assert!(!run.ended.is_finished(), "the run ended");
    Ok(())
}

/// With `RUST_LOG` set, the product's log goes to stderr.
fn log() {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned());
    let _second_time = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .try_init();
}

pub(crate) async fn conn(server: &Server) -> Result<Conn> {
    let mut conn = server.connect().await?;
    conn.query_drop("SET NAMES utf8mb4").await?;
    conn.query_drop("SET time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION'").await?;
    Ok(conn)
}

pub(crate) async fn execute(server: &Server, statements: &[&str]) -> Result<()> {
    let mut conn = conn(server).await?;
    for sql in statements {
        conn.query_drop(*sql).await.with_context(|| sql.chars().take(300).collect::<String>())?;
    }
    conn.disconnect().await?;
    Ok(())
}

pub(crate) async fn number(server: &Server, sql: &str) -> Result<u64> {
    let mut conn = conn(server).await?;
    let number: Option<Option<u64>> = conn.query_first(sql).await.with_context(|| sql.to_owned())?;
    conn.disconnect().await?;
    Ok(number.flatten().unwrap_or_default())
}

pub(crate) async fn text(server: &Server, sql: &str) -> Result<String> {
    let mut conn = conn(server).await?;
    let text: Option<String> = conn.query_first(sql).await.with_context(|| sql.to_owned())?;
    conn.disconnect().await?;
    text.context("an answer")
}
