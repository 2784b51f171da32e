//! The target server: executes the statements that are sent, and refuses what a server refuses.

use std::collections::BTreeMap;

use dm_ddl::table::{DataType, IndexOn};
use dm_model::TableName;

use super::schema::{Datum, Kind};

#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub(super) tables: BTreeMap<TableName, ServerTable>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ServerTable {
    pub(super) columns: Vec<(String, Kind)>,
    keys: Vec<Vec<(usize, Option<usize>)>>,
    pub(super) rows: Vec<Vec<Datum>>,
}

impl ServerTable {
    /// Takes the columns and keys of a structure; rows get NULL for columns they do not have.
    pub(super) fn follow(&mut self, structure: &dm_ddl::table::Table) {
        let kind = |column: &dm_ddl::table::Column| match (&column.data_type, column.collation.as_deref()) {
            (DataType::Int, _) => Kind::Int,
            (_, Some("utf8mb4_bin")) => Kind::Exact,
            _ => Kind::Folded,
        };
        self.columns = structure.columns.iter().map(|column| (column.name.clone(), kind(column))).collect();
        let at = |on: &IndexOn| match on {
            IndexOn::Column(name) => self.columns.iter().position(|(column, _)| column == name).unwrap_or_default(),
            IndexOn::Expression(_) => 0,
        };
        let parts = |index: &dm_ddl::table::Index| {
            index.parts.iter().map(|part| (at(&part.on), part.prefix.map(|n| n as usize))).collect()
        };
        self.keys = structure.unique_keys().map(parts).collect();
        let n_columns = self.columns.len();
        self.rows.iter_mut().for_each(|row| row.resize(n_columns, Datum::Null));
    }

    fn column(&self, name: &str) -> Result<usize, String> {
        self.columns.iter().position(|(column, _)| column == name).ok_or_else(|| format!("no column {name}"))
    }

    /// Rows in the way of this one, but for the one it replaces.
    fn in_way(&self, row: &[Datum], except: Option<usize>) -> Vec<usize> {
        let claim = |row: &[Datum], key: &[(usize, Option<usize>)]| -> Option<Vec<Datum>> {
            key.iter().map(|(column, prefix)| self.columns[*column].1.compared(&row[*column], *prefix)).collect()
        };
        let collides = |other: &[Datum]| {
            self.keys.iter().any(|key| matches!((claim(row, key), claim(other, key)), (Some(a), Some(b)) if a == b))
        };
        let is_other = |idx: &usize| Some(*idx) != except;
        (0..self.rows.len()).filter(is_other).filter(|idx| collides(&self.rows[*idx])).collect()
    }
}

impl Server {
    /// Executes one statement; the number of affected rows, or what the server says.
    pub(super) fn execute(&mut self, sql: &str) -> Result<u64, String> {
        let mut parser = Parser { tokens: lex(sql)?, at: 0 };
        let verb = parser.word()?;
        match verb.as_str() {
            "INSERT" | "REPLACE" => {
                parser.expect("INTO")?;
                let table = self.table(&mut parser)?;
                let names = parser.list(Parser::ident)?;
                parser.expect("VALUES")?;
                let mut rows = vec![parser.list(Parser::literal)?];
                while parser.takes(",") {
                    rows.push(parser.list(Parser::literal)?);
                }
                let upsert = parser.takes("ON");
                let columns = names.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
                let mut n_affected = 0;
                for values in rows {
                    let mut row = vec![Datum::Null; table.columns.len()];
                    columns.iter().zip(values).for_each(|(column, value)| row[*column] = value);
                    let in_way = table.in_way(&row, None);
                    match (verb.as_str(), in_way.as_slice()) {
                        (_, []) => {
                            table.rows.push(row);
                            n_affected += 1;
                        }
                        ("REPLACE", _) => {
                            n_affected += 1 + in_way.len() as u64;
                            in_way.iter().rev().for_each(|idx| drop(table.rows.remove(*idx)));
                            table.rows.push(row);
                        }
                        (_, [first, ..]) if upsert => {
                            if let [other, ..] = table.in_way(&row, Some(*first)).as_slice() {
                                return Err(format!("1062: {row:?} against {:?}", table.rows[*other]));
                            }
                            n_affected += if table.rows[*first] == row { 1 } else { 2 };
                            // Columns that are not given keep their values.
                            for column in &columns {
                                table.rows[*first][*column] = row[*column].clone();
                            }
                        }
                        (_, [first, ..]) => return Err(format!("1062: {row:?} against {:?}", table.rows[*first])),
                    }
                }
                Ok(n_affected)
            }
            "UPDATE" => {
                let table = self.table(&mut parser)?;
                parser.expect("SET")?;
                let mut sets = Vec::new();
                loop {
                    let column = table.column(&parser.ident()?)?;
                    parser.expect("=")?;
                    sets.push((column, parser.literal()?));
                    if !parser.takes(",") {
                        break;
                    }
                }
                let found = parser.rows(table)?;
                for idx in &found {
                    let mut row = table.rows[*idx].clone();
                    sets.iter().for_each(|(column, value)| row[*column] = value.clone());
                    if let [other, ..] = table.in_way(&row, Some(*idx)).as_slice() {
                        return Err(format!("1062: {row:?} against {:?}", table.rows[*other]));
                    }
                    table.rows[*idx] = row;
                }
                Ok(found.len() as u64)
            }
            "DELETE" => {
                parser.expect("FROM")?;
                let table = self.table(&mut parser)?;
                let found = parser.rows(table)?;
                found.iter().rev().for_each(|idx| drop(table.rows.remove(*idx)));
                Ok(found.len() as u64)
            }
            other => Err(format!("1064: {other}")),
        }
    }

