//! The proof of `dm-checker` on servers of a test: their binlogs as their own tools print them, and what identifies rows.
//!
//! ```ignore
//! let verdict = binlog_text::prove(&task_yaml, [(source_yaml.as_str(), &source)], &target, Tail::Settled).await?;
//! ensure!(verdict.is_proven(), "{verdict}");
//! ```
//!
//! Call it when the target has all that the sources have ([`Tail::Settled`]) or at any moment when nothing is being written to any
//! of the servers ([`Tail::Open`]: units may still be missing at the end). The servers may run or be stopped, but the target has to
//! answer: its keys are asked for. It needs the target's binlog from before the task's first takeover, and each source's from where
//! replication began, or from the beginning to have copied rows confirmed. It does not follow a source that moved to another server.
//! Nothing here decodes a binlog.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};
use dm_checker::{Config, Log, LogFile, Rules, SubtaskLog, TableFacts};
pub use dm_checker::{Tail, Verdict};
use dm_config::{SourceConfig, SubtaskConfig, TaskConfig};
use dm_model::TableName;
use mysql_async::{Row, prelude::Queryable};

use crate::{Server, ServerKind};

/// A server and the binlog file to begin with; `None` begins with the oldest.
#[derive(Debug, Clone)]
pub struct Since<'a> {
    pub server: &'a Server,
    pub file: Option<String>,
}

impl<'a> Since<'a> {
    /// Begins another file, so that a proof on a server with a history need not read that.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn now(server: &'a Server) -> Result<Self> {
        let mut conn = server.root().await?;
        conn.query_drop("FLUSH BINARY LOGS").await?;
        conn.disconnect().await?;
        let file = files(server)?.pop().context("find the newest binlog")?;
        Ok(Self { server, file: Some(file) })
    }
}

impl<'a> From<&'a Server> for Since<'a> {
    fn from(server: &'a Server) -> Self {
        Self { server, file: None }
    }
}

/// Checks a task's target against its sources: `sources` are the texts of source.yaml and where they point to.
///
/// # Errors
/// A text is no configuration, a server does not answer, or a tool fails. What the binlogs say is in the verdict.
pub async fn prove<'a>(
    task_yaml: &str,
    sources: impl IntoIterator<Item = (&str, impl Into<Since<'a>>)>,
    target: impl Into<Since<'a>>,
    tail: Tail,
) -> Result<Verdict> {
    let target = target.into();
    let (task, _warnings) = TaskConfig::parse(task_yaml).context("read the task")?;
    let mut subtasks = Vec::new();
    for (source_yaml, server) in sources {
        let server = server.into();
        let (source, _warnings) = SourceConfig::parse(source_yaml).context("read a source")?;
        let rules = SubtaskConfig::resolve(&task, &source, None).context("resolve a subtask")?.rules()?;
        subtasks.push(SubtaskLog {
            task: task.name.to_string(),
            source: source.source_id.to_string(),
            rules: Rules { block_allow: rules.block_allow, router: rules.router, event_filter: rules.event_filter },
            log: log(&server)?,
        });
    }
    let config = Config {
        meta_schema: task.meta_schema.clone(),
        subtasks,
        tables: table_facts(target.server).await.context("ask for the target's keys")?,
        tail,
        is_safe: false,
    };
    let target = log(&target)?;
    let verdict = tokio::task::spawn_blocking(move || dm_checker::check(config, target)).await?;
    verdict.context("read the binlogs")
}

/// A server's binlog files as text, oldest first. Each tool starts when its file's turn comes. The newest file may end in the middle
/// of an event while its server runs.
///
/// # Errors
/// The server has no list of binlogs.
pub fn log(since: &Since<'_>) -> Result<Log> {
    let Since { server, file } = since;
    let names = files(server)?;
    let newest = names.last().cloned().filter(|_| server.pid().is_some());
    let wanted = names.into_iter().skip_while(|name| file.as_ref().is_some_and(|file| file != name));
    let texts = wanted.map(|name| {
        let may_break_off = Some(&name) == newest.as_ref();
        let text = ToolText::new(tool(server.kind(), &server.dir().join("data").join(&name)), may_break_off);
        LogFile::new(name, BufReader::with_capacity(1 << 20, text))
    });
    Ok(Log::new(texts.collect::<Vec<_>>()))
}

fn files(server: &Server) -> Result<Vec<String>> {
    let index = server.dir().join("data/mysql-bin.index");
    let text = fs::read_to_string(index).context("read the list of binlogs")?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(|line| line.rsplit('/').next().unwrap_or(line).to_owned()).collect())
}

