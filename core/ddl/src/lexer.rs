//! Cuts a statement into tokens with byte spans, as the server would under its `sql_mode` and version: executable
//! comments are opened, plain comments are gaps between tokens. Fails only on what never ends (a string, a quoted name,
//! a comment); never panics, never reads a token's meaning.

use dm_model::Flavor;

use crate::error::Error;
use crate::sql_mode::SqlMode;

#[cfg(test)]
mod tests;

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseContext {
    pub sql_mode: SqlMode,
    pub flavor: Flavor,
    /// The server's version as in version comments, `80023` or `101118`. `None` opens all of them, which is right for
    /// what a server itself prints.
    pub version: Option<u32>,
    /// Whether `/*T! … */` and `/*T![feature] … */` are opened. Such comments stay in the text either way.
    pub tidb_comments: bool,
}

impl Default for ParseContext {
    fn default() -> Self {
        Self { sql_mode: SqlMode::default(), flavor: Flavor::MySql, version: None, tidb_comments: true }
    }
}

impl ParseContext {
    /// `8.0.36`, `10.11.18-MariaDB-log`, `5.5.5-10.6.4-MariaDB` → the number of version comments; `None` if unreadable.
    pub fn version_number(text: &str) -> Option<u32> {
        let text = text.strip_prefix("5.5.5-").unwrap_or(text);
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        let minor = parts.next()?.ok()?;
        let patch = parts.next().and_then(Result::ok).unwrap_or(0);
        if major > 99 || minor > 99 || patch > 99 {
            return None;
        }
        Some(major * 10_000 + minor * 100 + patch)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A bare word: a keyword or a name.
    Word,
    /// A name in backticks, or in double quotes under ANSI_QUOTES.
    QuotedName,
    /// A quoted string, without its charset introducer, which is a word before it.
    Text,
    /// Decimal, hexadecimal or bit literal.
    Number,
    /// One character of anything else.
    Symbol(char),
}

/// Bytes `start..end` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
    /// The executable comment the token stands in: an index into [`Lexed::comments`].
    pub comment: Option<u32>,
}

/// An opened executable comment: where its marks are, and which tokens it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub open: Span,
    pub close: Span,
    pub first_token: usize,
    pub end_token: usize,
}

/// A text and its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lexed {
    pub tokens: Vec<Token>,
    pub comments: Vec<Comment>,
}

pub fn lex(sql: &str, context: &ParseContext) -> Result<Lexed, Error> {
    let mut lexer = Lexer { bytes: sql.as_bytes(), at: 0, context, out: Lexed::default(), open: None };
    lexer.run()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    context: &'a ParseContext,
    out: Lexed,
    open: Option<u32>,
}

fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

