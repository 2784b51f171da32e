//! A source, a target, and a subtask between them that is run under an epoch.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use dm_model::{ClusterId, Epoch, Location, SourceId, Stage, SubtaskId, TaskName};
use dm_mysql::{facts, schema};
use dm_tests::{Server, ServerKind, ServerOptions, wait};
use dm_worker::{
    assignment::{Assignment, Operator},
    status::{Board, Cell, SyncView, UnitView, View},
    unit::{self, Context, Failure, Stop, UnitEnd},
};
use mysql_async::{Conn, Row, Value, prelude::Queryable};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

/// Two servers and what the task between them says.
pub(crate) struct Bench {
    pub(crate) source: Server,
    pub(crate) target: Server,
    pub(crate) gtid: bool,
    /// Further keys of the instance, as `route-rules: [r]`.
    pub(crate) instance: String,
    /// Further sections of the task.
    pub(crate) sections: String,
    /// Of the task's `syncers` section.
    pub(crate) syncer: String,
    /// Where the target is reached, when not at its own port.
    pub(crate) target_port: Option<u16>,
    /// Where the source is reached, when not at its own port.
    pub(crate) source_port: Option<u16>,
    pub(crate) start_time: Option<String>,
    epoch: AtomicU64,
}

impl Bench {
    pub(crate) async fn start(source: ServerKind, target: ServerKind, gtid: bool) -> Result<Self> {
        let options = ServerOptions::default().with_gtid(gtid);
        Self::start_with(source, options, target).await.map(|bench| Self { gtid, ..bench })
    }

    pub(crate) async fn start_with(source: ServerKind, options: ServerOptions, target: ServerKind) -> Result<Self> {
        log();
        let target_options = ServerOptions::default().with_server_id(2);
        let (source, target) = tokio::try_join!(Server::start(source, options), Server::start(target, target_options))?;
        let bench = Self {
            source,
            target,
            gtid: true,
            instance: String::new(),
            sections: String::new(),
            syncer: "worker-count: 4".to_owned(),
            target_port: None,
            source_port: None,
            start_time: None,
            epoch: AtomicU64::new(0),
        };
        Ok(bench)
    }

    fn assignment(&self, epoch: u64) -> Assignment {
        let port = self.target_port.unwrap_or_else(|| self.target.port());
        let instance = if self.instance.is_empty() { String::new() } else { format!(", {}", self.instance) };
        let task_yaml = format!(
            "name: t\ntask-mode: incremental\nmeta-schema: dm_meta\n\
             target-database: {{host: 127.0.0.1, port: {port}, user: dm, password: dm}}\n\
             mysql-instances:\n  - {{source-id: one, syncer-config-name: s{instance}}}\n\
             syncers: {{s: {{{}}}}}\n{}\n",
            self.syncer, self.sections,
        );
        let source_yaml = format!(
            "source-id: one\nenable-gtid: {}\nfrom: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n",
            self.gtid,
            self.source_port.unwrap_or_else(|| self.source.port())
        );
        Assignment {
            epoch: Epoch(epoch),
            wanted_stage: Stage::Running,
            wanted_revision: 1,
            task_yaml,
            source_yaml,
            start_time: self.start_time.clone(),
            operators: Vec::new(),
            take_over: false,
        }
    }

    /// Runs the subtask under the next epoch; it reads the source already.
    pub(crate) async fn begin(&self) -> Result<Run> {
        let run = self.spawn()?;
        run.synced_something().await?;
        Ok(run)
    }

    /// Runs the subtask under the next epoch, whatever comes of it.
    pub(crate) fn spawn(&self) -> Result<Run> {
        self.spawn_with(Vec::new())
    }

    /// As [`begin`](Self::begin), with operators.
    pub(crate) async fn begin_with(&self, operators: Vec<Operator>) -> Result<Run> {
        let run = self.spawn_with(operators)?;
        run.synced_something().await?;
        Ok(run)
    }

