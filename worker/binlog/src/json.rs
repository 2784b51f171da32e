//! MySQL's binary JSON: to text, and differences applied to it.
//!
//! Text is what the server itself prints: `", "` and `": "` between members, doubles that stay doubles (`1.0`), decimals
//! as digits, dates as strings, other values as `"base64:typeN:…"`, members in the stored order. Documents that lie
//! about their offsets are refused: no more is visited or printed than the document has bytes for.

mod difference;
mod node;
mod text;
mod tree;

pub use difference::apply_differences;

use crate::Error;

/// Deeper nesting than servers allow (100) is refused.
pub const MAX_DEPTH: usize = 128;

/// The text of a binary document, as in [`crate::Value::Json`]. An empty slice is `null`.
pub fn to_text(document: &[u8]) -> Result<String, Error> {
    let mut out = String::with_capacity(document.len() * 2);
    write_text(document, &mut out)?;
    Ok(out)
}

/// The same, appended to `out`. After an error `out` holds a part of the text.
pub fn write_text(document: &[u8], out: &mut String) -> Result<(), Error> {
    let mut budget = node::Budget::of(document);
    text::write_node(node::read(document)?, &mut budget, 0, out)
}

#[cfg(test)]
mod tests;
