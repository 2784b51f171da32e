//! Events as an enum; texts and row bytes borrow from the raw event.
//!
//! One variant per meaning, not per number: rows events of all versions are [`Body::Rows`]. What servers may add one day
//! is [`Body::Unknown`] with the server's word on whether it may be skipped.

pub mod format_description;
pub mod gtid;
pub mod load;
pub mod mariadb;
pub mod query;
pub mod session;
pub mod simple;

use dm_model::Flavor;

pub use format_description::FormatDescription;
pub use gtid::Gtid;
pub use load::{AppendBlock, ExecuteLoadQuery};
pub use mariadb::{GtidList, MariaDbGtid, StartEncryption, XaState};
pub use query::{CharsetTriple, Query, StatusVars};
pub use session::{Intvar, IntvarKind, Rand, UserVar};
pub use simple::{Heartbeat, Incident, Rotate, XaPrepare, Xid};

use crate::{
    Error, Limits,
    cursor::Cursor,
    frame::{EventType, Header},
    payload::TransactionPayload,
    rows::Rows,
    table_map::TableMap,
};

#[derive(Debug, Clone)]
pub struct Event<'a> {
    pub header: Header,
    pub body: Body<'a>,
}

impl Event<'_> {
    /// Whether the position behind this event is one that reading can resume from or that is worth remembering. False
    /// for what the sending server made up and for what describes the file and not the data.
    pub fn moves_position(&self) -> bool {
        !self.header.is_artificial()
            && self.header.log_pos != 0
            && !matches!(
                self.body,
                Body::FormatDescription(_)
                    | Body::Heartbeat(_)
                    | Body::Ignorable
                    | Body::PreviousGtids(_)
                    | Body::GtidList(_)
            )
    }
}

