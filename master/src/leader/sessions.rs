//! Which sessions this leader hears, when it heard them last, and whom to wake when something is to be pushed.
//!
//! Never ends a session: it gives facts to the planner, and a committed command ends it. Lives in memory; a new leader
//! starts with timers of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dm_model::{SessionId, SourceId};
use dm_state::{
    State,
    scheduler::{
        Expiry, Facts, Heard, Millis, Redial, Silence, Ttl, expire_decision,
        expiry::Cause,
        view::{Health, SessionFacts},
    },
};
use tokio::sync::Notify;

#[derive(Debug)]
pub struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    timers_since: Millis,
    next_stream: u64,
    live: BTreeMap<SessionId, Live>,
    /// When a session without a stream was seen first: it may have been opened a moment ago, its stream to come.
    unheard_since: BTreeMap<SessionId, Millis>,
    /// Sources being moved away: the revision of the first assignments that left them out.
    told_to_drain: BTreeMap<SourceId, u64>,
}

#[derive(Debug)]
struct Live {
    stream: u64,
    /// What the worker's own `keepalive-ttl` asks for; `None`: the cluster's.
    ttl: Option<Ttl>,
    heard: Heard,
    silence: Silence,
    wake: Arc<Notify>,
}

/// One stream of a session. A newer stream of the same session makes an older one end.
#[derive(Debug, Clone)]
pub struct Stream {
    pub session: SessionId,
    number: u64,
    /// Something may be new for this session, or this stream was replaced.
    pub wake: Arc<Notify>,
}

impl Sessions {
    pub fn new(now: Millis) -> Self {
        Self {
            inner: Mutex::new(Inner {
                timers_since: now,
                next_stream: 1,
                live: BTreeMap::new(),
                unheard_since: BTreeMap::new(),
                told_to_drain: BTreeMap::new(),
            }),
        }
    }

    /// A stream of a session begins; it counts as heard.
    pub fn attach(&self, session: SessionId, ttl: Option<Ttl>, now: Millis) -> Stream {
        let mut inner = self.lock();
        let number = inner.next_stream;
        inner.next_stream += 1;
        let wake = Arc::new(Notify::new());
        let live =
            Live { stream: number, ttl, heard: Heard::At(now), silence: Silence::Quiet, wake: Arc::clone(&wake) };
        if let Some(older) = inner.live.insert(session, live) {
            older.wake.notify_one();
        }
        Stream { session, number, wake }
    }

    /// Whether a stream is still the one of its session.
    pub fn is_current(&self, stream: &Stream) -> bool {
        self.lock().live.get(&stream.session).is_some_and(|live| live.stream == stream.number)
    }

    pub fn heard(&self, stream: &Stream, now: Millis) {
        if let Some(live) = self.lock().live.get_mut(&stream.session) {
            live.heard = Heard::At(now);
            live.silence = Silence::Quiet;
        }
    }

    /// A stream ended without a goodbye. False: a newer one has taken its place, and nothing is broken.
    pub fn broken(&self, stream: &Stream, now: Millis) -> bool {
        let mut inner = self.lock();
        match inner.live.get_mut(&stream.session).filter(|live| live.stream == stream.number) {
            Some(live) => {
                live.silence = Silence::Broken { at: now, redial: Redial::Pending };
                true
            }
            None => false,
        }
    }

    /// What dialling the worker gave after its stream broke.
    pub fn redialled(&self, stream: &Stream, result: Redial) {
        if let Some(live) = self.lock().live.get_mut(&stream.session).filter(|live| live.stream == stream.number)
            && let Silence::Broken { redial, .. } = &mut live.silence
        {
            *redial = result;
        }
    }

    pub fn wake(&self, sessions: &BTreeSet<SessionId>) {
        let inner = self.lock();
        for live in sessions.iter().filter_map(|session| inner.live.get(session)) {
            live.wake.notify_one();
        }
    }

    pub fn wake_all(&self) {
        for live in self.lock().live.values() {
            live.wake.notify_one();
        }
    }

    /// This process stood still for so long that what it did not hear proves nothing.
    pub fn restart_timers(&self, now: Millis) {
        let mut inner = self.lock();
        inner.timers_since = now;
        for live in inner.live.values_mut() {
            live.heard = Heard::NotSince(now);
        }
    }

    /// The health of every session in the state, and those to give up with the cause. Forgets sessions that ended.
    pub fn facts(&self, state: &State, now: Millis, ttl: &Ttl) -> (Facts, Vec<(SessionId, Cause)>) {
        let mut inner = self.lock();
        inner.live.retain(|session, live| {
            let lives = state.session(*session).is_some();
            if !lives {
                live.wake.notify_one();
            }
            lives
        });
        let Inner { live, unheard_since, timers_since, .. } = &mut *inner;
        unheard_since.retain(|session, _| state.session(*session).is_some() && !live.contains_key(session));
        let mut facts = Facts::default();
        let mut lost = Vec::new();
        for session in state.sessions() {
            let (heard, silence, ttl) = match live.get(&session.id) {
                Some(live) => (live.heard, live.silence, live.ttl.as_ref().unwrap_or(ttl)),
                None => {
                    let since = *unheard_since.entry(session.id).or_insert(now);
                    (Heard::NotSince(since.max(*timers_since)), Silence::Quiet, ttl)
                }
            };
            let health = match expire_decision(heard, silence, now, ttl) {
                Expiry::Alive { .. } => Health::Healthy,
                Expiry::Suspect { .. } => Health::Suspect,
                Expiry::Expired(cause) => {
                    lost.push((session.id, cause));
                    Health::Lost
                }
            };
            facts.sessions.insert(session.id, SessionFacts { health, capacity: None });
        }
        (facts, lost)
    }

