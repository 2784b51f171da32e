//! The scrape against the list of spec 15.1.

use std::collections::BTreeMap;

use dm_model::{Epoch, SourceId, Stage, TaskName};
use dm_runtime::metrics::Metrics;

use super::*;

/// Name, type, labels in any order, bucket bounds (first, second, number). From spec 15.1, what concerns load and sync.
const SPEC: &str = "
worker_task_state gauge task,source_id,worker
worker_operate_error counter worker,type
worker_cpu_usage gauge -
dumpling_exit_with_error_count counter task,source_id,resumable_err
loader_exit_with_error_count counter task,source_id,resumable_err
syncer_read_binlog_duration histogram task,source_id 0.000005 0.00001 25
syncer_binlog_event_size histogram task,worker,source_id 16 32 20
syncer_binlog_transform_cost histogram stage,task,worker,source_id
syncer_conflict_detect_duration histogram task,source_id
syncer_add_job_duration histogram type,task,queueNo,source_id
syncer_dispatch_binlog_duration histogram type,task,source_id
syncer_skip_binlog_duration histogram type,task,source_id 0.0000005 0.000001 25
syncer_added_jobs_total counter type,task,queueNo,source_id,worker,target_schema,target_table
syncer_finished_jobs_total counter type,task,queueNo,source_id,worker,target_schema,target_table
syncer_ideal_qps gauge task,worker,source_id
syncer_queue_size gauge task,queue_id,source_id
syncer_binlog_pos gauge node,task,source_id
syncer_binlog_file gauge node,task,source_id
syncer_binlog_event_row histogram worker,task,source_id 0 100 101
syncer_txn_duration_time histogram task,worker,source_id
syncer_query_duration_time histogram task,worker,source_id
syncer_stmt_duration_time histogram type,task
syncer_exit_with_error_count counter task,source_id,resumable_err
syncer_replication_lag_gauge gauge task,source_id,worker
syncer_replication_lag histogram task,source_id,worker 0.5 1 12
syncer_remaining_time gauge task,source_id,worker
syncer_shard_lock_resolving gauge task,source_id
syncer_finished_transaction_total counter task,worker,source_id
syncer_replication_transaction_batch histogram worker,task,source_id,queueNo,type 1 51 21
syncer_flush_checkpoints_time_interval histogram worker,task,source_id 1 51 21
";

struct Scrape {
    types: BTreeMap<String, String>,
    /// Sample name → the label names and values of each sample.
    samples: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

fn parse(text: &str) -> Scrape {
    let mut scrape = Scrape { types: BTreeMap::new(), samples: BTreeMap::new() };
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared twice");
        } else if !line.starts_with('#') {
            let (head, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = head.split_once('{').unwrap_or((head, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.split_once("=\"").unwrap());
            let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
            scrape.samples.entry(name.to_owned()).or_default().push(labels.collect());
        }
    }
    scrape
}

fn process() -> (Metrics, Board) {
    let (board, metrics) = (Board::new(), Metrics::new());
    let counted = Arc::new(ProcessMetrics::default());
    metrics.register(|registry| register(registry, WorkerName::parse("w1").unwrap(), board.clone(), counted));
    (metrics, board)
}

fn id(source: &str) -> SubtaskId {
    SubtaskId::new(TaskName::parse("shop").unwrap(), SourceId::parse(source).unwrap())
}

#[test]
fn the_first_scrape_has_every_series_of_the_spec() {
    let (metrics, board) = process();
    board.open(id("s1"), Epoch(7), 1);
    let scrape = parse(&metrics.render());
    for line in SPEC.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, kind) = (format!("dm_{}", words[0]), words[1]);
        assert_eq!(scrape.types.get(&name).map(String::as_str), Some(kind), "{name}");
        let sample = if kind == "histogram" { format!("{name}_bucket") } else { name.clone() };
        let samples = scrape.samples.get(&sample).unwrap_or_else(|| panic!("no sample of {name}"));
        let mut wanted: Vec<&str> = words[2].split(',').filter(|label| *label != "-").collect();
        if kind == "histogram" {
            wanted.push("le");
        }
        wanted.sort_unstable();
        for labels in samples {
            let found: Vec<&str> = labels.keys().map(String::as_str).collect();
            assert_eq!(found, wanted, "{name}");
        }
        if let [first, second, n] = words.get(3..).unwrap_or_default() {
            let same = |labels: &BTreeMap<String, String>| {
                labels.iter().all(|(label, value)| label == "le" || samples[0].get(label) == Some(value))
            };
            let mut bounds: Vec<f64> =
                samples.iter().filter(|labels| same(labels)).filter_map(|labels| labels["le"].parse().ok()).collect();
            bounds.retain(|bound: &f64| bound.is_finite());
            assert_eq!(bounds.len(), n.parse::<usize>().unwrap(), "buckets of {name}");
            let first_two: [f64; 2] = [first.parse().unwrap(), second.parse().unwrap()];
            assert_eq!(bounds[..2], first_two, "buckets of {name}");
        }
    }
}

