//! `list-member` and `offline-member`.

use std::sync::Arc;

use dm_model::{MasterName, WorkerName};
use dm_proto::pb::{self, master_client::MasterClient, members::Member};
use dm_raft::node::{Leadership, SlowDisk};
use dm_state::{
    Command, State,
    command::{DeleteMeta, RetireMaster, RetireWorker},
    state::WorkerStage,
};
use tokio::time::timeout;
use tracing::info;

use super::{View, marked};
use crate::{cluster::client_address, context::Context, error::Error, evict, leader::Leading};

pub(super) fn list(context: &Context, view: &View, request: pb::ListMemberRequest) -> pb::ListMemberResponse {
    let all = !request.leader && !request.master && !request.worker;
    let named = |name: &str| request.names.is_empty() || request.names.iter().any(|one| one == name);
    let mut members = Vec::new();
    if all || request.leader {
        members.push(Member::Leader(leader(context)));
    }
    if all || request.master {
        members.push(Member::Master(masters(context, view.state(), &named)));
    }
    if all || request.worker {
        members.push(Member::Worker(workers(view.state(), &named)));
    }
    pb::ListMemberResponse {
        result: true,
        msg: view.note(),
        members: members.into_iter().map(|member| pb::Members { member: Some(member) }).collect(),
    }
}

fn leader(context: &Context) -> pb::ListLeaderMember {
    match context.cluster.leader() {
        Some(leader) => pb::ListLeaderMember { msg: String::new(), name: leader.name, addr: leader.api_addr },
        None => pb::ListLeaderMember { msg: "no leader".to_owned(), ..pb::ListLeaderMember::default() },
    }
}

fn masters(context: &Context, state: &State, named: &dyn Fn(&str) -> bool) -> pb::ListMasterMember {
    let figures = context.cluster.node().figures();
    let limit = context.cluster.node().timeout() / 2;
    let is_alive = |node: u64| {
        node == figures.node
            || Some(node) == figures.leader
            || figures.heard.get(&node).copied().flatten().is_some_and(|ago| ago < limit)
    };
    let url = |addr: &str| if addr.is_empty() { Vec::new() } else { vec![format!("http://{addr}")] };
    let mut masters: Vec<pb::MasterInfo> = context
        .cluster
        .node()
        .members()
        .into_iter()
        .filter(|member| named(&member.master.name))
        .map(|member| {
            let client = client_address(state, &member);
            pb::MasterInfo {
                member_id: member.node.to_string(),
                alive: is_alive(member.node),
                peer_ur_ls: url(&member.master.raft_addr),
                client_ur_ls: url(&client),
                name: member.master.name,
            }
        })
        .collect();
    masters.sort_by(|a, b| a.name.cmp(&b.name));
    pb::ListMasterMember { msg: String::new(), masters }
}

fn workers(state: &State, named: &dyn Fn(&str) -> bool) -> pb::ListWorkerMember {
    let workers = state
        .workers()
        .filter(|worker| named(worker.name.as_str()))
        .map(|worker| {
            let sources: Vec<String> = worker
                .session
                .map(|session| state.sources_on(session).map(|source| source.id.to_string()).collect())
                .unwrap_or_default();
            let stage = state.worker_stage(&worker.name).unwrap_or(WorkerStage::Offline);
            pb::WorkerInfo {
                name: worker.name.to_string(),
                addr: worker.addr.clone(),
                stage: stage.as_str().to_owned(),
                source: sources.join(","),
            }
        })
        .collect();
    pb::ListWorkerMember { msg: String::new(), workers }
}

pub(super) async fn offline(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::OfflineMemberRequest,
) -> pb::OfflineMemberResponse {
    let done = match request.r#type.as_str() {
        "worker" => offline_worker(leading, &request.name).await,
        "master" => offline_master(context, leading, &request.name).await,
        other => Err(Error::BadOperation { op: other.to_owned(), expected: "master, worker" }),
    };
    match done {
        Ok(()) => pb::OfflineMemberResponse { result: true, msg: String::new() },
        Err(error) => pb::OfflineMemberResponse { result: false, msg: error.text() },
    }
}

async fn offline_worker(leading: &Leading, name: &str) -> Result<(), Error> {
    let name =
        WorkerName::parse(name).map_err(|_| Error::BadArgument { what: "worker name", text: name.to_owned() })?;
    leading.propose(Command::RetireWorker(RetireWorker { name })).await?;
    Ok(())
}

