//! `encrypt`: prints the ciphertext only, for use in config files.

use anyhow::{Result, bail};
use dm_proto::pb::EncryptRequest;

use super::{Answer, connect, rpc};
use crate::app::Globals;

pub(super) async fn run(globals: &Globals, plaintext: String) -> Result<Answer> {
    let response = rpc(connect(globals).await?.encrypt(EncryptRequest { plaintext }).await)?;
    if !response.result {
        bail!(response.msg);
    }
    Ok(Answer::text(response.ciphertext))
}
