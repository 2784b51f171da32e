//! The frame of an event: the 19-byte header, the body and the checksum behind it.
//!
//! Also the event types by number and the arithmetic of positions. Bodies are not read here.

use std::fmt;

use crate::{Error, cursor::Cursor};

/// Which checksum stands behind each event of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    None,
    Crc32,
}

impl ChecksumAlgorithm {
    pub(crate) fn of(byte: u8) -> Result<Self, Error> {
        match byte {
            0 => Ok(Self::None),
            1 => Ok(Self::Crc32),
            algorithm => Err(Error::ChecksumAlgorithm { algorithm }),
        }
    }
}

/// The first bytes of every binlog file that is not encrypted; the first event follows.
pub const FILE_MAGIC: [u8; 4] = *b"\xfebin";

/// Bytes of a checksum.
pub const CHECKSUM_BYTES: usize = 4;

macro_rules! event_types {
    ($($name:ident = $number:literal,)*) => {
        impl EventType {
            $(pub const $name: Self = Self($number);)*

            /// The name servers and `mysqlbinlog` use, or `None` for a number no server we know writes.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

/// The type byte of a header. A newtype and not an enum: any number may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u8);

event_types! {
    START_V3 = 1,
    QUERY = 2,
    STOP = 3,
    ROTATE = 4,
    INTVAR = 5,
    SLAVE = 7,
    APPEND_BLOCK = 9,
    DELETE_FILE = 11,
    RAND = 13,
    USER_VAR = 14,
    FORMAT_DESCRIPTION = 15,
    XID = 16,
    BEGIN_LOAD_QUERY = 17,
    EXECUTE_LOAD_QUERY = 18,
    TABLE_MAP = 19,
    WRITE_ROWS_V1 = 23,
    UPDATE_ROWS_V1 = 24,
    DELETE_ROWS_V1 = 25,
    INCIDENT = 26,
    HEARTBEAT = 27,
    IGNORABLE = 28,
    ROWS_QUERY = 29,
    WRITE_ROWS = 30,
    UPDATE_ROWS = 31,
    DELETE_ROWS = 32,
    GTID = 33,
    ANONYMOUS_GTID = 34,
    PREVIOUS_GTIDS = 35,
    TRANSACTION_CONTEXT = 36,
    VIEW_CHANGE = 37,
    XA_PREPARE = 38,
    PARTIAL_UPDATE_ROWS = 39,
    TRANSACTION_PAYLOAD = 40,
    HEARTBEAT_V2 = 41,
    GTID_TAGGED = 42,
    ANNOTATE_ROWS = 160,
    BINLOG_CHECKPOINT = 161,
    MARIADB_GTID = 162,
    GTID_LIST = 163,
    START_ENCRYPTION = 164,
    QUERY_COMPRESSED = 165,
    WRITE_ROWS_COMPRESSED_V1 = 166,
    UPDATE_ROWS_COMPRESSED_V1 = 167,
    DELETE_ROWS_COMPRESSED_V1 = 168,
    WRITE_ROWS_COMPRESSED = 169,
    UPDATE_ROWS_COMPRESSED = 170,
    DELETE_ROWS_COMPRESSED = 171,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

/// What stands in front of every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970 UTC at which the statement began on the server it ran on first. 0 in artificial events.
    pub timestamp: u32,
    pub event_type: EventType,
    /// The server the event comes from originally.
    pub server_id: u32,
    /// Header, body and checksum.
    pub event_size: u32,
    /// Low 32 bits of the offset behind the event in its file; 0 in artificial events. See [`Header::end_offset`].
    pub log_pos: u32,
    pub flags: u16,
}

impl Header {
    pub const BYTES: usize = 19;
    /// The file is open for writing (format descriptions only); not covered by the checksum.
    pub const FLAG_IN_USE: u16 = 0x01;
    /// The statement used temporary tables.
    pub const FLAG_THREAD_SPECIFIC: u16 = 0x04;
    /// No `USE` is needed before the statement.
    pub const FLAG_SUPPRESS_USE: u16 = 0x08;
    /// Made up by the sending server, not in its binlog: never moves a position.
    pub const FLAG_ARTIFICIAL: u16 = 0x20;
    /// The event was written to a relay log.
    pub const FLAG_RELAY_LOG: u16 = 0x40;
    /// A reader that does not know the type may skip the event.
    pub const FLAG_IGNORABLE: u16 = 0x80;
    /// MariaDB: the event must not be replicated further.
    pub const FLAG_SKIP_REPLICATION: u16 = 0x8000;

    /// Reads the header at the front of `raw`; what follows is not looked at.
    pub fn read(raw: &[u8]) -> Result<Self, Error> {
        let what = "the event header";
        let mut cursor = Cursor::new(raw);
        let header = Self {
            timestamp: cursor.u32(what)?,
            event_type: EventType(cursor.u8(what)?),
            server_id: cursor.u32(what)?,
            event_size: cursor.u32(what)?,
            log_pos: cursor.u32(what)?,
            flags: cursor.u16(what)?,
        };
        if (header.event_size as usize) < Self::BYTES {
            return Err(Error::Corrupt { what: "the event size is smaller than a header" });
        }
        Ok(header)
    }

    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[4] = self.event_type.0;
        bytes[5..9].copy_from_slice(&self.server_id.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.event_size.to_le_bytes());
        bytes[13..17].copy_from_slice(&self.log_pos.to_le_bytes());
        bytes[17..19].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }

    pub fn is_artificial(&self) -> bool {
        self.flags & Self::FLAG_ARTIFICIAL != 0
    }

    pub fn is_ignorable(&self) -> bool {
        self.flags & Self::FLAG_IGNORABLE != 0
    }

    /// The 64-bit offset behind this event, when the event before it in the same file ended at `previous_end`: the
    /// header has the low 32 bits only, and files grow over 4 GiB. `previous_end` for events without a position.
    pub fn end_offset(&self, previous_end: u64) -> u64 {
        if self.log_pos == 0 || self.is_artificial() {
            return previous_end;
        }
        let candidate = (previous_end & !u64::from(u32::MAX)) | u64::from(self.log_pos);
        // An event is smaller than 4 GiB, so at most one wrap lies between. A position a little behind the previous
        // one is a re-read, not a wrap.
        let wraps = candidate < previous_end && previous_end - candidate > u64::from(u32::MAX / 2);
        if wraps { candidate + (1 << 32) } else { candidate }
    }
}

/// Puts an event together as its server sent it, from parts that a transport library took off: `data` is the body
/// without what follows it. For a format description `algorithm` is the byte between body and checksum, for all other
/// events it is not used. The result replaces `raw`'s content.
pub fn assemble(raw: &mut Vec<u8>, header: &Header, data: &[u8], algorithm: Option<u8>, checksum: Option<[u8; 4]>) {
    raw.clear();
    raw.reserve(Header::BYTES + data.len() + 1 + CHECKSUM_BYTES);
    raw.extend_from_slice(&header.to_bytes());
    raw.extend_from_slice(data);
    if header.event_type == EventType::FORMAT_DESCRIPTION {
        raw.extend(algorithm);
    }
    raw.extend(checksum.into_iter().flatten());
}

/// How long the event at the front of `buffer` is, for readers of files; `None` if not all of it is there yet.
pub fn event_len(buffer: &[u8]) -> Result<Option<usize>, Error> {
    if buffer.len() < Header::BYTES {
        return Ok(None);
    }
    let len = Header::read(buffer)?.event_size as usize;
    Ok((len <= buffer.len()).then_some(len))
}

/// CRC32 of an event without its checksum bytes, with the in-use flag of a format description taken as not set, as
/// servers compute it.
pub(crate) fn crc32(event_type: EventType, covered: &[u8]) -> u32 {
    const FLAGS_AT: usize = 17;
    let mut hasher = crc32fast::Hasher::new();
    match covered.split_at_checked(FLAGS_AT) {
        Some((before, [flags, after @ ..])) if event_type == EventType::FORMAT_DESCRIPTION => {
            hasher.update(before);
            hasher.update(&[flags & !(Header::FLAG_IN_USE as u8)]);
            hasher.update(after);
        }
        _ => hasher.update(covered),
    }
    hasher.finalize()
}

/// Splits the checksum off and compares it.
pub(crate) fn verify<'a>(header: &Header, raw: &'a [u8]) -> Result<&'a [u8], Error> {
    let (covered, found) = raw.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Error::Truncated { what: "the checksum" })?;
    let found = u32::from_le_bytes(*found);
    let computed = crc32(header.event_type, covered);
    if found != computed {
        return Err(Error::Checksum { event_type: header.event_type.0, log_pos: header.log_pos, found, computed });
    }
    Ok(covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(log_pos: u32, flags: u16) -> Header {
        Header { timestamp: 1, event_type: EventType::QUERY, server_id: 2, event_size: 30, log_pos, flags }
    }

    #[test]
    fn header_survives_a_round_trip() {
        let header = at(77, 0x8081);
        assert_eq!(Header::read(&header.to_bytes()).unwrap(), header);
    }

    #[test]
    fn offsets_continue_beyond_four_gigabytes() {
        let gib4 = 1_u64 << 32;
        assert_eq!(at(500, 0).end_offset(4), 500);
        assert_eq!(at(100, 0).end_offset(gib4 - 50), gib4 + 100);
        assert_eq!(at(200, 0).end_offset(gib4 + 100), gib4 + 200);
        assert_eq!(at(0, 0).end_offset(gib4 + 100), gib4 + 100);
        assert_eq!(at(300, Header::FLAG_ARTIFICIAL).end_offset(gib4 + 100), gib4 + 100);
        assert_eq!(at(300, 0).end_offset(400), 300);
    }
}
