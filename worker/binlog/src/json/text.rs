//! Printing by the server's rules.

use std::fmt::Write;

use super::{
    MAX_DEPTH,
    node::{Budget, Node, Scalar},
};
use crate::{Error, cursor::Cursor, rows::read_decimal};

pub(super) fn write_node(node: Node<'_>, budget: &mut Budget, depth: usize, out: &mut String) -> Result<(), Error> {
    budget.node()?;
    let container = match node {
        Node::Scalar(scalar) => {
            budget.bytes(scalar.data_bytes())?;
            return write_scalar(scalar, out);
        }
        Node::Container(container) => container,
    };
    if depth >= MAX_DEPTH {
        return Err(Error::Corrupt { what: "a JSON document is nested too deeply" });
    }
    out.push(if container.is_object { '{' } else { '[' });
    for index in 0..container.len {
        if index > 0 {
            out.push_str(", ");
        }
        if container.is_object {
            let key = container.key(index)?;
            budget.bytes(key.len())?;
            write_string(key, out);
            out.push_str(": ");
        }
        write_node(container.value(index)?, budget, depth + 1, out)?;
    }
    out.push(if container.is_object { '}' } else { ']' });
    Ok(())
}

impl Scalar<'_> {
    /// Bytes of the document that a text or opaque value takes.
    pub(super) fn data_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::UInt(_) | Self::Double(_) => 0,
            Self::String(text) => text.len(),
            Self::Opaque { data, .. } => data.len(),
        }
    }
}

pub(super) fn write_scalar(scalar: Scalar<'_>, out: &mut String) -> Result<(), Error> {
    match scalar {
        Scalar::Null => out.push_str("null"),
        Scalar::Bool(true) => out.push_str("true"),
        Scalar::Bool(false) => out.push_str("false"),
        Scalar::Int(value) => write_display(value, out),
        Scalar::UInt(value) => write_display(value, out),
        Scalar::Double(value) => write_double(value, out),
        Scalar::String(text) => write_string(text, out),
        Scalar::Opaque { column_type, data } => write_opaque(column_type, data, out)?,
    }
    Ok(())
}

fn write_display(value: impl std::fmt::Display, out: &mut String) {
    write!(out, "{value}").expect("invariant: writing to a String cannot fail");
}

pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain_from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x09 => "\\t",
            0x0a => "\\n",
            0x0c => "\\f",
            0x0d => "\\r",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(text.get(plain_from..index).unwrap_or_default());
        plain_from = index + 1;
        if escape.is_empty() {
            write_display(format_args!("\\u{byte:04x}"), out);
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(plain_from..).unwrap_or_default());
    out.push('"');
}

/// Shortest digits that read back as the same number; plain notation from 1e-15 to below 1e15 and for larger numbers
/// with a fraction, else an exponent.
fn write_double(value: f64, out: &mut String) {
    const PLAIN: std::ops::RangeInclusive<i32> = -15..=14;
    // Of two shortest texts that are equally near, servers take the even one, as rounding to so many digits does.
    let shortest = format!("{:e}", value.abs());
    let n_digits = shortest.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    let scientific = format!("{:.*e}", n_digits.saturating_sub(1), value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if value.is_sign_negative() {
        out.push('-');
    }
    if value == 0.0 {
        out.push_str("0.0");
    } else if !(PLAIN.contains(&exponent) || exponent > 0 && digits.len() > exponent as usize + 1) {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push('e');
        write_display(exponent, out);
    } else if exponent < 0 {
        out.push_str("0.");
        (1..-exponent).for_each(|_| out.push('0'));
        out.push_str(&digits);
    } else {
        let whole = exponent as usize + 1;
        match digits.split_at_checked(whole) {
            Some((whole, fraction)) => {
                out.push_str(whole);
                out.push('.');
                out.push_str(if fraction.is_empty() { "0" } else { fraction });
            }
            None => {
                out.push_str(&digits);
                (digits.len()..whole).for_each(|_| out.push('0'));
                out.push_str(".0");
            }
        }
    }
}

fn write_opaque(column_type: u8, data: &[u8], out: &mut String) -> Result<(), Error> {
    const TIMESTAMP: u8 = 7;
    const DATE: u8 = 10;
    const TIME: u8 = 11;
    const DATETIME: u8 = 12;
    const DECIMAL: u8 = 246;
    let what = "a value inside a JSON document";
    let mut cursor = Cursor::new(data);
    match column_type {
        DECIMAL => {
            let [precision, scale] = cursor.array(what)?;
            let decimal = read_decimal(&mut cursor, precision, scale).map_err(|_| Error::Corrupt { what })?;
            out.push_str(decimal.as_str());
        }
        DATE | DATETIME | TIMESTAMP => {
            let packed = cursor.u64(what)? as i64;
            let (whole, micros) = (packed.unsigned_abs() >> 24, packed.unsigned_abs() & 0xff_ffff);
            let months = whole >> 22;
            let (year, month, day) = (months / 13, months % 13, (whole >> 17) & 31);
            let (hour, minute, second) = ((whole >> 12) & 31, (whole >> 6) & 63, whole & 63);
            if column_type == DATE {
                write_display(format_args!("\"{year:04}-{month:02}-{day:02}\""), out);
            } else {
                let date = format_args!("\"{year:04}-{month:02}-{day:02}");
                write_display(format_args!("{date} {hour:02}:{minute:02}:{second:02}.{micros:06}\""), out);
            }
        }
        TIME => {
            let packed = cursor.u64(what)? as i64;
            let (whole, micros) = (packed.unsigned_abs() >> 24, packed.unsigned_abs() & 0xff_ffff);
            let sign = if packed < 0 { "-" } else { "" };
            let (hours, minute, second) = ((whole >> 12) & 0x3ff, (whole >> 6) & 63, whole & 63);
            write_display(format_args!("\"{sign}{hours:02}:{minute:02}:{second:02}.{micros:06}\""), out);
        }
        _ => {
            write_display(format_args!("\"base64:type{column_type}:"), out);
            write_base64(data, out);
            out.push('"');
        }
    }
    Ok(())
}

/// Servers break base64 after 76 characters; inside a JSON string the break is an escaped `\n`.
fn write_base64(data: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const BYTES_PER_LINE: usize = 57;
    for (line, bytes) in data.chunks(BYTES_PER_LINE).enumerate() {
        if line > 0 {
            out.push_str("\\n");
        }
        for group in bytes.chunks(3) {
            let byte = |index| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for position in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * position)) as usize & 63];
                out.push(if position > group.len() { '=' } else { char::from(digit) });
            }
        }
    }
}
