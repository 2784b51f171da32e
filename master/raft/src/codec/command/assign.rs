//! Commands on ownership.

use dm_state::apply::assign::{Assign, BeginMove, ConfirmFence, ExpireAndAssign, FenceOff, Place, Release};

use crate::codec::convert::records;

records! {
    Assign { source: value, session: value, expect: option }
    ExpireAndAssign { sessions: list, places: list, reason: value }
    Place { source: value, session: value }
    BeginMove { source: value, to: option }
    Release { subtask: message, epoch: value }
    FenceOff { subtasks: list }
    ConfirmFence { subtask: message, epoch: value }
}
