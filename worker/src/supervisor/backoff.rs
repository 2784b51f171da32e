//! When a subtask that an error has paused is tried again by itself (DM's task checker).
//!
//! First after the shortest wait, then each time after twice as long, up to the longest; every stretch of health steps
//! the wait down again. Errors that only a person can mend are never tried again, and a manual pause is not an error.

use std::time::Duration;

use dm_model::error::{Report, Retry};

/// `checker` of source.yaml.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    pub enabled: bool,
    pub min: Duration,
    pub max: Duration,
    /// After this long without an error the wait shrinks by one step.
    pub rollback: Duration,
    pub factor: f64,
    pub jitter: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: true,
            min: Duration::from_secs(1),
            max: Duration::from_secs(300),
            rollback: Duration::from_secs(300),
            factor: 2.0,
            jitter: true,
        }
    }
}

/// DM's codes that no retry can mend (spec 4.8), beside what the error itself says.
const UNRESUMABLE_CODES: [u32; 7] = [36008, 32004, 36027, 11129, 34020, 34021, 11126];

/// The memory of one subtask's failures.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    rules: Rules,
    /// How many steps above the shortest wait.
    steps: u32,
    /// Since when it runs without an error, in monotonic milliseconds.
    healthy_since_ms: Option<u64>,
}

/// What to do about a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    ResumeAfter(Duration),
    LeavePaused,
}

impl Backoff {
    pub fn new(rules: Rules) -> Self {
        Self { rules, steps: 0, healthy_since_ms: None }
    }

    /// The subtask began to run.
    pub fn on_running(&mut self, now_ms: u64) {
        self.healthy_since_ms = Some(now_ms);
    }

    /// The subtask was paused by an error. `dice` in 0..1 spreads the waits of many subtasks when jitter is on.
    pub fn on_error(&mut self, now_ms: u64, report: &Report, dice: f64) -> Verdict {
        self.cool_down(now_ms);
        self.healthy_since_ms = None;
        if !self.rules.enabled || !is_resumable(report) {
            return Verdict::LeavePaused;
        }
        let full = self.rules.min.as_secs_f64() * self.rules.factor.powi(i32::try_from(self.steps).unwrap_or(i32::MAX));
        let full = full.min(self.rules.max.as_secs_f64()).max(self.rules.min.as_secs_f64());
        if full < self.rules.max.as_secs_f64() {
            self.steps += 1;
        }
        let wait = if self.rules.jitter { full / 2.0 + full / 2.0 * dice.clamp(0.0, 1.0) } else { full };
        Verdict::ResumeAfter(Duration::from_secs_f64(wait))
    }

    fn cool_down(&mut self, now_ms: u64) {
        let Some(since) = self.healthy_since_ms else { return };
        let rollback_ms = self.rules.rollback.as_millis().max(1);
        let stretches = u128::from(now_ms.saturating_sub(since)) / rollback_ms;
        self.steps = self.steps.saturating_sub(u32::try_from(stretches).unwrap_or(u32::MAX));
    }
}

/// True when the same work may succeed later without a person.
pub fn is_resumable(report: &Report) -> bool {
    match report.retry {
        Retry::Never => false,
        Retry::Backoff => !UNRESUMABLE_CODES.contains(&report.code),
    }
}

#[cfg(test)]
mod tests {
    use dm_model::error::{Class, Code, Level, Scope};

    use super::*;

    fn report(number: u32, retry: Retry) -> Report {
        Report::new(Code::new(number, Class::SyncUnit, Scope::Internal, Level::High, ""), retry, "x")
    }

    fn seconds(verdict: Verdict) -> u64 {
        match verdict {
            Verdict::ResumeAfter(wait) => wait.as_secs(),
            Verdict::LeavePaused => panic!("left paused"),
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_shrink_with_health() {
        let mut backoff = Backoff::new(Rules { jitter: false, ..Rules::default() });
        let lost = report(10002, Retry::Backoff);
        let waits: Vec<u64> = (0..11).map(|_| seconds(backoff.on_error(0, &lost, 0.0))).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        backoff.on_running(0);
        assert_eq!(seconds(backoff.on_error(3 * 300_000, &lost, 0.0)), 64, "three healthy stretches, three steps down");
    }

    #[test]
    fn what_a_person_must_mend_stays_paused() {
        let mut backoff = Backoff::new(Rules::default());
        assert_eq!(backoff.on_error(0, &report(36067, Retry::Never), 0.5), Verdict::LeavePaused);
        assert_eq!(backoff.on_error(0, &report(36027, Retry::Backoff), 0.5), Verdict::LeavePaused);
        let mut off = Backoff::new(Rules { enabled: false, ..Rules::default() });
        assert_eq!(off.on_error(0, &report(10002, Retry::Backoff), 0.5), Verdict::LeavePaused);
    }

    #[test]
    fn jitter_stays_between_half_and_full() {
        for dice in [0.0, 0.3, 1.0] {
            let mut backoff = Backoff::new(Rules { min: Duration::from_secs(10), ..Rules::default() });
            let wait = seconds(backoff.on_error(0, &report(10002, Retry::Backoff), dice));
            assert!((5..=10).contains(&wait), "{wait}");
        }
    }
}
