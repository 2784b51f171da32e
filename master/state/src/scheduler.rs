//! Which session should carry which source, and when a silent session is given up.
//!
//! Owns: the view of the state it decides on, the plan, the reasons. Never does: change the state (the leader proposes
//! the plan's commands), read a clock, remember anything. Fails: never; what can not be done now is left out, and
//! [`explain::explain`] says why. The plan of a view with nothing to do is empty.

pub mod expiry;
pub mod explain;
pub mod placement;
pub mod plan;
pub mod view;

pub use self::{
    expiry::{Expiry, Heard, Millis, Redial, Silence, Ttl, expire_decision},
    explain::{Explanation, explain},
    placement::Choice,
    plan::{Balance, Move, Plan, Reason, Step, plan},
    view::{Facts, Health, SessionFacts, View},
};
