//! The metrics a process offers at `/metrics`. Names are DM's (prefix `dm_`), each crate registers its own; the process's
//! own (`process_*`) come from the kernel.
//!
//! The text is Prometheus's classic form (0.0.4) and a metric has the very name it was registered with: DM's counters do not
//! all end in `_total`, and dashboards ask for them by name.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{encoding::text, registry::Registry};

/// Of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The kernel counts a process's time in these (Linux's USER_HZ, the same on every architecture).
const TICKS_PER_SECOND: f64 = 100.0;

/// Shared by the parts of a process that register metrics and by the HTTP handler that prints them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    started: SystemTime,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("dm"))), started: SystemTime::now() }
    }

    /// Registers metrics; called once per part at its start.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = text::encode(&mut out, &registry) {
            return format!("# cannot encode metrics: {error}\n");
        }
        drop(registry);
        let mut text = classic(&out);
        self.process(&mut text);
        text
    }

    fn process(&self, text: &mut String) {
        let mut put = |name: &str, kind: &str, help: &str, value: f64| {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        };
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        put("process_start_time_seconds", "gauge", "When the process began, since 1970.", started);
        put("process_cpu_seconds_total", "counter", "CPU time used, user and system.", cpu_time().as_secs_f64());
        if let Some(bytes) = resident_bytes() {
            put("process_resident_memory_bytes", "gauge", "Memory in RAM.", bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            put("process_open_fds", "gauge", "Open file descriptors.", files.count() as f64);
        }
    }
}

/// CPU time of this process, user and system; zero where the kernel does not tell.
pub fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // the second field, the program's name, may hold anything
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// OpenMetrics text as classic text: counters lose the suffix that was put to their names, and nothing ends the text.
fn classic(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut counter: Option<&str> = None;
    for line in open_metrics.lines() {
        if line == "# EOF" {
            continue;
        }
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            counter = declared.strip_suffix(" counter");
        }
        let rest = counter.and_then(|name| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix("_total"));
        match (counter, rest) {
            (Some(name), Some(rest)) => {
                out.push_str(name);
                out.push_str(rest);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

    use super::*;

    #[test]
    fn metrics_have_the_names_they_were_registered_with() {
        let metrics = Metrics::new();
        metrics.register(|registry| {
            let (errors, jobs) = (Counter::<u64>::default(), Counter::<u64>::default());
            errors.inc();
            registry.register("syncer_exit_with_error_count", "exits", errors);
            registry.register("syncer_added_jobs_total", "jobs", jobs);
            registry.register("lag", "lag", Gauge::<i64>::default());
        });
        let text = metrics.render();
        for line in [
            "# TYPE dm_syncer_exit_with_error_count counter",
            "dm_syncer_exit_with_error_count 1",
            "# TYPE dm_syncer_added_jobs_total counter",
            "dm_syncer_added_jobs_total 0",
            "dm_lag 0",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in:\n{text}");
        }
        assert!(!text.contains("_total_total") && !text.contains("EOF"), "{text}");
    }
}
