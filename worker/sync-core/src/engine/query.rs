//! Query events: what opens and ends transactions, what is skipped, what must stop, and what is DDL.

use std::borrow::Cow;

use dm_binlog::{Header, event::Query};
use dm_ddl::{ParseContext, SqlMode, Statement, StatementKind, Treatment};
use dm_model::TableName;
use dm_rules::event_filter::Verdict;

use super::{Engine, Error, Stop, dml_target, events::Flow};
use crate::{batch::DdlSession, error_op::Instead, stream::source_time};

/// A query event's facts, detached from its bytes.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) sql: String,
    pub(super) schema: String,
    pub(super) context: ParseContext,
    pub(super) session: DdlSession,
    /// Schemas the statement changes, as far as the source says.
    updated_schemas: Vec<String>,
}

impl Engine {
    pub(super) fn query(&mut self, query: &Query<'_>, header: &Header) -> Result<Flow, Stop> {
        let src_ts = source_time(header);
        if query.is_begin() {
            if self.source.stream.transaction().is_none() || self.source.stream.is_open() {
                self.begin_transaction(None)?;
            }
            self.source.stream.open();
            return Ok(Flow::Done);
        }
        if query.is_commit() {
            return self.end_if_begun(header);
        }
        let text = self.text(query, header);
        let at = self.operators.at(self.source.stream.event_start(), self.source.stream.transaction_start());
        let (before, instead) = (at.before.to_vec(), at.instead.cloned());
        let parsed = dm_ddl::parse(&text.sql, &text.context);
        let is_ddl = parsed.as_ref().map_or(true, |statement| statement.treatment() == Treatment::Ddl);
        if is_ddl || instead.is_some() || !before.is_empty() {
            return self.ddl_event(&text, parsed, &before, instead.as_ref(), src_ts);
        }
        match parsed {
            Ok(statement) => self.other_statement(&statement, &text, header),
            Err(cause) => Err(self.ddl_error(&Error::ParseDdl(cause), &text.sql)),
        }
    }

    fn other_statement(&mut self, statement: &Statement, text: &Text, header: &Header) -> Result<Flow, Stop> {
        match statement.kind {
            StatementKind::Begin => self.source.stream.open(),
            StatementKind::XaStart => {
                self.source.stream.open();
                self.source.stream.mark_xa();
            }
            StatementKind::XaEnd => {}
            StatementKind::Rollback => {
                if self.source.intake.has_changes() {
                    return Err(self.error(&Error::RolledBack));
                }
                return self.end_if_begun(header);
            }
            StatementKind::XaPrepare => {
                if self.source.intake.has_changes() {
                    return Err(self.error(&Error::Xa));
                }
                return self.end_if_begun(header);
            }
            StatementKind::Commit => return self.end_if_begun(header),
            StatementKind::Savepoint => {
                if starts_with_word(&text.sql, "ROLLBACK") && self.source.intake.has_changes() {
                    return Err(self.error(&Error::RolledBack));
                }
                return self.skipped_statement(header);
            }
            StatementKind::Dml => {
                if !self.is_dml_ignored(text)? {
                    return Err(self.ddl_error(&Error::StatementFormat, &text.sql));
                }
                return self.skipped_statement(header);
            }
            StatementKind::XaCommit | StatementKind::XaRollback => return self.skipped_statement(header),
            _ => return self.skipped_statement(header),
        }
        Ok(Flow::Done)
    }

    /// A statement that stands alone is a unit of its own; inside a transaction it is nothing.
    fn skipped_statement(&mut self, header: &Header) -> Result<Flow, Stop> {
        if !self.source.stream.is_open() {
            self.end_transaction(source_time(header))?;
        }
        Ok(Flow::Done)
    }

    fn end_if_begun(&mut self, header: &Header) -> Result<Flow, Stop> {
        if self.source.stream.transaction().is_some() {
            self.end_transaction(source_time(header))?;
        }
        Ok(Flow::Done)
    }

