//! gRPC channels to other processes of the cluster.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// Limits of a connection attempt and of silence on an open one.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connect: Duration,
    /// HTTP/2 ping period; a peer that does not answer within the same time again is dropped.
    pub keepalive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), keepalive: Duration::from_secs(1) }
    }
}

/// An address that is not `host:port`.
#[derive(Debug, thiserror::Error)]
#[error("`{addr}` is not a valid address")]
pub struct BadAddress {
    addr: String,
    #[source]
    source: tonic::transport::Error,
}

/// An endpoint for `host:port` (a leading `http://` is accepted). Nothing is dialled yet.
///
/// # Errors
/// [`BadAddress`] when the text is not an authority.
pub fn endpoint(addr: &str, limits: Limits) -> Result<Endpoint, BadAddress> {
    let authority = addr.strip_prefix("http://").unwrap_or(addr);
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|source| BadAddress { addr: addr.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(limits.connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive)
        .keep_alive_while_idle(true))
}

/// Dials once.
///
/// # Errors
/// The address is wrong, or nobody answers there within the limit.
pub async fn connect(addr: &str, limits: Limits) -> Result<Channel, ConnectError> {
    let endpoint = endpoint(addr, limits)?;
    endpoint.connect().await.map_err(|source| ConnectError::Unreachable { addr: addr.to_owned(), source })
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Address(#[from] BadAddress),
    #[error("cannot connect to {addr}")]
    Unreachable {
        addr: String,
        #[source]
        source: tonic::transport::Error,
    },
}
