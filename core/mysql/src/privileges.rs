//! What a user may do, from SHOW GRANTS, and what a purpose lacks.
//!
//! Tolerant: servers spell grants in many ways (roles, dynamic privileges, quoting, `ALL PRIVILEGES`). What is not
//! understood grants nothing, so a check may warn too much, never too little.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::{Conn, prelude::Queryable};

use crate::{Error, Result};

/// Privileges by the object they are for: `*.*`, `` `schema`.* ``, `` `schema`.`table` ``.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    by_object: BTreeMap<String, BTreeSet<String>>,
}

/// What a connection's user needs its privileges for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Streaming the binlog.
    Replication,
    /// Reading tables for the snapshot; with a global read lock or without.
    Dump { with_lock: bool },
    /// Writing to the target.
    Target,
}

impl Need {
    /// The privileges, each as the alternatives that will do.
    pub fn privileges(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Replication => {
                &[&["REPLICATION SLAVE", "REPLICATION REPLICA"], &["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"]]
            }
            Self::Dump { with_lock: true } => {
                &[&["SELECT"], &["RELOAD", "FLUSH_TABLES"], &["LOCK TABLES", "BACKUP_ADMIN"]]
            }
            Self::Dump { with_lock: false } => &[&["SELECT"]],
            Self::Target => {
                &[&["SELECT"], &["INSERT"], &["UPDATE"], &["DELETE"], &["CREATE"], &["DROP"], &["ALTER"], &["INDEX"]]
            }
        }
    }
}

/// Reads the current user's grants.
pub async fn grants(conn: &mut Conn) -> Result<Grants> {
    let lines: Vec<String> = conn.query("SHOW GRANTS").await.map_err(Error::query("read the user's grants"))?;
    // With roles, MySQL shows what they grant only when asked with them.
    let roles: Vec<String> = lines.iter().flat_map(|line| role_names(line)).collect();
    let mut grants = Grants::parse(&lines);
    if !roles.is_empty()
        && let Ok(more) =
            conn.query::<String, _>(format!("SHOW GRANTS FOR CURRENT_USER() USING {}", roles.join(","))).await
    {
        grants = Grants::parse(&more);
    }
    Ok(grants)
}

impl Grants {
    pub fn parse<S: AsRef<str>>(lines: &[S]) -> Self {
        let mut by_object: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in lines {
            if let Some((privileges, object)) = parse_line(line.as_ref()) {
                by_object.entry(object).or_default().extend(privileges);
            }
        }
        Self { by_object }
    }

    /// Whether the privilege holds on everything.
    pub fn has_globally(&self, privilege: &str) -> bool {
        self.by_object.get("*.*").is_some_and(|held| has(held, privilege))
    }

    /// Whether the privilege holds on all tables of the schema.
    pub fn has_on_schema(&self, privilege: &str, schema: &str) -> bool {
        self.has_globally(privilege)
            || self.by_object.iter().any(|(object, held)| {
                object.strip_suffix(".*").is_some_and(|pattern| pattern != "*" && matches_pattern(pattern, schema))
                    && has(held, privilege)
            })
    }

    /// Whether the privilege holds on the table.
    pub fn has_on_table(&self, privilege: &str, schema: &str, table: &str) -> bool {
        self.has_on_schema(privilege, schema)
            || self.by_object.get(&format!("{schema}.{table}")).is_some_and(|held| has(held, privilege))
    }

    /// The privileges a need lacks, as users grant them. `schemas` are those it touches; without any, global rights
    /// are asked for. Privileges that exist only globally are looked for only there.
    pub fn missing(&self, need: Need, schemas: &[&str]) -> Vec<String> {
        let holds = |privilege: &str| {
            self.has_globally(privilege)
                || (!is_global_only(privilege)
                    && !schemas.is_empty()
                    && schemas.iter().all(|schema| self.has_on_schema(privilege, schema)))
        };
        need.privileges()
            .iter()
            .filter(|alternatives| !alternatives.iter().any(|privilege| holds(privilege)))
            .map(|alternatives| alternatives[0].to_owned())
            .collect()
    }
}

fn has(held: &BTreeSet<String>, privilege: &str) -> bool {
    held.contains(privilege) || (held.contains("ALL PRIVILEGES") && privilege != "GRANT OPTION")
}

fn is_global_only(privilege: &str) -> bool {
    privilege.starts_with("REPLICATION")
        || matches!(privilege, "RELOAD" | "SUPER" | "PROCESS" | "BINLOG MONITOR")
        || privilege.contains('_')
}

