//! One column's value of a row image, with the facts of the wire kept: nothing is converted that cannot be converted
//! back. Bytes borrow from the event.

/// What the wire says. Signedness of integers, charsets, member texts of ENUM and lengths of BINARY are not on the wire
/// (or only optionally): whoever renders a value applies the tracked structure.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    /// TINYINT … BIGINT, sign-extended from `width` bytes. An unsigned column re-casts: `(v as u64) & mask(width)`.
    Int {
        value: i64,
        width: u8,
    },
    Float(f32),
    Double(f64),
    /// The text of the packed form, scale zeros kept (`-12.340`).
    Decimal(DecimalText),
    /// Big-endian bytes of BIT(n).
    Bit(&'a [u8]),
    /// 0 stands for the year 0000.
    Year(u16),
    /// Fields raw: may be zero, partial or an invalid day.
    Date {
        year: u16,
        month: u8,
        day: u8,
    },
    /// `hours` up to 838.
    Time {
        negative: bool,
        hours: u16,
        minutes: u8,
        seconds: u8,
        micros: u32,
        fsp: u8,
    },
    DateTime {
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
        micros: u32,
        fsp: u8,
    },
    /// Seconds since the epoch, UTC; `seconds == 0 && micros == 0` is the zero timestamp.
    Timestamp {
        seconds: u32,
        micros: u32,
        fsp: u8,
    },
    /// Member number, 0 = the error value ''.
    Enum(u16),
    /// Member bitmap.
    Set(u64),
    /// CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB, UUID, INET, in the column's charset; trailing pad bytes of
    /// CHAR and BINARY are cut off by the server.
    Bytes(&'a [u8]),
    /// MySQL's binary JSON; `dm_binlog::json::to_text` renders it. An empty slice is SQL-invalid JSON, seen in old
    /// servers for NULL-less columns filled by ALTER; rendered as `null`.
    Json(&'a [u8]),
    /// JSON after a partial update was applied, or any value that had to be unpacked (MariaDB compressed columns).
    OwnedBytes(Vec<u8>),
    OwnedJsonText(String),
    /// SRID (4 bytes little endian) and WKB.
    Geometry(&'a [u8]),
    /// Little-endian f32s.
    Vector(&'a [u8]),
}

/// A decimal number's text without heap: at most 65 digits, sign and point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DecimalText {
    bytes: [u8; 72],
    len: u8,
}

impl DecimalText {
    /// The longest text: sign, 65 digits, a leading zero and the point.
    pub const MAX_BYTES: usize = 72;

    /// Starts an empty text.
    pub fn new() -> Self {
        Self { bytes: [0; Self::MAX_BYTES], len: 0 }
    }

    /// Adds ASCII bytes; what does not fit is refused with `false`.
    #[must_use]
    pub fn push(&mut self, text: &[u8]) -> bool {
        let len = usize::from(self.len);
        let Some(room) = self.bytes.get_mut(len..len + text.len()) else { return false };
        room.copy_from_slice(text);
        self.len += text.len() as u8;
        true
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Default for DecimalText {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for DecimalText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
