//! `list-member` and `offline-member`.

use std::sync::Arc;

use dm_model::{MasterName, WorkerName};
use dm_proto::pb::{self, members::Member};
use dm_raft::node::SlowDisk;
use dm_state::{
    Command, State,
    command::{RetireMaster, RetireWorker},
    state::WorkerStage,
};
use tracing::info;

use super::View;
use crate::{context::Context, error::Error, leader::Leading};

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
            let known = MasterName::parse(member.master.name.clone()).ok();
            let known = known.and_then(|name| state.master(&name).map(|master| master.addresses.clone()));
            let client = match known {
                Some(known) if !known.client.is_empty() => known.client,
                Some(_) | None => member.master.api_addr.clone(),
            };
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

/// First out of the group, so that it cannot vote any more, then out of the address book.
async fn offline_master(context: &Context, leading: &Leading, name: &str) -> Result<(), Error> {
    let name =
        MasterName::parse(name).map_err(|_| Error::BadArgument { what: "master name", text: name.to_owned() })?;
    let state = leading.read().await?;
    if state.master(&name).is_none() {
        return Err(dm_state::Rejection::MasterUnknown { name }.into());
    }
    if state.masters().len() == 1 {
        return Err(dm_state::Rejection::MasterIsLast { name }.into());
    }
    if name == context.name {
        let to = leading.cluster.node().best_successor().ok_or(Error::NoLeader { waited_ms: 0 })?;
        info!(to, "leadership goes to another dm-master before this one is removed");
        leading.cluster.node().transfer_leader(to, SlowDisk::Accept).await?;
        return Err(Error::LeadershipLost);
    }
    leading.propose(Command::RetireMaster(RetireMaster { name: name.clone() })).await?;
    if let Some(node) = leading.cluster.member_named(&name) {
        leading.cluster.node().remove_member(node).await?;
    }
    Ok(())
}
