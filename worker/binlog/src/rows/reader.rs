//! Walking over the rows of an event.

use super::{
    Plan, RowsKind, partial,
    plan::{Reason, SHORT, read_value},
};
use crate::{Error, cursor::Cursor, value::Value};

/// Reads row after row into vectors that the caller keeps.
#[derive(Debug, Clone)]
pub struct RowReader<'r> {
    plan: &'r Plan,
    kind: RowsKind,
    partial_json: bool,
    cursor: Cursor<'r>,
    unpacked_bytes: u64,
}

impl<'r> RowReader<'r> {
    pub(super) fn new(plan: &'r Plan, kind: RowsKind, partial_json: bool, data: &'r [u8], unpacked_bytes: u64) -> Self {
        Self { plan, kind, partial_json, cursor: Cursor::new(data), unpacked_bytes }
    }

    /// Reads the next row and says whether there was one. Both vectors are cleared first; `before` stays empty for
    /// inserts and `after` for deletes. After an error reading must not go on.
    pub fn next(&mut self, before: &mut Vec<Value<'r>>, after: &mut Vec<Value<'r>>) -> Result<bool, Error> {
        before.clear();
        after.clear();
        if self.cursor.is_empty() {
            return Ok(false);
        }
        match self.kind {
            RowsKind::Insert => self.image(after)?,
            RowsKind::Delete => self.image(before)?,
            RowsKind::Update => {
                self.image(before)?;
                if self.partial_json {
                    partial::read_after_image(self.plan, &mut self.cursor, before, after, self.unpacked_bytes)?;
                } else {
                    self.image(after)?;
                }
            }
        }
        Ok(true)
    }

    /// Bytes of the rows not read yet.
    pub fn remaining_bytes(&self) -> usize {
        self.cursor.len()
    }

    #[inline]
    fn image(&mut self, values: &mut Vec<Value<'r>>) -> Result<(), Error> {
        let columns = self.plan.columns();
        if columns.is_empty() {
            return Err(Error::Corrupt { what: "a rows event has rows of no columns" });
        }
        let nulls = self.cursor.take(columns.len().div_ceil(8), "the NULL bits of a row")?;
        values.reserve(columns.len());
        // A local copy of the cursor stays in registers.
        let mut cursor = self.cursor;
        for (index, column) in columns.iter().enumerate() {
            let value = if bit(nulls, index) {
                Value::Null
            } else {
                read_value(*column, &mut cursor, self.unpacked_bytes).map_err(|reason| failed(index, reason))?
            };
            values.push(value);
        }
        self.cursor = cursor;
        Ok(())
    }
}

pub(super) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}

#[cold]
pub(super) fn failed(column: usize, reason: Reason) -> Error {
    if reason == SHORT { Error::Truncated { what: "a value of a row" } } else { Error::Value { column, reason } }
}
