//! Whether a source is the one that was read until now, or has at least all that is in the target.
//!
//! A server that lacks transactions which the target has must not be read: what it writes next was written without them.
//! By GTIDs the sets tell. By positions only the birth of the binlog file tells: a server whose binlogs were reset gives the
//! same names to other files. Judges only; nothing here reads the stream.

use std::fmt;

use dm_model::{
    Flavor, GtidSet,
    error::{Class, Code, Level, Report, Retry, Scope},
    gtid::{mariadb, mysql},
};
use dm_mysql::ServerFacts;
use mysql_async::{Conn, prelude::Queryable};

pub(super) const MISSING: Code = Code::new(
    60032,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "The source lacks transactions that are in the target already: wait until it has caught up, point the source to a \
     server that has them, or, if they are lost for good, make source and target equal and start anew with \
     `start-task --start-time` or `--remove-meta`.",
);
const RESET: Code = Code::new(
    60033,
    Class::SyncUnit,
    Scope::Upstream,
    Level::High,
    "The source's binlogs were reset, or it is another server now: make source and target equal and start anew with \
     `start-task --start-time` or `--remove-meta`.",
);

/// Refuses a source that lacks transactions of `known`.
///
/// # Errors
/// 60032; worth another try when the server may only be behind.
pub(super) async fn check(conn: &mut Conn, found: &ServerFacts, known: &[GtidSet]) -> Result<(), Report> {
    let (mut of_mysql, mut of_mariadb) = (mysql::Set::default(), mariadb::Set::default());
    for set in known {
        match set {
            GtidSet::MySql(set) => of_mysql.union(set),
            GtidSet::MariaDb(set) => of_mariadb.union(set),
        }
    }
    let verdict = match found.flavor {
        Flavor::MySql if !of_mysql.is_empty() => {
            let executed = variable(conn, "gtid_executed").await?;
            let executed = mysql::Set::parse(&executed).map_err(|error| unreadable(&error))?;
            judge_mysql(&of_mysql, &executed, &found.server_uuid)
        }
        Flavor::MariaDb if !of_mariadb.is_empty() => {
            let mut has = last_of_each(&variable(conn, "gtid_binlog_state").await?)?;
            has.extend(last_of_each(&variable(conn, "gtid_slave_pos").await?)?);
            judge_mariadb(&of_mariadb, &has)
        }
        Flavor::MySql | Flavor::MariaDb => Verdict::Has,
    };
    match verdict {
        Verdict::Has => Ok(()),
        Verdict::Behind(missing) => Err(refusal(Retry::Backoff, &missing, &found.server_uuid)),
        Verdict::Other(missing) => Err(refusal(Retry::Never, &missing, &found.server_uuid)),
    }
}

const ROWS_GONE: Code = Code::new(
    60034,
    Class::Checkpoint,
    Scope::Downstream,
    Level::High,
    "Rows of `dm_fence_lane` were deleted, and nothing else says what of the source is in the target: restore them, or make \
     source and target equal and start anew with `start-task --remove-meta`.",
);

/// Rows of lanes that are missing among those that are there. They are made together and never deleted by us.
pub(in crate::unit) fn missing_lane(present: &[u16]) -> Option<Report> {
    let missing = (0..).zip(present).find(|(wanted, found)| wanted != *found).map(|(wanted, _): (u16, _)| wanted)?;
    Some(Report::new(ROWS_GONE, Retry::Never, format!("the row of lane {missing} is gone")))
}

/// No lane row says where to go on, and yet something was replicated.
pub(super) fn no_lanes() -> Report {
    Report::new(
        ROWS_GONE,
        Retry::Never,
        "no lane row says what was replicated, but structures of replicated tables are stored",
    )
}

/// The binlog file `file` is not the one that was read: it was begun at another time.
pub(super) fn reset(file: &str, known_seconds: i64, found_seconds: i64) -> Report {
    Report::new(
        RESET,
        Retry::Never,
        format!(
            "the source's binlog file {file} was begun at {found_seconds}, the one that was read at {known_seconds}"
        ),
    )
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Has,
    /// It may get them yet.
    Behind(String),
    /// It went another way.
    Other(String),
}

/// Transactions that the server itself numbered and does not have are lost; those of others may still come.
fn judge_mysql(known: &mysql::Set, executed: &mysql::Set, server_uuid: &str) -> Verdict {
    let missing = known.minus(executed);
    if missing.is_empty() {
        return Verdict::Has;
    }
    let is_own = missing.iter().any(|(sid, _, _)| sid.uuid.eq_ignore_ascii_case(server_uuid));
    if is_own { Verdict::Other(missing.to_string()) } else { Verdict::Behind(missing.to_string()) }
}

