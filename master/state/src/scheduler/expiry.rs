//! When a silent session is given up.
//!
//! Giving up too early is safe (the fence stops the old owner) and costs a restart; too late costs the time in between.
//! A broken stream whose worker refuses connections is a dead process: that is known within a moment. All times are
//! readings of the leader's monotonic clock.

use std::fmt;

/// A reading of a monotonic clock, or a span of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    fn plus(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// How long silence is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl {
    /// Of a session that just stays silent: `keepalive-ttl`.
    pub silent: Millis,
    /// After its stream broke and it could not be reached again.
    pub broken: Millis,
    /// After its stream broke and its address refuses connections.
    pub refused: Millis,
    /// What workers need to find a new leader: on top of `silent` for sessions it has not heard yet, and alone for those
    /// whose address refuses connections.
    pub grace: Millis,
}

impl Ttl {
    /// The spans that go with a `keepalive-ttl`: the short ones are never longer than it.
    pub fn of_keepalive(silent: Millis, grace: Millis) -> Self {
        Self { silent, broken: Millis(2_000).min(silent), refused: Millis(300).min(silent), grace }
    }

    /// Whether a gap between two turns of the leader's own loop is so long that what it did not hear proves nothing:
    /// restart all timers, as a new leader does.
    pub fn must_restart_timers(&self, own_gap: Millis) -> bool {
        own_gap > Millis(self.silent.0 / 2)
    }
}

/// 5 s, safe because of the fence; the grace is as long.
impl Default for Ttl {
    fn default() -> Self {
        Self::of_keepalive(Millis(5_000), Millis(5_000))
    }
}

/// When this leader heard the session last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Not since it leads, or since it restarted its timers, at that time.
    NotSince(Millis),
    At(Millis),
}

/// What is known of a session's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The stream stands.
    Quiet,
    Broken {
        at: Millis,
        redial: Redial,
    },
}

/// What dialling the worker's address gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redial {
    Pending,
    Refused,
    NoAnswer,
    /// Something listens there, though the session's stream is gone.
    Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    Alive {
        look_again: Millis,
    },
    /// Give it nothing new.
    Suspect {
        expires_at: Millis,
    },
    Expired(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Silent,
    StreamBroken,
    ConnectionRefused,
    /// It did not find the new leader.
    NotSeenByNewLeader,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::StreamBroken => "stream broken",
            Self::ConnectionRefused => "connection refused",
            Self::NotSeenByNewLeader => "not seen by the new leader",
        })
    }
}

/// Judges one session at `now`.
///
/// A session this leader has not heard lives for `silent + grace` from the start of its timers, for workers need time to
/// find the new leader; one whose process is known to be dead, because its address refuses connections, for `grace`. A
/// broken stream counts only if nothing was heard after it broke.
pub fn expire_decision(heard: Heard, silence: Silence, now: Millis, ttl: &Ttl) -> Expiry {
    let (expires_at, cause, is_broken) = match (heard, silence) {
        (Heard::NotSince(start), Silence::Broken { at, redial: Redial::Refused }) => {
            (start.plus(ttl.grace.min(ttl.silent)).max(at.plus(ttl.refused)), Cause::ConnectionRefused, true)
        }
        (Heard::NotSince(start), Silence::Quiet | Silence::Broken { .. }) => {
            (start.plus(ttl.silent).plus(ttl.grace), Cause::NotSeenByNewLeader, false)
        }
        (Heard::At(at), Silence::Quiet) => (at.plus(ttl.silent), Cause::Silent, false),
        (Heard::At(at), Silence::Broken { at: broke, redial: _ }) if at > broke => {
            (at.plus(ttl.silent), Cause::Silent, false)
        }
        (Heard::At(at), Silence::Broken { at: broke, redial }) => {
            let (span, cause) = match redial {
                Redial::Refused => (ttl.refused, Cause::ConnectionRefused),
                Redial::Pending | Redial::NoAnswer | Redial::Answered => (ttl.broken, Cause::StreamBroken),
            };
            let (by_break, by_silence) = (broke.plus(span), at.plus(ttl.silent));
            if by_break <= by_silence { (by_break, cause, true) } else { (by_silence, Cause::Silent, true) }
        }
    };
    if now >= expires_at {
        return Expiry::Expired(cause);
    }
    let heard_at = match heard {
        Heard::NotSince(at) | Heard::At(at) => at,
    };
    let suspect_at = heard_at.plus(Millis(ttl.silent.0 / 2));
    if is_broken || now.since(heard_at) >= Millis(ttl.silent.0 / 2) {
        Expiry::Suspect { expires_at }
    } else {
        Expiry::Alive { look_again: suspect_at }
    }
}

#[cfg(test)]
mod tests;
