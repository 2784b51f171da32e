//! A place in a source's change stream: file and offset, and the GTID set executed up to there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BinlogPosition, GtidSet};

/// `gtid` is `None` where the stream has no GTIDs (MySQL with `gtid_mode=OFF`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Location {
    pub position: BinlogPosition,
    pub gtid: Option<GtidSet>,
}

impl Location {
    pub fn new(position: BinlogPosition, gtid: Option<GtidSet>) -> Self {
        Self { position, gtid }
    }

    /// True for the location nothing was ever read at.
    pub fn is_empty(&self) -> bool {
        self.position.is_empty() && self.gtid.as_ref().is_none_or(GtidSet::is_empty)
    }
}

/// DM's text: `position: (file, offset), gtid-set: …`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position: {}, gtid-set: ", self.position)?;
        match &self.gtid {
            Some(set) => set.fmt(f),
            None => Ok(()),
        }
    }
}
