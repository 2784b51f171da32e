//! The block-allow list: which schemas and tables are replicated at all.
//!
//! Owns the evaluation order: `do-dbs` wins over `ignore-dbs`, `do-tables` over `ignore-tables`, and system schemas are
//! never replicated. Fails only while compiling.

use dm_model::TableName;
use serde::{Deserialize, Serialize};

use crate::{
    CaseSensitivity, Error,
    pattern::{Pattern, PatternError},
};

/// One entry of `block-allow-list` in a task file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Rule {
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "Vec::is_empty")]
    pub do_dbs: Vec<String>,
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "Vec::is_empty")]
    pub ignore_dbs: Vec<String>,
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "Vec::is_empty")]
    pub do_tables: Vec<TablePattern>,
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "Vec::is_empty")]
    pub ignore_tables: Vec<TablePattern>,
}

/// Both patterns are required; an empty one is an error when the rule is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TablePattern {
    pub db_name: String,
    pub tbl_name: String,
}

/// A compiled rule. The default lets everything through except system schemas.
#[derive(Debug, Clone, Default)]
pub struct BlockAllowList {
    do_dbs: Vec<Pattern>,
    ignore_dbs: Vec<Pattern>,
    do_tables: Vec<(Pattern, Pattern)>,
    ignore_tables: Vec<(Pattern, Pattern)>,
}

impl BlockAllowList {
    pub fn compile(rule: &Rule, case: CaseSensitivity) -> Result<Self, Error> {
        let schemas = |field, texts: &[String]| -> Result<Vec<Pattern>, Error> {
            texts.iter().map(|text| Pattern::compile(text, case)).collect::<Result<_, _>>().map_err(in_field(field))
        };
        let tables = |field, pairs: &[TablePattern]| -> Result<Vec<(Pattern, Pattern)>, Error> {
            let pair = |pair: &TablePattern| {
                Ok((Pattern::compile(&pair.db_name, case)?, Pattern::compile(&pair.tbl_name, case)?))
            };
            pairs.iter().map(pair).collect::<Result<_, _>>().map_err(in_field(field))
        };
        Ok(Self {
            do_dbs: schemas("do-dbs", &rule.do_dbs)?,
            ignore_dbs: schemas("ignore-dbs", &rule.ignore_dbs)?,
            do_tables: tables("do-tables", &rule.do_tables)?,
            ignore_tables: tables("ignore-tables", &rule.ignore_tables)?,
        })
    }

    /// Whether a statement about the schema as a whole (CREATE DATABASE) is replicated.
    pub fn allows_schema(&self, schema: &str) -> bool {
        if is_system_schema(schema) {
            return false;
        }
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(schema));
        if self.do_dbs.is_empty() { !any(&self.ignore_dbs) } else { any(&self.do_dbs) }
    }

    /// Whether the rows and the structure of a table are replicated.
    pub fn allows_table(&self, table: &TableName) -> bool {
        if !self.allows_schema(&table.schema) {
            return false;
        }
        let any = |pairs: &[(Pattern, Pattern)]| {
            pairs.iter().any(|(schema, name)| schema.matches(&table.schema) && name.matches(&table.table))
        };
        if any(&self.do_tables) {
            return true;
        }
        !any(&self.ignore_tables) && self.do_tables.is_empty()
    }
}

/// Schemas a server keeps for itself, in any spelling. They are never replicated, whatever the rules say.
pub fn is_system_schema(schema: &str) -> bool {
    const SYSTEM: [&str; 7] = [
        "mysql",
        "sys",
        "information_schema",
        "performance_schema",
        "metrics_schema",
        "inspection_schema",
        "dm_heartbeat",
    ];
    SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(schema))
}

fn in_field(field: &'static str) -> impl FnOnce(PatternError) -> Error {
    move |source| Error::BlockAllow { field, source }
}

#[cfg(test)]
mod tests {
    use dm_model::error::Coded;

    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<TablePattern> {
        list.iter().map(|(db, tbl)| TablePattern { db_name: (*db).into(), tbl_name: (*tbl).into() }).collect()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn list(rule: Rule) -> BlockAllowList {
        BlockAllowList::compile(&rule, CaseSensitivity::Insensitive).unwrap()
    }

    fn table(schema: &str, table: &str) -> TableName {
        TableName::new(schema, table)
    }

    #[test]
    fn no_rule_lets_everything_through_except_system_schemas() {
        let list = list(Rule::default());
        assert!(list.allows_table(&table("a", "t")));
        assert!(!list.allows_schema("MySQL"));
        assert!(!list.allows_table(&table("information_schema", "tables")));
        assert!(!list.allows_table(&table("sys", "t")));
    }

    #[test]
    fn do_dbs_beats_ignore_dbs() {
        let list = list(Rule { do_dbs: texts(&["a*"]), ignore_dbs: texts(&["ab"]), ..Rule::default() });
        assert!(list.allows_schema("ab"));
        assert!(!list.allows_schema("b"));
    }

    #[test]
    fn ignore_dbs_works_alone() {
        let list = list(Rule { ignore_dbs: texts(&["~^tmp"]), ..Rule::default() });
        assert!(!list.allows_table(&table("tmp1", "t")));
        assert!(list.allows_table(&table("a", "t")));
    }

    #[test]
    fn do_tables_alone_excludes_every_other_table_but_not_the_schema() {
        let list = list(Rule { do_tables: pairs(&[("a", "t*")]), ..Rule::default() });
        assert!(list.allows_table(&table("A", "T1")));
        assert!(!list.allows_table(&table("a", "u")));
        assert!(!list.allows_table(&table("b", "t1")));
        assert!(list.allows_schema("b"));
    }

    #[test]
    fn do_dbs_still_applies_beside_do_tables() {
        let list = list(Rule { do_dbs: texts(&["a"]), do_tables: pairs(&[("*", "t")]), ..Rule::default() });
        assert!(list.allows_table(&table("a", "t")));
        assert!(!list.allows_table(&table("b", "t")));
    }

    #[test]
    fn do_tables_beats_ignore_tables() {
        let list =
            list(Rule { do_tables: pairs(&[("a", "t1")]), ignore_tables: pairs(&[("a", "t*")]), ..Rule::default() });
        assert!(list.allows_table(&table("a", "t1")));
        assert!(!list.allows_table(&table("a", "t2")));
        assert!(!list.allows_table(&table("a", "u")));
    }

    #[test]
    fn ignore_tables_alone_lets_the_rest_through() {
        let list = list(Rule { ignore_tables: pairs(&[("shop_*", "tmp_*")]), ..Rule::default() });
        assert!(!list.allows_table(&table("shop_1", "tmp_x")));
        assert!(list.allows_table(&table("shop_1", "orders")));
    }

    #[test]
    fn empty_patterns_and_bad_regular_expressions_are_errors() {
        for rule in [
            Rule { do_dbs: texts(&[""]), ..Rule::default() },
            Rule { do_dbs: texts(&["~("]), ..Rule::default() },
            Rule { do_tables: pairs(&[("a", "")]), ..Rule::default() },
        ] {
            let error = BlockAllowList::compile(&rule, CaseSensitivity::Sensitive).unwrap_err();
            assert_eq!(error.code().number, 20044);
        }
    }
}
