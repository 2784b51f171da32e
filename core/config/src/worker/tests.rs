use dm_model::error::Coded;

use super::*;

fn finish(text: &str) -> Result<Resolved, Error> {
    Config::from_toml(text)?.0.finish()
}

#[test]
fn the_sample_is_a_complete_configuration() {
    let worker = finish(SAMPLE).unwrap();
    assert_eq!(worker.name.as_str(), "worker-1");
    assert_eq!(worker.join.len(), 3);
    assert_eq!(worker.keepalive_ttl, Duration::from_secs(5));
    assert_eq!(worker.self_fence_after, None);
}

#[test]
fn defaults_follow_from_the_address() {
    let worker = finish("worker-addr = 'h:8262'\njoin = 'm:8261'\nrelay-dir = '/data/'").unwrap();
    assert_eq!(worker.name.as_str(), "h:8262");
    assert_eq!(worker.relay_dir.as_deref(), Some("/data/h:8262"));
    assert_eq!(worker.keepalive_ttl, Duration::from_secs(5));
}

#[test]
fn self_fence_after_is_a_duration_or_seconds() {
    for value in ["30", "'30s'"] {
        let text = format!("worker-addr = 'h:8262'\njoin = 'm:8261'\nself-fence-after = {value}");
        assert_eq!(finish(&text).unwrap().self_fence_after, Some(Duration::from_secs(30)));
    }
}

#[test]
fn flags_win_over_the_file() {
    let (mut config, _) = Config::from_toml(SAMPLE).unwrap();
    config.merge(Config { keepalive_ttl: Some(60), redact_info_log: Some(true), ..Config::default() });
    let worker = config.finish().unwrap();
    assert_eq!(worker.keepalive_ttl, Duration::from_secs(60));
    assert!(worker.redact_info_log);
}

#[test]
fn relay_keepalive_ttl_is_a_warning() {
    let (_, warnings) = Config::from_toml("relay-keepalive-ttl = 1800").unwrap();
    assert_eq!(warnings.len(), 1);
}

#[test]
fn every_bad_value_has_its_code() {
    for (text, number) in [
        ("", 60014),
        ("worker-addr = 'h:1'", 60014),
        ("x", 40003),
        ("worker-adr = 'h:1'", 40004),
        ("worker-addr = 'h'\njoin = 'm:1'", 40069),
        ("worker-addr = ':1'\njoin = 'm:1'", 40069),
        ("worker-addr = 'h:1'\njoin = 'm'", 40069),
        ("worker-addr = 'h:1'\njoin = 'm:1'\nself-fence-after = 'soon'", 40003),
    ] {
        assert_eq!(finish(text).unwrap_err().code().number, number, "{text}");
    }
}

#[test]
fn long_flags_cover_the_keys() {
    for key in KEYS.known.iter() {
        assert!(LONG_FLAGS.contains(key), "{key}");
    }
}
