//! DDL in the target: announced, executed, done (control-plane.md S8).
//!
//! A piece that is done was executed between its announcement and its completion, or an equal text was executed before (another
//! shard's), or the table was there already (CREATE). A statement that changes a table nobody announced is foreign.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    log::Place,
    meta::{IntentImage, IntentState},
    rows::Rows,
    source::{Effect, effect, first_word, is_ddl, names},
    tables::Tables,
    verdict::Verdict,
};

#[derive(Debug)]
struct Open {
    intent: IntentImage,
    n_executed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ddls {
    open: BTreeMap<(String, String, u64, u64), Open>,
    executed: BTreeSet<String>,
}

impl Ddls {
    /// A change of an intent's row.
    pub(crate) fn intent(&mut self, after: Option<IntentImage>, at: &Place, verdict: &mut Verdict) {
        let Some(intent) = after else { return };
        let key = (intent.task.clone(), intent.source.clone(), intent.unit, intent.piece);
        match intent.state {
            IntentState::Open => {
                // Announced again, it was not executed, or harmlessly.
                self.open
                    .entry(key)
                    .and_modify(|open| open.intent = intent.clone())
                    .or_insert(Open { intent, n_executed: 0 });
            }
            IntentState::Skipped => {
                self.open.remove(&key);
            }
            IntentState::Done => {
                let n_executed = self.open.remove(&key).map_or(0, |open| open.n_executed);
                verdict.n_ddls += 1;
                verdict.n_ddls_repeated += n_executed.saturating_sub(1);
                let is_there = first_word(&intent.statement).eq_ignore_ascii_case("CREATE");
                if n_executed == 0 && !is_there && !self.executed.contains(&intent.statement) {
                    verdict.violation(|| {
                        format!(
                            "{at}: {}/{}: piece {} of unit {} is done, but the target never executed {:?}",
                            intent.task, intent.source, intent.piece, intent.unit, intent.statement
                        )
                    });
                }
            }
        }
    }

    /// A statement of the target's log. `is_ours`: some subtask owns the target already.
    pub(crate) fn statement(
        &mut self,
        sql: &str,
        at: &Place,
        is_ours: bool,
        meta_schema: &str,
        tables: &Tables,
        rows: &mut Rows,
        verdict: &mut Verdict,
    ) {
        if !is_ddl(sql) || names(sql, meta_schema) {
            return;
        }
        let verb = first_word(sql);
        let is_it = |open: &Open| open.intent.statement.trim() == sql.trim();
        let is_like_it = |open: &Open| {
            let target = &open.intent.target;
            let name = if target.table.is_empty() { &target.schema } else { &target.table };
            first_word(&open.intent.statement).eq_ignore_ascii_case(verb) && names(sql, name)
        };
        let announced = match self.open.values().position(is_it) {
            Some(at) => Some(at),
            None => self.open.values().position(is_like_it),
        };
        match announced.and_then(|at| self.open.values_mut().nth(at)) {
            Some(open) => {
                open.n_executed += 1;
                self.executed.insert(open.intent.statement.clone());
            }
            None => {
                let is_of_ours = tables.known().any(|(_, name)| names(sql, &name.table) && names(sql, &name.schema));
                if is_ours && is_of_ours && !verb.eq_ignore_ascii_case("CREATE") {
                    verdict.violation(|| format!("{at}: nobody announced {sql:?}"));
                }
            }
        }
        for (table, name) in tables.known() {
            match effect(sql) {
                Effect::Structure if names(sql, &name.table) => rows.forget(table),
                Effect::Rows if names(sql, &name.table) => {
                    if ["DROP", "TRUNCATE"].iter().any(|word| verb.eq_ignore_ascii_case(word)) {
                        rows.clear(table);
                    } else {
                        rows.lose(table);
                    }
                }
                Effect::Schema if names(sql, &name.schema) => rows.clear(table),
                Effect::Structure | Effect::Rows | Effect::Schema => {}
            }
        }
    }
}