    fn spawn_with(&self, operators: Vec<Operator>) -> Result<Run> {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        let assignment = Assignment { operators, ..self.assignment(epoch) };
        let id = SubtaskId::new(TaskName::parse("t")?, SourceId::parse("one")?);
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
        let ended = tokio::spawn(async move {
            let end = unit::run(context, told).await;
            if let UnitEnd::Failed(failure) = &end {
                eprintln!("epoch {epoch} failed: {:?}", failure.report);
            }
            end
        });
        Ok(Run { stop, ended, cell, _wish: wish })
    }

    pub(crate) async fn on_source(&self, statements: &[&str]) -> Result<()> {
        execute(&self.source, statements).await
    }

    pub(crate) async fn on_target(&self, statements: &[&str]) -> Result<()> {
        execute(&self.target, statements).await
    }

    /// Where the source's log ends.
    pub(crate) async fn source_end(&self) -> Result<Location> {
        let mut conn = self.source.connect().await?;
        let found = facts(&mut conn).await?;
        let end = schema::binlog_status(&mut conn, &found).await?;
        conn.disconnect().await?;
        end.context("the source's position")
    }

    /// Waits until all that the source has is in the target.
    pub(crate) async fn settle(&self, run: &Run) -> Result<()> {
        let end = self.source_end().await?;
        run.until("the target has it all", |view| view.is_synced && view.source.position >= end.position).await
    }

    /// Waits until what the source has now is in the target, whatever it writes meanwhile.
    pub(crate) async fn catch_up(&self, run: &Run) -> Result<()> {
        let end = self.source_end().await?;
        run.until("the target catches up", |view| view.synced.position >= end.position).await
    }

    /// Settles, then compares every table of the schemas.
    pub(crate) async fn settle_same(&self, run: &Run, schemas: &[&str]) -> Result<()> {
        self.settle(run).await?;
        self.same(schemas).await
    }

    /// Names and rows of all tables are the same on both sides.
    pub(crate) async fn same(&self, schemas: &[&str]) -> Result<()> {
        for schema in schemas {
            let (there, here) = (tables(&self.source, schema).await?, tables(&self.target, schema).await?);
            ensure!(there == here, "tables of {schema}: {there:?}, in the target {here:?}");
            for table in &there {
                self.same_rows(schema, table).await?;
            }
        }
        Ok(())
    }

    async fn same_rows(&self, schema: &str, table: &str) -> Result<()> {
        let columns = columns(&self.source, schema, table).await?;
        let (there, here) =
            (rows(&self.source, schema, table, &columns).await?, rows(&self.target, schema, table, &columns).await?);
        if there != here {
            let missing: Vec<_> = there.iter().filter(|(row, n)| here.get(*row) != Some(n)).take(4).collect();
            let extra: Vec<_> = here.iter().filter(|(row, n)| there.get(*row) != Some(n)).take(4).collect();
            bail!("{schema}.{table} {columns:?}\n source: {missing:#?}\n target: {extra:#?}");
        }
        Ok(())
    }

    pub(crate) async fn number_on_target(&self, sql: &str) -> Result<u64> {
        number(&self.target, sql).await
    }
}

/// A run of the subtask.
pub(crate) struct Run {
    pub(crate) stop: Stop,
    pub(crate) ended: JoinHandle<UnitEnd>,
    pub(crate) cell: Cell,
    /// Kept: operators may come while it runs.
    _wish: watch::Sender<Assignment>,
}

impl Run {
    async fn synced_something(&self) -> Result<()> {
        self.until("replication runs", |view| !view.source.is_empty()).await
    }