impl Lexer<'_> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.out.tokens.push(Token { kind, span: Span { start, end: self.at }, comment: self.open });
    }

    fn run(&mut self) -> Result<(), Error> {
        while let Some(b) = self.byte(0) {
            let start = self.at;
            match b {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.at += 1,
                0xef if self.at == 0 && self.rest().starts_with("\u{feff}".as_bytes()) => self.at += 3,
                b'#' => self.skip_line(),
                b'-' if self.byte(1) == Some(b'-') && self.byte(2).is_none_or(|c| c <= b' ') => self.skip_line(),
                b'/' if self.byte(1) == Some(b'*') => self.comment()?,
                b'*' if self.byte(1) == Some(b'/') && self.open.is_some() => self.close_comment(),
                b'\'' => self.text(b'\'')?,
                b'"' if !self.context.sql_mode.contains(SqlMode::ANSI_QUOTES) => self.text(b'"')?,
                b'"' | b'`' => self.quoted_name(b)?,
                b'n' | b'N' if self.byte(1) == Some(b'\'') => {
                    self.at += 1;
                    self.text(b'\'')?;
                    self.widen_last(start);
                }
                b'x' | b'X' | b'b' | b'B' if self.byte(1) == Some(b'\'') => self.quoted_number()?,
                b'0'..=b'9' => self.number_or_word(),
                b'.' if self.byte(1).is_some_and(|c| c.is_ascii_digit()) && !self.follows_name() => {
                    self.number_or_word();
                }
                _ if is_word_byte(b) => {
                    self.skip_word();
                    self.push(TokenKind::Word, start);
                }
                _ => {
                    self.at += 1;
                    self.push(TokenKind::Symbol(char::from(b)), start);
                }
            }
        }
        match self.open.and_then(|c| self.out.comments.get(c as usize)) {
            Some(comment) => Err(Error::Unterminated { what: "an executable comment", at: comment.open.start }),
            None => Ok(()),
        }
    }

    fn widen_last(&mut self, start: usize) {
        if let Some(token) = self.out.tokens.last_mut() {
            token.span.start = start;
        }
    }

    fn skip_line(&mut self) {
        while self.byte(0).is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    fn skip_word(&mut self) {
        while self.byte(0).is_some_and(is_word_byte) {
            self.at += 1;
        }
    }

    /// Whether the previous token is a name that ends right here, so that a dot after it is a separator.
    fn follows_name(&self) -> bool {
        self.out
            .tokens
            .last()
            .is_some_and(|t| t.span.end == self.at && matches!(t.kind, TokenKind::Word | TokenKind::QuotedName))
    }

    fn number_or_word(&mut self) {
        let start = self.at;
        let after_dot = self.out.tokens.last().is_some_and(|t| t.kind == TokenKind::Symbol('.') && t.span.end == start);
        if self.byte(0) != Some(b'.') {
            self.skip_word();
            let word = &self.bytes[start..self.at];
            let all_digits = word.iter().all(u8::is_ascii_digit);
            let prefixed =
                |p: &[u8], ok: fn(&u8) -> bool| word.len() > 2 && word.starts_with(p) && word.iter().skip(2).all(ok);
            let number = prefixed(b"0x", u8::is_ascii_hexdigit)
                || prefixed(b"0b", |b| matches!(b, b'0' | b'1'))
                || is_exponent_form(word);
            // `1e+5`: the sign is not part of the word.
            let cut_exponent = word.len() > 1
                && matches!(word.last(), Some(b'e' | b'E'))
                && word[..word.len() - 1].iter().all(u8::is_ascii_digit)
                && matches!(self.byte(0), Some(b'+' | b'-'))
                && self.byte(1).is_some_and(|b| b.is_ascii_digit());
            if after_dot || !(all_digits || number || cut_exponent) {
                self.push(TokenKind::Word, start);
                return;
            }
            if cut_exponent {
                self.at += 1;
                self.skip_digits();
            }
            if !all_digits {
                self.push(TokenKind::Number, start);
                return;
            }
        }
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            self.skip_digits();
            let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
            if matches!(self.byte(0), Some(b'e' | b'E')) && self.byte(1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                self.at += 1 + sign;
                self.skip_digits();
            }
        }
        self.push(TokenKind::Number, start);
    }

    fn skip_digits(&mut self) {
        while self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn quoted_number(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 2;
        while let Some(b) = self.byte(0) {
            self.at += 1;
            if b == b'\'' {
                self.push(TokenKind::Number, start);
                return Ok(());
            }
        }
        Err(Error::Unterminated { what: "a hexadecimal or bit literal", at: start })
    }

    fn text(&mut self, quote: u8) -> Result<(), Error> {
        let start = self.at;
        let escapes = !self.context.sql_mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        self.at += 1;
        while let Some(b) = self.byte(0) {
            self.at += 1;
            if b == b'\\' && escapes {
                self.at += 1;
            } else if b == quote {
                if self.byte(0) == Some(quote) {
                    self.at += 1;
                } else {
                    self.push(TokenKind::Text, start);
                    return Ok(());
                }
            }
        }
        Err(Error::Unterminated { what: "a string", at: start })
    }

    fn quoted_name(&mut self, quote: u8) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        while let Some(b) = self.byte(0) {
            self.at += 1;
            if b == quote {
                if self.byte(0) == Some(quote) {
                    self.at += 1;
                } else {
                    self.push(TokenKind::QuotedName, start);
                    return Ok(());
                }
            }
        }
        Err(Error::Unterminated { what: "a quoted name", at: start })
    }

    fn comment(&mut self) -> Result<(), Error> {
        let start = self.at;
        let (mark, active) = self.executable_mark();
        if active && self.open.is_none() {
            self.at += mark;
            let first_token = self.out.tokens.len();
            self.open = Some(self.out.comments.len() as u32);
            let open = Span { start, end: self.at };
            self.out.comments.push(Comment { open, close: open, first_token, end_token: first_token });
            return Ok(());
        }
        // A skipped executable comment may hold plain comments, a plain one may not.
        let nests = mark > 0;
        self.at += 2;
        let mut depth = 1;
        while depth > 0 {
            match (self.byte(0), self.byte(1)) {
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                }
                (Some(b'/'), Some(b'*')) if nests => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(Error::Unterminated { what: "a comment", at: start }),
            }
        }
        Ok(())
    }

    /// Length of the opening mark of an executable comment (0 for a plain one), and whether this server opens it.
    fn executable_mark(&self) -> (usize, bool) {
        let rest = self.rest();
        let mariadb = self.context.flavor == Flavor::MariaDb;
        if rest.starts_with(b"/*T!") {
            let features = match rest.get(4) {
                Some(b'[') => rest.iter().position(|&b| b == b']').map_or(0, |end| end + 1 - 4),
                _ => 0,
            };
            return (4 + features, self.context.tidb_comments);
        }
        let (mark, known) = if rest.starts_with(b"/*M!") {
            (4, mariadb || self.context.version.is_none())
        } else if rest.starts_with(b"/*!") {
            (3, true)
        } else {
            return (0, false);
        };
        let digits = rest[mark..].iter().take(6).take_while(|b| b.is_ascii_digit()).count();
        if digits < 5 {
            return (mark, known);
        }
        let number = rest[mark..mark + digits].iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
        let active = match self.context.version {
            None => true,
            // MariaDB leaves the numbers of MySQL 5.7 to 9 alone: its own versions begin at 10.
            Some(_) if mariadb && mark == 3 && (50_700..=99_999).contains(&number) => false,
            Some(version) => number <= version,
        };
        (mark + digits, known && active)
    }

    fn close_comment(&mut self) {
        let start = self.at;
        self.at += 2;
        let end_token = self.out.tokens.len();
        if let Some(comment) = self.open.take().and_then(|c| self.out.comments.get_mut(c as usize)) {
            comment.close = Span { start, end: start + 2 };
            comment.end_token = end_token;
        }
    }
}

