//! The servers' own rendering of their binlogs, read event by event.
//!
//! Owns the two dialects of the text (`mariadb-binlog`, `mysqlbinlog`), each of which quotes values in its own way. Knows
//! nothing of fences or rules. What is no row, no statement and no boundary is passed over; a line that should be one of them and is
//! not ends the reading with an error that names file and line.

pub(crate) mod value;

use std::{collections::BTreeMap, io::BufRead};

use dm_model::TableName;

use crate::log::{Log, Place};

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the text of {file}")]
    Read {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("line {line} of {file} is not understood: {what}")]
    Line { file: String, line: u64, what: &'static str },
}

/// The values of a row in the order of the columns, joined by line feeds, which no value's text contains.
pub(crate) type Image = Vec<u8>;

/// A changed row. A table is a number of [`Reader::table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) table: usize,
    pub(crate) before: Option<Image>,
    pub(crate) after: Option<Image>,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Another file begins; a transaction that was open is none.
    File,
    /// A GTID: what was open is none, and a transaction or a statement follows.
    Announced,
    Begin,
    Row(Row),
    /// A statement, BEGIN and COMMIT excepted.
    Query(String),
    /// XID or COMMIT. [`Reader::place`] is its end.
    Commit,
    RolledBack,
}

/// Reads a log.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Log,
    file: Option<OpenFile>,
    is_mysql: bool,
    place: Place,
    line: Vec<u8>,
    n_lines: u64,
    /// The line in `line` is still to be read.
    is_kept: bool,
    tables: Vec<TableName>,
    by_text: BTreeMap<Vec<u8>, usize>,
    open_row: Option<OpenRow>,
    statement: Option<Vec<u8>>,
}

struct OpenFile(Box<dyn BufRead + Send>);

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenFile")
    }
}

#[derive(Debug)]
struct OpenRow {
    row: Row,
    is_before: bool,
}

impl Reader {
    pub(crate) fn new(log: Log) -> Self {
        Self {
            log,
            file: None,
            is_mysql: false,
            place: Place::default(),
            line: Vec::new(),
            n_lines: 0,
            is_kept: false,
            tables: Vec::new(),
            by_text: BTreeMap::new(),
            open_row: None,
            statement: None,
        }
    }

    /// End of the event that was read last.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// A table by its number in rows.
    pub(crate) fn table(&self, number: usize) -> &TableName {
        &self.tables[number]
    }

