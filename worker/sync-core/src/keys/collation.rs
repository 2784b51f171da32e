//! A coarse equality of text that contains the target's: what a collation calls equal folds to the same bytes.
//!
//! Owns which collations are understood and how each folds. A fold may call more equal than the collation does
//! (accents under `_as_`, trailing spaces under NO PAD, everything outside the Latin letters and digits), never less.
//! Collations of single languages have contractions and are [`Fold::Uncertain`]. Cannot fail.

use dm_ddl::table::{Column, Table};
use icu_normalizer::DecomposingNormalizerBorrowed;

use crate::literal::charset::{charset_of_collation, name_of};

/// How to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Equal bytes only.
    Bytes,
    /// Equal bytes after trailing spaces are cut.
    Bin,
    /// ASCII letters without case; whatever is not ASCII counts as one run.
    AsciiCase,
    /// The collations of latin1: letters that any of them may call equal are one.
    Latin1,
    /// Unicode before UCA 5.2: all characters beyond U+FFFF are equal.
    OldUnicode,
    Unicode,
    /// Nothing can be said.
    Uncertain,
}

/// The fold of a column of `table`, from its collation, or its charset's default one where the structure gives none.
pub fn fold_of(table: &Table, column: &Column) -> Fold {
    let charset = name_of(table, column).map(str::to_ascii_lowercase);
    let inherited = || {
        // A column that names its charset but no collation has the charset's default, not the table's.
        let table_charset = table.charset.as_deref().map(str::to_ascii_lowercase);
        let own = column.charset.as_deref().map(str::to_ascii_lowercase);
        table.collation.as_deref().filter(|_| own.is_none() || own == table_charset)
    };
    match (column.collation.as_deref().or_else(inherited), charset) {
        (Some(collation), _) => fold_of_collation(collation),
        (None, Some(charset)) => match charset.as_str() {
            "binary" => Fold::Bytes,
            // Servers leave a collation out only where it is the old default (or, on TiDB, a binary one).
            "utf8" | "utf8mb3" | "utf8mb4" | "ucs2" | "utf16" | "utf16le" | "utf32" => Fold::OldUnicode,
            "latin1" => Fold::Latin1,
            charset if is_case_only(charset) => Fold::AsciiCase,
            _ => Fold::Uncertain,
        },
        (None, None) => Fold::Uncertain,
    }
}

/// The fold of a collation by its name.
pub fn fold_of_collation(collation: &str) -> Fold {
    let lower = collation.to_ascii_lowercase();
    if lower == "binary" {
        return Fold::Bytes;
    }
    let charset = charset_of_collation(&lower);
    let rest = lower.strip_prefix(charset).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default();
    if rest == "0900_bin" {
        return Fold::Bytes;
    }
    if rest == "bin" || rest == "nopad_bin" {
        return Fold::Bin;
    }
    match charset {
        "utf8" | "utf8mb3" | "utf8mb4" | "ucs2" | "utf16" | "utf16le" | "utf32" => match rest {
            "general_ci" | "general_nopad_ci" | "general_mysql500_ci" | "unicode_ci" | "unicode_nopad_ci" => {
                Fold::OldUnicode
            }
            "unicode_520_ci" | "unicode_520_nopad_ci" | "0900_ai_ci" | "0900_as_ci" | "0900_as_cs" => Fold::Unicode,
            _ if rest.starts_with("uca1400_a") || rest.starts_with("uca1400_nopad_a") => Fold::Unicode,
            _ => Fold::Uncertain,
        },
        "latin1" => match rest {
            "swedish_ci" | "swedish_nopad_ci" | "general_ci" | "general_cs" | "german1_ci" => Fold::Latin1,
            _ => Fold::Uncertain,
        },
        charset if is_case_only(charset) => match rest {
            "general_ci" | "chinese_ci" | "japanese_ci" | "korean_ci" | "general_nopad_ci" | "chinese_nopad_ci"
            | "japanese_nopad_ci" | "korean_nopad_ci" => Fold::AsciiCase,
            _ => Fold::Uncertain,
        },
        _ => Fold::Uncertain,
    }
}

/// Charsets whose plain collation tells all ASCII characters but case apart, and never equates ASCII with others.
fn is_case_only(charset: &str) -> bool {
    matches!(charset, "ascii" | "gbk" | "gb2312" | "gb18030" | "big5" | "sjis" | "cp932" | "ujis" | "eucjpms" | "euckr")
}

