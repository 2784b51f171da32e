//! Where the demo happens: two sources, a target, a cluster, and the folder with configs and logs.
//!
//! Owns starting and ending: dropping it ends every process by its id and removes its folders, unless [`Place::keep`] says that
//! they stay. Everything listens on 127.0.0.1 on ports that were free.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    binlog_text::{self, Tail, Verdict},
    cluster::{self, Cluster, Dmctl},
    process,
};
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tempfile::TempDir;

use super::shop::{self, SHOPS, Shop};

const SOURCE_YAML: &str = include_str!("../../../deploy/demo/source.yaml");
const TASK_YAML: &str = include_str!("../../../deploy/demo/task.yaml");
/// The `name` in task.yaml.
pub const TASK: &str = "demo";

#[derive(Debug)]
pub struct Place {
    folder: Option<TempDir>,
    sources: Vec<Server>,
    target: Option<Server>,
    cluster: Option<Cluster>,
}

/// What query-status says about one subtask.
#[derive(Debug, Clone)]
pub struct Subtask {
    pub source: String,
    pub worker: String,
    pub stage: String,
    pub unit: String,
    pub n_loaded: u64,
    pub n_to_load: u64,
    pub n_synced: u64,
    pub error: String,
}

impl Place {
    /// Starts the three servers.
    ///
    /// # Errors
    /// A server does not start.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dm-demo-").tempdir().context("make a folder")?;
        let options = |server_id: u32, pool: &str, tmp: &Path| {
            ServerOptions::default()
                .with_server_id(server_id)
                // Its own: a server crashed once when making a temporary table in the shared one failed.
                .with(format!("--tmpdir={}", tmp.display()))
                .with(format!("--innodb-buffer-pool-size={pool}"))
                .with("--innodb-log-file-size=256M")
                .with("--max-connections=200")
        };
        let start = |server_id: u32, pool| {
            let tmp = folder.path().join(format!("tmp-{server_id}"));
            async move {
                fs::create_dir(&tmp).context("make a folder for temporary tables")?;
                Server::start(ServerKind::MariaDb, options(server_id, pool, &tmp)).await
            }
        };
        let (first, second, target) = tokio::try_join!(start(11, "256M"), start(12, "256M"), start(13, "512M"))?;
        Ok(Self { folder: Some(folder), sources: vec![first, second], target: Some(target), cluster: None })
    }

    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("."), TempDir::path)
    }

    /// # Errors
    /// There is no such source.
    pub fn source(&self, shop: &Shop) -> Result<&Server> {
        let at = SHOPS.iter().position(|other| other.source_id == shop.source_id);
        at.and_then(|at| self.sources.get(at)).with_context(|| format!("find {}", shop.source_id))
    }

    pub fn target(&self) -> &Server {
        self.target.as_ref().expect("invariant: the target is there until the place is kept")
    }

    /// # Errors
    /// It was not started.
    pub fn cluster(&mut self) -> Result<&mut Cluster> {
        self.cluster.as_mut().context("find the cluster")
    }

    /// # Errors
    /// The cluster was not started.
    pub fn dmctl(&self) -> Result<Dmctl> {
        Ok(self.cluster.as_ref().context("find the cluster")?.dmctl())
    }

    /// Makes tables and first rows on both sources.
    ///
    /// # Errors
    /// A source refuses.
    pub async fn fill(&self, n_shard_rows: u64) -> Result<u64> {
        let mut tasks = Vec::new();
        for shop in &SHOPS {
            tasks.push(shop.fill(self.source(shop)?.root_opts(), n_shard_rows));
        }
        Ok(futures::future::try_join_all(tasks).await?.into_iter().sum())
    }

    /// # Errors
    /// Masters or workers do not come up.
    pub async fn start_cluster(&mut self) -> Result<()> {
        let cluster = Cluster::start(&self.folder().join("cluster"), cluster::Options::default()).await?;
        self.cluster = Some(cluster);
        Ok(())
    }

    /// Writes the configs, adds both sources and starts the task.
    ///
    /// # Errors
    /// dmctl is refused.
    pub async fn start_task(&self) -> Result<()> {
        let dmctl = self.dmctl()?;
        for shop in &SHOPS {
            let text = SOURCE_YAML.replace("${SOURCE_ID}", shop.source_id);
            let file = self.write_config(&format!("{}.yaml", shop.source_id), &text, self.source(shop)?)?;
            dmctl.ok(&["operate-source", "create", &file]).await.context("add a source")?;
        }
        let file = self.write_config("task.yaml", TASK_YAML, self.target())?;
        dmctl.ok(&["start-task", &file]).await.context("start the task")?;
        Ok(())
    }

    fn write_config(&self, name: &str, text: &str, server: &Server) -> Result<String> {
        let file = self.folder().join(name);
        fs::write(&file, filled(text, server)).with_context(|| format!("write {name}"))?;
        Ok(file.display().to_string())
    }

    /// Shows from the servers' binlogs that every change took effect once (`dm-checker`).
    ///
    /// # Errors
    /// A binlog cannot be read. What it says is in the verdict.
    pub async fn prove(&self) -> Result<Verdict> {
        let mut sources = Vec::new();
        for shop in &SHOPS {
            let server = self.source(shop)?;
            sources.push((filled(&SOURCE_YAML.replace("${SOURCE_ID}", shop.source_id), server), server));
        }
        let task = filled(TASK_YAML, self.target());
        let sources = sources.iter().map(|(text, server)| (text.as_str(), *server));
        binlog_text::prove(&task, sources, self.target(), Tail::Settled).await
    }

    /// The state of all subtasks.
    ///
    /// # Errors
    /// dmctl is refused.
    pub async fn subtasks(&self) -> Result<Vec<Subtask>> {
        let answer = self.dmctl()?.json(&["query-status", TASK]).await?;
        anyhow::ensure!(answer["result"] == true, "query-status was refused: {answer:#}");
        let sources = answer["sources"].as_array().context("read query-status")?;
        Ok(sources.iter().map(subtask).collect())
    }

    /// The worker that carries a source.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn worker_of(&self, source: &str) -> Result<String> {
        let subtasks = self.subtasks().await?;
        let found = subtasks.into_iter().find(|subtask| subtask.source == source && !subtask.worker.is_empty());
        Ok(found.with_context(|| format!("find who carries {source}"))?.worker)
    }

    /// Adds what query-status says about subtasks that do not run to an error.
    pub async fn with_complaints(&self, error: anyhow::Error) -> anyhow::Error {
        let states = match self.subtasks().await {
            Ok(states) => states,
            Err(no_answer) => return error.context(format!("query-status does not answer: {no_answer:#}")),
        };
        let stopped = states.iter().filter(|state| state.stage != "Running");
        stopped.fold(error, |error, state| {
            error.context(format!("the subtask of {} is {}: {}", state.source, state.stage, state.error))
        })
    }

    /// Rows of the target's tables.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn count_target(&self) -> Result<u64> {
        let mut conn = shop::connect(self.target().root_opts()).await?;
        let sql = "SELECT (SELECT COUNT(*) FROM shop.orders) + (SELECT COUNT(*) FROM shop.events)";
        let n: Option<u64> = conn.query_first(sql).await?;
        conn.disconnect().await?;
        n.context("count the target's rows")
    }

    /// The folder stays when the processes end, with the servers' logs.
    ///
    /// # Errors
    /// A log cannot be copied.
    pub fn keep_folder(mut self) -> Result<PathBuf> {
        let folder = self.folder().to_owned();
        for (name, server) in self.servers() {
            let log = folder.join(format!("{name}.error.log"));
            fs::copy(server.dir().join("error.log"), log).with_context(|| format!("keep the log of {name}"))?;
        }
        if let Some(folder) = self.folder.take() {
            let _kept = folder.keep();
        }
        Ok(folder)
    }

    fn servers(&self) -> Vec<(String, &Server)> {
        let sources = SHOPS.iter().zip(&self.sources).map(|(shop, server)| (shop.source_id.to_owned(), server));
        sources.chain(self.target.iter().map(|server| ("target".to_owned(), server))).collect()
    }

    /// Everything stays and goes on. Gives what a person needs to play with it and to end it.
    ///
    /// # Errors
    /// A program is not where it was.
    pub fn keep(mut self) -> Result<String> {
        let folder = self.folder().to_owned();
        let mut text = String::new();
        let (mut pids, mut folders) = (Vec::new(), vec![folder.display().to_string()]);
        let cluster = self.cluster.as_mut().context("find the cluster")?;
        let dmctl =
            format!("{} --master-addr={}", process::binary("dmctl")?.display(), cluster.master_addrs().join(","));
        for name in cluster.master_names().into_iter().chain(cluster.worker_names()) {
            pids.push(cluster.process(&name)?.pid().to_string());
        }
        text.push_str(&format!("It goes on running; configs and logs are in {}\n\nask it:\n", folder.display()));
        for command in
            ["list-member", &format!("query-status {TASK}"), "transfer-leader master1", "operate-source show"]
        {
            text.push_str(&format!("  {dmctl} {command}\n"));
        }
        text.push_str("\nlook at the rows (what you write to a source comes to the target):\n");
        for (name, server) in self.servers() {
            text.push_str(&format!("  mariadb -h127.0.0.1 -P{} -uroot    # {name}\n", server.port()));
            pids.extend(server.pid().map(|pid| pid.to_string()));
            folders.push(server.dir().display().to_string());
        }
        text.push_str(&format!("\nend it:\n  kill -9 {}; rm -rf {}\n", pids.join(" "), folders.join(" ")));
        if let Some(folder) = self.folder.take() {
            let _kept = folder.keep();
        }
        // Their destructors would end the processes.
        std::mem::forget(self.cluster.take());
        self.sources.drain(..).for_each(std::mem::forget);
        std::mem::forget(self.target.take());
        Ok(text)
    }
}

