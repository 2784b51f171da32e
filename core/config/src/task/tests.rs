use std::time::Duration;

use dm_model::error::Coded;

use super::*;

/// A merge of two sources with most sections in use.
pub(crate) const SHOP: &str = include_str!("testdata/shop.yaml");

/// The least a task needs; tests append keys.
const MINIMAL: &str = "\
name: t
task-mode: all
target-database: {host: h, port: 4000, user: root, password: ''}
mysql-instances: [{source-id: a}]
";

fn parse(text: &str) -> TaskConfig {
    TaskConfig::parse(text).unwrap().0
}

fn code(text: &str) -> u32 {
    TaskConfig::parse(text).unwrap_err().code().number
}

fn with(line: &str) -> String {
    format!("{MINIMAL}{line}\n")
}

fn instance(keys: &str) -> String {
    MINIMAL.replace("{source-id: a}", &format!("{{source-id: a, {keys}}}"))
}

#[test]
fn the_minimal_file_gets_its_defaults() {
    let (task, warnings) = TaskConfig::parse(MINIMAL).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((task.mode, task.shard_mode, task.collation), (TaskMode::All, None, Collation::Loose));
    assert_eq!(task.meta_schema, "dm_meta");
    assert!(task.clean_dump_file && task.online_ddl.enabled && !task.async_checkpoint_flush);
    assert_eq!(task.online_ddl.shadow_table_rules, ["^_(.+)_(?:new|gho)$"]);
    let instance = &task.instances[0];
    assert_eq!((instance.dump.threads, instance.dump.chunk_filesize_bytes, instance.dump.rows), (4, 64 << 20, 200_000));
    assert!(instance.dump.skip_tz_utc);
    assert_eq!((instance.load.pool_size, instance.load.import_mode), (16, ImportMode::Logical));
    assert_eq!((instance.load.checksum_physical, instance.load.analyze), (Necessity::Required, Necessity::Optional));
    assert_eq!((instance.sync.worker_count, instance.sync.batch, instance.sync.queue_size), (16, 100, 1024));
    assert_eq!(instance.sync.safe_mode_duration, Duration::from_secs(60));
    assert_eq!(instance.sync.checkpoint_flush_interval, Duration::from_secs(30));
    assert_eq!(instance.validate.mode, ValidationMode::None);
    assert_eq!(instance.validate.max_pending_row_size_bytes, 500 << 20);
    assert_eq!(task.target_database(None).unwrap().session["foreign_key_checks"], "0");
}

#[test]
fn a_merge_of_two_sources_is_read_whole() {
    let (task, warnings) = TaskConfig::parse(SHOP).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(task.shard_mode, Some(ShardMode::Pessimistic));
    let [first, second] = task.instances.as_slice() else { panic!("two instances") };
    assert_eq!((first.routes.len(), first.filters.len(), first.expression_filters.len()), (2, 1, 1));
    assert_eq!((first.dump.threads, first.load.pool_size, first.sync.worker_count), (8, 32, 32));
    assert_eq!(first.sync.batch, 200);
    assert_eq!(first.validate.mode, ValidationMode::Full);
    assert_eq!(first.block_allow_list.do_dbs, ["~^shop_[0-9]+$"]);
    assert_eq!((second.dump.threads, second.load.pool_size, second.sync.worker_count), (8, 32, 32));
    assert_eq!((second.dump.chunk_filesize_bytes, second.sync.batch), (64 << 20, 100));
    assert_eq!(second.filters, []);
}

#[test]
fn old_spellings_still_mean_something() {
    let text =
        with("is-sharding: true\nonline-ddl: false\nonline-ddl-scheme: gh-ost\nblack-white-list: {b: {do-dbs: [x]}}");
    let text = text.replace("{source-id: a}", "{source-id: a, black-white-list: b, loader: {on-duplicate: error}}");
    let (task, warnings) = TaskConfig::parse(&text).unwrap();
    assert_eq!(task.shard_mode, Some(ShardMode::Pessimistic));
    assert!(task.online_ddl.enabled);
    assert_eq!(task.instances[0].block_allow_list.do_dbs, ["x"]);
    assert_eq!(task.instances[0].load.on_duplicate_logical, OnDuplicate::Error);
    assert_eq!(warnings.len(), 2);
}

#[test]
fn ignored_keys_are_warnings() {
    let text = with("enable-heartbeat: true\nheartbeat-update-interval: 1\nansi-quotes: true\nremove-meta: false");
    let text = text.replace("{source-id: a}", "{source-id: a, syncer: {max-retry: 3}, meta: {binlog-name: b.000001}}");
    let (_, warnings) = TaskConfig::parse(&text).unwrap();
    assert_eq!(warnings.len(), 6, "{warnings:?}");
}

