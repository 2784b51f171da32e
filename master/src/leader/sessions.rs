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
    /// What workers need to find this leader.
    grace: Millis,
    next_stream: u64,
    live: BTreeMap<SessionId, Live>,
    unheard: BTreeMap<SessionId, Unheard>,
    /// Sources being moved away: the revision of the first assignments that left them out.
    told_to_drain: BTreeMap<SourceId, u64>,
}

/// A session of which this leader has no stream yet.
#[derive(Debug)]
struct Unheard {
    /// When it was seen first: it may have been opened a moment ago, its stream to come.
    since: Millis,
    /// What dialling its address gave.
    silence: Silence,
}

#[derive(Debug)]
struct Live {
    stream: u64,
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
    /// A leadership begins. `grace`: what workers need to find it.
    pub fn new(now: Millis, grace: Millis) -> Self {
        Self {
            inner: Mutex::new(Inner {
                timers_since: now,
                grace,
                next_stream: 1,
                live: BTreeMap::new(),
                unheard: BTreeMap::new(),
                told_to_drain: BTreeMap::new(),
            }),
        }
    }

    /// A stream of a session begins; it counts as heard.
    pub fn attach(&self, session: SessionId, now: Millis) -> Stream {
        let mut inner = self.lock();
        let number = inner.next_stream;
        inner.next_stream += 1;
        let wake = Arc::new(Notify::new());
        let live = Live { stream: number, heard: Heard::At(now), silence: Silence::Quiet, wake: Arc::clone(&wake) };
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

    /// The live sessions of which this leader has had no stream, with their addresses, and which were not found dead.
    pub fn unheard(&self, state: &State) -> Vec<(SessionId, String)> {
        let inner = self.lock();
        let is_dead = |id: &SessionId| {
            let silence = inner.unheard.get(id).map(|unheard| unheard.silence);
            matches!(silence, Some(Silence::Broken { redial: Redial::Refused, .. }))
        };
        state
            .sessions()
            .filter(|session| !inner.live.contains_key(&session.id) && !is_dead(&session.id))
            .map(|session| (session.id, session.addr.clone()))
            .collect()
    }

    /// What dialling the worker of an unheard session gave.
    pub fn dialled(&self, session: SessionId, result: Redial, now: Millis) {
        let mut inner = self.lock();
        if !inner.live.contains_key(&session) {
            let silence = Silence::Broken { at: now, redial: result };
            inner.unheard.entry(session).or_insert(Unheard { since: now, silence }).silence = silence;
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
    /// `silent` is the cluster's `keepalive-ttl`, for workers that did not ask for one of their own.
    pub fn facts(&self, state: &State, now: Millis, silent: Millis) -> (Facts, Vec<(SessionId, Cause)>) {
        let mut inner = self.lock();
        inner.live.retain(|session, live| {
            let lives = state.session(*session).is_some();
            if !lives {
                live.wake.notify_one();
            }
            lives
        });
        let Inner { live, unheard, timers_since, grace, .. } = &mut *inner;
        unheard.retain(|session, _| state.session(*session).is_some() && !live.contains_key(session));
        let mut facts = Facts::default();
        let mut lost = Vec::new();
        for session in state.sessions() {
            let (heard, silence) = match live.get(&session.id) {
                Some(live) => (live.heard, live.silence),
                None => {
                    let unheard = unheard.entry(session.id).or_insert(Unheard { since: now, silence: Silence::Quiet });
                    (Heard::NotSince(unheard.since.max(*timers_since)), unheard.silence)
                }
            };
            let silent = if session.keepalive_ms > 0 { Millis(session.keepalive_ms) } else { silent };
            let ttl = Ttl::of_keepalive(silent, *grace);
            let health = match expire_decision(heard, silence, now, &ttl) {
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

    const SESSION: SessionId = SessionId(3);
    const GRACE: Millis = Millis(1_000);

    /// One worker with session 3, that may be silent for so long; 0: as the cluster says.
    fn state(keepalive_ms: u64) -> State {
        let mut state = State::default();
        let worker = WorkerName::parse("w").unwrap();
        let open = OpenSession {
            worker: worker.clone(),
            instance_uuid: "i".into(),
            addr: "h:1".into(),
            version: String::new(),
            takeover: Takeover::Refuse,
            keepalive_ms,
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

    fn health_in(state: &State, sessions: &Sessions, at: u64) -> Health {
        sessions.facts(state, Millis(at), Millis(5_000)).0.sessions[&SESSION].health
    }

    fn health(sessions: &Sessions, at: u64) -> Health {
        health_in(&state(0), sessions, at)
    }

    #[test]
    fn a_new_leader_gives_unheard_sessions_their_time_and_what_it_takes_to_find_it() {
        let sessions = Sessions::new(Millis(100), GRACE);
        assert_ne!(health(&sessions, 100), Health::Lost);
        assert_eq!(health(&sessions, 6_099), Health::Suspect);
        assert_eq!(health(&sessions, 6_100), Health::Lost);
    }

    #[test]
    fn a_new_leader_gives_up_a_worker_whose_address_refuses_once_the_living_could_come() {
        let sessions = Sessions::new(Millis(100), GRACE);
        assert_eq!(sessions.unheard(&state(0)), [(SESSION, "h:1".to_owned())]);
        health(&sessions, 100);
        sessions.dialled(SESSION, Redial::Answered, Millis(110));
        assert_eq!(sessions.unheard(&state(0)).len(), 1, "an answer proves nothing");
        sessions.dialled(SESSION, Redial::Refused, Millis(200));
        assert_eq!(sessions.unheard(&state(0)), []);
        assert_ne!(health(&sessions, 1_099), Health::Lost);
        assert_eq!(health(&sessions, 1_100), Health::Lost);
    }

    #[test]
    fn a_worker_that_came_is_not_given_up_for_what_dialling_it_gave() {
        let sessions = Sessions::new(Millis(100), GRACE);
        sessions.dialled(SESSION, Redial::Refused, Millis(110));
        sessions.attach(SESSION, Millis(900));
        sessions.dialled(SESSION, Redial::Refused, Millis(901));
        assert_eq!(health(&sessions, 2_000), Health::Healthy);
        assert_eq!(sessions.unheard(&state(0)), []);
    }

    #[test]
    fn a_worker_is_given_the_time_it_asks_for_by_every_leader() {
        let long = state(60_000);
        let sessions = Sessions::new(Millis(0), GRACE);
        assert_ne!(health_in(&long, &sessions, 30_000), Health::Lost);
        sessions.attach(SESSION, Millis(1_000));
        assert_eq!(health_in(&long, &sessions, 30_000), Health::Healthy);
        assert_eq!(health_in(&long, &sessions, 61_100), Health::Lost);
    }

    #[test]
    fn a_session_that_was_opened_a_moment_ago_is_not_given_up_before_its_stream_is_there() {
        let sessions = Sessions::new(Millis(100), GRACE);
        assert_ne!(health(&sessions, 60_000), Health::Lost);
    }

    #[test]
    fn only_a_broken_stream_makes_a_worker_one_that_does_not_answer() {
        let sessions = Sessions::new(Millis(0), GRACE);
        assert!(sessions.may_answer(SESSION), "not heard yet by this leader");
        let stream = sessions.attach(SESSION, Millis(1_000));
        assert!(sessions.may_answer(SESSION));
        sessions.broken(&stream, Millis(2_000));
        assert!(!sessions.may_answer(SESSION));
    }

    #[test]
    fn a_dead_process_is_given_up_at_once_unless_it_came_back() {
        let sessions = Sessions::new(Millis(0), GRACE);
        let stream = sessions.attach(SESSION, Millis(1_000));
        assert!(sessions.broken(&stream, Millis(2_000)));
        sessions.redialled(&stream, Redial::Refused);
        assert_eq!(health(&sessions, 2_400), Health::Lost);
        let again = sessions.attach(SESSION, Millis(2_500));
        assert_eq!(health(&sessions, 2_600), Health::Healthy);
        assert!(!sessions.broken(&stream, Millis(2_700)), "the old stream has nothing to say any more");
        assert!(sessions.is_current(&again) && !sessions.is_current(&stream));
    }

    #[test]
    fn after_a_standstill_nobody_is_given_up_for_what_was_not_heard() {
        let sessions = Sessions::new(Millis(0), GRACE);
        sessions.attach(SESSION, Millis(1_000));
        sessions.restart_timers(Millis(60_000));
        assert_ne!(health(&sessions, 60_100), Health::Lost);
    }
}
