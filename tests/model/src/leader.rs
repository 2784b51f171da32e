//! The leader: who owns the subtask, and how far it is as far as the leader knows.

use dm_fence::UnitNumber;
use dm_model::Epoch;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leader {
    pub epoch: Epoch,
    pub owner: usize,
    /// The newest watermark that was reported.
    pub reported: UnitNumber,
}

impl Leader {
    pub fn new() -> Self {
        Self { epoch: Epoch(1), owner: 0, reported: UnitNumber(0) }
    }

    /// Every placement has an epoch of its own, larger than all before.
    pub fn grant(&mut self, worker: usize) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.owner = worker;
    }

    /// A report counts if it comes from the owner and does not go back.
    pub fn report(&mut self, epoch: Epoch, low: UnitNumber) {
        if epoch == self.epoch && low > self.reported {
            self.reported = low;
        }
    }
}
