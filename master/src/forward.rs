//! Which master answers a request: any takes it, the leader carries it out.
//!
//! A request is passed on at most once, so that two masters that take each other for the leader do not play ping-pong.

use std::{sync::Arc, time::Duration};

use dm_model::UnixMillis;
use dm_raft::node::{LeaderHint, Leadership};
use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataMap;

use crate::{context::Context, error::Error, leader::Leading};

/// Marks a request that another master passed on.
pub const FORWARDED: &str = "dm-forwarded";
/// How long a request waits for a leader, or for the leader's duties to start.
pub const LEADER_WAIT: Duration = Duration::from_secs(1);

/// Where a request goes.
pub enum Route {
    /// This master leads and is ready.
    Here(Arc<Leading>),
    There(LeaderHint),
    /// Nobody is known to lead since then.
    Nowhere {
        since: UnixMillis,
    },
}

/// What a master does with a request at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    CarryOut,
    PassOn,
    /// Something is about to change: a leader that is not ready, or none.
    Wait,
    /// It was passed on to us, and we do not lead.
    Refuse,
}

/// The part of the leadership that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    LeadsAndReady,
    LeadsNotReady,
    Follows { leader_has_address: bool },
    NoLeader,
}

/// Pure, so that every case is proven below.
pub fn decide(standing: Standing, was_forwarded: bool) -> Decision {
    match standing {
        Standing::LeadsAndReady => Decision::CarryOut,
        Standing::LeadsNotReady | Standing::NoLeader => Decision::Wait,
        Standing::Follows { .. } if was_forwarded => Decision::Refuse,
        Standing::Follows { leader_has_address: true } => Decision::PassOn,
        Standing::Follows { leader_has_address: false } => Decision::Wait,
    }
}

pub fn was_forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(FORWARDED)
}

/// Finds out where a request goes, waiting up to [`LEADER_WAIT`] for somebody to lead.
pub async fn route(context: &Context, was_forwarded: bool) -> Result<Route, Error> {
    let mut leadership = context.cluster.leadership();
    let mut leading = context.leading.subscribe();
    let until = Instant::now() + LEADER_WAIT;
    loop {
        let now = leadership.borrow_and_update().clone();
        let ready = leading.borrow_and_update().clone().filter(|ready| now.token() == Some(ready.token));
        let standing = match (&now, &ready) {
            (Leadership::Leader { .. }, Some(_)) => Standing::LeadsAndReady,
            (Leadership::Leader { .. }, None) => Standing::LeadsNotReady,
            (Leadership::Follower { leader }, _) => {
                Standing::Follows { leader_has_address: !leader.api_addr.is_empty() }
            }
            (Leadership::NoLeader { .. }, _) => Standing::NoLeader,
        };
        match (decide(standing, was_forwarded), now, ready) {
            (Decision::CarryOut, _, Some(ready)) => return Ok(Route::Here(ready)),
            (Decision::PassOn, Leadership::Follower { leader }, _) => return Ok(Route::There(leader)),
            (Decision::Refuse, ..) => return Err(Error::ForwardedTwice),
            (Decision::CarryOut | Decision::PassOn | Decision::Wait, now, _) => {
                let changed = async {
                    tokio::select! {
                        changed = leadership.changed() => changed.is_ok(),
                        changed = leading.changed() => changed.is_ok(),
                    }
                };
                if !timeout_at(until, changed).await.unwrap_or(false) {
                    return Ok(Route::Nowhere { since: leaderless_since(&now) });
                }
            }
        }
    }
}

/// Now, when somebody leads.
pub fn leaderless_since(leadership: &Leadership) -> UnixMillis {
    let wall = dm_runtime::clock::wall();
    match leadership {
        Leadership::NoLeader { since } => {
            UnixMillis(wall.0 - i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
        }
        Leadership::Leader { .. } | Leadership::Follower { .. } => wall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standing_has_one_decision() {
        let follows = |leader_has_address| Standing::Follows { leader_has_address };
        for (standing, was_forwarded, expected) in [
            (Standing::LeadsAndReady, false, Decision::CarryOut),
            (Standing::LeadsAndReady, true, Decision::CarryOut),
            (Standing::LeadsNotReady, false, Decision::Wait),
            (Standing::LeadsNotReady, true, Decision::Wait),
            (Standing::NoLeader, false, Decision::Wait),
            (Standing::NoLeader, true, Decision::Wait),
            (follows(true), false, Decision::PassOn),
            (follows(false), false, Decision::Wait),
            (follows(true), true, Decision::Refuse),
            (follows(false), true, Decision::Refuse),
        ] {
            assert_eq!(decide(standing, was_forwarded), expected, "{standing:?} {was_forwarded}");
        }
    }
}
