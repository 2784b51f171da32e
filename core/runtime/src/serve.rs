//! One port for gRPC and HTTP: an accept loop that tells HTTP/1 from HTTP/2 by the first bytes.
//!
//! Foreign bytes on the port cost one connection and one log line at DEBUG. At drain, open requests are finished and
//! long streams are told to end; at kill the listener and all connections are dropped.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::{Service, ServiceExt};
use tracing::{debug, warn};

use crate::{Shutdown, metrics::Metrics, tls::Tls, version};

/// A connection that has not sent its request head by then is closed: slow or foreign peers cannot hold a slot.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// HTTP/2 ping period and answer limit: a peer that vanished without a FIN is noticed within both together.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Open connections of one port; more are closed at once. A cluster has tens, a flood has thousands.
const MAX_CONNECTIONS: usize = 4096;
/// Pause after the operating system refuses an accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}")]
pub struct ListenError {
    pub addr: String,
    #[source]
    pub source: io::Error,
}

/// Binds `host:port`; an empty host (`:8261`) is every interface.
///
/// # Errors
/// The address is taken, not ours, or not an address.
pub async fn listen(addr: &str) -> Result<TcpListener, ListenError> {
    let full = if addr.starts_with(':') { format!("0.0.0.0{addr}") } else { addr.to_owned() };
    TcpListener::bind(&full).await.map_err(|source| ListenError { addr: addr.to_owned(), source })
}

/// `/status` and `/metrics`, as both kinds of process have them from the first day.
pub fn status_routes(metrics: Metrics) -> Router {
    Router::new()
        .route("/status", get(|| async { version::text() }))
        .route("/metrics", get(move || async move { ([(axum::http::header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], metrics.render()) }))
}

/// Serves in plain text until drain or kill; see [`serve_with`].
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) {
    serve_with(listener, router, None, shutdown).await;
}

/// Serves until drain or kill, only over TLS when an identity is given. gRPC services come in as a router
/// (`tonic::service::Routes::into_axum_router`).
pub async fn serve_with(listener: TcpListener, router: Router, tls: Option<Tls>, shutdown: Shutdown) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(1024);
    let graceful = GracefulShutdown::new();
    let mut make = router.into_make_service_with_connect_info::<SocketAddr>();
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = shutdown.kill.cancelled() => return,
            () = shutdown.drain.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        if graceful.count() >= MAX_CONNECTIONS {
            warn!(%peer, limit = MAX_CONNECTIONS, "too many connections, closing this one");
            continue;
        }
        prepare(&stream);
        let Ok(service) = make.call(peer).await;
        let service = TowerToHyperService::new(service.map_request(|request: hyper::Request<Incoming>| request));
        let (builder, watcher, kill) = (builder.clone(), graceful.watcher(), shutdown.kill.clone());
        let tls = tls.clone();
        tokio::spawn(async move {
            let serving = async {
                let ended = match tls {
                    None => {
                        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                        watcher.watch(connection.into_owned()).await
                    }
                    Some(tls) => {
                        let stream = tls.accept(stream).await?;
                        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                        watcher.watch(connection.into_owned()).await
                    }
                };
                ended
            };
            tokio::select! {
                () = kill.cancelled() => {}
                result = serving => if let Err(error) = result {
                    debug!(%peer, %error, "connection ended");
                }
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = shutdown.kill.cancelled() => {}
    }
}

fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn started() -> (SocketAddr, Shutdown, tokio::task::JoinHandle<()>) {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let server = tokio::spawn(serve(listener, status_routes(Metrics::new()), shutdown.clone()));
        (addr, shutdown, server)
    }

    async fn get(addr: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // a peer that speaks nonsense may be reset instead of answered
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn status_answers_and_garbage_does_not_stop_it() {
        let (addr, shutdown, server) = started().await;
        let garbage = get(addr, b"\x16\x03\x01\x00garbage\r\n\r\n").await;
        assert!(!garbage.contains("200 OK"), "{garbage}");
        let status = get(addr, b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(status.contains("Release Version: v"), "{status}");
        shutdown.drain.cancel();
        server.await.unwrap();
        assert!(TcpStream::connect(addr).await.is_err(), "the port is free after a drain");
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_it() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let addr = first.local_addr().unwrap().to_string();
        let error = listen(&addr).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {addr}"));
    }
}
