//! CREATE TABLE: the element list, the table options, and the [`Table`] they describe.

use std::ops::Range;

use crate::column::ColumnDef;
use crate::error::Error;
use crate::index::Constraint;
use crate::parser::Parser;
use crate::statement::TableRole;

/// A CREATE TABLE as written. The table's own name is the first of the statement's tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateTable {
    pub or_replace: bool,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub elements: Vec<Element>,
    pub options: Vec<TableOption>,
    /// Index of the LIKE source among the statement's tables.
    pub like: Option<usize>,
    /// Whether a query fills the table, so that its columns are not all in the text.
    pub select: bool,
    /// `START TRANSACTION`, as MySQL writes CREATE TABLE … SELECT into its binlog: tokens.
    pub(crate) start_transaction: Option<Range<usize>>,
    /// Text of the options that are not modelled, and of the partitioning.
    pub tail: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    Column(Box<ColumnDef>),
    Constraint(Constraint),
}

/// A table option that the structure keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableOption {
    Charset(String),
    Collation(String),
    Engine(String),
    Comment(String),
    AutoIncrement,
    /// Any other option; its tokens.
    Other(Range<usize>),
}

impl Parser<'_> {
    /// From behind `CREATE [OR REPLACE] [TEMPORARY] TABLE`.
    pub(crate) fn create_table(&mut self, or_replace: bool, temporary: bool) -> Result<CreateTable, Error> {
        let mut create =
            CreateTable { or_replace, temporary, if_not_exists: self.if_not_exists(), ..CreateTable::default() };
        self.table(TableRole::Target)?;
        if self.take(&["LIKE"]) {
            create.like = Some(self.table(TableRole::LikeSource)?);
            self.like_options(&mut create)?;
            return Ok(create);
        }
        if self.is_symbol(0, '(') && self.is_word(1, "LIKE") && self.is_name(2) {
            self.at += 2;
            create.like = Some(self.table(TableRole::LikeSource)?);
            self.need_symbol(')', "`)` after LIKE")?;
            self.like_options(&mut create)?;
            return Ok(create);
        }
        if self.is_symbol(0, '(') && !self.at_query(1) {
            self.at += 1;
            loop {
                create.elements.push(self.element()?);
                if !self.take_symbol(',') {
                    break;
                }
            }
            self.need_symbol(')', "`,` or `)` in the table's definition")?;
        }
        self.create_tail(&mut create)?;
        Ok(create)
    }

    /// TiDB allows a few options behind LIKE.
    fn like_options(&mut self, create: &mut CreateTable) -> Result<(), Error> {
        let start = self.at;
        while !self.ended() && !self.is_symbol(0, ';') {
            self.skip_one()?;
        }
        create.tail = self.source.slice(start..self.at);
        Ok(())
    }

    fn at_query(&self, ahead: usize) -> bool {
        let mut ahead = ahead;
        while self.is_symbol(ahead, '(') {
            ahead += 1;
        }
        self.is_any(ahead, &["SELECT", "WITH", "VALUES", "TABLE"])
            && !(self.is_any(ahead, &["WITH"]) && self.is_any(ahead + 1, &["SYSTEM"]))
    }

    pub(crate) fn element(&mut self) -> Result<Element, Error> {
        if self.at_constraint() {
            Ok(Element::Constraint(self.constraint()?))
        } else {
            Ok(Element::Column(Box::new(self.column_def()?)))
        }
    }

    fn create_tail(&mut self, create: &mut CreateTable) -> Result<(), Error> {
        let mut tail: Vec<String> = Vec::new();
        while !self.ended() && !self.is_symbol(0, ';') {
            let start = self.at;
            if self.take_symbol(',') {
                continue;
            }
            if self.take(&["START", "TRANSACTION"]) {
                create.start_transaction = Some(start..self.at);
            } else if self.is_any(0, &["IGNORE", "REPLACE", "AS"]) || self.at_query(0) {
                create.select = true;
                while !self.ended() && !self.is_symbol(0, ';') {
                    self.skip_one()?;
                }
            } else if self.is_word(0, "PARTITION") && self.is_word(1, "BY") {
                self.partition_by()?;
                tail.push(self.source.slice(start..self.at));
            } else {
                match self.table_option()? {
                    TableOption::Other(run) => {
                        tail.push(self.source.slice(run.clone()));
                        create.options.push(TableOption::Other(run));
                    }
                    option => create.options.push(option),
                }
            }
        }
        create.tail = tail.join(" ");
        Ok(())
    }

    /// `PARTITION BY …` up to its definitions; a query or the end stops it.
    pub(crate) fn partition_by(&mut self) -> Result<(), Error> {
        while !self.ended() && !self.is_symbol(0, ';') && !self.is_symbol(0, ',') {
            if self.is_any(0, &["IGNORE", "REPLACE", "AS", "SELECT"])
                || (self.is_word(0, "START") && self.is_word(1, "TRANSACTION"))
            {
                break;
            }
            self.skip_one()?;
        }
        Ok(())
    }

    /// One table option, `name [=] value`, of CREATE or ALTER.
    pub(crate) fn table_option(&mut self) -> Result<TableOption, Error> {
        let start = self.at;
        let has_default = self.take(&["DEFAULT"]);
        if self.take_charset_words() {
            self.take_symbol('=');
            return Ok(TableOption::Charset(self.name_or_text()?.to_ascii_lowercase()));
        }
        if self.take(&["COLLATE"]) {
            self.take_symbol('=');
            return Ok(TableOption::Collation(self.name_or_text()?.to_ascii_lowercase()));
        }
        if has_default {
            return self.expected("a charset or a collation");
        }
        if self.take_any(&["ENGINE", "TYPE"]) {
            self.take_symbol('=');
            return Ok(TableOption::Engine(self.name_or_text()?));
        }
        if self.take(&["COMMENT"]) {
            self.take_symbol('=');
            return Ok(TableOption::Comment(self.text()?));
        }
        if self.take(&["AUTO_INCREMENT"]) {
            self.take_symbol('=');
            self.skip_one()?;
            return Ok(TableOption::AutoIncrement);
        }
        self.other_option()?;
        Ok(TableOption::Other(start..self.at))
    }

    fn other_option(&mut self) -> Result<(), Error> {
        let two_words = [["DATA", "DIRECTORY"], ["INDEX", "DIRECTORY"], ["PLACEMENT", "POLICY"]];
        if self.take(&["WITH", "SYSTEM", "VERSIONING"]) || self.take(&["WITHOUT", "SYSTEM", "VERSIONING"]) {
            return Ok(());
        }
        if self.take(&["STORAGE"]) {
            return self.skip_one();
        }
        if !self.is_name(0) {
            return self.expected("a table option");
        }
        if !two_words.iter().any(|words| self.take(words)) {
            self.at += 1;
        }
        self.take_symbol('=');
        if self.take_symbol('-') || self.take_symbol('@') {
            return self.skip_one();
        }
        // TTL = `col` + INTERVAL 1 DAY and the like: an option's value runs over operators.
        self.skip_one()?;
        while self.is_symbol(0, '+') {
            self.at += 1;
            if self.take(&["INTERVAL"]) {
                self.skip_one()?;
            }
            self.skip_one()?;
        }
        Ok(())
    }
}
