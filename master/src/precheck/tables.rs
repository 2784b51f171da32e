//! Checks of tables: can rows be told apart, can the fence hold at the target, do routes lead to one place each.

use std::collections::BTreeMap;

use dm_config::{SubtaskConfig, TaskConfig};
use dm_ddl::table::Table;
use dm_model::TableName;

use super::{
    look::{Both, SourceTable, Target},
    verdict::{Check, Finding},
};

const STRUCTURE: &str = "table structure compatibility check";
const STRUCTURE_DESC: &str = "check compatibility of table structure";

/// Engines in which a transaction that is rolled back leaves nothing.
const TRANSACTIONAL: [&str; 3] = ["innodb", "rocksdb", "xtradb"];

pub fn of_task(
    task: &TaskConfig,
    subtasks: &[SubtaskConfig],
    seen: &[Both],
    is_ignored: &dyn Fn(&str) -> bool,
) -> Vec<Check> {
    let mut checks = vec![routes(task, subtasks, seen)];
    if is_ignored("table_schema") {
        return checks;
    }
    for (subtask, both) in subtasks.iter().zip(seen) {
        let (Ok(source), Ok(target)) = (&both.source, &both.target) else { continue };
        let findings = source.tables.iter().flat_map(|table| structure(table, target)).collect();
        let extra = format!("source {}", subtask.id.source);
        checks.push(Check::new(STRUCTURE, STRUCTURE_DESC, findings, "Please see the findings.", extra));
    }
    checks
}

fn structure(source: &SourceTable, target: &Target) -> Vec<Finding> {
    let name = &source.name;
    let mut findings = Vec::new();
    let table = match &source.structure {
        Ok(table) => table,
        Err(error) => return vec![Finding::fail(format!("table {name}: its structure cannot be read: {error}"))],
    };
    if table.identity().is_none() {
        findings.push(Finding::warn(format!(
            "table {name} has no primary key and no unique key without NULL columns: its rows are changed one by one"
        )));
    }
    if !table.foreign_keys.is_empty() {
        findings.push(Finding::warn(format!("table {name} has foreign keys, which are not checked at the target")));
    }
    let Ok(at) = &source.target else { return findings };
    match target.tables.get(at) {
        None => {}
        Some(Err(error)) => {
            findings.push(Finding::fail(format!("target table {at}: its structure cannot be read: {error}")));
        }
        Some(Ok(existing)) => findings.extend(against_target(name, table, at, existing, target)),
    }
    findings
}

fn against_target(name: &TableName, table: &Table, at: &TableName, existing: &Table, target: &Target) -> Vec<Finding> {
    let mut findings = Vec::new();
    let engine = existing.engine.as_deref().unwrap_or("InnoDB");
    if !target.facts.is_tidb && !TRANSACTIONAL.iter().any(|known| known.eq_ignore_ascii_case(engine)) {
        findings.push(Finding::warn(format!(
            "target table {at} is of the engine {engine}, which has no transactions: delivery is at-least-once there"
        )));
    }
    let has = |table: &Table, column: &str| table.columns.iter().any(|one| one.name.eq_ignore_ascii_case(column));
    for column in table.columns.iter().filter(|column| !has(existing, &column.name)) {
        findings.push(Finding::warn(format!("column `{}` of {name} is missing in target table {at}", column.name)));
    }
    for column in existing.columns.iter().filter(|column| !has(table, &column.name)) {
        if !column.nullable && column.default.is_none() && column.generated.is_none() {
            findings.push(Finding::warn(format!(
                "column `{}` of target table {at} is not in {name} and has no default",
                column.name
            )));
        }
    }
    if table.identity().is_some() && existing.identity().is_none() {
        findings.push(Finding::warn(format!("target table {at} has no primary or unique key")));
    }
    findings
}

/// Each table leads to one place, and only shards lead to the same.
fn routes(task: &TaskConfig, subtasks: &[SubtaskConfig], seen: &[Both]) -> Check {
    let mut places: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    let mut findings = Vec::new();
    for (subtask, both) in subtasks.iter().zip(seen) {
        let Ok(source) = &both.source else { continue };
        for table in &source.tables {
            match &table.target {
                Ok(at) => {
                    places.entry(at.clone()).or_default().push(format!("{} of {}", table.name, subtask.id.source))
                }
                Err(error) => findings.push(Finding::fail(format!("[code=40080] table {}: {error}", table.name))),
            }
        }
    }
    findings.extend(clashes(task.shard_mode.is_some(), task.case_sensitive, &places));
    Check::new(
        "table route check",
        "check whether tables are routed to one place each",
        findings,
        "Please check `routes`.",
        String::new(),
    )
}

/// Several tables into one, without a shard mode, and names that differ by case only.
fn clashes(is_sharded: bool, is_case_sensitive: bool, places: &BTreeMap<TableName, Vec<String>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, tables) in places.iter().filter(|(_, tables)| tables.len() > 1 && !is_sharded) {
        findings.push(Finding::warn(format!("{} tables are merged into {at}: {}", tables.len(), tables.join(", "))));
    }
    if !is_case_sensitive {
        let mut folded: BTreeMap<(String, String), Vec<&TableName>> = BTreeMap::new();
        for at in places.keys() {
            folded.entry((at.schema.to_lowercase(), at.table.to_lowercase())).or_default().push(at);
        }
        for names in folded.into_values().filter(|names| names.len() > 1) {
            let names: Vec<String> = names.into_iter().map(ToString::to_string).collect();
            findings
                .push(Finding::fail(format!("[code=26001] target names differ by case only: {}", names.join(", "))));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precheck::State;

    fn places(names: &[(&str, usize)]) -> BTreeMap<TableName, Vec<String>> {
        names.iter().map(|(name, n)| (TableName::new("a", *name), vec!["x".to_owned(); *n])).collect()
    }

    #[test]
    fn names_that_differ_by_case_only_fail_unless_case_counts() {
        let places = places(&[("T", 1), ("t", 1)]);
        assert_eq!(clashes(false, false, &places)[0].severity, State::Fail);
        assert_eq!(clashes(false, true, &places), []);
    }

    #[test]
    fn merging_without_a_shard_mode_warns() {
        let places = places(&[("t", 2)]);
        assert_eq!(clashes(false, false, &places)[0].severity, State::Warn);
        assert_eq!(clashes(true, false, &places), []);
    }
}
