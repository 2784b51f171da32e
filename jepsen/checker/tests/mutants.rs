//! Real binlogs of both servers are proven; each way in which a run can go wrong, put into their text, is noticed.

use std::collections::BTreeMap;

use dm_checker::{Config, Log, LogFile, Rules, SubtaskLog, TableFacts, Tail, Verdict, check};
use dm_model::TableName;
use dm_rules::{CaseSensitivity, route};

const FILE: &str = "mysql-bin.000001";

/// A source's and a target's log.
#[derive(Clone)]
struct Run {
    source: String,
    target: String,
}

const RUNS: [(&str, &str); 2] = [
    (include_str!("recorded/mariadb-source.txt"), include_str!("recorded/mariadb-target.txt")),
    (include_str!("recorded/mysql-source.txt"), include_str!("recorded/mysql-target.txt")),
];

fn log(text: &str) -> Log {
    Log::new([LogFile::new(FILE, std::io::Cursor::new(text.to_owned().into_bytes()))])
}

fn judge(run: &Run, tail: Tail) -> Verdict {
    let rule = route::Rule { schema_pattern: "app".into(), target_schema: "there".into(), ..Default::default() };
    let router = route::Router::compile(&[rule], CaseSensitivity::Insensitive).unwrap();
    let subtask = SubtaskLog {
        task: "t".into(),
        source: "one".into(),
        rules: Rules { router, ..Default::default() },
        log: log(&run.source),
    };
    let key = TableFacts { key: vec![0], is_coupled: false };
    let config = Config {
        meta_schema: "dm_meta".into(),
        subtasks: vec![subtask],
        tables: BTreeMap::from([(TableName::new("there", "k"), key)]),
        tail,
        is_safe: false,
    };
    check(config, log(&run.target)).unwrap()
}

/// The transactions of a log, each from its GTID on; what is in front of the first comes first.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let is_gtid = line.starts_with('#') && line.contains("\tGTID");
        if is_gtid {
            blocks.push(String::new());
        }
        blocks.last_mut().unwrap().push_str(line);
    }
    blocks
}

/// The number of the transaction that has all of these.
fn find(blocks: &[String], parts: &[&str]) -> usize {
    blocks
        .iter()
        .position(|block| parts.iter().all(|part| block.contains(part)))
        .unwrap_or_else(|| panic!("no transaction has {parts:?}"))
}

/// Puts `change` into the target of both recordings; each must be refused for this reason.
fn notices(reason: &str, change: impl Fn(&mut Vec<String>)) {
    for (source, target) in RUNS {
        let mut parts = blocks(target);
        change(&mut parts);
        let changed = parts.concat();
        assert_ne!(changed, target, "the mutant differs");
        let verdict = judge(&Run { source: source.into(), target: changed }, Tail::Settled);
        assert!(!verdict.is_proven());
        assert!(verdict.violations.iter().any(|text| text.contains(reason)), "`{reason}` is missing in\n{verdict}");
    }
}

/// Gives a column of the lane row after its update another value.
fn set_lane(block: &mut String, column: &str, change: impl Fn(&str) -> String) {
    let lane = block.find("### UPDATE `dm_meta`.`dm_fence_lane`").unwrap();
    let after = lane + block[lane..].find("### SET").unwrap();
    let begin = after + block[after..].find(&format!("###   {column}=")).unwrap() + 7 + column.len();
    let end = begin + block[begin..].find(" /*").unwrap();
    let value = change(&block[begin..end]);
    block.replace_range(begin..end, &value);
}

fn plus(n: i64) -> impl Fn(&str) -> String {
    move |text| (text.parse::<i64>().unwrap() + n).to_string()
}

const BAG: &[&str] = &["### INSERT INTO `there`.`bag`", "@2='y'"];
const LAST: &[&str] = &["### UPDATE `there`.`k`", "@2='drei'"];

#[test]
fn what_really_happened_is_proven() {
    for (source, target) in RUNS {
        let verdict = judge(&Run { source: source.into(), target: target.into() }, Tail::Settled);
        assert!(verdict.is_proven(), "{verdict}");
        let counts = (verdict.n_lanes, verdict.n_takeovers, verdict.n_units, verdict.n_changes, verdict.n_ddls);
        assert_eq!(counts, (2, 2, 10, 14, 1));
        assert_eq!((verdict.n_chunks, verdict.n_copied, verdict.n_confirmed), (3, 5, 3));
    }
}

