//! A cluster with a source and a target, and the words to speak about them.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    cluster::{Cluster, Dmctl, Options},
    rows::read::{TableAt, keyed},
    wait,
};
use mysql_async::{Conn, Row, prelude::Queryable};
use serde_json::Value;
use tempfile::TempDir;

/// How long a subtask may take to get somewhere on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    pub(crate) source: Server,
    pub(crate) target: Server,
    folder: TempDir,
}

impl Bench {
    pub(crate) async fn start(kind: ServerKind, options: Options) -> Result<Self> {
        Self::start_with(kind, |_| Ok(options)).await
    }

    /// The options may name files in the folder.
    pub(crate) async fn start_with(kind: ServerKind, options: impl FnOnce(&Path) -> Result<Options>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dm-cluster-").tempdir()?;
        let options = options(folder.path())?;
        let (source, target) = tokio::try_join!(
            Server::start(kind, ServerOptions::default()),
            Server::start(ServerKind::MariaDb, ServerOptions::default().with_server_id(2)),
        )?;
        let cluster = Cluster::start(folder.path(), options).await?;
        Ok(Self { cluster, source, target, folder })
    }

    pub(crate) fn dmctl(&self) -> Dmctl {
        self.cluster.dmctl()
    }

    /// Writes a file into the cluster's folder; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn source_text(&self, id: &str) -> String {
        source_text(id, &self.source)
    }

    /// Creates a source that is this bench's server, under another id.
    pub(crate) async fn create_source(&self, id: &str) -> Result<()> {
        let file = self.file(&format!("{id}.yaml"), &self.source_text(id))?;
        self.dmctl().ok(&["operate-source", "create", &file]).await?;
        Ok(())
    }

    pub(crate) fn task(&self, name: &str, mode: &str, sources: &[&str], schema: &str) -> String {
        task_text(name, mode, sources, schema, &self.target)
    }

    /// Writes a task file and starts it.
    pub(crate) async fn start_task(&self, name: &str, mode: &str, sources: &[&str], schema: &str) -> Result<Value> {
        let file = self.file(&format!("task-{name}.yaml"), &self.task(name, mode, sources, schema))?;
        self.dmctl().ok(&["start-task", &file]).await
    }

    pub(crate) async fn at_source(&self, statements: &[&str]) -> Result<()> {
        execute(&self.source, statements).await
    }

    pub(crate) async fn at_target(&self, statements: &[&str]) -> Result<()> {
        execute(&self.target, statements).await
    }

    /// A schema with a table `t (id, v)` that has some rows.
    pub(crate) async fn make_rows(&self, schema: &str, n_rows: u32) -> Result<()> {
        self.at_source(&[
            &format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
            &format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY, v VARCHAR(64))"),
        ])
        .await?;
        self.add_rows(schema, 1, n_rows).await
    }

    /// Rows `first..first + n` in one transaction.
    pub(crate) async fn add_rows(&self, schema: &str, first: u32, n: u32) -> Result<()> {
        let values: Vec<String> = (first..first + n).map(|id| format!("({id}, 'row {id}')")).collect();
        self.at_source(&[&format!("INSERT INTO {schema}.t VALUES {}", values.join(","))]).await
    }

    /// Waits until `schema.t` has the same rows on both sides. Nobody may write meanwhile.
    pub(crate) async fn same_rows(&self, schema: &str) -> Result<()> {
        self.same_table(schema, schema).await
    }

    pub(crate) async fn same_table(&self, source_schema: &str, target_schema: &str) -> Result<()> {
        let sum =
            |schema: &str| format!("SELECT COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS('|', id, v))), 0) FROM {schema}.t");
        let wanted = rows(&self.source, &sum(source_schema)).await?;
        let sql = sum(target_schema);
        let what = format!("the rows of {source_schema}");
        let equal =
            wait::until(&what, SOON, || async { Ok((rows(&self.target, &sql).await? == wanted).then_some(())) });
        if let Err(error) = equal.await {
            let status = self.dmctl().run(&["query-status", "--more"]).await?.stdout;
            return Err(error.context(format!("{status}\n{}", self.cluster.log_tails())));
        }
        let at = |server: &Server, schema: &str| TableAt::new(server.root_opts(), schema, "t");
        let found = keyed(&[at(&self.source, source_schema)], &at(&self.target, target_schema), "id").await?;
        ensure!(found.is_equal(), "rows of {source_schema} differ: {found:?}");
        Ok(())
    }

    pub(crate) async fn count_at_target(&self, schema: &str) -> Result<u64> {
        let found = rows(&self.target, &format!("SELECT COUNT(*) FROM {schema}.t")).await?;
        found.first().and_then(|text| text.parse().ok()).context("read a count")
    }

    /// The task's element of its only source in the detailed status.
    pub(crate) async fn subtask(&self, task: &str) -> Result<Value> {
        let answer = self.dmctl().json(&["query-status", task]).await?;
        Ok(answer["sources"][0]["subTaskStatus"][0].clone())
    }

    pub(crate) async fn wait_stage(&self, task: &str, stage: &str, unit: &str) -> Result<Value> {
        let what = format!("{task} to be {stage} in {unit}");
        let waited = wait::until(&what, SOON, || async {
            let status = self.subtask(task).await?;
            Ok((status["stage"] == stage && status["unit"] == unit).then_some(status))
        });
        match waited.await {
            Ok(status) => Ok(status),
            Err(error) => {
                let status = self.dmctl().run(&["query-status", task]).await?.stdout;
                Err(error.context(format!("{status}\n{}", self.cluster.log_tails())))
            }
        }
    }

    /// Waits for a pause by an error and gives the error.
    pub(crate) async fn wait_error(&self, task: &str) -> Result<Value> {
        let what = format!("an error of {task}");
        let waited = wait::until(&what, SOON, || async {
            let status = self.subtask(task).await?;
            let error = status["result"]["errors"][0].clone();
            Ok((status["stage"] == "Paused" && error.is_object()).then_some(error))
        });
        match waited.await {
            Ok(error) => Ok(error),
            Err(error) => {
                let status = self.dmctl().run(&["query-status", task]).await?.stdout;
                Err(error.context(format!("{status}\n{}", self.cluster.log_tails())))
            }
        }
    }

    /// Waits until a task runs no more; gives its element.
    pub(crate) async fn wait_stopped(&self, task: &str) -> Result<Value> {
        wait::until(&format!("{task} to run no more"), SOON, || async {
            let status = self.subtask(task).await?;
            Ok((status["stage"] != "Running").then_some(status))
        })
        .await
    }

    /// Epochs in the lane rows of a task.
    pub(crate) async fn epochs(&self, task: &str) -> Result<Vec<String>> {
        rows(&self.target, &format!("SELECT DISTINCT epoch FROM dm_meta.dm_fence_lane WHERE task = '{task}'")).await
    }

    /// The worker that has a source, as `operate-source show` says.
    pub(crate) async fn worker_of(&self, source: &str) -> Result<String> {
        let answer = self.dmctl().ok(&["operate-source", "show"]).await?;
        let sources = answer["sources"].as_array().context("list of sources")?;
        let found = sources.iter().find(|element| element["source"] == source).context("find the source")?;
        Ok(found["worker"].as_str().unwrap_or_default().to_owned())
    }
}

