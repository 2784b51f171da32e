//! Throw-away database servers for tests: real MariaDB and MySQL processes in temporary folders on 127.0.0.1.
//!
//! A server ends with its value, by process id. Defaults: row-based binlog with full images, GTIDs on, UTF-8, and
//! `flush=2`, which loses nothing on SIGKILL (only on a power cut), so crash tests stay honest. Where programs are
//! missing they are fetched once (`tests/servers/*.sh` say what and why on stderr). Errors carry the server's own log.

pub mod lossy_proxy;
pub mod options;
pub mod process;

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context, Result};
use dm_config::db::{DbConfig, Password};
use mysql_async::{Conn, Opts, OptsBuilder};

pub use lossy_proxy::{Loss, LossyProxy};
pub use options::ServerOptions;
use process::Instance;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerKind {
    /// MariaDB 10.11 of Debian 12.
    MariaDb,
    /// MySQL 9.7 of Debian sid, unpacked into the cache folder.
    MySql,
}

impl ServerKind {
    pub const ALL: [Self; 2] = [Self::MariaDb, Self::MySql];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }
}

/// A running (or stopped) server.
#[derive(Debug)]
pub struct Server {
    kind: ServerKind,
    instance: Instance,
}

/// A MariaDB with defaults: `MariaDb::start().await?`.
#[derive(Debug)]
pub struct MariaDb;

/// A MySQL with defaults: `MySql::start().await?`.
#[derive(Debug)]
pub struct MySql;

impl MariaDb {
    pub async fn start() -> Result<Server> {
        Server::start(ServerKind::MariaDb, ServerOptions::default()).await
    }
}

impl MySql {
    pub async fn start() -> Result<Server> {
        Server::start(ServerKind::MySql, ServerOptions::default()).await
    }
}

impl Server {
    /// Password of the users `dm` and `root`: `dm` for `dm`, none for `root`.
    pub const DM_PASSWORD: &str = "dm";

    /// Starts a new server with an empty data folder and waits until it answers.
    pub async fn start(kind: ServerKind, options: ServerOptions) -> Result<Self> {
        let instance = Instance::create(kind, options, None).await?;
        Ok(Self { kind, instance })
    }

    /// Starts a new server on a copy of a stopped server's data folder and waits until it answers.
    pub async fn start_from(kind: ServerKind, options: ServerOptions, data: &Path) -> Result<Self> {
        let instance = Instance::create(kind, options, Some(data)).await?;
        Ok(Self { kind, instance })
    }

    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    pub fn port(&self) -> u16 {
        self.instance.port()
    }

    /// The server's folder: data in `data/`, its log in `error.log`.
    pub fn dir(&self) -> &Path {
        self.instance.dir()
    }

    /// The process id; `None` when it does not run.
    pub fn pid(&self) -> Option<i32> {
        self.instance.pid()
    }

    /// Ends the server in order.
    pub async fn stop(&mut self) -> Result<()> {
        self.instance.stop().await
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        self.instance.kill();
    }

    /// Freezes and thaws the whole server (SIGSTOP, SIGCONT).
    pub fn freeze(&self) -> Result<()> {
        self.instance.signal(nix::sys::signal::Signal::SIGSTOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.instance.signal(nix::sys::signal::Signal::SIGCONT)
    }

    /// Starts a stopped or killed server again, on the same port with the same data.
    pub async fn start_again(&mut self) -> Result<()> {
        self.instance.start().await
    }

    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// How the product reaches it, as user `dm` with all rights.
    pub fn config(&self) -> DbConfig {
        self.config_as("dm", Self::DM_PASSWORD)
    }

    pub fn config_as(&self, user: &str, password: &str) -> DbConfig {
        DbConfig {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.port(),
            user: user.to_owned(),
            password: Password(password.to_owned()),
            session: Default::default(),
            tls: None,
        }
    }

    /// `mysql://root@127.0.0.1:port`.
    pub fn root_dsn(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port())
    }

    pub fn root_opts(&self) -> Opts {
        self.opts_as("root", "")
    }

    pub fn opts_as(&self, user: &str, password: &str) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port())
            .user(Some(user))
            .pass((!password.is_empty()).then_some(password))
            .prefer_socket(false)
            .into()
    }

    /// A connection as `root`.
    pub async fn root(&self) -> Result<Conn> {
        Conn::new(self.root_opts()).await.with_context(|| format!("connect to {} as root", self.kind.as_str()))
    }

    /// A connection as `dm`, without any setting of the product.
    pub async fn connect(&self) -> Result<Conn> {
        Conn::new(self.opts_as("dm", Self::DM_PASSWORD))
            .await
            .with_context(|| format!("connect to {} as dm", self.kind.as_str()))
    }
}
