//! Statements as text, with the session variables they ran under.

use std::borrow::Cow;

use crate::{
    Error,
    cursor::{Cursor, text},
    payload,
};

#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The connection that ran it on the server it ran on first.
    pub thread_id: u32,
    /// Seconds it took there.
    pub exec_time: u32,
    /// The error it ended with, 0 for none. Others were logged because they may have changed something.
    pub error_code: u16,
    /// The session's default schema, empty for none.
    pub schema: &'a str,
    pub status: StatusVars<'a>,
    /// The text, in the character set `status.charset` says.
    pub sql: Cow<'a, [u8]>,
}

/// Collation numbers of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharsetTriple {
    /// The text's: `character_set_client`.
    pub client: u16,
    pub connection: u16,
    pub server: u16,
}

/// Session variables a statement depends on. `None`: not logged, so it makes no difference or the server is too old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusVars<'a> {
    /// Bits of OPTION_AUTO_IS_NULL, OPTION_NOT_AUTOCOMMIT, OPTION_NO_FOREIGN_KEY_CHECKS, OPTION_RELAXED_UNIQUE_CHECKS.
    pub flags2: Option<u32>,
    /// Bits of `sql_mode`.
    pub sql_mode: Option<u64>,
    pub catalog: Option<&'a [u8]>,
    pub auto_increment: Option<(u16, u16)>,
    pub charset: Option<CharsetTriple>,
    pub time_zone: Option<&'a [u8]>,
    pub lc_time_names: Option<u16>,
    /// `collation_database`.
    pub charset_database: Option<u16>,
    pub invoker: Option<(&'a [u8], &'a [u8])>,
    /// Schemas the statement changes; `None` also when there are too many to list.
    pub updated_schemas: Option<Vec<&'a [u8]>>,
    pub microseconds: Option<u32>,
    pub explicit_defaults_for_timestamp: Option<bool>,
    /// The DDL is crash-safe and carries this transaction number.
    pub ddl_xid: Option<u64>,
    /// `default_collation_for_utf8mb4`: what a bare `CHARACTER SET utf8mb4` means.
    pub default_collation_for_utf8mb4: Option<u16>,
    pub sql_require_primary_key: Option<bool>,
    pub default_table_encryption: Option<bool>,
    /// MariaDB 11: `character_set_collations`, pairs of character set and default collation.
    pub character_set_collations: Option<Vec<(u16, u16)>>,
    /// The first variable that is not known; it and those behind it were not read.
    pub unread_from: Option<u8>,
}

impl StatusVars<'_> {
    pub const FLAG_AUTO_IS_NULL: u32 = 0x4000;
    pub const FLAG_NOT_AUTOCOMMIT: u32 = 0x8_0000;
    pub const FLAG_NO_FOREIGN_KEY_CHECKS: u32 = 0x400_0000;
    pub const FLAG_RELAXED_UNIQUE_CHECKS: u32 = 0x800_0000;

    pub fn foreign_key_checks(&self) -> Option<bool> {
        Some(self.flags2? & Self::FLAG_NO_FOREIGN_KEY_CHECKS == 0)
    }

    pub fn autocommit(&self) -> Option<bool> {
        Some(self.flags2? & Self::FLAG_NOT_AUTOCOMMIT == 0)
    }
}

/// The fixed part of a query event.
pub(crate) struct Head {
    thread_id: u32,
    exec_time: u32,
    schema_len: u8,
    error_code: u16,
    status_len: u16,
}

impl<'a> Query<'a> {
    pub(crate) fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let head = Self::read_head(&mut cursor)?;
        Self::read_tail(head, cursor)
    }

    /// MariaDB's form with `log_bin_compress`: only the text is compressed.
    pub(crate) fn read_compressed(cursor: Cursor<'a>, limit: u64) -> Result<Self, Error> {
        let mut query = Self::read(cursor)?;
        query.sql = Cow::Owned(payload::unpack_mariadb(&query.sql, "a compressed query", limit)?);
        Ok(query)
    }

    pub(crate) fn read_head(cursor: &mut Cursor<'a>) -> Result<Head, Error> {
        let what = "a query event";
        Ok(Head {
            thread_id: cursor.u32(what)?,
            exec_time: cursor.u32(what)?,
            schema_len: cursor.u8(what)?,
            error_code: cursor.u16(what)?,
            status_len: cursor.u16(what)?,
        })
    }

    pub(crate) fn read_tail(head: Head, mut cursor: Cursor<'a>) -> Result<Self, Error> {
        let what = "a query event";
        let status = StatusVars::read(Cursor::new(cursor.take(usize::from(head.status_len), what)?))?;
        let schema = text(cursor.take(usize::from(head.schema_len), what)?, "a schema name is not text")?;
        if cursor.u8(what)? != 0 {
            return Err(Error::Corrupt { what: "the schema name of a query event has no end mark" });
        }
        Ok(Self {
            thread_id: head.thread_id,
            exec_time: head.exec_time,
            error_code: head.error_code,
            schema,
            status,
            sql: Cow::Borrowed(cursor.take_rest()),
        })
    }

    fn is_word(&self, word: &str) -> bool {
        self.sql.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
    }

    /// Opens a transaction. MariaDB writes none before rows.
    pub fn is_begin(&self) -> bool {
        self.is_word("BEGIN")
    }

    /// Ends a transaction of a non-transactional engine, in place of an XID event.
    pub fn is_commit(&self) -> bool {
        self.is_word("COMMIT")
    }

    /// Ends a transaction that changed a non-transactional table and was then rolled back; its events count.
    pub fn is_rollback(&self) -> bool {
        self.is_word("ROLLBACK")
    }
}

