//! What `/metrics` of a worker shows: DM's names, labels, types and buckets (spec 15.1), and a few of our own.
//!
//! [`table`] lists every series; values come from the board when they are asked for, so that series of a subtask are there
//! from the first scrape after it began and gone after it ended. A scrape copies numbers and never waits for a unit.

mod process;
pub mod subtask;
mod table;

use std::sync::Arc;

use dm_model::{SubtaskId, UnixMillis, WorkerName};
use dm_runtime::clock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

pub use self::process::{Operation, ProcessMetrics};
use self::{
    subtask::Value,
    table::{Kind, SERIES, Series, Source},
};
use crate::status::{Board, View};

/// Registers the worker's metrics.
pub fn register(registry: &mut Registry, worker: WorkerName, board: Board, process: Arc<ProcessMetrics>) {
    registry.register_collector(Box::new(Worker { worker, board, process }));
}

#[derive(Debug)]
struct Worker {
    worker: WorkerName,
    board: Board,
    process: Arc<ProcessMetrics>,
}

impl Collector for Worker {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cells = self.board.cells();
        let views: Vec<View> = cells.iter().map(|(_, cell)| cell.read()).collect();
        let now = clock::wall();
        for series in &SERIES {
            let kind = match series.kind {
                Kind::Gauge => MetricType::Gauge,
                Kind::Counter => MetricType::Counter,
                Kind::Histogram(_) => MetricType::Histogram,
            };
            let mut out = encoder.encode_descriptor(series.name, series.help, None, kind)?;
            match series.source {
                Source::Process(read) => {
                    for (values, value) in read(&self.process) {
                        self.sample(&mut out, series, None, &values, &value)?;
                    }
                }
                Source::View(read) => {
                    for ((id, _), view) in cells.iter().zip(&views) {
                        for (values, value) in read(view, now) {
                            self.sample(&mut out, series, Some(id), &values, &Value::Gauge(value))?;
                        }
                    }
                }
                Source::Counted => {
                    for (id, cell) in &cells {
                        for (values, value) in cell.metrics().of(series.name) {
                            self.sample(&mut out, series, Some(id), &values, &value)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Worker {
    /// One line, or all lines of one histogram. `values` are those of the labels that say more than whose series it is.
    fn sample(
        &self,
        out: &mut MetricEncoder<'_>,
        series: &Series,
        id: Option<&SubtaskId>,
        values: &[String],
        value: &Value,
    ) -> Result<(), std::fmt::Error> {
        let mut values = values.iter();
        let labels: Vec<(&'static str, String)> = series
            .labels
            .iter()
            .map(|label| {
                let value = match (*label, id) {
                    ("worker", _) => self.worker.to_string(),
                    ("task", Some(id)) => id.task.to_string(),
                    ("source_id", Some(id)) => id.source.to_string(),
                    _ => values.next().cloned().unwrap_or_default(),
                };
                (*label, value)
            })
            .collect();
        let out = out.encode_family(&labels)?;
        match value {
            Value::Gauge(value) => ConstGauge::<f64>::new(*value).encode(out),
            Value::Counter(value) => ConstCounter::<u64>::new(*value).encode(out),
            Value::Histogram(histogram) => histogram.encode(out),
        }
    }
}

/// Milliseconds as Prometheus wants them.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// The present lag in seconds, 0 before replication.
fn lag_seconds(view: &View, now: UnixMillis) -> f64 {
    seconds(view.lag_ms(now).unwrap_or(0))
}

#[cfg(test)]
mod tests;
