//! Which table a plain statement changes: INSERT, REPLACE, UPDATE and DELETE of one table.
//!
//! Only good enough to know that a statement is about a table nobody replicates (a heartbeat in a system schema).
//! Everything else, and everything in doubt, has no answer here and stops the run.

use dm_ddl::SqlMode;

/// Schema (if it is named) and table. `None`: several tables, another statement, or not understood.
pub(super) fn changed_table(sql: &str, mode: SqlMode) -> Option<(Option<String>, String)> {
    let mut words = Words { rest: sql, mode };
    let verb = words.bare()?;
    let into: &[&str] = match verb.as_str() {
        "INSERT" => &["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"],
        "REPLACE" => &["LOW_PRIORITY", "DELAYED", "INTO"],
        "UPDATE" => &["LOW_PRIORITY", "IGNORE"],
        "DELETE" => &["LOW_PRIORITY", "QUICK", "IGNORE"],
        _ => return None,
    };
    while words.skip_one_of(into) {}
    if verb == "DELETE" && !words.skip_one_of(&["FROM"]) {
        return None;
    }
    let first = words.name()?;
    let name = if words.symbol('.') { (Some(first), words.name()?) } else { (None, first) };
    let follows = words.rest.trim_start();
    let is_single = match verb.as_str() {
        "UPDATE" => words.bare().as_deref() == Some("SET"),
        "DELETE" => follows.is_empty() || matches!(words.bare().as_deref(), Some("WHERE" | "ORDER" | "LIMIT")),
        // The rows may come from a query, which changes nothing.
        _ => follows.starts_with('(') || matches!(words.bare().as_deref(), Some("VALUES" | "VALUE" | "SET" | "SELECT")),
    };
    is_single.then_some(name)
}

struct Words<'a> {
    rest: &'a str,
    mode: SqlMode,
}

impl Words<'_> {
    /// A bare word in upper case.
    fn bare(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
        self.rest = after;
        Some(word.to_uppercase())
    }

    fn skip_one_of(&mut self, wanted: &[&str]) -> bool {
        let before = self.rest;
        if self.bare().is_some_and(|word| wanted.contains(&word.as_str())) {
            return true;
        }
        self.rest = before;
        false
    }

    fn symbol(&mut self, wanted: char) -> bool {
        match self.rest.trim_start().strip_prefix(wanted) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// A bare name, or one in quotes without quotes inside.
    fn name(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next()?;
        if quote == '`' || (quote == '"' && self.mode.contains(SqlMode::ANSI_QUOTES)) {
            let (name, after) = rest.strip_prefix(quote)?.split_once(quote)?;
            if after.starts_with(quote) {
                return None;
            }
            self.rest = after;
            return Some(name.to_owned());
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
        self.rest = after;
        Some(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(sql: &str) -> Option<String> {
        changed_table(sql, SqlMode::default()).map(|(schema, table)| format!("{}.{table}", schema.unwrap_or_default()))
    }

    #[test]
    fn plain_statements_name_their_table() {
        assert_eq!(
            changed("INSERT INTO mysql.rds_heartbeat2 (id) VALUES (1)").as_deref(),
            Some("mysql.rds_heartbeat2")
        );
        assert_eq!(changed("replace into `a`.`b c` values (1)").as_deref(), Some("a.b c"));
        assert_eq!(changed("UPDATE IGNORE t SET a = 1").as_deref(), Some(".t"));
        assert_eq!(changed("DELETE FROM a . t WHERE x").as_deref(), Some("a.t"));
    }

    #[test]
    fn what_may_change_other_tables_has_no_answer() {
        for sql in [
            "UPDATE a, b SET a.x = 1",
            "UPDATE a JOIN b USING (id) SET b.x = 1",
            "DELETE a FROM a JOIN b",
            "DELETE FROM a USING a JOIN b",
            "CALL p()",
            "/* c */ INSERT INTO t VALUES (1)",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "LOAD DATA INFILE 'x' INTO TABLE t",
        ] {
            assert_eq!(changed(sql), None, "{sql}");
        }
    }
}
