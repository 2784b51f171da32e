use dm_model::error::Coded;

use super::*;

#[test]
fn the_sample_is_a_complete_configuration() {
    let ctl = Config::from_toml(SAMPLE).unwrap().0.finish().unwrap();
    assert_eq!(ctl.master_addr, ["127.0.0.1:8261", "127.0.0.1:8361"]);
    assert_eq!(ctl.rpc_timeout, Duration::from_secs(600));
}

#[test]
fn flags_win_over_the_environment_over_the_file() {
    let (mut config, _) = Config::from_toml("master-addr = 'file:1'\nrpc-timeout = '1m'").unwrap();
    config.merge(Config { master_addr: Some("env:1".into()), ..Config::default() });
    config.merge(Config { master_addr: Some("flag:1".into()), ..Config::default() });
    let ctl = config.finish().unwrap();
    assert_eq!(ctl.master_addr, ["flag:1"]);
    assert_eq!(ctl.rpc_timeout, Duration::from_secs(60));
}

#[test]
fn every_bad_value_has_its_code() {
    for (text, number) in [
        ("", 60014),
        ("x", 20002),
        ("rpc-timeout = '5'", 20002),
        ("master = 'h:1'", 20002),
        ("master-addr = 'h'", 60013),
        ("master-addr = 'h:1'\nssl-key = 'k'", 38051),
    ] {
        let error = Config::from_toml(text).and_then(|(config, _)| config.finish()).unwrap_err();
        assert_eq!(error.code().number, number, "{text}");
    }
}