#[test]
fn keys_without_value_have_their_defaults() {
    let text = with("routes:\nfilters:\nsyncers: {s: }\nonline-ddl:\nshard-mode:\ntimezone:");
    let task = parse(&text.replace("{source-id: a}", "{source-id: a, syncer-config-name: s, route-rules: }"));
    assert_eq!(task.instances[0].sync.batch, 100);
    assert!(task.online_ddl.enabled);
}

#[test]
fn threads_of_an_instance_override_its_section() {
    let text = instance(
        "mydumper: {threads: 2}, mydumper-thread: 9, loader-thread: 8, syncer: {worker-count: 3}, syncer-thread: 7",
    );
    let task = parse(&text);
    let instance = &task.instances[0];
    assert_eq!((instance.dump.threads, instance.load.pool_size, instance.sync.worker_count), (9, 8, 7));
}

#[test]
fn meta_is_read_for_incremental_tasks() {
    let text = instance("meta: {binlog-name: mysql-bin.000003, binlog-pos: 1234}").replace("all", "incremental");
    let meta = parse(&text).instances[0].meta.clone().unwrap();
    assert_eq!((meta.binlog_name.as_str(), meta.binlog_pos, meta.binlog_gtid.as_str()), ("mysql-bin.000003", 1234, ""));
}

#[test]
fn ghost_table_patterns_are_anchored() {
    let task = parse(&with("shadow-table-rules: ['_(.+)_x', '^_(.+)_y$']"));
    assert_eq!(task.online_ddl.shadow_table_rules, ["^_(.+)_x$", "^_(.+)_y$"]);
}

#[test]
fn unused_sections_are_listed_but_lists_are_exempt() {
    let text = with("routes: {r: {schema-pattern: a, target-schema: b}}\nsyncers: {s: {}}\nblock-allow-list: {b: {}}");
    let error = TaskConfig::parse(&text).unwrap_err();
    assert_eq!(error.code().number, 20038);
    assert_eq!(error.to_string(), "no instance uses these sections: routes.r, syncers.s");
}

#[test]
fn filters_with_the_same_patterns_are_warned_about() {
    let text = instance("filter-rules: [f, g]")
        + "filters:\n  f: {schema-pattern: A, events: [all], action: Do}\n  g: {schema-pattern: a, action: Ignore}\n";
    let (_, warnings) = TaskConfig::parse(&text).unwrap();
    assert_eq!(warnings.len(), 1);
}

#[test]
fn every_bad_top_level_value_has_its_code() {
    for (line, number) in [
        ("ignore-checking-items: [everything]", 20001),
        ("no-such-key: 1", 20003),
        ("name: again", 20003),
        ("online-ddl: maybe", 20003),
        ("online-ddl-scheme: osc", 20007),
        ("timezone: SYSTEM", 20008),
        ("shard-mode: both", 20033),
        ("shadow-table-rules: ['_(.+)_(x)']", 20048),
        ("trash-table-rules: ['(']", 20048),
        ("collation_compatible: tight", 20052),
        ("column-mappings: {m: {a: b}}", 20064),
        ("strict-optimistic-shard-mode: true", 20066),
        ("strict-optimistic-shard-mode: true\nshard-mode: pessimistic", 20066),
        ("routes: {r: {schema-pattern: a, target-schema: b, nonsense: c}}", 20003),
    ] {
        assert_eq!(code(&with(line)), number, "{line}");
    }
}

#[test]
fn every_missing_or_wrong_part_has_its_code() {
    for (text, number) in [
        (MINIMAL.replace("name: t", "name: ''"), 20019),
        (MINIMAL.replace("all", "everything"), 20020),
        (MINIMAL.replace("task-mode: all\n", ""), 20020),
        (MINIMAL.replace("target-database: {host: h, port: 4000, user: root, password: ''}\n", ""), 20021),
        (MINIMAL.replace("host: h, ", ""), 60012),
        (MINIMAL.replace("{source-id: a}", ""), 20013),
        (MINIMAL.replace("{source-id: a}", "~"), 20012),
        (MINIMAL.replace("{source-id: a}", "{source-id: ''}"), 20005),
        (MINIMAL.replace("source-id: a", &format!("source-id: {}", "a".repeat(33))), 20006),
        (MINIMAL.replace("{source-id: a}", "{source-id: a}, {source-id: a}"), 20014),
    ] {
        assert_eq!(code(&text), number, "{text}");
    }
}

