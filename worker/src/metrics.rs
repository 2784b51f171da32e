//! The worker's metrics, with DM's names: read from the board of views when they are asked for, so that series of a subtask
//! that ended are gone.

use dm_model::{SubtaskId, WorkerName};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

use crate::status::{Board, UnitView, View};

/// Registers the worker's metrics.
pub fn register(registry: &mut Registry, worker: WorkerName, board: Board) {
    registry.register_collector(Box::new(Subtasks { worker, board }));
}

#[derive(Debug)]
struct Subtasks {
    worker: WorkerName,
    board: Board,
}

/// Name, help and value of each gauge of a subtask; `None` where the unit has no such value.
type Gauge = (&'static str, &'static str, fn(&View) -> Option<f64>);

const GAUGES: [Gauge; 6] = [
    ("worker_task_state", "state of the subtask: 2 running, 3 paused, 4 stopped, 5 finished", |view| {
        Some(f64::from(view.stage.number()))
    }),
    ("syncer_replication_lag_gauge", "seconds between a change in the source and its commit in the target", |view| {
        sync(view).map(|sync| sync.seconds_behind as f64)
    }),
    ("syncer_ideal_qps", "rows per second applied recently", |view| sync(view).map(|sync| sync.recent_rps as f64)),
    ("loader_progress", "share of the full copy that is done, 0 to 1", |view| match &view.unit_view {
        UnitView::Load(load) if load.total_bytes > 0 => {
            Some((load.finished_bytes as f64 / load.total_bytes as f64).min(1.0))
        }
        UnitView::Load(_) | UnitView::Sync(_) | UnitView::Message(_) | UnitView::None => None,
    }),
    ("epoch", "fencing token under which the subtask runs", |view| Some(view.epoch.0 as f64)),
    ("watermark_unit", "largest unit that an acknowledged lane row says is committed", |view| {
        Some(view.progress.low as f64)
    }),
];

fn sync(view: &View) -> Option<&crate::status::SyncView> {
    match &view.unit_view {
        UnitView::Sync(sync) => Some(sync),
        UnitView::Load(_) | UnitView::Message(_) | UnitView::None => None,
    }
}

impl Collector for Subtasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let views = self.board.views();
        for (name, help, value) in GAUGES {
            let values: Vec<_> = views.iter().filter_map(|(id, view)| Some((id, value(view)?))).collect();
            if values.is_empty() {
                continue;
            }
            let mut descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (id, value) in values {
                let labels = labels(id, &self.worker);
                ConstGauge::<f64>::new(value).encode(descriptor.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn labels(id: &SubtaskId, worker: &WorkerName) -> [(&'static str, String); 3] {
    [("task", id.task.to_string()), ("source_id", id.source.to_string()), ("worker", worker.to_string())]
}

#[cfg(test)]
mod tests {
    use dm_model::{Epoch, SourceId, Stage, TaskName};
    use dm_runtime::metrics::Metrics;

    use super::*;

    #[test]
    fn a_subtask_has_series_while_it_is_on_the_board() {
        let board = Board::new();
        let metrics = Metrics::new();
        metrics.register(|registry| register(registry, WorkerName::parse("w1").unwrap(), board.clone()));
        let id = |source: &str| SubtaskId::new(TaskName::parse("shop").unwrap(), SourceId::parse(source).unwrap());
        for source in ["s1", "s2"] {
            board.open(id(source), Epoch(7), 1).update(|view| view.stage = Stage::Running);
        }
        let text = metrics.render();
        assert!(text.contains(r#"dm_worker_task_state{task="shop",source_id="s1",worker="w1"} 2"#), "{text}");
        assert_eq!(text.matches("# HELP dm_worker_task_state").count(), 1, "{text}");
        board.close(&id("s1"), Epoch(7));
        assert!(!metrics.render().contains(r#"source_id="s1""#));
    }
}
