//! The fence's rules: lane rows, windows of committed units, takeover, DDL intents, and what each outcome means.
//!
//! Pure: every decision about who may write to a target and what is already in it is taken here, from values read
//! elsewhere, so that a model and production drive the same functions. Nothing here waits, asks or writes; the SQL is
//! dm-mysql's. Wrong input gives an error value, never a panic.

pub mod intent;
pub mod lane;
pub mod session;
pub mod takeover;
pub mod verdict;
pub mod window;

pub use intent::{DdlEffect, Intent, IntentState, IntentVerdict, Observed, judge_intent};
pub use lane::{AdvanceError, Consistency, FenceUpdate, LaneRow, Progress, Resume, Slicing, resume};
pub use session::{Ending, ServerRun, Session, is_same_target};
pub use takeover::{Answer, Claim, Step, Stop, TakenOver, Takeover};
pub use verdict::{Attempt, Breach, CommitVerdict, FenceVerdict, judge_unknown_commit, judge_update};
pub use window::{CorruptWindow, OutOfWindow, UnitNumber, Window};
