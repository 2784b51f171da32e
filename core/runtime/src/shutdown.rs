//! Two ways to end: `drain` finishes what is in flight, saves and leaves; `kill` leaves now.
//!
//! SIGTERM, SIGINT and SIGHUP start the drain; it turns into a kill after [`DRAIN_LIMIT`] or at a second signal, so a
//! process asked to end is gone, and its ports free, within ten seconds.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Longest drain. An operator's tools wait ten seconds before SIGKILL.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(8);

/// Cheap to clone; all clones are the same shutdown.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    pub drain: CancellationToken,
    pub kill: CancellationToken,
}

impl Shutdown {
    /// A shutdown that no signal starts; for tests and parts of a process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to signals until the process ends. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the operating system refuses a signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut hup = signal(SignalKind::hangup())?;
        let own = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
                _ = hup.recv() => "SIGHUP",
                () = own.drain.cancelled() => "request",
            };
            info!(signal = name, "draining");
            own.drain.cancel();
            tokio::select! {
                _ = term.recv() => warn!("second signal, leaving now"),
                _ = int.recv() => warn!("second signal, leaving now"),
                () = tokio::time::sleep(DRAIN_LIMIT) => warn!(limit = ?DRAIN_LIMIT, "drain took too long, leaving now"),
                () = own.kill.cancelled() => {}
            }
            own.kill.cancel();
        });
        Ok(shutdown)
    }

    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }
}
