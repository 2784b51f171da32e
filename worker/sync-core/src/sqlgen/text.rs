//! The text of statements.
//!
//! Owns SQL's spelling. Never groups, never reorders. Cannot fail.

use super::{
    Affected, Mode, Statement,
    compact::{Step, StepEdit},
    group::{Group, Shape},
};
use crate::{
    change::{Identity, LiteralRow, RowKey},
    literal::write_to,
    mapping::Mapping,
};

pub(super) fn write(group: &Group<'_, '_>, mode: Mode) -> Vec<Statement> {
    let Some(first) = group.steps.first() else { return Vec::new() };
    let mapping = first.mapping;
    let n_rows = group.steps.iter().map(|step| step.n_changes).sum();
    match group.shape {
        Shape::Insert => vec![insert(mapping, group.steps.iter().filter_map(|step| after(step)), n_rows, mode.safe)],
        Shape::Upsert => vec![upsert(mapping, &group.steps, n_rows)],
        Shape::DeleteByKey => vec![delete_by_key(mapping, &group.steps, n_rows, mode)],
        Shape::Single => group.steps.iter().flat_map(|step| single(step, mode)).collect(),
    }
}

/// One INSERT or REPLACE of rows that hold a literal for each of the mapping's columns.
pub(super) fn insert<'a>(
    mapping: &Mapping,
    rows: impl Iterator<Item = &'a LiteralRow>,
    n_changes: usize,
    replace: bool,
) -> Statement {
    let mut sql = Vec::with_capacity(256);
    let verb = if replace { "REPLACE" } else { "INSERT" };
    write_to(&mut sql, format_args!("{verb} INTO {} (", mapping.target()));
    push_joined(&mut sql, mapping.columns().map(str::as_bytes));
    sql.extend_from_slice(b") VALUES ");
    let mut n_written = 0;
    for row in rows {
        sql.extend_from_slice(if n_written == 0 { b"(" } else { b",(" });
        push_joined(&mut sql, row.iter());
        sql.push(b')');
        n_written += 1;
    }
    let max = if replace { u64::MAX } else { n_written };
    Statement { sql, n_rows: n_changes, affected: Affected { min: n_written, max } }
}

fn upsert(mapping: &Mapping, steps: &[&Step<'_>], n_rows: usize) -> Statement {
    if let [step] = steps
        && let StepEdit::Update { before, after, .. } = step.edit
    {
        return update(step, before, after);
    }
    let mut statement = insert(mapping, steps.iter().filter_map(|step| after(step)), n_rows, false);
    statement.sql.extend_from_slice(b" ON DUPLICATE KEY UPDATE ");
    for (index, column) in mapping.columns().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write_to(&mut statement.sql, format_args!("{comma}{column}=VALUES({column})"));
    }
    // An existing row that changes counts 2; one that compaction brought back to what it was counts 0 or 1.
    let n_sure = steps.iter().filter(|step| step.n_changes == 1).count() as u64;
    statement.affected = Affected { min: 2 * n_sure, max: 2 * steps.len() as u64 };
    statement
}