pub(crate) fn source_text(id: &str, server: &Server) -> String {
    format!(
        "# a source\nsource-id: \"{id}\"\nenable-gtid: true\nfrom:\n  host: \"127.0.0.1\"\n  port: {}\n  user: \"dm\"\n  password: \"dm\"\n",
        server.port()
    )
}

/// A task that copies one schema as it is.
pub(crate) fn task_text(name: &str, mode: &str, sources: &[&str], schema: &str, target: &Server) -> String {
    let instances: String = sources
        .iter()
        .map(|id| {
            format!(
                "  - source-id: \"{id}\"\n    block-allow-list: \"one\"\n    mydumper-config-name: \"d\"\n    loader-config-name: \"l\"\n    syncer-config-name: \"s\"\n"
            )
        })
        .collect();
    format!(
        "# a task\nname: \"{name}\"\ntask-mode: {mode}\nmeta-schema: \"dm_meta\"\ntimezone: \"+00:00\"\n\
         target-database:\n  host: \"127.0.0.1\"\n  port: {}\n  user: \"dm\"\n  password: \"dm\"\n\
         mysql-instances:\n{instances}block-allow-list:\n  one:\n    do-dbs: [\"{schema}\"]\n\
         mydumpers:\n  d: {{threads: 2}}\nloaders:\n  l: {{pool-size: 2}}\nsyncers:\n  s: {{worker-count: 2, batch: 100}}\n",
        target.port()
    )
}

pub(crate) async fn execute(server: &Server, statements: &[&str]) -> Result<()> {
    let mut conn = server.connect().await?;
    for sql in statements {
        conn.query_drop(*sql).await.with_context(|| (*sql).to_owned())?;
    }
    conn.disconnect().await?;
    Ok(())
}

/// As `root`, who may grant.
pub(crate) async fn as_root(server: &Server, statements: &[&str]) -> Result<()> {
    let mut conn = server.root().await?;
    for sql in statements {
        conn.query_drop(*sql).await.with_context(|| (*sql).to_owned())?;
    }
    conn.disconnect().await?;
    Ok(())
}

/// All values of all rows as text.
pub(crate) async fn rows(server: &Server, sql: &str) -> Result<Vec<String>> {
    let mut conn: Conn = server.connect().await?;
    let found: Vec<Row> = conn.query(sql).await.with_context(|| sql.to_owned())?;
    conn.disconnect().await?;
    Ok(found
        .into_iter()
        .flat_map(Row::unwrap)
        .map(|value| match value {
            mysql_async::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => other.as_sql(true),
        })
        .collect())
}

/// That a text names a code, as `[code=20031:`.
pub(crate) fn has_code(text: &str, code: u32) -> Result<()> {
    ensure!(text.contains(&format!("code={code}:")), "no code {code} in: {text}");
    Ok(())
}

/// That a refused answer names a code in its message.
pub(crate) fn refused(answer: &Value, code: u32) -> Result<()> {
    ensure!(answer["result"] == false, "not refused: {answer:#}");
    has_code(answer["msg"].as_str().unwrap_or_default(), code)
}
