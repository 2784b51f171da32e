//! Named fail points: places between two effects at which a test ends or freezes the process.
//!
//! Owns the names of this crate's points, what is armed, and the mutants that switch a rule of the fence off. Without the
//! cargo feature `fail-points` every call is empty and compiled away. With it nothing happens either until `arm` was
//! called, which no product binary does: the environment alone changes nothing. A text in the environment that is not
//! understood ends the process that arms.

/// The points of this crate, in the order in which a subtask's life passes them.
pub const POINTS: [&str; 31] = [
    // takeover, C0 to C8 of control-plane.md 2.5
    "meta-table",
    "c0-connected",
    "c0-sessions",
    "c1-killed",
    "c2-locked",
    "c2-rolled-back",
    "c4-sent",
    "c4-commit",
    "c4-claimed",
    "c5-ended",
    "c5-forgotten",
    "c6-intents",
    "c6-inspected",
    "c7-rows",
    "c8-finished",
    // a lane's connection
    "register",
    "registered",
    // a transaction: before it is sent, sent, its fence seen to hold, COMMIT sent, COMMIT acknowledged
    "fence",
    "rows",
    "fence-held",
    "commit",
    "acked",
    // a COMMIT without an answer
    "commit-unknown",
    "probe",
    "resolved",
    // a DDL: intent committed, statement sent, executed, its answer lost, completed
    "intent",
    "ddl",
    "ddl-executed",
    "ddl-look",
    "ddl-done",
    // an orderly end
    "close",
];

/// A rule of the fence that a test switches off to see that its checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A transaction is committed whatever its fence says.
    NoFenceCheck,
    /// A new owner starts after the smallest watermark and skips nothing.
    ResumeWithoutWindows,
    /// A COMMIT that was not answered counts as not executed.
    UnknownCommitIsFailure,
    /// A new owner's windows begin empty.
    WindowsNotInherited,
}

impl Mutant {
    pub const ALL: [Self; 4] =
        [Self::NoFenceCheck, Self::ResumeWithoutWindows, Self::UnknownCommitIsFailure, Self::WindowsNotInherited];

    /// As `DM_MUTANT` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoFenceCheck => "no-fence-check",
            Self::ResumeWithoutWindows => "resume-without-windows",
            Self::UnknownCommitIsFailure => "unknown-commit-is-failure",
            Self::WindowsNotInherited => "windows-not-inherited",
        }
    }
}

#[cfg(not(feature = "fail-points"))]
mod inert {
    use super::Mutant;

    /// The process is between two effects.
    #[inline(always)]
    pub fn pass(_point: &str) {}

    /// Awaits `future`; the point lies where its first bytes are sent and nothing was answered.
    #[inline(always)]
    pub fn sent<F: Future>(_point: &str, future: F) -> F {
        future
    }

    /// Whether the rule is switched off.
    #[inline(always)]
    pub fn is_mutant(_mutant: Mutant) -> bool {
        false
    }
}
#[cfg(not(feature = "fail-points"))]
pub use inert::{is_mutant, pass, sent};

#[cfg(feature = "fail-points")]
mod armed;
#[cfg(feature = "fail-points")]
pub use armed::{ArmError, arm, is_mutant, pass, sent};