    /// A statement that changes rows is harmless only when all that it changes is known and none of it replicated.
    fn is_dml_ignored(&self, text: &Text) -> Result<bool, Stop> {
        let rules = &self.config.block_allow;
        let schemas = &text.updated_schemas;
        if !schemas.is_empty() && schemas.iter().all(|schema| !rules.allows_schema(schema)) {
            return Ok(true);
        }
        let table = dml_target::changed_table(&text.sql, text.context.sql_mode);
        if let Some((schema, table)) = table
            && !rules.allows_table(&TableName::new(schema.unwrap_or_else(|| text.schema.clone()), table))
        {
            return Ok(true);
        }
        match self.config.event_filter.judge("", "", None, Some(&text.sql)) {
            Verdict::Keep => Ok(false),
            Verdict::Drop => Ok(true),
            Verdict::Error(rule) => Err(self.ddl_error(&Error::Filter { rule: rule.to_owned() }, &text.sql)),
        }
    }

    pub(super) fn ddl_error(&self, error: &Error, sql: &str) -> Stop {
        Stop::at_ddl(error, self.source.stream.span(), sql)
    }

    fn text(&self, query: &Query<'_>, header: &Header) -> Text {
        let status = &query.status;
        let sql_mode = SqlMode(status.sql_mode.unwrap_or_default());
        let context = ParseContext {
            sql_mode,
            flavor: self.config.flavor,
            version: self.config.source_version,
            tidb_comments: true,
        };
        let session = DdlSession {
            sql_mode: status.sql_mode,
            time_zone: status.time_zone.map(|zone| String::from_utf8_lossy(zone).into_owned()),
            timestamp_secs: header.timestamp,
            timestamp_micros: status.microseconds.unwrap_or_default(),
            charset: status.charset.map(|triple| [triple.client, triple.connection, triple.server]),
        };
        let sql = decode(&query.sql, status.charset.map(|triple| triple.client)).into_owned();
        let updated = status.updated_schemas.iter().flatten();
        let updated_schemas = updated.map(|schema| String::from_utf8_lossy(schema).into_owned()).collect();
        Text { sql, schema: query.schema.to_owned(), context, session, updated_schemas }
    }
}

impl Text {
    /// What stands in place of the event, or the event itself.
    pub(super) fn statements<'a>(&'a self, instead: Option<&'a Instead>) -> &'a [String] {
        match instead {
            None => std::slice::from_ref(&self.sql),
            Some(Instead::Nothing) => &[],
            Some(Instead::Statements(statements)) => statements,
        }
    }
}

fn starts_with_word(sql: &str, word: &str) -> bool {
    sql.trim_start().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// The statement's text: in the client's charset, known by the number of one of its collations.
fn decode(sql: &[u8], collation: Option<u16>) -> Cow<'_, str> {
    let encoding = match collation {
        Some(1 | 84) => encoding_rs::BIG5,
        Some(5 | 8 | 15 | 31 | 47 | 48 | 49 | 94) => encoding_rs::WINDOWS_1252,
        Some(12 | 91 | 97 | 98) => encoding_rs::EUC_JP,
        Some(13 | 88 | 95 | 96) => encoding_rs::SHIFT_JIS,
        Some(19 | 85) => encoding_rs::EUC_KR,
        Some(24 | 86 | 28 | 87) => encoding_rs::GBK,
        Some(248..=250) => encoding_rs::GB18030,
        Some(14 | 23 | 50 | 51 | 52) => encoding_rs::WINDOWS_1251,
        Some(_) | None => encoding_rs::UTF_8,
    };
    if encoding == encoding_rs::WINDOWS_1252 && std::str::from_utf8(sql).is_ok_and(str::is_ascii) {
        return String::from_utf8_lossy(sql);
    }
    encoding.decode_without_bom_handling(sql).0
}