    fn table(&mut self, parser: &mut Parser) -> Result<&mut ServerTable, String> {
        let schema = parser.ident()?;
        parser.expect(".")?;
        let name = TableName::new(schema, parser.ident()?);
        self.tables.get_mut(&name).ok_or_else(|| format!("1146: {name}"))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Ident(String),
    /// Words in capitals, and signs.
    Word(String),
    Literal(Datum),
}

fn lex(sql: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            '`' => tokens.push(Token::Ident(chars.by_ref().take_while(|c| *c != '`').collect())),
            '\'' => {
                let text: String = chars.by_ref().take_while(|c| *c != '\'').collect();
                if text.contains('\\') {
                    return Err(format!("an escape in {sql}"));
                }
                tokens.push(Token::Literal(Datum::Text(text)));
            }
            c if c == '-' || c.is_ascii_digit() => {
                let mut digits = c.to_string();
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                tokens.push(Token::Literal(Datum::Int(digits.parse().map_err(|_| format!("no number: {digits}"))?)));
            }
            c if c.is_ascii_alphabetic() => {
                let mut word = c.to_string();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric()) {
                    word.push(c);
                }
                tokens.push(if word == "NULL" { Token::Literal(Datum::Null) } else { Token::Word(word) });
            }
            sign => tokens.push(Token::Word(sign.to_string())),
        }
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// A condition on one column.
enum Test {
    Null,
    Equal(Vec<Datum>),
    /// Equal byte by byte.
    Same(Datum),
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(self.tokens.get(self.at), Some(Token::Word(next)) if next == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.takes(word) { Ok(()) } else { Err(format!("1064: {word} expected, {:?}", self.tokens.get(self.at))) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(format!("1064: a word expected, {other:?}")),
        }
    }

    fn ident(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Ident(name)) => Ok(name),
            other => Err(format!("1064: a name expected, {other:?}")),
        }
    }

    fn literal(&mut self) -> Result<Datum, String> {
        match self.next() {
            Some(Token::Literal(value)) => Ok(value),
            other => Err(format!("1064: a value expected, {other:?}")),
        }
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.expect("(")?;
        let mut all = vec![one(self)?];
        while self.takes(",") {
            all.push(one(self)?);
        }
        self.expect(")")?;
        Ok(all)
    }

    /// `WHERE … [LIMIT 1]`: the rows it finds, ascending.
    fn rows(&mut self, table: &ServerTable) -> Result<Vec<usize>, String> {
        self.expect("WHERE")?;
        let mut any = vec![self.conjunction(table)?];
        while self.takes("OR") {
            any.push(self.conjunction(table)?);
        }
        let is_met = |row: &[Datum], (column, test): &(usize, Test)| {
            let (value, kind) = (&row[*column], table.columns[*column].1);
            match test {
                Test::Null => *value == Datum::Null,
                Test::Same(wanted) => value == wanted,
                Test::Equal(list) => list.iter().any(|wanted| {
                    matches!((kind.compared(value, None), kind.compared(wanted, None)), (Some(a), Some(b)) if a == b)
                }),
            }
        };
        let is_found = |row: &[Datum]| any.iter().any(|all| all.iter().all(|test| is_met(row, test)));
        let mut found: Vec<usize> = (0..table.rows.len()).filter(|idx| is_found(&table.rows[*idx])).collect();
        if self.takes("LIMIT") {
            found.truncate(1);
        }
        Ok(found)
    }

    fn conjunction(&mut self, table: &ServerTable) -> Result<Vec<(usize, Test)>, String> {
        let nested = self.takes("(");
        let mut all = vec![self.test(table)?];
        while self.takes("AND") {
            all.push(self.test(table)?);
        }
        if nested {
            self.expect(")")?;
        }
        Ok(all)
    }

    fn test(&mut self, table: &ServerTable) -> Result<(usize, Test), String> {
        if self.takes("CAST") {
            // CAST(CONVERT(column USING utf8mb4) AS BINARY)=CAST(CONVERT(literal USING utf8mb4) AS BINARY)
            let converted = |parser: &mut Self, words: &[&str]| words.iter().try_for_each(|word| parser.expect(word));
            converted(self, &["(", "CONVERT", "("])?;
            let column = table.column(&self.ident()?)?;
            converted(self, &["USING", "utf8mb4", ")", "AS", "BINARY", ")", "=", "CAST", "(", "CONVERT", "("])?;
            let value = self.literal()?;
            converted(self, &["USING", "utf8mb4", ")", "AS", "BINARY", ")"])?;
            return Ok((column, Test::Same(value)));
        }
        let column = table.column(&self.ident()?)?;
        Ok((
            column,
            if self.takes("IS") {
                self.literal()?;
                Test::Null
            } else if self.takes("IN") {
                Test::Equal(self.list(Self::literal)?)
            } else {
                self.expect("=")?;
                Test::Equal(vec![self.literal()?])
            },
        ))
    }
}
