//! A task's part on one source: everything a worker needs to run it, in one value.
//!
//! Owns how task and source are combined. A resolved subtask has its passwords in plain text and never shows them in
//! `Debug`; whoever serializes it keeps the result away from logs and disks.

mod refusal;

use dm_model::{Flavor, SubtaskId};
use dm_rules::{
    CaseSensitivity,
    block_allow::{self, BlockAllowList},
    event_filter::{self, EventFilter},
    route::{self, Router},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, SecretKey, SourceConfig, TaskConfig,
    db::DbConfig,
    task::{
        Collation, DumpOptions, ExpressionFilter, LoadOptions, Meta, OnlineDdl, ShardMode, SyncOptions, TaskMode,
        ValidateOptions, unit,
    },
    timezone::TimeZone,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskConfig {
    pub id: SubtaskId,
    pub mode: TaskMode,
    pub shard_mode: Option<ShardMode>,
    pub strict_optimistic_shard_mode: bool,
    pub ignore_checking_items: Vec<String>,
    pub meta_schema: String,
    /// `None`: the downstream's.
    pub timezone: Option<TimeZone>,
    pub case: CaseSensitivity,
    pub collation: Collation,
    pub online_ddl: OnlineDdl,
    pub from: DbConfig,
    pub target: DbConfig,
    /// `None`: to be detected from the source's version.
    pub flavor: Option<Flavor>,
    /// 0: to be chosen at random.
    pub server_id: u32,
    pub enable_gtid: bool,
    pub enable_relay: bool,
    pub relay_dir: String,
    pub meta: Option<Meta>,
    pub block_allow_list: block_allow::Rule,
    pub routes: Vec<route::Rule>,
    /// The task's filters, then the source's.
    pub filters: Vec<event_filter::Rule>,
    pub expression_filters: Vec<ExpressionFilter>,
    pub dump: DumpOptions,
    pub load: LoadOptions,
    pub sync: SyncOptions,
    pub validate: ValidateOptions,
    pub clean_dump_file: bool,
    pub async_checkpoint_flush: bool,
}

/// A subtask's rules, ready for use.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub block_allow: BlockAllowList,
    pub router: Router,
    pub event_filter: EventFilter,
}

impl SubtaskConfig {
    /// Combines a task with one of its sources. Fails with 20031 when the task has no instance for the source, and with
    /// the rules' codes when they do not compile with the combined case sensitivity. The same inputs always give the
    /// same subtask.
    pub fn resolve(task: &TaskConfig, source: &SourceConfig, secret: Option<&SecretKey>) -> Result<Self, Error> {
        let instance = task
            .instance(&source.source_id)
            .ok_or_else(|| Error::NoSource { source_id: source.source_id.to_string() })?;
        let case = CaseSensitivity::of_flag(task.case_sensitive || source.case_sensitive);
        let id = SubtaskId::new(task.name.clone(), source.source_id.clone());
        let mut from = source.database(secret)?;
        if let Some(timezone) = &task.timezone {
            from.session.insert("time_zone".to_owned(), timezone.as_str().to_owned());
        }
        let subtask = Self {
            mode: task.mode,
            shard_mode: task.shard_mode,
            strict_optimistic_shard_mode: task.strict_optimistic_shard_mode,
            ignore_checking_items: task.ignore_checking_items.clone(),
            meta_schema: task.meta_schema.clone(),
            timezone: task.timezone.clone(),
            case,
            collation: task.collation,
            online_ddl: task.online_ddl.clone(),
            from,
            target: task.target_database(secret)?,
            flavor: source.flavor,
            server_id: source.server_id,
            enable_gtid: source.enable_gtid,
            enable_relay: source.enable_relay,
            relay_dir: source.relay_dir.clone(),
            meta: instance.meta.clone().filter(|_| task.mode == TaskMode::Incremental),
            block_allow_list: instance.block_allow_list.clone(),
            routes: instance.routes.clone(),
            filters: merge_filters(&instance.filters, &source.filters, case),
            expression_filters: instance.expression_filters.clone(),
            dump: instance.dump.clone(),
            load: adjust_dirs(instance.load.clone(), task.mode, &id),
            sync: instance.sync.clone(),
            validate: instance.validate.clone(),
            clean_dump_file: task.clean_dump_file,
            async_checkpoint_flush: task.async_checkpoint_flush,
            id,
        };
        subtask.rules()?;
        Ok(subtask)
    }

    /// Compiles the rules. Cannot fail for a subtask that [`resolve`](Self::resolve) returned.
    pub fn rules(&self) -> Result<Rules, Error> {
        Ok(Rules {
            block_allow: BlockAllowList::compile(&self.block_allow_list, self.case)?,
            router: Router::compile(&self.routes, self.case)?,
            event_filter: EventFilter::compile(&self.filters, self.case)?,
        })
    }

    /// What is switched on that this version cannot do. A subtask with refusals must not start.
    pub fn refusals(&self) -> Vec<Error> {
        refusal::of(self)
    }
}

/// A task's filter wins over a source's filter with the same patterns.
fn merge_filters(
    task: &[event_filter::Rule],
    source: &[event_filter::Rule],
    case: CaseSensitivity,
) -> Vec<event_filter::Rule> {
    let fold = |text: &str| match case {
        CaseSensitivity::Sensitive => text.to_owned(),
        CaseSensitivity::Insensitive => text.to_lowercase(),
    };
    let patterns = |rule: &event_filter::Rule| (fold(&rule.schema_pattern), fold(&rule.table_pattern));
    let added = source.iter().filter(|rule| !task.iter().any(|own| patterns(own) == patterns(rule)));
    task.iter().chain(added).cloned().collect()
}

/// Subtasks of one task must not share a directory. `load` and `load&sync` take it as given: somebody else filled it.
fn adjust_dirs(mut load: LoadOptions, mode: TaskMode, id: &SubtaskId) -> LoadOptions {
    match mode {
        TaskMode::All | TaskMode::Full => {
            load.dir = if unit::is_s3(&load.dir) {
                let (path, query) = match load.dir.split_once('?') {
                    Some((path, query)) => (path, format!("?{query}")),
                    None => (load.dir.as_str(), String::new()),
                };
                format!("{}/{}.{}{query}", path.trim_end_matches('/'), id.task, id.source)
            } else {
                format!("{}.{}", load.dir.trim_end_matches('/'), id.task)
            };
        }
        TaskMode::Incremental | TaskMode::Dump | TaskMode::Load | TaskMode::LoadAndSync => {}
    }
    if load.sorting_dir_physical.is_empty() {
        load.sorting_dir_physical =
            if unit::is_s3(&load.dir) { format!("./sorting.{}", id.task) } else { format!("{}.sorting", load.dir) };
    }
    load
}

#[cfg(test)]
mod tests;
