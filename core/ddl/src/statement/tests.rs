use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use crate::SqlMode;

#[derive(serde::Deserialize)]
struct Entry {
    id: String,
    class: String,
    dialect: String,
    sql: String,
    #[serde(default)]
    sql_mode: String,
    #[serde(default)]
    tables: Vec<(Option<String>, String)>,
    #[serde(default)]
    fk_tables: Vec<(Option<String>, String)>,
    database: Option<String>,
}

/// The committed part, and the whole corpus where `DM_DDL_CORPUS` names it.
fn corpus() -> Vec<Entry> {
    let whole = std::env::var("DM_DDL_CORPUS").ok().and_then(|path| std::fs::read_to_string(path).ok());
    let text = whole.unwrap_or_else(|| include_str!("../../testdata/ddl.jsonl").to_owned());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn context(entry: &Entry) -> ParseContext {
    let flavor = if entry.dialect == "mariadb" { dm_model::Flavor::MariaDb } else { dm_model::Flavor::MySql };
    ParseContext { sql_mode: SqlMode::parse(&entry.sql_mode), flavor, version: None, tidb_comments: true }
}

fn kinds_of(class: &str) -> &'static [StatementKind] {
    use StatementKind as K;
    match class {
        "create_database" => &[K::CreateDatabase],
        "alter_database" => &[K::AlterDatabase],
        "drop_database" => &[K::DropDatabase],
        "create_table" | "create_table_partitioned" | "create_table_like" | "create_table_select" => {
            &[K::CreateTable, K::CreateTemporaryTable]
        }
        "drop_table" => &[K::DropTable, K::DropTemporaryTable],
        "rename_table" => &[K::RenameTable],
        "truncate_table" => &[K::TruncateTable],
        "create_index" => &[K::CreateIndex],
        "drop_index" => &[K::DropIndex],
        "create_view" => &[K::CreateView],
        "alter_view" => &[K::AlterView],
        "drop_view" => &[K::DropView],
        "create_trigger" | "drop_trigger" => &[K::Trigger],
        "create_procedure" | "alter_procedure" | "drop_procedure" => &[K::Procedure, K::Function],
        "create_event" | "alter_event" | "drop_event" => &[K::Event],
        "user_priv" => &[K::User, K::Grant, K::Revoke],
        "maintain_table" => &[K::MaintainTable],
        "sequence" => &[K::Sequence],
        "placement_policy" => &[K::PlacementPolicy],
        "server_tablespace" => &[K::Server, K::Tablespace],
        "resource_group" => &[K::ResourceGroup],
        "flashback" => &[K::Recover],
        other if other.starts_with("alter_") => &[K::AlterTable],
        other => panic!("class {other} has no kind"),
    }
}

/// What is wrong with the reading of an entry.
fn complaint(entry: &Entry) -> Option<String> {
    let statement = match parse(&entry.sql, &context(entry)) {
        Ok(statement) => statement,
        Err(error) => return Some(error.to_string()),
    };
    if !kinds_of(&entry.class).contains(&statement.kind) {
        return Some(format!("is {:?}", statement.kind));
    }
    let names = |parents: bool| -> Vec<(Option<String>, String)> {
        statement
            .tables
            .iter()
            .filter(|t| (t.role == TableRole::ForeignKeyParent) == parents)
            .map(|t| (t.schema.clone(), t.table.clone()))
            .collect()
    };
    if names(false) != entry.tables && entry.class != "sequence" && entry.class != "flashback" {
        return Some(format!("tables {:?}, not {:?}", names(false), entry.tables));
    }
    if names(true) != entry.fk_tables {
        return Some(format!("parents {:?}, not {:?}", names(true), entry.fk_tables));
    }
    if statement.database() != entry.database.as_deref() {
        return Some(format!("database {:?}", statement.database()));
    }
    for table in &statement.tables {
        let text = &statement.text()[table.span.start..table.span.end];
        if !text.contains(table.table.as_str()) && !text.contains('`') && !text.contains('"') {
            return Some(format!("span {text:?}"));
        }
    }
    None
}

#[test]
fn every_statement_of_the_corpus_is_read_with_its_kind_and_tables() {
    let mut wrong: BTreeMap<String, u32> = BTreeMap::new();
    let mut report = String::new();
    let entries = corpus();
    for entry in &entries {
        if let Some(complaint) = complaint(entry) {
            *wrong.entry(entry.dialect.clone()).or_default() += 1;
            writeln!(report, "{} [{}] {}\n    {}", entry.id, entry.class, entry.sql, complaint).unwrap();
        }
    }
    assert!(entries.len() >= 200, "only {} statements", entries.len());
    // What only TiDB's parser takes may be missed now and then; what servers write may not.
    let n_tidb = entries.iter().filter(|e| e.dialect == "tidb").count();
    let missed = wrong.remove("tidb").unwrap_or_default() as usize;
    assert!(missed * 20 <= n_tidb, "{missed} of {n_tidb}\n{report}");
    assert!(wrong.is_empty(), "{wrong:?}\n{report}");
}

