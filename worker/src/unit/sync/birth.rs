//! The birth of the binlog file that a subtask is in: a name and an offset mean something only in the very same file.
//!
//! A server whose binlogs were reset begins anew with the same names. When each file was begun stands in its first event; the
//! time is remembered beside the structures and compared at every start, where nothing better identifies the source's
//! history: by positions, and on MySQL, whose own identity a reset does not change.

use dm_fence::Resume;
use dm_model::Flavor;
use dm_mysql::{Purpose, schema};
use tracing::info;

use super::{history, start_time};
use crate::unit::{Failure, Leave, incarnation::Incarnation};

/// The name under which it is remembered.
pub(super) const MARKER: &str = "binlog-birth";

/// What is remembered: `<seconds> <file> <server>`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Birth {
    seconds: i64,
    file: String,
    server: String,
}

impl Birth {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let seconds = parts.next()?.parse().ok()?;
        Some(Self { seconds, file: parts.next()?.to_owned(), server: parts.next()?.to_owned() })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.seconds, self.file, self.server)
    }
}

/// Compares what is remembered with the source's files; gives what is to be remembered from now on, if that is new.
///
/// # Errors
/// 60033 when the file was begun at another time. What the source no longer has cannot be compared, and is left to it.
pub(super) async fn check(
    incarnation: &Incarnation,
    resume: &Resume,
    stored: Option<&str>,
) -> Result<Option<String>, Leave> {
    let server = &incarnation.source_facts.server_uuid;
    let is_same_server = resume.source_uuid.is_empty() || resume.source_uuid == *server;
    let by_position = resume.location.gtid.is_none();
    if !is_same_server || !(by_position || incarnation.flavor == Flavor::MySql) {
        return Ok(None);
    }
    let mut conn = incarnation.source.for_purpose(Purpose::Check).connect().await?;
    let files = schema::binary_logs(&mut conn).await;
    let _ = conn.disconnect().await;
    let files: Vec<String> = files?.into_iter().map(|file| file.name).collect();
    let stored = stored.and_then(Birth::parse).filter(|stored| stored.server == *server);
    if let Some(stored) = stored.as_ref().filter(|stored| files.contains(&stored.file)) {
        let found = seconds(incarnation, &stored.file).await?;
        if found != stored.seconds {
            return Err(Failure::new(history::reset(&stored.file, stored.seconds, found)).into());
        }
    }
    let file = &resume.location.position.file;
    if !files.contains(file) || stored.as_ref().is_some_and(|stored| stored.file == *file) {
        return Ok(None);
    }
    let birth = Birth { seconds: seconds(incarnation, file).await?, file: file.clone(), server: server.clone() };
    info!(file = %birth.file, seconds = birth.seconds, "the binlog file's birth is remembered");
    Ok(Some(birth.text()))
}

async fn seconds(incarnation: &Incarnation, file: &str) -> Result<i64, Leave> {
    Ok(start_time::first_time(incarnation, file).await?.0 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again() {
        let birth = Birth { seconds: 5, file: "bin.000001".into(), server: "host name:3306".into() };
        assert_eq!(Birth::parse(&birth.text()), Some(birth));
        assert_eq!(Birth::parse("garbage"), None);
    }
}
