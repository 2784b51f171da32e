use super::*;
use crate::table::parse_create;
use crate::{ParseContext, SqlMode, pieces};

fn run(tracker: &mut Tracker, sql: &str) -> Vec<TableName> {
    let mut changed = Vec::new();
    for piece in pieces(sql, &ParseContext::default(), "d").unwrap() {
        changed.extend(tracker.apply(&piece));
    }
    changed
}

fn tracker(sql: &str) -> Tracker {
    let mut tracker = Tracker::new(true);
    for statement in sql.split(";\n").filter(|s| !s.trim().is_empty()) {
        run(&mut tracker, statement);
    }
    tracker
}

fn name(table: &str) -> TableName {
    TableName::new("d", table)
}

/// The structure of `d.t` after `changes`, which must be that of `expected`.
fn check(start: &str, changes: &[&str], expected: &str) {
    let mut tracker = tracker(start);
    for sql in changes {
        run(&mut tracker, sql);
    }
    let (_, _, expected) = parse_create(expected, SqlMode::default()).unwrap();
    assert_eq!(tracker.get(&name("t")), Tracked::Known(&expected), "{changes:?}");
    assert_eq!(tracker.table(&name("t")).unwrap().hash(), expected.hash());
}

const T: &str = "CREATE TABLE t (a int, b varchar(10), c text, KEY kb (b), KEY kab (a, b)) CHARSET=utf8mb4";

#[test]
fn columns_come_go_and_move() {
    check(
        T,
        &[
            "alter table t add x int first, add y int after a, add (z int, w int)",
            "alter table t drop b",
            "alter table t change y yy bigint after z",
            "alter table t rename column a to aa",
            "alter table t modify w varchar(3) not null first",
        ],
        "CREATE TABLE t (w varchar(3) not null, x int, aa int, c text, z int, yy bigint, KEY kab (aa)) CHARSET=utf8mb4",
    );
}

#[test]
fn defaults_are_set_and_dropped() {
    check(
        T,
        &["alter table t alter a set default 7", "alter table t alter b set default 'x', alter b drop default"],
        "CREATE TABLE t (a int default 7, b varchar(10), c text, KEY kb (b), KEY kab (a, b)) CHARSET=utf8mb4",
    );
}

#[test]
fn keys_are_added_renamed_and_dropped() {
    check(
        T,
        &[
            "alter table t add primary key (a), add unique (b), rename index kb to kc, drop index kab",
            "create index i on t (c(10))",
            "drop index kc on t",
            "alter table t modify a bigint",
        ],
        "CREATE TABLE t (a bigint not null, b varchar(10), c text, PRIMARY KEY (a), UNIQUE KEY b (b), KEY i (c(10))) CHARSET=utf8mb4",
    );
}

#[test]
fn foreign_keys_are_added_and_dropped() {
    check(
        "CREATE TABLE t (a int)",
        &[
            "alter table t add constraint f1 foreign key (a) references p (x), add constraint f2 foreign key (a) references q (x)",
            "alter table t drop foreign key f1",
        ],
        "CREATE TABLE t (a int, constraint f2 foreign key (a) references d.q (x))",
    );
}

#[test]
fn a_new_default_charset_leaves_old_columns_alone() {
    check(
        T,
        &["alter table t default charset latin1", "alter table t add n char(3)"],
        "CREATE TABLE t (a int, b varchar(10) charset utf8mb4, c text charset utf8mb4, n char(3), KEY kb (b), KEY kab (a, b))
         CHARSET=latin1",
    );
    let mut unknown = tracker("CREATE TABLE t (a varchar(3))");
    run(&mut unknown, "alter table t charset latin1");
    assert_eq!(unknown.get(&name("t")), Tracked::Stale);
}

