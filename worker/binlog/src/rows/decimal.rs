//! DECIMAL's packed form to digits.
//!
//! Nine digits to four bytes, big-endian, the digits left over on either side of the point in fewer bytes. The top bit is
//! inverted, and all bits of a negative number.

use super::plan::{Reason, SHORT};
use crate::{cursor::Cursor, value::DecimalText};

const DIGITS_PER_WORD: usize = 9;
const BYTES_OF_DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

pub(crate) fn read_decimal(cursor: &mut Cursor<'_>, precision: u8, scale: u8) -> Result<DecimalText, Reason> {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let whole = precision.checked_sub(scale).ok_or("its scale is larger than its precision")?;
    let (first_digits, whole_words) = (whole % DIGITS_PER_WORD, whole / DIGITS_PER_WORD);
    let (scale_words, last_digits) = (scale / DIGITS_PER_WORD, scale % DIGITS_PER_WORD);
    let n_bytes = BYTES_OF_DIGITS[first_digits] + BYTES_OF_DIGITS[last_digits] + 4 * (whole_words + scale_words);
    let mut bytes = Cursor::new(cursor.get(n_bytes).ok_or(SHORT)?);
    let negative = bytes.rest().first().is_some_and(|first| first & 0x80 == 0);

    let mut sign_bit = 0x80_u8;
    let mut word = |digits: usize| -> Result<u32, Reason> {
        let n = BYTES_OF_DIGITS[digits];
        let raw = bytes.get(n).ok_or(SHORT)?;
        let mut value = 0_u32;
        for byte in raw {
            let byte = if negative { !byte ^ sign_bit } else { byte ^ sign_bit };
            sign_bit = 0;
            value = value << 8 | u32::from(byte);
        }
        if value < 10_u32.pow(digits as u32) { Ok(value) } else { Err("it is not a decimal number") }
    };

    // Sign, 65 digits, point and a leading zero fit.
    let mut text = [0_u8; DecimalText::MAX_BYTES];
    let mut len = 0;
    if negative {
        text[0] = b'-';
        len = 1;
    }
    let start = len;
    for (count, digits) in [(usize::from(first_digits > 0), first_digits), (whole_words, DIGITS_PER_WORD)] {
        for _ in 0..count {
            let value = word(digits)?;
            if len == start {
                if value > 0 {
                    let digits = value.ilog10() as usize + 1;
                    push_digits(&mut text, &mut len, value, digits)?;
                }
            } else {
                push_digits(&mut text, &mut len, value, digits)?;
            }
        }
    }
    if len == start {
        push_digits(&mut text, &mut len, 0, 1)?;
    }
    if scale > 0 {
        *text.get_mut(len).ok_or(TOO_LONG)? = b'.';
        len += 1;
        for _ in 0..scale_words {
            push_digits(&mut text, &mut len, word(DIGITS_PER_WORD)?, DIGITS_PER_WORD)?;
        }
        if last_digits > 0 {
            push_digits(&mut text, &mut len, word(last_digits)?, last_digits)?;
        }
    }
    let mut decimal = DecimalText::new();
    match decimal.push(text.get(..len).unwrap_or_default()) {
        true => Ok(decimal),
        false => Err(TOO_LONG),
    }
}

const TOO_LONG: Reason = "it has too many digits";

fn push_digits(text: &mut [u8], len: &mut usize, mut value: u32, digits: usize) -> Result<(), Reason> {
    let room = text.get_mut(*len..*len + digits).ok_or(TOO_LONG)?;
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    *len += digits;
    Ok(())
}
