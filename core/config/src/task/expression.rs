//! Expression filters: rows that are left out by what they contain.
//!
//! Owns the shape of a filter. Whether an expression is SQL is only checked as far as its brackets and quotes.

use serde::{Deserialize, Serialize};

use super::raw;
use crate::Error;

/// One entry of `expression-filter`, for exactly one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpressionFilter {
    pub name: String,
    pub schema: String,
    pub table: String,
    pub condition: Condition,
}

/// Which rows are left out. For updates both sides must hold; a missing side holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Insert(String),
    Update { old: Option<String>, new: Option<String> },
    Delete(String),
}

impl ExpressionFilter {
    pub(crate) fn check(name: &str, raw: raw::ExpressionFilter) -> Result<Self, Error> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let required = |key, text| set(text).ok_or_else(|| Error::ExpressionEmpty { name: name.to_owned(), key });
        let schema = required("schema", raw.schema)?;
        let table = required("table", raw.table)?;
        let (insert, delete) = (set(raw.insert_value_expr), set(raw.delete_value_expr));
        let (old, new) = (set(raw.update_old_value_expr), set(raw.update_new_value_expr));
        for sql in [&insert, &delete, &old, &new].into_iter().flatten() {
            balanced(sql).map_err(|reason| Error::ExpressionGrammar {
                name: name.to_owned(),
                sql: sql.clone(),
                reason: reason.to_owned(),
            })?;
        }
        let keys: Vec<&str> = [
            ("insert-value-expr", insert.is_some()),
            ("update-old-value-expr/update-new-value-expr", old.is_some() || new.is_some()),
            ("delete-value-expr", delete.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect();
        let condition = match (insert, old, new, delete) {
            (Some(insert), None, None, None) => Condition::Insert(insert),
            (None, None, None, Some(delete)) => Condition::Delete(delete),
            (None, None, None, None) => {
                return Err(Error::ExpressionEmpty { name: name.to_owned(), key: "expression" });
            }
            (None, old, new, None) => Condition::Update { old, new },
            (Some(_), _, _, _) | (None, _, _, Some(_)) => {
                return Err(Error::ExpressionKinds { name: name.to_owned(), keys: keys.join(", ") });
            }
        };
        Ok(Self { name: name.to_owned(), schema, table, condition })
    }
}

fn balanced(sql: &str) -> Result<(), &'static str> {
    let mut depth = 0_u32;
    let mut characters = sql.chars();
    while let Some(c) = characters.next() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("a bracket is closed that was not opened")?,
            '\'' | '"' | '`' => skip_quoted(&mut characters, c)?,
            ';' => return Err("an expression has no `;`"),
            _ => {}
        }
    }
    if depth > 0 { Err("a bracket is not closed") } else { Ok(()) }
}

/// A doubled quote ends one quoted text and starts the next, which is as good as skipping it.
fn skip_quoted(characters: &mut std::str::Chars<'_>, quote: char) -> Result<(), &'static str> {
    while let Some(c) = characters.next() {
        if c == quote {
            return Ok(());
        }
        if c == '\\' && quote != '`' {
            characters.next();
        }
    }
    Err("a quote is not closed")
}
