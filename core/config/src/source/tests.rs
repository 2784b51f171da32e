use dm_model::error::Coded;

use super::*;

fn code(text: &str) -> u32 {
    SourceConfig::parse(text).unwrap_err().code().number
}

const MINIMAL: &str = r#"
source-id: "mysql-01"
enable-gtid: true
from:
  host: "10.0.0.1"
  port: 3306
  user: "dm"
  password: "secret"
"#;

#[test]
fn the_minimal_file_gets_its_defaults() {
    let (source, warnings) = SourceConfig::parse(MINIMAL).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(source.source_id.as_str(), "mysql-01");
    assert!(source.enable && source.enable_gtid && !source.enable_relay && !source.case_sensitive);
    assert_eq!(source.flavor, None);
    assert_eq!(source.purge, Purge { interval_s: 3600, expires_h: 0, remain_space_gib: 15 });
    assert_eq!(source.checker.backoff_max, GoDuration::from_secs(300));
    assert_eq!(source.checker.check_interval, GoDuration::from_secs(5));
    let db = source.database(None).unwrap();
    assert_eq!(
        (db.host.as_str(), db.port, db.user.as_str(), db.password.0.as_str()),
        ("10.0.0.1", 3306, "dm", "secret")
    );
}

#[test]
fn the_sample_parses() {
    let (source, warnings) = SourceConfig::parse(SAMPLE).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(source.source_id.as_str(), "mysql-replica-01");
}

#[test]
fn passwords_are_decrypted_on_use_only() {
    let key = SecretKey::new([3; 32]);
    let sealed = crate::secret::encrypt(&key, [5; 16], "hush");
    let (source, _) = SourceConfig::parse(&MINIMAL.replace("secret", &sealed)).unwrap();
    assert_eq!(source.from.password.as_deref(), Some(sealed.as_str()));
    assert_eq!(source.database(Some(&key)).unwrap().password.0, "hush");
    assert!(!format!("{source:?}").contains(&sealed));
}

#[test]
fn old_keys_are_warnings() {
    let (_, warnings) =
        SourceConfig::parse(&format!("{MINIMAL}meta-dir: x\ncharset: utf8\ntracer: {{a: 1}}\nauto-fix-gtid: true\n"))
            .unwrap();
    assert_eq!(warnings.len(), 4);
}

#[test]
fn errors_name_key_and_line() {
    let error = SourceConfig::parse("source-id: a\nhost: b\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 1: unknown key `host`");
    let error = SourceConfig::parse("source-id: a\nsource-id: b\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 1: key `source-id` is given twice");
    assert_eq!(error.code().number, 20003);
}

#[test]
fn no_error_shows_a_password() {
    for text in ["from: {password: [secret]}", "from: {password: secret", "source-id: a\nfrom: {port: secret}"] {
        let error = SourceConfig::parse(text).unwrap_err();
        if text.contains("password") {
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}

#[test]
fn every_bad_value_has_its_code() {
    let with = |line: &str| format!("{MINIMAL}{line}\n");
    for (text, number) in [
        ("from: {host: h}".to_owned(), 40005),
        (MINIMAL.replace("mysql-01", &"x".repeat(33)), 40006),
        ("source-id: a".to_owned(), 60012),
        (with("relay-binlog-name: mysql-bin"), 40007),
        (with("relay-binlog-gtid: nonsense"), 11009),
        (with("flavor: oracle"), 60013),
        (with("checker: {backoff-max: 1s, backoff-min: 2s}"), 20043),
        (with("checker: {backoff-max: soon}"), 20003),
        (with("checker: {backoff-factor: 0.5}"), 60013),
        (with("filters: [{schema-pattern: a, events: [all], action: ignore}]"), 20037),
    ] {
        assert_eq!(code(&text), number, "{text}");
    }
}
