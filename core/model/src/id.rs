//! Numbers that only grow. Each is a type of its own, so that an epoch is never compared with a session.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Index of the Raft entry that caused a state; revision of everything that is watched.
    Revision
);
number!(
    /// One life of a worker's connection to the cluster: the Raft index of its `OpenSession`.
    SessionId
);
number!(
    /// A dm-master in the Raft group. Never reused: 1..n at bootstrap, `1000 + log index` for joiners.
    NodeId
);
number!(
    /// How often the cluster was restored from a backup. Part of every [`Epoch`].
    Incarnation
);

/// The fencing token of a subtask: `incarnation << 48 | raft index of the assignment`.
///
/// Unique and growing over the life of a cluster, also over a restore from a backup, because a restore raises the
/// incarnation. Whoever acts for a subtask shows its epoch; whoever is asked refuses an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Bits of an epoch that hold the Raft index.
    pub const INDEX_BITS: u32 = 48;

    /// The token of the assignment that was committed at `index`.
    pub fn new(incarnation: Incarnation, index: Revision) -> Self {
        debug_assert!(index.0 < 1 << Self::INDEX_BITS, "a Raft log has fewer than 2^48 entries");
        Self((incarnation.0 << Self::INDEX_BITS) | index.0)
    }

    pub fn incarnation(self) -> Incarnation {
        Incarnation(self.0 >> Self::INDEX_BITS)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A cluster's identity: a UUID in its 36-character form, made once at bootstrap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub String);

impl ClusterId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_of_a_later_incarnation_is_greater_even_at_a_smaller_index() {
        let lost = Epoch::new(Incarnation(1), Revision(900_000));
        let restored = Epoch::new(Incarnation(2), Revision(7));
        assert!(restored > lost);
        assert_eq!(restored.incarnation(), Incarnation(2));
    }
}
