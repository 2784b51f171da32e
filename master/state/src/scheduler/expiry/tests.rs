use super::*;

const TTL: Ttl = Ttl { silent: Millis(5_000), broken: Millis(2_000), refused: Millis(300), grace: Millis(4_000) };

fn judge(heard: Heard, silence: Silence, now: u64) -> Expiry {
    expire_decision(heard, silence, Millis(now), &TTL)
}

fn broken(at: u64, redial: Redial) -> Silence {
    Silence::Broken { at: Millis(at), redial }
}

#[test]
fn a_silent_session_is_suspect_after_half_and_gone_after_all_of_its_time() {
    let heard = Heard::At(Millis(1_000));
    assert_eq!(judge(heard, Silence::Quiet, 3_499), Expiry::Alive { look_again: Millis(3_500) });
    assert_eq!(judge(heard, Silence::Quiet, 3_500), Expiry::Suspect { expires_at: Millis(6_000) });
    assert_eq!(judge(heard, Silence::Quiet, 6_000), Expiry::Expired(Cause::Silent));
}

#[test]
fn a_refused_connection_ends_a_session_at_once_and_an_unreachable_one_soon() {
    let heard = Heard::At(Millis(1_000));
    let cases = [
        (Redial::Refused, 1_300, Cause::ConnectionRefused),
        (Redial::Pending, 3_000, Cause::StreamBroken),
        (Redial::NoAnswer, 3_000, Cause::StreamBroken),
        (Redial::Answered, 3_000, Cause::StreamBroken),
    ];
    for (redial, end, cause) in cases {
        let silence = broken(1_000, redial);
        assert_eq!(judge(heard, silence, end - 1), Expiry::Suspect { expires_at: Millis(end) });
        assert_eq!(judge(heard, silence, end), Expiry::Expired(cause));
    }
}

#[test]
fn a_break_never_prolongs_a_life() {
    assert_eq!(judge(Heard::At(Millis(0)), broken(4_900, Redial::NoAnswer), 5_000), Expiry::Expired(Cause::Silent));
}

#[test]
fn a_break_before_the_last_word_does_not_count() {
    let heard = Heard::At(Millis(2_000));
    assert_eq!(judge(heard, broken(1_000, Redial::Refused), 2_100), Expiry::Alive { look_again: Millis(4_500) });
}

#[test]
fn a_new_leader_expires_nobody_before_all_could_find_it() {
    let heard = Heard::NotSince(Millis(1_000));
    for silence in [Silence::Quiet, broken(1_000, Redial::Answered), broken(1_000, Redial::NoAnswer)] {
        assert_eq!(judge(heard, silence, 9_999), Expiry::Suspect { expires_at: Millis(10_000) });
        assert_eq!(judge(heard, silence, 10_000), Expiry::Expired(Cause::NotSeenByNewLeader));
    }
}

#[test]
fn a_new_leader_gives_up_a_dead_process_as_soon_as_living_ones_had_time_to_come() {
    let heard = Heard::NotSince(Millis(1_000));
    for (refused_at, end) in [(1_000, 5_000), (4_900, 5_200)] {
        let silence = broken(refused_at, Redial::Refused);
        assert_eq!(judge(heard, silence, end - 1), Expiry::Suspect { expires_at: Millis(end) });
        assert_eq!(judge(heard, silence, end), Expiry::Expired(Cause::ConnectionRefused));
    }
}

#[test]
fn heartbeats_within_half_the_time_keep_a_session_free_of_suspicion() {
    for gap in 0..TTL.silent.0 / 2 {
        assert!(matches!(judge(Heard::At(Millis(7)), Silence::Quiet, 7 + gap), Expiry::Alive { .. }));
    }
}

#[test]
fn a_decision_never_goes_back_while_nothing_is_heard() {
    let rank = |expiry| match expiry {
        Expiry::Alive { .. } => 0,
        Expiry::Suspect { .. } => 1,
        Expiry::Expired(_) => 2,
    };
    for heard in [Heard::At(Millis(100)), Heard::NotSince(Millis(100))] {
        for silence in [Silence::Quiet, broken(150, Redial::Refused), broken(3_000, Redial::NoAnswer)] {
            let ranks: Vec<_> = (3_000..12_000).step_by(10).map(|now| rank(judge(heard, silence, now))).collect();
            assert!(ranks.is_sorted());
        }
    }
}

#[test]
fn a_leader_that_stood_still_restarts_its_timers() {
    assert!(!TTL.must_restart_timers(Millis(2_500)));
    assert!(TTL.must_restart_timers(Millis(2_501)));
}

#[test]
fn short_times_to_live_shorten_the_others() {
    let ttl = Ttl::of_keepalive(Millis(200), Millis(0));
    assert_eq!((ttl.broken, ttl.refused), (Millis(200), Millis(200)));
}

#[test]
fn clocks_at_the_end_of_their_range_do_not_overflow() {
    let heard = Heard::At(Millis(u64::MAX - 1));
    assert!(matches!(judge(heard, Silence::Quiet, u64::MAX), Expiry::Expired(_)));
    assert!(matches!(judge(heard, Silence::Quiet, 0), Expiry::Alive { .. }));
}
