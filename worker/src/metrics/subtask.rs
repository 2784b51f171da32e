//! What one subtask counts for `/metrics`, over all its runs on this worker. Cheap to count, never waited for.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::histogram::Histogram;

use super::table::{Kind, SERIES, Source};

/// More label values than this of one series are counted under empty ones: a source may have a hundred thousand tables.
const MAX_LABEL_VALUES: usize = 4_096;

#[derive(Debug, Clone)]
pub enum Value {
    Gauge(f64),
    Counter(u64),
    Histogram(Histogram),
}

type Values = BTreeMap<Vec<String>, Value>;

/// See the module. Series are named as in the table of series; counting one that is not there does nothing.
#[derive(Debug)]
pub struct SubtaskMetrics {
    series: BTreeMap<&'static str, Mutex<Values>>,
}

impl Default for SubtaskMetrics {
    fn default() -> Self {
        let counted = SERIES.iter().filter(|series| matches!(series.source, Source::Counted));
        let series = counted.map(|series| {
            let values = series
                .from_start
                .iter()
                .map(|labels| (labels.iter().map(|label| (*label).to_owned()).collect(), first(series.kind)));
            (series.name, Mutex::new(values.collect()))
        });
        Self { series: series.collect() }
    }
}

fn first(kind: Kind) -> Value {
    match kind {
        Kind::Gauge => Value::Gauge(0.0),
        Kind::Counter => Value::Counter(0),
        Kind::Histogram(buckets) => Value::Histogram(Histogram::new(buckets.bounds())),
    }
}

impl SubtaskMetrics {
    pub fn add(&self, series: &str, labels: &[&str], n: u64) {
        self.change(series, labels, |value| {
            if let Value::Counter(count) = value {
                *count += n;
            }
        });
    }

    pub fn set(&self, series: &str, labels: &[&str], to: f64) {
        self.change(series, labels, |value| {
            if let Value::Gauge(gauge) = value {
                *gauge = to;
            }
        });
    }

    pub fn observe(&self, series: &str, labels: &[&str], seen: f64) {
        self.change(series, labels, |value| {
            if let Value::Histogram(histogram) = value {
                histogram.observe(seen);
            }
        });
    }

    /// For what is seen often: the histogram itself, shared. `None` when there is no such series.
    pub fn histogram(&self, series: &str, labels: &[&str]) -> Option<Histogram> {
        let mut found = None;
        self.change(series, labels, |value| {
            if let Value::Histogram(histogram) = value {
                found = Some(histogram.clone());
            }
        });
        found
    }

    /// The counter as it is now; 0 when nothing was counted.
    pub fn count(&self, series: &str, labels: &[&str]) -> u64 {
        let Some(values) = self.series.get(series) else { return 0 };
        let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        match lock(values).get(&key) {
            Some(Value::Counter(count)) => *count,
            Some(Value::Gauge(_) | Value::Histogram(_)) | None => 0,
        }
    }

    pub(super) fn of(&self, series: &str) -> Vec<(Vec<String>, Value)> {
        let Some(values) = self.series.get(series) else { return Vec::new() };
        lock(values).iter().map(|(labels, value)| (labels.clone(), value.clone())).collect()
    }

    fn change(&self, series: &str, labels: &[&str], change: impl FnOnce(&mut Value)) {
        let Some((name, values)) = self.series.get_key_value(series) else { return };
        let mut values = lock(values);
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if !values.contains_key(&key) {
            if values.len() >= MAX_LABEL_VALUES {
                key.iter_mut().for_each(String::clear);
            }
            let Some(series) = SERIES.iter().find(|series| series.name == *name) else { return };
            values.entry(key.clone()).or_insert_with(|| first(series.kind));
        }
        if let Some(value) = values.get_mut(&key) {
            change(value);
        }
    }
}

fn lock(values: &Mutex<Values>) -> MutexGuard<'_, Values> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
