//! The state as one session's marching orders: everything it shall run, whole. What is left out ends.

use dm_model::SessionId;
use dm_proto::{pb, session as wire};
use dm_state::{
    State,
    record::{Operator, OperatorAction, OperatorAt, OperatorId, Subtask, Wanted},
};

/// Prefix of the keys that say a task may be started above the rows of another cluster.
const TAKE_OVER: &str = "dm/take-over/";

/// The key under which `start-task --take-over` is remembered until the subtask runs.
pub fn take_over_key(subtask: &dm_model::SubtaskId) -> String {
    format!("{TAKE_OVER}{subtask}")
}

/// Left out: subtasks that are finished or wanted Stopped (they end), and those of a source that is being moved away
/// (they drain, and are released when the worker reports them no more).
pub fn for_session(state: &State, session: SessionId) -> wire::Assignments {
    let mut subtasks = Vec::new();
    for assignment in state.assignment_for(session) {
        if assignment.draining {
            continue;
        }
        for (epoch, subtask) in &assignment.owned {
            if subtask.finished || subtask.wanted == Wanted::Stopped {
                continue;
            }
            subtasks.push(wire::Assignment {
                task: subtask.id.task.to_string(),
                source: subtask.id.source.to_string(),
                epoch: epoch.0,
                wanted_stage: pb::Stage::from(subtask.wanted.stage()).into(),
                wanted_revision: subtask.wanted_revision.0,
                task_yaml: subtask.config.as_str().to_owned(),
                source_yaml: assignment.source.config.as_str().to_owned(),
                start_time: start_time(subtask),
                operators: subtask.operators.iter().filter_map(|(id, one)| operator(*id, one)).collect(),
                take_over: state.meta(&take_over_key(&subtask.id)).is_some(),
            });
        }
    }
    wire::Assignments { revision: state.applied().0, subtasks }
}

fn start_time(subtask: &Subtask) -> String {
    subtask.start.as_ref().and_then(|start| start.start_time.clone()).unwrap_or_default()
}

/// `None` for an operator without a position: the leader resolves those before it stores them.
fn operator(id: OperatorId, operator: &Operator) -> Option<wire::Operator> {
    let OperatorAt::Position(at) = &operator.at else { return None };
    let (op, sqls) = match &operator.action {
        OperatorAction::Skip => (pb::ErrorOp::Skip, Vec::new()),
        OperatorAction::Replace(sqls) => (pb::ErrorOp::Replace, sqls.clone()),
        OperatorAction::Inject(sqls) => (pb::ErrorOp::Inject, sqls.clone()),
    };
    Some(wire::Operator { id: id.0.0, op: op.into(), position: format!("{}:{}", at.file, at.offset), sqls })
}
