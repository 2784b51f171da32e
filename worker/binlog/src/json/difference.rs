//! Differences between two documents, as partial updates log them.
//!
//! Each is an operation (replace, insert, remove), a path and, but for remove, a binary document. A difference that does
//! not fit the document means that the before image is not what the server had: an error, never a guess.

use std::borrow::Cow;

use super::{
    MAX_DEPTH,
    node::{self, Budget},
    tree::Tree,
};
use crate::{
    Error,
    cursor::{Cursor, text},
};

/// Applies all differences in `differences` to the binary document and gives the resulting document's text.
pub fn apply_differences(document: &[u8], differences: &[u8]) -> Result<String, Error> {
    const REPLACE: u8 = 0;
    const INSERT: u8 = 1;
    const REMOVE: u8 = 2;
    let what = "a JSON difference";
    let mut tree = Tree::read(node::read(document)?, &mut Budget::of(document), 0)?;
    let mut cursor = Cursor::new(differences);
    while !cursor.is_empty() {
        let operation = cursor.u8(what)?;
        let path = parse_path(text(cursor.packed_bytes(what)?, "the path of a JSON difference is not UTF-8")?)?;
        let value = match operation {
            REPLACE | INSERT => {
                let value = cursor.packed_bytes(what)?;
                Some(Tree::read(node::read(value)?, &mut Budget::of(value), 0)?)
            }
            REMOVE => None,
            _ => return Err(Error::JsonDiff { reason: "an operation is unknown" }),
        };
        match value {
            Some(value) if operation == REPLACE => *seek(&mut tree, &path)? = value,
            Some(value) => insert(&mut tree, path, value)?,
            None => remove(&mut tree, &path)?,
        }
    }
    let mut out = String::with_capacity(document.len() * 2);
    tree.write(&mut out)?;
    Ok(out)
}

#[derive(Debug, PartialEq, Eq)]
enum Leg<'p> {
    Member(Cow<'p, str>),
    Cell(usize),
}

const NO_SUCH_PLACE: Error = Error::JsonDiff { reason: "the document has no such place" };
const BAD_PATH: Error = Error::JsonDiff { reason: "a path is not one" };

fn seek<'t, 'a>(tree: &'t mut Tree<'a>, path: &[Leg<'_>]) -> Result<&'t mut Tree<'a>, Error> {
    path.iter().try_fold(tree, |tree, leg| match (tree, leg) {
        (Tree::Object(members), Leg::Member(name)) => {
            members.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value).ok_or(NO_SUCH_PLACE)
        }
        (Tree::Array(elements), Leg::Cell(index)) => elements.get_mut(*index).ok_or(NO_SUCH_PLACE),
        // The only cell of something that is no array is the thing itself.
        (tree @ (Tree::Scalar(_) | Tree::Object(_)), Leg::Cell(0)) => Ok(tree),
        _ => Err(NO_SUCH_PLACE),
    })
}

fn insert<'a>(tree: &mut Tree<'a>, mut path: Vec<Leg<'a>>, value: Tree<'a>) -> Result<(), Error> {
    let last = path.pop().ok_or(BAD_PATH)?;
    match (seek(tree, &path)?, last) {
        (Tree::Object(members), Leg::Member(name)) => {
            // Stored order: shorter keys first, then by bytes.
            let order = |key: &str| (key.len(), key.as_bytes()).cmp(&(name.len(), name.as_bytes()));
            match members.binary_search_by(|(key, _)| order(key)) {
                Ok(_) => Err(Error::JsonDiff { reason: "the member to insert is there already" }),
                Err(at) => {
                    members.insert(at, (name, value));
                    Ok(())
                }
            }
        }
        (Tree::Array(elements), Leg::Cell(index)) => {
            elements.insert(index.min(elements.len()), value);
            Ok(())
        }
        _ => Err(NO_SUCH_PLACE),
    }
}

fn remove(tree: &mut Tree<'_>, path: &[Leg<'_>]) -> Result<(), Error> {
    let (last, parents) = path.split_last().ok_or(BAD_PATH)?;
    match (seek(tree, parents)?, last) {
        (Tree::Object(members), Leg::Member(name)) => {
            let at = members.iter().position(|(key, _)| key == name).ok_or(NO_SUCH_PLACE)?;
            members.remove(at);
            Ok(())
        }
        (Tree::Array(elements), Leg::Cell(index)) if *index < elements.len() => {
            elements.remove(*index);
            Ok(())
        }
        _ => Err(NO_SUCH_PLACE),
    }
}

/// `$`, then `.name`, `."quoted name"` or `[n]` any number of times.
fn parse_path(path: &str) -> Result<Vec<Leg<'_>>, Error> {
    let mut rest = path.trim().strip_prefix('$').ok_or(BAD_PATH)?.trim_start();
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if legs.len() == MAX_DEPTH {
            return Err(BAD_PATH);
        }
        if let Some(cell) = rest.strip_prefix('[') {
            let (index, after) = cell.split_once(']').ok_or(BAD_PATH)?;
            legs.push(Leg::Cell(index.trim().parse().map_err(|_| BAD_PATH)?));
            rest = after;
        } else if let Some(member) = rest.strip_prefix('.') {
            let member = member.trim_start();
            let (name, after) = match member.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let end = member.find(['.', '[']).unwrap_or(member.len());
                    let (name, after) = member.split_at(end);
                    (Cow::Borrowed(name.trim_end()), after)
                }
            };
            legs.push(Leg::Member(name));
            rest = after;
        } else {
            return Err(BAD_PATH);
        }
        rest = rest.trim_start();
    }
    Ok(legs)
}

/// Reads up to the closing quote; gives the name and what follows the quote.
fn unquote(quoted: &str) -> Result<(Cow<'_, str>, &str), Error> {
    let mut name = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Cow::Owned(name), quoted.get(at + 1..).unwrap_or_default())),
            '\\' => name.push(match chars.next().ok_or(BAD_PATH)?.1 {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => escaped_char(&mut chars)?,
                other => other,
            }),
            c => name.push(c),
        }
    }
    Err(BAD_PATH)
}

/// Four hexadecimal digits, or two such escapes for a character beyond the first 65536.
fn escaped_char(chars: &mut std::str::CharIndices<'_>) -> Result<char, Error> {
    let first = escaped_unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).ok_or(BAD_PATH);
    }
    if chars.next().map(|(_, c)| c) != Some('\\') || chars.next().map(|(_, c)| c) != Some('u') {
        return Err(BAD_PATH);
    }
    let second = escaped_unit(chars)?.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(BAD_PATH)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10 | second)).ok_or(BAD_PATH)
}

fn escaped_unit(chars: &mut std::str::CharIndices<'_>) -> Result<u32, Error> {
    (0..4).try_fold(0, |unit, _| {
        let digit = chars.next().and_then(|(_, c)| c.to_digit(16)).ok_or(BAD_PATH)?;
        Ok(unit << 4 | digit)
    })
}
