//! The fence's rules: lane rows, windows of committed units, takeover, DDL intents, and what each outcome means.
//!
//! Pure: every decision about who may write to a target and what is already in it is taken here, from values read
//! elsewhere, so that a model and production drive the same functions. Nothing here waits, asks or writes; the SQL is
//! dm-mysql's. Wrong input gives an error value, never a panic.

pub mod lane;
pub mod verdict;
pub mod window;

pub use lane::{AdvanceError, Consistency, FenceUpdate, LaneRow, Progress, Resume, Slicing, resume};
pub use verdict::{Attempt, Breach, CommitVerdict, FenceVerdict, judge_unknown_commit, judge_update};
pub use window::{CorruptWindow, OutOfWindow, UnitNumber, Window};
