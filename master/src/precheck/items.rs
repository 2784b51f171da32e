//! Checks of servers and users, as pure functions over what was seen.

use std::collections::BTreeSet;

use dm_config::{SubtaskConfig, TaskConfig, db::DbConfig, task::Meta};
use dm_model::Flavor;
use dm_mysql::{
    ServerFacts,
    privileges::{Grants, Need},
};

use super::{
    look::{Both, Source},
    verdict::{Check, Finding},
};

const GRANT: &str = "Please grant the missing privileges to the user.";

fn address(db: &DbConfig) -> String {
    format!("address of db instance - {}:{}", db.host, db.port)
}

/// All checks of one source, in DM's order.
pub fn of_source(
    task: &TaskConfig,
    subtask: &SubtaskConfig,
    seen: &Both,
    is_ignored: &dyn Fn(&str) -> bool,
) -> Vec<Check> {
    let extra = address(&subtask.from);
    let Source { facts, grants, tables, binlogs } = match &seen.source {
        Ok(source) => source,
        Err(error) => return vec![cannot_connect("source", error, extra)],
    };
    let schemas: BTreeSet<&str> = tables.iter().map(|table| table.name.schema.as_str()).collect();
    let schemas: Vec<&str> = schemas.into_iter().collect();
    let mut checks = Vec::new();
    let mut add = |item: &str, check: Check| {
        if !is_ignored(item) {
            checks.push(check);
        }
    };
    let check = |name, desc, findings, instruction| Check::new(name, desc, findings, instruction, extra.clone());
    add("version", check("mysql_version", "check whether mysql version is satisfied", version(facts), ""));
    if task.mode.has_sync() {
        add(
            "server_id",
            check(
                "mysql_server_id",
                "check whether mysql server_id has been greater than 0",
                server_id(facts),
                "Please set server_id greater than 0.",
            ),
        );
        add(
            "binlog_enable",
            check(
                "mysql_binlog_enable",
                "check whether mysql binlog is enabled",
                binlog_enable(facts),
                "Please set log_bin.",
            ),
        );
        add(
            "binlog_format",
            check(
                "mysql_binlog_format",
                "check whether mysql binlog_format is ROW",
                binlog_format(facts),
                "Please execute `set global binlog_format='ROW'`.",
            ),
        );
        add(
            "binlog_row_image",
            check(
                "mysql_binlog_row_image",
                "check whether mysql binlog_row_image is FULL",
                row_image(facts),
                "Please execute `set global binlog_row_image='FULL'`.",
            ),
        );
    }
    if task.mode.has_dump() {
        add(
            "dump_privilege",
            check(
                "source db dump privilege checker",
                "check dump privileges of source DB",
                privileges(grants, Need::Dump { with_lock: false }, &schemas),
                GRANT,
            ),
        );
    }
    if task.mode.has_sync() {
        add(
            "replication_privilege",
            check(
                "source db replication privilege checker",
                "check replication privileges of source DB",
                privileges(grants, Need::Replication, &[]),
                GRANT,
            ),
        );
    }
    if let Some(meta) = &subtask.meta {
        add(
            "meta_position",
            check(
                "meta position check",
                "check whether meta position is valid for db",
                meta_position(meta, binlogs),
                "Please check `meta` in the task file; the binlog may have been purged.",
            ),
        );
    }
    if subtask.enable_gtid && !facts.has_gtid() {
        checks.push(check(
            "gtid_mode",
            "check whether the source has GTIDs",
            vec![Finding::fail("enable-gtid is set, but the source has no GTIDs")],
            "Please set gtid_mode on the server, or enable-gtid to false.",
        ));
    }
    checks
}

/// The target is one for the whole task, so it is judged once.
pub fn of_target(subtasks: &[SubtaskConfig], seen: &[Both], is_ignored: &dyn Fn(&str) -> bool) -> Vec<Check> {
    let (Some(subtask), Some(seen)) = (subtasks.first(), seen.first()) else { return Vec::new() };
    let extra = address(&subtask.target);
    match &seen.target {
        Err(error) => vec![cannot_connect("target", error, extra)],
        Ok(_) if is_ignored("target_privilege") => Vec::new(),
        Ok(target) => {
            let missing = privileges(&target.grants, Need::Target, &[]);
            let findings = missing.into_iter().map(|finding| Finding::warn(finding.short_error)).collect();
            let desc = "check privileges of target DB";
            vec![Check::new("target db privilege checker", desc, findings, GRANT, extra)]
        }
    }
}

fn cannot_connect(side: &str, error: &str, extra: String) -> Check {
    let text = format!("[code=26002] cannot look at the {side} database: {error}");
    Check::failed("connection", "check whether the database answers", text, extra)
}

fn version(facts: &ServerFacts) -> Vec<Finding> {
    if facts.is_tidb {
        return vec![Finding::warn("TiDB as a source is not tested")];
    }
    let (known, range) = match facts.flavor {
        Flavor::MariaDb => (facts.is_at_least(10, 0) && !facts.is_at_least(12, 0), "MariaDB 10.x to 11.x"),
        Flavor::MySql => (facts.is_at_least(5, 6) && !facts.is_at_least(10, 0), "MySQL 5.6 to 9.x"),
    };
    if known { Vec::new() } else { vec![Finding::warn(format!("version suggested {range}, got {}", facts.version))] }
}

