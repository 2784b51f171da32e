//! The texts of values, brought to one form.
//!
//! MariaDB's tool writes a text between quotes as it is and control characters as `\x0a`; MySQL's also escapes quotes and
//! backslashes and has short forms. The one form is MariaDB's: so a backslash followed by `x0a` and a line feed are not told apart.
//! Floating-point numbers have six significant digits in both (DOUBLE has twenty).

/// What stands before ` /* TYPE … */`; a value may contain such text itself, its type does not.
pub(super) fn without_type(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_suffix(b"*/")?;
    let at = inner.windows(4).rposition(|window| window == b" /* ")?;
    Some(inner[..at].trim_ascii_end())
}

/// Appends a value.
pub(super) fn push(image: &mut Vec<u8>, value: &[u8], is_mysql: bool) {
    if !is_mysql || !value.starts_with(b"'") {
        image.extend_from_slice(value);
        return;
    }
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            image.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => image.extend_from_slice(b"\\x0a"),
            Some(b'r') => image.extend_from_slice(b"\\x0d"),
            Some(b't') => image.extend_from_slice(b"\\x09"),
            Some(b'b') => image.extend_from_slice(b"\\x08"),
            Some(b'0') => image.extend_from_slice(b"\\x00"),
            Some(b'f') => image.extend_from_slice(b"\\x0c"),
            Some(b'v') => image.extend_from_slice(b"\\x0b"),
            Some(b'a') => image.extend_from_slice(b"\\x07"),
            Some(b'e') => image.extend_from_slice(b"\\x1b"),
            Some(b'Z') => image.extend_from_slice(b"\\x1a"),
            Some(b'x') => image.extend_from_slice(b"\\x"),
            Some(other) => image.push(*other),
            None => image.push(b'\\'),
        }
    }
}

/// The bytes of a quoted value in the one form; `None` when it is not quoted.
pub(crate) fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let inner = value.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((first, after)) = rest.split_first() {
        if let [b'\\', b'x', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
            && high < 2
        {
            bytes.push(high << 4 | low);
            rest = after;
            continue;
        }
        bytes.push(*first);
        rest = after;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// An integer; of `-1 (255)` the unsigned one.
pub(crate) fn unsigned(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let text = match text.split_once(" (") {
        Some((_, unsigned)) => unsigned.strip_suffix(')')?,
        None => text,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_form(value: &[u8], is_mysql: bool) -> Vec<u8> {
        let mut image = Vec::new();
        push(&mut image, value, is_mysql);
        image
    }

    #[test]
    fn both_tools_say_the_same_of_one_text() {
        let mysql = one_form(b"'a\\'b\\\\c\\n\\f\\x01\\t d'", true);
        assert_eq!(mysql, b"'a'b\\c\\x0a\\x0c\\x01\\x09 d'");
        assert_eq!(mysql, one_form(b"'a'b\\c\\x0a\\x0c\\x01\\x09 d'", false));
        assert_eq!(unquote(&mysql).unwrap(), b"a'b\\c\n\x0c\x01\t d");
    }

    #[test]
    fn a_value_ends_at_the_last_comment() {
        assert_eq!(without_type(b"'a /* INT */' /* VARSTRING(9) meta=9 */").unwrap(), b"'a /* INT */'");
        assert_eq!(without_type(b"1.5                  /* FLOAT meta=4 */").unwrap(), b"1.5");
        assert_eq!(without_type(b"1.5"), None);
    }

    #[test]
    fn of_two_readings_of_an_integer_the_unsigned_one_counts() {
        assert_eq!(unsigned(b"-1 (18446744073709551615)"), Some(u64::MAX));
        assert_eq!(unsigned(b"7"), Some(7));
        assert_eq!(unsigned(b"'7'"), None);
    }
}
