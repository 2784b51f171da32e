//! Our contender: one subtask in a process of its own, run by the worker's units as `dm-worker` runs them, only without a
//! session to a master. So its CPU and memory are those of the worker.
//!
//! The process ends by itself when the task's mode ends (a full copy); else by the end of its handle, which kills it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};
use dm_model::{ClusterId, Epoch, SourceId, Stage, SubtaskId, TaskName};
use dm_tests::Server;
use dm_worker::{
    assignment::Assignment,
    status::Board,
    unit::{self, Context, Stop, UnitEnd},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::data::SCHEMA;

/// A running subtask.
#[derive(Debug)]
pub struct Subtask {
    child: Child,
    folder: tempfile::TempDir,
}

impl Subtask {
    /// Starts it. `mode` and `sections` are lines of the task, `instance` further keys of its only instance.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(source: &Server, target: &Server, mode: &str, instance: &str, sections: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dm-bench-").tempdir().context("make a folder")?;
        let task = format!(
            "name: bench\ntask-mode: {mode}\nmeta-schema: dm_meta\n\
             target-database: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n\
             block-allow-list: {{only: {{do-dbs: [{SCHEMA}]}}}}\n\
             mysql-instances:\n  - {{source-id: one, block-allow-list: only{instance}}}\n{sections}",
            target.port(),
        );
        let from = format!(
            "source-id: one\nenable-gtid: false\nfrom: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n",
            source.port()
        );
        fs::write(folder.path().join("task.yaml"), task).context("write the task")?;
        fs::write(folder.path().join("source.yaml"), from).context("write the source")?;
        let log = fs::File::create(folder.path().join("log")).context("make a log file")?;
        let child = Command::new(std::env::current_exe().context("find own program")?)
            .arg("subtask")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start a subtask")?;
        Ok(Self { child, folder })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `None` while it runs.
    ///
    /// # Errors
    /// It failed; the text is its log.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().context("look at a subtask")?;
        if status.is_some_and(|status| !status.success()) {
            bail!("the subtask failed:\n{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
        Ok(status)
    }
}

impl Drop for Subtask {
    fn drop(&mut self) {
        // both fail only when it has ended already
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The process itself: runs the subtask that a folder describes.
///
/// # Errors
/// The subtask pauses or is fenced.
pub async fn run(folder: &Path) -> Result<()> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    let _first = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .try_init();
    let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("read {name}"));
    let id = SubtaskId::new(TaskName::parse("bench")?, SourceId::parse("one")?);
    let assignment = Assignment {
        epoch: Epoch(1),
        wanted_stage: Stage::Running,
        wanted_revision: 1,
        task_yaml: read("task.yaml")?,
        source_yaml: read("source.yaml")?,
        start_time: None,
        operators: Vec::new(),
        take_over: false,
    };
    let (_wish, wish) = watch::channel(assignment.clone());
    let context = Context {
        cell: Board::new().open(id.clone(), Epoch(1), 1),
        id,
        cluster_id: ClusterId("bench".to_owned()),
        secret_key: Vec::new(),
        assignment,
        wish,
    };
    let stop = Stop { drain: CancellationToken::new(), kill: CancellationToken::new() };
    // its own task, as in the worker: the main thread's future is not one the runtime can move
    match tokio::spawn(unit::run(context, stop)).await.context("the subtask panicked")? {
        UnitEnd::Finished | UnitEnd::Drained => Ok(()),
        UnitEnd::Fenced => bail!("fenced"),
        UnitEnd::Failed(failure) => bail!("{:?}", failure.report),
    }
}
