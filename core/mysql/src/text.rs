//! SQL text for the crate's own statements: literals and shortened statements for messages.
//!
//! Row data is rendered elsewhere. Literals are right for sessions this crate prepared: UTF-8, backslash escapes on.

/// A string literal in single quotes.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A string literal or NULL.
pub fn literal_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

/// A binary literal.
pub fn binary(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2 + 3);
    out.push_str("x'");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out.push('\'');
    out
}

/// A statement short enough for a message.
pub fn shorten(sql: &str) -> String {
    const MAX_CHARS: usize = 512;
    match sql.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}… ({} bytes)", &sql[..at], sql.len()),
        None => sql.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_escape_what_ends_them() {
        assert_eq!(literal(r"it's a\b"), r"'it''s a\\b'");
        assert_eq!(literal_or_null(None), "NULL");
        assert_eq!(binary(&[0, 0xab]), "x'00ab'");
    }

    #[test]
    fn long_statements_are_cut_at_a_character() {
        let shown = shorten(&"ü".repeat(600));
        assert!(shown.ends_with("… (1200 bytes)"));
    }
}
