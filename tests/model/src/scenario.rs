//! Small worlds: which units a source has, how many lanes, and how often each fault may happen.

use crate::rules::{Mutant, Rules};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rows,
    /// Changes the structure of the one table.
    Ddl,
    /// Counted, with nothing to apply.
    Filtered,
}

/// A unit of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitOf {
    pub kind: Kind,
    /// Units that share one are in conflict.
    pub keys: &'static [u64],
    /// The table a DDL changes and rows are in.
    pub table: u32,
    /// False inside a source transaction of several slices.
    pub ends_transaction: bool,
}

pub const fn rows(keys: &'static [u64]) -> UnitOf {
    UnitOf { kind: Kind::Rows, keys, table: 0, ends_transaction: true }
}

pub const fn rows_of(table: u32, keys: &'static [u64]) -> UnitOf {
    UnitOf { kind: Kind::Rows, keys, table, ends_transaction: true }
}

/// A slice that is not the last of its transaction.
pub const fn slice(keys: &'static [u64]) -> UnitOf {
    UnitOf { kind: Kind::Rows, keys, table: 0, ends_transaction: false }
}

pub const fn ddl(table: u32) -> UnitOf {
    UnitOf { kind: Kind::Ddl, keys: &[], table, ends_transaction: true }
}

pub const fn filtered() -> UnitOf {
    UnitOf { kind: Kind::Filtered, keys: &[], table: 0, ends_transaction: true }
}

/// How often things may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// Epochs beyond the first. (An owner that cannot go on is replaced without counting.)
    pub grants: u8,
    pub crashes: u8,
    /// A process stops for good while its connections live.
    pub freezes: u8,
    /// Connections that break: before COMMIT, with COMMIT or its answer under way, at a takeover's step, at a DDL.
    pub losses: u8,
    /// Statements that the target refuses inside a fold.
    pub refusals: u8,
    /// The target restarts, without its last commits.
    pub powers: u8,
    /// The subtask is paused and resumed.
    pub pauses: u8,
    /// Takeover's wait for a lock ends.
    pub lock_timeouts: u8,
}

#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub units: &'static [UnitOf],
    /// Lanes of each of the two workers.
    pub n_lanes: [u16; 2],
    pub faults: Faults,
    /// Both workers act under one epoch, as two processes of one assignment.
    pub twins: bool,
    /// A restart is too quick for the server's start time to tell.
    pub quick_restart: bool,
    /// How many commits a loss of power may take back.
    pub n_undurable: u8,
    /// KILL is not allowed: only the server's own timeouts end connections.
    pub no_kill: bool,
    /// Every step of a takeover is one of its own.
    pub fine: bool,
    pub rules: Rules,
}

const NO_FAULTS: Faults =
    Faults { grants: 0, crashes: 0, freezes: 0, losses: 0, refusals: 0, powers: 0, pauses: 0, lock_timeouts: 0 };

pub const BASE: Scenario = Scenario {
    name: "base",
    units: &[],
    n_lanes: [2, 2],
    faults: NO_FAULTS,
    twins: false,
    quick_restart: false,
    n_undurable: 0,
    no_kill: false,
    fine: false,
    rules: Rules { mutant: None },
};

/// Two lanes race on units of which the first and the third are in conflict; the owner changes.
pub const OWNERS: Scenario = Scenario {
    name: "owners",
    units: &[rows(&[1]), rows(&[2]), rows(&[1])],
    faults: Faults { grants: 1, ..NO_FAULTS },
    ..BASE
};

/// The owner dies, and again.
pub const CRASHES: Scenario = Scenario {
    name: "crashes",
    units: &[rows(&[1]), rows(&[2]), rows(&[1])],
    faults: Faults { crashes: 2, losses: 1, refusals: 1, ..NO_FAULTS },
    ..BASE
};

/// Three owners in a row: what the second writes is what the third finds.
pub const THREE_OWNERS: Scenario = Scenario {
    name: "three owners",
    units: &[rows(&[1]), rows(&[2]), rows(&[3])],
    faults: Faults { grants: 2, ..NO_FAULTS },
    ..BASE
};

/// Fewer lanes for the second owner: rows of lanes nobody uses.
pub const FEWER_LANES: Scenario = Scenario {
    name: "fewer lanes",
    units: &[rows(&[1]), rows(&[2]), rows(&[1])],
    n_lanes: [2, 1],
    faults: Faults { grants: 1, losses: 1, ..NO_FAULTS },
    ..BASE
};

/// COMMITs without an answer, probes without an answer, refused statements.
pub const UNKNOWN: Scenario = Scenario {
    name: "unknown commit",
    units: &[rows(&[1]), rows(&[2]), rows(&[1, 2])],
    faults: Faults { grants: 1, losses: 1, refusals: 1, ..NO_FAULTS },
    ..BASE
};

