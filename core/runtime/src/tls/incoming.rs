//! Accepted connections whose handshake is done, as a stream for servers that accept by themselves.

use std::{io, pin::Pin, task, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Tls;

/// Finished handshakes that wait for the server to take them.
const WAITING: usize = 64;
/// Handshakes at the same time; more wait in the listener's queue.
const SHAKING: usize = 256;
/// Pause after the operating system refuses an accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ends when its token is cancelled. A peer whose handshake fails costs one line at DEBUG and nobody waits for it.
#[derive(Debug)]
pub struct Incoming {
    done: mpsc::Receiver<TlsStream<TcpStream>>,
}

impl Tls {
    /// Begins to accept.
    pub fn incoming(&self, listener: TcpListener, stop: CancellationToken) -> Incoming {
        let (tx, done) = mpsc::channel(WAITING);
        tokio::spawn(accept(self.clone(), listener, tx, stop));
        Incoming { done }
    }
}

impl tokio_stream::Stream for Incoming {
    type Item = io::Result<TlsStream<TcpStream>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> task::Poll<Option<Self::Item>> {
        self.done.poll_recv(context).map(|stream| stream.map(Ok))
    }
}

async fn accept(tls: Tls, listener: TcpListener, tx: mpsc::Sender<TlsStream<TcpStream>>, stop: CancellationToken) {
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(SHAKING));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            () = tx.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = std::sync::Arc::clone(&slots).acquire_owned().await else { return };
        let (tls, tx) = (tls.clone(), tx.clone());
        tokio::spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "cannot set TCP_NODELAY");
            }
            match tls.accept(stream).await {
                // the server has ended when nobody takes it
                Ok(stream) => drop(tx.send(stream).await),
                Err(error) => debug!(%error, "TLS handshake failed"),
            }
            drop(slot);
        });
    }
}
