//! Wire values to the words of `dm-model` and back.

use dm_model::{BinlogPosition, Stage, UnitKind, error::Report};

use crate::pb;

impl From<Stage> for pb::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::New => Self::New,
            Stage::Running => Self::Running,
            Stage::Paused => Self::Paused,
            Stage::Stopped => Self::Stopped,
            Stage::Finished => Self::Finished,
            Stage::Pausing => Self::Pausing,
            Stage::Resuming => Self::Resuming,
            Stage::Stopping => Self::Stopping,
        }
    }
}

/// `None` for `InvalidStage`.
pub fn stage_of(stage: pb::Stage) -> Option<Stage> {
    match stage {
        pb::Stage::InvalidStage => None,
        pb::Stage::New => Some(Stage::New),
        pb::Stage::Running => Some(Stage::Running),
        pb::Stage::Paused => Some(Stage::Paused),
        pb::Stage::Stopped => Some(Stage::Stopped),
        pb::Stage::Finished => Some(Stage::Finished),
        pb::Stage::Pausing => Some(Stage::Pausing),
        pb::Stage::Resuming => Some(Stage::Resuming),
        pb::Stage::Stopping => Some(Stage::Stopping),
    }
}

impl From<UnitKind> for pb::UnitType {
    fn from(unit: UnitKind) -> Self {
        match unit {
            UnitKind::Check => Self::Check,
            UnitKind::Dump => Self::Dump,
            UnitKind::Load => Self::Load,
            UnitKind::Sync => Self::Sync,
            UnitKind::Relay => Self::Relay,
        }
    }
}

/// `None` for `InvalidUnit`.
pub fn unit_of(unit: pb::UnitType) -> Option<UnitKind> {
    match unit {
        pb::UnitType::InvalidUnit => None,
        pb::UnitType::Check => Some(UnitKind::Check),
        pb::UnitType::Dump => Some(UnitKind::Dump),
        pb::UnitType::Load => Some(UnitKind::Load),
        pb::UnitType::Sync => Some(UnitKind::Sync),
        pb::UnitType::Relay => Some(UnitKind::Relay),
    }
}

impl From<&Report> for pb::ProcessError {
    fn from(report: &Report) -> Self {
        Self {
            err_code: i32::try_from(report.code).unwrap_or(i32::MAX),
            err_class: report.class.as_str().to_owned(),
            err_scope: report.scope.as_str().to_owned(),
            err_level: report.level.as_str().to_owned(),
            message: report.message.clone(),
            raw_cause: report.raw_cause.clone(),
            workaround: report.workaround.clone(),
        }
    }
}

impl pb::ProcessResult {
    /// A pause that the operator asked for.
    pub fn canceled() -> Self {
        Self { is_canceled: true, ..Self::default() }
    }

    /// A pause that an error caused.
    pub fn failed<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Self {
        Self { errors: reports.into_iter().map(pb::ProcessError::from).collect(), ..Self::default() }
    }
}

/// The text of a position as dmctl prints it; empty for no position.
pub fn position_text(position: &BinlogPosition) -> String {
    if position.is_empty() { String::new() } else { position.to_string() }
}
