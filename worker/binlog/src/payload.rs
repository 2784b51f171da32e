//! What servers compress: MySQL's transaction payload, and MariaDB's compressed query text and rows.
//!
//! Unpacking is bounded: a small event cannot ask for more memory than the limit, and a payload is read as a stream, one
//! inner event at a time.

use std::io::{self, BufRead, Read};

use crate::{Error, Limits, cursor::Cursor, frame::Header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Zstd,
}

/// A whole transaction's events but its GTID, compressed. The inner events have no checksums and no positions: the
/// payload event's stand for them.
#[derive(Debug, Clone, Copy)]
pub struct TransactionPayload<'a> {
    pub compression: Compression,
    /// Bytes of the inner events together, as the server says.
    pub uncompressed_bytes: Option<u64>,
    data: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        const END: u64 = 0;
        const PAYLOAD_BYTES: u64 = 1;
        const COMPRESSION: u64 = 2;
        const UNCOMPRESSED_BYTES: u64 = 3;
        const ZSTD: u64 = 0;
        const NO_COMPRESSION: u64 = 255;
        let what = "a transaction payload event";
        let (mut size, mut method, mut uncompressed_bytes) = (None, None, None);
        loop {
            let field = cursor.packed(what)?;
            if field == END {
                break;
            }
            let mut value = Cursor::new(cursor.packed_bytes(what)?);
            match field {
                PAYLOAD_BYTES => size = Some(value.packed_len(what)?),
                COMPRESSION => method = Some(value.packed(what)?),
                UNCOMPRESSED_BYTES => uncompressed_bytes = Some(value.packed(what)?),
                _ => {}
            }
        }
        let compression = match method {
            Some(ZSTD) => Compression::Zstd,
            Some(NO_COMPRESSION) => Compression::None,
            Some(method) => return Err(Error::Compression { what, method }),
            None => return Err(Error::Corrupt { what: "a transaction payload does not say its compression" }),
        };
        let data = match size {
            Some(size) => cursor.take(size, what)?,
            None => cursor.take_rest(),
        };
        Ok(Self { compression, uncompressed_bytes, data })
    }

    /// Reads the inner events one by one, in order.
    pub fn events(&self, limits: Limits) -> Result<InnerEvents<'a>, Error> {
        InnerEvents::new(self.compression, Packed::Borrowed(self.data), limits)
    }

    /// As [`events`](Self::events), with a copy of the packed bytes: the event itself may go.
    pub fn detach(&self, limits: Limits) -> Result<InnerEvents<'static>, Error> {
        InnerEvents::new(self.compression, Packed::Owned(io::Cursor::new(self.data.to_vec())), limits)
    }
}

const PAYLOAD: &str = "a transaction payload";

enum Source<'a> {
    Plain(Packed<'a>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Packed<'a>>>),
}

/// The bytes as sent.
enum Packed<'a> {
    Borrowed(&'a [u8]),
    Owned(io::Cursor<Vec<u8>>),
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Borrowed(bytes) => bytes.read(buffer),
            Self::Owned(bytes) => bytes.read(buffer),
        }
    }
}

impl BufRead for Packed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Borrowed(bytes) => bytes.fill_buf(),
            Self::Owned(bytes) => bytes.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        match self {
            Self::Borrowed(bytes) => bytes.consume(n),
            Self::Owned(bytes) => bytes.consume(n),
        }
    }
}

/// The raw inner events; each is to be given to [`crate::Decoder::decode_inner`].
pub struct InnerEvents<'a> {
    source: Source<'a>,
    raw: Vec<u8>,
    limit: u64,
}

impl std::fmt::Debug for InnerEvents<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InnerEvents").finish_non_exhaustive()
    }
}

impl<'a> InnerEvents<'a> {
    fn new(compression: Compression, packed: Packed<'a>, limits: Limits) -> Result<Self, Error> {
        let source = match compression {
            Compression::None => Source::Plain(packed),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(packed);
                Source::Zstd(Box::new(decoder.map_err(|source| Error::Decompress { what: PAYLOAD, source })?))
            }
        };
        Ok(Self { source, raw: Vec::new(), limit: limits.unpacked_bytes })
    }

    /// The next event's bytes (header and body), or `None` behind the last one. The bytes are good until the next call.
    pub fn next_raw(&mut self) -> Result<Option<&[u8]>, Error> {
        self.raw.clear();
        let got = self.fill(Header::BYTES as u64)?;
        if got == 0 {
            return Ok(None);
        }
        let header = Header::read(&self.raw)?;
        let size = u64::from(header.event_size);
        if size > self.limit {
            return Err(Error::TooLarge { what: "an event inside a transaction payload", size, limit: self.limit });
        }
        let body = size - Header::BYTES as u64;
        if self.fill(body)? < body {
            return Err(Error::Truncated { what: "a transaction payload" });
        }
        Ok(Some(&self.raw))
    }

    /// Appends up to `n` bytes; memory grows with what is really there, not with what a header claims.
    fn fill(&mut self, n: u64) -> Result<u64, Error> {
        let result = match &mut self.source {
            Source::Plain(data) => data.by_ref().take(n).read_to_end(&mut self.raw),
            Source::Zstd(decoder) => decoder.take(n).read_to_end(&mut self.raw),
        };
        result.map(|n| n as u64).map_err(|source| Error::Decompress { what: PAYLOAD, source })
    }
}

/// Unpacks MariaDB's compressed rows or query text: one byte of mark (0x80), method (3 bits) and length of the length
/// (4 bits), the unpacked length big-endian, the packed bytes.
pub(crate) fn unpack_mariadb(packed: &[u8], what: &'static str, limit: u64) -> Result<Vec<u8>, Error> {
    const MARK: u8 = 0x80;
    const ZLIB: u8 = 0;
    let mut cursor = Cursor::new(packed);
    let head = cursor.u8(what)?;
    if head & MARK == 0 {
        return Err(Error::Corrupt { what });
    }
    let method = (head & 0x70) >> 4;
    if method != ZLIB {
        return Err(Error::Compression { what, method: u64::from(method) });
    }
    let n = usize::from(head & 0x07);
    let size = cursor.get_uint_be(n).ok_or(Error::Truncated { what })?;
    unpack(flate2::read::ZlibDecoder::new(cursor.rest()), size, what, limit)
}

/// Reads exactly `size` bytes and expects no more.
pub(crate) fn unpack(reader: impl Read, size: u64, what: &'static str, limit: u64) -> Result<Vec<u8>, Error> {
    if size > limit {
        return Err(Error::TooLarge { what, size, limit });
    }
    let mut unpacked = Vec::new();
    reader.take(size + 1).read_to_end(&mut unpacked).map_err(|source| Error::Decompress { what, source })?;
    if unpacked.len() as u64 != size {
        return Err(Error::Corrupt { what });
    }
    Ok(unpacked)
}