#[test]
fn a_lost_transaction() {
    notices("was never committed", |blocks| {
        blocks.remove(find(blocks, BAG));
    });
}

#[test]
fn a_lost_transaction_breaks_the_chain_of_its_lane() {
    notices("the log left it at epoch", |blocks| {
        blocks.remove(find(blocks, BAG));
    });
}

#[test]
fn the_last_transaction_is_lost() {
    notices("the target is said to have it all", |blocks| {
        let last = find(blocks, LAST);
        blocks.truncate(last);
    });
}

#[test]
fn a_transaction_in_flight_is_none_that_is_lost() {
    for (source, target) in RUNS {
        let mut parts = blocks(target);
        let last = find(&parts, LAST);
        parts.truncate(last);
        let run = Run { source: source.into(), target: parts.concat() };
        let verdict = judge(&run, Tail::Open);
        assert!(verdict.is_proven(), "{verdict}");
    }
}

#[test]
fn a_transaction_twice() {
    notices("unit 3 is committed twice", |blocks| {
        let at = find(blocks, BAG);
        blocks.insert(at, blocks[at].clone());
    });
}

#[test]
fn a_transaction_again_by_another_lane_state() {
    // The unit is committed again after low covered it, as by an owner that did not inherit the window.
    notices("is committed again", |blocks| {
        let at = find(blocks, BAG);
        let again = blocks[at].clone();
        let last = find(blocks, LAST);
        blocks.insert(last + 1, again);
    });
}

#[test]
fn two_transactions_in_the_wrong_order() {
    notices("was changed by nothing that is in the target's log", |blocks| {
        let (a, b) = (find(blocks, &["@2='eins'"]), find(blocks, &["@2='zwei'"]));
        blocks.swap(a, b);
    });
}

#[test]
fn another_value() {
    notices("@2 is 'drei' at the source, 'vier' in the target", |blocks| {
        let at = find(blocks, LAST);
        blocks[at] = blocks[at].replace("@2='drei'", "@2='vier'");
    });
}

#[test]
fn a_value_that_the_source_did_not_change() {
    notices("under units", |blocks| {
        let at = find(blocks, LAST);
        let row = blocks[at].find("### UPDATE `there`.`k`").unwrap();
        blocks[at].insert_str(
            row,
            "### DELETE FROM `there`.`k`\n### WHERE\n###   @1=2 /* INT meta=0 */\n###   @2='x' /* X */\n###   @3=6 /* X */\n",
        );
    });
}

#[test]
fn a_row_of_a_keyless_table_too_many() {
    notices("+2 times by units 3 and +3 times in the target", |blocks| {
        let at = find(blocks, BAG);
        let row = blocks[at].find("### INSERT INTO `there`.`bag`").unwrap();
        let more: String = blocks[at][row..].split_inclusive('\n').take(4).collect();
        blocks[at].insert_str(row, &more);
    });
}

#[test]
fn an_epoch_that_falls() {
    notices("epoch falls", |blocks| {
        let at = find(blocks, LAST);
        set_lane(&mut blocks[at], "@5", plus(-1));
    });
}

#[test]
fn a_seq_that_skips() {
    notices("seq goes from", |blocks| {
        let at = find(blocks, LAST);
        set_lane(&mut blocks[at], "@6", plus(1));
    });
}

#[test]
fn a_low_that_falls() {
    notices("low falls", |blocks| {
        let at = find(blocks, LAST);
        set_lane(&mut blocks[at], "@7", plus(-4));
    });
}

#[test]
fn a_low_that_names_another_place() {
    notices("is said to end at", |blocks| {
        let at = find(blocks, LAST);
        set_lane(&mut blocks[at], "@9", plus(-700));
    });
}

#[test]
fn a_low_ahead_of_what_is_committed() {
    notices("was never committed, but low covers it", |blocks| {
        let at = find(blocks, &["@2='eins'"]);
        set_lane(&mut blocks[at], "@7", |_| "3".into());
        set_lane(&mut blocks[at], "@11", |_| "''".into());
    });
}

#[test]
fn a_window_that_forgets() {
    notices("the window forgets units", |blocks| {
        let at = find(blocks, &["@2='zwei'"]);
        set_lane(&mut blocks[at], "@7", |_| "0".into());
        set_lane(&mut blocks[at], "@11", |_| "'\\x01\\x18'".into());
    });
}

