//! Makes what runs equal to what the leader wants, one task per subtask.
//!
//! Owns the set of running subtasks. Decides nothing itself: [`plan`] says what to do, [`subtask`] does it. Ends when told
//! to drain and every subtask has ended.

pub mod backoff;
pub mod plan;
pub mod subtask;
mod workaround;

use std::{collections::BTreeMap, sync::Arc};

use dm_model::SubtaskId;
use dm_runtime::{Shutdown, Tasks};
use tokio::sync::{mpsc, watch};
use tracing::info;

use self::plan::{Have, Step, Want};
use crate::{
    assignment::Assignments,
    metrics::ProcessMetrics,
    status::Board,
    supervisor::subtask::{Life, Mailbox},
};

/// The supervisor service.
#[derive(Debug)]
pub struct Service {
    wishes: watch::Receiver<Option<Assignments>>,
    board: Board,
    metrics: Arc<ProcessMetrics>,
    tasks: Tasks,
    running: BTreeMap<SubtaskId, Running>,
    ended_tx: mpsc::UnboundedSender<SubtaskId>,
    ended_rx: mpsc::UnboundedReceiver<SubtaskId>,
}

#[derive(Debug)]
struct Running {
    have: Have,
    mailbox: Mailbox,
}

impl Service {
    pub fn new(
        wishes: watch::Receiver<Option<Assignments>>,
        board: Board,
        metrics: Arc<ProcessMetrics>,
        tasks: Tasks,
    ) -> Self {
        // one message per subtask that ends: bounded by the number of subtasks
        let (ended_tx, ended_rx) = mpsc::unbounded_channel();
        Self { wishes, board, metrics, tasks, running: BTreeMap::new(), ended_tx, ended_rx }
    }

    /// Runs until drained or killed.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.kill.cancelled() => break,
                () = shutdown.drain.cancelled() => break,
                Some(id) = self.ended_rx.recv() => {
                    self.running.remove(&id);
                    self.reconcile();
                }
                changed = self.wishes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.reconcile();
                }
            }
        }
        for running in self.running.values() {
            running.mailbox.end();
        }
        while !self.running.is_empty() {
            tokio::select! {
                biased;
                () = shutdown.kill.cancelled() => {
                    for running in self.running.values() {
                        running.mailbox.kill();
                    }
                    return;
                }
                Some(id) = self.ended_rx.recv() => {
                    self.running.remove(&id);
                }
            }
        }
        info!("all subtasks have ended");
    }

    fn reconcile(&mut self) {
        let Some(wishes) = self.wishes.borrow_and_update().clone() else { return };
        let have = self.running.iter().map(|(id, running)| (id.clone(), running.have)).collect();
        let want = wishes
            .subtasks
            .iter()
            .map(|(id, a)| (id.clone(), Want { epoch: a.epoch, revision: a.wanted_revision }))
            .collect();
        for step in plan::plan(&have, &want) {
            self.act(step, &wishes);
        }
    }

    fn act(&mut self, step: Step, wishes: &Assignments) {
        match step {
            Step::Start(id) => {
                let Some(assignment) = wishes.subtasks.get(&id) else { return };
                info!(subtask = %id, epoch = %assignment.epoch, "starting subtask");
                let have = Have { epoch: assignment.epoch, revision: assignment.wanted_revision, ending: false };
                let cell = self.board.open(id.clone(), assignment.epoch, assignment.wanted_revision);
                let (life, mailbox) =
                    Life::new(id.clone(), wishes, assignment.clone(), cell, Arc::clone(&self.metrics));
                let (board, ended, ended_id, epoch) =
                    (self.board.clone(), self.ended_tx.clone(), id.clone(), assignment.epoch);
                self.tasks.spawn("subtask", async move {
                    life.run().await;
                    board.close(&ended_id, epoch);
                    // the supervisor may be gone already
                    let _ = ended.send(ended_id);
                });
                self.running.insert(id, Running { have, mailbox });
            }
            Step::Tell(id) => {
                let (Some(running), Some(assignment)) = (self.running.get_mut(&id), wishes.subtasks.get(&id)) else {
                    return;
                };
                running.have.revision = assignment.wanted_revision;
                running.mailbox.tell(assignment.clone());
            }
            Step::End(id) => {
                let Some(running) = self.running.get_mut(&id) else { return };
                info!(subtask = %id, epoch = %running.have.epoch, "ending subtask");
                running.have.ending = true;
                running.mailbox.end();
            }
        }
    }
}
