//! LOAD DATA in statement format: blocks of a file, then the statement that uses them.

use crate::{Error, cursor::Cursor, event::Query};

/// A block of a file that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendBlock<'a> {
    pub file_id: u32,
    pub data: &'a [u8],
}

impl<'a> AppendBlock<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let file_id = cursor.u32("a block of a loaded file")?;
        Ok(Self { file_id, data: cursor.take_rest() })
    }
}

/// The statement; `name_start..name_end` of its text is to be replaced by the name of the file put together.
#[derive(Debug, Clone)]
pub struct ExecuteLoadQuery<'a> {
    pub query: Query<'a>,
    pub file_id: u32,
    pub name_start: u32,
    pub name_end: u32,
    /// 0 error, 1 ignore, 2 replace.
    pub duplicates: u8,
}

impl<'a> ExecuteLoadQuery<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let what = "an execute load query event";
        let head = Query::read_head(&mut cursor)?;
        let file_id = cursor.u32(what)?;
        let name_start = cursor.u32(what)?;
        let name_end = cursor.u32(what)?;
        let duplicates = cursor.u8(what)?;
        Ok(Self { query: Query::read_tail(head, cursor)?, file_id, name_start, name_end, duplicates })
    }
}
