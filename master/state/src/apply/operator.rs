//! Binlog operators: what to do with single events, kept until the owner has used them.

use std::{collections::BTreeSet, sync::Arc};

use dm_model::{BinlogPosition, Epoch, SubtaskId};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::{
    Rejection, Reply,
    record::{Operator, OperatorAction, OperatorAt, OperatorId},
};

/// Operators a subtask may have waiting.
pub const MAX_OPERATORS: usize = 1024;

/// Stores an operator. One per place: a second one for the same place takes the first one's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOperator {
    pub subtask: SubtaskId,
    pub at: OperatorAt,
    pub action: OperatorAction,
}

/// `binlog revert`. Refused when nothing matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveOperators {
    pub subtask: SubtaskId,
    pub selection: Selection,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Of exactly this place.
    At(OperatorAt),
    /// All of positions from this one on.
    From(BinlogPosition),
    All,
}

/// The owner has used these. An old epoch is refused; ids that are gone are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumeOperators {
    pub subtask: SubtaskId,
    pub epoch: Epoch,
    pub ids: Vec<OperatorId>,
}

impl PutOperator {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let subtask = change.subtask(&self.subtask)?;
        match &self.action {
            OperatorAction::Replace(statements) | OperatorAction::Inject(statements) if statements.is_empty() => {
                return Err(Rejection::OperatorWithoutStatement { subtask: self.subtask });
            }
            OperatorAction::Skip | OperatorAction::Replace(_) | OperatorAction::Inject(_) => {}
        }
        let n_others = subtask.operators.values().filter(|operator| operator.at != self.at).count();
        if n_others >= MAX_OPERATORS {
            return Err(Rejection::TooMany { what: "operators".to_owned(), present: n_others as u64 });
        }
        let id = OperatorId(change.index());
        change.touch_subtask(&self.subtask);
        if let Some(subtask) = Arc::make_mut(&mut change.state.subtasks).get_mut(&self.subtask) {
            subtask.operators.retain(|_, operator| operator.at != self.at);
            subtask.operators.insert(id, Operator { at: self.at, action: self.action });
        }
        Ok(Reply::OperatorPut(id))
    }
}

impl RemoveOperators {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let subtask = change.subtask(&self.subtask)?;
        let ids: Vec<_> = subtask
            .operators
            .iter()
            .filter(|(_, operator)| self.selection.takes(&operator.at))
            .map(|(id, _)| *id)
            .collect();
        if ids.is_empty() {
            return Err(Rejection::NoOperator { subtask: self.subtask });
        }
        change.drop_operators(&self.subtask, &ids);
        Ok(Reply::OperatorsRemoved(ids))
    }
}

impl ConsumeOperators {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        change.check_epoch(&self.subtask, self.epoch)?;
        let subtask = change.subtask(&self.subtask)?;
        let ids: BTreeSet<_> = self.ids.into_iter().filter(|id| subtask.operators.contains_key(id)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        change.drop_operators(&self.subtask, &ids);
        Ok(Reply::OperatorsRemoved(ids))
    }
}

impl Selection {
    fn takes(&self, place: &OperatorAt) -> bool {
        match (self, place) {
            (Self::At(at), place) => at == place,
            (Self::From(from), OperatorAt::Position(position)) => position >= from,
            (Self::From(_), OperatorAt::CurrentError) => false,
            (Self::All, _) => true,
        }
    }
}

impl Change<'_> {
    fn drop_operators(&mut self, id: &SubtaskId, ids: &[OperatorId]) {
        if ids.is_empty() {
            return;
        }
        self.touch_subtask(id);
        if let Some(subtask) = Arc::make_mut(&mut self.state.subtasks).get_mut(id) {
            subtask.operators.retain(|id, _| !ids.contains(id));
        }
    }
}