/// Takes the lane's update out of a transaction.
fn unfence(block: &mut String) {
    let begin = block.find("### UPDATE `dm_meta`.`dm_fence_lane`").unwrap();
    let rest = &block[begin..];
    let n_lines = rest.split_inclusive('\n').position(|line| !line.starts_with("###")).unwrap();
    let n_bytes: usize = rest.split_inclusive('\n').take(n_lines).map(str::len).sum();
    block.replace_range(begin..begin + n_bytes, "");
}

#[test]
fn rows_without_a_fence() {
    notices("is written without a fence", |blocks| {
        let at = find(blocks, LAST);
        unfence(&mut blocks[at]);
    });
}

#[test]
fn a_chunk_without_a_fence() {
    notices("a chunk's marker changes without a fence", |blocks| {
        let at = find(blocks, &["### INSERT INTO `there`.`bag`", "dm_snapshot_chunk"]);
        unfence(&mut blocks[at]);
    });
}

#[test]
fn rows_under_a_fence_that_names_no_unit() {
    notices("written under a fence that commits no unit", |blocks| {
        let at = find(blocks, LAST);
        set_lane(&mut blocks[at], "@11", |_| "''".into());
    });
}

#[test]
fn a_copied_row_that_the_source_never_had() {
    notices("which the source did not have like this", |blocks| {
        let at = find(blocks, &["@2='vier'"]);
        blocks[at] = blocks[at].replace("@2='vier'", "@2='fünf'");
    });
}

#[test]
fn a_copied_row_too_few() {
    notices("the chunk's marker counts 2 rows more, the transaction has 1", |blocks| {
        let at = find(blocks, &["### INSERT INTO `there`.`bag`", "dm_snapshot_chunk"]);
        let row = blocks[at].find("### INSERT INTO `there`.`bag`").unwrap();
        let n_bytes: usize = blocks[at][row..].split_inclusive('\n').take(4).map(str::len).sum();
        blocks[at].replace_range(row..row + n_bytes, "");
    });
}

#[test]
fn a_ddl_that_was_never_executed() {
    notices("the target never executed", |blocks| {
        blocks.remove(find(blocks, &["ALTER TABLE `there`.`k` ADD COLUMN w INT DEFAULT 7\n/*!*/;"]));
    });
}

#[test]
fn a_ddl_that_nobody_announced() {
    notices("nobody announced", |blocks| {
        let ddl = blocks.remove(find(blocks, &["ALTER TABLE `there`.`k` ADD COLUMN w INT DEFAULT 7\n/*!*/;"]));
        blocks.push(ddl);
    });
}

#[test]
fn logs_in_which_nothing_happened_prove_nothing() {
    for (source, target) in RUNS {
        let empty = Run { source: source.into(), target: blocks(target)[0].clone() };
        assert!(!judge(&empty, Tail::Open).is_proven());
        let only_meta = Run { source: source.into(), target: blocks(target)[..9].concat() };
        assert!(!judge(&only_meta, Tail::Open).is_proven());
    }
}

#[test]
fn a_source_whose_log_lacks_a_transaction() {
    for (source, target) in RUNS {
        let mut parts = blocks(source);
        parts.remove(find(&parts, &["@2='sechs'"]));
        let verdict = judge(&Run { source: parts.concat(), target: target.into() }, Tail::Settled);
        assert!(verdict.n_violations > 0);
    }
}

#[test]
fn a_text_that_is_no_binlogs_is_an_error() {
    let (source, target) = RUNS[0];
    let broken = target.replacen("###   @1=0 /* LONGINT meta=0 nullable=0 is_null=0 */", "###   @1=0", 1).replacen(
        " /* INT meta=0 nullable=0 is_null=0 */",
        "",
        1,
    );
    assert_ne!(broken, target);
    let rules = Rules::default();
    let subtasks = vec![SubtaskLog { task: "t".into(), source: "one".into(), rules, log: log(source) }];
    let config =
        Config { meta_schema: "dm_meta".into(), subtasks, tables: BTreeMap::new(), tail: Tail::Open, is_safe: false };
    let error = check(config, log(&broken)).unwrap_err().to_string();
    assert!(error.contains("mysql-bin.000001 is not understood"), "{error}");
}
