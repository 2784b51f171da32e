//! Walks the tokens of one statement: keywords, names, balanced groups, and the table names met on the way. The grammar
//! itself lives in the modules that use it. A walk past the end yields "expected …" errors, never a panic.

use std::ops::Range;

use crate::error::Error;
use crate::lexer::{Lexed, ParseContext, Span, Token, TokenKind, lex, unquote_name, unquote_text};
use crate::statement::{TableRef, TableRole};

/// The text of one statement with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) text: String,
    pub(crate) lexed: Lexed,
    pub(crate) context: ParseContext,
}

impl Source {
    pub(crate) fn new(text: &str, context: &ParseContext) -> Result<Self, Error> {
        Ok(Self { text: text.to_owned(), lexed: lex(text, context)?, context: *context })
    }

    pub(crate) fn raw(&self, token: &Token) -> &str {
        self.text.get(token.span.start..token.span.end).unwrap_or_default()
    }

    /// The text of a run of tokens, byte-exact where the executable comments in it are whole. A run that cuts through
    /// a comment is printed token by token, since the comment's marks would no longer match.
    pub(crate) fn slice(&self, run: Range<usize>) -> String {
        self.slice_with(run, &[])
    }

    /// The same with replacements put in: spans of the text, in order, that do not overlap.
    pub(crate) fn slice_with(&self, run: Range<usize>, edits: &[(Span, String)]) -> String {
        let tokens = self.lexed.tokens.get(run.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return String::new() };
        let (mut start, mut end) = (first.span.start, last.span.end);
        let mut cut = false;
        let one_comment = first.comment.is_some() && tokens.iter().all(|t| t.comment == first.comment);
        for comment in self.lexed.comments.iter().filter(|c| c.first_token < run.end && c.end_token > run.start) {
            if comment.first_token >= run.start && comment.end_token <= run.end {
                start = start.min(comment.open.start);
                end = end.max(comment.close.end);
            } else {
                cut = true;
            }
        }
        if cut && !one_comment { self.joined(tokens, edits) } else { self.replaced(Span { start, end }, edits) }
    }

    fn replaced(&self, span: Span, edits: &[(Span, String)]) -> String {
        let mut out = String::new();
        let mut at = span.start;
        for (place, text) in edits.iter().filter(|(p, _)| p.start >= span.start && p.end <= span.end) {
            out.push_str(self.text.get(at..place.start).unwrap_or_default());
            out.push_str(text);
            at = place.end;
        }
        out.push_str(self.text.get(at..span.end).unwrap_or_default());
        out
    }

    fn joined(&self, tokens: &[Token], edits: &[(Span, String)]) -> String {
        let mut words: Vec<&str> = Vec::new();
        for token in tokens {
            match edits.iter().find(|(p, _)| p.start <= token.span.start && token.span.end <= p.end) {
                Some((place, text)) if place.start == token.span.start => words.push(text),
                Some(_) => {}
                None => words.push(self.raw(token)),
            }
        }
        words.join(" ")
    }
}

