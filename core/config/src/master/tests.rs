use dm_model::error::Coded;

use super::*;

fn finish(text: &str) -> Result<Resolved, Error> {
    Config::from_toml(text)?.0.finish("box")
}

fn code(text: &str) -> u32 {
    finish(text).unwrap_err().code().number
}

#[test]
fn the_sample_is_a_complete_configuration() {
    let (config, warnings) = Config::from_toml(SAMPLE).unwrap();
    assert_eq!(warnings, []);
    let master = config.finish("box").unwrap();
    assert_eq!(master.name.as_str(), "master-1");
    assert_eq!(master.master_addr, ":8261");
    assert_eq!(master.data_dir, "default.master-1");
    assert!(matches!(master.membership, Membership::Bootstrap(members) if members.len() == 1));
}

#[test]
fn defaults_follow_from_the_address() {
    let master = finish("master-addr = '10.0.0.1:8261'").unwrap();
    assert_eq!(master.name.as_str(), "dm-master-box");
    assert_eq!(master.advertise_addr, "10.0.0.1:8261");
    assert_eq!(master.peer_urls, ["http://127.0.0.1:8291"]);
    assert_eq!(master.rpc_timeout, Duration::from_secs(30));
    assert_eq!((master.rpc_rate_limit, master.rpc_rate_burst), (10.0, 40));
    assert_eq!(master.raft_profile, RaftProfile::Lan);
    assert!(!master.openapi && master.tls.is_none());
}

#[test]
fn flags_win_over_the_file() {
    let (mut config, _) = Config::from_toml(SAMPLE).unwrap();
    let mut flags = Config { name: Some("master-2".into()), ..Config::default() };
    flags.initial_cluster = Some("master-2=http://h:1,master-3=http://h:2".into());
    flags.log.log_level = Some("debug".into());
    config.merge(flags);
    let master = config.finish("box").unwrap();
    assert_eq!(master.name.as_str(), "master-2");
    assert_eq!(master.log.level, crate::logging::LogLevel::Debug);
    assert_eq!(master.log.file.as_deref(), Some("dm-master.log"));
}

#[test]
fn keys_that_tuned_etcd_are_warnings() {
    let text =
        "master-addr = 'h:1'\nquota-backend-bytes = 2147483648\nauto-compaction-mode = 'periodic'\nmax-txn-ops = 1";
    let (config, warnings) = Config::from_toml(text).unwrap();
    assert_eq!(warnings.len(), 3);
    assert!(warnings.iter().any(|warning| warning.0.contains("quota-backend-bytes")), "{warnings:?}");
    assert!(config.finish("box").is_ok());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let error = Config::from_toml("master-adr = 'x'\n[raft]\nprofil = 'lan'").unwrap_err();
    assert_eq!(error.code().number, 38011);
    assert_eq!(error.to_string(), "the master's configuration has unknown keys: master-adr, raft.profil");
}

#[test]
fn join_and_existing_are_other_ways_into_a_cluster() {
    let master = finish("master-addr = 'h:1'\njoin = 'http://a:8261, b:8261'").unwrap();
    assert_eq!(master.membership, Membership::Join(vec!["a:8261".into(), "b:8261".into()]));
    let text = "name = 'm'\nmaster-addr = 'h:1'\ninitial-cluster = 'm=h:2'\ninitial-cluster-state = 'existing'";
    assert!(matches!(finish(text).unwrap().membership, Membership::Existing(_)));
}

#[test]
fn profiles_and_openapi_are_read() {
    let master = finish("master-addr = 'h:1'\n[raft]\nprofile = 'wan'\n[experimental]\nopenapi = true").unwrap();
    assert_eq!(master.raft_profile, RaftProfile::Wan);
    assert!(master.openapi);
}

#[test]
fn every_bad_value_has_its_code() {
    for (text, number) in [
        ("", 60014),
        ("master-addr = ", 38013),
        ("master-addr = 1", 38013),
        ("master-addr = 'h'", 38035),
        ("master-addr = ':8261'", 38042),
        ("master-addr = '0.0.0.0:8261'", 38042),
        ("master-addr = 'h:1'\nadvertise-addr = 'h'", 38042),
        ("master-addr = 'h:1'\npeer-urls = 'h'", 38039),
        ("master-addr = 'h:1'\npeer-urls = 'http://:8291'", 38050),
        ("master-addr = 'h:1'\njoin = 'h:2'\ninitial-cluster = 'm=h:1'", 38037),
        ("master-addr = 'h:1'\njoin = 'h'", 38037),
        ("master-addr = 'h:1'\ninitial-cluster = 'other=h:1'", 38037),
        ("master-addr = 'h:1'\ninitial-cluster-state = 'old'", 38037),
        ("master-addr = 'h:1'\nssl-ca = 'a'", 38051),
        ("master-addr = 'h:1'\nssl-cert = 'a'", 38051),
        ("master-addr = 'h:1'\nlog-level = 'loud'", 60013),
        ("master-addr = 'h:1'\nraft = {profile = 'x'}", 60013),
    ] {
        assert_eq!(code(text), number, "{text}");
    }
}

#[test]
fn long_flags_cover_the_keys() {
    for key in KEYS.known.iter().filter(|key| !key.contains('.')) {
        assert!(LONG_FLAGS.contains(key), "{key}");
    }
}
