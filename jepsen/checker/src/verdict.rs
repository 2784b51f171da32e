//! What a check found.
//!
//! Counts say how much was looked at: a check that saw nothing proves nothing, and says so as a violation.

use std::fmt;

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Lane rows of all subtasks.
    pub n_lanes: u64,
    /// Target transactions that changed a lane row.
    pub n_fenced: u64,
    /// Claims of a new owner.
    pub n_takeovers: u64,
    /// Units that the windows say are committed.
    pub n_units: u64,
    /// Row changes of the sources that were found again in the target, a moved key counting twice.
    pub n_changes: u64,
    /// Row changes of the sources that the copy held already.
    pub n_skipped_changes: u64,
    /// Row changes of the target under units.
    pub n_target_changes: u64,
    /// Rows that were copied by the snapshot.
    pub n_copied: u64,
    /// Of them, those whose values a source's log confirms at the very place of the copy.
    pub n_confirmed: u64,
    /// Chunks copied to their end.
    pub n_chunks: u64,
    /// DDL pieces that are done.
    pub n_ddls: u64,
    /// DDL pieces that the target executed more than once (harmless ones are repeated when an answer was lost).
    pub n_ddls_repeated: u64,
    /// Keys whose last row was compared with the source's last row.
    pub n_final_rows: u64,
    pub n_violations: u64,
    /// The first of them, in the order of the target's log.
    pub violations: Vec<String>,
}

impl Verdict {
    /// Violations that are kept as text.
    pub const MAX_TEXTS: usize = 40;

    /// True when enough was seen and nothing was wrong.
    pub fn is_proven(&self) -> bool {
        self.n_violations == 0 && self.n_fenced > 0
    }

    pub(crate) fn violation(&mut self, text: impl FnOnce() -> String) {
        self.n_violations += 1;
        if self.violations.len() < Self::MAX_TEXTS {
            self.violations.push(text());
        }
    }
}

/// One line of counts, then the violations.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lanes, {} takeovers, {} fenced transactions, {} units, {} row changes, {} DDLs",
            self.n_lanes, self.n_takeovers, self.n_fenced, self.n_units, self.n_changes, self.n_ddls
        )?;
        if self.n_chunks > 0 {
            write!(f, ", {} rows in {} chunks ({} confirmed)", self.n_copied, self.n_chunks, self.n_confirmed)?;
        }
        if self.n_violations > 0 {
            write!(f, "; {} violations", self.n_violations)?;
        }
        for text in &self.violations {
            write!(f, "\n  {text}")?;
        }
        Ok(())
    }
}
