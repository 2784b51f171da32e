//! Values of MariaDB's `COMPRESSED` columns.
//!
//! One byte: method in the high half (0 = stored, 8 = deflate), bit 3 = no zlib header, low three bits = bytes of the
//! length that follows, big-endian; then the packed bytes. An empty value has not even that byte.

use super::plan::Reason;
use crate::{cursor::Cursor, payload, value::Value};

pub(super) fn unpack(packed: &[u8], limit: u64) -> Result<Value<'_>, Reason> {
    const STORED: u8 = 0;
    const DEFLATE: u8 = 8;
    let Some((head, body)) = packed.split_first() else { return Ok(Value::Bytes(&[])) };
    match head >> 4 {
        STORED => Ok(Value::Bytes(body)),
        DEFLATE => {
            let mut cursor = Cursor::new(body);
            let size = cursor.get_uint_be(usize::from(head & 7)).ok_or("its length is cut off")?;
            let what = "a compressed value";
            let unpacked = if head & 8 != 0 {
                payload::unpack(flate2::read::DeflateDecoder::new(cursor.rest()), size, what, limit)
            } else {
                payload::unpack(flate2::read::ZlibDecoder::new(cursor.rest()), size, what, limit)
            };
            unpacked.map(Value::OwnedBytes).map_err(|_| "it cannot be decompressed")
        }
        _ => Err("its compression method is unknown"),
    }
}