    /// The next event; `None` at the end of the last file.
    ///
    /// # Errors
    /// The text is none of a binlog, or cannot be read.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if !self.next_line()? {
                if let Some(open) = self.open_row.take() {
                    return Ok(Some(Event::Row(open.row)));
                }
                self.statement = None;
                let Some(file) = self.log.next_file() else { return Ok(None) };
                self.place = Place::new(file.name, 4);
                self.n_lines = 0;
                self.file = Some(OpenFile(file.text));
                return Ok(Some(Event::File));
            }
            if let Some(event) = self.read_line()? {
                return Ok(Some(event));
            }
        }
    }

    /// False at the end of a file.
    fn next_line(&mut self) -> Result<bool, Error> {
        if std::mem::take(&mut self.is_kept) {
            return Ok(true);
        }
        let Some(OpenFile(text)) = &mut self.file else { return Ok(false) };
        self.line.clear();
        let n_bytes = text
            .read_until(b'\n', &mut self.line)
            .map_err(|source| Error::Read { file: self.place.file.clone(), source })?;
        if n_bytes == 0 {
            self.file = None;
            return Ok(false);
        }
        self.n_lines += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        Ok(true)
    }

    fn error(&self, what: &'static str) -> Error {
        Error::Line { file: self.place.file.clone(), line: self.n_lines, what }
    }

    fn read_line(&mut self) -> Result<Option<Event>, Error> {
        if let Some(sql) = &mut self.statement {
            return Ok(match self.line.strip_suffix(b"/*!*/;") {
                Some(b"") => {
                    let sql = self.statement.take().unwrap_or_default();
                    Some(query(&sql))
                }
                // A setting, in front of the statement.
                Some(_) => {
                    sql.clear();
                    None
                }
                None => {
                    if !sql.is_empty() {
                        sql.push(b'\n');
                    }
                    sql.extend_from_slice(&self.line);
                    None
                }
            });
        }
        if let Some(rest) = self.line.strip_prefix(b"### ") {
            if rest.starts_with(b"  @") {
                return self.value().map(|()| None);
            }
            return self.row_line();
        }
        if let Some(open) = self.open_row.take() {
            self.is_kept = true;
            return Ok(Some(Event::Row(open.row)));
        }
        if self.line.first() == Some(&b'#') {
            return self.header();
        }
        Ok((self.line == b"START TRANSACTION").then_some(Event::Begin))
    }

    /// `INSERT INTO`, `UPDATE`, `DELETE FROM`, `WHERE` or `SET`.
    fn row_line(&mut self) -> Result<Option<Event>, Error> {
        let rest = self.line.get(4..).unwrap_or_default();
        if rest == b"SET" || rest == b"WHERE" {
            let is_before = rest == b"WHERE";
            let Some(open) = &mut self.open_row else { return Err(self.error("values without a row")) };
            open.is_before = is_before;
            let image = if is_before { &mut open.row.before } else { &mut open.row.after };
            *image = Some(Image::with_capacity(128));
            return Ok(None);
        }
        if let Some(open) = self.open_row.take() {
            self.is_kept = true;
            return Ok(Some(Event::Row(open.row)));
        }
        let name = [&b"INSERT INTO "[..], b"UPDATE ", b"DELETE FROM "].iter().find_map(|verb| rest.strip_prefix(*verb));
        let Some(name) = name else { return Err(self.error("a row of no kind")) };
        let table = match self.by_text.get(name) {
            Some(table) => *table,
            None => {
                let name = name.to_vec();
                let Some(parsed) = table_name(&name) else { return Err(self.error("a row of no table")) };
                self.tables.push(parsed);
                self.by_text.insert(name, self.tables.len() - 1);
                self.tables.len() - 1
            }
        };
        self.open_row = Some(OpenRow { row: Row { table, before: None, after: None }, is_before: false });
        Ok(None)
    }

    /// `###   @n=value /* TYPE meta=… */`
    fn value(&mut self) -> Result<(), Error> {
        let is_mysql = self.is_mysql;
        let Some(open) = &mut self.open_row else { return Err(self.error("a value without a row")) };
        let image = if open.is_before { &mut open.row.before } else { &mut open.row.after };
        let text = self.line.get(7..).unwrap_or_default();
        let equals = text.iter().position(|byte| *byte == b'=');
        let (Some(equals), Some(image)) = (equals, image) else {
            return Err(self.error("a value that is none"));
        };
        let Some(value) = value::without_type(&text[equals + 1..]) else {
            return Err(self.error("a value without its type; the tool wants -vv"));
        };
        if text.get(..equals) != Some(b"1") {
            image.push(b'\n');
        }
        value::push(image, value, is_mysql);
        Ok(())
    }

    /// `#yymmdd hh:mm:ss server id N  end_log_pos N CRC32 0x…\tKind…`; other comments are passed over.
    fn header(&mut self) -> Result<Option<Event>, Error> {
        const END: &[u8] = b"end_log_pos ";
        let line = &self.line;
        let is_dated = line.len() > 30 && line[1..7].iter().all(u8::is_ascii_digit);
        let Some(at) =
            find(line, END).filter(|_| is_dated && find(&line[..64.min(line.len())], b" server id ").is_some())
        else {
            return Ok(None);
        };
        let rest = &line[at + END.len()..];
        let n_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let offset = std::str::from_utf8(&rest[..n_digits]).ok().and_then(|text| text.parse::<u64>().ok());
        let Some(offset) = offset else { return Err(self.error("an event without an end")) };
        let kind = rest.iter().position(|byte| *byte == b'\t').map(|tab| &rest[tab + 1..]).unwrap_or_default();
        if kind.starts_with(b"Start: binlog") {
            self.is_mysql = find(kind, b"MariaDB").is_none();
        }
        let event = if kind.starts_with(b"GTID") || kind.starts_with(b"Anonymous_GTID") {
            Some(Event::Announced)
        } else if kind.starts_with(b"Xid = ") {
            Some(Event::Commit)
        } else {
            if kind.starts_with(b"Query\t") {
                self.statement = Some(Vec::new());
            }
            None
        };
        if kind.starts_with(b"XA_prepare") || kind.starts_with(b"XA PREPARE") {
            return Err(self.error("an XA transaction, which the checker does not follow"));
        }
        if offset > 0 {
            self.place.offset = offset;
        }
        Ok(event)
    }
}

fn query(sql: &[u8]) -> Event {
    match sql {
        b"BEGIN" => Event::Begin,
        b"COMMIT" => Event::Commit,
        b"ROLLBACK" => Event::RolledBack,
        _ => Event::Query(String::from_utf8_lossy(sql).into_owned()),
    }
}

/// `` `schema`.`table` `` with doubled backticks inside.
fn table_name(text: &[u8]) -> Option<TableName> {
    let text = std::str::from_utf8(text).ok()?;
    let inner = text.strip_prefix('`')?.strip_suffix('`')?;
    let (schema, table) = inner.split_once("`.`")?;
    Some(TableName::new(schema.replace("``", "`"), table.replace("``", "`")))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
