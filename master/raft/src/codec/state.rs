//! The state's records.

mod client;
mod member;
mod operator;
pub(super) mod rejection;
mod reply;
mod source;
mod task;
mod worker;

use dm_state::state::Parts;

use super::convert::records;

records! {
    Parts {
        applied: value,
        cluster: message,
        masters: list,
        retired_stores: list,
        workers: list,
        sessions: list,
        sources: list,
        tasks: list,
        subtasks: list,
        meta: list,
        clients: list,
    }
}
