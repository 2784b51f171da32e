//! Numbers, times and addresses as literals.
//!
//! Owns their spelling. Never knows columns. Fails on byte strings of impossible length.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Error, write_to};

/// Sign and mask: an unsigned column's value arrives sign-extended from `width` bytes.
pub(super) fn integer(value: i64, width: u8, unsigned: bool, out: &mut Vec<u8>) {
    if unsigned {
        let mask = if width >= 8 { u64::MAX } else { (1u64 << (u32::from(width) * 8)) - 1 };
        push_u64(out, (value as u64) & mask);
    } else {
        if value < 0 {
            out.push(b'-');
        }
        push_u64(out, value.unsigned_abs());
    }
}

fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The shortest text that reads back as the same double, always with an exponent: without one the server would read
/// a decimal, which it cuts at 65 digits.
pub(super) fn real(value: f64, out: &mut Vec<u8>) {
    write_to(out, format_args!("{value:e}"));
}

pub(super) fn bits(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    if bytes.len() > 8 {
        return Err(Error::Bits { n_bytes: bytes.len() });
    }
    push_u64(out, bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    Ok(())
}

/// `.` and exactly `fsp` digits; nothing when `fsp` is 0.
pub(super) fn fraction(micros: u32, fsp: u8, out: &mut Vec<u8>) {
    let fsp = usize::from(fsp.min(6));
    if fsp > 0 {
        let digits = micros.min(999_999) / 10u32.pow(6 - fsp as u32);
        write_to(out, format_args!(".{digits:0fsp$}"));
    }
}

/// UTC text; second 0 without a fraction is the zero timestamp, not 1970.
pub(super) fn timestamp(seconds: u32, micros: u32, fsp: u8, out: &mut Vec<u8>) {
    if seconds == 0 && micros == 0 {
        out.extend_from_slice(b"'0000-00-00 00:00:00");
    } else {
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write_to(out, format_args!("'{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));
    }
    fraction(micros, fsp, out);
    out.push(b'\'');
}

/// Gregorian date of a day counted from 1970-01-01.
fn civil(days: u32) -> (u32, u32, u32) {
    // Counted from 0000-03-01, so that the leap day is a year's last: 400 years are 146 097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

/// `[1,2.5]`.
pub(super) fn vector(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    if !bytes.len().is_multiple_of(4) {
        return Err(Error::Vector { n_bytes: bytes.len() });
    }
    out.extend_from_slice(b"'[");
    for (index, element) in bytes.chunks_exact(4).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let element = f32::from_le_bytes([element[0], element[1], element[2], element[3]]);
        write_to(out, format_args!("{comma}{element:e}"));
    }
    out.extend_from_slice(b"]'");
    Ok(())
}

/// The server cuts trailing zero bytes.
fn padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    let mut whole = [0; N];
    let Some(start) = whole.get_mut(..bytes.len()) else {
        return Err(Error::Address { n_bytes: bytes.len(), limit: N });
    };
    start.copy_from_slice(bytes);
    Ok(whole)
}

pub(super) fn uuid(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let whole: [u8; 16] = padded(bytes)?;
    out.push(b'\'');
    for (index, byte) in whole.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        write_to(out, format_args!("{dash}{byte:02x}"));
    }
    out.push(b'\'');
    Ok(())
}

pub(super) fn inet4(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let whole: [u8; 4] = padded(bytes)?;
    write_to(out, format_args!("'{}'", Ipv4Addr::from(whole)));
    Ok(())
}

pub(super) fn inet6(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let whole: [u8; 16] = padded(bytes)?;
    write_to(out, format_args!("'{}'", Ipv6Addr::from(whole)));
    Ok(())
}
