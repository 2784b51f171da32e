//! A proxy in front of a server that loses chosen statements or their answers.
//!
//! It looks at whole client packets for a text (`COMMIT` unless told otherwise) and does with each packet that has it
//! what the script says next; an empty script passes everything. Losing closes both sides, as a broken network does.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What happens to a packet with the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Pass,
    /// The server never gets it.
    Statement,
    /// The server executes it; the client never hears.
    Answer,
}

#[derive(Debug)]
struct Script {
    text: Vec<u8>,
    next: VecDeque<Loss>,
}

#[derive(Debug)]
pub struct LossyProxy {
    port: u16,
    script: Arc<Mutex<Script>>,
    accepting: JoinHandle<()>,
}

impl LossyProxy {
    pub async fn start(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let script = Arc::new(Mutex::new(Script { text: b"COMMIT".to_vec(), next: VecDeque::new() }));
        let shared = Arc::clone(&script);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let script = Arc::clone(&shared);
                tokio::spawn(async move {
                    // An error is a closed connection, which is what this proxy is about.
                    let server = SocketAddr::from(([127, 0, 0, 1], server_port));
                    let _closed = Box::pin(relay(client, server, script)).await;
                });
            }
        });
        Ok(Self { port, script, accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, packets with `text` meet these fates in turn, across connections.
    pub fn play(&self, text: &str, losses: impl IntoIterator<Item = Loss>) {
        let mut script = self.script.lock().expect("invariant: no holder panics");
        script.text = text.as_bytes().to_vec();
        script.next = losses.into_iter().collect();
    }

    /// Fates not met yet.
    pub fn n_left(&self) -> usize {
        self.script.lock().expect("invariant: no holder panics").next.len()
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, script: Arc<Mutex<Script>>) -> Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let mut pending = Vec::new();
    let mut from_client = [0; 16 * 1024];
    let mut from_server = [0; 16 * 1024];
    loop {
        tokio::select! {
            n = client_read.read(&mut from_client) => {
                let n = n?;
                if n == 0 {
                    return Ok(());
                }
                pending.extend_from_slice(&from_client[..n]);
                while let Some(packet) = take_packet(&mut pending) {
                    match fate(&script, &packet) {
                        Loss::Pass => server_write.write_all(&packet).await?,
                        Loss::Statement => return Ok(()),
                        Loss::Answer => {
                            server_write.write_all(&packet).await?;
                            // The answer means that it was executed; it goes nowhere.
                            let _n_swallowed = server_read.read(&mut from_server).await?;
                            return Ok(());
                        }
                    }
                }
            }
            n = server_read.read(&mut from_server) => {
                let n = n?;
                if n == 0 {
                    return Ok(());
                }
                client_write.write_all(&from_server[..n]).await?;
            }
        }
    }
}

/// The first whole packet: three bytes of length, one of sequence, the body.
fn take_packet(pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    let [a, b, c, ..] = pending[..] else {
        return None;
    };
    let n = 4 + usize::from(a) + (usize::from(b) << 8) + (usize::from(c) << 16);
    (pending.len() >= n).then(|| pending.drain(..n).collect())
}

fn fate(script: &Mutex<Script>, packet: &[u8]) -> Loss {
    let mut script = script.lock().expect("invariant: no holder panics");
    if packet.windows(script.text.len()).any(|window| window == script.text) {
        script.next.pop_front().unwrap_or(Loss::Pass)
    } else {
        Loss::Pass
    }
}
