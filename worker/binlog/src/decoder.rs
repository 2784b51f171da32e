//! The decoder: raw events in the order of a file or stream to [`Event`]s.
//!
//! Remembers only what the last format description said (checksum, post-header lengths). A failed call leaves it as
//! it was.

use dm_model::Flavor;

use crate::{
    Error,
    cursor::Cursor,
    event::{self, Body, Event, FormatDescription},
    frame::{self, ChecksumAlgorithm, EventType, Header},
};

/// How much memory one event may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event as sent. Servers write at most `max_allowed_packet`, which is 1 GiB at most.
    pub event_bytes: u64,
    /// Bytes of one unpacked part: rows of a compressed rows event, one inner event of a payload, one column.
    pub unpacked_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { event_bytes: 2 << 30, unpacked_bytes: 2 << 30 }
    }
}

/// Decodes the events of one stream. Feed it every event in order, format descriptions included.
#[derive(Debug, Clone)]
pub struct Decoder {
    flavor: Flavor,
    limits: Limits,
    format: Option<Format>,
}

/// What a format description decides for the events behind it.
#[derive(Debug, Clone)]
struct Format {
    checksum: ChecksumAlgorithm,
    /// Rows and table maps of very old servers have table ids of 4 bytes; told by a post-header of 6.
    table_map_short_ids: bool,
    rows_v1_short_ids: bool,
}

impl Decoder {
    pub fn new(flavor: Flavor) -> Self {
        Self { flavor, limits: Limits::default(), format: None }
    }

    pub fn with_limits(flavor: Flavor, limits: Limits) -> Self {
        Self { flavor, limits, format: None }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What stands behind each event; `None` before the first format description.
    pub fn checksum(&self) -> Option<ChecksumAlgorithm> {
        self.format.as_ref().map(|format| format.checksum)
    }

    /// Decodes one event: `raw` is header, body and checksum (if the stream has checksums), exactly as the server sends
    /// it behind the OK byte or as it stands in a file.
    ///
    /// Before the first format description only a rotate event (which servers send first) can be told to have a
    /// checksum or not; any other event is taken to have none.
    pub fn decode<'a>(&mut self, raw: &'a [u8]) -> Result<Event<'a>, Error> {
        let header = Header::read(raw)?;
        if raw.len() as u64 > self.limits.event_bytes {
            let (size, limit) = (raw.len() as u64, self.limits.event_bytes);
            return Err(Error::TooLarge { what: "a binlog event", size, limit });
        }
        if header.event_size as usize != raw.len() {
            return Err(if raw.len() < header.event_size as usize {
                Error::Truncated { what: "its declared size" }
            } else {
                Error::Corrupt { what: "more bytes follow than the event size says" }
            });
        }
        if header.event_type == EventType::FORMAT_DESCRIPTION {
            let description = FormatDescription::read(&header, raw)?;
            self.format = Some(Format {
                checksum: description.checksum,
                table_map_short_ids: description.post_header_len(EventType::TABLE_MAP) == Some(6),
                rows_v1_short_ids: description.post_header_len(EventType::WRITE_ROWS_V1) == Some(6),
            });
            return Ok(Event { header, body: Body::FormatDescription(description) });
        }
        let covered = match self.checksum() {
            Some(ChecksumAlgorithm::Crc32) => frame::verify(&header, raw)?,
            Some(ChecksumAlgorithm::None) => raw,
            None if header.event_type == EventType::ROTATE => frame::verify(&header, raw).unwrap_or(raw),
            None => raw,
        };
        self.body(header, covered)
    }

    /// Decodes an inner event of a transaction payload: no checksum of its own, and its position is the payload
    /// event's.
    pub fn decode_inner<'a>(&self, raw: &'a [u8], payload: &Header) -> Result<Event<'a>, Error> {
        let mut header = Header::read(raw)?;
        if header.event_size as usize != raw.len() {
            return Err(Error::Corrupt { what: "the size of an event inside a transaction payload" });
        }
        header.log_pos = payload.log_pos;
        if matches!(header.event_type, EventType::FORMAT_DESCRIPTION | EventType::TRANSACTION_PAYLOAD) {
            return Err(Error::Corrupt { what: "an event inside a transaction payload that cannot be there" });
        }
        self.body(header, raw)
    }

    fn body<'a>(&self, header: Header, covered: &'a [u8]) -> Result<Event<'a>, Error> {
        let mut cursor = Cursor::new(covered);
        cursor.take(Header::BYTES, "the event header")?;
        let context = event::Context {
            flavor: self.flavor,
            limits: self.limits,
            table_map_short_ids: self.format.as_ref().is_some_and(|format| format.table_map_short_ids),
            rows_v1_short_ids: self.format.as_ref().is_some_and(|format| format.rows_v1_short_ids),
        };
        Ok(Event { header, body: Body::read(&header, cursor, &context)? })
    }
}

#[cfg(test)]
mod tests;
