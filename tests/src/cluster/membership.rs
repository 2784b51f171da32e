//! Masters that come and go.

use anyhow::{Context, Result, ensure};

use super::{Cluster, MasterPlace};
use crate::process::{Process, free_port};

impl Cluster {
    /// Starts a master that joins the cluster through the client addresses of all others. One of this name that was here
    /// before starts again at its place, with what its data folder holds.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn join_master(&mut self, name: &str) -> Result<()> {
        let others: Vec<String> = self
            .masters
            .iter()
            .filter(|(n, _)| *n != name)
            .map(|(_, p)| format!("127.0.0.1:{}", p.client_port))
            .collect();
        let place = match self.masters.get(name) {
            Some(place) => place.clone(),
            None => MasterPlace { client_port: free_port()?, peer_port: free_port()? },
        };
        let mut args = vec![
            format!("--name={name}"),
            format!("--master-addr=127.0.0.1:{}", place.client_port),
            format!("--advertise-addr=127.0.0.1:{}", place.client_port),
            format!("--peer-urls=http://127.0.0.1:{}", place.peer_port),
            format!("--advertise-peer-urls=http://127.0.0.1:{}", place.peer_port),
            format!("--data-dir={}", self.folder.join(format!("{name}.data")).display()),
            format!("--join={}", others.join(",")),
        ];
        args.extend(self.options.tls_args.iter().chain(&self.options.master_args).cloned());
        let process = Process::start(&self.folder, name, "dm-master", &args, &[])?;
        self.masters.insert(name.to_owned(), place);
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    /// Forgets a master's place, so that nobody is pointed to it any more. Its process ends if it still runs, its data
    /// folder stays.
    ///
    /// # Errors
    /// There is no such master.
    pub fn forget_master(&mut self, name: &str) -> Result<()> {
        self.masters.remove(name).with_context(|| format!("find master {name}"))?;
        self.processes.remove(name);
        Ok(())
    }

    /// Removes what a dead master has on disk.
    ///
    /// # Errors
    /// It still runs, or the folder cannot be removed.
    pub fn wipe_master(&mut self, name: &str) -> Result<()> {
        ensure!(!self.process(name)?.is_running(), "{name} still runs");
        std::fs::remove_dir_all(self.folder.join(format!("{name}.data"))).context("remove a master's folder")
    }
}
