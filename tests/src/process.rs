//! Our own processes in tests: started from the build folder, ended by pid, their logs kept until the folder goes.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A running process with its log file. Dropping it sends SIGKILL.
#[derive(Debug)]
pub struct Process {
    pub name: String,
    pub log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program of this build (`dm-master`, `dm-worker`); output goes to `<folder>/<name>.log`, appended to.
    ///
    /// # Errors
    /// The binary is not built, or cannot be started.
    pub fn start(folder: &Path, name: &str, program: &str, args: &[String], env: &[(String, String)]) -> Result<Self> {
        let binary = binary(program)?;
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).context("open log file")?;
        let child = Command::new(&binary)
            .args(args)
            .envs(env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .current_dir(folder)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this pid only.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()).context("pid fits")?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// SIGKILL, and the process is reaped.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if self.is_running() {
            self.signal(Signal::SIGKILL)?;
        }
        self.child.wait().context("wait for a killed process")?;
        Ok(())
    }

    /// SIGTERM, then at most `limit` until it has ended. Gives the exit code; `None` when a signal ended it.
    ///
    /// # Errors
    /// It does not end in time; it is killed then.
    pub fn terminate(&mut self, limit: Duration) -> Result<Option<i32>> {
        self.signal(Signal::SIGTERM)?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if start.elapsed() > limit {
                self.kill()?;
                bail!("{} did not end within {limit:?} after SIGTERM", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The exit code once it has ended by itself.
    ///
    /// # Errors
    /// It does not end within `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<Option<i32>> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} is still running after {limit:?}; log:\n{}", self.name, self.log_tail(20))
    }

    /// The last lines of its log.
    pub fn log_tail(&self, n_lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(n_lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.kill();
        }
    }
}

/// Where a program of this build lies: beside the running one, or one folder up from a test.
///
/// # Errors
/// It is not there: `make build` makes it.
pub fn binary(program: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find own binary")?;
    let mut folder = own.parent();
    for _ in 0..2 {
        let Some(dir) = folder else { break };
        let candidate = dir.join(program);
        if candidate.is_file() {
            return Ok(candidate);
        }
        folder = dir.parent();
    }
    bail!("{program} is not built: run `make build` first (looked beside {})", own.display())
}

/// A port of 127.0.0.1 that was free just now.
///
/// # Errors
/// None can be had.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
