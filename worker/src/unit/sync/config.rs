//! From a resolved subtask to the engine's configuration.

use dm_config::TaskConfig;
use dm_model::{
    BinlogPosition,
    error::{Class, Code, Level, Report, Retry, Scope},
};
use dm_rules::CaseSensitivity;
use dm_sync_core::{
    engine::{Config, Limits, Merges},
    error_op,
    literal::Dialect,
    online_ddl::OnlineDdl,
    safe_mode::Holder,
    sqlgen::Mode,
};

use crate::{
    assignment::{Operator, OperatorKind},
    unit::{
        Failure,
        incarnation::{Incarnation, n_lanes},
    },
};

const BAD_PATTERN: Code = Code::new(
    20048,
    Class::Config,
    Scope::Internal,
    Level::High,
    "Check `shadow-table-rules` and `trash-table-rules` in the task configuration file.",
);

/// The engine and a lane's row disagree: what must not happen did.
pub(super) const BUG: Code = Code::new(
    60007,
    Class::SyncUnit,
    Scope::Internal,
    Level::High,
    "The lane's row and the engine disagree: resume the task, and report this with the log.",
);

/// What one engine of this incarnation is made from.
pub(super) fn engine(incarnation: &Incarnation, merges: Merges) -> Result<Config, Failure> {
    let config = &incarnation.config;
    let online_ddl = if config.online_ddl.enabled {
        let rules = &config.online_ddl;
        let compiled = OnlineDdl::compile(&rules.shadow_table_rules, &rules.trash_table_rules).map_err(|error| {
            Failure::new(Report::new(BAD_PATTERN, Retry::Never, "online DDL patterns").with_cause(error.to_string()))
        })?;
        Some(compiled)
    } else {
        None
    };
    let (major, minor, patch) = incarnation.source_facts.version_number;
    let mode = if config.sync.safe_mode { Mode::SAFE } else { Mode::NORMAL };
    Ok(Config {
        source: incarnation.context.id.source.clone(),
        flavor: incarnation.flavor,
        source_version: Some(u32::from(major) * 10_000 + u32::from(minor) * 100 + u32::from(patch)),
        case_sensitive: config.case == CaseSensitivity::Sensitive
            || incarnation.source_facts.lower_case_table_names == 0,
        block_allow: incarnation.rules.block_allow.clone(),
        router: incarnation.rules.router.clone(),
        event_filter: incarnation.rules.event_filter.clone(),
        dialect: dialect(incarnation),
        parent_keys: config
            .target
            .session
            .get("foreign_key_checks")
            .is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("on")),
        mode,
        safe_mode: if config.sync.safe_mode { vec![Holder::Task] } else { Vec::new() },
        slicing: incarnation.takeover.taken.resume.slicing,
        limits: Limits {
            batch_rows: usize::try_from(config.sync.batch.max(1)).unwrap_or(usize::MAX),
            n_lanes: n_lanes(config),
            ..Limits::default()
        },
        online_ddl,
        merges,
        operators: operators(&incarnation.context.assignment.operators),
    })
}

/// What SQL the target speaks.
pub(super) fn dialect(incarnation: &Incarnation) -> Dialect {
    let facts = &incarnation.takeover.facts;
    if facts.is_tidb {
        return Dialect::TiDb;
    }
    match facts.flavor {
        dm_model::Flavor::MySql => Dialect::MySql,
        dm_model::Flavor::MariaDb => Dialect::MariaDb,
    }
}

/// The leader's operators in the engine's form.
pub(super) fn operators(wanted: &[Operator]) -> Vec<error_op::Operator> {
    wanted
        .iter()
        .map(|operator| error_op::Operator {
            position: operator.position.clone(),
            action: match &operator.kind {
                OperatorKind::Skip => error_op::Action::Skip,
                OperatorKind::Replace(sqls) => error_op::Action::Replace(sqls.clone()),
                OperatorKind::Inject(sqls) => error_op::Action::Inject(sqls.clone()),
            },
        })
        .collect()
}

/// Operators whose event is committed: their position is before the watermark.
pub(super) fn used_up(wanted: &[Operator], reached: &BinlogPosition) -> Vec<u64> {
    wanted.iter().filter(|operator| operator.position < *reached).map(|operator| operator.id).collect()
}

/// True when several sources of the task may feed one target table.
pub(super) fn merges_across_sources(incarnation: &Incarnation) -> bool {
    let Ok((task, _)) = TaskConfig::parse(&incarnation.context.assignment.task_yaml) else { return true };
    task.instances.len() > 1 && !incarnation.config.routes.is_empty()
}