fn is_exponent_form(word: &[u8]) -> bool {
    let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0
        && matches!(word.get(digits), Some(b'e' | b'E'))
        && word.len() > digits + 1
        && word[digits + 1..].iter().all(u8::is_ascii_digit)
}

/// What `sql[span]` names: quotes taken off, doubled quotes made single.
pub(crate) fn unquote_name(raw: &str) -> String {
    let quote = match raw.chars().next() {
        Some(q @ ('`' | '"')) if raw.len() >= 2 => q,
        _ => return raw.to_owned(),
    };
    let inner = &raw[1..raw.len() - 1];
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

/// The value of a string token.
pub(crate) fn unquote_text(raw: &str, sql_mode: SqlMode) -> String {
    let raw = raw.strip_prefix(['n', 'N']).unwrap_or(raw);
    let Some(quote) = raw.chars().next().filter(|_| raw.len() >= 2) else { return String::new() };
    let escapes = !sql_mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw[1..raw.len() - 1].chars();
    while let Some(c) = chars.next() {
        if c == '\\' && escapes {
            match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some('b') => out.push('\u{8}'),
                Some('Z') => out.push('\u{1a}'),
                Some(other) => out.push(other),
                None => {}
            }
        } else if c == quote {
            out.push(quote);
            chars.next();
        } else {
            out.push(c);
        }
    }
    out
}
