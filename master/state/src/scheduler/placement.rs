//! Choosing a worker for a source: where it was ordered to, where it was last, else the least loaded; names break ties.

use std::{collections::BTreeMap, fmt};

use dm_model::WorkerName;

use super::view::{Health, SourceView, View};

/// Why this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A move there was ordered.
    Ordered,
    /// It carried the source last.
    LastWorker,
    /// It carries the fewest sources, this many before.
    LeastLoaded { n_sources: usize },
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordered => f.write_str("a move there was ordered"),
            Self::LastWorker => f.write_str("it carried the source last"),
            Self::LeastLoaded { n_sources } => write!(f, "it carries the fewest sources ({n_sources})"),
        }
    }
}

/// How many sources each worker carries or is about to get. Kept up to date while a plan grows.
pub(super) struct Loads(BTreeMap<WorkerName, usize>);

impl Loads {
    pub(super) fn of(view: &View) -> Self {
        let mut loads = Self(view.workers.keys().map(|name| (name.clone(), 0)).collect());
        for source in view.sources.values() {
            for worker in source.on.iter().chain(&source.moving_to) {
                loads.add(worker);
            }
        }
        loads
    }

    pub(super) fn add(&mut self, worker: &WorkerName) {
        if let Some(load) = self.0.get_mut(worker) {
            *load += 1;
        }
    }

    pub(super) fn get(&self, worker: &WorkerName) -> usize {
        self.0.get(worker).copied().unwrap_or(0)
    }

    /// Healthy workers with room.
    pub(super) fn open<'a>(&'a self, view: &'a View) -> impl Iterator<Item = (&'a WorkerName, usize)> {
        view.workers.iter().filter(|(_, worker)| worker.health == Health::Healthy).filter_map(|(name, worker)| {
            let load = self.get(name);
            worker.capacity.is_none_or(|capacity| load < capacity as usize).then_some((name, load))
        })
    }

    /// The worker for a source that needs a new one, never the one it is on.
    pub(super) fn choose(&self, view: &View, source: &SourceView) -> Option<(WorkerName, Choice)> {
        let is_elsewhere = |name: &&WorkerName| source.on.as_ref() != Some(*name);
        // room was set aside for an ordered move, so only health counts
        let ordered = source.moving_to.as_ref().filter(|name| view.health(name) == Some(Health::Healthy));
        if let Some(name) = ordered.filter(is_elsewhere) {
            return Some((name.clone(), Choice::Ordered));
        }
        let last = source.last_worker.as_ref().filter(is_elsewhere);
        if let Some(name) = last.filter(|last| self.open(view).any(|(name, _)| name == *last)) {
            return Some((name.clone(), Choice::LastWorker));
        }
        self.open(view)
            .filter(|(name, _)| is_elsewhere(name))
            .min_by_key(|(name, load)| (*load, *name))
            .map(|(name, n_sources)| (name.clone(), Choice::LeastLoaded { n_sources }))
    }
}
