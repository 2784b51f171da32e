//! Workers and their sessions.

use dm_state::record::{Session, Worker};

use crate::codec::convert::records;

records! {
    Worker { name: value, addr: value, registered: value, session: option }
    Session { id: value, worker: value, instance_uuid: value, addr: value, version: value, opened_at: value, keepalive_ms: value }
}
