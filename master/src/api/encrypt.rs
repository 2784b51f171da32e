//! `encrypt`: a password in the form that config files may hold.

use dm_config::secret;
use dm_proto::pb::{EncryptRequest, EncryptResponse};

use crate::{context::Context, error::Error};

/// Any master can do it: all have the same key.
pub fn encrypt(context: &Context, request: &EncryptRequest) -> EncryptResponse {
    match &context.secret_key {
        Some(key) => EncryptResponse {
            result: true,
            msg: String::new(),
            ciphertext: secret::encrypt(key, rand::random(), &request.plaintext),
        },
        None => EncryptResponse { result: false, msg: Error::NoSecretKey.text(), ciphertext: String::new() },
    }
}
