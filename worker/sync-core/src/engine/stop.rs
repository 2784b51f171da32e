//! Why an engine ends, as an operator sees it: code, locations, statement, way out.
//!
//! Owns the engine's error enum and the form of its messages. Every data error carries where it stands in the source.

use dm_fence::UnitNumber;
use dm_model::{
    Location, TableName,
    error::{Class, Code, Coded, Level, Report, Retry, Scope},
};

use crate::mapping;

const SKIP: &str = "use `binlog skip` or `binlog replace` for this statement, or filter it in the task";

/// The end of a run. The engine hands out no more work; a new run starts from takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The message starts with `startLocation: [...], endLocation: [...]` where the error belongs to an event.
    pub report: Report,
    /// Start of the event; what `binlog skip|replace|inject` without a position refers to.
    pub start: Option<Location>,
    pub end: Option<Location>,
    /// The DDL's text as the source has it. Present when `binlog skip` and `binlog replace` are a way out.
    pub ddl: Option<String>,
}

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Span {
    pub start: Location,
    pub end: Location,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot decode an event")]
    Decode(#[source] dm_binlog::Error),
    #[error("event type {event_type} inside a transaction is not known")]
    UnknownEvent { event_type: u8 },
    #[error("the source reports an incident: {message}")]
    Incident { message: String },
    #[error("rows of {table} come without values for all columns: `binlog_row_image` is not FULL")]
    PartialImage { table: TableName },
    #[error("a row event comes without its table map")]
    NoTableMap,
    #[error("only binlog_format = ROW can be replicated: a statement that changes rows is in the binlog as text")]
    StatementFormat,
    #[error("a transaction with non-transactional changes was rolled back: its rows cannot be told apart")]
    RolledBack,
    #[error("an XA transaction that is prepared in one GTID and committed in another has rows to replicate")]
    Xa,
    #[error("no known structure of {table} fits its rows: {why}")]
    NoStructure { table: TableName, why: String },
    #[error("table {table} does not exist downstream")]
    TargetMissing { table: TableName },
    #[error("cannot map a row of {table}")]
    Map {
        table: TableName,
        #[source]
        source: mapping::Error,
    },
    #[error("cannot tell the snapshot chunk of a row of {table}")]
    Handover {
        table: TableName,
        #[source]
        source: crate::literal::Error,
    },
    #[error("the event filter refuses this event: {rule}")]
    Filter { rule: String },
    #[error("cannot route")]
    Route(#[source] dm_rules::Error),
    #[error("cannot understand the statement")]
    ParseDdl(#[source] dm_ddl::Error),
    #[error("table {table} belongs to an online schema change")]
    OnlineDdl { table: TableName },
    #[error("table {table} shares its target {target} with other tables")]
    Merged { table: TableName, target: TableName },
    #[error("a transaction has more than {n_units} slices")]
    TooManySlices { n_units: u64 },
    #[error("the source is another server ({found}, was {expected}) and has no GTIDs to go on by")]
    OtherServer { expected: String, found: String },
    #[error("the source sends no positions and has no GTIDs to go on by")]
    NoPosition,
    #[error("unit {unit} is not the transaction that was committed under this number")]
    OtherOrder { unit: UnitNumber },
}

impl Coded for Error {
    fn code(&self) -> Code {
        use Class::{BinlogOp, Functional, SyncUnit};
        use Scope::{Downstream, Internal, Upstream};
        match self {
            Self::Decode(cause) => cause.code(),
            Self::UnknownEvent { .. } => Code::new(
                60024,
                SyncUnit,
                Upstream,
                Level::High,
                "the source writes something this version does not know: nothing is skipped on a guess",
            ),
            Self::Incident { .. } => Code::new(
                60029,
                SyncUnit,
                Upstream,
                Level::High,
                "the source lost events: copy the tables concerned again, or restart the task from a later location",
            ),
            Self::PartialImage { .. } => Code::new(
                11126,
                BinlogOp,
                Upstream,
                Level::High,
                "set `binlog_row_image` = FULL in the source; events written before must be passed by a new start",
            ),
            Self::NoTableMap => Code::new(11038, Functional, Upstream, Level::High, "restart the task"),
            Self::StatementFormat => Code::new(
                36014,
                SyncUnit,
                Upstream,
                Level::High,
                "set `binlog_format` = ROW in the source, for every session, and copy the rows this statement changed, \
                 then go on after it with `binlog skip`",
            ),
            Self::RolledBack => {
                Code::new(60028, SyncUnit, Upstream, Level::High, "use transactional tables only, or filter the others")
            }
            Self::Xa => Code::new(
                60025,
                SyncUnit,
                Upstream,
                Level::High,
                "commit XA transactions in one phase, or filter their tables; copy the tables again if it was committed",
            ),
            Self::NoStructure { .. } | Self::Map { .. } | Self::Handover { .. } => Code::new(
                36027,
                SyncUnit,
                Internal,
                Level::High,
                "make the target table fit the rows as of this location and resume, or filter the table, or copy it again \
                 (`start-task --remove-meta`); `binlog-schema update` is not built yet",
            ),
            Self::TargetMissing { .. } => Code::new(
                36070,
                SyncUnit,
                Downstream,
                Level::High,
                "create the table downstream, or filter it, then resume the task",
            ),
            Self::Filter { .. } => Code::new(36015, SyncUnit, Internal, Level::High, SKIP),
            Self::Route(_) => Code::new(
                40080,
                Class::DmWorker,
                Internal,
                Level::High,
                "please check the `routes` config in task configuration file",
            ),
            Self::ParseDdl(_) => Code::new(36067, SyncUnit, Internal, Level::High, SKIP),
            Self::OnlineDdl { .. } => Code::new(
                60020,
                SyncUnit,
                Upstream,
                Level::High,
                "online schema changes are not replicated yet: filter the tool's tables with a block-allow-list, and where the \
                 finished change renames them into place use `binlog replace` with the ALTER TABLE that the tool applied",
            ),
            Self::Merged { .. } => Code::new(
                60021,
                SyncUnit,
                Upstream,
                Level::High,
                "change the target by hand so that it fits all source tables, then `binlog skip` this statement on each source",
            ),
            Self::TooManySlices { .. } => Code::new(
                60022,
                SyncUnit,
                Upstream,
                Level::High,
                "split the transaction in the source, or filter its tables and copy them again",
            ),
            Self::OtherServer { .. } => Code::new(
                60026,
                SyncUnit,
                Upstream,
                Level::High,
                "point the source back to the old server, or use `enable-gtid`, or start anew with `--start-time`",
            ),
            Self::NoPosition => Code::new(
                60031,
                SyncUnit,
                Upstream,
                Level::High,
                "use `enable-gtid`, or set `binlog_legacy_event_pos` = ON in the source",
            ),
            Self::OtherOrder { .. } => Code::new(
                60027,
                SyncUnit,
                Upstream,
                Level::High,
                "the source has the transactions in another order than before: point the source back to the old server, or start anew in safe mode",
            ),
        }
    }
}

impl Stop {
    /// An error of the event at `span`.
    pub fn at(error: &Error, span: Span) -> Self {
        Self::of_report(Report::of(error, Retry::Never), span)
    }

    /// An error of a DDL event; `binlog skip` and `binlog replace` are ways out.
    pub fn at_ddl(error: &Error, span: Span, sql: &str) -> Self {
        Self::of_ddl_report(Report::of(error, Retry::Never), span, sql)
    }

    /// A report from elsewhere, about what stands at `span`.
    pub fn of_report(mut report: Report, span: Span) -> Self {
        report.message = format!("startLocation: [{}], endLocation: [{}]: {}", span.start, span.end, report.message);
        Self { report, start: Some(span.start), end: Some(span.end), ddl: None }
    }

    /// A report from elsewhere, about the DDL at `span`.
    pub fn of_ddl_report(mut report: Report, span: Span, sql: &str) -> Self {
        if !["binlog skip", "binlog replace"].iter().any(|way| report.workaround.contains(way)) {
            let more = if report.workaround.is_empty() { "" } else { "; or " };
            report.workaround = format!("{}{more}{SKIP}", report.workaround);
        }
        report.message = format!(
            "startLocation: [{}], endLocation: [{}], origin SQL: [{sql}]: {}",
            span.start, span.end, report.message
        );
        Self { report, start: Some(span.start), end: Some(span.end), ddl: Some(sql.to_owned()) }
    }

    /// An error that has no place in the source.
    pub fn nowhere(report: Report) -> Self {
        Self { report, start: None, end: None, ddl: None }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.report.fmt(f)
    }
}

impl std::error::Error for Stop {}