#[derive(Debug, Clone)]
pub enum Body<'a> {
    FormatDescription(FormatDescription<'a>),
    Rotate(Rotate<'a>),
    /// The server closed the file for good (shutdown); the next file follows without a rotate.
    Stop,
    Query(Query<'a>),
    Xid(Xid),
    TableMap(TableMap<'a>),
    Rows(Rows<'a>),
    /// MySQL: GTID, anonymous and tagged GTID.
    Gtid(Gtid),
    PreviousGtids(dm_model::gtid::mysql::Set),
    MariaDbGtid(MariaDbGtid<'a>),
    GtidList(GtidList),
    /// The statement behind the rows events that follow (MariaDB), as sent by the client.
    AnnotateRows(&'a [u8]),
    /// The same of MySQL.
    RowsQuery(&'a [u8]),
    /// MariaDB: the oldest file that crash recovery needs.
    BinlogCheckpoint(&'a [u8]),
    /// MariaDB: the file is encrypted from here on. Servers decrypt what they send.
    StartEncryption(StartEncryption),
    TransactionPayload(TransactionPayload<'a>),
    XaPrepare(XaPrepare<'a>),
    Heartbeat(Heartbeat<'a>),
    Incident(Incident<'a>),
    Intvar(Intvar),
    Rand(Rand),
    UserVar(UserVar<'a>),
    /// First block of a file loaded by statement-format LOAD DATA.
    BeginLoadQuery(AppendBlock<'a>),
    AppendBlock(AppendBlock<'a>),
    ExecuteLoadQuery(ExecuteLoadQuery<'a>),
    /// A loaded file is dropped without being used; the file's number.
    DeleteFile(u32),
    /// Known and without meaning for a reader of data: ignorable events, group replication's own events.
    Ignorable,
    /// `ignorable`: the writing server says that readers may skip it.
    Unknown {
        event_type: EventType,
        ignorable: bool,
    },
}

/// What reading a body needs to know beside its bytes.
pub(crate) struct Context {
    pub(crate) flavor: Flavor,
    pub(crate) limits: Limits,
    pub(crate) table_map_short_ids: bool,
    pub(crate) rows_v1_short_ids: bool,
}

impl<'a> Body<'a> {
    pub(crate) fn read(header: &Header, mut cursor: Cursor<'a>, context: &Context) -> Result<Self, Error> {
        const FIRST_OF_MARIADB: u8 = 160;
        let event_type = header.event_type;
        let unknown = Self::Unknown { event_type, ignorable: header.is_ignorable() };
        if event_type.0 >= FIRST_OF_MARIADB && context.flavor != Flavor::MariaDb {
            return Ok(unknown);
        }
        Ok(match event_type {
            EventType::ROTATE => Self::Rotate(Rotate::read(header, cursor)?),
            EventType::STOP => Self::Stop,
            EventType::QUERY => Self::Query(Query::read(cursor)?),
            EventType::QUERY_COMPRESSED => Self::Query(Query::read_compressed(cursor, context.limits.unpacked_bytes)?),
            EventType::XID => Self::Xid(Xid(cursor.u64("the transaction number of an XID event")?)),
            EventType::TABLE_MAP => Self::TableMap(TableMap::read(cursor, context.table_map_short_ids)?),
            EventType::WRITE_ROWS_V1
            | EventType::UPDATE_ROWS_V1
            | EventType::DELETE_ROWS_V1
            | EventType::WRITE_ROWS
            | EventType::UPDATE_ROWS
            | EventType::DELETE_ROWS
            | EventType::PARTIAL_UPDATE_ROWS
            | EventType::WRITE_ROWS_COMPRESSED_V1
            | EventType::UPDATE_ROWS_COMPRESSED_V1
            | EventType::DELETE_ROWS_COMPRESSED_V1
            | EventType::WRITE_ROWS_COMPRESSED
            | EventType::UPDATE_ROWS_COMPRESSED
            | EventType::DELETE_ROWS_COMPRESSED => match Rows::read(event_type, cursor, context)? {
                Some(rows) => Self::Rows(rows),
                None => unknown,
            },
            EventType::GTID => Self::Gtid(Gtid::read(cursor, false)?),
            EventType::ANONYMOUS_GTID => Self::Gtid(Gtid::read(cursor, true)?),
            EventType::GTID_TAGGED => Self::Gtid(Gtid::read_tagged(cursor)?),
            EventType::PREVIOUS_GTIDS => Self::PreviousGtids(gtid::read_previous(cursor)?),
            EventType::MARIADB_GTID => Self::MariaDbGtid(MariaDbGtid::read(header, cursor)?),
            EventType::GTID_LIST => Self::GtidList(GtidList::read(cursor)?),
            EventType::ANNOTATE_ROWS => Self::AnnotateRows(cursor.take_rest()),
            EventType::ROWS_QUERY => {
                cursor.u8("the length of a rows query")?;
                Self::RowsQuery(cursor.take_rest())
            }
            EventType::BINLOG_CHECKPOINT => Self::BinlogCheckpoint(mariadb::read_checkpoint(cursor)?),
            EventType::START_ENCRYPTION => Self::StartEncryption(StartEncryption::read(cursor)?),
            EventType::TRANSACTION_PAYLOAD => Self::TransactionPayload(TransactionPayload::read(cursor)?),
            EventType::XA_PREPARE => Self::XaPrepare(XaPrepare::read(cursor)?),
            EventType::HEARTBEAT => Self::Heartbeat(Heartbeat::read(header, cursor, context.flavor)?),
            EventType::HEARTBEAT_V2 => Self::Heartbeat(Heartbeat::read_v2(cursor)?),
            EventType::INCIDENT => Self::Incident(Incident::read(cursor)?),
            EventType::INTVAR => Self::Intvar(Intvar::read(cursor)?),
            EventType::RAND => Self::Rand(Rand::read(cursor)?),
            EventType::USER_VAR => Self::UserVar(UserVar::read(cursor)?),
            EventType::BEGIN_LOAD_QUERY => Self::BeginLoadQuery(AppendBlock::read(cursor)?),
            EventType::APPEND_BLOCK => Self::AppendBlock(AppendBlock::read(cursor)?),
            EventType::EXECUTE_LOAD_QUERY => Self::ExecuteLoadQuery(ExecuteLoadQuery::read(cursor)?),
            EventType::DELETE_FILE => Self::DeleteFile(cursor.u32("the number of a loaded file")?),
            EventType::IGNORABLE | EventType::TRANSACTION_CONTEXT | EventType::VIEW_CHANGE => Self::Ignorable,
            _ => unknown,
        })
    }
}
