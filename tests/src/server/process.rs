//! A server's folder and process: copied from a template, started, waited for, ended by process id.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mysql_async::{Conn, OptsBuilder};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{ServerKind, ServerOptions};

/// How long a server may take to answer, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Runs at every start, unlogged. One statement a line.
const SEED: &str = "SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS 'dm'@'%' IDENTIFIED BY 'dm';
GRANT ALL PRIVILEGES ON *.* TO 'dm'@'%';
";

#[derive(Debug)]
pub(super) struct Instance {
    kind: ServerKind,
    dir: TempDir,
    port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Instance {
    /// `data`: the data folder of a stopped server to copy; `None` makes an empty one.
    pub(super) async fn create(kind: ServerKind, options: ServerOptions, data: Option<&Path>) -> Result<Self> {
        let (program, template) = prepare(kind)?;
        let template = data.map_or(template, Path::to_owned);
        let dir = tempfile::Builder::new().prefix("dm-server-").tempdir()?;
        let data = dir.path().join("data");
        let copied = Command::new("cp").arg("-a").arg(&template).arg(&data).status()?;
        ensure!(copied.success(), "cannot copy {}", template.display());
        fs::write(dir.path().join("seed.sql"), SEED)?;
        let mut arguments = Vec::new();
        if kind == ServerKind::MariaDb {
            arguments.push("--no-defaults".to_owned());
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        arguments.push(format!("--datadir={}", data.display()));
        arguments.push(format!("--socket={}", at("s")));
        arguments.push(format!("--pid-file={}", at("pid")));
        arguments.push(format!("--log-error={}", at("error.log")));
        arguments.push(format!("--init-file={}", at("seed.sql")));
        if nix::unistd::Uid::current().is_root() {
            arguments.push("--user=root".to_owned());
        }
        arguments.extend(options.arguments(kind));
        let mut instance = Self { kind, dir, port: 0, program, arguments, child: None };
        // A port that was free may be taken by the time the server binds it.
        for n_tries in 1.. {
            instance.port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            match instance.start().await {
                Ok(()) => break,
                Err(error) if n_tries == 3 => return Err(error),
                Err(_) => instance.kill(),
            }
        }
        Ok(instance)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    pub(super) async fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the server runs already");
        let output = File::create(self.dir().join("output"))?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(format!("--port={}", self.port))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.child = Some(child);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                bail!("{} ended with {status}:\n{}", self.kind.as_str(), self.log());
            }
            if self.answers().await {
                return Ok(());
            }
            ensure!(begun.elapsed() < START_LIMIT, "{} does not answer:\n{}", self.kind.as_str(), self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// The seeded user gets in, so the seed is through.
    async fn answers(&self) -> bool {
        let opts = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("dm"))
            .pass(Some("dm"))
            .prefer_socket(false);
        match Conn::new(opts).await {
            Ok(conn) => conn.disconnect().await.is_ok(),
            Err(_) => false,
        }
    }

    pub(super) async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let begun = Instant::now();
        while let Some(child) = &mut self.child {
            if child.try_wait()?.is_some() {
                self.child = None;
            } else {
                ensure!(begun.elapsed() < STOP_LIMIT, "{} does not stop:\n{}", self.kind.as_str(), self.log());
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when it has ended already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the server does not run")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal} to {pid}"))
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir().join(name)).unwrap_or_default();
        let log = read("error.log") + &read("output");
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program and the data folder to copy, made at first use.
fn prepare(kind: ServerKind) -> Result<(PathBuf, PathBuf)> {
    let script = match kind {
        ServerKind::MariaDb => "mariadb1011.sh",
        ServerKind::MySql => "mysql97.sh",
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers").join(script);
    let output = Command::new("sh").arg(&script).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} failed", script.display());
    let folder = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    Ok(match kind {
        ServerKind::MariaDb => (PathBuf::from("mariadbd"), folder.join("data")),
        ServerKind::MySql => (folder.join("run-mysqld"), folder.join("template")),
    })
}
