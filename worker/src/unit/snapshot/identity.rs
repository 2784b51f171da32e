//! Which table a name means, and since when it is as it is: what tells a successor that a table it finds under the same name and
//! with the same columns is another one, or was altered and altered back.
//!
//! Owns reading it from the source and the form in which it is stored, a comment behind the table's structure. Create times have a
//! resolution of a second; a TRUNCATE is only seen where the user may read InnoDB's list of tables (PROCESS).

use std::collections::BTreeMap;

use dm_model::TableName;
use dm_mysql::text::literal;
use mysql_async::{Conn, prelude::Queryable};
use tracing::debug;

use super::error::Error;

/// What is known of a table's identity; parts that are not known are equal to everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Identity {
    /// When its definition was last made or changed, as the server's text.
    created: Option<String>,
    /// The storage engine's own number, another one after TRUNCATE, a rebuild or a swap of names.
    number: Option<u64>,
}

const PREFIX: &str = "\n/* dm-table ";
const SUFFIX: &str = " */";

impl Identity {
    /// False when the other is known to be another table, or the same one altered in between.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        fn is_same<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        is_same(&self.created, &other.created) && is_same(&self.number, &other.number)
    }

    /// A structure's text with this identity.
    pub(super) fn write(&self, create_sql: &str) -> String {
        let created = self.created.as_deref().unwrap_or("-").replace(' ', "T");
        let number = self.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        format!("{create_sql}{PREFIX}{created} {number}{SUFFIX}")
    }

    /// The identity in a text of [`write`](Self::write); nothing known in any other text.
    pub(super) fn read(text: &str) -> Self {
        let words = text.rfind(PREFIX).and_then(|at| text.get(at + PREFIX.len()..)?.strip_suffix(SUFFIX));
        let Some((created, number)) = words.and_then(|words| words.split_once(' ')) else { return Self::default() };
        Self { created: (created != "-").then(|| created.replace('T', " ")), number: number.parse().ok() }
    }
}

/// The identities of all tables, as they are now: no view stands in the way of the server's own lists.
pub(super) async fn all(conn: &mut Conn) -> Result<BTreeMap<TableName, Identity>, Error> {
    let sql = "SELECT table_schema, table_name, CAST(create_time AS CHAR) FROM information_schema.tables WHERE table_schema \
               NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";
    let times: Vec<(String, String, Option<String>)> = conn.query(sql).await.map_err(Error::Read)?;
    let numbers = numbers(conn).await?;
    let identity = |(schema, table, created): (String, String, Option<String>)| {
        let number = internal_name(&schema, &table).and_then(|name| numbers.get(&name).copied());
        (TableName { schema, table }, Identity { created, number })
    };
    Ok(times.into_iter().map(identity).collect())
}

/// When the table's definition was last changed, as this connection's server says now. A reader asks at the end of a chunk, while it
/// still holds the table: MariaDB shows later columns to an older view, with values that never were.
pub(super) async fn created(conn: &mut Conn, table: &TableName) -> Result<Option<Identity>, mysql_async::Error> {
    let sql = format!(
        "SELECT CAST(create_time AS CHAR) FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
        literal(&table.schema),
        literal(&table.table)
    );
    let created: Option<Option<String>> = conn.query_first(sql).await?;
    Ok(created.map(|created| Identity { created, number: None }))
}

async fn numbers(conn: &mut Conn) -> Result<BTreeMap<String, u64>, Error> {
    for list in ["innodb_tables", "innodb_sys_tables"] {
        match conn.query::<(String, u64), _>(format!("SELECT name, table_id FROM information_schema.{list}")).await {
            Ok(numbers) => return Ok(numbers.into_iter().collect()),
            // No such list on this server, or not for this user.
            Err(mysql_async::Error::Server(error)) => debug!(list, code = error.code, "no list of InnoDB's tables"),
            Err(error) => return Err(Error::Read(error)),
        }
    }
    Ok(BTreeMap::new())
}

/// The name in InnoDB's list; only where it is written as it is.
fn internal_name(schema: &str, table: &str) -> Option<String> {
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_plain(schema) && is_plain(table)).then(|| format!("{schema}/{table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(created: Option<&str>, number: Option<u64>) -> Identity {
        Identity { created: created.map(str::to_owned), number }
    }

    #[test]
    fn a_structure_carries_its_identity() {
        let sql = "CREATE TABLE `t` (`a` int) COMMENT='/* dm-table x */'";
        for known in [
            identity(Some("2026-01-02 03:04:05"), Some(7)),
            identity(Some("2026-01-02 03:04:05"), None),
            identity(None, Some(7)),
            identity(None, None),
        ] {
            assert_eq!(Identity::read(&known.write(sql)), known);
        }
        assert_eq!(Identity::read(sql), Identity::default());
    }

    #[test]
    fn what_is_not_known_may_be_anything() {
        let known = identity(Some("a"), Some(1));
        assert!(
            known.may_be(&known) && known.may_be(&identity(None, None)) && known.may_be(&identity(Some("a"), None))
        );
        assert!(!known.may_be(&identity(Some("b"), None)) && !known.may_be(&identity(Some("a"), Some(2))));
    }

    #[test]
    fn the_text_is_still_read_as_a_structure() {
        let text = identity(Some("2026-01-02 03:04:05"), Some(7))
            .write("CREATE TABLE `t` (\n  `a` int NOT NULL,\n  PRIMARY KEY (`a`)\n) ENGINE=InnoDB");
        let table = TableName::new("s", "t");
        let structure = super::super::source::parse(&table, &text).expect("a structure");
        assert_eq!(structure.columns.len(), 1);
    }
}
