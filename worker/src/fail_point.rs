//! The fail points of this crate; how they work is said in [`dm_mysql::fail_point`].

pub use dm_mysql::fail_point::{Mutant, is_mutant, pass};

/// In the order in which a subtask's life passes them.
pub const POINTS: [&str; 16] = [
    // the target is ours, nothing was done with it
    "taken-over",
    // the full copy: a view of the source, a table made in the target, the plan stored
    "view",
    "target-table",
    "plan",
    // around a transaction of a chunk, and around the one that ends the chunk
    "chunk",
    "chunk-done",
    "marker",
    "marker-done",
    // the copy is complete, its position not yet in the lane rows; then the units change
    "handover",
    "unit-change",
    // replication: its beginning is durable, the source answers, a commit is told to the engine
    "begin",
    "stream",
    "ack",
    // a lane has finished what it was given and is about to close
    "drained",
    // around a heartbeat
    "report",
    "reported",
];