    /// Waits until the view is so; fails when the run ends before.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&SyncView) -> bool) -> Result<()> {
        let waited = wait::until(what, LIMIT, || async {
            let view = self.cell.read();
            match &view.unit_view {
                UnitView::Sync(sync) if is_so(sync) => Ok(Some(true)),
                UnitView::Sync(_) | UnitView::Load(_) | UnitView::Message(_) | UnitView::None
                    if self.ended.is_finished() =>
                {
                    Ok(Some(false))
                }
                UnitView::Sync(_) | UnitView::Load(_) | UnitView::Message(_) | UnitView::None => Ok(None),
            }
        })
        .await
        .with_context(|| format!("{:#?}", self.cell.read()))?;
        ensure!(waited, "the run ended before: {what}");
        Ok(())
    }

    pub(crate) fn view(&self) -> View {
        self.cell.read()
    }

    pub(crate) async fn drain(self) -> Result<()> {
        self.stop.drain.cancel();
        match self.end().await? {
            UnitEnd::Drained => Ok(()),
            end => bail!("ended as {end:#?}"),
        }
    }

    /// As a crash: nothing is finished or closed in order.
    pub(crate) async fn kill(self) -> Result<UnitEnd> {
        self.stop.kill.cancel();
        self.end().await
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
    conn.query_drop("SET time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'").await?;
    Ok(conn)
}

async fn execute(server: &Server, statements: &[&str]) -> Result<()> {
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

async fn tables(server: &Server, schema: &str) -> Result<Vec<String>> {
    let mut conn = conn(server).await?;
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' \
               ORDER BY table_name";
    let tables = conn.exec(sql, (schema,)).await?;
    conn.disconnect().await?;
    Ok(tables)
}

/// Names of the columns, and whether they hold JSON, which servers print differently. MariaDB does not tell: its JSON is a
/// LONGTEXT, so the cases call every JSON column `j`.
async fn columns(server: &Server, schema: &str, table: &str) -> Result<Vec<(String, bool)>> {
    let mut conn = conn(server).await?;
    let sql = "SELECT column_name, data_type = 'json' OR column_name = 'j' FROM information_schema.columns WHERE table_schema = ? \
               AND table_name = ? ORDER BY ordinal_position";
    let columns = conn.exec(sql, (schema, table)).await?;
    conn.disconnect().await?;
    Ok(columns)
}

/// Rows and how often each is there, floats by their bits.
async fn rows(
    server: &Server,
    schema: &str,
    table: &str,
    columns: &[(String, bool)],
) -> Result<BTreeMap<Vec<String>, usize>> {
    let mut conn = conn(server).await?;
    let list: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
    // the binary protocol gives floats as they are
    let rows: Vec<Row> = conn.exec(format!("SELECT {} FROM `{schema}`.`{table}`", list.join(", ")), ()).await?;
    conn.disconnect().await?;
    let mut counted = BTreeMap::new();
    for row in rows {
        let image = row.unwrap().into_iter().zip(columns).map(|(value, (_, json))| text(value, *json)).collect();
        *counted.entry(image).or_default() += 1;
    }
    Ok(counted)
}

fn text(value: Value, json: bool) -> String {
    match value {
        Value::Bytes(bytes) if json => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(value) => sorted(value).to_string(),
            Err(_) => bytes.escape_ascii().to_string(),
        },
        Value::Bytes(bytes) => bytes.escape_ascii().to_string(),
        Value::Float(value) => format!("f32 {:08x} {value}", value.to_bits()),
        Value::Double(value) => format!("f64 {:016x} {value}", value.to_bits()),
        other => format!("{other:?}"),
    }
}

fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            let members: BTreeMap<String, serde_json::Value> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            serde_json::Value::Object(members.into_iter().collect())
        }
        serde_json::Value::Array(items) => serde_json::Value::Array(items.into_iter().map(sorted).collect()),
        // a DECIMAL inside JSON is written as its digits and becomes a number again: 1.10 and 1.1 are one value
        serde_json::Value::Number(number) if number.to_string().contains('.') => {
            number.as_f64().map_or(serde_json::Value::Null, serde_json::Value::from)
        }
        other => other,
    }
}
