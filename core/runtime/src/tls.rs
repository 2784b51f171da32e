//! TLS between our processes: one identity for what a process accepts and what it dials.
//!
//! With an authority (`ssl-ca`) both ends of every connection show a certificate that it signed; `cert-allowed-cn` narrows
//! whom a server lets in. Files are looked at again, at most once a second, when a connection begins: renewed certificates
//! take effect without a restart, open connections keep theirs. Files that cannot be used leave the old ones in force and
//! say so once. Never falls back to plain text.

mod client_name;
mod files;
mod incoming;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tracing::{info, warn};

pub use files::{Files, TlsError};
use files::{Loaded, Stamp};
pub use incoming::Incoming;

/// How often files are looked at, at most.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// A peer that has not finished its handshake by then is closed.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A process's TLS identity. Clones share it.
#[derive(Debug, Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: Files,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// Of the files when they were last read, whether they could be used or not.
    stamp: Stamp,
    looked: Instant,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file is missing, is not PEM, or certificate and key do not belong together; the text names the file.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let stamp = files.stamp();
        let Loaded { server, client } = files.load()?;
        let state = State { server, client, stamp, looked: Instant::now() };
        Ok(Self { inner: Arc::new(Inner { files, state: Mutex::new(state) }) })
    }

    /// Finishes the handshake of an accepted connection.
    ///
    /// # Errors
    /// The peer shows no certificate, a foreign one, or speaks no TLS.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.configs().0);
        limited(HANDSHAKE_LIMIT, acceptor.accept(stream)).await
    }

    /// Begins TLS on a connection that was dialled to `host`, for which the peer's certificate must be valid.
    ///
    /// # Errors
    /// The peer's certificate is foreign or for another host, or the peer refuses ours.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(self.configs().1);
        limited(HANDSHAKE_LIMIT, connector.connect(name, stream)).await
    }

    /// Those of the newest files that can be used.
    fn configs(&self) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_PERIOD {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        (Arc::clone(&state.server), Arc::clone(&state.client))
    }

    fn look(&self, state: &mut State) {
        let stamp = self.inner.files.stamp();
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        match self.inner.files.load() {
            Ok(Loaded { server, client }) => {
                info!(cert = %self.inner.files.cert, "renewed certificates are in use");
                state.server = server;
                state.client = client;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                warn!(%error, cause, "changed certificates cannot be used, the earlier ones stay");
            }
        }
    }
}

async fn limited<T>(limit: Duration, handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, handshake).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")),
    }
}

#[cfg(test)]
mod tests;
