//! What a server says about itself, read once after connecting.
//!
//! Servers differ in which variables they have: what is missing is `None` or empty, never a failure.

use std::collections::BTreeMap;

use dm_fence::ServerRun;
use dm_model::Flavor;
use mysql_async::{Conn, prelude::Queryable};

use crate::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    pub flavor: Flavor,
    /// The text of `VERSION()`.
    pub version: String,
    /// Its leading numbers. For TiDB those of the MySQL version it shows.
    pub version_number: (u16, u16, u16),
    pub is_tidb: bool,
    /// The server's identity: `server_uuid`, MariaDB's `server_uid`, else host name and port.
    pub server_uuid: String,
    /// Unix seconds of its start by its own clock; two readings may differ by a second. 0 when unknown.
    pub server_start: i64,
    pub server_id: u32,
    /// This connection's id on the server.
    pub connection_id: u64,
    pub hostname: String,
    pub port: u16,
    /// `ON`, `OFF`, … of MySQL; `None` on MariaDB, where GTIDs are always there.
    pub gtid_mode: Option<String>,
    pub gtid_strict_mode: Option<bool>,
    pub log_bin: bool,
    pub binlog_format: String,
    pub row_image: String,
    pub row_metadata: String,
    pub time_zone: String,
    pub system_time_zone: String,
    /// The global `sql_mode`.
    pub sql_mode: String,
    pub lower_case_table_names: u8,
    pub max_allowed_packet: u64,
    pub character_set: String,
    pub collation: String,
    pub read_only: bool,
}

impl ServerFacts {
    /// The run that a connection belongs to. A TiDB cluster counts as one run that never ends: its data is replicated,
    /// its connection ids are unique in the cluster, and KILL reaches all its servers.
    pub fn run(&self) -> ServerRun {
        if self.is_tidb {
            return ServerRun { uuid: "tidb".to_owned(), start: 0 };
        }
        ServerRun { uuid: self.server_uuid.clone(), start: self.server_start }
    }

    /// True when the server is at least this version; TiDB counts by the MySQL version it shows.
    pub fn is_at_least(&self, major: u16, minor: u16) -> bool {
        (self.version_number.0, self.version_number.1) >= (major, minor)
    }

    /// Whether changes carry GTIDs that a stream can start from.
    pub fn has_gtid(&self) -> bool {
        match (self.flavor, &self.gtid_mode) {
            (Flavor::MariaDb, _) => true,
            (Flavor::MySql, Some(mode)) => mode.eq_ignore_ascii_case("ON"),
            (Flavor::MySql, None) => false,
        }
    }
}

const VARIABLES: [&str; 23] = [
    "server_uuid",
    "server_uid",
    "server_id",
    "hostname",
    "port",
    "gtid_mode",
    "gtid_strict_mode",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "time_zone",
    "system_time_zone",
    "sql_mode",
    "lower_case_table_names",
    "max_allowed_packet",
    "character_set_server",
    "collation_server",
    "read_only",
    "super_read_only",
    "version",
    "tidb_version",
    "innodb_read_only",
];

/// Asks the server. Three short queries.
pub async fn facts(conn: &mut Conn) -> Result<ServerFacts> {
    const DOING: &str = "read the server's variables";
    let (version, connection_id, now): (String, u64, i64) = conn
        .query_first("SELECT VERSION(), CONNECTION_ID(), UNIX_TIMESTAMP()")
        .await
        .map_err(Error::query(DOING))?
        .unwrap_or_default();
    let names: Vec<String> = VARIABLES.iter().map(|name| format!("'{name}'")).collect();
    let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(","));
    let variables: Vec<(String, String)> = conn.query(sql).await.map_err(Error::query(DOING))?;
    // TiDB has no row for it in some versions.
    let uptime: Option<(String, String)> =
        conn.query_first("SHOW GLOBAL STATUS LIKE 'Uptime'").await.map_err(Error::query(DOING))?;
    let uptime = uptime.and_then(|(_, seconds)| seconds.parse::<i64>().ok());
    let variables = variables.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    Ok(assemble(version, connection_id, uptime.map_or(0, |uptime| now - uptime), &variables))
}

fn assemble(version: String, connection_id: u64, start: i64, variables: &BTreeMap<String, String>) -> ServerFacts {
    let text = |name: &str| variables.get(name).cloned().unwrap_or_default();
    let is_on = |name: &str| variables.get(name).is_some_and(|v| v.eq_ignore_ascii_case("ON") || v == "1");
    let is_tidb = version.to_ascii_lowercase().contains("tidb");
    let port = text("port").parse().unwrap_or(0);
    let hostname = text("hostname");
    let server_uuid = [text("server_uuid"), text("server_uid")]
        .into_iter()
        .find(|uuid| !uuid.is_empty() && !is_tidb)
        .unwrap_or_else(|| format!("{hostname}:{port}"));
    ServerFacts {
        flavor: Flavor::of_version(&version),
        version_number: version_number(&version),
        is_tidb,
        server_uuid,
        server_start: start,
        server_id: text("server_id").parse().unwrap_or(0),
        connection_id,
        hostname,
        port,
        gtid_mode: variables.get("gtid_mode").cloned(),
        gtid_strict_mode: variables.contains_key("gtid_strict_mode").then(|| is_on("gtid_strict_mode")),
        log_bin: is_on("log_bin"),
        binlog_format: text("binlog_format"),
        row_image: text("binlog_row_image"),
        row_metadata: text("binlog_row_metadata"),
        time_zone: text("time_zone"),
        system_time_zone: text("system_time_zone"),
        sql_mode: text("sql_mode"),
        lower_case_table_names: text("lower_case_table_names").parse().unwrap_or(0),
        max_allowed_packet: text("max_allowed_packet").parse().unwrap_or(4 << 20),
        character_set: text("character_set_server"),
        collation: text("collation_server"),
        read_only: is_on("read_only") || is_on("super_read_only"),
        version,
    }
}

fn version_number(version: &str) -> (u16, u16, u16) {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts_of(version: &str, variables: &[(&str, &str)]) -> ServerFacts {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assemble(version.to_owned(), 1, 1, &variables)
    }

    #[test]
    fn each_server_has_an_identity() {
        let place = [("hostname", "h"), ("port", "4000")];
        assert_eq!(facts_of("10.3.1-MariaDB", &place).server_uuid, "h:4000");
        assert_eq!(facts_of("10.11.19-MariaDB", &[("server_uid", "abc")]).server_uuid, "abc");
        assert_eq!(facts_of("9.7.4", &[("server_uuid", "u-u")]).server_uuid, "u-u");
        let tidb = facts_of("8.0.11-TiDB-v8.5.0", &[place[0], place[1], ("server_uuid", "same-on-all")]);
        assert!(tidb.is_tidb);
        assert_eq!(tidb.server_uuid, "h:4000");
    }

    #[test]
    fn versions_are_compared_by_number() {
        let facts = facts_of("10.11.19-MariaDB-0+deb12u1-log", &[]);
        assert_eq!(facts.version_number, (10, 11, 19));
        assert!(facts.is_at_least(10, 6) && !facts.is_at_least(11, 0));
        assert!(facts.has_gtid());
        assert!(!facts_of("9.7.4", &[("gtid_mode", "OFF_PERMISSIVE")]).has_gtid());
    }
}
