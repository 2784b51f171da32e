use expect_test::expect;

use crate::table::parse_create;
use crate::{ParseContext, SqlMode, pieces};

#[test]
fn kinds_are_found_with_the_structure_before() {
    let (_, _, table) = parse_create(
        "CREATE TABLE t (id int NOT NULL AUTO_INCREMENT, d decimal(10,4), v varchar(20), u bigint unsigned, e enum('a','b'),
         ts datetime(6), f double, c varchar(5) character set latin1, PRIMARY KEY (id), UNIQUE KEY uk (v), KEY k (u),
         CONSTRAINT fk FOREIGN KEY (u) REFERENCES p (x)) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        SqlMode::default(),
    )
    .unwrap();
    let mut out = String::new();
    for sql in [
        "create table x (a int)",
        "alter table t add c int",
        "alter table t add c int first",
        "alter table t modify d decimal(10,2)",
        "alter table t modify d decimal(6,4)",
        "alter table t modify id int",
        "alter table t modify v varchar(10)",
        "alter table t modify v varchar(30) collate utf8mb4_general_ci",
        "alter table t modify v varchar(30) character set latin1",
        "alter table t modify u bigint",
        "alter table t modify e enum('a','b','c')",
        "alter table t modify e enum('b','a')",
        "alter table t modify ts datetime",
        "alter table t modify f float",
        "alter table t modify v varchar(20) default 'x'",
        "alter table t modify v varchar(20) after u",
        "alter table t change v w varchar(20)",
        "alter table t rename column v to w",
        "alter table t drop index uk",
        "alter table t drop key k",
        "alter table t drop primary key",
        "alter table t drop constraint fk",
        "alter table t add check (id > 0)",
        "alter table t alter v set default 'a'",
        "alter table t engine=myisam",
        "alter table t auto_increment=5",
        "alter table t comment 'x'",
        "alter table t charset utf8mb4",
        "alter table t add index i (v)",
        "alter table t add primary key (v)",
        "alter table t drop partition p0",
        "alter table t rename to u",
        "alter table t force",
        "alter database d charset utf8",
        "drop index uk on t",
        "create view v as select 1",
        "flush tables",
    ] {
        for piece in pieces(sql, &ParseContext::default(), "d").unwrap() {
            let kinds: Vec<_> = piece.event_kinds(Some(&table)).iter().map(|k| k.as_str()).collect();
            out += &format!("{sql}: {}\n", kinds.join(", "));
        }
    }
    expect![[r#"
        create table x (a int): create table
        alter table t add c int: add column
        alter table t add c int first: add column, modify columns order
        alter table t modify d decimal(10,2): precision decrease, modify column
        alter table t modify d decimal(6,4): value range decrease, modify column
        alter table t modify id int: remove auto increment, modify column
        alter table t modify v varchar(10): value range decrease, modify column
        alter table t modify v varchar(30) collate utf8mb4_general_ci: modify collation, modify column
        alter table t modify v varchar(30) character set latin1: modify charset, modify column
        alter table t modify u bigint: value range decrease, modify column
        alter table t modify e enum('a','b','c'): modify column
        alter table t modify e enum('b','a'): value range decrease, modify column
        alter table t modify ts datetime: precision decrease, modify column
        alter table t modify f float: value range decrease, precision decrease, modify column
        alter table t modify v varchar(20) default 'x': modify default value, modify column
        alter table t modify v varchar(20) after u: modify columns order, modify column
        alter table t change v w varchar(20): rename column, modify column
        alter table t rename column v to w: rename column
        alter table t drop index uk: drop unique key, drop index
        alter table t drop key k: drop index
        alter table t drop primary key: drop primary key
        alter table t drop constraint fk: drop foreign key
        alter table t add check (id > 0): modify constraint
        alter table t alter v set default 'a': set default value, modify default value
        alter table t engine=myisam: modify storage engine
        alter table t auto_increment=5: rebase auto id
        alter table t comment 'x': modify table comment
        alter table t charset utf8mb4: modify table charset and collate
        alter table t add index i (v): alter table
        alter table t add primary key (v): add primary key
        alter table t drop partition p0: drop table partition
        alter table t rename to u: rename table
        alter table t force: alter table
        alter database d charset utf8: modify schema charset and collate, alter database
        drop index uk on t: drop unique key, drop index
        create view v as select 1: create view
        flush tables: 
    "#]]
    .assert_eq(&out);
}

#[test]
fn without_the_structure_kinds_are_coarse() {
    let kind = |sql: &str| pieces(sql, &ParseContext::default(), "d").unwrap()[0].event_kind(None).map(|k| k.as_str());
    assert_eq!(kind("alter table t modify d decimal(10,2)"), Some("modify column"));
    assert_eq!(kind("alter table t drop index uk"), Some("drop index"));
    assert_eq!(kind("truncate table t"), Some("truncate table"));
    assert_eq!(kind("create trigger x before insert on t for each row set @a = 1"), None);
}
