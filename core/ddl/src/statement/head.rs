//! The first words of a statement: what it is, and where its grammar goes on.

use super::{Body, Database, StatementKind as Kind, TableRole};
use crate::error::Error;
use crate::index::IndexDef;
use crate::lexer::Span;
use crate::parser::Parser;
use crate::table::{Index, IndexKind};

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<(Kind, Body), Error> {
        while self.take_symbol(';') {}
        if self.ended() {
            return Err(Error::Empty);
        }
        let word = self.raw(0).to_ascii_uppercase();
        let kind = match word.as_str() {
            "CREATE" => return self.create(),
            "ALTER" => return self.alter(),
            "DROP" => return self.drop(),
            "RENAME" => return self.rename(),
            "TRUNCATE" => {
                self.at += 1;
                self.take(&["TABLE"]);
                self.table(TableRole::Target)?;
                let _ = self.take(&["WAIT"]) && self.skip_one().is_ok() || self.take(&["NOWAIT"]);
                return Ok((Kind::TruncateTable, Body::TruncateTable));
            }
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "IMPORT" | "SELECT" | "WITH" | "DO" | "CALL" => {
                Kind::Dml
            }
            // MariaDB's ANALYZE runs the statement behind it.
            "ANALYZE" if self.is_any(1, &["UPDATE", "DELETE", "INSERT", "REPLACE", "SELECT", "FORMAT", "WITH"]) => {
                Kind::Dml
            }
            "BEGIN" => Kind::Begin,
            "START" if self.is_word(1, "TRANSACTION") => Kind::Begin,
            "COMMIT" => Kind::Commit,
            "ROLLBACK" if (1..4).any(|n| self.is_word(n, "TO")) => Kind::Savepoint,
            "ROLLBACK" => Kind::Rollback,
            "SAVEPOINT" => Kind::Savepoint,
            "RELEASE" if self.is_word(1, "SAVEPOINT") => Kind::Savepoint,
            "XA" => match self.raw(1).to_ascii_uppercase().as_str() {
                "START" | "BEGIN" => Kind::XaStart,
                "END" => Kind::XaEnd,
                "PREPARE" => Kind::XaPrepare,
                "COMMIT" => Kind::XaCommit,
                "ROLLBACK" => Kind::XaRollback,
                "RECOVER" => Kind::Session,
                _ => return self.unknown(),
            },
            "GRANT" => Kind::Grant,
            "REVOKE" => Kind::Revoke,
            "FLUSH" => Kind::Flush,
            "OPTIMIZE" | "ANALYZE" | "REPAIR" | "CHECK" => {
                self.maintained_tables()?;
                Kind::MaintainTable
            }
            "SET" if self.is_word(1, "PASSWORD") || (self.is_word(1, "DEFAULT") && self.is_word(2, "ROLE")) => {
                Kind::User
            }
            "RECOVER" | "FLASHBACK" => Kind::Recover,
            "LOCK" | "UNLOCK" => Kind::LockTables,
            "SET" | "USE" | "SHOW" | "DESC" | "DESCRIBE" | "EXPLAIN" | "KILL" | "RESET" | "PURGE" | "CHANGE"
            | "PREPARE" | "EXECUTE" | "DEALLOCATE" | "HANDLER" | "INSTALL" | "UNINSTALL" | "ADMIN" | "VALUES"
            | "TABLE" | "CACHE" | "CHECKSUM" | "BINLOG" | "SIGNAL" | "RESIGNAL" | "GET" | "HELP" | "STOP" | "START"
            | "SHUTDOWN" | "RESTART" | "CLONE" | "SPLIT" | "TRACE" | "BACKUP" | "RESTORE" => Kind::Session,
            _ => return self.unknown(),
        };
        self.skip_rest();
        Ok((kind, Body::Head))
    }

    fn unknown<T>(&self) -> Result<T, Error> {
        let near = self.source.text.get(self.position()..).unwrap_or_default().trim_end();
        let near = if near.is_empty() { &self.source.text } else { near };
        Err(Error::UnknownStatement { near: near.chars().take(40).collect() })
    }

    /// The rest of a statement that is only known by its head. Semicolons of a routine's body are part of it.
    fn skip_rest(&mut self) {
        self.at = self.source.lexed.tokens.len();
    }

    fn head(&mut self, kind: Kind) -> Result<(Kind, Body), Error> {
        self.skip_rest();
        Ok((kind, Body::Head))
    }

    /// Where the statement behind `SET STATEMENT a = b, … FOR` begins.
    pub(super) fn behind_set_statement(mut self) -> Option<usize> {
        if !self.take(&["SET", "STATEMENT"]) {
            return None;
        }
        while !self.ended() {
            if self.take(&["FOR"]) {
                return Some(self.position());
            }
            self.skip_one().ok()?;
        }
        None
    }

    fn maintained_tables(&mut self) -> Result<(), Error> {
        self.at += 1;
        self.take_any(&["NO_WRITE_TO_BINLOG", "LOCAL", "INCREMENTAL"]);
        if !self.take_any(&["TABLE", "TABLES"]) {
            self.skip_rest();
            return Ok(());
        }
        loop {
            self.table(TableRole::Target)?;
            if !self.take_symbol(',') {
                break;
            }
        }
        self.skip_rest();
        Ok(())
    }

    /// `DEFINER = …`, `ALGORITHM = …`, `SQL SECURITY …` and `AGGREGATE` before the noun.
    fn skip_definition_prefix(&mut self) -> Result<(), Error> {
        loop {
            if self.take(&["SQL", "SECURITY"]) {
                self.skip_one()?;
            } else if self.is_any(0, &["DEFINER", "ALGORITHM"]) && self.is_symbol(1, '=') {
                self.at += 2;
                self.skip_one()?;
                if self.is_symbol(0, '(') {
                    self.skip_group()?;
                }
                if self.take_symbol('@') {
                    self.skip_one()?;
                }
            } else if !self.take(&["AGGREGATE"]) {
                return Ok(());
            }
        }
    }

    fn create(&mut self) -> Result<(Kind, Body), Error> {
        self.at += 1;
        let or_replace = self.take(&["OR", "REPLACE"]);
        self.skip_definition_prefix()?;
        if self.take_any(&["DATABASE", "SCHEMA"]) {
            let guarded = self.if_not_exists();
            return self.database(Kind::CreateDatabase, or_replace, guarded);
        }
        if self.take(&["TABLE"]) {
            let create = self.create_table(or_replace, false)?;
            return Ok((Kind::CreateTable, Body::CreateTable(Box::new(create))));
        }
        if self.take(&["TEMPORARY", "TABLE"]) || self.take(&["GLOBAL", "TEMPORARY", "TABLE"]) {
            let create = self.create_table(or_replace, true)?;
            return Ok((Kind::CreateTemporaryTable, Body::CreateTable(Box::new(create))));
        }
        if self.take(&["VIEW"]) {
            self.if_not_exists();
            self.table(TableRole::Target)?;
            return self.head(Kind::CreateView);
        }
        if self.is_any(0, &["UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "COLUMNAR", "INDEX", "ONLINE", "OFFLINE"]) {
            return self.create_index(or_replace);
        }
        if self.take(&["SEQUENCE"]) || self.take(&["TEMPORARY", "SEQUENCE"]) {
            self.if_not_exists();
            self.table(TableRole::Target)?;
            return self.head(Kind::Sequence);
        }
        self.other_noun()
    }

    fn other_noun(&mut self) -> Result<(Kind, Body), Error> {
        let kind = match self.raw(0).to_ascii_uppercase().as_str() {
            "TRIGGER" => Kind::Trigger,
            "PROCEDURE" => Kind::Procedure,
            "FUNCTION" | "PACKAGE" => Kind::Function,
            "EVENT" => Kind::Event,
            "TABLESPACE" | "UNDO" | "LOGFILE" => Kind::Tablespace,
            "USER" | "ROLE" => Kind::User,
            "SERVER" => Kind::Server,
            "RESOURCE" => Kind::ResourceGroup,
            "PLACEMENT" => Kind::PlacementPolicy,
            "SPATIAL" | "LIBRARY" | "INSTANCE" | "BINDING" | "GLOBAL" | "SESSION" | "STATISTICS" | "PREPARE"
            | "RANGE" | "MASKING" => Kind::Session,
            _ => return self.unknown_from_start(),
        };
        self.head(kind)
    }

    fn unknown_from_start<T>(&self) -> Result<T, Error> {
        Err(Error::UnknownStatement { near: self.source.text.trim_start().chars().take(40).collect() })
    }

    fn create_index(&mut self, or_replace: bool) -> Result<(Kind, Body), Error> {
        self.take_any(&["ONLINE", "OFFLINE"]);
        if self.is_word(0, "SPATIAL") && self.is_word(1, "REFERENCE") {
            return self.head(Kind::Session);
        }
        let kind = match self.raw(0).to_ascii_uppercase().as_str() {
            "UNIQUE" => IndexKind::Unique,
            "FULLTEXT" => IndexKind::Fulltext,
            "SPATIAL" => IndexKind::Spatial,
            _ => IndexKind::Key,
        };
        let start = self.at;
        let foreign = self.take_any(&["VECTOR", "COLUMNAR"]);
        self.take_any(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        if !self.take(&["INDEX"]) {
            return self.expected("INDEX");
        }
        let if_not_exists = self.if_not_exists();
        let name = if self.is_word(0, "ON") && !self.is_word(1, "ON") { String::new() } else { self.name()? };
        if self.take_any(&["USING", "TYPE"]) {
            self.skip_one()?;
        }
        let _ = (self.take(&["WAIT"]) && self.skip_one().is_ok()) || self.take(&["NOWAIT"]);
        if !self.take(&["ON"]) {
            return self.expected("ON");
        }
        self.table(TableRole::Target)?;
        let mut index = Index { name, kind, parts: self.index_parts()?, invisible: false };
        self.index_options(&mut index)?;
        if foreign {
            self.not_modelled.push(start..self.at);
        }
        Ok((Kind::CreateIndex, Body::CreateIndex { or_replace, def: IndexDef { index, if_not_exists } }))
    }

    fn alter(&mut self) -> Result<(Kind, Body), Error> {
        self.at += 1;
        self.skip_definition_prefix()?;
        if self.take_any(&["DATABASE", "SCHEMA"]) {
            let guarded = self.if_exists();
            return self.database(Kind::AlterDatabase, false, guarded);
        }
        if self.take(&["VIEW"]) {
            self.if_exists();
            self.table(TableRole::Target)?;
            return self.head(Kind::AlterView);
        }
        if self.take(&["SEQUENCE"]) {
            self.if_exists();
            self.table(TableRole::Target)?;
            return self.head(Kind::Sequence);
        }
        if self.is_any(0, &["TABLE", "IGNORE", "ONLINE", "OFFLINE"]) {
            return Ok((Kind::AlterTable, Body::AlterTable(self.alter_table()?)));
        }
        self.other_noun()
    }

    fn drop(&mut self) -> Result<(Kind, Body), Error> {
        self.at += 1;
        if self.take_any(&["DATABASE", "SCHEMA"]) {
            let guarded = self.if_exists();
            return self.database(Kind::DropDatabase, false, guarded);
        }
        let temporary = self.take(&["TEMPORARY"]) || self.take(&["GLOBAL", "TEMPORARY"]);
        if self.take_any(&["TABLE", "TABLES"]) {
            let if_exists = self.if_exists();
            self.dropped_names()?;
            let _ = (self.take(&["WAIT"]) && self.skip_one().is_ok()) || self.take(&["NOWAIT"]);
            self.take_any(&["RESTRICT", "CASCADE"]);
            let kind = if temporary { Kind::DropTemporaryTable } else { Kind::DropTable };
            return Ok((kind, Body::DropTable { if_exists }));
        }
        if self.take(&["VIEW"]) {
            self.if_exists();
            self.dropped_names()?;
            return self.head(Kind::DropView);
        }
        if self.take(&["SEQUENCE"]) {
            self.if_exists();
            self.dropped_names()?;
            return self.head(Kind::Sequence);
        }
        if self.take(&["INDEX"]) || self.take(&["ONLINE", "INDEX"]) || self.take(&["OFFLINE", "INDEX"]) {
            let if_exists = self.if_exists();
            let name = self.name()?;
            if !self.take(&["ON"]) {
                return self.expected("ON");
            }
            self.table(TableRole::Target)?;
            while !self.at_item_end() {
                self.skip_one()?;
            }
            return Ok((Kind::DropIndex, Body::DropIndex { name, if_exists }));
        }
        if self.is_word(0, "PREPARE") {
            return self.head(Kind::Session);
        }
        self.other_noun()
    }

    fn dropped_names(&mut self) -> Result<(), Error> {
        loop {
            self.table(TableRole::Target)?;
            if !self.take_symbol(',') {
                return Ok(());
            }
        }
    }

    fn rename(&mut self) -> Result<(Kind, Body), Error> {
        self.at += 1;
        if self.is_word(0, "USER") {
            return self.head(Kind::User);
        }
        if !self.take_any(&["TABLE", "TABLES"]) {
            return self.expected("TABLE or USER");
        }
        let if_exists = self.if_exists();
        loop {
            self.table(TableRole::RenameFrom)?;
            let _ = (self.take(&["WAIT"]) && self.skip_one().is_ok()) || self.take(&["NOWAIT"]);
            if !self.take(&["TO"]) {
                return self.expected("TO");
            }
            self.table(TableRole::RenameTo)?;
            if !self.take_symbol(',') {
                return Ok((Kind::RenameTable, Body::RenameTable { if_exists }));
            }
        }
    }

    /// From the name on.
    fn database(&mut self, kind: Kind, or_replace: bool, guarded: bool) -> Result<(Kind, Body), Error> {
        let here = self.position();
        let mut database = Database {
            name: None,
            or_replace,
            guarded,
            charset: None,
            collation: None,
            name_span: Span { start: here, end: here },
        };
        let at_option = self.is_symbol(1, '=')
            || self.is_any(0, &["CHARSET", "CHARACTER", "CHAR", "COLLATE", "DEFAULT", "ENCRYPTION", "COMMENT"])
                && kind == Kind::AlterDatabase
                && (self.is_any(1, &["SET", "CHARACTER", "CHARSET", "CHAR", "COLLATE", "ENCRYPTION", "PLACEMENT"])
                    || (self.is_name(1) || self.is_text(1)) && self.token(2).is_none());
        let at_option = at_option
            || kind == Kind::AlterDatabase
                && (self.are_words(&["READ", "ONLY"]) || self.are_words(&["SET", "TIFLASH"]))
            || kind == Kind::AlterDatabase && self.are_words(&["PLACEMENT", "POLICY"]);
        if !at_option {
            let at = self.at;
            database.name = Some(self.name()?);
            if let Some(token) = self.source.lexed.tokens.get(at) {
                database.name_span = token.span;
            }
        }
        while !self.ended() && !self.is_symbol(0, ';') {
            if self.take_symbol(',') {
                continue;
            }
            self.take(&["DEFAULT"]);
            if self.take_charset_words() {
                self.take_symbol('=');
                database.charset = Some(self.name_or_text()?.to_ascii_lowercase());
            } else if self.take(&["COLLATE"]) {
                self.take_symbol('=');
                database.collation = Some(self.name_or_text()?.to_ascii_lowercase());
            } else {
                self.skip_one()?;
            }
        }
        Ok((kind, Body::Database(database)))
    }
}