fn delete_by_key(mapping: &Mapping, steps: &[&Step<'_>], n_rows: usize, mode: Mode) -> Statement {
    let mut sql = Vec::with_capacity(64 + steps.len() * 12);
    write_to(&mut sql, format_args!("DELETE FROM {} WHERE ", mapping.target()));
    let keys = || {
        steps.iter().filter_map(|step| match step.edit {
            StepEdit::Delete { before, .. } => Some(before),
            StepEdit::Insert { .. } | StepEdit::Update { .. } | StepEdit::Replace { .. } => None,
        })
    };
    let columns: Vec<&str> = key_columns(mapping, Identity::Key(0));
    match columns.as_slice() {
        [column] if steps.len() > 1 => {
            write_to(&mut sql, format_args!("{column} IN ("));
            push_joined(&mut sql, keys().map(|key| key.literals.get(0)));
            sql.push(b')');
        }
        _ if steps.len() > 1 => {
            // OR is found by the index everywhere; rows in IN are not, on MariaDB.
            for (index, key) in keys().enumerate() {
                sql.extend_from_slice(if index == 0 { b"(" } else { b" OR (" });
                push_condition(&mut sql, mapping, key);
                sql.push(b')');
            }
        }
        _ => {
            if let Some(key) = keys().next() {
                push_condition(&mut sql, mapping, key);
            }
            sql.extend_from_slice(b" LIMIT 1");
        }
    }
    let n_existed = steps.iter().filter(|step| existed(step)).count() as u64;
    let affected = if mode.safe {
        Affected { min: 0, max: steps.len() as u64 }
    } else {
        Affected { min: n_existed, max: n_existed }
    };
    Statement { sql, n_rows, affected }
}

fn single(step: &Step<'_>, mode: Mode) -> Vec<Statement> {
    let replace = |after| insert(step.mapping, std::iter::once(after), step.n_changes, mode.safe);
    match step.edit {
        StepEdit::Insert { after } => vec![replace(after)],
        // the row is there or not: both are one statement
        StepEdit::Replace { .. } => vec![upsert(step.mapping, &[step], step.n_changes)],
        StepEdit::Delete { before, .. } => vec![delete(step, before, step.n_changes, mode)],
        StepEdit::Update { before, after, moves_key } => match (mode.safe, moves_key) {
            (false, _) => vec![update(step, before, after)],
            // Without a unique key there is nothing that REPLACE could replace.
            (true, false) if before.identity != Identity::AllColumns => vec![replace(after)],
            (true, false | true) => vec![delete(step, before, 0, mode), replace(after)],
        },
    }
}

fn delete(step: &Step<'_>, before: &RowKey, n_rows: usize, mode: Mode) -> Statement {
    let mut sql = Vec::with_capacity(128);
    write_to(&mut sql, format_args!("DELETE FROM {} WHERE ", step.mapping.target()));
    push_condition(&mut sql, step.mapping, before);
    sql.extend_from_slice(b" LIMIT 1");
    let n_existed = u64::from(existed(step));
    let affected = if mode.safe { Affected { min: 0, max: 1 } } else { Affected { min: n_existed, max: n_existed } };
    Statement { sql, n_rows, affected }
}

fn update(step: &Step<'_>, before: &RowKey, after: &LiteralRow) -> Statement {
    let mut sql = Vec::with_capacity(128 + after.n_bytes());
    write_to(&mut sql, format_args!("UPDATE {} SET ", step.mapping.target()));
    for (index, column) in step.mapping.columns().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write_to(&mut sql, format_args!("{comma}{column}="));
        sql.extend_from_slice(after.get(index));
    }
    sql.extend_from_slice(b" WHERE ");
    push_condition(&mut sql, step.mapping, before);
    sql.extend_from_slice(b" LIMIT 1");
    let affected = Affected { min: u64::from(step.n_changes == 1), max: 1 };
    Statement { sql, n_rows: step.n_changes, affected }
}

fn after<'a>(step: &Step<'a>) -> Option<&'a LiteralRow> {
    match step.edit {
        StepEdit::Insert { after } | StepEdit::Update { after, .. } | StepEdit::Replace { after, .. } => Some(after),
        StepEdit::Delete { .. } => None,
    }
}

fn existed(step: &Step<'_>) -> bool {
    match step.edit {
        StepEdit::Delete { existed, .. } => existed,
        StepEdit::Insert { .. } | StepEdit::Update { .. } | StepEdit::Replace { .. } => true,
    }
}

fn key_columns(mapping: &Mapping, identity: Identity) -> Vec<&str> {
    let indexes = mapping.unique_key(identity).map(|key| key.columns.as_slice()).unwrap_or_default();
    indexes.iter().filter_map(|index| mapping.column(*index)).map(|column| column.quoted.as_str()).collect()
}

fn push_condition(sql: &mut Vec<u8>, mapping: &Mapping, key: &RowKey) {
    if mapping.unique_key(key.identity).is_some() {
        for (index, column) in key_columns(mapping, key.identity).iter().enumerate() {
            let and = if index == 0 { "" } else { " AND " };
            write_to(sql, format_args!("{and}{column}="));
            sql.extend_from_slice(key.literals.get(index));
        }
        return;
    }
    for (index, literal) in key.literals.iter().enumerate() {
        let Some(column) = mapping.column(index) else { break };
        let quoted = &column.quoted;
        let and = if index == 0 { "" } else { " AND " };
        if literal == b"NULL" {
            write_to(sql, format_args!("{and}{quoted} IS NULL"));
        } else if column.json {
            write_to(sql, format_args!("{and}{quoted}=CAST("));
            sql.extend_from_slice(literal);
            sql.extend_from_slice(b" AS JSON)");
        } else {
            write_to(sql, format_args!("{and}{quoted}="));
            sql.extend_from_slice(literal);
            if column.collated && !literal.starts_with(b"x'") {
                // Rows that the collation calls equal are several rows here: take the one with these bytes.
                write_to(sql, format_args!(" AND CAST(CONVERT({quoted} USING utf8mb4) AS BINARY)=CAST(CONVERT("));
                sql.extend_from_slice(literal);
                sql.extend_from_slice(b" USING utf8mb4) AS BINARY)");
            }
        }
    }
}

fn push_joined<'a>(sql: &mut Vec<u8>, parts: impl Iterator<Item = &'a [u8]>) {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            sql.push(b',');
        }
        sql.extend_from_slice(part);
    }
}