#[test]
fn every_bad_instance_has_its_code() {
    let sections =
        "mydumpers: {m: {}}\nloaders: {m: {}}\nsyncers: {m: {}}\nroutes: {r: {schema-pattern: a, target-schema: b}}\n";
    for (keys, number) in [
        ("meta: {binlog-pos: 4}", 20011),
        ("mydumper-config-name: m, mydumper: {}", 20015),
        ("loader-config-name: m, loader: {}", 20016),
        ("syncer-config-name: m, syncer: {}", 20017),
        ("route-rules: [x]", 20023),
        ("filter-rules: [x]", 20024),
        ("column-mapping-rules: [x]", 20025),
        ("block-allow-list: x", 20026),
        ("mydumper-config-name: x", 20027),
        ("mydumper: {mydumper-path: ''}", 20028),
        ("loader-config-name: x", 20029),
        ("syncer-config-name: x", 20030),
        ("route-rules: [r, r], mydumper-config-name: m, loader-config-name: m, syncer-config-name: m", 20032),
        ("route-rules: [r]", 20038),
        ("expression-filters: [x]", 20040),
        ("mydumper: {chunk-filesize: big}", 20047),
        ("loader: {import-mode: magic}", 20053),
        ("loader: {on-duplicate-logical: shrug}", 20054),
        ("validator-config-name: x", 20056),
        ("loader: {dir: 's3://'}", 20058),
        ("loader: {dir: 'ftp://x'}", 20058),
        ("loader: {dir: 's3://b/p', import-mode: loader}", 20059),
        ("syncer: {safe-mode-duration: long}", 20060),
        ("syncer: {safe-mode: true, safe-mode-duration: 0s}", 20061),
        ("loader: {on-duplicate-physical: shrug}", 20062),
        ("loader: {checksum-physical: shrug}", 20063),
        ("loader: {analyze: shrug}", 20065),
        ("loader: {disk-quota-physical: much}", 60013),
        ("loader: {import-mode: import-into}", 20069),
        ("syncer: {batch: -1}", 20003),
    ] {
        let named = keys.contains("config-name: m") || keys.contains("[r");
        assert_eq!(code(&(instance(keys) + if named { sections } else { "" })), number, "{keys}");
    }
}

#[test]
fn every_bad_rule_has_its_code() {
    for (keys, section, number) in [
        ("filter-rules: [f]", "filters: {f: {schema-pattern: a, events: [nothing such], action: Do}}", 20037),
        ("block-allow-list: b", "block-allow-list: {b: {do-dbs: ['~(']}}", 20044),
        ("route-rules: [r]", "routes: {r: {schema-pattern: 'a*b', target-schema: c}}", 20045),
        ("expression-filters: [e]", "expression-filter: {e: {table: b, delete-value-expr: x}}", 20042),
        ("expression-filters: [e]", "expression-filter: {e: {schema: a, table: b}}", 20042),
        ("expression-filters: [e]", "expression-filter: {e: {schema: a, table: b, insert-value-expr: '(x'}}", 20041),
        (
            "expression-filters: [e]",
            "expression-filter: {e: {schema: a, table: b, insert-value-expr: x, update-old-value-expr: y}}",
            20039,
        ),
        ("validator-config-name: v", "validators: {v: {mode: sometimes}}", 20055),
        ("validator-config-name: v", "validators: {v: {check-interval: often}}", 60013),
    ] {
        assert_eq!(code(&format!("{}{section}\n", instance(keys))), number, "{section}");
    }
}

#[test]
fn values_must_fit_together() {
    let two = |first: &str, second: &str| {
        MINIMAL.replace("{source-id: a}", &format!("{{source-id: a, {first}}}, {{source-id: b, {second}}}"))
    };
    assert_eq!(code(&two("loader: {import-mode: logical}", "loader: {import-mode: physical}")), 20053);
    let into = "loader: {import-mode: import-into, dir: 's3://b/p'}";
    assert_eq!(code(&two(into, into)), 20068);
    let with_keys = |keys| instance(keys).replace("password: ''", "password: '', session: {Foreign_Key_Checks: ON}");
    assert_eq!(code(&with_keys("syncer: {compact: true}")), 20070);
    assert_eq!(code(&with_keys("syncer: {multiple-rows: true}")), 20070);
    assert!(TaskConfig::parse(&with_keys("syncer: {batch: 1}")).is_ok());
}