impl<'a> StatusVars<'a> {
    fn read(mut cursor: Cursor<'a>) -> Result<Self, Error> {
        const TOO_MANY_SCHEMAS: u8 = 254;
        let what = "the status variables of a query event";
        let mut vars = Self::default();
        while !cursor.is_empty() {
            match cursor.u8(what)? {
                0 => vars.flags2 = Some(cursor.u32(what)?),
                1 => vars.sql_mode = Some(cursor.u64(what)?),
                2 => {
                    vars.catalog = Some(short(&mut cursor)?);
                    cursor.u8(what)?;
                }
                3 => vars.auto_increment = Some((cursor.u16(what)?, cursor.u16(what)?)),
                4 => {
                    let (client, connection, server) = (cursor.u16(what)?, cursor.u16(what)?, cursor.u16(what)?);
                    vars.charset = Some(CharsetTriple { client, connection, server });
                }
                5 => vars.time_zone = Some(short(&mut cursor)?),
                6 => vars.catalog = Some(short(&mut cursor)?),
                7 => vars.lc_time_names = Some(cursor.u16(what)?),
                8 => vars.charset_database = Some(cursor.u16(what)?),
                // Bitmap of tables of a multi-table update, for statement format's filters only.
                9 => drop(cursor.take(8, what)?),
                // Size of the original event, for relay logs only.
                10 => drop(cursor.take(4, what)?),
                11 => vars.invoker = Some((short(&mut cursor)?, short(&mut cursor)?)),
                12 => {
                    let n = cursor.u8(what)?;
                    if n != TOO_MANY_SCHEMAS {
                        vars.updated_schemas =
                            Some((0..n).map(|_| null_terminated(&mut cursor)).collect::<Result<_, _>>()?);
                    }
                }
                13 => vars.microseconds = Some(cursor.uint_le(3, what)? as u32),
                16 => vars.explicit_defaults_for_timestamp = Some(cursor.u8(what)? != 0),
                17 => vars.ddl_xid = Some(cursor.u64(what)?),
                18 => vars.default_collation_for_utf8mb4 = Some(cursor.u16(what)?),
                19 => vars.sql_require_primary_key = Some(cursor.u8(what)? != 0),
                20 => vars.default_table_encryption = Some(cursor.u8(what)? != 0),
                // Seen from 9.7, of one byte, behind statements in statement format.
                21 => drop(cursor.u8(what)?),
                // MariaDB's from here on.
                128 => vars.microseconds = Some(cursor.uint_le(3, what)? as u32),
                129 => vars.ddl_xid = Some(cursor.u64(what)?),
                130 => {
                    // Two-phase ALTER: its commit and rollback name the sequence number of their start.
                    const COMMIT_OR_ROLLBACK_ALTER: u8 = 4 | 8;
                    if cursor.u8(what)? & COMMIT_OR_ROLLBACK_ALTER != 0 {
                        cursor.u64(what)?;
                    }
                }
                131 => {
                    let n = cursor.u8(what)?;
                    let pair = |_| Ok((cursor.u16(what)?, cursor.u16(what)?));
                    vars.character_set_collations = Some((0..n).map(pair).collect::<Result<_, Error>>()?);
                }
                unknown => {
                    vars.unread_from = Some(unknown);
                    break;
                }
            }
        }
        Ok(vars)
    }
}

fn short<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
    let what = "a status variable of a query event";
    let len = cursor.u8(what)?;
    cursor.take(usize::from(len), what)
}

fn null_terminated<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
    let what = "a schema name in a query event";
    let len = cursor.rest().iter().position(|byte| *byte == 0).ok_or(Error::Truncated { what })?;
    let name = cursor.take(len, what)?;
    cursor.u8(what)?;
    Ok(name)
}