fn server_id(facts: &ServerFacts) -> Vec<Finding> {
    if facts.server_id == 0 { vec![Finding::warn("server_id is 0")] } else { Vec::new() }
}

fn binlog_enable(facts: &ServerFacts) -> Vec<Finding> {
    if facts.log_bin { Vec::new() } else { vec![Finding::fail("log_bin is OFF, and should be ON")] }
}

fn binlog_format(facts: &ServerFacts) -> Vec<Finding> {
    if facts.binlog_format.eq_ignore_ascii_case("ROW") {
        return Vec::new();
    }
    vec![Finding::fail(format!("binlog_format is {}, and should be ROW", facts.binlog_format))]
}

/// Servers from before the variable always write full images.
fn row_image(facts: &ServerFacts) -> Vec<Finding> {
    if facts.row_image.is_empty() || facts.row_image.eq_ignore_ascii_case("FULL") {
        return Vec::new();
    }
    vec![Finding::fail(format!("binlog_row_image is {}, and should be FULL", facts.row_image))]
}

/// A GTID set is left to the dump request, which names what is missing.
fn meta_position(meta: &Meta, binlogs: &[String]) -> Vec<Finding> {
    if meta.binlog_name.is_empty() || binlogs.contains(&meta.binlog_name) {
        return Vec::new();
    }
    let range = match (binlogs.first(), binlogs.last()) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "none".to_owned(),
    };
    vec![Finding::fail(format!("binlog {} is not on the server, which has {range}", meta.binlog_name))]
}

fn privileges(grants: &Grants, need: Need, schemas: &[&str]) -> Vec<Finding> {
    let missing = grants.missing(need, schemas);
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Finding::fail(format!("lack of privileges: {}", missing.join(", ")))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precheck::State;

    fn facts() -> ServerFacts {
        ServerFacts {
            flavor: Flavor::MySql,
            version: "8.0.36".into(),
            version_number: (8, 0, 36),
            is_tidb: false,
            server_uuid: String::new(),
            server_start: 0,
            server_id: 1,
            connection_id: 1,
            hostname: String::new(),
            port: 3306,
            gtid_mode: None,
            gtid_strict_mode: None,
            log_bin: true,
            binlog_format: "ROW".into(),
            row_image: "FULL".into(),
            row_metadata: String::new(),
            time_zone: String::new(),
            system_time_zone: String::new(),
            sql_mode: String::new(),
            lower_case_table_names: 0,
            max_allowed_packet: 0,
            character_set: String::new(),
            collation: String::new(),
            read_only: false,
        }
    }

    #[test]
    fn a_good_source_has_no_findings() {
        let facts = facts();
        for findings in
            [version(&facts), server_id(&facts), binlog_enable(&facts), binlog_format(&facts), row_image(&facts)]
        {
            assert_eq!(findings, []);
        }
    }

    #[test]
    fn what_stops_replication_fails_and_what_is_odd_warns() {
        let bad = ServerFacts {
            log_bin: false,
            binlog_format: "STATEMENT".into(),
            row_image: "MINIMAL".into(),
            server_id: 0,
            version_number: (5, 5, 62),
            ..facts()
        };
        let severity = |findings: Vec<Finding>| findings[0].severity;
        assert_eq!(severity(binlog_enable(&bad)), State::Fail);
        assert_eq!(severity(binlog_format(&bad)), State::Fail);
        assert_eq!(severity(row_image(&bad)), State::Fail);
        assert_eq!(severity(server_id(&bad)), State::Warn);
        assert_eq!(severity(version(&bad)), State::Warn);
        let of = |flavor, version_number| version(&ServerFacts { flavor, version_number, ..facts() });
        assert_eq!(of(Flavor::MySql, (9, 7, 4)), []);
        assert_eq!(of(Flavor::MariaDb, (10, 11, 19)), []);
        assert_eq!(of(Flavor::MariaDb, (5, 5, 68))[0].severity, State::Warn);
    }

    #[test]
    fn a_start_in_a_purged_binlog_fails() {
        let meta = |name: &str| Meta { binlog_name: name.into(), binlog_pos: 4, binlog_gtid: String::new() };
        let binlogs = ["b.000002".to_owned(), "b.000003".to_owned()];
        assert_eq!(meta_position(&meta("b.000003"), &binlogs), []);
        assert_eq!(meta_position(&meta(""), &binlogs), []);
        let findings = meta_position(&meta("b.000001"), &binlogs);
        assert_eq!(findings[0].short_error, "binlog b.000001 is not on the server, which has b.000002 to b.000003");
    }

    #[test]
    fn missing_privileges_are_named() {
        let grants = Grants::parse(&["GRANT SELECT, REPLICATION SLAVE ON *.* TO `u`@`%`"]);
        assert_eq!(privileges(&grants, Need::Dump { with_lock: false }, &[]), []);
        let findings = privileges(&grants, Need::Replication, &[]);
        assert_eq!(findings[0].short_error, "lack of privileges: REPLICATION CLIENT");
    }
}
