//! Reports of owners.

use dm_state::apply::progress::{ProgressReport, ReportProgress};

use crate::codec::convert::records;

records! {
    ReportProgress { reports: list }
    ProgressReport { subtask: message, epoch: value, stage: value, unit: value, low: option, chunks: message, finished: value }
}
