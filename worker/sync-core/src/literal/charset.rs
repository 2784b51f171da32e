//! Character data: from the column's charset to a literal, or to text for comparing.
//!
//! Owns which charset a column has and how its bytes become UTF-8. Bytes that have no meaning in their charset are kept
//! as they are, in hexadecimal with the charset's introducer; nothing is replaced and nothing fails.

use std::borrow::Cow;

use dm_ddl::table::{Column, Table};
use encoding_rs::Encoding;

use super::{
    Dialect,
    text::{push_escaped, push_hex},
};

/// How a charset's bytes are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Charset {
    /// `utf8mb4`, `utf8mb3`, `ascii`: as they are.
    Utf8,
    /// The server's latin1 is cp1252 with its five holes filled by the same code points.
    Latin1,
    /// `ucs2`, `utf16`.
    Utf16,
    Utf16Le,
    Utf32,
    /// Not character data.
    Binary,
    /// Every other one. `decode`: it can be read here, for targets that do not know the charset (and for comparing).
    Other {
        name: Name,
        decode: Option<&'static Encoding>,
        transcode: bool,
    },
}

/// A charset's name, as an introducer needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; 16],
    len: u8,
}

impl Name {
    fn new(text: &str) -> Self {
        let mut name = Self { bytes: [0; 16], len: 0 };
        for (to, from) in name.bytes.iter_mut().zip(text.bytes().filter(u8::is_ascii_alphanumeric)) {
            *to = from.to_ascii_lowercase();
            name.len += 1;
        }
        name
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The charset's name of a column: its own, its collation's, or the table's.
pub(crate) fn name_of<'a>(table: &'a Table, column: &'a Column) -> Option<&'a str> {
    let of_collation = |collation: &'a Option<String>| collation.as_deref().map(charset_of_collation);
    column
        .charset
        .as_deref()
        .or_else(|| of_collation(&column.collation))
        .or(table.charset.as_deref())
        .or_else(|| of_collation(&table.collation))
}

/// `utf8mb4_general_ci` belongs to `utf8mb4`.
pub(crate) fn charset_of_collation(collation: &str) -> &str {
    collation.split('_').next().unwrap_or(collation)
}

impl Charset {
    /// A column without any charset is read as UTF-8 where it is valid UTF-8.
    pub fn of_column(table: &Table, column: &Column, dialect: Dialect) -> Self {
        name_of(table, column).map_or(Self::Utf8, |name| Self::parse(name, dialect))
    }

    pub fn parse(name: &str, dialect: Dialect) -> Self {
        let lower = name.to_ascii_lowercase();
        let decode = match lower.as_str() {
            "utf8" | "utf8mb3" | "utf8mb4" | "ascii" => return Self::Utf8,
            "latin1" => return Self::Latin1,
            "ucs2" | "utf16" => return Self::Utf16,
            "utf16le" => return Self::Utf16Le,
            "utf32" => return Self::Utf32,
            "binary" => return Self::Binary,
            "gbk" | "gb2312" => Some(encoding_rs::GBK),
            "gb18030" => Some(encoding_rs::GB18030),
            "big5" => Some(encoding_rs::BIG5),
            "sjis" | "cp932" => Some(encoding_rs::SHIFT_JIS),
            "ujis" | "eucjpms" => Some(encoding_rs::EUC_JP),
            "euckr" => Some(encoding_rs::EUC_KR),
            "latin2" => Some(encoding_rs::ISO_8859_2),
            "latin5" => Some(encoding_rs::WINDOWS_1254),
            "latin7" => Some(encoding_rs::ISO_8859_13),
            "cp1250" => Some(encoding_rs::WINDOWS_1250),
            "cp1251" => Some(encoding_rs::WINDOWS_1251),
            "cp1256" => Some(encoding_rs::WINDOWS_1256),
            "cp1257" => Some(encoding_rs::WINDOWS_1257),
            "greek" => Some(encoding_rs::ISO_8859_7),
            "hebrew" => Some(encoding_rs::ISO_8859_8),
            "koi8r" => Some(encoding_rs::KOI8_R),
            "koi8u" => Some(encoding_rs::KOI8_U),
            "cp866" => Some(encoding_rs::IBM866),
            "tis620" => Some(encoding_rs::WINDOWS_874),
            "macroman" => Some(encoding_rs::MACINTOSH),
            _ => None,
        };
        // MySQL and MariaDB convert with their own tables, which differ from ours in rare characters; TiDB has none.
        Self::Other { name: Name::new(&lower), decode, transcode: dialect == Dialect::TiDb }
    }

    /// Appends the literal of a column's bytes.
    pub(super) fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        let direct = match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Latin1 | Self::Utf16 | Self::Utf16Le | Self::Utf32 => self.decode(bytes),
            Self::Binary => None,
            Self::Other { transcode, decode, .. } => {
                if bytes.iter().all(|byte| is_plain_ascii(*byte)) || (transcode && decode.is_some()) {
                    self.decode(bytes)
                } else {
                    None
                }
            }
        };
        match direct {
            Some(text) => {
                out.push(b'\'');
                push_escaped(out, text.as_bytes());
                out.push(b'\'');
            }
            None => {
                match self {
                    Self::Other { name, .. } => {
                        out.push(b'_');
                        out.extend_from_slice(name.as_bytes());
                        out.push(b' ');
                    }
                    Self::Utf16 => out.extend_from_slice(b"_utf16 "),
                    Self::Utf16Le => out.extend_from_slice(b"_utf16le "),
                    Self::Utf32 => out.extend_from_slice(b"_utf32 "),
                    Self::Utf8 | Self::Latin1 | Self::Binary => {}
                }
                push_hex(out, bytes, 0);
            }
        }
    }

    /// The text of a column's bytes; `None` when they have no meaning in the charset, or cannot be read here.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Latin1 => Some(encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0),
            Self::Utf16 | Self::Utf16Le => {
                let unit = |pair: &[u8; 2]| match self {
                    Self::Utf16Le => u16::from_le_bytes(*pair),
                    _ => u16::from_be_bytes(*pair),
                };
                let (pairs, rest) = bytes.as_chunks::<2>();
                let text = char::decode_utf16(pairs.iter().map(unit)).collect::<Result<String, _>>().ok()?;
                rest.is_empty().then_some(Cow::Owned(text))
            }
            Self::Utf32 => {
                let (words, rest) = bytes.as_chunks::<4>();
                let text =
                    words.iter().map(|word| char::from_u32(u32::from_be_bytes(*word))).collect::<Option<String>>()?;
                rest.is_empty().then_some(Cow::Owned(text))
            }
            Self::Binary => None,
            Self::Other { decode, .. } => match decode {
                _ if bytes.iter().all(|byte| is_plain_ascii(*byte)) => {
                    std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
                }
                Some(encoding) => encoding.decode_without_bom_handling_and_without_replacement(bytes),
                None => None,
            },
        }
    }
}

/// Bytes that mean the same in every charset whose bytes below 0x80 are ASCII; sjis and swe7 give others to some.
fn is_plain_ascii(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-' | b'.' | b',' | b':' | b'/' | b'%' | b'+' | b'=')
}