/// The same, one after the other, by one owner.
pub const UNKNOWN_AGAIN: Scenario = Scenario {
    name: "unknown again",
    units: &[rows(&[1]), rows(&[2]), rows(&[1, 2])],
    faults: Faults { losses: 4, refusals: 1, ..NO_FAULTS },
    ..BASE
};

/// An owner that stops for good with a transaction open.
pub const FROZEN: Scenario = Scenario {
    name: "frozen",
    units: &[rows(&[1]), rows(&[2])],
    faults: Faults { grants: 1, freezes: 1, lock_timeouts: 1, ..NO_FAULTS },
    ..BASE
};

/// A target that comes back without its last commits.
pub const POWER: Scenario = Scenario {
    name: "power",
    units: &[rows(&[1]), rows(&[2]), rows(&[1])],
    faults: Faults { powers: 1, losses: 1, ..NO_FAULTS },
    n_undurable: 2,
    ..BASE
};

/// The same while owners change.
pub const POWER_OWNERS: Scenario = Scenario {
    name: "power and owners",
    units: &[rows(&[1]), rows(&[2])],
    n_lanes: [2, 1],
    faults: Faults { powers: 1, grants: 1, ..NO_FAULTS },
    n_undurable: 2,
    ..BASE
};

/// The same, so quick that only connection ids tell.
pub const QUICK_POWER: Scenario = Scenario {
    name: "quick power",
    units: &[rows(&[1]), rows(&[2])],
    faults: Faults { powers: 1, losses: 1, ..NO_FAULTS },
    n_undurable: 2,
    quick_restart: true,
    ..BASE
};

/// A DDL between rows of its table, with rows of another table beside it.
pub const DDL: Scenario = Scenario {
    name: "ddl",
    units: &[rows(&[1]), ddl(0), rows(&[1]), rows_of(1, &[9])],
    n_lanes: [2, 1],
    faults: Faults { grants: 1, ..NO_FAULTS },
    ..BASE
};

/// The same with crashes and lost answers, under one owner.
pub const DDL_CRASHES: Scenario = Scenario {
    name: "ddl and crashes",
    units: &[rows_of(1, &[9]), ddl(0), rows(&[1])],
    n_lanes: [2, 1],
    faults: Faults { crashes: 1, losses: 1, ..NO_FAULTS },
    ..BASE
};

/// A DDL whose answer is lost, again and again.
pub const LOST_DDL: Scenario = Scenario {
    name: "lost ddl",
    units: &[ddl(0), rows(&[1])],
    n_lanes: [1, 1],
    faults: Faults { grants: 1, losses: 1, freezes: 1, lock_timeouts: 1, ..NO_FAULTS },
    ..BASE
};

/// A DDL and a target that forgets.
pub const DDL_POWER: Scenario = Scenario {
    name: "ddl and power",
    units: &[rows(&[1]), ddl(0), rows(&[1])],
    n_lanes: [1, 1],
    faults: Faults { losses: 1, powers: 1, crashes: 1, ..NO_FAULTS },
    n_undurable: 2,
    ..BASE
};

/// Pause, resume, units without effect, slices of one transaction.
pub const PAUSED: Scenario = Scenario {
    name: "paused",
    units: &[filtered(), slice(&[1]), rows(&[2]), filtered()],
    n_lanes: [2, 1],
    faults: Faults { pauses: 1, grants: 1, crashes: 1, ..NO_FAULTS },
    ..BASE
};

/// Two processes with one epoch.
pub const TWINS: Scenario = Scenario {
    name: "twins",
    units: &[rows(&[1]), rows(&[2])],
    n_lanes: [2, 1],
    faults: Faults { lock_timeouts: 1, ..NO_FAULTS },
    twins: true,
    ..BASE
};

/// No right to KILL: locks end when the server notices.
pub const NO_KILL: Scenario = Scenario {
    name: "no kill",
    units: &[rows(&[1]), rows(&[1])],
    n_lanes: [1, 1],
    faults: Faults { grants: 1, crashes: 1, ..NO_FAULTS },
    no_kill: true,
    ..BASE
};

pub const ALL: &[Scenario] = &[
    OWNERS,
    CRASHES,
    THREE_OWNERS,
    FEWER_LANES,
    UNKNOWN,
    FROZEN,
    UNKNOWN_AGAIN,
    POWER,
    POWER_OWNERS,
    QUICK_POWER,
    DDL,
    DDL_CRASHES,
    LOST_DDL,
    DDL_POWER,
    PAUSED,
    TWINS,
    NO_KILL,
];

impl Scenario {
    pub const fn with(mut self, mutant: Mutant) -> Self {
        self.rules = Rules { mutant: Some(mutant) };
        self
    }

    pub fn last_unit(&self) -> dm_fence::UnitNumber {
        dm_fence::UnitNumber(self.units.len() as u64)
    }

    pub fn unit(&self, unit: dm_fence::UnitNumber) -> Option<&UnitOf> {
        self.units.get(usize::try_from(unit.0).ok()?.checked_sub(1)?)
    }
}
