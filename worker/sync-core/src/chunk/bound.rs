//! A key as a bound: SQL literals of its columns, as stored in the chunk table and as compared here.
//!
//! Owns the stored form and the client-side order. Never compares what only the server can. Fails on corrupt bytes.

use std::cmp::Ordering;

use super::Error;
use crate::{change::LiteralRow, literal::write_to};

/// The literals of a key's columns, valid on the source and in its time zone `+00:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub literals: LiteralRow,
}

impl Bound {
    pub fn of_integer(value: i128) -> Self {
        let mut literals = LiteralRow::with_capacity(1, 20);
        let mut text = Vec::new();
        write_to(&mut text, format_args!("{value}"));
        literals.push_literal(&text);
        Self { literals }
    }

    /// The stored form: for each column the length of its literal (4 bytes, little endian) and the literal.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.literals.n_bytes() + self.literals.len() * 4);
        for literal in self.literals.iter() {
            bytes.extend_from_slice(&u32::try_from(literal.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(literal);
        }
        bytes
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, Error> {
        let mut literals = LiteralRow::default();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Error::Bound)?;
            let (literal, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Error::Bound)?;
            literals.push_literal(literal);
            bytes = rest;
        }
        if literals.is_empty() { Err(Error::Bound) } else { Ok(Self { literals }) }
    }

    /// The order of two keys of a table whose [`Order`](super::Order) is not `Server`.
    pub(super) fn compare(&self, other: &LiteralRow) -> Ordering {
        for (ours, theirs) in self.literals.iter().zip(other.iter()) {
            let order = match (integer(ours), integer(theirs)) {
                (Some(ours), Some(theirs)) => ours.cmp(&theirs),
                // Dates have one width, hexadecimal digits the order of their bytes.
                _ => content(ours).cmp(content(theirs)),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

fn integer(literal: &[u8]) -> Option<i128> {
    std::str::from_utf8(literal).ok()?.parse().ok()
}

fn content(literal: &[u8]) -> &[u8] {
    let literal = literal.strip_prefix(b"x").unwrap_or(literal);
    let literal = literal.strip_prefix(b"'").unwrap_or(literal);
    literal.strip_suffix(b"'").unwrap_or(literal)
}