#[test]
fn conversion_changes_every_text_column() {
    check(
        "CREATE TABLE t (a varchar(3) charset latin1, b int) CHARSET=utf8mb4",
        &["alter table t convert to character set gbk collate gbk_bin"],
        "CREATE TABLE t (a varchar(3), b int) CHARSET=gbk COLLATE=gbk_bin",
    );
    let mut long = tracker("CREATE TABLE t (a text) CHARSET=latin1");
    run(&mut long, "alter table t convert to character set utf8mb4");
    assert_eq!(long.get(&name("t")), Tracked::Stale, "the text may have become a mediumtext");
}

#[test]
fn tables_are_created_renamed_copied_and_dropped() {
    let mut tracker = tracker(T);
    assert_eq!(run(&mut tracker, "create table u like t"), [name("u")]);
    assert_eq!(tracker.table(&name("u")), tracker.table(&name("t")));
    assert_eq!(run(&mut tracker, "rename table t to tmp, u to t, tmp to u").len(), 6);
    assert_eq!(run(&mut tracker, "alter table u rename to v, drop column c"), [name("u"), name("v"), name("v")]);
    assert_eq!(tracker.table(&name("v")).unwrap().columns.len(), 2);
    assert_eq!(tracker.get(&name("u")), Tracked::Unknown);
    assert!(run(&mut tracker, "truncate v").is_empty());
    assert!(run(&mut tracker, "create table v (x int)").is_empty(), "the table is there already");
    run(&mut tracker, "create or replace table v (x int)");
    assert_eq!(tracker.table(&name("v")).unwrap().columns.len(), 1);
    assert_eq!(run(&mut tracker, "drop table if exists v, w"), [name("v")]);
    assert_eq!(run(&mut tracker, "drop database d"), [name("t")]);
    assert_eq!(tracker.iter().count(), 0);
}

#[test]
fn what_does_not_fit_makes_a_table_stale() {
    for sql in [
        "alter table t add a int",
        "alter table t drop x",
        "alter table t drop index x",
        "alter table t add x int after y",
        "alter table t drop primary key",
        "alter table t add system versioning",
        "alter table t modify a int some_new_word",
        "alter table t convert to character set default",
        "create vector index v on t (a)",
    ] {
        let mut tracker = tracker(T);
        assert_eq!(run(&mut tracker, sql), [name("t")], "{sql}");
        assert_eq!(tracker.get(&name("t")), Tracked::Stale, "{sql}");
        assert!(run(&mut tracker, "alter table t add z int").is_empty(), "stale stays stale");
    }
    let mut tracker = tracker("CREATE TABLE t SELECT 1 AS a");
    assert_eq!(tracker.get(&name("t")), Tracked::Stale);
    assert!(run(&mut tracker, "alter table nobody add x int").is_empty());
}

#[test]
fn partitions_and_hints_leave_the_structure() {
    for sql in [
        "alter table t add partition (partition p1 values less than (3))",
        "alter table t force",
        "alter table t row_format=dynamic",
    ] {
        let mut tracker = tracker(T);
        assert!(run(&mut tracker, sql).is_empty(), "{sql}");
    }
}

#[test]
fn case_counts_only_where_the_server_says_so() {
    let mut tracker = Tracker::new(false);
    run(&mut tracker, "create table Tab (a int)");
    run(&mut tracker, "alter table D.TAB add b int");
    assert_eq!(tracker.table(&TableName::new("d", "tab")).unwrap().columns.len(), 2);
    let mut tracker = Tracker::new(true);
    run(&mut tracker, "create table Tab (a int)");
    assert_eq!(tracker.get(&TableName::new("d", "tab")), Tracked::Unknown);
}

#[test]
fn schema_defaults_fill_tables_without_a_charset() {
    let mut tracker = Tracker::new(true);
    run(&mut tracker, "create database d charset latin1");
    run(&mut tracker, "create table t (a char(3), b text(100))");
    let table = tracker.table(&name("t")).unwrap();
    assert_eq!(table.column_charset(0), Some("latin1"));
    assert_eq!(table.columns[1].data_type, crate::table::DataType::TinyText);
    run(&mut tracker, "drop database d");
    run(&mut tracker, "create table t (a char(3))");
    assert_eq!(tracker.table(&name("t")).unwrap().column_charset(0), None);
}
