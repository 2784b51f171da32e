//! A cluster of our own processes on loopback: masters, workers, and dmctl to speak with them.

pub mod dmctl;
mod membership;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{Process, free_port},
    wait,
};
pub use dmctl::Dmctl;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub n_masters: usize,
    pub n_workers: usize,
    /// Added to every worker's flags.
    pub worker_args: Vec<String>,
    /// Added to every master's flags.
    pub master_args: Vec<String>,
    /// Environment of workers, for fail points.
    pub worker_env: Vec<(String, String)>,
    /// Added to the flags of every program: `--ssl-ca` and so on.
    pub tls_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            n_masters: 3,
            n_workers: 2,
            worker_args: Vec::new(),
            master_args: Vec::new(),
            worker_env: Vec::new(),
            tls_args: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
struct MasterPlace {
    client_port: u16,
    peer_port: u16,
}

/// Running masters and workers. Dropping it kills them all.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    options: Options,
    masters: BTreeMap<String, MasterPlace>,
    workers: BTreeMap<String, u16>,
    processes: BTreeMap<String, Process>,
    dmctl_flags: Vec<String>,
}

impl Cluster {
    /// Starts masters `master1…` and workers `worker1…` in a folder and waits until a leader answers and every worker is
    /// known.
    ///
    /// # Errors
    /// A binary is not built, a process ends early, or nothing answers within 30 s.
    pub async fn start(folder: &Path, options: Options) -> Result<Self> {
        fs::create_dir_all(folder).context("make the cluster's folder")?;
        let mut masters = BTreeMap::new();
        for i in 1..=options.n_masters {
            let place = MasterPlace { client_port: free_port()?, peer_port: free_port()? };
            masters.insert(format!("master{i}"), place);
        }
        let mut workers = BTreeMap::new();
        for i in 1..=options.n_workers {
            workers.insert(format!("worker{i}"), free_port()?);
        }
        // whom to let in is no question of dmctl's
        let dmctl_flags = options.tls_args.iter().filter(|flag| flag.starts_with("--ssl-")).cloned().collect();
        let processes = BTreeMap::new();
        let mut cluster = Self { folder: folder.to_owned(), options, masters, workers, processes, dmctl_flags };
        for name in cluster.master_names() {
            cluster.start_master(&name)?;
        }
        cluster.wait_leader(Duration::from_secs(30)).await?;
        for name in cluster.worker_names() {
            cluster.start_worker(&name)?;
        }
        cluster.wait_workers().await?;
        Ok(cluster)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn master_names(&self) -> Vec<String> {
        self.masters.keys().cloned().collect()
    }

    pub fn worker_names(&self) -> Vec<String> {
        self.workers.keys().cloned().collect()
    }

    /// Client addresses of all masters, in order of name.
    pub fn master_addrs(&self) -> Vec<String> {
        self.masters.values().map(|place| format!("127.0.0.1:{}", place.client_port)).collect()
    }

    pub fn master_addr(&self, name: &str) -> Result<String> {
        let place = self.masters.get(name).with_context(|| format!("find master {name}"))?;
        Ok(format!("127.0.0.1:{}", place.client_port))
    }

    /// Where a master listens for other masters.
    pub fn peer_addr(&self, name: &str) -> Result<String> {
        let place = self.masters.get(name).with_context(|| format!("find master {name}"))?;
        Ok(format!("127.0.0.1:{}", place.peer_port))
    }

    pub fn worker_addr(&self, name: &str) -> Result<String> {
        let port = self.workers.get(name).with_context(|| format!("find worker {name}"))?;
        Ok(format!("127.0.0.1:{port}"))
    }

    /// Starts a master, again or for the first time, on its own data folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_master(&mut self, name: &str) -> Result<()> {
        let place = self.masters.get(name).with_context(|| format!("find master {name}"))?;
        let initial: Vec<String> =
            self.masters.iter().map(|(n, p)| format!("{n}=http://127.0.0.1:{}", p.peer_port)).collect();
        let mut args = vec![
            format!("--name={name}"),
            format!("--master-addr=127.0.0.1:{}", place.client_port),
            format!("--advertise-addr=127.0.0.1:{}", place.client_port),
            format!("--peer-urls=http://127.0.0.1:{}", place.peer_port),
            format!("--advertise-peer-urls=http://127.0.0.1:{}", place.peer_port),
            format!("--data-dir={}", self.folder.join(format!("{name}.data")).display()),
            format!("--initial-cluster={}", initial.join(",")),
        ];
        args.extend(self.options.tls_args.iter().chain(&self.options.master_args).cloned());
        let process = Process::start(&self.folder, name, "dm-master", &args, &[])?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    /// Starts a worker, again or for the first time.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_worker(&mut self, name: &str) -> Result<()> {
        let port = self.workers.get(name).with_context(|| format!("find worker {name}"))?;
        let mut args = vec![
            format!("--name={name}"),
            format!("--worker-addr=127.0.0.1:{port}"),
            format!("--advertise-addr=127.0.0.1:{port}"),
            format!("--join={}", self.master_addrs().join(",")),
        ];
        args.extend(self.options.tls_args.iter().chain(&self.options.worker_args).cloned());
        let process = Process::start(&self.folder, name, "dm-worker", &args, &self.options.worker_env)?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    /// # Errors
    /// The name is unknown or the process was never started.
    pub fn process(&mut self, name: &str) -> Result<&mut Process> {
        self.processes.get_mut(name).with_context(|| format!("find process {name}"))
    }

    /// Flags of dmctl from now on, in place of those all programs share.
    pub fn dmctl_flags(&mut self, flags: Vec<String>) {
        self.dmctl_flags = flags;
    }

    pub fn dmctl(&self) -> Dmctl {
        Dmctl::new(self.master_addrs(), self.folder.clone()).with_flags(self.dmctl_flags.clone())
    }

    /// The name of the leader as `list-member` tells it.
    ///
    /// # Errors
    /// Nobody leads within `limit`.
    pub async fn wait_leader(&mut self, limit: Duration) -> Result<String> {
        let dmctl = self.dmctl();
        let leader = wait::until("a leader", limit, || async {
            let answer = dmctl.json(&["list-member", "--leader"]).await?;
            let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default();
            Ok(Some(name.to_owned()).filter(|name| answer["result"] == true && !name.is_empty()))
        })
        .await;
        match leader {
            Ok(name) => Ok(name),
            Err(error) => bail!("{error:#}\n{}", self.log_tails()),
        }
    }

    async fn wait_workers(&mut self) -> Result<()> {
        let dmctl = self.dmctl();
        let n_workers = self.workers.len();
        let seen = wait::until("all workers", Duration::from_secs(20), || async {
            let answer = dmctl.json(&["list-member", "--worker"]).await?;
            let empty = Vec::new();
            let workers = answer["members"][0]["worker"]["workers"].as_array().unwrap_or(&empty);
            let n_alive = workers.iter().filter(|worker| worker["stage"] != "offline").count();
            Ok((n_alive == n_workers).then_some(()))
        })
        .await;
        match seen {
            Ok(()) => Ok(()),
            Err(error) => bail!("{error:#}\n{}", self.log_tails()),
        }
    }

    /// The last lines of every process, for a failing test's message.
    pub fn log_tails(&self) -> String {
        self.processes.values().map(|p| format!("--- {}\n{}\n", p.name, p.log_tail(15))).collect()
    }
}