/// First out of the group, so that it cannot vote any more, then out of the address book. Each half may be repeated: a
/// request that ended between them is brought to its end by the next one.
async fn offline_master(context: &Context, leading: &Leading, name: &str) -> Result<(), Error> {
    let name =
        MasterName::parse(name).map_err(|_| Error::BadArgument { what: "master name", text: name.to_owned() })?;
    let state = leading.read().await?;
    let member = leading.cluster.member_named(&name);
    if state.master(&name).is_none() && member.is_none() {
        return Err(dm_state::Rejection::MasterUnknown { name }.into());
    }
    if let Some(node) = member {
        let rest = Rest::of(leading, node);
        if rest.n_voters == 0 {
            return Err(dm_state::Rejection::MasterIsLast { name }.into());
        }
        if !rest.has_majority() {
            return Err(Error::NoMajorityLeft { name, n_alive: rest.n_alive, n_voters: rest.n_voters });
        }
        if name == context.name {
            return hand_over_and_offline(context, leading, &name).await;
        }
        leading.cluster.node().remove_member(node).await?;
    }
    if evict::is_evicted(&state, &name) {
        leading.propose(Command::DeleteMeta(DeleteMeta { key: evict::key(&name) })).await?;
    }
    if state.master(&name).is_some() {
        leading.propose(Command::RetireMaster(RetireMaster { name })).await?;
    }
    Ok(())
}

/// The voters that stay when one is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rest {
    n_voters: usize,
    n_alive: usize,
}

impl Rest {
    fn of(leading: &Leading, removed: u64) -> Self {
        let node = leading.cluster.node();
        let (figures, limit) = (node.figures(), node.timeout() / 2);
        let is_alive = |voter: u64| {
            voter == figures.node || figures.heard.get(&voter).copied().flatten().is_some_and(|ago| ago < limit)
        };
        let voters: Vec<u64> = node
            .members()
            .into_iter()
            .filter(|member| member.voter && member.node != removed)
            .map(|member| member.node)
            .collect();
        Self { n_voters: voters.len(), n_alive: voters.iter().filter(|voter| is_alive(**voter)).count() }
    }

    /// Without one, the removal itself could not be agreed on, and nothing after it.
    fn has_majority(self) -> bool {
        self.n_alive > self.n_voters / 2
    }
}

/// A leader does not take itself out: it hands over, and the next one does.
async fn hand_over_and_offline(context: &Context, leading: &Leading, name: &MasterName) -> Result<(), Error> {
    let node = leading.cluster.node();
    let to = node.best_successor(&evict::evicted_nodes(&leading.cluster)).ok_or(Error::NoLeader { waited_ms: 0 })?;
    info!(to, "leadership goes to another dm-master before this one is removed");
    node.transfer_leader(to, SlowDisk::Accept).await?;
    let mut leadership = context.cluster.leadership();
    let next = leadership.wait_for(|now| matches!(now, Leadership::Follower { leader } if !leader.api_addr.is_empty()));
    let next = match timeout(node.timeout(), next).await {
        Ok(Ok(now)) => match &*now {
            Leadership::Follower { leader } => leader.api_addr.clone(),
            Leadership::Leader { .. } | Leadership::NoLeader { .. } => return Err(Error::LeadershipLost),
        },
        Ok(Err(_)) | Err(_) => return Err(Error::LeadershipLost),
    };
    let request = pb::OfflineMemberRequest { r#type: "master".to_owned(), name: name.to_string() };
    let answer = MasterClient::new(context.channel(&next)?).offline_member(marked(request)).await;
    match answer.map(tonic::Response::into_inner) {
        Ok(answer) if answer.result => Ok(()),
        Ok(answer) => Err(Error::RefusedElsewhere { text: answer.msg }),
        Err(_) => Err(Error::LeadershipLost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_goes_only_when_the_others_can_agree_without_it() {
        for (n_voters, n_alive, may_go) in
            [(1, 1, true), (2, 1, false), (2, 2, true), (3, 1, false), (3, 2, true), (4, 2, false), (4, 3, true)]
        {
            assert_eq!(Rest { n_voters, n_alive }.has_majority(), may_go, "{n_alive} of {n_voters}");
        }
    }
}
