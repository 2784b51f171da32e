//! What a worker counts as a process: operations that failed, CPU.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_runtime::metrics::cpu_time;
use tokio::time::Instant;

use super::subtask::Value;

/// What was asked of a subtask, with DM's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    BeforeAnyOp,
    SourceBound,
    RelaySource,
    Start,
    Pause,
    Resume,
    AutoResume,
    Update,
    Stop,
    Delete,
}

impl Operation {
    pub const ALL: [Self; 10] = [
        Self::BeforeAnyOp,
        Self::SourceBound,
        Self::RelaySource,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::AutoResume,
        Self::Update,
        Self::Stop,
        Self::Delete,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::BeforeAnyOp => "BeforeAnyOp",
            Self::SourceBound => "SourceBound",
            Self::RelaySource => "RelaySource",
            Self::Start => "Start",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::AutoResume => "AutoResume",
            Self::Update => "Update",
            Self::Stop => "Stop",
            Self::Delete => "Delete",
        }
    }
}

/// The share of a CPU is taken over so long, at least.
const CPU_SPAN: Duration = Duration::from_secs(10);

/// Shared by all parts of the process.
#[derive(Debug)]
pub struct ProcessMetrics {
    failed: Mutex<BTreeMap<Operation, u64>>,
    cpu: Mutex<Cpu>,
}

#[derive(Debug)]
struct Cpu {
    at: Instant,
    used: Duration,
    percent: f64,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        Self {
            failed: Mutex::new(Operation::ALL.into_iter().map(|operation| (operation, 0)).collect()),
            cpu: Mutex::new(Cpu { at: Instant::now(), used: cpu_time(), percent: 0.0 }),
        }
    }
}

impl ProcessMetrics {
    pub fn failed(&self, operation: Operation) {
        *lock(&self.failed).entry(operation).or_default() += 1;
    }

    pub(super) fn operate_errors(&self) -> Vec<(Vec<String>, Value)> {
        let failed = lock(&self.failed);
        failed.iter().map(|(operation, n)| (vec![operation.as_str().to_owned()], Value::Counter(*n))).collect()
    }

    /// Of the last whole span; until there is one, since the start.
    pub(super) fn cpu_percent(&self) -> f64 {
        let mut cpu = lock(&self.cpu);
        let (since, used) = (cpu.at.elapsed(), cpu_time());
        let percent = used.saturating_sub(cpu.used).as_secs_f64() / since.as_secs_f64().max(0.001) * 100.0;
        if since >= CPU_SPAN {
            *cpu = Cpu { at: Instant::now(), used, percent };
        } else if cpu.percent == 0.0 {
            return percent;
        }
        cpu.percent
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
