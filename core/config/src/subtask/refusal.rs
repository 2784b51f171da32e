//! Settings of DM that this version reads but cannot carry out. Refusing them is better than ignoring them: an ignored
//! setting replicates other data than the user asked for. Never fails; the answer is a list of errors.

use super::SubtaskConfig;
use crate::{
    Error,
    task::{ImportMode, TaskMode, ValidationMode},
};

pub(super) fn of(subtask: &SubtaskConfig) -> Vec<Error> {
    let mut refusals = Vec::new();
    let mut refuse = |key, what: String, way_out| refusals.push(Error::NotSupportedYet { key, what, way_out });
    match subtask.mode {
        TaskMode::All | TaskMode::Full | TaskMode::Incremental => {}
        TaskMode::Dump | TaskMode::Load | TaskMode::LoadAndSync => {
            refuse("task-mode", format!("`task-mode: {}`", subtask.mode), "use `all`, `full` or `incremental`")
        }
    }
    if let Some(mode) = subtask.shard_mode {
        refuse("shard-mode", format!("`shard-mode: {mode}`"), "remove `shard-mode` and `is-sharding`");
    }
    if subtask.enable_relay {
        refuse("enable-relay", "`enable-relay: true`".to_owned(), "set `enable-relay: false` in the source file");
    }
    if subtask.mode.has_sync() && subtask.validate.mode != ValidationMode::None {
        let what = format!("`mode: {}` in `validators`", subtask.validate.mode);
        refuse("validators", what, "set `mode: none`, or remove `validator-config-name`");
    }
    if subtask.mode.has_load() && subtask.load.import_mode != ImportMode::Logical {
        let what = format!("`import-mode: {}`", subtask.load.import_mode);
        refuse("import-mode", what, "use `import-mode: logical`");
    }
    if !subtask.expression_filters.is_empty() {
        refuse(
            "expression-filters",
            "`expression-filters`".to_owned(),
            "remove `expression-filters` from the instance and `expression-filter` from the task",
        );
    }
    refusals
}
