//! From a connection description to a connection that is set up for its purpose.
//!
//! Settings the product depends on win over the user's session map: UTC, our sql_mode, UTF-8, and the timeouts that end
//! a frozen owner (control-plane.md 2.5 C1). Everything else the user sets stands. A connection that cannot be set up
//! is not handed out.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use dm_config::db::DbConfig;
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts, prelude::Queryable};

use crate::{Error, Result, prelude};

/// What a connection is for: decides its session settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Looking: checks, facts, schemas of either side.
    Check,
    /// Reading rows of a source for the snapshot.
    SourceRead,
    /// Streaming a source's binlog.
    Replication,
    /// Writing to the target under the fence: short timeouts, to be pinged when idle.
    Lane,
    /// Writing to the target outside the fence: at-least-once targets, trailing copies.
    TargetWrite,
}

/// Makes connections to one database.
#[derive(Debug, Clone)]
pub struct Connector {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    opts: Opts,
    config: DbConfig,
    purpose: Purpose,
    sql_mode: String,
    connect_timeout: Duration,
}

impl Connector {
    /// Largest packet accepted from a server: 1 GiB, the protocol's limit. A binlog event may be larger than the
    /// server's own `max_allowed_packet`.
    pub const MAX_PACKET_BYTES: usize = 1 << 30;
    /// How long connecting and setting up may take together.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    pub fn new(config: &DbConfig, purpose: Purpose) -> Self {
        install_tls_provider();
        Self {
            inner: Arc::new(Inner {
                opts: opts(config),
                config: config.clone(),
                purpose,
                sql_mode: prelude::relaxed_sql_mode(""),
                connect_timeout: Self::CONNECT_TIMEOUT,
            }),
        }
    }

    /// The same database for another purpose.
    pub fn for_purpose(&self, purpose: Purpose) -> Self {
        self.changed(|inner| inner.purpose = purpose)
    }

    /// Lane sessions use this source's `sql_mode`, relaxed: see [`prelude::relaxed_sql_mode`].
    pub fn with_source_sql_mode(&self, source: &str) -> Self {
        self.changed(|inner| inner.sql_mode = prelude::relaxed_sql_mode(source))
    }

    pub fn with_connect_timeout(&self, timeout: Duration) -> Self {
        self.changed(|inner| inner.connect_timeout = timeout)
    }

    pub fn config(&self) -> &DbConfig {
        &self.inner.config
    }

    pub fn purpose(&self) -> Purpose {
        self.inner.purpose
    }

    /// Connects and sets the session up. Fails after the connect timeout at the latest.
    pub async fn connect(&self) -> Result<Conn> {
        let Inner { config: DbConfig { host, port, .. }, connect_timeout, .. } = &*self.inner;
        match tokio::time::timeout(*connect_timeout, self.connect_and_set_up()).await {
            Ok(connected) => connected,
            Err(_) => {
                Err(Error::ConnectTimeout { host: host.clone(), port: *port, seconds: connect_timeout.as_secs() })
            }
        }
    }

    /// The statements that set a session up on a server with this version text.
    pub fn prelude(&self, version: &str) -> Vec<String> {
        prelude::statements(self.inner.purpose, version, &self.inner.sql_mode, &self.inner.config.session)
    }

    async fn connect_and_set_up(&self) -> Result<Conn> {
        let failed =
            |source| Error::Connect { host: self.inner.config.host.clone(), port: self.inner.config.port, source };
        let mut conn = Conn::new(self.inner.opts.clone()).await.map_err(failed)?;
        let version: Option<String> = conn.query_first("SELECT VERSION()").await.map_err(failed)?;
        for sql in self.prelude(&version.unwrap_or_default()) {
            conn.query_drop(&sql).await.map_err(Error::execute(&sql))?;
        }
        Ok(conn)
    }

    fn changed(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let inner = &*self.inner;
        let mut changed = Inner {
            opts: inner.opts.clone(),
            config: inner.config.clone(),
            purpose: inner.purpose,
            sql_mode: inner.sql_mode.clone(),
            connect_timeout: inner.connect_timeout,
        };
        change(&mut changed);
        Self { inner: Arc::new(changed) }
    }
}

fn opts(config: &DbConfig) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(config.host.clone())
        .tcp_port(config.port)
        .user(Some(config.user.clone()))
        .pass(Some(config.password.0.clone()))
        // A socket found on the server's word would bypass the address that was asked for (a proxy, a namespace).
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        // Given here, the library does not ask the server for them on every connect.
        .max_allowed_packet(Some(Connector::MAX_PACKET_BYTES))
        .wait_timeout(Some(28_800))
        .ssl_opts(config.tls.as_ref().map(ssl_opts))
        .into()
}

/// Server certificates are checked against the given CA, else against the public ones, and for the host that is connected
/// to. A name in `cert-allowed-cn` takes the host's place; it must be among the certificate's alternative names, for a
/// common name alone proves nothing to a modern TLS library. (The configuration takes one name at most.)
fn ssl_opts(tls: &dm_config::db::TlsConfig) -> SslOpts {
    let mut ssl = SslOpts::default();
    if let Some(name) = tls.cert_allowed_cn.first() {
        ssl = ssl.with_danger_tls_hostname_override(Some(name.clone()));
    }
    if let Some(ca) = &tls.ca_pem {
        ssl = ssl.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (&tls.cert_pem, &tls.key_pem) {
        ssl = ssl.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
    }
    ssl
}

/// rustls wants one provider per process; another crate may have set the same one before.
fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _already_set = rustls::crypto::ring::default_provider().install_default();
    });
}
