//! The scheduler's reasons in words, and why a source stands where it stands.

use std::fmt;

use dm_model::{SourceId, WorkerName};

use super::{
    plan::{Move, Reason, Step},
    view::{Health, View},
};

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Step::Expire { sessions, places } => {
                write!(f, "end {} sessions", sessions.len())?;
                for place in places {
                    write!(f, ", place {} on {} ({})", place.source, place.worker, place.choice)?;
                }
            }
            Step::Assign { source, worker, session, expect: _ } => {
                write!(f, "place {source} on {worker} (session {session})")?;
            }
            Step::BeginMove { source, to: Some(to) } => write!(f, "begin to move {source} to {to}")?,
            Step::BeginMove { source, to: None } => write!(f, "take the move of {source} back")?,
        }
        write!(f, ": {}", self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionsLost { workers } => {
                let names: Vec<_> = workers.iter().map(WorkerName::as_str).collect();
                write!(f, "lost {}", names.join(", "))
            }
            Self::Unplaced { choice } => write!(f, "it was on no worker; {choice}"),
            Self::SubtasksWaiting { n_subtasks } => write!(f, "{n_subtasks} subtasks wait for an owner"),
            Self::Drained => f.write_str("the former owner has released it"),
            Self::DrainOverdue => f.write_str("the former owner did not release it in time"),
            Self::WorkerDraining { worker, choice } => write!(f, "{worker} is being emptied; {choice}"),
            Self::TargetGone { worker } => write!(f, "{worker} can not take it any more"),
            Self::Uneven { most, least } => write!(f, "one worker carries {most} sources, another {least}"),
        }
    }
}

/// Why a source is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    UnknownSource,
    Carried {
        worker: WorkerName,
        health: Health,
    },
    Moving {
        from: WorkerName,
        to: WorkerName,
        n_owned: usize,
    },
    /// No worker has a live session.
    NoWorker,
    /// The next plan places it.
    AboutToBePlaced,
    /// Sessions there are, none can take it.
    NoRoom {
        n_full: usize,
        n_suspect: usize,
        n_draining: usize,
        n_lost: usize,
    },
}

pub fn explain(view: &View, source: &SourceId) -> Explanation {
    let Some(source) = view.sources.get(source) else { return Explanation::UnknownSource };
    let carrier = source.on.as_ref().and_then(|on| Some((on.clone(), view.health(on)?)));
    match (carrier, &source.moving_to) {
        (Some((from, _)), Some(to)) => Explanation::Moving { from, to: to.clone(), n_owned: source.n_owned },
        (Some((worker, health)), None) => Explanation::Carried { worker, health },
        (None, _) if view.workers.is_empty() => Explanation::NoWorker,
        (None, _) => {
            let loads = super::placement::Loads::of(view);
            if loads.choose(view, source).is_some() {
                return Explanation::AboutToBePlaced;
            }
            let count = |health| view.workers.values().filter(|worker| worker.health == health).count();
            Explanation::NoRoom {
                n_full: count(Health::Healthy),
                n_suspect: count(Health::Suspect),
                n_draining: count(Health::Draining),
                n_lost: count(Health::Lost),
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSource => f.write_str("there is no such source"),
            Self::Carried { worker, health } => {
                let health = match health {
                    Health::Healthy => "is healthy",
                    Health::Suspect => "has been silent for a while",
                    Health::Draining => "is being emptied, and no other worker has room",
                    Health::Lost => "is lost, its session is about to end",
                };
                write!(f, "on {worker}, which {health}")
            }
            Self::Moving { from, to, n_owned } => {
                write!(f, "moving from {from} to {to}, {n_owned} subtasks are not released yet")
            }
            Self::NoWorker => f.write_str("no worker is online"),
            Self::AboutToBePlaced => f.write_str("about to be placed"),
            Self::NoRoom { n_full, n_suspect, n_draining, n_lost } => write!(
                f,
                "no worker can take it: {n_full} are full, {n_suspect} silent, {n_draining} being emptied, {n_lost} lost"
            ),
        }
    }
}
