//! The binlog event filter: which kinds of events on which tables are kept, dropped or refused.
//!
//! Owns the evaluation order: every rule whose patterns match is asked in turn, schema rules before table rules, each
//! first by its events, then by its SQL patterns; the first one that decides wins, and a `Do` rule drops all it does not
//! name. Fails while compiling: a rule that cannot work must not leave a table unfiltered.

use dm_model::TableName;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    CaseSensitivity, Error, EventName,
    event_name::{EventClass, UnknownEvent},
    pattern::{PatternError, Wildcard, compile_regex},
};

/// One entry of `filters` in a task or source file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Rule {
    #[serde(deserialize_with = "crate::null::as_default")]
    pub schema_pattern: String,
    /// Empty: the rule is about the schema and all its tables.
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "String::is_empty")]
    pub table_pattern: String,
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Regular expressions; one match is enough.
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "Vec::is_empty")]
    pub sql_pattern: Vec<String>,
    /// `Do`, `Ignore` or `Error`, in exactly this case.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub action: String,
}

/// What happens to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    Keep,
    /// Not executed downstream. A dropped DDL still changes the tracked structure.
    Drop,
    /// The task stops with error 36015; the text says which rule wants it so.
    Error(&'a str),
}

/// Compiled filters. The default keeps everything.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    rules: Vec<Compiled>,
    collisions: Vec<String>,
}

#[derive(Debug, Clone)]
struct Compiled {
    label: String,
    schema: Wildcard,
    table: Option<Wildcard>,
    events: Vec<Listed>,
    sql: Option<Regex>,
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Do,
    Ignore,
    Error,
}

/// One word of a rule's `events`.
#[derive(Debug, Clone, Copy)]
enum Listed {
    All,
    AllDml,
    AllDdl,
    None,
    NoneDml,
    NoneDdl,
    IncompatibleDdl,
    One(EventName),
}

impl EventFilter {
    /// Of rules with the same patterns only the first counts; the others are in [`collisions`](Self::collisions).
    pub fn compile(rules: &[Rule], case: CaseSensitivity) -> Result<Self, Error> {
        let mut filter = Self::default();
        let mut seen = std::collections::BTreeSet::new();
        for rule in rules {
            let compiled = Compiled::new(rule, case)?;
            if seen.insert((case.fold(&rule.schema_pattern), case.fold(&rule.table_pattern))) {
                filter.rules.push(compiled);
            } else {
                filter.collisions.push(compiled.label);
            }
        }
        filter.rules.sort_by_key(|rule| rule.table.is_some());
        Ok(filter)
    }

    /// Rules that never decide because an earlier rule has the same patterns; to be shown as warnings.
    pub fn collisions(&self) -> &[String] {
        &self.collisions
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Judges one event. `table` is empty for a statement about a schema; both names are empty and `event` is `None` for
    /// a statement that cannot be parsed. `sql` is the statement where there is one.
    pub fn judge(&self, schema: &str, table: &str, event: Option<EventName>, sql: Option<&str>) -> Verdict<'_> {
        let applies = |rule: &&Compiled| {
            rule.schema.matches(schema) && rule.table.as_ref().is_none_or(|pattern| pattern.matches(table))
        };
        self.rules.iter().filter(applies).find_map(|rule| rule.judge(event, sql)).unwrap_or(Verdict::Keep)
    }

    /// Judges a change of rows.
    pub fn judge_dml(&self, table: &TableName, event: EventName) -> Verdict<'_> {
        self.judge(&table.schema, &table.table, Some(event), None)
    }
}

impl Compiled {
    fn new(rule: &Rule, case: CaseSensitivity) -> Result<Self, Error> {
        let in_field = |field| {
            move |source: PatternError| Error::EventFilterPattern {
                schema_pattern: rule.schema_pattern.clone(),
                table_pattern: rule.table_pattern.clone(),
                field,
                source,
            }
        };
        let refuse = |reason: String| Error::EventFilter {
            schema_pattern: rule.schema_pattern.clone(),
            table_pattern: rule.table_pattern.clone(),
            reason,
        };
        let action = match rule.action.as_str() {
            "Do" => Action::Do,
            "Ignore" => Action::Ignore,
            "Error" => Action::Error,
            other => return Err(refuse(format!("action `{other}` is not one of `Do`, `Ignore`, `Error`"))),
        };
        let table = match rule.table_pattern.as_str() {
            "" => None,
            text => Some(Wildcard::compile(text, case).map_err(in_field("table-pattern"))?),
        };
        let sql = match rule.sql_pattern.as_slice() {
            [] => None,
            patterns => Some(
                compile_regex(&patterns.join("|"), CaseSensitivity::Insensitive).map_err(in_field("sql-pattern"))?,
            ),
        };
        let events = rule.events.iter().map(|text| Listed::parse(text)).collect::<Result<_, _>>();
        Ok(Self {
            label: format!("`{}`.`{}` {}", rule.schema_pattern, rule.table_pattern, rule.action),
            schema: Wildcard::compile(&rule.schema_pattern, case).map_err(in_field("schema-pattern"))?,
            table,
            events: events.map_err(|error: UnknownEvent| refuse(error.to_string()))?,
            sql,
            action,
        })
    }

    /// `None` when this rule leaves the decision to the next one.
    fn judge(&self, event: Option<EventName>, sql: Option<&str>) -> Option<Verdict<'_>> {
        let by_event = event.and_then(|event| self.decide(self.lists(event)));
        by_event.or_else(|| match (&self.sql, sql) {
            (Some(regex), Some(sql)) if !sql.is_empty() => self.decide(regex.is_match(sql)),
            (Some(_) | None, Some(_) | None) => None,
        })
    }

    fn decide(&self, matched: bool) -> Option<Verdict<'_>> {
        match (self.action, matched) {
            (Action::Ignore, true) | (Action::Do, false) => Some(Verdict::Drop),
            (Action::Error, true) => Some(Verdict::Error(&self.label)),
            (Action::Do, true) | (Action::Ignore | Action::Error, false) => None,
        }
    }

    /// Reads the list in order; a `none…` that covers the event ends it.
    fn lists(&self, event: EventName) -> bool {
        let is_dml = event.class() == EventClass::Dml;
        for listed in &self.events {
            match listed {
                Listed::All => return true,
                Listed::None => return false,
                Listed::AllDml if is_dml => return true,
                Listed::NoneDml if is_dml => return false,
                Listed::AllDdl if !is_dml => return true,
                Listed::NoneDdl if !is_dml => return false,
                Listed::IncompatibleDdl if event.class() == EventClass::IncompatibleDdl => return true,
                Listed::One(name) if *name == event => return true,
                Listed::AllDml
                | Listed::NoneDml
                | Listed::AllDdl
                | Listed::NoneDdl
                | Listed::IncompatibleDdl
                | Listed::One(_) => {}
            }
        }
        false
    }
}

impl Listed {
    fn parse(text: &str) -> Result<Self, UnknownEvent> {
        Ok(match text.to_lowercase().as_str() {
            "all" => Self::All,
            "all dml" => Self::AllDml,
            "all ddl" => Self::AllDdl,
            "none" => Self::None,
            "none dml" => Self::NoneDml,
            "none ddl" => Self::NoneDdl,
            "incompatible ddl changes" => Self::IncompatibleDdl,
            _ => Self::One(text.parse()?),
        })
    }
}

#[cfg(test)]
mod tests;