/// A configuration for a server.
fn filled(text: &str, server: &Server) -> String {
    text.replace("${PORT}", &server.port().to_string())
        .replace("${USER}", &server.config().user)
        .replace("${PASSWORD}", Server::DM_PASSWORD)
}

fn subtask(answer: &Value) -> Subtask {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &answer["subTaskStatus"][0];
    let errors = [&status["result"]["errors"], &answer["sourceStatus"]["result"]["errors"]];
    let error = errors.iter().filter(|errors| !errors.is_null()).map(|errors| errors.to_string()).collect::<String>();
    Subtask {
        source: text(&answer["sourceStatus"]["source"]),
        worker: text(&answer["sourceStatus"]["worker"]),
        stage: text(&status["stage"]),
        unit: text(&status["unit"]),
        n_loaded: number(&status["load"]["finishedRows"]),
        n_to_load: number(&status["load"]["estimateTotalRows"]),
        n_synced: number(&status["sync"]["totalRows"]),
        error: if error.is_empty() || error == "[]" { text(&answer["msg"]) } else { error },
    }
}

/// 64-bit numbers are strings in protobuf's JSON.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_status_is_read_as_dmctl_prints_it() {
        let answer = serde_json::json!({
            "result": true, "msg": "",
            "sourceStatus": {"source": "source-1", "worker": "worker2", "result": null},
            "subTaskStatus": [{"name": "demo", "stage": "Running", "unit": "Load", "result": null,
                "load": {"finishedRows": "12", "estimateTotalRows": "30"}}]
        });
        let read = subtask(&answer);
        assert_eq!((read.source.as_str(), read.worker.as_str()), ("source-1", "worker2"));
        assert_eq!((read.stage.as_str(), read.unit.as_str()), ("Running", "Load"));
        assert_eq!((read.n_loaded, read.n_to_load, read.n_synced), (12, 30, 0));
        assert_eq!(read.error, "");
    }

    #[test]
    fn every_blank_of_the_templates_is_filled() {
        for text in [SOURCE_YAML.replace("${SOURCE_ID}", "source-1"), TASK_YAML.to_owned()] {
            let filled = text.replace("${PORT}", "3306").replace("${USER}", "dm").replace("${PASSWORD}", "dm");
            let blanks = filled.lines().filter(|line| !line.starts_with('#') && line.contains("${"));
            assert_eq!(blanks.count(), 0);
        }
        assert!(TASK_YAML.contains(&format!("name: \"{TASK}\"")));
    }
}