/// The command that prints a file.
fn tool(kind: ServerKind, file: &Path) -> Command {
    let mut command = match kind {
        ServerKind::MariaDb => {
            let mut command = Command::new("mariadb-binlog");
            command.arg("--no-defaults");
            command
        }
        ServerKind::MySql => {
            let root = mysql_folder().join("root");
            let at = |path: &str| root.join(path).display().to_string();
            let libraries = [
                "usr/lib/x86_64-linux-gnu",
                "lib/x86_64-linux-gnu",
                "usr/lib/aarch64-linux-gnu",
                "usr/lib/mysql/private",
                "usr/lib",
            ];
            let loader = ["x86_64-linux-gnu/ld-linux-x86-64.so.2", "aarch64-linux-gnu/ld-linux-aarch64.so.1"]
                .map(|name| root.join("usr/lib").join(name))
                .into_iter()
                .find(|path| path.exists())
                .unwrap_or_else(|| root.join("usr/lib64/ld-linux-x86-64.so.2"));
            let mut command = Command::new(loader);
            command.arg("--library-path").arg(libraries.map(at).join(":"));
            command.args(["--argv0", "mysqlbinlog"]).arg(root.join("usr/bin/mysqlbinlog")).arg("--no-defaults");
            command
        }
    };
    command.args(["-vv", "--base64-output=decode-rows"]).arg(file);
    command
}

/// Where MySQL is unpacked (`tests/servers/mysql97.sh`).
fn mysql_folder() -> PathBuf {
    let cache = std::env::var_os("DM_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    cache.unwrap_or_else(|| home().join(".cache/dm")).join("mysql97")
}

/// What a tool prints; an error at the end when it failed.
struct ToolText {
    command: Command,
    running: Option<(Child, ChildStdout)>,
    may_break_off: bool,
    is_over: bool,
}

impl ToolText {
    fn new(mut command: Command, may_break_off: bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, running: None, may_break_off, is_over: false }
    }
}

impl Read for ToolText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        if self.running.is_none() {
            let mut child = self.command.spawn()?;
            let output = child.stdout.take().ok_or_else(|| io::Error::other("a tool without output"))?;
            self.running = Some((child, output));
        }
        let n_bytes = match &mut self.running {
            Some((_, output)) => output.read(buffer)?,
            None => 0,
        };
        if n_bytes > 0 || buffer.is_empty() {
            return Ok(n_bytes);
        }
        self.is_over = true;
        if let Some((child, output)) = self.running.take() {
            drop(output);
            let ended = child.wait_with_output()?;
            if !ended.status.success() && !self.may_break_off {
                let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                return Err(io::Error::other(format!("the tool ended with {}: {said}", ended.status)));
            }
        }
        Ok(0)
    }
}

impl Drop for ToolText {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            // Both fail only when it has ended already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// What identifies the rows of every table that a server has, as of now.
///
/// # Errors
/// The server does not answer.
pub async fn table_facts(server: &Server) -> Result<BTreeMap<TableName, TableFacts>> {
    let mut conn = server.root().await?;
    let sql = "SELECT s.table_schema, s.table_name, s.index_name, c.ordinal_position, \
               s.nullable = 'YES' OR s.sub_part IS NOT NULL \
               FROM information_schema.statistics s JOIN information_schema.columns c \
               ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name \
               WHERE s.non_unique = 0 AND s.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
               ORDER BY s.table_schema, s.table_name, s.index_name <> 'PRIMARY', s.index_name, s.seq_in_index";
    let rows: Vec<Row> = conn.query(sql).await?;
    let mut indexes: BTreeMap<TableName, Vec<(String, Vec<usize>, bool)>> = BTreeMap::new();
    for row in rows {
        let (schema, table, index, column, is_loose): (String, String, String, usize, bool) =
            mysql_async::from_row_opt(row).ok().context("read a key's column")?;
        let of_table = indexes.entry(TableName::new(schema, table)).or_default();
        match of_table.last_mut().filter(|(name, _, _)| *name == index) {
            Some((_, columns, loose)) => {
                columns.push(column - 1);
                *loose |= is_loose;
            }
            None => of_table.push((index, vec![column - 1], is_loose)),
        }
    }
    let sql = "SELECT DISTINCT constraint_schema, table_name FROM information_schema.referential_constraints";
    let children: Vec<(String, String)> = conn.query(sql).await?;
    conn.disconnect().await?;
    let children: Vec<TableName> = children.into_iter().map(|(schema, table)| TableName::new(schema, table)).collect();
    let facts = indexes.into_iter().map(|(name, indexes)| {
        let key = indexes.iter().find(|(_, _, is_loose)| !is_loose).map(|(_, columns, _)| columns.clone());
        let is_coupled = indexes.len() > 1 || children.contains(&name);
        (name, TableFacts { key: key.unwrap_or_default(), is_coupled })
    });
    Ok(facts.collect())
}
