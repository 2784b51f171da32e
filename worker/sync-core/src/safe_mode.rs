//! Safe mode: while it is on, statements are written so that they may run again on a target that already has them.
//!
//! Exactly-once replication does not need it. It is on while any holder asks for it: the task's switch, a target that
//! cannot keep the promise, a stretch of the stream that may be in the target already.

use dm_fence::UnitNumber;
use dm_model::{BinlogPosition, UnixMillis};

/// Who asks for safe mode, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// `safe-mode: true`, or an at-least-once target.
    Task,
    /// Up to and with this unit.
    UntilUnit(UnitNumber),
    /// While transactions end at or before this position of the same server.
    UntilPosition(BinlogPosition),
    /// While transactions are not newer than this by the source's clock.
    UntilSourceTime(UnixMillis),
}

/// The holders that still hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SafeMode {
    holders: Vec<Holder>,
}

impl SafeMode {
    pub fn new(holders: Vec<Holder>) -> Self {
        Self { holders }
    }

    /// Whether a unit is written in safe mode. Holders whose end is passed let go for good.
    pub fn covers(&mut self, unit: UnitNumber, end: &BinlogPosition, src_ts: Option<UnixMillis>) -> bool {
        self.holders.retain(|holder| match holder {
            Holder::Task => true,
            Holder::UntilUnit(last) => unit <= *last,
            Holder::UntilPosition(last) => end <= last,
            Holder::UntilSourceTime(last) => src_ts.is_none_or(|at| at <= *last),
        });
        self.is_on()
    }

    pub fn is_on(&self) -> bool {
        !self.holders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(mode: &mut SafeMode, unit: u64, offset: u64) -> bool {
        mode.covers(UnitNumber(unit), &BinlogPosition::new("b.000001", offset), Some(UnixMillis(5)))
    }

    #[test]
    fn it_ends_only_when_every_holder_is_passed() {
        let until = Holder::UntilPosition(BinlogPosition::new("b.000001", 300));
        let mut mode = SafeMode::new(vec![Holder::UntilUnit(UnitNumber(2)), until]);
        assert!(covers(&mut mode, 2, 200));
        assert!(covers(&mut mode, 3, 300));
        assert!(!covers(&mut mode, 4, 301));
        assert!(!covers(&mut mode, 1, 100), "a holder that let go does not come back");
    }

    #[test]
    fn the_task_switch_never_ends_and_no_holder_means_off() {
        assert!(covers(&mut SafeMode::new(vec![Holder::Task]), u64::MAX, u64::MAX));
        assert!(!SafeMode::default().is_on());
    }
}