#[test]
fn pieces_of_the_corpus_are_fixed_points_of_splitting() {
    let (mut n, mut wrong) = (0, String::new());
    for entry in corpus() {
        let context = context(&entry);
        let Ok(statement) = parse(&entry.sql, &context) else { continue };
        let pieces = match crate::split(&statement, "def") {
            Ok(pieces) => pieces,
            Err(error) => {
                writeln!(wrong, "{}\n    {error}", entry.sql).unwrap();
                continue;
            }
        };
        for piece in &pieces {
            n += 1;
            let again =
                crate::pieces(piece.text(), &context, "").map(|p| p.iter().map(|p| p.text().to_owned()).collect());
            if again != Ok(vec![piece.text().to_owned()]) {
                writeln!(wrong, "{}\n    {}\n    {again:?}", entry.sql, piece.text()).unwrap();
            }
            if piece.rename(&|name| name.clone()) != piece.text() && piece.statement().treatment() == Treatment::Ddl {
                writeln!(wrong, "{}\n    {}", piece.text(), piece.rename(&|name| name.clone())).unwrap();
            }
            // The filter has a name for every change of a table.
            if piece.kind() == StatementKind::AlterTable && piece.event_kind(None).is_none() {
                writeln!(wrong, "{} has no event kind", piece.text()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(n > 200);
}

#[test]
fn structures_of_the_corpus_survive_printing() {
    let mut n = 0;
    for entry in corpus().iter().filter(|e| e.class.starts_with("create_table")) {
        let Ok((_, _, table)) = crate::table::parse_create(&entry.sql, SqlMode::parse(&entry.sql_mode)) else {
            continue;
        };
        let sql = table.to_create_sql(&dm_model::TableName::new("s", "t"));
        let (_, _, again) = crate::table::parse_create(&sql, SqlMode::parse(&entry.sql_mode))
            .unwrap_or_else(|error| panic!("{error}\n{}\n{sql}", entry.sql));
        assert_eq!(again, table, "{}\n{sql}", entry.sql);
        assert_eq!(again.hash(), table.hash());
        n += 1;
    }
    assert!(n > 50, "{n}");
}

#[test]
fn what_is_skipped_and_what_must_stop_is_told_by_kind() {
    let treatment = |sql: &str| parse(sql, &ParseContext::default()).map(|s| s.treatment());
    for sql in [
        "SAVEPOINT `a`",
        "ROLLBACK TO SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "FLUSH TABLES",
        "OPTIMIZE TABLE t",
        "analyze table a, b",
        "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS t",
        "create definer=`a`@`%` trigger t before insert on x for each row begin end",
        "DROP FUNCTION f",
        "alter view v as select 1",
        "create tablespace t",
        "alter event e enable",
        "grant all on *.* to u",
        "revoke all on d.t from u",
        "rename user a to b",
        "set password for u = 'x'",
        "create temporary table t (a int)",
        "CREATE ROLE r",
        "SET @a = 1",
        "use d",
        "create algorithm=merge definer=`a`@`b` sql security definer view v as select 1",
    ] {
        assert_eq!(treatment(sql), Ok(Treatment::Skip), "{sql}");
    }
    for sql in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "XA START X'01',X'',1",
        "xa end 'a'",
        "XA COMMIT 'a' ONE PHASE",
        "START TRANSACTION",
    ] {
        assert_eq!(treatment(sql), Ok(Treatment::Transaction), "{sql}");
    }
    for sql in [
        "INSERT INTO t VALUES (1)",
        "update t set a=1",
        "DELETE FROM t",
        "replace into t select 1",
        "LOAD DATA INFILE 'x' INTO TABLE t",
        "with a as (select 1) delete from t using t, a",
    ] {
        assert_eq!(treatment(sql), Ok(Treatment::Dml), "{sql}");
    }
    for sql in [
        "",
        " ;",
        "/* nothing */",
        "frobnicate t",
        "CREATE TABLE t (a",
        "ALTER TABLE t ADD",
        "DROP TABLE a, ",
        "DROP TABLE a; DROP TABLE b",
        "CREATE nothing x",
        "CREATE TABLE t (a int) 'x",
    ] {
        assert!(treatment(sql).is_err(), "{sql}");
    }
}

#[test]
fn errors_name_the_place() {
    let error = parse("ALTER TABLE t ADD COLUMN a INT, DROP", &ParseContext::default()).unwrap_err();
    assert_eq!(error.position(), 36);
    let error = parse("CREATE TABLE t (a int b'", &ParseContext::default()).unwrap_err();
    assert_eq!(error.position(), 22);
}

#[test]
fn settings_for_one_statement_are_cut_off() {
    let pieces =
        crate::pieces("SET STATEMENT a=1, b='for' FOR alter table t add c int", &ParseContext::default(), "d").unwrap();
    assert_eq!(pieces[0].text(), "ALTER TABLE `d`.`t` add c int");
    let pieces = crate::pieces("SET STATEMENT a=1 FOR create index i on t (c)", &ParseContext::default(), "d").unwrap();
    assert_eq!(pieces[0].text(), "create index i on `d`.`t` (c)");
}
