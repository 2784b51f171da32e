//! Rows events: which rows of which table changed, and their values.
//!
//! Values borrow from the event; reading a row allocates nothing once the caller's vectors have grown. Images that lack
//! columns are refused: a missing column is not a NULL.

mod compressed;
mod decimal;
mod partial;
mod plan;
mod reader;
mod temporal;

use std::borrow::Cow;

pub(crate) use decimal::read_decimal;
pub use plan::Plan;
pub use reader::RowReader;

use crate::{Error, cursor::Cursor, event::Context, frame::EventType, payload};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    /// Rows have an after image.
    Insert,
    /// Rows have both images.
    Update,
    /// Rows have a before image.
    Delete,
}

/// One rows event; the rows of a statement may be spread over several.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    pub kind: RowsKind,
    pub table_id: u64,
    pub flags: u16,
    /// Columns of the table, logged or not.
    pub n_columns: usize,
    before: Option<Present<'a>>,
    after: Option<Present<'a>>,
    /// JSON values of after images may be differences to the before image.
    partial_json: bool,
    data: Cow<'a, [u8]>,
    unpacked_bytes: u64,
}

/// Which columns an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    bitmap: &'a [u8],
    n_columns: usize,
}

impl Present<'_> {
    pub fn contains(&self, column: usize) -> bool {
        column < self.n_columns && self.bitmap.get(column / 8).is_some_and(|byte| byte & (1 << (column % 8)) != 0)
    }

    pub fn is_full(&self) -> bool {
        self.first_missing().is_none()
    }

    fn first_missing(&self) -> Option<usize> {
        (0..self.n_columns).find(|column| !self.contains(*column))
    }
}

impl<'a> Rows<'a> {
    /// The last event of its statement: table maps end here.
    pub const FLAG_STATEMENT_END: u16 = 0x01;
    pub const FLAG_NO_FOREIGN_KEY_CHECKS: u16 = 0x02;
    pub const FLAG_RELAXED_UNIQUE_CHECKS: u16 = 0x04;
    /// The table id of an event without rows, written only to end a statement.
    pub const DUMMY_TABLE_ID: u64 = 0x00ff_ffff;

    /// `None`: the number is not a rows event's.
    pub(crate) fn read(
        event_type: EventType,
        mut cursor: Cursor<'a>,
        context: &Context,
    ) -> Result<Option<Self>, Error> {
        use RowsKind::{Delete, Insert, Update};
        let what = "a rows event";
        let (kind, version, compressed) = match event_type {
            EventType::WRITE_ROWS_V1 => (Insert, 1, false),
            EventType::UPDATE_ROWS_V1 => (Update, 1, false),
            EventType::DELETE_ROWS_V1 => (Delete, 1, false),
            EventType::WRITE_ROWS => (Insert, 2, false),
            EventType::UPDATE_ROWS | EventType::PARTIAL_UPDATE_ROWS => (Update, 2, false),
            EventType::DELETE_ROWS => (Delete, 2, false),
            EventType::WRITE_ROWS_COMPRESSED_V1 => (Insert, 1, true),
            EventType::UPDATE_ROWS_COMPRESSED_V1 => (Update, 1, true),
            EventType::DELETE_ROWS_COMPRESSED_V1 => (Delete, 1, true),
            EventType::WRITE_ROWS_COMPRESSED => (Insert, 2, true),
            EventType::UPDATE_ROWS_COMPRESSED => (Update, 2, true),
            EventType::DELETE_ROWS_COMPRESSED => (Delete, 2, true),
            _ => return Ok(None),
        };
        let short_id = version == 1 && context.rows_v1_short_ids;
        let table_id = cursor.uint_le(if short_id { 4 } else { 6 }, what)?;
        let flags = cursor.u16(what)?;
        if version == 2 {
            // NDB's and partitioning's extra data, with a length that counts itself.
            let len = usize::from(cursor.u16(what)?).checked_sub(2);
            cursor.take(len.ok_or(Error::Corrupt { what: "the extra data of a rows event" })?, what)?;
        }
        let n_columns = cursor.packed_len(what)?;
        let present = |cursor: &mut Cursor<'a>| -> Result<Present<'a>, Error> {
            Ok(Present { bitmap: cursor.take(n_columns.div_ceil(8), what)?, n_columns })
        };
        let (before, after) = match kind {
            Insert => (None, Some(present(&mut cursor)?)),
            Update => (Some(present(&mut cursor)?), Some(present(&mut cursor)?)),
            Delete => (Some(present(&mut cursor)?), None),
        };
        let data = cursor.take_rest();
        let unpacked_bytes = context.limits.unpacked_bytes;
        let data = if compressed && !data.is_empty() {
            Cow::Owned(payload::unpack_mariadb(data, "a compressed rows event", unpacked_bytes)?)
        } else {
            Cow::Borrowed(data)
        };
        let partial_json = event_type == EventType::PARTIAL_UPDATE_ROWS;
        Ok(Some(Self { kind, table_id, flags, n_columns, before, after, partial_json, data, unpacked_bytes }))
    }

    pub fn is_statement_end(&self) -> bool {
        self.flags & Self::FLAG_STATEMENT_END != 0
    }

    /// No rows and no table: only ends a statement.
    pub fn is_dummy(&self) -> bool {
        self.table_id == Self::DUMMY_TABLE_ID && self.is_statement_end() && self.n_columns == 0
    }

    pub fn before_present(&self) -> Option<Present<'a>> {
        self.before
    }

    pub fn after_present(&self) -> Option<Present<'a>> {
        self.after
    }

    /// False under `binlog_row_image=MINIMAL` or `NOBLOB` for events that leave columns out.
    pub fn image_is_full(&self) -> bool {
        [self.before, self.after].iter().flatten().all(Present::is_full)
    }

    /// Bytes of all images, unpacked: a measure of the event's weight in memory.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// Starts to read the rows by the plan of the table map with this event's table id.
    ///
    /// Fails if the widths differ or an image lacks columns ([`Error::PartialImage`]).
    pub fn reader<'r>(&'r self, plan: &'r Plan) -> Result<RowReader<'r>, Error> {
        if self.n_columns != plan.n_columns() {
            return Err(Error::Width { expected: plan.n_columns(), found: self.n_columns });
        }
        if let Some(column) = [self.before, self.after].iter().flatten().find_map(Present::first_missing) {
            return Err(Error::PartialImage { column });
        }
        Ok(RowReader::new(plan, self.kind, self.partial_json, &self.data, self.unpacked_bytes))
    }
}
