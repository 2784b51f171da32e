//! dmctl as a user runs it: the binary, its text, its exit code.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::process::binary;

/// Longest wait for one command: start-task waits ten seconds for workers.
const LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug, Clone)]
pub struct Dmctl {
    masters: Vec<String>,
    flags: Vec<String>,
    folder: PathBuf,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Dmctl {
    pub fn new(masters: Vec<String>, folder: PathBuf) -> Self {
        Self { masters, flags: Vec::new(), folder }
    }

    /// Flags that come before every command.
    pub fn with_flags(&self, flags: Vec<String>) -> Self {
        Self { flags, ..self.clone() }
    }

    /// Asks only one master.
    pub fn at(&self, master: impl Into<String>) -> Self {
        Self { masters: vec![master.into()], ..self.clone() }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// The binary is missing, or it does not end in time.
    pub async fn run(&self, args: &[&str]) -> Result<Output> {
        let addr = format!("--master-addr={}", self.masters.join(","));
        let flags = self.flags.iter().map(String::as_str);
        let words: Vec<&str> = std::iter::once(addr.as_str()).chain(flags).chain(args.iter().copied()).collect();
        run_program("dmctl", &words, "", &self.folder).await
    }

    /// Runs a command that prints JSON; the answer's `result` may be false.
    ///
    /// # Errors
    /// It failed to run or printed no JSON.
    pub async fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.run(args).await?;
        if output.code != Some(0) {
            bail!("dmctl {args:?} ended with {:?}: {}{}", output.code, output.stdout, output.stderr);
        }
        serde_json::from_str(&output.stdout)
            .with_context(|| format!("dmctl {args:?} printed no JSON: {}", output.stdout))
    }

    /// Like [`Dmctl::json`], and `result` is true everywhere.
    ///
    /// # Errors
    /// As `json`, or some `result` is false.
    pub async fn ok(&self, args: &[&str]) -> Result<Value> {
        let answer = self.json(args).await?;
        let parts_ok = answer["sources"].as_array().is_none_or(|parts| parts.iter().all(|part| part["result"] == true));
        if answer["result"] != true || !parts_ok {
            bail!("dmctl {args:?} was refused: {answer:#}");
        }
        Ok(answer)
    }
}

/// Runs a program of this build to its end, with a text on its standard input.
///
/// # Errors
/// The binary is missing, or it does not end in time.
pub async fn run_program(program: &str, args: &[&str], input: &str, folder: &Path) -> Result<Output> {
    let mut child = Command::new(binary(program)?)
        .args(args)
        .env_remove("DM_MASTER_ADDR")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // a program that reads nothing may have ended already
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .with_context(|| format!("{program} {args:?} did not end within {LIMIT:?}"))??;
    Ok(Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
