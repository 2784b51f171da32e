//! What the leader wants of this worker, parsed once from the wire.

use std::collections::BTreeMap;

use dm_model::{BinlogPosition, ClusterId, Epoch, SourceId, Stage, SubtaskId, TaskName};
use dm_proto::{convert::stage_of, pb, session};

/// The whole wish of one moment. What is not in it shall end.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignments {
    pub revision: u64,
    pub cluster_id: ClusterId,
    /// The masters' AES-256 key, empty when there is none.
    pub secret_key: Vec<u8>,
    pub subtasks: BTreeMap<SubtaskId, Assignment>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub epoch: Epoch,
    pub wanted_stage: Stage,
    pub wanted_revision: u64,
    pub task_yaml: String,
    pub source_yaml: String,
    /// One-shot `--start-time`; `None` when unset or used up.
    pub start_time: Option<String>,
    pub operators: Vec<Operator>,
    /// Start above lane rows of another cluster.
    pub take_over: bool,
}

/// A binlog operator the leader keeps until it is used up.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    pub id: u64,
    pub kind: OperatorKind,
    pub position: BinlogPosition,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OperatorKind {
    Skip,
    /// Run these statements in place of the event's.
    Replace(Vec<String>),
    /// Run these statements before the event's.
    Inject(Vec<String>),
}

/// A leader's message that this version cannot act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("an assignment has a bad name")]
    Name(#[from] dm_model::name::NameError),
    #[error("the assignment of {subtask} wants stage {stage}, which nobody can want")]
    Stage { subtask: SubtaskId, stage: i32 },
    #[error("a binlog operator of {subtask} is not understood: {what}")]
    Operator { subtask: SubtaskId, what: String },
}

/// Reads one assignment.
///
/// # Errors
/// Names, stages or operators that do not parse: the leader is of a version that knows more.
pub fn parse(wire: session::Assignment) -> Result<(SubtaskId, Assignment), Error> {
    let id = SubtaskId::new(TaskName::parse(wire.task)?, SourceId::parse(wire.source)?);
    let stage = pb::Stage::try_from(wire.wanted_stage).ok().and_then(stage_of);
    let wanted_stage = match stage {
        Some(stage @ (Stage::Running | Stage::Paused | Stage::Stopped)) => stage,
        Some(_) | None => return Err(Error::Stage { subtask: id, stage: wire.wanted_stage }),
    };
    let mut operators = Vec::with_capacity(wire.operators.len());
    for operator in wire.operators {
        operators.push(
            parse_operator(&operator)
                .ok_or_else(|| Error::Operator { subtask: id.clone(), what: format!("{operator:?}") })?,
        );
    }
    let assignment = Assignment {
        epoch: Epoch(wire.epoch),
        wanted_stage,
        wanted_revision: wire.wanted_revision,
        task_yaml: wire.task_yaml,
        source_yaml: wire.source_yaml,
        start_time: Some(wire.start_time).filter(|text| !text.is_empty()),
        operators,
        take_over: wire.take_over,
    };
    Ok((id, assignment))
}

fn parse_operator(wire: &session::Operator) -> Option<Operator> {
    let kind = match pb::ErrorOp::try_from(wire.op).ok()? {
        pb::ErrorOp::Skip => OperatorKind::Skip,
        pb::ErrorOp::Replace => OperatorKind::Replace(wire.sqls.clone()),
        pb::ErrorOp::Inject => OperatorKind::Inject(wire.sqls.clone()),
        pb::ErrorOp::InvalidErrorOp | pb::ErrorOp::Revert | pb::ErrorOp::List => return None,
    };
    Some(Operator { id: wire.id, kind, position: BinlogPosition::parse(&wire.position)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> session::Assignment {
        session::Assignment {
            task: "shop".into(),
            source: "mysql-01".into(),
            epoch: 7,
            wanted_stage: pb::Stage::Running.into(),
            wanted_revision: 3,
            ..session::Assignment::default()
        }
    }

    #[test]
    fn an_assignment_is_read_whole() {
        let operator = session::Operator {
            id: 9,
            op: pb::ErrorOp::Replace.into(),
            position: "mysql-bin.000001:4".into(),
            sqls: vec!["ALTER TABLE `a`.`b` ADD COLUMN c INT".into()],
        };
        let (id, assignment) = parse(session::Assignment { operators: vec![operator], ..wire() }).unwrap();
        assert_eq!(id.to_string(), "shop/mysql-01");
        assert_eq!(assignment.operators[0].position, BinlogPosition::new("mysql-bin.000001", 4));
        assert_eq!(assignment.start_time, None);
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_no_guess() {
        assert!(matches!(
            parse(session::Assignment { wanted_stage: pb::Stage::Pausing.into(), ..wire() }),
            Err(Error::Stage { .. })
        ));
        let revert = session::Operator { op: pb::ErrorOp::Revert.into(), ..session::Operator::default() };
        assert!(matches!(
            parse(session::Assignment { operators: vec![revert], ..wire() }),
            Err(Error::Operator { .. })
        ));
        assert!(matches!(parse(session::Assignment { source: String::new(), ..wire() }), Err(Error::Name(_))));
    }
}
