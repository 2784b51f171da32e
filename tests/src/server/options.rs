//! What a test server is started with.

use super::ServerKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// MySQL: `gtid_mode`; MariaDB: strict mode (its GTIDs are always there).
    pub gtid: bool,
    /// `innodb_flush_log_at_trx_commit`.
    pub flush_log_at_commit: u8,
    pub server_id: u32,
    /// Further arguments; they come last, so they win.
    pub extra: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { gtid: true, flush_log_at_commit: 2, server_id: 1, extra: Vec::new() }
    }
}

impl ServerOptions {
    pub fn with_gtid(mut self, gtid: bool) -> Self {
        self.gtid = gtid;
        self
    }

    pub fn with_server_id(mut self, server_id: u32) -> Self {
        self.server_id = server_id;
        self
    }

    pub fn with_flush(mut self, flush_log_at_commit: u8) -> Self {
        self.flush_log_at_commit = flush_log_at_commit;
        self
    }

    /// Adds an argument, as `--binlog-row-image=MINIMAL`.
    pub fn with(mut self, argument: impl Into<String>) -> Self {
        self.extra.push(argument.into());
        self
    }

    pub(super) fn arguments(&self, kind: ServerKind) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--log-bin=mysql-bin",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--sync-binlog=0",
            "--innodb-buffer-pool-size=64M",
            "--character-set-server=utf8mb4",
            "--performance-schema=OFF",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--server-id={}", self.server_id));
        arguments.push(format!("--innodb-flush-log-at-trx-commit={}", self.flush_log_at_commit));
        match kind {
            ServerKind::MariaDb => {
                arguments.push("--log-slave-updates=ON".to_owned());
                arguments.push("--innodb-log-file-size=8M".to_owned());
                arguments.push(format!("--gtid-strict-mode={}", if self.gtid { "ON" } else { "OFF" }));
            }
            ServerKind::MySql => {
                arguments.push("--mysqlx=OFF".to_owned());
                // The built-in folder is the packager's and is not there.
                arguments.push("--secure-file-priv=".to_owned());
                arguments.push("--innodb-redo-log-capacity=8M".to_owned());
                if self.gtid {
                    arguments.push("--gtid-mode=ON".to_owned());
                    arguments.push("--enforce-gtid-consistency=ON".to_owned());
                }
            }
        }
        arguments.extend(self.extra.iter().cloned());
        arguments
    }
}