#[test]
fn every_operation_and_every_node_is_there_from_the_start() {
    let (metrics, board) = process();
    board.open(id("s1"), Epoch(7), 1);
    let text = metrics.render();
    for line in [
        r#"dm_worker_operate_error{worker="w1",type="AutoResume"} 0"#,
        r#"dm_loader_exit_with_error_count{task="shop",source_id="s1",resumable_err="false"} 0"#,
        r#"dm_syncer_binlog_file{node="master",task="shop",source_id="s1"} 0.0"#,
        r#"dm_syncer_binlog_pos{node="syncer",task="shop",source_id="s1"} 0.0"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in:\n{text}");
    }
}

#[test]
fn a_subtask_has_series_while_it_is_on_the_board() {
    let (metrics, board) = process();
    for source in ["s1", "s2"] {
        let cell = board.open(id(source), Epoch(7), 1);
        cell.announce(|view| view.stage = Stage::Running);
        cell.metrics().add("syncer_exit_with_error_count", &["true"], 2);
    }
    let text = metrics.render();
    assert!(text.contains(r#"dm_worker_task_state{task="shop",source_id="s1",worker="w1"} 2"#), "{text}");
    let exits = r#"dm_syncer_exit_with_error_count{task="shop",source_id="s1",resumable_err="true"} 2"#;
    assert!(text.contains(exits), "{text}");
    assert_eq!(text.matches("# HELP dm_worker_task_state").count(), 1, "{text}");
    board.close(&id("s1"), Epoch(7));
    let text = metrics.render();
    assert!(!text.contains(r#"source_id="s1""#) && text.contains(r#"source_id="s2""#), "{text}");
}

#[test]
fn names_and_labels_of_the_table_are_in_order() {
    let mut names: Vec<&str> = SERIES.iter().map(|series| series.name).collect();
    names.sort_unstable();
    let n_names = names.len();
    names.dedup();
    assert_eq!(names.len(), n_names, "a name is there twice");
    for series in &SERIES {
        let n_other = series.labels.iter().filter(|label| !["task", "source_id", "worker"].contains(*label)).count();
        for values in series.from_start {
            assert_eq!(values.len(), n_other, "{}", series.name);
        }
    }
}

#[test]
fn tables_without_end_are_counted_together() {
    let (_, board) = process();
    let cell = board.open(id("s1"), Epoch(7), 1);
    for n in 0..5_000 {
        cell.metrics().add("syncer_added_jobs_total", &["insert", "q_0", "s", &format!("t{n}")], 1);
    }
    assert!(cell.metrics().of("syncer_added_jobs_total").len() <= 4_100);
    assert!(cell.metrics().count("syncer_added_jobs_total", &["", "", "", ""]) > 800);
}
