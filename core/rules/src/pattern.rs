//! Patterns for schema and table names: wildcards and regular expressions.
//!
//! Wildcards: `*` (any text, only as the last character), `?` (one character), `[a-z0]` and `[!a-z]` (one character of,
//! or not of, a set). A `[` without a `]` is an ordinary character. A text with a leading `~` is a regular expression
//! that may match anywhere in the name. Matching is a pure function of pattern and name; only compiling can fail.

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Whether `Shop` and `shop` are the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CaseSensitivity {
    Sensitive,
    #[default]
    Insensitive,
}

impl CaseSensitivity {
    /// The meaning of the config key `case-sensitive`.
    pub fn of_flag(case_sensitive: bool) -> Self {
        if case_sensitive { Self::Sensitive } else { Self::Insensitive }
    }

    pub(crate) fn fold(self, text: &str) -> String {
        match self {
            Self::Sensitive => text.to_owned(),
            Self::Insensitive => text.to_lowercase(),
        }
    }
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PatternError {
    #[error("a pattern must not be empty")]
    Empty,
    #[error("`*` in `{pattern}` must be the last character")]
    StarNotLast { pattern: String },
    #[error("`[]` in `{pattern}` can match nothing")]
    EmptySet { pattern: String },
    #[error("`{pattern}` is not a regular expression")]
    Regex {
        pattern: String,
        #[source]
        source: regex::Error,
    },
}

/// A compiled pattern of either kind.
#[derive(Debug, Clone)]
pub enum Pattern {
    Wildcard(Wildcard),
    Regex(Regex),
}

impl Pattern {
    /// Compiles a wildcard pattern, or a regular expression after `~`.
    pub fn compile(text: &str, case: CaseSensitivity) -> Result<Self, PatternError> {
        match text.strip_prefix('~') {
            None => Wildcard::compile(text, case).map(Self::Wildcard),
            Some("") => Err(PatternError::Empty),
            Some(regex) => compile_regex(regex, case).map(Self::Regex),
        }
    }

    /// Compares case by the sensitivity the pattern was compiled with.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Wildcard(wildcard) => wildcard.matches(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Compiles an unanchored regular expression.
pub(crate) fn compile_regex(text: &str, case: CaseSensitivity) -> Result<Regex, PatternError> {
    regex::RegexBuilder::new(text)
        .case_insensitive(case == CaseSensitivity::Insensitive)
        .build()
        .map_err(|source| PatternError::Regex { pattern: text.to_owned(), source })
}

/// A compiled wildcard pattern. The whole name must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    characters: Vec<Piece>,
    open_end: bool,
    case: CaseSensitivity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(char),
    Any,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Wildcard {
    pub fn compile(text: &str, case: CaseSensitivity) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let text: Vec<char> = case.fold(text).chars().collect();
        let whole = || text.iter().collect::<String>();
        let mut wildcard = Self { characters: Vec::with_capacity(text.len()), open_end: false, case };
        let mut at = 0;
        while at < text.len() {
            let piece = match text[at] {
                '*' if at + 1 == text.len() => {
                    wildcard.open_end = true;
                    break;
                }
                '*' => return Err(PatternError::StarNotLast { pattern: whole() }),
                '?' => Piece::Any,
                '[' => match text[at..].iter().position(|c| *c == ']') {
                    None => Piece::Literal('['),
                    Some(length) => {
                        let inner = &text[at + 1..at + length];
                        at += length;
                        parse_set(inner).ok_or_else(|| PatternError::EmptySet { pattern: whole() })?
                    }
                },
                literal => Piece::Literal(literal),
            };
            wildcard.characters.push(piece);
            at += 1;
        }
        Ok(wildcard)
    }

    pub fn matches(&self, name: &str) -> bool {
        match self.case {
            CaseSensitivity::Sensitive => self.matches_folded(name),
            CaseSensitivity::Insensitive => self.matches_folded(&name.to_lowercase()),
        }
    }

    fn matches_folded(&self, name: &str) -> bool {
        let mut rest = name.chars();
        let head = self.characters.iter().all(|piece| rest.next().is_some_and(|c| piece.matches(c)));
        head && (self.open_end || rest.next().is_none())
    }
}

impl Piece {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == c,
            Self::Any => true,
            Self::Set { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

/// `inner` is the text between the brackets. `[!]` means the character `!` itself.
fn parse_set(inner: &[char]) -> Option<Piece> {
    let (negated, members) = match inner {
        [] => return None,
        ['!'] => (false, inner),
        ['!', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut ranges = Vec::new();
    let mut rest = members;
    loop {
        rest = match rest {
            [] => return Some(Piece::Set { negated, ranges }),
            [low, '-', high, tail @ ..] => {
                ranges.push((*low, *high));
                tail
            }
            [single, tail @ ..] => {
                ranges.push((*single, *single));
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests;
