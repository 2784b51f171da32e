//! gRPC channels to other processes of the cluster.

use std::{io, time::Duration};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use crate::tls::Tls;

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

/// An endpoint for `host:port` (a leading `http://` or `https://` is accepted). Nothing is dialled yet.
///
/// # Errors
/// [`BadAddress`] when the text is not an authority.
pub fn endpoint(addr: &str, limits: Limits) -> Result<Endpoint, BadAddress> {
    let authority = addr.strip_prefix("http://").or_else(|| addr.strip_prefix("https://")).unwrap_or(addr);
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|source| BadAddress { addr: addr.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(limits.connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive)
        .keep_alive_while_idle(true))
}

/// Dials once, in plain text.
///
/// # Errors
/// The address is wrong, or nobody answers there within the limit.
pub async fn connect(addr: &str, limits: Limits) -> Result<Channel, ConnectError> {
    Dialer::new(limits, None).connect(addr).await
}

/// How this process dials others: limits, and its TLS identity when the cluster uses TLS.
#[derive(Debug, Clone)]
pub struct Dialer {
    limits: Limits,
    tls: Option<Tls>,
    request_limit: Option<Duration>,
}

impl Dialer {
    pub fn new(limits: Limits, tls: Option<Tls>) -> Self {
        Self { limits, tls, request_limit: None }
    }

    /// Every request on these channels ends within this time.
    pub fn with_request_limit(mut self, limit: Duration) -> Self {
        self.request_limit = Some(limit);
        self
    }

    /// Dials `host:port` once.
    ///
    /// # Errors
    /// The address is wrong, nobody answers there within the limit, or the two do not accept each other's certificates.
    pub async fn connect(&self, addr: &str) -> Result<Channel, ConnectError> {
        let endpoint = self.endpoint(addr)?;
        let connected = match &self.tls {
            None => endpoint.connect().await,
            Some(tls) => endpoint.connect_with_connector(connector(tls.clone())).await,
        };
        connected.map_err(|source| ConnectError::Unreachable { addr: addr.to_owned(), source })
    }

    /// A channel that dials when it is used, and again when the connection was lost.
    ///
    /// # Errors
    /// [`BadAddress`] when the text is not an authority.
    pub fn lazy(&self, addr: &str) -> Result<Channel, BadAddress> {
        let endpoint = self.endpoint(addr)?;
        Ok(connect_lazy(&endpoint, self.tls.as_ref()))
    }

    fn endpoint(&self, addr: &str) -> Result<Endpoint, BadAddress> {
        let endpoint = endpoint(addr, self.limits)?;
        Ok(match self.request_limit {
            None => endpoint,
            Some(limit) => endpoint.timeout(limit),
        })
    }
}

/// A channel over an endpoint of the caller's making (its scheme must be `http`), which dials when it is used.
pub fn connect_lazy(endpoint: &Endpoint, tls: Option<&Tls>) -> Channel {
    match tls {
        None => endpoint.connect_lazy(),
        Some(tls) => endpoint.connect_with_connector_lazy(connector(tls.clone())),
    }
}

/// TCP, then TLS. The endpoint's own scheme stays `http`, for it is we who encrypt.
fn connector(
    tls: Tls,
) -> impl Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future: Send> + Send + 'static {
    tower::service_fn(move |uri: Uri| {
        let tls = tls.clone();
        async move {
            let host = uri.host().unwrap_or_default().to_owned();
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or_default())).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(tls.connect(&host, stream).await?))
        }
    })
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
