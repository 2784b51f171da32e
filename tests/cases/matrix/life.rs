//! One life of the subtask's owner: a worker process with its traps, and the file in which it says that one struck.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use dm_tests::{
    cluster::Cluster,
    process::{Process, free_port},
    wait,
};
use nix::sys::signal::Signal;

use crate::cell::{Action, Trap};

/// How long a point may take to be passed on a busy machine.
const HIT_LIMIT: Duration = Duration::from_secs(40);

/// A worker that is armed.
pub(crate) struct Life {
    pub(crate) process: Process,
    traps: Vec<Trap>,
    marks: PathBuf,
    n_hit: usize,
    /// Frozen by a trap and not woken.
    pub(crate) is_frozen: bool,
    /// Was frozen once: it may have to hear that it is not the owner any more.
    pub(crate) was_frozen: bool,
}

impl Life {
    /// A worker of the cluster under this name; `mutant` as `DM_MUTANT` has it, empty for none.
    pub(crate) fn start(cluster: &Cluster, name: &str, traps: Vec<Trap>, mutant: &str) -> Result<Self> {
        // who shall be missed is missed soon; who shall stay is not missed on a busy machine
        let ttl_s = if traps.is_empty() { 5 } else { 1 };
        Self::start_with_ttl(cluster, name, traps, mutant, ttl_s)
    }

    /// A worker that is missed after so many seconds.
    pub(crate) fn start_with_ttl(
        cluster: &Cluster,
        name: &str,
        traps: Vec<Trap>,
        mutant: &str,
        ttl_s: u32,
    ) -> Result<Self> {
        let port = free_port()?;
        let args = vec![
            format!("--name={name}"),
            format!("--worker-addr=127.0.0.1:{port}"),
            format!("--advertise-addr=127.0.0.1:{port}"),
            format!("--join={}", cluster.master_addrs().join(",")),
            format!("--keepalive-ttl={ttl_s}"),
        ];
        let marks = cluster.folder().join(format!("{name}.marks"));
        let armed: Vec<String> = traps.iter().map(ToString::to_string).collect();
        let env = [
            ("DM_FAIL_POINT".to_owned(), armed.join(",")),
            ("DM_FAIL_POINT_LOG".to_owned(), marks.display().to_string()),
            ("DM_MUTANT".to_owned(), mutant.to_owned()),
        ];
        let process = Process::start(cluster.folder(), name, env!("CARGO_BIN_EXE_dm-faulty"), &args, &env)?;
        Ok(Self { process, traps, marks, n_hit: 0, is_frozen: false, was_frozen: false })
    }

    /// Waits until the next trap strikes; gives what it did.
    pub(crate) async fn hit(&mut self) -> Result<Action> {
        let trap = self.traps.get(self.n_hit).context("another trap")?.clone();
        let line = trap.to_string();
        let (marks, n_hit) = (&self.marks, self.n_hit);
        let what = format!("{line} to strike");
        let waited = wait::until(&what, HIT_LIMIT, || async {
            let text = fs::read_to_string(marks).unwrap_or_default();
            Ok((text.lines().nth(n_hit) == Some(line.as_str())).then_some(()))
        });
        if let Err(error) = waited.await {
            bail!("never hit: {error:#}");
        }
        self.n_hit += 1;
        match trap.action {
            Action::Kill => {
                let code = self.process.wait_exit(Duration::from_secs(5))?;
                if let Some(code) = code {
                    bail!("{} ended with {code} and not by the signal", self.process.name);
                }
            }
            Action::Stop => {
                self.is_frozen = true;
                self.was_frozen = true;
            }
        }
        Ok(trap.action)
    }

    pub(crate) fn wake(&mut self) -> Result<()> {
        if self.is_frozen {
            self.process.signal(Signal::SIGCONT)?;
            self.is_frozen = false;
        }
        Ok(())
    }

    /// Waits until one that was frozen has heard that it owns nothing any more.
    pub(crate) async fn has_ended_its_work(&self) -> Result<()> {
        let log = &self.process.log;
        wait::until("a former owner to end its work", Duration::from_secs(20), || async {
            let text = fs::read_to_string(log).unwrap_or_default();
            let is_told = ["ending subtask", "another owner holds the target"].iter().any(|words| text.contains(words));
            Ok(is_told.then_some(()))
        })
        .await
    }

    pub(crate) fn log_tail(&self) -> String {
        format!("--- {} {:?}\n{}\n", self.process.name, self.traps, self.process.log_tail(30))
    }
}
