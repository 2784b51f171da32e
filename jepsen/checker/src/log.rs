//! A server's binlog as text: files in order, and places in them.
//!
//! Owns nothing but names and order. The text of each file comes from whoever runs the server's tool; it is read once, from
//! the front, line by line, so that a pipe will do.

use std::{collections::VecDeque, fmt, io};

/// A place in a server's binlog: the end of an event. Files of one server are numbered with a fixed width, so their names
/// order them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    pub file: String,
    pub offset: u64,
}

impl Place {
    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        Self { file: file.into(), offset }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// One binlog file as `mariadb-binlog -vv --base64-output=decode-rows` or MySQL's `mysqlbinlog` with the same flags print it.
pub struct LogFile {
    /// The binlog's name, as `mysql-bin.000001`, without a folder.
    pub name: String,
    pub text: Box<dyn io::BufRead + Send>,
}

impl LogFile {
    pub fn new(name: impl Into<String>, text: impl io::BufRead + Send + 'static) -> Self {
        Self { name: name.into(), text: Box::new(text) }
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All files of one server, oldest first.
#[derive(Debug, Default)]
pub struct Log {
    files: VecDeque<LogFile>,
}

impl Log {
    pub fn new(files: impl IntoIterator<Item = LogFile>) -> Self {
        Self { files: files.into_iter().collect() }
    }

    pub(crate) fn next_file(&mut self) -> Option<LogFile> {
        self.files.pop_front()
    }
}
