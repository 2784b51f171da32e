//! One operation at a time per task: a second caller is refused at once instead of waiting behind a slow one.
//!
//! Held in memory of the leader only; a new leader starts with none, and the state's own rules keep two halves apart.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use dm_model::TaskName;

use crate::error::Error;

#[derive(Debug, Clone, Default)]
pub struct Latches {
    held: Arc<Mutex<BTreeSet<TaskName>>>,
}

/// Held until dropped.
#[derive(Debug)]
pub struct Latch {
    task: TaskName,
    held: Arc<Mutex<BTreeSet<TaskName>>>,
}

impl Latches {
    /// Fails with 46024 while somebody else holds it.
    pub fn take(&self, task: &TaskName) -> Result<Latch, Error> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.insert(task.clone()) {
            return Err(Error::Busy { task: task.clone() });
        }
        Ok(Latch { task: task.clone(), held: Arc::clone(&self.held) })
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.task);
    }
}

#[cfg(test)]
mod tests {
    use dm_model::error::Coded;

    use super::*;

    #[test]
    fn a_second_operation_is_refused_until_the_first_has_ended() {
        let latches = Latches::default();
        let (one, other) = (TaskName::parse("one").unwrap(), TaskName::parse("other").unwrap());
        let first = latches.take(&one).unwrap();
        assert_eq!(latches.take(&one).unwrap_err().code().number, 46024);
        let _unrelated = latches.take(&other).unwrap();
        drop(first);
        assert!(latches.take(&one).is_ok());
    }
}
