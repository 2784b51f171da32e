use dm_model::error::Coded;

use super::*;

fn rule(schema: &str, table: &str, events: &[&str], sql: &[&str], action: &str) -> Rule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Rule {
        schema_pattern: schema.into(),
        table_pattern: table.into(),
        events: owned(events),
        sql_pattern: owned(sql),
        action: action.into(),
    }
}

fn filter(rules: &[Rule]) -> EventFilter {
    EventFilter::compile(rules, CaseSensitivity::Insensitive).unwrap()
}

fn drops(filter: &EventFilter, event: EventName) -> bool {
    filter.judge("shop", "orders", Some(event), None) == Verdict::Drop
}

#[test]
fn no_rule_keeps_everything() {
    assert_eq!(filter(&[]).judge("a", "b", Some(EventName::DropTable), Some("drop table b")), Verdict::Keep);
}

#[test]
fn ignore_drops_what_it_names_and_keeps_the_rest() {
    let filter = filter(&[rule("shop", "orders", &["Truncate Table", "drop table"], &[], "Ignore")]);
    assert!(drops(&filter, EventName::TruncateTable));
    assert!(!drops(&filter, EventName::Insert));
    assert_eq!(filter.judge("shop", "other", Some(EventName::DropTable), None), Verdict::Keep);
}

#[test]
fn do_drops_all_it_does_not_name() {
    let filter = filter(&[rule("shop", "", &["insert", "create table"], &[], "Do")]);
    assert!(!drops(&filter, EventName::Insert));
    assert!(drops(&filter, EventName::Update));
    assert_eq!(filter.judge("shop", "", Some(EventName::DropDatabase), None), Verdict::Drop);
}

#[test]
fn do_without_events_drops_every_known_event() {
    let filter = filter(&[rule("shop", "*", &[], &["."], "Do")]);
    assert!(drops(&filter, EventName::Insert));
    assert_eq!(filter.judge("shop", "t", None, Some("create trigger x")), Verdict::Keep);
}

#[test]
fn do_needs_events_and_sql_to_match() {
    let filter = filter(&[rule("shop", "*", &["all ddl"], &["^create"], "Do")]);
    assert_eq!(filter.judge("shop", "t", Some(EventName::CreateTable), Some("CREATE TABLE t (a int)")), Verdict::Keep);
    assert_eq!(filter.judge("shop", "t", Some(EventName::DropTable), Some("drop table t")), Verdict::Drop);
}

#[test]
fn error_stops_and_names_its_rule() {
    let filter = filter(&[rule("shop", "orders", &["delete"], &[], "Error")]);
    let table = TableName::new("shop", "ORDERS");
    assert_eq!(filter.judge_dml(&table, EventName::Delete), Verdict::Error("`shop`.`orders` Error"));
    assert_eq!(filter.judge_dml(&table, EventName::Insert), Verdict::Keep);
}

#[test]
fn groups_cover_their_classes() {
    let dml = filter(&[rule("shop", "*", &["all dml"], &[], "Ignore")]);
    let ddl = filter(&[rule("shop", "*", &["all ddl"], &[], "Ignore")]);
    let incompatible = filter(&[rule("shop", "*", &["incompatible ddl changes"], &[], "Ignore")]);
    let all = filter(&[rule("shop", "*", &["all"], &[], "Ignore")]);
    for event in EventName::ALL {
        let class = event.class();
        assert_eq!(drops(&dml, *event), class == EventClass::Dml);
        assert_eq!(drops(&ddl, *event), class != EventClass::Dml);
        assert_eq!(drops(&incompatible, *event), class == EventClass::IncompatibleDdl);
        assert!(drops(&all, *event));
    }
}

#[test]
fn none_ends_the_list_for_the_events_it_covers() {
    let first = filter(&[rule("shop", "*", &["none ddl", "all"], &[], "Ignore")]);
    assert!(!drops(&first, EventName::DropTable));
    assert!(drops(&first, EventName::Insert));
    let late = filter(&[rule("shop", "*", &["drop table", "none", "insert"], &[], "Ignore")]);
    assert!(drops(&late, EventName::DropTable));
    assert!(!drops(&late, EventName::Insert));
}

#[test]
fn alter_table_does_not_cover_the_finer_kinds() {
    let filter = filter(&[rule("shop", "*", &["alter table"], &[], "Ignore")]);
    assert!(drops(&filter, EventName::AlterTable));
    assert!(!drops(&filter, EventName::AddColumn));
}

#[test]
fn sql_patterns_are_joined_unanchored_and_blind_to_case() {
    let filter = filter(&[rule("*", "", &[], &[r"^DROP\s+PROCEDURE", "add partition"], "Ignore")]);
    let judge = |sql| filter.judge("", "", None, Some(sql));
    assert_eq!(judge("drop  procedure p"), Verdict::Drop);
    assert_eq!(judge("alter table t ADD PARTITION x"), Verdict::Drop);
    assert_eq!(judge("/* */ drop procedure p"), Verdict::Keep);
}

#[test]
fn unparsable_statements_meet_only_rules_for_everything() {
    let filter = filter(&[rule("shop*", "", &[], &["."], "Ignore"), rule("*", "t", &[], &["."], "Ignore")]);
    assert_eq!(filter.judge("", "", None, Some("create function f")), Verdict::Keep);
    let star = self::filter(&[rule("*", "*", &[], &["function"], "Ignore")]);
    assert_eq!(star.judge("", "", None, Some("create function f")), Verdict::Drop);
}

#[test]
fn schema_rules_are_asked_before_table_rules() {
    let filter =
        filter(&[rule("shop", "orders", &["insert"], &[], "Error"), rule("shop", "", &["insert"], &[], "Ignore")]);
    assert!(drops(&filter, EventName::Insert));
}

#[test]
fn tilde_is_an_ordinary_character_here() {
    let filter = filter(&[rule("~sh", "", &["all"], &[], "Ignore")]);
    assert!(!drops(&filter, EventName::Insert));
}

#[test]
fn of_two_rules_with_the_same_patterns_the_first_counts() {
    let filter =
        filter(&[rule("Shop", "t", &["insert"], &[], "Ignore"), rule("shop", "T", &["delete"], &[], "Ignore")]);
    assert_eq!(filter.collisions(), ["`shop`.`T` Ignore"]);
    assert_eq!(filter.judge("shop", "t", Some(EventName::Delete), None), Verdict::Keep);
}

#[test]
fn rules_that_cannot_work_do_not_compile() {
    for rule in [
        rule("a", "b", &["all"], &[], "ignore"),
        rule("a", "b", &["all"], &[], ""),
        rule("a", "b", &["no such event"], &[], "Do"),
        rule("a", "b", &[], &["("], "Do"),
        rule("", "b", &["all"], &[], "Do"),
        rule("a*b", "", &["all"], &[], "Do"),
        rule("a", "b*c", &["all"], &[], "Do"),
    ] {
        let error = EventFilter::compile(&[rule], CaseSensitivity::Sensitive).unwrap_err();
        assert_eq!(error.code().number, 20037);
    }
}
