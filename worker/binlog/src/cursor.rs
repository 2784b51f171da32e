//! Checked reading from the front of a byte slice. Nothing here can panic or allocate.

use crate::Error;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes, or `None` with nothing consumed.
    #[inline(always)]
    pub(crate) fn get(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline(always)]
    pub(crate) fn get_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    /// Little-endian unsigned integer of up to 8 bytes.
    #[inline(always)]
    pub(crate) fn get_uint_le(&mut self, n: usize) -> Option<u64> {
        Some(uint_le(self.get(n)?))
    }

    /// Big-endian unsigned integer of up to 8 bytes.
    #[inline(always)]
    pub(crate) fn get_uint_be(&mut self, n: usize) -> Option<u64> {
        Some(self.get(n)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// MySQL's packed integer (1, 3, 4 or 9 bytes). The marks 251 (NULL) and 255 are no integers.
    pub(crate) fn get_packed(&mut self) -> Option<u64> {
        let mut ahead = *self;
        let value = match ahead.get_array::<1>()?[0] {
            n @ 0..=250 => u64::from(n),
            252 => ahead.get_uint_le(2)?,
            253 => ahead.get_uint_le(3)?,
            254 => ahead.get_uint_le(8)?,
            251 | 255 => return None,
        };
        *self = ahead;
        Some(value)
    }

    pub(crate) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Error> {
        self.get(n).ok_or(Error::Truncated { what })
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        self.get_array().ok_or(Error::Truncated { what })
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn uint_le(&mut self, n: usize, what: &'static str) -> Result<u64, Error> {
        self.get_uint_le(n).ok_or(Error::Truncated { what })
    }

    pub(crate) fn packed(&mut self, what: &'static str) -> Result<u64, Error> {
        self.get_packed().ok_or(Error::Truncated { what })
    }

    /// A packed integer that counts bytes or items held in memory.
    pub(crate) fn packed_len(&mut self, what: &'static str) -> Result<usize, Error> {
        usize::try_from(self.packed(what)?).map_err(|_| Error::Corrupt { what })
    }

    /// Bytes behind a packed length.
    pub(crate) fn packed_bytes(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let len = self.packed_len(what)?;
        self.take(len, what)
    }

    /// An unsigned integer of MySQL's serialization library: the count of trailing one bits of the first byte tells how
    /// many bytes follow.
    pub(crate) fn varlen(&mut self, what: &'static str) -> Result<u64, Error> {
        let first = *self.rest.first().ok_or(Error::Truncated { what })?;
        let more = first.trailing_ones();
        if more == 8 {
            self.u8(what)?;
            return self.u64(what);
        }
        let n = more as usize + 1;
        Ok(self.uint_le(n, what)? >> n)
    }

    /// The same for signed integers: the lowest bit is the sign, the others count from 0 or from -1.
    pub(crate) fn varlen_signed(&mut self, what: &'static str) -> Result<i64, Error> {
        let value = self.varlen(what)?;
        let magnitude = (value >> 1) as i64;
        Ok(if value & 1 == 0 { magnitude } else { !magnitude })
    }

    /// Everything left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Little-endian unsigned integer; bytes beyond the eighth are ignored.
#[inline(always)]
pub(crate) fn uint_le(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Text of names, which servers keep in UTF-8.
pub(crate) fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Corrupt { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_integers_of_all_widths() {
        for (bytes, value) in [
            (&[250][..], Some(250)),
            (&[251], None),
            (&[252, 1, 2], Some(0x0201)),
            (&[253, 1, 2, 3], Some(0x03_0201)),
            (&[254, 1, 0, 0, 0, 0, 0, 0, 1], Some(0x0100_0000_0000_0001)),
            (&[255], None),
            (&[252, 1], None),
        ] {
            assert_eq!(Cursor::new(bytes).get_packed(), value, "{bytes:?}");
        }
    }

    #[test]
    fn variable_length_integers_count_their_bytes_by_trailing_ones() {
        for (bytes, value) in [
            (&[0b10][..], 1),
            (&[0b1111_1110], 127),
            (&[0b01, 0b10], 128),
            (&[0xff, 1, 0, 0, 0, 0, 0, 0, 0x80], 0x8000_0000_0000_0001),
        ] {
            assert_eq!(Cursor::new(bytes).varlen("n").unwrap(), value, "{bytes:?}");
        }
        assert_eq!(Cursor::new(&[0b100]).varlen_signed("n").unwrap(), 1);
        assert_eq!(Cursor::new(&[0b110]).varlen_signed("n").unwrap(), -2);
    }
}