/// Appends the normal form of `text`.
pub fn push_folded(fold: Fold, text: &str, out: &mut Vec<u8>) {
    #[cfg(test)]
    let fold = if crate::mutants::is(crate::mutants::Mutant::KeysAsBytes) { Fold::Bytes } else { fold };
    match fold {
        Fold::Bytes => out.extend_from_slice(text.as_bytes()),
        Fold::Bin => out.extend_from_slice(text.trim_end_matches(' ').as_bytes()),
        Fold::AsciiCase => fold_ascii(text, out),
        Fold::Latin1 => fold_latin1(text, out),
        Fold::OldUnicode => {
            // Dropping one kind of character keeps "all equal" and makes it "ignored", which is coarser.
            fold_unicode(text.chars().filter(|c| u32::from(*c) <= 0xFFFF), out);
        }
        Fold::Unicode => fold_unicode(text.chars(), out),
        Fold::Uncertain => {}
    }
}

fn trim_spaces(out: &mut Vec<u8>, start: usize) {
    while out.len() > start && out.last() == Some(&b' ') {
        out.pop();
    }
}

fn fold_ascii(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase() as u8);
        } else if out.len() == start || out.last() != Some(&0xFF) {
            out.push(0xFF);
        }
    }
    trim_spaces(out, start);
}

fn fold_latin1(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in text.chars() {
        let folded = match c.to_ascii_lowercase() {
            // All that some accented letter may equal, and the places that Swedish gives to its last letters.
            'a' | 'c' | 'd' | 'e' | 'i' | 'n' | 'o' | 's' | 't' | 'u' | 'y' | 'z' | '[' | '\\' | ']' | '^' | '{'
            | '|' | '}' | '~' => 0xFF,
            c if c.is_ascii() => c as u8,
            _ => 0xFF,
        };
        if folded != 0xFF || out.len() == start || out.last() != Some(&0xFF) {
            out.push(folded);
        }
    }
    trim_spaces(out, start);
}

/// First bytes of the decimal digits of other scripts; each has ten, in order, and the UCA calls them equal to ours.
const DIGITS: [u32; 47] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0,
    0x11650, 0x116C0, 0x11730, 0x118E0,
];

fn fold_unicode(text: impl Iterator<Item = char>, out: &mut Vec<u8>) {
    let start = out.len();
    for c in DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(text) {
        for c in c.to_lowercase() {
            fold_char(c, start, out);
        }
    }
    trim_spaces(out, start);
}

fn fold_char(c: char, start: usize, out: &mut Vec<u8>) {
    match c {
        // ß is `s` to one collation and `ss` to another.
        's' | 'ß' => {
            if out.len() == start || out.last() != Some(&b's') {
                out.push(b's');
            }
        }
        '\t'..='\r' => out.push(c as u8),
        c if c.is_ascii_control() => {}
        c if c.is_ascii() => out.push(c as u8),
        'æ' => out.extend_from_slice(b"ae"),
        'œ' => out.extend_from_slice(b"oe"),
        'þ' => out.extend_from_slice(b"th"),
        'ⱥ' => out.push(b'a'),
        'ƀ' => out.push(b'b'),
        'ȼ' => out.push(b'c'),
        'đ' | 'ð' => out.push(b'd'),
        'ɇ' => out.push(b'e'),
        'ǥ' => out.push(b'g'),
        'ħ' => out.push(b'h'),
        'ı' | 'ɨ' => out.push(b'i'),
        'ɉ' => out.push(b'j'),
        'ĸ' => out.push(b'q'),
        'ł' | 'ƚ' => out.push(b'l'),
        'ŋ' => out.push(b'n'),
        'ø' => out.push(b'o'),
        'ɍ' => out.push(b'r'),
        'ŧ' | 'ⱦ' => out.push(b't'),
        'ʉ' => out.push(b'u'),
        'ɏ' => out.push(b'y'),
        'ƶ' => out.push(b'z'),
        // Circled numbers that do not decompose.
        '⓫'..='⓴' => push_number(u32::from(c) - 0x24EB + 11, out),
        '⓵'..='⓾' => push_number(u32::from(c) - 0x24F5 + 1, out),
        '⓿' => out.push(b'0'),
        '❶'..='❿' => push_number(u32::from(c) - 0x2776 + 1, out),
        '➀'..='➉' => push_number(u32::from(c) - 0x2780 + 1, out),
        '➊'..='➓' => push_number(u32::from(c) - 0x278A + 1, out),
        c => {
            let code = u32::from(c);
            if let Some(zero) = DIGITS.iter().find(|zero| (**zero..**zero + 10).contains(&code)) {
                push_number(code - zero, out);
            }
            // The rest, accents among it, is ignored: it equals nothing of the above.
        }
    }
}

fn push_number(number: u32, out: &mut Vec<u8>) {
    crate::literal::write_to(out, format_args!("{number}"));
}

#[cfg(test)]
mod tests;
