//! A statement's text; the first byte chooses flavor and modes. Pieces of what is understood are understood again.

use dm_ddl::{ParseContext, SqlMode, parse, split};
use dm_model::Flavor;

pub fn run(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(text) else { return };
    let context = ParseContext {
        sql_mode: SqlMode(if choice & 2 == 0 { 0 } else { 4 }),
        flavor: if choice & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb },
        version: Default::default(),
        tidb_comments: choice & 4 != 0,
    };
    if let Ok(statement) = parse(sql, &context) {
        drop(split(&statement, "schema"));
    }
}
