//! The statements every session starts with.
//!
//! Order: our defaults, the user's session map, then what must hold (settled point 9). Values of the user's map are
//! data: names that are no plain identifiers are left out with a warning, never put into SQL.

use std::collections::BTreeMap;

use crate::{connector::Purpose, text};

/// Seconds after which a target ends an idle lane. Lanes are pinged every third of it, so it only ever hits a frozen or
/// isolated owner.
pub const LANE_WAIT_TIMEOUT: u32 = 10;
/// Seconds after which a target ends a lane that sits idle inside a transaction, where it can (MariaDB, TiDB).
pub const LANE_IDLE_TRANSACTION_TIMEOUT: u32 = 5;

/// A source's `sql_mode` without what refuses values the source has, and with what keeps them as they are.
///
/// `NO_ZERO_*` and division errors go; strictness and `ALLOW_INVALID_DATES` stay if the source has them, so that a target
/// column that is too narrow is an error and never a cut value; `NO_AUTO_VALUE_ON_ZERO` comes, or a 0 would become the
/// next number. What changes how SQL text is read (`ANSI_QUOTES`, `PIPES_AS_CONCAT`, `NO_BACKSLASH_ESCAPES`, …) goes
/// too: our text is written for the plain mode.
pub fn relaxed_sql_mode(source: &str) -> String {
    const KEPT: [&str; 3] = ["ALLOW_INVALID_DATES", "STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"];
    let has: Vec<String> = source.split(',').map(|mode| mode.trim().to_ascii_uppercase()).collect();
    let mut modes = vec!["NO_AUTO_VALUE_ON_ZERO"];
    modes.extend(KEPT.into_iter().filter(|kept| has.iter().any(|mode| mode == kept)));
    modes.join(",")
}

/// Variables that hold our values whatever the user sets.
const OURS: [&str; 3] = ["time_zone", "sql_mode", "autocommit"];

pub(crate) fn statements(
    purpose: Purpose,
    version: &str,
    sql_mode: &str,
    user: &BTreeMap<String, String>,
) -> Vec<String> {
    let version = version.to_ascii_lowercase();
    let is_mariadb = version.contains("mariadb");
    let is_tidb = version.contains("tidb");
    let writes = match purpose {
        Purpose::Lane | Purpose::TargetWrite => true,
        Purpose::Check | Purpose::SourceRead | Purpose::Replication => false,
    };
    let mut sets: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| sets.push((name.to_owned(), value));
    if writes {
        set("foreign_key_checks", "0".to_owned());
        set("unique_checks", "1".to_owned());
    }
    for (name, value) in user {
        // A named zone may be unknown to the server, and ours wins anyway.
        if OURS.contains(&name.as_str()) {
            continue;
        }
        if is_identifier(name) {
            set(name, user_value(value));
        } else {
            tracing::warn!(name, "session variable left out: not an identifier");
        }
    }
    if purpose != Purpose::Replication {
        set("time_zone", "'+00:00'".to_owned());
        set("sql_mode", text::literal(if writes { sql_mode } else { "" }));
        set("autocommit", "1".to_owned());
    }
    if purpose == Purpose::Lane {
        set("wait_timeout", LANE_WAIT_TIMEOUT.to_string());
        set("innodb_lock_wait_timeout", "1".to_owned());
        if is_mariadb {
            set("idle_write_transaction_timeout", LANE_IDLE_TRANSACTION_TIMEOUT.to_string());
        }
    }
    if writes && is_tidb {
        set("tidb_txn_mode", "'pessimistic'".to_owned());
        if purpose == Purpose::Lane {
            set("tidb_idle_transaction_timeout", LANE_IDLE_TRANSACTION_TIMEOUT.to_string());
        }
    }
    // The timeouts first: a client frozen between two statements of this prelude must be ended by them.
    let mut statements = Vec::new();
    if purpose == Purpose::Lane {
        statements.push(format!("SET SESSION wait_timeout = {LANE_WAIT_TIMEOUT}"));
    }
    statements.push("SET NAMES utf8mb4".to_owned());
    if !sets.is_empty() {
        let all: Vec<String> = sets.iter().map(|(name, value)| format!("SESSION {name} = {value}")).collect();
        statements.push(format!("SET {}", all.join(", ")));
    }
    if writes {
        statements.push("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned());
    }
    statements
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Numbers stay numbers, for variables that take nothing else; so do the words a server takes bare.
fn user_value(value: &str) -> String {
    let bare = value.parse::<i64>().is_ok()
        || value.parse::<f64>().is_ok_and(f64::is_finite)
        || ["on", "off", "true", "false", "default"].contains(&value.to_ascii_lowercase().as_str());
    if bare { value.to_owned() } else { text::literal(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(purpose: Purpose, version: &str, user: &[(&str, &str)]) -> String {
        let user = user.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        statements(purpose, version, &relaxed_sql_mode("STRICT_TRANS_TABLES,ALLOW_INVALID_DATES"), &user).join(";\n")
    }

    #[test]
    fn a_strict_source_has_a_strict_target_that_takes_all_its_dates() {
        let source = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ANSI_QUOTES";
        assert_eq!(relaxed_sql_mode(source), "NO_AUTO_VALUE_ON_ZERO,STRICT_TRANS_TABLES");
        assert_eq!(relaxed_sql_mode(""), "NO_AUTO_VALUE_ON_ZERO");
    }

    #[test]
    fn the_user_may_change_defaults_but_not_what_must_hold() {
        let sql = all(Purpose::Lane, "10.11.19-MariaDB", &[("foreign_key_checks", "1"), ("time_zone", "SYSTEM")]);
        let at = |needle: &str| sql.find(needle).unwrap_or_else(|| panic!("{needle} in {sql}"));
        assert!(at("foreign_key_checks = 0") < at("foreign_key_checks = 1"));
        assert!(!sql.contains("SYSTEM"), "a zone the server may not know is not even tried: {sql}");
        assert!(sql.contains("time_zone = '+00:00'"), "{sql}");
        assert!(sql.contains("sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,STRICT_TRANS_TABLES'"));
        assert!(sql.contains("idle_write_transaction_timeout = 5"));
    }

    #[test]
    fn each_server_gets_only_what_it_knows() {
        assert!(!all(Purpose::Lane, "9.7.4", &[]).contains("idle_write"));
        assert!(all(Purpose::Lane, "8.0.11-TiDB-v8.5.0", &[]).contains("tidb_txn_mode = 'pessimistic'"));
        assert!(!all(Purpose::TargetWrite, "9.7.4", &[]).contains("wait_timeout"));
        assert_eq!(all(Purpose::Replication, "9.7.4", &[]), "SET NAMES utf8mb4");
    }

    #[test]
    fn names_that_are_no_identifiers_do_not_reach_the_server() {
        assert!(!all(Purpose::Check, "9.7.4", &[("a = 1; DROP TABLE t", "1")]).contains("DROP"));
        assert!(all(Purpose::Check, "9.7.4", &[("sql_require_primary_key", "OFF")]).contains("= OFF"));
    }
}
