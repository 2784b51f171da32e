//! Events that set up a session for a statement in statement format: INSERT_ID, RAND(), user variables.

use crate::{Error, cursor::Cursor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntvarKind {
    LastInsertId,
    InsertId,
    Other(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intvar {
    pub kind: IntvarKind,
    pub value: u64,
}

impl Intvar {
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Self, Error> {
        let what = "an integer variable event";
        let kind = match cursor.u8(what)? {
            1 => IntvarKind::LastInsertId,
            2 => IntvarKind::InsertId,
            other => IntvarKind::Other(other),
        };
        Ok(Self { kind, value: cursor.u64(what)? })
    }
}

/// The two seeds of RAND().
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rand {
    pub seed1: u64,
    pub seed2: u64,
}

impl Rand {
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Self, Error> {
        let what = "a random seed event";
        Ok(Self { seed1: cursor.u64(what)?, seed2: cursor.u64(what)? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserVar<'a> {
    pub name: &'a [u8],
    /// `None` for NULL.
    pub value: Option<UserVarValue<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserVarValue<'a> {
    /// 0 string, 1 real, 2 integer, 4 decimal.
    pub value_type: u8,
    /// Collation number.
    pub collation: u32,
    pub bytes: &'a [u8],
    pub unsigned: bool,
}

impl<'a> UserVar<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let what = "a user variable event";
        let len = cursor.u32(what)?;
        let name = cursor.take(len as usize, what)?;
        if cursor.u8(what)? != 0 {
            return Ok(Self { name, value: None });
        }
        let value_type = cursor.u8(what)?;
        let collation = cursor.u32(what)?;
        let len = cursor.u32(what)?;
        let bytes = cursor.take(len as usize, what)?;
        // Servers before 5.1.49 wrote no flags.
        let unsigned = cursor.get(1).is_some_and(|flags| flags[0] & 1 != 0);
        Ok(Self { name, value: Some(UserVarValue { value_type, collation, bytes, unsigned }) })
    }
}
