use dm_model::{TableName, error::Coded};
use expect_test::{Expect, expect};

use super::*;

const TASK: &str = "\
name: shop
task-mode: all
target-database: {host: t, port: 4000, user: root, password: ''}
mysql-instances: [{source-id: a}]
";

const SOURCE: &str = "{source-id: a, from: {host: s, user: dm, password: x}}";

fn resolve(task: &str, source: &str) -> Result<SubtaskConfig, Error> {
    let (task, _) = TaskConfig::parse(task)?;
    let (source, _) = SourceConfig::parse(source)?;
    SubtaskConfig::resolve(&task, &source, None)
}

fn refusals(task: &str, source: &str, expected: Expect) {
    let list: Vec<String> = resolve(task, source).unwrap().refusals().iter().map(ToString::to_string).collect();
    expected.assert_eq(&list.join("\n"));
}

#[test]
fn task_and_source_become_one() {
    let task = TASK.replace("task-mode", "timezone: '+08:00'\ntask-mode");
    let source =
        "{source-id: a, enable-gtid: true, flavor: mariadb, server-id: 7, from: {host: s, user: dm, password: x}}";
    let subtask = resolve(&task, source).unwrap();
    assert_eq!(subtask.id.to_string(), "shop/a");
    assert_eq!((subtask.from.host.as_str(), subtask.from.port), ("s", 3306));
    assert_eq!(subtask.from.session["time_zone"], "+08:00");
    assert_eq!(subtask.target.session["time_zone"], "+08:00");
    assert_eq!((subtask.flavor, subtask.server_id, subtask.enable_gtid), (Some(Flavor::MariaDb), 7, true));
    assert!(subtask.refusals().is_empty());
}

#[test]
fn a_subtask_survives_json() {
    let subtask = resolve(TASK, SOURCE).unwrap();
    let text = serde_json::to_string(&subtask).unwrap();
    assert_eq!(serde_json::from_str::<SubtaskConfig>(&text).unwrap(), subtask);
    assert!(!format!("{subtask:?}").contains("\"x\""));
}

#[test]
fn a_source_without_instance_is_unknown() {
    let error = resolve(TASK, "{source-id: b, from: {host: s}}").unwrap_err();
    assert_eq!(error.code().number, 20031);
}

#[test]
fn case_sensitivity_is_that_of_either() {
    for (task, source, case) in [
        ("", "", CaseSensitivity::Insensitive),
        ("case-sensitive: true", "", CaseSensitivity::Sensitive),
        ("", "case-sensitive: true, ", CaseSensitivity::Sensitive),
    ] {
        let source = SOURCE.replace("source-id", &format!("{source}source-id"));
        assert_eq!(resolve(&format!("{TASK}{task}\n"), &source).unwrap().case, case);
    }
}

#[test]
fn source_filters_follow_the_tasks_and_lose_on_equal_patterns() {
    let task = TASK.replace("{source-id: a}", "{source-id: a, filter-rules: [f]}")
        + "filters: {f: {schema-pattern: Shop, events: [delete], action: Ignore}}\n";
    let source = SOURCE.replace(
        "source-id",
        "filters: [{schema-pattern: shop, events: [insert], action: Ignore}, {schema-pattern: b, events: [all], action: Ignore}], source-id",
    );
    let subtask = resolve(&task, &source).unwrap();
    let patterns: Vec<&str> = subtask.filters.iter().map(|rule| rule.schema_pattern.as_str()).collect();
    assert_eq!(patterns, ["Shop", "b"]);
}

#[test]
fn directories_of_full_copies_are_the_subtasks_own() {
    for (mode, dir, adjusted, sorting) in [
        ("all", "./d/", "./d.shop", "./d.shop.sorting"),
        ("full", "s3://b/p?region=x", "s3://b/p/shop.a?region=x", "./sorting.shop"),
        ("load", "./d", "./d", "./d.sorting"),
        ("load&sync", "s3://b/p", "s3://b/p", "./sorting.shop"),
    ] {
        let task = TASK.replace("task-mode: all", &format!("task-mode: {mode}"));
        let task = task.replace("{source-id: a}", &format!("{{source-id: a, loader: {{dir: '{dir}'}}}}"));
        let load = resolve(&task, SOURCE).unwrap().load;
        assert_eq!((load.dir.as_str(), load.sorting_dir_physical.as_str()), (adjusted, sorting), "{mode}");
    }
}

#[test]
fn rules_of_the_merge_example_work_together() {
    let text = include_str!("../task/testdata/shop.yaml");
    let subtask = resolve(text, "{source-id: mysql-01, from: {host: s}}").unwrap();
    let rules = subtask.rules().unwrap();
    let table = TableName::new("shop_01", "orders_7");
    assert!(rules.block_allow.allows_table(&table));
    assert!(!rules.block_allow.allows_table(&TableName::new("shop_01", "tmp_7")));
    let target = rules.router.route_table(&table, "mysql-01").unwrap();
    assert_eq!(target.table.to_string(), "`shop`.`orders`");
    assert_eq!(target.extracted, [("c_table".to_owned(), "7".to_owned())]);
    let drop = rules.event_filter.judge("shop_01", "orders_7", Some(dm_rules::EventName::TruncateTable), None);
    assert_eq!(drop, dm_rules::event_filter::Verdict::Drop);
}

#[test]
fn passwords_are_decrypted_with_the_clusters_key() {
    let key = SecretKey::new([1; 32]);
    let sealed = crate::secret::encrypt(&key, [2; 16], "hush");
    let (task, _) = TaskConfig::parse(TASK).unwrap();
    let (source, _) = SourceConfig::parse(&SOURCE.replace("password: x", &format!("password: {sealed}"))).unwrap();
    let subtask = SubtaskConfig::resolve(&task, &source, Some(&key)).unwrap();
    assert_eq!(subtask.from.password.0, "hush");
}

#[test]
fn what_cannot_be_done_yet_is_refused_with_a_way_out() {
    refusals(
        include_str!("../task/testdata/shop.yaml"),
        "{source-id: mysql-01, enable-relay: true, from: {host: s}}",
        expect![[r#"
            not supported yet: `shard-mode: pessimistic`; remove `shard-mode` and `is-sharding`
            not supported yet: `enable-relay: true`; set `enable-relay: false` in the source file
            not supported yet: `mode: full` in `validators`; set `mode: none`, or remove `validator-config-name`
            not supported yet: `expression-filters`; remove `expression-filters` from the instance and `expression-filter` from the task"#]],
    );
    let physical = TASK.replace("{source-id: a}", "{source-id: a, loader: {import-mode: physical}}");
    refusals(&physical, SOURCE, expect!["not supported yet: `import-mode: physical`; use `import-mode: logical`"]);
    refusals(
        &TASK.replace("task-mode: all", "task-mode: dump"),
        SOURCE,
        expect!["not supported yet: `task-mode: dump`; use `all`, `full` or `incremental`"],
    );
    let subtask = resolve(&physical, SOURCE).unwrap();
    assert_eq!(subtask.refusals()[0].code().number, 60010);
}

#[test]
fn what_does_no_harm_is_accepted() {
    let task =
        format!("{TASK}online-ddl: true\nclean-dump-file: false\nexperimental: {{async-checkpoint-flush: true}}\n");
    let task =
        task.replace("{source-id: a}", "{source-id: a, syncer: {compact: true, multiple-rows: true, safe-mode: true}}");
    refusals(&task, SOURCE, expect![""]);
}
