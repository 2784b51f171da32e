//! Quoted text and hexadecimal bytes.
//!
//! Owns escaping. Assumes a UTF-8 session without `NO_BACKSLASH_ESCAPES`. Cannot fail.

/// Text in single quotes; quote, backslash and NUL are escaped.
pub fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'\'');
    push_escaped(out, text.as_bytes());
    out.push(b'\'');
}

/// Bytes that are valid UTF-8, escaped, without the quotes.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\'' | b'\\' | 0)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.push(match special.first() {
            Some(0) | None => b'0',
            Some(byte) => *byte,
        });
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// `x'…'`, filled up with zero bytes to `pad_to`. No bytes are `''`: an empty `x''` is refused by some servers.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8], pad_to: usize) {
    if bytes.is_empty() && pad_to == 0 {
        out.extend_from_slice(b"''");
        return;
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len().max(pad_to) * 2 + 3);
    out.extend_from_slice(b"x'");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.resize(out.len() + pad_to.saturating_sub(bytes.len()) * 2, b'0');
    out.push(b'\'');
}
