//! Walking through a binary document in place.
//!
//! A container is: number of elements, size, then (objects) an entry of offset and length per key, then an entry of type
//! and offset per value, where small scalars stand in place of the offset. Offsets count from the container's start.
//! The large form has 4 bytes where the small one has 2.

use crate::{
    Error,
    cursor::{Cursor, text},
};

#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    Scalar(Scalar<'a>),
    Container(Container<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(&'a str),
    /// A value of a column type that JSON does not have.
    Opaque {
        column_type: u8,
        data: &'a [u8],
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    bytes: &'a [u8],
    large: bool,
    pub(super) is_object: bool,
    pub(super) len: usize,
}

/// What a document may still make us do. Each element has its own entry in an honest document, and each text its own
/// bytes; one that points to the same bytes again and again runs out of budget.
pub(super) struct Budget {
    nodes: usize,
    bytes: usize,
}

const CORRUPT: Error = Error::Corrupt { what: "a JSON document" };

impl Budget {
    pub(super) fn of(document: &[u8]) -> Self {
        Self { nodes: document.len() + 1, bytes: document.len() }
    }

    pub(super) fn node(&mut self) -> Result<(), Error> {
        self.nodes = self.nodes.checked_sub(1).ok_or(CORRUPT)?;
        Ok(())
    }

    pub(super) fn bytes(&mut self, n: usize) -> Result<(), Error> {
        self.bytes = self.bytes.checked_sub(n).ok_or(CORRUPT)?;
        Ok(())
    }
}

pub(super) fn read(document: &[u8]) -> Result<Node<'_>, Error> {
    match document.split_first() {
        None => Ok(Node::Scalar(Scalar::Null)),
        Some((kind, bytes)) => read_kind(*kind, bytes),
    }
}

fn read_kind(kind: u8, bytes: &[u8]) -> Result<Node<'_>, Error> {
    let what = "a JSON value";
    let mut cursor = Cursor::new(bytes);
    Ok(Node::Scalar(match kind {
        0..=3 => return Container::read(bytes, kind & 1 != 0, kind < 2).map(Node::Container),
        4 => literal(cursor.u8(what)?)?,
        5 => Scalar::Int(i64::from(cursor.u16(what)? as i16)),
        6 => Scalar::UInt(u64::from(cursor.u16(what)?)),
        7 => Scalar::Int(i64::from(cursor.u32(what)? as i32)),
        8 => Scalar::UInt(u64::from(cursor.u32(what)?)),
        9 => Scalar::Int(cursor.u64(what)? as i64),
        10 => Scalar::UInt(cursor.u64(what)?),
        11 => {
            let value = f64::from_bits(cursor.u64(what)?);
            if !value.is_finite() {
                return Err(CORRUPT);
            }
            Scalar::Double(value)
        }
        12 => {
            let len = data_len(&mut cursor)?;
            Scalar::String(text(cursor.take(len, what)?, "a JSON string is not UTF-8")?)
        }
        15 => {
            let column_type = cursor.u8(what)?;
            let len = data_len(&mut cursor)?;
            Scalar::Opaque { column_type, data: cursor.take(len, what)? }
        }
        _ => return Err(Error::Corrupt { what: "the type of a JSON value" }),
    }))
}

fn literal(byte: u8) -> Result<Scalar<'static>, Error> {
    match byte {
        0 => Ok(Scalar::Null),
        1 => Ok(Scalar::Bool(true)),
        2 => Ok(Scalar::Bool(false)),
        _ => Err(Error::Corrupt { what: "a JSON literal" }),
    }
}

/// Seven bits to a byte, low ones first, at most five bytes.
fn data_len(cursor: &mut Cursor<'_>) -> Result<usize, Error> {
    let mut len = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = cursor.u8("a length in a JSON document")?;
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(len).map_err(|_| CORRUPT);
        }
    }
    Err(CORRUPT)
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8], large: bool, is_object: bool) -> Result<Self, Error> {
        let what = "a JSON object or array";
        let width = if large { 4 } else { 2 };
        let mut cursor = Cursor::new(bytes);
        let len = cursor.uint_le(width, what)? as usize;
        let size = cursor.uint_le(width, what)? as usize;
        let bytes = bytes.get(..size).ok_or(Error::Truncated { what })?;
        let container = Self { bytes, large, is_object, len };
        let entries = len.checked_mul(container.value_entry_bytes() + container.key_entry_bytes());
        match entries.and_then(|entries| entries.checked_add(2 * width)) {
            Some(needed) if needed <= size => Ok(container),
            Some(_) | None => Err(CORRUPT),
        }
    }

    fn width(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    fn key_entry_bytes(&self) -> usize {
        if self.is_object { self.width() + 2 } else { 0 }
    }

    fn value_entry_bytes(&self) -> usize {
        1 + self.width()
    }

    fn at(&self, offset: usize) -> Result<Cursor<'a>, Error> {
        self.bytes.get(offset..).map(Cursor::new).ok_or(CORRUPT)
    }

    /// The key of member `index < len` of an object.
    pub(super) fn key(&self, index: usize) -> Result<&'a str, Error> {
        let what = "a key of a JSON object";
        let mut entry = self.at(2 * self.width() + index * self.key_entry_bytes())?;
        let offset = entry.uint_le(self.width(), what)? as usize;
        let len = entry.u16(what)?;
        text(self.at(offset)?.take(usize::from(len), what)?, "a key of a JSON object is not UTF-8")
    }

    /// The value of element `index < len`.
    pub(super) fn value(&self, index: usize) -> Result<Node<'a>, Error> {
        let what = "an entry of a JSON object or array";
        let entries = 2 * self.width() + self.len * self.key_entry_bytes();
        let mut entry = self.at(entries + index * self.value_entry_bytes())?;
        let kind = entry.u8(what)?;
        // Literals and short integers stand in the entry, four-byte integers only in the large form.
        let inline = matches!(kind, 4..=6) || (self.large && matches!(kind, 7 | 8));
        if inline {
            return read_kind(kind, entry.take(self.width(), what)?);
        }
        let offset = entry.uint_le(self.width(), what)? as usize;
        read_kind(kind, self.at(offset)?.rest())
    }
}
