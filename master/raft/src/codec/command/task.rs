//! Commands on tasks and their subtasks.

use dm_state::apply::task::{ClearStartTime, CreateTask, DeleteSubtasks, NewSubtask, SetWanted, UpdateTask};

use crate::codec::convert::records;

records! {
    CreateTask { task: value, config: value, subtasks: list, wanted: value }
    NewSubtask { source: value, start: option }
    UpdateTask { task: value, config: value, expect: option }
    DeleteSubtasks { task: value, sources: list }
    SetWanted { task: value, sources: list, wanted: value }
    ClearStartTime { subtask: message, epoch: value }
}
