//! Passwords in config files: DM's encrypted form.
//!
//! Ciphertext = base64(IV (16 bytes) + "@" + AES-256-CFB(plain text)). The form has no integrity check; it is read and
//! written for compatibility. Randomness comes in as an argument.

use std::fmt;

use aes::cipher::{AsyncStreamCipher, KeyIvInit};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::Error;

const IV_BYTES: usize = 16;
const SEPARATOR: u8 = b'@';

/// An AES-256 key. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the content of the file that `secret-key-path` names: 64 hexadecimal characters.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bytes = hex::decode(text).map_err(|_| Error::SecretKey { reason: "not hexadecimal".to_owned() })?;
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| Error::SecretKey { reason: format!("{} bytes instead of 32", bytes.len()) })?;
        Ok(Self(bytes))
    }

    /// The key's bytes, for handing it to a worker.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(******)")
    }
}

/// Encrypts with `iv`, which must come from a secure random source and be new each time.
pub fn encrypt(key: &SecretKey, iv: [u8; IV_BYTES], plain: &str) -> String {
    let mut body = plain.as_bytes().to_vec();
    cfb_mode::Encryptor::<aes::Aes256>::new(&key.0.into(), &iv.into()).encrypt(&mut body);
    let mut sealed = iv.to_vec();
    sealed.push(SEPARATOR);
    sealed.append(&mut body);
    BASE64.encode(sealed)
}

/// `None` when the text is not DM's encrypted form, or does not decrypt to text.
pub fn decrypt(key: &SecretKey, text: &str) -> Option<String> {
    let sealed = BASE64.decode(text).ok()?;
    let (iv, rest) = sealed.split_first_chunk::<IV_BYTES>()?;
    let (separator, body) = rest.split_first()?;
    if *separator != SEPARATOR {
        return None;
    }
    let mut body = body.to_vec();
    cfb_mode::Decryptor::<aes::Aes256>::new(&key.0.into(), &(*iv).into()).decrypt(&mut body);
    String::from_utf8(body).ok()
}

/// A password that decrypts was encrypted; any other is plain text.
pub fn decrypt_or_plain(key: Option<&SecretKey>, text: &str) -> String {
    key.and_then(|key| decrypt(key, text)).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use dm_model::error::Coded;
    use proptest::prelude::*;

    use super::*;

    const KEY: SecretKey = SecretKey([7; 32]);

    #[test]
    fn the_sealed_form_is_iv_at_sign_body() {
        let sealed = BASE64.decode(encrypt(&KEY, [9; 16], "secret")).unwrap();
        assert_eq!(&sealed[..16], &[9; 16]);
        assert_eq!(sealed[16], b'@');
        assert_eq!(sealed.len(), 17 + "secret".len());
    }

    /// The first block of NIST SP 800-38A, F.3.17 (CFB128-AES256).
    #[test]
    fn the_cipher_is_full_block_cfb() {
        let key = SecretKey::parse("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").unwrap();
        let iv: [u8; 16] = std::array::from_fn(|i| i as u8);
        let plain = "6bc1bee22e409f96e93d7e117393172a";
        let mut block = hex::decode(plain).unwrap();
        cfb_mode::Encryptor::<aes::Aes256>::new(&key.0.into(), &iv.into()).encrypt(&mut block);
        assert_eq!(hex::encode(block), "dc7e84bfda79164b7ecd8486985d3860");
    }

    #[test]
    fn plain_passwords_stay_plain() {
        for plain in ["", "secret", "c2VjcmV0", "QUFBQUFBQUFBQUFBQUFBQUFCQ0Q="] {
            assert_eq!(decrypt_or_plain(Some(&KEY), plain), plain);
        }
        let sealed = encrypt(&KEY, [1; 16], "x");
        assert_eq!(decrypt_or_plain(None, &sealed), sealed);
    }

    #[test]
    fn keys_have_64_hexadecimal_characters() {
        assert!(SecretKey::parse(&format!("{}\n", "0f".repeat(32))).is_ok());
        for text in ["", "0f", "zz"] {
            assert_eq!(SecretKey::parse(text).unwrap_err().code().number, 20067);
        }
        assert_eq!(format!("{KEY:?}"), "SecretKey(******)");
    }

    proptest! {
        #[test]
        fn what_is_encrypted_decrypts(key: [u8; 32], iv: [u8; 16], plain in ".{0,40}") {
            let key = SecretKey(key);
            prop_assert_eq!(decrypt_or_plain(Some(&key), &encrypt(&key, iv, &plain)), plain);
        }
    }
}
