//! Finds a master that answers. Any master takes any request, so the first one that does is good enough.

use std::time::Duration;

use anyhow::{Result, bail};
use dm_proto::pb::master_client::MasterClient;
use dm_runtime::{
    channel::{Dialer, Limits},
    tls::Tls,
};
use tonic::transport::Channel;

/// How long one address is tried.
const DIAL_LIMIT: Duration = Duration::from_secs(3);

/// A connected client; `rpc_timeout` bounds every request.
///
/// # Errors
/// None of the addresses answers; each is named with its reason.
pub(crate) async fn connect(
    addrs: &[String],
    tls: Option<Tls>,
    rpc_timeout: Duration,
) -> Result<MasterClient<Channel>> {
    let mut failures = Vec::new();
    let limits = Limits { connect: DIAL_LIMIT, keepalive: Duration::from_secs(10) };
    let dialer = Dialer::new(limits, tls).with_request_limit(rpc_timeout);
    for addr in addrs {
        match tokio::time::timeout(DIAL_LIMIT, dialer.connect(addr)).await {
            Ok(Ok(channel)) => {
                return Ok(MasterClient::new(channel)
                    .max_decoding_message_size(dm_proto::MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(dm_proto::MAX_MESSAGE_BYTES));
            }
            Ok(Err(error)) => failures.push(dm_model::error::Chain(&error).to_string()),
            Err(_) => failures.push(format!("{addr}: no answer within {DIAL_LIMIT:?}")),
        }
    }
    bail!("can't connect to {}: {}", addrs.join(","), failures.join("; "))
}
