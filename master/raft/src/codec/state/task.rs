//! Tasks, subtasks and their progress.

use dm_state::record::{Chunks, Ownership, Progress, StartArguments, Subtask, Task, Wanted, Watermark};

use crate::codec::convert::{names, records};

records! {
    Task { name: value, config: value, config_revision: value, created_at: value }
    Subtask {
        id: message,
        config: value,
        config_revision: value,
        wanted: value,
        wanted_revision: value,
        owner: option,
        last_epoch: value,
        unfenced: option,
        progress: option,
        finished: value,
        start: option,
        operators: map,
    }
    Ownership { epoch: value, session: value }
    StartArguments { start_time: option, safe_mode_duration: option }
    Progress { epoch: value, stage: value, unit: value, low: option, chunks: message, reported_at: value }
    Watermark { unit: value, location: message }
    Chunks { done: value, total: value }
}

names! { Wanted { Running, Paused, Stopped } }