    /// Assignments of `revision` were made for a session: notes which draining sources they left out.
    pub fn told(&self, state: &State, session: SessionId, revision: u64) {
        let mut inner = self.lock();
        inner.told_to_drain.retain(|source, _| state.source(source).is_some_and(|source| source.moving_to.is_some()));
        for source in state.sources_on(session).filter(|source| source.moving_to.is_some()) {
            inner.told_to_drain.entry(source.id.clone()).or_insert(revision);
        }
    }

    pub fn told_to_drain(&self) -> BTreeMap<SourceId, u64> {
        self.lock().told_to_drain.clone()
    }

    /// Whether the worker may be there to be asked: its stream is not broken. A leader that is new has not heard it yet
    /// and has no reason to think it gone.
    pub fn may_answer(&self, session: SessionId) -> bool {
        self.lock().live.get(&session).is_none_or(|live| matches!(live.silence, Silence::Quiet))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dm_model::{ClusterId, Revision, UnixMillis, WorkerName};
    use dm_state::{
        Command, Stamp, apply,
        apply::session::Takeover,
        command::{Bootstrap, OpenSession, RegisterWorker},
    };

    use super::*;

    /// One worker with session 3.
    fn state() -> State {
        let mut state = State::default();
        let worker = WorkerName::parse("w").unwrap();
        let open = OpenSession {
            worker: worker.clone(),
            instance_uuid: "i".into(),
            addr: "h:1".into(),
            version: String::new(),
            takeover: Takeover::Refuse,
        };
        let commands = [
            Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: Vec::new() }),
            Command::RegisterWorker(RegisterWorker { name: worker, addr: "h:1".into() }),
            Command::OpenSession(open),
        ];
        for (index, command) in (1..).zip(commands) {
            apply(&mut state, Stamp::new(Revision(index), UnixMillis(0)), command);
        }
        state
    }

    const SESSION: SessionId = SessionId(3);

    fn health(sessions: &Sessions, at: u64) -> Health {
        let ttl = Ttl::of_keepalive(Millis(5_000), Millis(5_000));
        sessions.facts(&state(), Millis(at), &ttl).0.sessions[&SESSION].health
    }

    #[test]
    fn a_new_leader_gives_unheard_sessions_their_full_time() {
        let sessions = Sessions::new(Millis(100));
        assert_ne!(health(&sessions, 100), Health::Lost);
        assert_eq!(health(&sessions, 10_000), Health::Suspect);
        assert_eq!(health(&sessions, 10_100), Health::Lost);
    }

    #[test]
    fn a_worker_is_given_the_time_it_asks_for() {
        let sessions = Sessions::new(Millis(0));
        let long = Ttl::of_keepalive(Millis(60_000), Millis(60_000));
        sessions.attach(SESSION, Some(long), Millis(1_000));
        assert_eq!(health(&sessions, 30_000), Health::Healthy);
        assert_eq!(health(&sessions, 61_100), Health::Lost);
    }

    #[test]
    fn a_session_that_was_opened_a_moment_ago_is_not_given_up_before_its_stream_is_there() {
        let sessions = Sessions::new(Millis(100));
        assert_ne!(health(&sessions, 60_000), Health::Lost);
    }

    #[test]
    fn only_a_broken_stream_makes_a_worker_one_that_does_not_answer() {
        let sessions = Sessions::new(Millis(0));
        assert!(sessions.may_answer(SESSION), "not heard yet by this leader");
        let stream = sessions.attach(SESSION, None, Millis(1_000));
        assert!(sessions.may_answer(SESSION));
        sessions.broken(&stream, Millis(2_000));
        assert!(!sessions.may_answer(SESSION));
    }

    #[test]
    fn a_dead_process_is_given_up_at_once_unless_it_came_back() {
        let sessions = Sessions::new(Millis(0));
        let stream = sessions.attach(SESSION, None, Millis(1_000));
        assert!(sessions.broken(&stream, Millis(2_000)));
        sessions.redialled(&stream, Redial::Refused);
        assert_eq!(health(&sessions, 2_400), Health::Lost);
        let again = sessions.attach(SESSION, None, Millis(2_500));
        assert_eq!(health(&sessions, 2_600), Health::Healthy);
        assert!(!sessions.broken(&stream, Millis(2_700)), "the old stream has nothing to say any more");
        assert!(sessions.is_current(&again) && !sessions.is_current(&stream));
    }

    #[test]
    fn after_a_standstill_nobody_is_given_up_for_what_was_not_heard() {
        let sessions = Sessions::new(Millis(0));
        sessions.attach(SESSION, None, Millis(1_000));
        sessions.restart_timers(Millis(60_000));
        assert_ne!(health(&sessions, 60_100), Health::Lost);
    }
}
