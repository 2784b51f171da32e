//! MariaDB's own events: GTID, GTID list, checkpoint, start of encryption.

use dm_model::gtid::mariadb::{Gtid as Id, Set};

use crate::{Error, cursor::Cursor, frame::Header};

/// Opens a transaction, or stands before a single statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariaDbGtid<'a> {
    pub id: Id,
    pub flags: u8,
    /// Transactions with the same number were committed together and do not conflict.
    pub commit_id: Option<u64>,
    pub xa: Option<XaState<'a>>,
    /// Flags of newer servers.
    pub extra_flags: u8,
}

/// The XA transaction that is prepared here, or completed after an earlier prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XaState<'a> {
    pub completed: bool,
    pub format_id: u32,
    pub gtrid: &'a [u8],
    pub bqual: &'a [u8],
}

impl<'a> MariaDbGtid<'a> {
    pub const FLAG_STANDALONE: u8 = 0x01;
    pub const FLAG_GROUP_COMMIT_ID: u8 = 0x02;
    pub const FLAG_TRANSACTIONAL: u8 = 0x04;
    pub const FLAG_ALLOW_PARALLEL: u8 = 0x08;
    pub const FLAG_WAITED: u8 = 0x10;
    pub const FLAG_DDL: u8 = 0x20;
    pub const FLAG_PREPARED_XA: u8 = 0x40;
    pub const FLAG_COMPLETED_XA: u8 = 0x80;

    pub(crate) fn read(header: &Header, mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let what = "a MariaDB GTID event";
        let sequence = cursor.u64(what)?;
        let domain = cursor.u32(what)?;
        let flags = cursor.u8(what)?;
        let commit_id = if flags & Self::FLAG_GROUP_COMMIT_ID != 0 { Some(cursor.u64(what)?) } else { None };
        let xa = if flags & (Self::FLAG_PREPARED_XA | Self::FLAG_COMPLETED_XA) != 0 {
            let format_id = cursor.u32(what)?;
            let (gtrid_len, bqual_len) = (cursor.u8(what)?, cursor.u8(what)?);
            let gtrid = cursor.take(usize::from(gtrid_len), what)?;
            let bqual = cursor.take(usize::from(bqual_len), what)?;
            Some(XaState { completed: flags & Self::FLAG_COMPLETED_XA != 0, format_id, gtrid, bqual })
        } else {
            None
        };
        let extra_flags = cursor.get(1).map_or(0, |flags| flags[0]);
        Ok(Self { id: Id { domain, server: header.server_id, sequence }, flags, commit_id, xa, extra_flags })
    }

    /// One query event follows and is the whole; no XID or COMMIT ends it.
    pub fn is_standalone(&self) -> bool {
        self.flags & Self::FLAG_STANDALONE != 0
    }

    /// A transaction begins here (there is no BEGIN query event) and an XID event, a COMMIT query or an XA PREPARE query
    /// ends it.
    pub fn opens_transaction(&self) -> bool {
        !self.is_standalone()
    }
}

/// The last transaction per domain and server at the file's start. Artificial in a stream begun by GTID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GtidList {
    pub ids: Vec<Id>,
    pub flags: u8,
}

impl GtidList {
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Self, Error> {
        let what = "a GTID list event";
        let head = cursor.u32(what)?;
        let mut ids = Vec::new();
        for _ in 0..head & 0x0fff_ffff {
            let (domain, server, sequence) = (cursor.u32(what)?, cursor.u32(what)?, cursor.u64(what)?);
            ids.push(Id { domain, server, sequence });
        }
        Ok(Self { ids, flags: (head >> 28) as u8 })
    }

    /// The position: per domain the entry that stands last, which servers order so that it is the newest.
    pub fn set(&self) -> Set {
        let mut set = Set::default();
        for id in &self.ids {
            set.insert(id);
        }
        set
    }
}

/// File name of a checkpoint event.
pub(crate) fn read_checkpoint(mut cursor: Cursor<'_>) -> Result<&[u8], Error> {
    let what = "a binlog checkpoint event";
    let len = cursor.u32(what)?;
    cursor.take(len as usize, what)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartEncryption {
    pub scheme: u8,
    pub key_version: u32,
    pub nonce: [u8; 12],
}

impl StartEncryption {
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Self, Error> {
        let what = "a start encryption event";
        Ok(Self { scheme: cursor.u8(what)?, key_version: cursor.u32(what)?, nonce: cursor.array(what)? })
    }
}
