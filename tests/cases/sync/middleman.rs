//! A man in the middle before a source: sends connections to another server, and damages events on their way.
//!
//! It knows the frame of packets only. What it does to an event is told beforehand and done once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What becomes of the first event that holds a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// One byte of the text is another one.
    Flip,
    /// The event ends too early, and its packet with it.
    Shorten,
    /// The connection ends in the middle of the event.
    Cut,
    /// It becomes an event of a type nobody knows, with a right checksum.
    UnknownType { ignorable: bool },
}

#[derive(Debug)]
struct Plan {
    text: Vec<u8>,
    harm: Harm,
    /// Every time, not only the first.
    always: bool,
}

#[derive(Debug)]
pub(crate) struct Middleman {
    port: u16,
    server: Arc<AtomicU16>,
    plan: Arc<Mutex<Option<Plan>>>,
    cut: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Middleman {
    pub(crate) async fn start(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let server = Arc::new(AtomicU16::new(server_port));
        let plan = Arc::new(Mutex::new(None));
        let (cut, cuts) = watch::channel(0);
        let (to, harms) = (Arc::clone(&server), Arc::clone(&plan));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (to, harms, mut cuts) = (to.load(Ordering::Relaxed), Arc::clone(&harms), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    // an error is a closed connection
                    tokio::select! {
                        _ = cuts.changed() => {}
                        _closed = relay(client, to, harms) => {}
                    }
                });
            }
        });
        Ok(Self { port, server, plan, cut, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// All connections end; new ones go to this port.
    pub(crate) fn switch(&self, server_port: u16) {
        self.server.store(server_port, Ordering::Relaxed);
        self.cut.send_modify(|n| *n += 1);
    }

    /// All connections end.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    /// The next packet from the server that is an event and holds `text` is harmed.
    pub(crate) fn harm(&self, text: &str, harm: Harm) {
        self.set(Some(Plan { text: text.as_bytes().to_vec(), harm, always: false }));
    }

    /// As [`harm`](Self::harm), however often it comes, until [`spare`](Self::spare).
    pub(crate) fn harm_always(&self, text: &str, harm: Harm) {
        self.set(Some(Plan { text: text.as_bytes().to_vec(), harm, always: true }));
    }

    pub(crate) fn spare(&self) {
        self.set(None);
    }

    fn set(&self, plan: Option<Plan>) {
        *self.plan.lock().expect("invariant: no holder panics") = plan;
    }

    /// True when nothing is planned any more.
    pub(crate) fn is_done(&self) -> bool {
        self.plan.lock().expect("invariant: no holder panics").is_none()
    }
}

impl Drop for Middleman {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: TcpStream, server: u16, plan: Arc<Mutex<Option<Plan>>>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let up = async move {
        tokio::io::copy(&mut client_read, &mut server_write).await.context("to the server")?;
        anyhow::Ok(())
    };
    let down = async move {
        loop {
            let mut head = [0; 4];
            server_read.read_exact(&mut head).await?;
            let len = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
            let mut body = vec![0; len];
            server_read.read_exact(&mut body).await?;
            let ends = apply(&plan, &mut body);
            let len = body.len().to_le_bytes();
            let mut packet = vec![len[0], len[1], len[2], head[3]];
            packet.extend(body);
            client_write.write_all(&packet).await?;
            if ends {
                client_write.shutdown().await?;
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        done = up => done,
        done = down => done,
    }
}

/// Harms an event's packet if it is the one; true when the connection is to end.
fn apply(plan: &Mutex<Option<Plan>>, body: &mut Vec<u8>) -> bool {
    const HEADER: usize = 19;
    let mut plan = plan.lock().expect("invariant: no holder panics");
    let Some(Plan { text, harm, always }) = plan.as_ref() else { return false };
    // an OK byte, the event's header, its body
    if body.first() != Some(&0) || body.len() < 1 + HEADER {
        return false;
    }
    let Some(at) = body.windows(text.len()).position(|window| window == text.as_slice()) else { return false };
    let harm = *harm;
    if !always {
        *plan = None;
    }
    match harm {
        Harm::Flip => body[at] ^= 0x20,
        Harm::Shorten => body.truncate(body.len() - 9),
        Harm::Cut => {
            body.truncate(at);
            return true;
        }
        Harm::UnknownType { ignorable } => {
            body[1 + 4] = 120;
            body[1 + 17] |= if ignorable { 0x80 } else { 0 };
            let end = body.len() - 4;
            let crc = crc32(&body[1..end]);
            body[end..].copy_from_slice(&crc.to_le_bytes());
        }
    }
    false
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
