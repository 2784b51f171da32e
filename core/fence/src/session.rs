//! Registered connections of a subtask, and which of them a new owner ends.
//!
//! A connection is registered, and the registration committed, before it writes anything: a lock holder whose
//! connection id nobody can see cannot be killed. Ids are reused after a restart, so a server's start counts too.

use dm_model::Epoch;
use serde::{Deserialize, Serialize};

/// One run of one target server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerRun {
    /// What the server calls itself; survives restarts.
    pub uuid: String,
    /// Unix seconds of its start, `now() - Uptime`: two readings of one run may differ by a second or two.
    pub start: i64,
}

impl ServerRun {
    /// Readings of one run differ at most by this much, in seconds.
    pub const START_TOLERANCE: i64 = 2;

    /// Whether `later` is a reading of the same run. A restart within the tolerance is not seen here; it is by the
    /// connection ids, which start again (rule 4 of data-plane.md 4.1).
    pub fn is_same_run(&self, later: &ServerRun) -> bool {
        self.uuid == later.uuid && self.start.abs_diff(later.start) <= Self::START_TOLERANCE.unsigned_abs()
    }
}

/// Whether a new connection of an owner came to the server run it took over (rule 4): false means that commits which
/// were counted may be lost, and ends the incarnation.
///
/// `newest` is the largest connection id the owner has seen of that run. Ids start again with a server, so one that is
/// not larger is another run even where its start is too close to tell. `ids_grow`: false for servers whose ids do not
/// (TiDB). Known limit: a restart within [`ServerRun::START_TOLERANCE`] after which more connections were opened than
/// before it.
pub fn is_same_target(before: &ServerRun, newest: u64, now: &ServerRun, connection: u64, ids_grow: bool) -> bool {
    let went_back = ids_grow && connection <= newest;
    !went_back && before.is_same_run(now)
}

/// A row of `dm_fence_session`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    pub server: ServerRun,
    pub connection: u64,
    pub epoch: Epoch,
    /// The lane the connection serves; `None` for a takeover's own connection.
    pub lane: Option<u16>,
}

impl Session {
    fn is(&self, other: &Session) -> bool {
        self.server.uuid == other.server.uuid && self.connection == other.connection
    }
}

/// How a session is made sure to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// KILL it and wait until the processlist no longer has it.
    Kill,
    /// It died with an earlier run of this server.
    DeadAlready,
    /// It is on a server we are not connected to: wait until its own session timeouts have ended it.
    WaitOut,
}

/// Sessions killed at once, before any lock is waited for: those of older owners only (C1), on this server.
pub fn to_kill_first<'a>(sessions: &'a [Session], me: &Session) -> Vec<&'a Session> {
    sessions.iter().filter(|s| s.epoch < me.epoch && s.server.is_same_run(&me.server)).collect()
}

/// Sessions to end with epochs up to our own, without this connection, and how (C2k, C5; rule 6).
pub fn to_end(sessions: &[Session], me: &Session) -> Vec<(Session, Ending)> {
    sessions.iter().filter(|s| s.epoch <= me.epoch && !s.is(me)).map(|s| (s.clone(), ending(s, me))).collect()
}

fn ending(session: &Session, me: &Session) -> Ending {
    if session.server.uuid != me.server.uuid {
        Ending::WaitOut
    } else if session.server.is_same_run(&me.server) {
        Ending::Kill
    } else {
        Ending::DeadAlready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(uuid: &str, start: i64, connection: u64, epoch: u64) -> Session {
        let server = ServerRun { uuid: uuid.to_owned(), start };
        Session { server, connection, epoch: Epoch(epoch), lane: Some(0) }
    }

    #[test]
    fn first_only_older_owners_then_all_up_to_our_epoch_but_ourselves() {
        let me = session("a", 100, 9, 5);
        let all = [me.clone(), session("a", 101, 3, 4), session("a", 99, 4, 5), session("a", 100, 5, 6)];
        assert_eq!(to_kill_first(&all, &me), [&all[1]]);
        let ended: Vec<u64> = to_end(&all, &me).iter().map(|(s, _)| s.connection).collect();
        assert_eq!(ended, [3, 4]);
    }

    #[test]
    fn an_id_of_an_earlier_run_or_of_another_server_is_never_killed() {
        let me = session("a", 1000, 9, 5);
        let all = [session("a", 100, 3, 4), session("b", 1000, 3, 4)];
        assert!(to_kill_first(&all, &me).is_empty());
        let how: Vec<Ending> = to_end(&all, &me).into_iter().map(|(_, how)| how).collect();
        assert_eq!(how, [Ending::DeadAlready, Ending::WaitOut]);
    }

    #[test]
    fn our_own_id_on_an_earlier_run_is_not_ourselves_but_needs_no_kill() {
        let me = session("a", 1000, 9, 5);
        assert_eq!(to_end(&[session("a", 100, 9, 4)], &me), []);
    }
}
