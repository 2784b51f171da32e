//! Dates and times of row images, old and new formats. Fields come out raw: whether a day exists is not asked here.

use super::plan::{Reason, SHORT};
use crate::{cursor::Cursor, value::Value};

/// Bytes of the fraction, and what one unit of it is in microseconds.
fn fraction(fsp: u8) -> (usize, u32) {
    match fsp {
        0 => (0, 0),
        1 | 2 => (1, 10_000),
        3 | 4 => (2, 100),
        _ => (3, 1),
    }
}

fn read_micros(cursor: &mut Cursor<'_>, fsp: u8) -> Result<u32, Reason> {
    let (n, unit) = fraction(fsp);
    let fraction = cursor.get_uint_be(n).ok_or(SHORT)? as u32;
    if fraction.saturating_mul(unit) >= 1_000_000 {
        return Err("its fraction is out of range");
    }
    Ok(fraction * unit)
}

pub(super) fn date<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>, Reason> {
    let packed = cursor.get_uint_le(3).ok_or(SHORT)?;
    Ok(Value::Date { year: (packed >> 9) as u16, month: (packed >> 5) as u8 & 15, day: packed as u8 & 31 })
}

/// Decimal digits HHMMSS, signed.
pub(super) fn old_time<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>, Reason> {
    let [a, b, c] = cursor.get_array().ok_or(SHORT)?;
    let value = i32::from_le_bytes([0, a, b, c]) >> 8;
    let digits = value.unsigned_abs();
    Ok(Value::Time {
        negative: value < 0,
        hours: (digits / 10_000) as u16,
        minutes: (digits / 100 % 100) as u8,
        seconds: (digits % 100) as u8,
        micros: 0,
        fsp: 0,
    })
}

/// Big-endian with the sign bit inverted; a negative time is the complement over the whole value, fraction included.
pub(super) fn time<'a>(cursor: &mut Cursor<'a>, fsp: u8) -> Result<Value<'a>, Reason> {
    let (n, unit) = fraction(fsp);
    let packed = cursor.get_uint_be(3 + n).ok_or(SHORT)? as i64;
    let value = packed - (1 << (8 * (3 + n) - 1));
    let magnitude = value.unsigned_abs();
    let whole = magnitude >> (8 * n);
    let micros = (magnitude & ((1 << (8 * n)) - 1)) as u32 * unit;
    if micros >= 1_000_000 {
        return Err("its fraction is out of range");
    }
    Ok(Value::Time {
        negative: value < 0,
        hours: (whole >> 12) as u16 & 0x3ff,
        minutes: (whole >> 6) as u8 & 63,
        seconds: whole as u8 & 63,
        micros,
        fsp,
    })
}

/// Decimal digits YYYYMMDDHHMMSS.
pub(super) fn old_date_time<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>, Reason> {
    let digits = cursor.get_uint_le(8).ok_or(SHORT)?;
    let (date, time) = (digits / 1_000_000, digits % 1_000_000);
    if date > 99_991_231 {
        return Err("its date is out of range");
    }
    Ok(Value::DateTime {
        year: (date / 10_000) as u16,
        month: (date / 100 % 100) as u8,
        day: (date % 100) as u8,
        hour: (time / 10_000) as u8,
        minute: (time / 100 % 100) as u8,
        second: (time % 100) as u8,
        micros: 0,
        fsp: 0,
    })
}

/// Five bytes big-endian with the top bit set, then the fraction.
pub(super) fn date_time<'a>(cursor: &mut Cursor<'a>, fsp: u8) -> Result<Value<'a>, Reason> {
    let packed = cursor.get_uint_be(5).ok_or(SHORT)?.checked_sub(1 << 39).ok_or("it is negative")?;
    let micros = read_micros(cursor, fsp)?;
    let months = packed >> 22;
    Ok(Value::DateTime {
        year: (months / 13) as u16,
        month: (months % 13) as u8,
        day: (packed >> 17) as u8 & 31,
        hour: (packed >> 12) as u8 & 31,
        minute: (packed >> 6) as u8 & 63,
        second: packed as u8 & 63,
        micros,
        fsp,
    })
}

pub(super) fn timestamp<'a>(cursor: &mut Cursor<'a>, fsp: u8) -> Result<Value<'a>, Reason> {
    let seconds = u32::from_be_bytes(cursor.get_array().ok_or(SHORT)?);
    Ok(Value::Timestamp { seconds, micros: read_micros(cursor, fsp)?, fsp })
}