/// `GRANT a, b (c), d ON x.y TO …` → privileges in upper case (column lists dropped: they are not the whole table), and
/// the object without quotes.
fn parse_line(line: &str) -> Option<(BTreeSet<String>, String)> {
    let rest = strip_word(line.trim(), "GRANT")?;
    let on = find_keyword(rest, " ON ")?;
    let (privileges, rest) = (&rest[..on], &rest[on + 4..]);
    let object = &rest[..find_keyword(rest, " TO ")?];
    let object = object.trim();
    let object = strip_word(object, "TABLE").unwrap_or(object);
    let privileges = split_outside_parentheses(privileges)
        .into_iter()
        .filter(|privilege| !privilege.contains('('))
        .map(|privilege| privilege.trim().to_ascii_uppercase())
        .map(|privilege| if privilege == "ALL" { "ALL PRIVILEGES".to_owned() } else { privilege })
        .filter(|privilege| !privilege.is_empty())
        .collect();
    Some((privileges, unquote(object)))
}

/// `` GRANT `r`@`%`,`s`@`%` TO `u`@`%` `` names roles: no ` ON `.
fn role_names(line: &str) -> Vec<String> {
    let Some(rest) = strip_word(line.trim(), "GRANT") else {
        return Vec::new();
    };
    if find_keyword(rest, " ON ").is_some() || !rest.contains('@') {
        return Vec::new();
    }
    let Some(to) = find_keyword(rest, " TO ") else {
        return Vec::new();
    };
    rest[..to].split(',').map(|role| role.trim().to_owned()).filter(|role| role.contains('@')).collect()
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    (head.eq_ignore_ascii_case(word) && rest.starts_with(' ')).then(|| rest.trim_start())
}

/// The byte at which an upper-case keyword starts, outside quotes.
fn find_keyword(text: &str, keyword: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '`' | '\'' | '"') => quote = Some(c),
            None if text[at..].get(..keyword.len()).is_some_and(|t| t.eq_ignore_ascii_case(keyword)) => {
                return Some(at);
            }
            None => {}
        }
    }
    None
}

fn split_outside_parentheses(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn unquote(object: &str) -> String {
    object.chars().filter(|c| !matches!(c, '`' | '"' | '\'')).collect()
}

/// Grants on schemas are patterns: `%`, `_`, and `\` before either.
fn matches_pattern(pattern: &str, schema: &str) -> bool {
    fn go(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| go(rest, &text[skip..])),
            ['_', rest @ ..] => !text.is_empty() && go(rest, &text[1..]),
            ['\\', c @ ('%' | '_'), rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && go(rest, &text[1..]),
        }
    }
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    go(&chars(pattern), &chars(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replication_user_lacks_is_named() {
        let grants = Grants::parse(&["GRANT SELECT, REPLICATION SLAVE ON *.* TO `dm`@`%`"]);
        assert_eq!(grants.missing(Need::Replication, &[]), ["REPLICATION CLIENT"]);
        assert_eq!(grants.missing(Need::Dump { with_lock: false }, &["a"]), Vec::<String>::new());
        assert_eq!(grants.missing(Need::Dump { with_lock: true }, &["a"]), ["RELOAD", "LOCK TABLES"]);
    }

    #[test]
    fn all_privileges_grant_all_and_on_a_schema_only_there() {
        let root = Grants::parse(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert!(root.missing(Need::Target, &[]).is_empty() && root.missing(Need::Replication, &[]).is_empty());
        let one = Grants::parse(&["GRANT USAGE ON *.* TO 'u'@'%'", r"GRANT ALL PRIVILEGES ON `my\_db%`.* TO 'u'@'%'"]);
        assert!(one.missing(Need::Target, &["my_db", "my_db2"]).is_empty());
        assert_eq!(one.missing(Need::Target, &["myxdb"]).len(), 8);
        assert!(!one.has_on_schema("REPLICATION SLAVE", "other"));
        assert_eq!(one.missing(Need::Replication, &["my_db"]).len(), 2);
    }

    #[test]
    fn column_grants_do_not_count_and_odd_lines_grant_nothing() {
        let grants = Grants::parse(&["GRANT SELECT (a, b), INSERT ON `s`.`t` TO u", "GRANT", "nonsense", ""]);
        assert!(grants.has_on_table("INSERT", "s", "t") && !grants.has_on_table("SELECT", "s", "t"));
    }

    #[test]
    fn mariadb_names_of_privileges_will_do() {
        let grants =
            Grants::parse(&["GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `dm`@`%` IDENTIFIED BY PASSWORD 'x'"]);
        assert!(grants.missing(Need::Replication, &[]).is_empty());
    }

    #[test]
    fn roles_are_found() {
        assert_eq!(role_names("GRANT `r`@`%`,`s`@`%` TO `u`@`%`"), ["`r`@`%`", "`s`@`%`"]);
        assert!(role_names("GRANT SELECT ON *.* TO `u`@`%`").is_empty());
    }
}
