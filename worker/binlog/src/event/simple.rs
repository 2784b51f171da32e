//! Small events: rotate, XID, XA prepare, heartbeat, incident.

use dm_model::Flavor;

use crate::{Error, cursor::Cursor, frame::Header};

/// The stream goes on in another file, or (artificial) says which file comes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotate<'a> {
    pub file: &'a [u8],
    pub position: u64,
    /// Sent at the start of a stream and at each file's start, not in any file. Such a rotate to the file the stream is
    /// in already means nothing.
    pub artificial: bool,
}

impl<'a> Rotate<'a> {
    pub(crate) fn read(header: &Header, mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let position = cursor.u64("the position of a rotate event")?;
        let artificial = header.is_artificial() || header.timestamp == 0;
        Ok(Self { position, file: cursor.take_rest(), artificial })
    }

    /// The file's name as text.
    pub fn file_name(&self) -> Result<&'a str, Error> {
        crate::cursor::text(self.file, "the file name of a rotate event is not text")
    }
}

/// A transaction of a transactional engine is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xid(pub u64);

/// An XA transaction is prepared, or committed in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// `XA COMMIT … ONE PHASE`: this event is the commit.
    pub one_phase: bool,
    pub format_id: u32,
    pub gtrid: &'a [u8],
    pub bqual: &'a [u8],
}

impl<'a> XaPrepare<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let what = "an XA prepare event";
        let one_phase = cursor.u8(what)? != 0;
        let format_id = cursor.u32(what)?;
        let gtrid_len = cursor.u32(what)?;
        let bqual_len = cursor.u32(what)?;
        let gtrid = cursor.take(gtrid_len as usize, what)?;
        let bqual = cursor.take(bqual_len as usize, what)?;
        Ok(Self { one_phase, format_id, gtrid, bqual })
    }
}

/// Nothing new; the server is at this place. Never in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    pub file: &'a [u8],
    pub position: u64,
}

impl<'a> Heartbeat<'a> {
    /// MariaDB puts a position that does not fit into the header in front of the name, and 0 into the header.
    pub(crate) fn read(header: &Header, mut cursor: Cursor<'a>, flavor: Flavor) -> Result<Self, Error> {
        let position = match (header.log_pos, flavor) {
            (0, Flavor::MariaDb) => cursor.u64("the position of a heartbeat event")?,
            (position, Flavor::MySql | Flavor::MariaDb) => u64::from(position),
        };
        Ok(Self { file: cursor.take_rest(), position })
    }

    /// The newer form has fields of type, length and value.
    pub(crate) fn read_v2(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        const END: u64 = 0;
        const FILE: u64 = 1;
        const POSITION: u64 = 2;
        let what = "a heartbeat event";
        let mut heartbeat = Self { file: &[], position: 0 };
        while !cursor.is_empty() {
            let field = cursor.packed(what)?;
            if field == END {
                break;
            }
            let mut value = Cursor::new(cursor.packed_bytes(what)?);
            match field {
                FILE => heartbeat.file = value.take_rest(),
                POSITION => heartbeat.position = value.packed(what)?,
                _ => {}
            }
        }
        Ok(heartbeat)
    }
}

/// The server lost events: its data and its binlog differ from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident<'a> {
    /// 1 = lost events.
    pub number: u16,
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let what = "an incident event";
        let number = cursor.u16(what)?;
        let message = match cursor.is_empty() {
            true => &[],
            false => {
                let len = cursor.u8(what)?;
                cursor.take(usize::from(len), what)?
            }
        };
        Ok(Self { number, message })
    }
}
