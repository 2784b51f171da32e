//! The hash of keys: 64 bit, fast on short input, not for adversaries (a found collision only costs parallelism).
//!
//! Eight bytes at a time, each word is XORed in after a rotation and multiplied by an odd constant; every input is
//! followed by its length, so that ("a", "b") and ("ab") differ; the end is mixed once more. Cannot fail.

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hasher(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(last));
        self.mix(bytes.len() as u64);
    }

    fn mix(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(26) ^ word).wrapping_mul(MULTIPLIER);
        self.0 = mixed ^ mixed >> 29;
    }

    pub(super) fn finish(self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(MULTIPLIER);
        mixed ^ mixed >> 31
    }
}
