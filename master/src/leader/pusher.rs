//! Wakes the streams of workers whose assignment may look different now. Each stream reads the state itself, so a change
//! that comes while another is being sent is not lost and many changes become one message.

use std::{collections::BTreeSet, sync::Arc};

use dm_raft::Change;
use tokio::sync::broadcast::error::RecvError;

use super::Leading;

pub(super) async fn run(leading: Arc<Leading>) {
    let mut changes = leading.cluster.changes();
    // what was applied before the subscription
    leading.sessions.wake_all();
    loop {
        let change = tokio::select! {
            biased;
            () = leading.cancel.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(Change::Applied { touched, .. }) => {
                if touched.workers.is_empty() && touched.sessions.is_empty() {
                    continue;
                }
                let state = leading.cluster.local();
                let mut sessions: BTreeSet<_> =
                    touched.workers.iter().filter_map(|worker| Some(state.session_of(worker)?.id)).collect();
                // a session that ended is told so
                sessions.extend(touched.sessions.iter().copied());
                leading.sessions.wake(&sessions);
            }
            Ok(Change::Replaced { .. }) | Err(RecvError::Lagged(_)) => leading.sessions.wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}
