//! After images of MySQL's partial updates: JSON values as differences to the before image.

use super::{
    Plan,
    plan::read_value,
    reader::{bit, failed},
};
use crate::{Error, cursor::Cursor, json, table_map::ColumnType, value::Value};

/// Reads the after image; values given as differences come out as whole texts.
pub(super) fn read_after_image<'r>(
    plan: &Plan,
    cursor: &mut Cursor<'r>,
    before: &[Value<'r>],
    after: &mut Vec<Value<'r>>,
    limit: u64,
) -> Result<(), Error> {
    const PARTIAL_JSON: u64 = 1;
    let what = "a partial update";
    let options = cursor.packed(what)?;
    let partial_bits = if options & PARTIAL_JSON != 0 { cursor.take(plan.n_json().div_ceil(8), what)? } else { &[] };
    let columns = plan.columns();
    if columns.is_empty() {
        return Err(Error::Corrupt { what: "a rows event has rows of no columns" });
    }
    let nulls = cursor.take(columns.len().div_ceil(8), "the NULL bits of a row")?;
    after.reserve(columns.len());
    let mut nth_json = 0;
    for (index, column) in columns.iter().enumerate() {
        let partial = if matches!(column, ColumnType::Json { .. }) {
            nth_json += 1;
            bit(partial_bits, nth_json - 1)
        } else {
            false
        };
        let value = if bit(nulls, index) {
            Value::Null
        } else if partial {
            let len = cursor.u32(what)?;
            let differences = cursor.take(len as usize, what)?;
            match before.get(index) {
                Some(Value::Json(document)) if differences.is_empty() => Value::Json(document),
                Some(Value::Json(document)) => Value::OwnedJsonText(json::apply_differences(document, differences)?),
                _ => return Err(Error::JsonDiff { reason: "the before image has no JSON value" }),
            }
        } else {
            read_value(*column, cursor, limit).map_err(|reason| failed(index, reason))?
        };
        after.push(value);
    }
    Ok(())
}
