//! Looks for the workers that a new leader has not heard yet: a living one comes by itself within a moment, a dead
//! process is told by its address, which refuses connections. Only tells [`super::sessions`] what it saw; giving a
//! session up is the planner's.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::sleep;

use super::{Leading, attach::redial, now};

/// Pause between two looks. A process that is being killed may answer once more.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(leading: Arc<Leading>) {
    loop {
        let unheard = leading.sessions.unheard(&leading.cluster.local());
        let dialled = join_all(unheard.into_iter().map(|(session, addr)| {
            let leading = &leading;
            async move { leading.sessions.dialled(session, redial(&addr).await, now()) }
        }));
        tokio::select! {
            () = leading.cancel.cancelled() => return,
            _ = dialled => {}
        }
        tokio::select! {
            () = leading.cancel.cancelled() => return,
            () = sleep(LOOK) => {}
        }
    }
}
