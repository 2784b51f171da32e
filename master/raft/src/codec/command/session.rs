//! Commands on workers and their sessions.

use dm_state::apply::session::{CloseSession, ExpireSessions, OpenSession, RegisterWorker, RetireWorker, Takeover};

use crate::codec::convert::{names, records};

records! {
    RegisterWorker { name: value, addr: value }
    RetireWorker { name: value }
    OpenSession { worker: value, instance_uuid: value, addr: value, version: value, takeover: value, keepalive_ms: value }
    CloseSession { session: value }
    ExpireSessions { sessions: list, reason: value }
}

names! { Takeover { Refuse, EndOther } }