/// `has` holds the last transaction of each pair of domain and server.
fn judge_mariadb(known: &mariadb::Set, has: &[mariadb::Gtid]) -> Verdict {
    let (mut behind, mut other) = (Vec::new(), Vec::new());
    for wanted in known.iter() {
        let in_domain = || has.iter().filter(|gtid| gtid.domain == wanted.domain);
        if in_domain().any(|gtid| gtid.server == wanted.server && gtid.sequence >= wanted.sequence) {
            continue;
        }
        // With a later transaction of someone else and without ours, the domain went on without it.
        let went_on = in_domain().any(|gtid| gtid.sequence >= wanted.sequence);
        if went_on { other.push(*wanted) } else { behind.push(*wanted) }
    }
    match (behind.is_empty(), other.is_empty()) {
        (true, true) => Verdict::Has,
        (false, true) => Verdict::Behind(list(&behind)),
        (_, false) => Verdict::Other(list(&other)),
    }
}

fn list(gtids: &[mariadb::Gtid]) -> String {
    gtids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn last_of_each(text: &str) -> Result<Vec<mariadb::Gtid>, Report> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let one = mariadb::Set::parse(part).map_err(|error| unreadable(&error))?;
        all.extend(one.iter().copied());
    }
    Ok(all)
}

fn refusal(retry: Retry, missing: &str, server: &str) -> Report {
    let message = format!("the source (now {server}) does not have transactions {missing}, which are in the target");
    Report::new(MISSING, retry, message)
}

fn unreadable(error: &dyn fmt::Display) -> Report {
    super::stream::failed("cannot read the source's GTIDs", error.to_string(), Retry::Never)
}

async fn variable(conn: &mut Conn, name: &str) -> Result<String, Report> {
    let asked: mysql_async::Result<Option<Option<String>>> = conn.query_first(format!("SELECT @@GLOBAL.{name}")).await;
    match asked {
        Ok(text) => Ok(text.flatten().unwrap_or_default().replace('\n', "")),
        Err(error) => Err(super::stream::of_library(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn judge(known: &str, has: &str) -> Verdict {
        judge_mariadb(&mariadb::Set::parse(known).unwrap(), &last_of_each(has).unwrap())
    }

    #[test]
    fn a_mariadb_must_have_what_each_domain_was_read_to() {
        assert_eq!(judge("0-1-5", "0-1-5"), Verdict::Has);
        assert_eq!(judge("0-1-5", "0-1-7,0-2-9"), Verdict::Has);
        assert_eq!(judge("0-1-5,3-1-2", "0-1-5,3-1-2,7-1-1"), Verdict::Has);
        assert_eq!(judge("0-1-5", "0-1-4"), Verdict::Behind("0-1-5".into()));
        assert_eq!(judge("0-1-5", ""), Verdict::Behind("0-1-5".into()));
        assert_eq!(judge("0-1-5", "5-1-50"), Verdict::Behind("0-1-5".into()));
        assert_eq!(judge("0-1-5,3-1-2", "0-1-4,0-2-6,3-1-2"), Verdict::Other("0-1-5".into()));
        assert_eq!(judge("0-1-5", "0-2-5"), Verdict::Other("0-1-5".into()));
    }

    #[test]
    fn lanes_have_no_gaps() {
        assert!(missing_lane(&[]).is_none() && missing_lane(&[0, 1, 2]).is_none());
        assert!(missing_lane(&[1, 2]).unwrap().message.contains("lane 0"));
        assert!(missing_lane(&[0, 2]).unwrap().message.contains("lane 1"));
    }

    #[test]
    fn a_mysql_that_lost_its_own_transactions_will_not_get_them_again() {
        let set = |text: &str| mysql::Set::parse(text).unwrap();
        let known = set(&format!("{A}:1-10"));
        assert_eq!(judge_mysql(&known, &set(&format!("{A}:1-12,{B}:1")), B), Verdict::Has);
        assert_eq!(judge_mysql(&known, &set(&format!("{A}:1-7")), B), Verdict::Behind(format!("{A}:8-10")));
        assert_eq!(judge_mysql(&known, &set(&format!("{A}:1-7")), A), Verdict::Other(format!("{A}:8-10")));
    }
}
