//! An open DDL intent found by a new owner: was the statement executed?
//!
//! DDL commits by itself, so its intent is committed before and its completion after. In between only the target can
//! tell, once the old connection is gone. What neither structure nor identity can tell stops the subtask: repeating a
//! rename swap, or leaving one out, is data loss.

use dm_model::{BinlogPosition, Epoch, TableName};
use serde::{Deserialize, Serialize};

use crate::window::UnitNumber;

/// What executing the statement leaves behind to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DdlEffect {
    /// It changes the structure of its table (or makes or removes it), or nothing at all.
    Structure,
    /// It leaves the structure; repeating it is harmless while its successors wait (TRUNCATE with this source alone
    /// feeding the table).
    Repeatable,
    /// It leaves the structure and must not be repeated, but the table is another one afterwards (TRUNCATE of a table
    /// with several sources, EXCHANGE PARTITION, a swap by RENAME).
    Identity,
}

impl DdlEffect {
    pub const ALL: [Self; 3] = [Self::Structure, Self::Repeatable, Self::Identity];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Repeatable => "repeatable",
            Self::Identity => "identity",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == text)
    }
}

/// How far a piece of a DDL got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IntentState {
    /// Announced; executed or not.
    Open,
    /// Executed, and its done transaction committed.
    Done,
    /// Left out on a user's order, committed.
    Skipped,
}

impl IntentState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "intent",
            Self::Done => "done",
            Self::Skipped => "skipped",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Done, Self::Skipped].into_iter().find(|state| state.as_str() == text)
    }
}

/// A row of `dm_ddl_intent`: one piece of a DDL, for one table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    pub unit: UnitNumber,
    pub piece: u32,
    pub epoch: Epoch,
    pub state: IntentState,
    pub statement: String,
    /// The table in the target that the piece changes; an empty table name for a statement about a schema.
    pub target: TableName,
    pub effect: DdlEffect,
    /// What the target looked like before.
    pub before: Observed,
    /// Where the DDL stands in the source.
    pub position: BinlogPosition,
}

/// What the target says about a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Hash of the structure; `None` when the object does not exist.
    pub hash: Option<String>,
    /// What changes when the table becomes another one with the same structure (table id, create time); `None` where
    /// the target has nothing reliable.
    pub identity: Option<String>,
}

/// What to do about an intent that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IntentVerdict {
    /// Nothing: its done transaction is committed, only other pieces of the unit may be missing.
    Finished,
    /// Executed: only the done transaction is missing.
    Done,
    /// Not executed, or harmless to repeat: execute it again, then the done transaction.
    Again,
    /// Cannot be told: a person has to look.
    Stop,
}

/// Judges an open intent by what the target shows now. Only valid once the connection that executed it is gone.
pub fn judge_intent(intent: &Intent, now: &Observed) -> IntentVerdict {
    if intent.state != IntentState::Open {
        return IntentVerdict::Finished;
    }
    if intent.before.hash != now.hash {
        return IntentVerdict::Done;
    }
    match intent.effect {
        DdlEffect::Structure | DdlEffect::Repeatable => IntentVerdict::Again,
        DdlEffect::Identity => match (&intent.before.identity, &now.identity) {
            (Some(before), Some(now)) if before == now => IntentVerdict::Again,
            (Some(_), Some(_)) => IntentVerdict::Done,
            (None, Some(_)) | (Some(_), None) | (None, None) => IntentVerdict::Stop,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(
        effect: DdlEffect,
        before: (Option<&str>, Option<&str>),
        now: (Option<&str>, Option<&str>),
    ) -> IntentVerdict {
        let observed = |(hash, identity): (Option<&str>, Option<&str>)| Observed {
            hash: hash.map(str::to_owned),
            identity: identity.map(str::to_owned),
        };
        let intent = Intent {
            unit: UnitNumber(1),
            piece: 0,
            epoch: Epoch(1),
            state: IntentState::Open,
            statement: String::new(),
            target: TableName::new("s", "t"),
            effect,
            before: observed(before),
            position: BinlogPosition::default(),
        };
        judge_intent(&intent, &observed(now))
    }

    #[test]
    fn a_changed_structure_is_done_whatever_the_statement() {
        for effect in DdlEffect::ALL {
            for (before, now) in [(Some("a"), Some("b")), (None, Some("b")), (Some("a"), None)] {
                assert_eq!(judge(effect, (before, None), (now, None)), IntentVerdict::Done);
            }
        }
    }

    #[test]
    fn the_same_structure_is_repeated_only_where_that_is_harmless() {
        let same = (Some("a"), Some("id"));
        assert_eq!(judge(DdlEffect::Structure, same, same), IntentVerdict::Again);
        assert_eq!(judge(DdlEffect::Repeatable, same, (Some("a"), Some("other"))), IntentVerdict::Again);
        assert_eq!(judge(DdlEffect::Identity, same, same), IntentVerdict::Again);
        assert_eq!(judge(DdlEffect::Identity, same, (Some("a"), Some("other"))), IntentVerdict::Done);
    }

    #[test]
    fn what_nothing_tells_stops() {
        for (before, now) in [(None, Some("id")), (Some("id"), None), (None, None)] {
            assert_eq!(judge(DdlEffect::Identity, (Some("a"), before), (Some("a"), now)), IntentVerdict::Stop);
        }
    }

    #[test]
    fn effects_are_read_as_they_are_written() {
        for effect in DdlEffect::ALL {
            assert_eq!(DdlEffect::parse(effect.as_str()), Some(effect));
        }
        assert_eq!(DdlEffect::parse("x"), None);
    }
}