pub(crate) struct Parser<'a> {
    pub(crate) source: &'a Source,
    pub(crate) at: usize,
    pub(crate) tables: Vec<TableRef>,
    /// Runs of tokens that were accepted without being understood.
    pub(crate) not_modelled: Vec<Range<usize>>,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { source, at: 0, tables: Vec::new(), not_modelled: Vec::new() }
    }

    pub(crate) fn token(&self, ahead: usize) -> Option<&'a Token> {
        self.source.lexed.tokens.get(self.at + ahead)
    }

    pub(crate) fn raw(&self, ahead: usize) -> &'a str {
        self.token(ahead).map_or("", |t| self.source.raw(t))
    }

    pub(crate) fn ended(&self) -> bool {
        self.token(0).is_none()
    }

    pub(crate) fn position(&self) -> usize {
        self.token(0).map_or(self.source.text.len(), |t| t.span.start)
    }

    pub(crate) fn expected<T>(&self, expected: &'static str) -> Result<T, Error> {
        let at = self.position();
        let near: String = self.source.text.get(at..).unwrap_or_default().chars().take(40).collect();
        Err(Error::Expected { expected, at, near })
    }

    pub(crate) fn is_word(&self, ahead: usize, word: &str) -> bool {
        self.token(ahead).is_some_and(|t| t.kind == TokenKind::Word && self.source.raw(t).eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_any(&self, ahead: usize, words: &[&str]) -> bool {
        words.iter().any(|w| self.is_word(ahead, w))
    }

    pub(crate) fn are_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.is_word(i, w))
    }

    /// Takes the words if all of them come next.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let there = self.are_words(words);
        if there {
            self.at += words.len();
        }
        there
    }

    /// Takes one of the words.
    pub(crate) fn take_any(&mut self, words: &[&str]) -> bool {
        let there = self.is_any(0, words);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn is_symbol(&self, ahead: usize, symbol: char) -> bool {
        self.token(ahead).is_some_and(|t| t.kind == TokenKind::Symbol(symbol))
    }

    pub(crate) fn take_symbol(&mut self, symbol: char) -> bool {
        let there = self.is_symbol(0, symbol);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn need_symbol(&mut self, symbol: char, expected: &'static str) -> Result<(), Error> {
        if self.take_symbol(symbol) { Ok(()) } else { self.expected(expected) }
    }

    pub(crate) fn is_name(&self, ahead: usize) -> bool {
        self.token(ahead).is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedName))
    }

    pub(crate) fn name(&mut self) -> Result<String, Error> {
        if !self.is_name(0) {
            return self.expected("a name");
        }
        let name = unquote_name(self.raw(0));
        self.at += 1;
        Ok(name)
    }

    /// A column name; schema and table before it are dropped, as the server only checks them.
    pub(crate) fn column_name(&mut self) -> Result<String, Error> {
        self.take_symbol('.');
        let mut name = self.name()?;
        while self.is_symbol(0, '.') && self.is_name(1) {
            self.at += 1;
            name = self.name()?;
        }
        Ok(name)
    }

    /// A name that may also be given as a string: charsets, collations, engines.
    pub(crate) fn name_or_text(&mut self) -> Result<String, Error> {
        match self.token(0).map(|t| t.kind) {
            Some(TokenKind::Text) => self.text(),
            Some(TokenKind::Word | TokenKind::QuotedName) => self.name(),
            _ => self.expected("a name or a string"),
        }
    }

    pub(crate) fn is_text(&self, ahead: usize) -> bool {
        self.token(ahead).is_some_and(|t| t.kind == TokenKind::Text)
    }

    /// A string; strings that follow one another are one.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        if self.is_word(0, "_utf8mb4") || (self.raw(0).starts_with('_') && self.is_text(1)) {
            self.at += 1;
        }
        if !self.is_text(0) {
            return self.expected("a string");
        }
        let mut out = String::new();
        while self.is_text(0) {
            out.push_str(&unquote_text(self.raw(0), self.source.context.sql_mode));
            self.at += 1;
        }
        Ok(out)
    }

    /// A string, or a hexadecimal or bit literal that stands for one, as in the members of an ENUM.
    pub(crate) fn text_or_hex(&mut self) -> Result<String, Error> {
        if self.raw(0).starts_with('_') && self.token(1).is_some_and(|t| t.kind == TokenKind::Number) {
            self.at += 1;
        }
        let raw = self.raw(0);
        let strip = |prefixes: [&str; 3]| prefixes.into_iter().find_map(|p| raw.strip_prefix(p));
        let (digits, radix, per_byte) = match (strip(["0x", "x'", "X'"]), strip(["0b", "b'", "B'"])) {
            (Some(digits), _) => (Some(digits), 16, 2),
            (None, digits) => (digits, 2, 8),
        };
        if let Some(digits) = digits.filter(|_| self.token(0).is_some_and(|t| t.kind == TokenKind::Number)) {
            let digits: Vec<u32> = digits.trim_end_matches('\'').chars().filter_map(|c| c.to_digit(radix)).collect();
            // Whole bytes are counted from the right.
            let bytes: Vec<u8> =
                digits.rchunks(per_byte).rev().map(|d| d.iter().fold(0, |n, d| n * radix + d) as u8).collect();
            return match String::from_utf8(bytes) {
                Ok(text) => {
                    self.at += 1;
                    Ok(text)
                }
                Err(_) => self.expected("a string in UTF-8"),
            };
        }
        self.text()
    }

    pub(crate) fn number(&mut self) -> Result<u32, Error> {
        match self.raw(0).parse::<u32>() {
            Ok(n) => {
                self.at += 1;
                Ok(n)
            }
            Err(_) => self.expected("a number"),
        }
    }

    /// `(n)`, if it comes next.
    pub(crate) fn length(&mut self) -> Result<Option<u32>, Error> {
        if !self.take_symbol('(') {
            return Ok(None);
        }
        let n = self.number()?;
        self.need_symbol(')', "`)` after a length")?;
        Ok(Some(n))
    }

    /// Takes one token, or a whole group in parentheses.
    pub(crate) fn skip_one(&mut self) -> Result<(), Error> {
        if self.is_symbol(0, '(') {
            return self.skip_group().map(|_| ());
        }
        if self.ended() || self.is_symbol(0, ')') {
            return self.expected("more of the statement");
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `( … )` with everything in it; returns the tokens between the outer parentheses.
    pub(crate) fn skip_group(&mut self) -> Result<Range<usize>, Error> {
        let open = self.position();
        self.need_symbol('(', "`(`")?;
        let inner = self.at;
        let mut depth = 1usize;
        while let Some(token) = self.token(0) {
            self.at += 1;
            match token.kind {
                TokenKind::Symbol('(') => depth += 1,
                TokenKind::Symbol(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(inner..self.at - 1);
            }
        }
        Err(Error::Unterminated { what: "a parenthesis", at: open })
    }

    /// Takes everything up to a comma, a closing parenthesis of an outer group, or the end.
    pub(crate) fn skip_item(&mut self) -> Result<Range<usize>, Error> {
        let start = self.at;
        while !self.at_item_end() {
            self.skip_one()?;
        }
        Ok(start..self.at)
    }

    pub(crate) fn at_item_end(&self) -> bool {
        self.ended() || self.is_symbol(0, ',') || self.is_symbol(0, ')') || self.is_symbol(0, ';')
    }

    /// `name`, `schema.name` or `.name`, noted under its role; returns its index in `tables`.
    pub(crate) fn table(&mut self, role: TableRole) -> Result<usize, Error> {
        let start = self.position();
        self.take_symbol('.');
        let mut schema = None;
        let mut table = self.name()?;
        if self.is_symbol(0, '.') {
            self.at += 1;
            schema = Some(std::mem::replace(&mut table, self.name()?));
        }
        let end = self.source.lexed.tokens.get(self.at.saturating_sub(1)).map_or(start, |t| t.span.end);
        self.tables.push(TableRef { role, schema, table, span: Span { start, end } });
        Ok(self.tables.len() - 1)
    }

    pub(crate) fn if_exists(&mut self) -> bool {
        self.take(&["IF", "EXISTS"])
    }

    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.take(&["IF", "NOT", "EXISTS"])
    }

    /// The statement must end here; one semicolon is allowed.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        while self.take_symbol(';') {}
        if self.ended() {
            return Ok(());
        }
        if self.at > 0 && self.source.lexed.tokens.get(self.at - 1).is_some_and(|t| t.kind == TokenKind::Symbol(';')) {
            return Err(Error::SecondStatement { at: self.position() });
        }
        self.expected("the end of the statement")
    }
}
