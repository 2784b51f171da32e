//! Applying one log entry: total, deterministic, the only way the state changes.
//!
//! Never does: look at anything but state, stamp and command. Fails: by a [`Rejection`] in the reply, and then the
//! state is as before but for the applied index and, for a client's request, the remembered answer.

pub mod assign;
pub mod member;
pub mod meta_kv;
pub mod operator;
pub mod progress;
pub mod session;
pub mod source;
pub mod task;

use std::sync::Arc;

use dm_model::{Epoch, Revision};

use crate::{Applied, Command, Rejection, Reply, Stamp, State, Touched};

/// Carries out `command` as the entry at `stamp.index`.
///
/// A client's request that was carried out before gets the same answer and changes nothing. Commands other than
/// `Bootstrap` need a bootstrapped cluster.
pub fn apply(state: &mut State, stamp: Stamp, command: Command) -> Applied {
    let revision = stamp.index;
    let unchanged = |reply| Applied { revision, reply, touched: Touched::default() };
    if revision <= state.applied {
        return unchanged(Reply::Rejected(Rejection::IndexNotAbove { index: revision, applied: state.applied }));
    }
    state.applied = revision;
    if let Some(reply) = stamp.client.as_ref().and_then(|request| state.clients.known(request)) {
        return unchanged(reply);
    }
    let client = stamp.client.clone();
    let mut change = Change { state, stamp, touched: Touched::default() };
    let reply = change.carry_out(command).unwrap_or_else(Reply::Rejected);
    let touched = change.touched;
    debug_assert!(reply.rejection().is_none() || touched.is_empty(), "a rejected command changes nothing");
    if let Some(request) = client {
        Arc::make_mut(&mut state.clients).remember(&request, revision, reply.clone());
    }
    debug_assert_eq!(state.validate(), Ok(()));
    Applied { revision, reply, touched }
}

/// The state under one command, with what it has touched so far. Commands check first and write after.
pub(crate) struct Change<'a> {
    state: &'a mut State,
    stamp: Stamp,
    touched: Touched,
}

impl Change<'_> {
    fn carry_out(&mut self, command: Command) -> Result<Reply, Rejection> {
        let present = self.state.cluster.version.max(1);
        if command.since() > present {
            return Err(Rejection::ClusterVersionTooLow { needed: command.since(), present });
        }
        if self.state.cluster.id.is_none() && !matches!(command, Command::Bootstrap(_)) {
            return Err(Rejection::NotBootstrapped);
        }
        match command {
            Command::Bootstrap(c) => c.apply(self),
            Command::SetClusterVersion(c) => c.apply(self),
            Command::BumpIncarnation(c) => c.apply(self),
            Command::RegisterMaster(c) => c.apply(self),
            Command::RetireMaster(c) => c.apply(self),
            Command::RegisterWorker(c) => c.apply(self),
            Command::RetireWorker(c) => c.apply(self),
            Command::OpenSession(c) => c.apply(self),
            Command::CloseSession(c) => c.apply(self),
            Command::ExpireSessions(c) => c.apply(self),
            Command::PutSource(c) => c.apply(self),
            Command::DeleteSource(c) => c.apply(self),
            Command::CreateTask(c) => c.apply(self),
            Command::UpdateTask(c) => c.apply(self),
            Command::DeleteSubtasks(c) => c.apply(self),
            Command::SetWanted(c) => c.apply(self),
            Command::ClearStartTime(c) => c.apply(self),
            Command::Assign(c) => c.apply(self),
            Command::ExpireAndAssign(c) => c.apply(self),
            Command::BeginMove(c) => c.apply(self),
            Command::Release(c) => c.apply(self),
            Command::FenceOff(c) => c.apply(self),
            Command::ConfirmFence(c) => c.apply(self),
            Command::ReportProgress(c) => c.apply(self),
            Command::PutOperator(c) => c.apply(self),
            Command::RemoveOperators(c) => c.apply(self),
            Command::ConsumeOperators(c) => c.apply(self),
            Command::PutMeta(c) => c.apply(self),
            Command::CasMeta(c) => c.apply(self),
            Command::DeleteMeta(c) => c.apply(self),
        }
    }

    fn index(&self) -> Revision {
        self.stamp.index
    }

    /// The token of this entry.
    fn epoch(&self) -> Epoch {
        Epoch::new(self.state.cluster.incarnation, self.stamp.index)
    }
}
