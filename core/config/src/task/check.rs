//! Checks of a task's top level, one function per rule.

use dm_rules::{CaseSensitivity, block_allow::BlockAllowList, event_filter::EventFilter, route::Router};
use regex::Regex;

use super::{CHECKING_ITEMS, ImportMode, Instance, OnlineDdl, ShardMode, TaskConfig, TaskMode, raw, unit};
use crate::{Error, Warning, db::DbConfig};

pub(super) fn mode(text: Option<String>) -> Result<TaskMode, Error> {
    let text = text.unwrap_or_default();
    TaskMode::parse(&text).ok_or(Error::TaskMode { mode: text })
}

/// `is-sharding` is the old spelling of `shard-mode: pessimistic`; an explicit `shard-mode` wins.
pub(super) fn shard_mode(
    text: Option<String>,
    is_sharding: Option<bool>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<ShardMode>, Error> {
    let mode = match unit::non_empty(text) {
        None => None,
        Some(text) => Some(ShardMode::parse(&text).ok_or(Error::ShardMode { mode: text })?),
    };
    match (mode, is_sharding) {
        (None, Some(true)) => Ok(Some(ShardMode::Pessimistic)),
        (Some(mode), Some(false)) => {
            warnings.push(Warning(format!("`is-sharding: false` is ignored: `shard-mode` is `{mode}`")));
            Ok(Some(mode))
        }
        (mode, None) | (mode @ Some(_), Some(true)) | (mode @ None, Some(false)) => Ok(mode),
    }
}

pub(super) fn checking_items(items: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let items = items.unwrap_or_default();
    match items.iter().find(|item| !CHECKING_ITEMS.contains(&item.as_str())) {
        Some(item) => Err(Error::CheckingItem { item: item.clone(), known: CHECKING_ITEMS.join(", ") }),
        None => Ok(items),
    }
}

pub(super) fn online_ddl(raw: &mut raw::Task) -> Result<OnlineDdl, Error> {
    let forced = match raw.online_ddl_scheme.as_deref() {
        None | Some("") => false,
        Some("gh-ost" | "pt") => true,
        Some(scheme) => return Err(Error::OnlineDdlScheme { scheme: scheme.to_owned() }),
    };
    Ok(OnlineDdl {
        enabled: forced || raw.online_ddl.unwrap_or(true),
        shadow_table_rules: name_patterns("shadow-table-rules", raw.shadow_table_rules.take(), r"^_(.+)_(?:new|gho)$")?,
        trash_table_rules: name_patterns(
            "trash-table-rules",
            raw.trash_table_rules.take(),
            r"^_(.+)_(?:ghc|del|old)$",
        )?,
    })
}

fn name_patterns(key: &'static str, given: Option<Vec<String>>, default: &str) -> Result<Vec<String>, Error> {
    let given = given.filter(|patterns| !patterns.is_empty()).unwrap_or_else(|| vec![default.to_owned()]);
    let check = |pattern: String| {
        let start = if pattern.starts_with('^') { "" } else { "^" };
        let end = if pattern.ends_with('$') { "" } else { "$" };
        let anchored = format!("{start}{pattern}{end}");
        let refuse = |reason: String| Error::OnlineDdlRegex { key, pattern: pattern.clone(), reason };
        let regex = Regex::new(&anchored).map_err(|error| refuse(error.to_string()))?;
        match regex.captures_len() - 1 {
            1 => Ok(anchored),
            n => Err(refuse(format!("it has {n} capture groups instead of one"))),
        }
    };
    given.into_iter().map(check).collect()
}

/// All instances load in one way, and `import-into` has conditions of its own.
pub(super) fn import_modes(instances: &[Instance], mode: TaskMode, shard_mode: Option<ShardMode>) -> Result<(), Error> {
    let Some((first, rest)) = instances.split_first() else { return Ok(()) };
    if !mode.has_load() {
        return Ok(());
    }
    let import_mode = first.load.import_mode;
    if let Some(other) = rest.iter().find(|instance| instance.load.import_mode != import_mode) {
        let text = format!("{import_mode} and {}", other.load.import_mode);
        return Err(Error::ImportMode { text });
    }
    if import_mode == ImportMode::ImportInto {
        if !rest.is_empty() || shard_mode.is_some() {
            return Err(Error::ImportInto {});
        }
        if !unit::is_s3(&first.load.dir) {
            return Err(Error::ImportIntoDir { dir: first.load.dir.clone() });
        }
    }
    Ok(())
}

/// Merged or regrouped rows may reach the target in an order that foreign keys forbid.
pub(super) fn foreign_keys(instances: &[Instance], target: &DbConfig) -> Result<(), Error> {
    let on = target
        .session
        .get("foreign_key_checks")
        .is_some_and(|value| ["1", "on", "true"].iter().any(|spelling| value.trim().eq_ignore_ascii_case(spelling)));
    if !on {
        return Ok(());
    }
    if instances.iter().any(|instance| instance.sync.compact) {
        return Err(Error::ForeignKeys { key: "compact" });
    }
    if instances.iter().any(|instance| instance.sync.multiple_rows) {
        return Err(Error::ForeignKeys { key: "multiple-rows" });
    }
    Ok(())
}

/// Compiles every instance's rules, so that a bad rule refuses the task before anything starts.
pub(super) fn rules(task: &TaskConfig, warnings: &mut Vec<Warning>) -> Result<(), Error> {
    let case = CaseSensitivity::of_flag(task.case_sensitive);
    for instance in &task.instances {
        BlockAllowList::compile(&instance.block_allow_list, case)?;
        Router::compile(&instance.routes, case)?;
        let filter = EventFilter::compile(&instance.filters, case)?;
        for rule in filter.collisions() {
            let source = &instance.source_id;
            warnings.push(Warning(format!("source {source}: filter {rule} has no effect: another has its patterns")));
        }
    }
    Ok(())
}

pub(super) fn deprecated(raw: &raw::Task) -> Vec<Warning> {
    let given = [
        ("enable-heartbeat", raw.enable_heartbeat.is_some()),
        ("heartbeat-update-interval", raw.heartbeat_update_interval.is_some()),
        ("heartbeat-report-interval", raw.heartbeat_report_interval.is_some()),
        ("ansi-quotes", raw.ansi_quotes.is_some()),
        ("remove-meta", raw.remove_meta.is_some()),
        (
            "target-database.max-allowed-packet",
            raw.target_database.as_ref().is_some_and(|target| target.max_allowed_packet.is_some()),
        ),
    ];
    let ignored = given.iter().filter(|(_, given)| *given);
    let mut warnings: Vec<Warning> =
        ignored.map(|(key, _)| Warning(format!("`{key}` is deprecated and ignored"))).collect();
    if raw.online_ddl_scheme.as_deref().is_some_and(|scheme| !scheme.is_empty()) {
        warnings.push(Warning("`online-ddl-scheme` is deprecated: use `online-ddl`".to_owned()));
    }
    if raw.black_white_list.is_some() {
        warnings.push(Warning("`black-white-list` is deprecated: use `block-allow-list`".to_owned()));
    }
    warnings
}
