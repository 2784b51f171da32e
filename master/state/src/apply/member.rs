//! The cluster's identity, its version, its incarnation, and the address book of masters.

use std::{collections::BTreeMap, sync::Arc};

use dm_model::{ClusterId, Epoch, Incarnation, MasterName, NodeId};
use serde::{Deserialize, Serialize};

use super::{Change, session::Letting};
use crate::{
    Rejection, Reply,
    record::{Master, MasterAddresses, Wanted},
};

/// Names of founding members beyond this are not taken.
pub const MAX_FOUNDERS: usize = 99;
/// The first index-derived node id is above every founder's.
pub const FIRST_JOINER: u64 = 1000;
/// An incarnation has the bits of an epoch that the log index leaves.
pub const MAX_INCARNATION: Incarnation = Incarnation((1 << (64 - Epoch::INDEX_BITS)) - 1);

/// Makes the cluster's identity and registers the founding masters as nodes 1..n by sorted name, as Raft did.
/// Repeated with the same id: `Done`, nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    pub cluster_id: ClusterId,
    pub founders: Vec<Founder>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    pub name: MasterName,
    pub addresses: MasterAddresses,
}

/// Raises the command version. A lower one is refused, the present one is `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetClusterVersion {
    pub version: u32,
}

/// First command after a restore from a backup: all later tokens exceed all of the lost cluster. Ends every session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BumpIncarnation {
    pub tasks: RestoredTasks,
}

/// A backup may hold tasks that were deleted since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoredTasks {
    Pause,
    Keep,
}

/// Gives a master its node id: a founder's own, else `1000 + index`. The same name and store again: the same id, and
/// the addresses are brought up to date. The same name on another store is refused: a wiped store must not vote again
/// under an old id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterMaster {
    pub name: MasterName,
    pub store_uuid: String,
    pub addresses: MasterAddresses,
}

/// Takes a master out of the address book. Its store is refused ever after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireMaster {
    pub name: MasterName,
}

impl Bootstrap {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if let Some(present) = change.state.cluster_id() {
            return if *present == self.cluster_id {
                Ok(Reply::Done)
            } else {
                Err(Rejection::AlreadyBootstrapped { cluster_id: present.clone() })
            };
        }
        if self.founders.len() > MAX_FOUNDERS {
            return Err(Rejection::TooMany {
                what: "founding masters".to_owned(),
                present: self.founders.len() as u64,
            });
        }
        let cluster = Arc::make_mut(&mut change.state.cluster);
        cluster.id = Some(self.cluster_id);
        cluster.bootstrapped_at = change.stamp.time;
        let by_name: BTreeMap<_, _> =
            self.founders.into_iter().map(|founder| (founder.name, founder.addresses)).collect();
        let masters = Arc::make_mut(&mut change.state.masters);
        for (node, (name, addresses)) in (1..).map(NodeId).zip(by_name) {
            masters.insert(name.clone(), Master { name, node, store_uuid: None, addresses });
        }
        change.touched.cluster = true;
        change.touched.masters = true;
        Ok(Reply::Done)
    }
}

impl SetClusterVersion {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let present = change.state.cluster.version;
        if self.version < present {
            return Err(Rejection::ClusterVersionFalls { asked: self.version, present });
        }
        if self.version > present {
            Arc::make_mut(&mut change.state.cluster).version = self.version;
            change.touched.cluster = true;
        }
        Ok(Reply::Done)
    }
}

impl BumpIncarnation {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let next = change.state.cluster.incarnation.0 + 1;
        if next > MAX_INCARNATION.0 {
            return Err(Rejection::IncarnationsUsedUp);
        }
        Arc::make_mut(&mut change.state.cluster).incarnation = Incarnation(next);
        change.touched.cluster = true;
        let live: Vec<_> = change.state.sessions.keys().copied().collect();
        for session in live {
            change.end_session(session, Letting::Unheard);
        }
        match self.tasks {
            RestoredTasks::Keep => {}
            RestoredTasks::Pause => {
                let revision = change.index();
                for subtask in Arc::make_mut(&mut change.state.subtasks).values_mut() {
                    match subtask.wanted {
                        Wanted::Running => {
                            subtask.wanted = Wanted::Paused;
                            subtask.wanted_revision = revision;
                            change.touched.tasks.insert(subtask.id.task.clone());
                            change.touched.subtasks.insert(subtask.id.clone());
                        }
                        Wanted::Paused | Wanted::Stopped => {}
                    }
                }
            }
        }
        Ok(Reply::Done)
    }
}

impl RegisterMaster {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if change.state.is_store_retired(&self.store_uuid) {
            return Err(Rejection::MasterStoreRetired { store_uuid: self.store_uuid });
        }
        let holder = change.state.masters().find(|master| master.store_uuid.as_ref() == Some(&self.store_uuid));
        if let Some(holder) = holder.filter(|holder| holder.name != self.name) {
            return Err(Rejection::MasterStoreTaken { store_uuid: self.store_uuid, name: holder.name.clone() });
        }
        let known = change.state.masters.get(&self.name);
        if let Some(known) = known.and_then(|master| master.store_uuid.as_ref()).filter(|u| **u != self.store_uuid) {
            return Err(Rejection::MasterStoreDiffers {
                known: known.clone(),
                name: self.name,
                shown: self.store_uuid,
            });
        }
        let node = known.map_or(NodeId(FIRST_JOINER + change.index().0), |master| master.node);
        let master = Master { name: self.name, node, store_uuid: Some(self.store_uuid), addresses: self.addresses };
        if known != Some(&master) {
            Arc::make_mut(&mut change.state.masters).insert(master.name.clone(), master);
            change.touched.masters = true;
        }
        Ok(Reply::MasterRegistered(node))
    }
}

impl RetireMaster {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if !change.state.masters.contains_key(&self.name) {
            return Err(Rejection::MasterUnknown { name: self.name });
        }
        if change.state.masters.len() == 1 {
            return Err(Rejection::MasterIsLast { name: self.name });
        }
        let retired = Arc::make_mut(&mut change.state.masters).remove(&self.name);
        if let Some(store_uuid) = retired.and_then(|master| master.store_uuid) {
            Arc::make_mut(&mut change.state.retired_stores).insert(store_uuid);
        }
        change.touched.masters = true;
        Ok(Reply::Done)
    }
}
