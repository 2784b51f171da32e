//! The demo's last words: what was moved, how long each fault was felt, what is lost and doubled.

use std::{fmt, time::Duration};

use dm_tests::{binlog_text::Verdict, rows::Differences};

use super::{
    faults::{Faults, ms},
    writer::Counts,
};

#[derive(Debug)]
pub struct Report {
    pub n_snapshot_rows: u64,
    pub snapshot: Duration,
    pub written: Counts,
    /// From before the snapshot until the target had the last transaction.
    pub duration: Duration,
    pub n_probes: usize,
    pub faults: Faults,
    pub found: Differences,
    /// What the binlogs say.
    pub proof: Verdict,
}

impl Report {
    pub fn is_success(&self) -> bool {
        self.found.is_equal() && self.found.n_sources > 0 && self.proof.is_proven()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_snapshot_rows, snapshot, written, duration, n_probes, faults, found, proof } = self;
        let snapshot_s = snapshot.as_secs_f64();
        let rate = *n_snapshot_rows as f64 / snapshot_s.max(0.001);
        writeln!(f, "\nmoved     snapshot: {n_snapshot_rows} rows in {snapshot_s:.1} s ({rate:.0} rows/s)")?;
        writeln!(f, "          changes: {written}")?;
        writeln!(f, "          {:.1} s from the first write to the last row in the target", duration.as_secs_f64())?;
        writeln!(f, "faults")?;
        for fault in &faults.list {
            writeln!(f, "  {:>9} ms  {} ({})", ms(fault.gap), fault.what, fault.note)?;
        }
        match faults.n_restarts {
            Some(n) => writeln!(f, "          subtasks restarted while the leadership moved: {n}")?,
            None => writeln!(f, "          subtasks restarted while the leadership moved: not seen")?,
        }
        writeln!(f, "          gaps of leaders by {n_probes} acknowledged writes, one every 5 ms")?;
        writeln!(
            f,
            "compared  {} rows of the sources with {} rows of the target, every column",
            found.n_sources, found.n_target
        )?;
        for sample in &found.samples {
            writeln!(f, "  {}", sample.replace('\n', "\n  "))?;
        }
        let word = if proof.is_proven() { "proven" } else { "NOT PROVEN" };
        writeln!(f, "{word:<9} from the binlogs: {proof}")?;
        writeln!(f, "lost: {}", found.n_lost())?;
        write!(f, "doubled: {}", found.n_doubled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(found: Differences) -> Report {
        Report {
            n_snapshot_rows: 0,
            snapshot: Duration::ZERO,
            written: Counts::default(),
            duration: Duration::ZERO,
            n_probes: 0,
            faults: Faults::default(),
            found,
            proof: Verdict { n_fenced: 1, ..Verdict::default() },
        }
    }

    #[test]
    fn only_an_equal_comparison_of_something_is_a_success() {
        let equal = Differences { n_sources: 5, n_target: 5, ..Differences::default() };
        assert!(report(equal.clone()).is_success());
        assert!(!report(Differences::default()).is_success());
        for different in [
            Differences { n_missing: 1, ..equal.clone() },
            Differences { n_different: 1, ..equal.clone() },
            Differences { n_doubled: 1, ..equal.clone() },
        ] {
            assert!(!report(different).is_success());
        }
        let unproven = Report { proof: Verdict::default(), ..report(equal.clone()) };
        assert!(!unproven.is_success());
        let text = report(equal).to_string();
        assert!(text.ends_with("lost: 0\ndoubled: 0"), "{text}");
    }
}
