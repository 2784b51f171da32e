//! What to do so that the subtasks that run become the subtasks that are wanted. Pure: values in, a list of steps out.
//!
//! A subtask is known by its epoch: another epoch is another owner's life of it, even on the same worker. Instructions
//! with an epoch below one already seen are stale and change nothing.

use std::collections::BTreeMap;

use dm_model::{Epoch, SubtaskId};

/// What the supervisor runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Have {
    pub epoch: Epoch,
    /// The wanted revision it was told last.
    pub revision: u64,
    /// True once it was told to end; it will go by itself.
    pub ending: bool,
}

/// What the leader wants of this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub epoch: Epoch,
    pub revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing runs for it: begin.
    Start(SubtaskId),
    /// It runs under the right epoch but was told an older wish.
    Tell(SubtaskId),
    /// No longer ours: finish what is in flight and leave. `Start` follows in a later plan when it is wanted under a new
    /// epoch, once the old life has ended.
    End(SubtaskId),
}

/// Steps in a stable order: ends first, so that a lane is closed before its successor opens one.
pub fn plan(have: &BTreeMap<SubtaskId, Have>, want: &BTreeMap<SubtaskId, Want>) -> Vec<Step> {
    let mut ends = Vec::new();
    let mut rest = Vec::new();
    for (id, have) in have {
        let ours = want.get(id).is_some_and(|want| want.epoch <= have.epoch);
        if !ours && !have.ending {
            ends.push(Step::End(id.clone()));
        }
    }
    for (id, want) in want {
        match have.get(id) {
            None => rest.push(Step::Start(id.clone())),
            Some(have) if !have.ending && have.epoch == want.epoch && have.revision < want.revision => {
                rest.push(Step::Tell(id.clone()));
            }
            // ending, stale, or already told
            Some(_) => {}
        }
    }
    ends.extend(rest);
    ends
}

#[cfg(test)]
mod tests {
    use dm_model::{SourceId, TaskName};

    use super::*;

    fn id(n: u8) -> SubtaskId {
        SubtaskId::new(TaskName::parse("t").unwrap(), SourceId::parse(format!("s{n}")).unwrap())
    }

    /// Every combination of what one subtask can be and what can be wanted of it.
    #[test]
    fn every_case_of_one_subtask() {
        let one = |have: Option<(u64, u64, bool)>, want: Option<(u64, u64)>| {
            let have = have
                .map(|(epoch, revision, ending)| (id(1), Have { epoch: Epoch(epoch), revision, ending }))
                .into_iter()
                .collect();
            let want =
                want.map(|(epoch, revision)| (id(1), Want { epoch: Epoch(epoch), revision })).into_iter().collect();
            plan(&have, &want)
        };
        assert_eq!(one(None, None), []);
        assert_eq!(one(None, Some((5, 1))), [Step::Start(id(1))]);
        assert_eq!(one(Some((5, 1, false)), None), [Step::End(id(1))]);
        assert_eq!(one(Some((5, 1, true)), None), []);
        assert_eq!(one(Some((5, 1, false)), Some((5, 1))), []);
        assert_eq!(one(Some((5, 1, false)), Some((5, 2))), [Step::Tell(id(1))]);
        assert_eq!(one(Some((5, 2, false)), Some((5, 1))), [], "an older wish changes nothing");
        assert_eq!(one(Some((5, 1, false)), Some((6, 1))), [Step::End(id(1))], "another epoch is another life");
        assert_eq!(one(Some((5, 1, true)), Some((6, 1))), [], "wait until the old life has ended");
        assert_eq!(one(Some((6, 1, false)), Some((5, 9))), [], "a stale epoch is refused");
    }

    #[test]
    fn a_satisfied_worker_has_nothing_to_do_and_steps_converge() {
        let want: BTreeMap<_, _> =
            (0..4).map(|n| (id(n), Want { epoch: Epoch(u64::from(n) + 10), revision: 3 })).collect();
        let mut have: BTreeMap<_, _> =
            (2..6).map(|n| (id(n), Have { epoch: Epoch(u64::from(n % 2) + 11), revision: 2, ending: false })).collect();
        for _ in 0..4 {
            for step in plan(&have, &want) {
                match step {
                    Step::Start(id) => {
                        let want = want[&id];
                        have.insert(id, Have { epoch: want.epoch, revision: want.revision, ending: false });
                    }
                    Step::Tell(id) => have.get_mut(&id).unwrap().revision = want[&id].revision,
                    Step::End(id) => {
                        have.remove(&id);
                    }
                }
            }
        }
        assert_eq!(plan(&have, &want), []);
        assert!(have.keys().eq(want.keys()));
    }
}
