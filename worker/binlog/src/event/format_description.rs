//! The first event of every file: who wrote it, and in which dialect.

use crate::{
    Error,
    cursor::{Cursor, text},
    frame::{self, CHECKSUM_BYTES, ChecksumAlgorithm, EventType, Header},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatDescription<'a> {
    /// 4 in every file that can be read.
    pub binlog_version: u16,
    pub server_version: &'a str,
    /// When the server started, if this is the first file after a start; else 0.
    pub created: u32,
    pub checksum: ChecksumAlgorithm,
    post_header_lengths: &'a [u8],
}

impl<'a> FormatDescription<'a> {
    const VERSION_BYTES: usize = 50;

    /// Reads and verifies a whole raw event. Its checksum bytes are there even if the file's other events have none.
    pub(crate) fn read(header: &Header, raw: &'a [u8]) -> Result<Self, Error> {
        let what = "the format description";
        let mut cursor = Cursor::new(raw);
        cursor.take(Header::BYTES, what)?;
        let binlog_version = cursor.u16(what)?;
        if binlog_version != 4 {
            return Err(Error::Corrupt { what: "the binlog version is not 4" });
        }
        let version = cursor.take(Self::VERSION_BYTES, what)?;
        let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = text(version, "the server version is not text")?;
        let created = cursor.u32(what)?;
        if usize::from(cursor.u8(what)?) != Header::BYTES {
            return Err(Error::Corrupt { what: "the header length is not 19" });
        }
        let rest = cursor.take_rest();
        let (post_header_lengths, checksum) = if has_checksum_byte(server_version) {
            let (before, _) = rest.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Error::Truncated { what })?;
            let (algorithm, lengths) = before.split_last().ok_or(Error::Truncated { what })?;
            let algorithm = ChecksumAlgorithm::of(*algorithm)?;
            if algorithm == ChecksumAlgorithm::Crc32 {
                frame::verify(header, raw)?;
            }
            (lengths, algorithm)
        } else {
            (rest, ChecksumAlgorithm::None)
        };
        Ok(Self { binlog_version, server_version, created, checksum, post_header_lengths })
    }

    /// Bytes of the fixed part of a type's body; `None` for types the server does not know.
    pub fn post_header_len(&self, event_type: EventType) -> Option<u8> {
        let index = usize::from(event_type.0).checked_sub(1)?;
        self.post_header_lengths.get(index).copied()
    }

    pub fn is_mariadb(&self) -> bool {
        self.server_version.to_ascii_lowercase().contains("mariadb")
    }
}

/// Checksums came with MySQL 5.6.1 and MariaDB 5.3.
fn has_checksum_byte(server_version: &str) -> bool {
    let mut parts = server_version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    let first = if server_version.to_ascii_lowercase().contains("mariadb") { (5, 3, 0) } else { (5, 6, 1) };
    version >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_byte_by_server_version() {
        for (version, expected) in [
            ("5.5.62-log", false),
            ("5.6.0-m4", false),
            ("5.6.1", true),
            ("8.0.36", true),
            ("9.7.4", true),
            ("5.5.64-MariaDB", true),
            ("10.11.18-MariaDB-0+deb12u1-log", true),
            ("", false),
        ] {
            assert_eq!(has_checksum_byte(version), expected, "{version}");
        }
    }
}
