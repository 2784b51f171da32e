//! Reads what SHOW CREATE TABLE prints. Every executable comment is opened: the server wrote them for itself.

use dm_model::Flavor;

use crate::error::Error;
use crate::lexer::ParseContext;
use crate::parser::{Parser, Source};
use crate::sql_mode::SqlMode;
use crate::table::Table;

/// The structure in the text of SHOW CREATE TABLE (MySQL, MariaDB, TiDB) or in a CREATE TABLE of a dump: schema if the
/// text names one, table name, structure. Fails for LIKE, for a table filled by a query, for views and for sequences.
pub fn parse_create(sql: &str, sql_mode: SqlMode) -> Result<(Option<String>, String, Table), Error> {
    let context = ParseContext { sql_mode, flavor: Flavor::MySql, version: None, tidb_comments: true };
    let source = Source::new(sql, &context)?;
    let mut parser = Parser::new(&source);
    if !parser.take(&["CREATE"]) {
        return parser.expected("CREATE TABLE");
    }
    let or_replace = parser.take(&["OR", "REPLACE"]);
    let temporary = parser.take(&["GLOBAL", "TEMPORARY"]) || parser.take(&["TEMPORARY"]);
    if !parser.take(&["TABLE"]) {
        return parser.expected("TABLE");
    }
    let create = parser.create_table(or_replace, temporary)?;
    parser.finish()?;
    if create.select || create.like.is_some() || create.elements.is_empty() {
        return parser.expected("a definition of every column");
    }
    let (table, known) = Table::of_create(&create);
    if known.is_err() {
        return parser.expected("a table charset, which a column's type depends on");
    }
    match parser.tables.into_iter().next() {
        Some(name) => Ok((name.schema, name.table, table)),
        None => Err(Error::Empty),
    }
}
