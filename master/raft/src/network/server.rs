//! The side of a connection that is asked: the service peers call.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dm_model::{MasterName, UnixMillis};
use dm_proto::{raft as pb, raft::raft_peer_server::RaftPeer};
use dm_state::{Command, Entry, Reply, command::RegisterMaster, record::MasterAddresses};
use futures::{Stream, StreamExt};
use openraft::{
    ChangeMembers,
    async_runtime::watch::WatchReceiver as _,
    base::BoxStream,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, ReadPolicy, StreamAppendError, TransferLeaderError,
        TransferLeaderRequest, VoteRequest,
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Peers;
use crate::{
    codec, entry_codec,
    error::Corrupt,
    machine::Applied,
    snapshot_store,
    types::{MasterNode, Proposal, Raft, Snapshot, TypeConfig},
    wire,
};

/// Bytes of a snapshot that are taken in; more is not one of ours.
const MAX_SNAPSHOT_BYTES: usize = 512 * 1024 * 1024;
/// Time the leader gives a learner to catch up before it is asked again.
const PROMOTE_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<Peers>,
    pub(crate) applied: Arc<Applied>,
    /// Ends streams of entries, which would keep connections to a stopped node open.
    pub(crate) stop: CancellationToken,
}

impl Service {
    /// Where the leader is, as seen from here; `None` when it is this node or unknown.
    fn leader_elsewhere(&self) -> Option<MasterNode> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leader = metrics.current_leader.filter(|leader| *leader != self.peers.marker().node_id)?;
        metrics.membership_config.get_node(&leader).cloned()
    }

    fn append_request(request: pb::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Corrupt> {
        Ok(AppendEntriesRequest {
            vote: wire::vote_required(&request.vote)?,
            prev_log_id: request.prev.as_ref().map(wire::log_id_of),
            entries: request.entries.iter().map(entry_codec::decode).collect::<Result<_, _>>()?,
            leader_commit: request.committed.as_ref().map(wire::log_id_of),
        })
    }

    async fn vote_request(&self, request: pb::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
        self.peers.admit(&request.header).await?;
        let mut vote = VoteRequest::new(
            wire::vote_required(&request.vote).map_err(malformed)?,
            request.last.as_ref().map(wire::log_id_of),
        );
        vote.leadership_transfer = request.leadership_transfer;
        Ok(vote)
    }

    /// Writes down the addresses and the store of a member. The address book is made by the cluster's first command:
    /// before it, and for somebody who is not in it, this is refused, so that no second id is given out.
    pub(crate) async fn bring_up_to_date(&self, node: u64, member: &MasterNode) -> Result<(), Status> {
        let is_listed =
            self.applied.state().masters().any(|master| master.node.0 == node && master.name.as_str() == member.name);
        if !is_listed {
            return Err(Status::unavailable(format!("{} is not in the address book yet", member.name)));
        }
        self.register(member).await.map(|_| ())
    }

    async fn register(&self, member: &MasterNode) -> Result<u64, Status> {
        let name =
            MasterName::parse(member.name.clone()).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let command = Command::RegisterMaster(RegisterMaster {
            name,
            store_uuid: member.store_uuid.clone(),
            addresses: MasterAddresses { peer: member.raft_addr.clone(), client: member.api_addr.clone() },
        });
        let proposal = codec::encode_command(&Entry::new(now(), command));
        let response = self.raft.client_write(Proposal(proposal)).await.map_err(unavailable)?;
        match response.data.0 {
            Some(Reply::MasterRegistered(node)) => Ok(node.0),
            Some(Reply::Rejected(rejection)) => Err(Status::failed_precondition(rejection.to_string())),
            reply => Err(Status::internal(format!("unexpected reply to a registration: {reply:?}"))),
        }
    }
}

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn malformed(error: Corrupt) -> Status {
    Status::invalid_argument(error.to_string())
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

type Appended = openraft::raft::StreamAppendResult<TypeConfig>;

fn append_reply(result: Appended) -> pb::AppendReply {
    use pb::append_reply::Result as Wire;
    let result = match result {
        Ok(matched) => Wire::Matched(pb::Matched { log_id: matched.as_ref().map(wire::log_id_to) }),
        Err(StreamAppendError::Conflict(id)) => Wire::Conflict(wire::log_id_to(&id)),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherVote(wire::vote_to(&vote)),
    };
    pb::AppendReply { result: Some(result) }
}

/// Requests of a stream as Raft takes them. A malformed one ends the stream: the sender starts a new one.
fn requests(
    peers: Arc<Peers>,
    messages: Streaming<pb::AppendRequest>,
    stop: CancellationToken,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
    futures::stream::unfold(messages, move |mut messages| {
        let (peers, stop) = (Arc::clone(&peers), stop.clone());
        async move {
            let message = stop.run_until_cancelled(messages.next()).await??;
            let request = message
                .map_err(|status| status.to_string())
                .and_then(|message| Service::append_request(message).map_err(|error| error.to_string()));
            match request {
                Ok(request) => {
                    peers.heard_leader();
                    Some((request, messages))
                }
                Err(error) => {
                    tracing::debug!(%error, "stream of entries ended");
                    None
                }
            }
        }
    })
}

#[tonic::async_trait]
impl RaftPeer for Service {
    async fn hello(&self, request: Request<pb::HelloRequest>) -> Result<Response<pb::HelloReply>, Status> {
        let request = request.into_inner();
        let marker = self.peers.marker();
        let membership = self.raft.metrics().borrow_watched().membership_config.clone();
        Ok(self.peers.reply(pb::HelloReply {
            cluster_id: marker.cluster_id.clone(),
            node_id: marker.node_id,
            receiver: Some(wire::node_to(self.peers.me())),
            known_store: self.peers.log().peer_store(request.node_id).unwrap_or_default(),
            member: membership.get_node(&request.node_id).is_some(),
            has_log: membership.voter_ids().next().is_some(),
        }))
    }

    async fn ping(&self, request: Request<pb::PingRequest>) -> Result<Response<pb::PingReply>, Status> {
        self.peers.admit(&request.into_inner().header).await?;
        let figures = self.peers.log().figures();
        Ok(self.peers.reply(pb::PingReply {
            write_p99_micros: u64::try_from(figures.p99.as_micros()).unwrap_or(u64::MAX),
            last_log_index: self.raft.metrics().borrow_watched().last_log_index.unwrap_or_default(),
        }))
    }

    type AppendStreamStream = BoxStream<'static, Result<pb::AppendReply, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let mut messages = request.into_inner();
        let opening = messages.message().await?.ok_or_else(|| Status::invalid_argument("stream without header"))?;
        self.peers.admit(&opening.header).await?;
        let results = self.raft.stream_append(requests(Arc::clone(&self.peers), messages, self.stop.clone()));
        let replies: Self::AppendStreamStream =
            Box::pin(results.map(|result| result.map(append_reply).map_err(unavailable)));
        Ok(self.peers.reply(replies))
    }

    async fn append(&self, request: Request<pb::AppendRequest>) -> Result<Response<pb::AppendReply>, Status> {
        let request = request.into_inner();
        self.peers.admit(&request.header).await?;
        let request = Self::append_request(request).map_err(malformed)?;
        let prev = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        let result = match self.raft.append_entries(request).await.map_err(unavailable)? {
            AppendEntriesResponse::Success => Ok(last),
            AppendEntriesResponse::PartialSuccess(matched) => Ok(matched),
            AppendEntriesResponse::Conflict => match prev {
                Some(prev) => Err(StreamAppendError::Conflict(prev)),
                None => return Err(Status::internal("conflict without an entry before")),
            },
            AppendEntriesResponse::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote)),
        };
        if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
            self.peers.heard_leader();
        }
        Ok(self.peers.reply(append_reply(result)))
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteReply>, Status> {
        let request = self.vote_request(request.into_inner()).await?;
        let reply = self.raft.vote(request).await.map_err(unavailable)?;
        Ok(self.peers.reply(vote_reply(reply)))
    }

    async fn pre_vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteReply>, Status> {
        let request = self.vote_request(request.into_inner()).await?;
        let reply = self.raft.pre_vote(request).await.map_err(unavailable)?;
        Ok(self.peers.reply(vote_reply(reply)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotChunk>>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        let mut chunks = request.into_inner();
        let first = chunks.message().await?.ok_or_else(|| Status::invalid_argument("snapshot without header"))?;
        self.peers.admit(&first.header).await?;
        let vote = wire::vote_required(&first.vote).map_err(malformed)?;
        let meta = first.meta.as_ref().ok_or(Corrupt::Missing("snapshot metadata")).map_err(malformed)?;
        let meta = wire::snapshot_meta_of(meta).map_err(malformed)?;
        let mut data = first.data.to_vec();
        while let Some(chunk) = chunks.message().await? {
            if data.len() + chunk.data.len() > MAX_SNAPSHOT_BYTES {
                return Err(Status::resource_exhausted("snapshot is too large"));
            }
            data.extend_from_slice(&chunk.data);
        }
        let data = Bytes::from(data);
        // Whole and undamaged before Raft hears of it.
        let (found, _) = snapshot_store::check(&data).map_err(malformed)?;
        if found.last_log_id != meta.last_log_id {
            return Err(Status::invalid_argument("snapshot is not the one that was announced"));
        }
        self.peers.heard_leader();
        let snapshot = Snapshot { meta, snapshot: data };
        let reply = self.raft.install_full_snapshot(vote, snapshot).await.map_err(unavailable)?;
        Ok(self.peers.reply(pb::SnapshotReply { vote: Some(wire::vote_to(&reply.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferRequest>,
    ) -> Result<Response<pb::TransferReply>, Status> {
        use pb::transfer_reply::Result as Wire;
        let request = request.into_inner();
        self.peers.admit(&request.header).await?;
        let from = wire::vote_required(&request.from_leader).map_err(malformed)?;
        let request = TransferLeaderRequest::new(from, request.target, request.last.as_ref().map(wire::log_id_of));
        let result = match self.raft.handle_transfer_leader(request).await.map_err(unavailable)? {
            Ok(()) => Wire::Accepted(true),
            Err(TransferLeaderError::VoteChanged { expected, actual }) => Wire::VoteChanged(pb::VoteChanged {
                expected: Some(wire::vote_to(&expected)),
                actual: Some(wire::vote_to(&actual)),
            }),
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Wire::LogNotFlushed(pb::LogNotFlushed {
                expected: expected.as_ref().map(wire::log_id_to),
                actual: actual.as_ref().map(wire::log_id_to),
            }),
        };
        Ok(self.peers.reply(pb::TransferReply { result: Some(result) }))
    }

    async fn read_index(&self, request: Request<pb::ReadIndexRequest>) -> Result<Response<pb::ReadIndexReply>, Status> {
        self.peers.admit(&request.into_inner().header).await?;
        let (read, _) = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await.map_err(unavailable)?;
        Ok(self.peers.reply(pb::ReadIndexReply { log_id: Some(wire::log_id_to(read.log_id())) }))
    }

    async fn admit(&self, request: Request<pb::AdmitRequest>) -> Result<Response<pb::AdmitReply>, Status> {
        let member = request.into_inner().member.ok_or_else(|| Status::invalid_argument("nobody to admit"))?;
        if let Some(leader) = self.leader_elsewhere() {
            let leader = Some(wire::node_to(&leader));
            return Ok(self.peers.reply(pb::AdmitReply { leader, ..Default::default() }));
        }
        let member = wire::node_of(&member);
        let node_id = self.register(&member).await?;
        // A founder that never registered, but whose store voted already.
        let known = self.peers.log().peer_store(node_id);
        if known.is_some_and(|known| known != member.store_uuid) {
            return Err(Status::failed_precondition(format!(
                "node {node_id} is known with another store; remove the member {} first",
                member.name
            )));
        }
        tracing::info!(node_id, %member, "admitted a master as learner");
        self.raft.add_learner(node_id, member, false).await.map_err(unavailable)?;
        let cluster_id = self.peers.marker().cluster_id.clone();
        Ok(self.peers.reply(pb::AdmitReply { leader: None, cluster_id, node_id }))
    }

    async fn register(&self, request: Request<pb::RegisterRequest>) -> Result<Response<pb::RegisterReply>, Status> {
        let header = request.into_inner().header;
        let node = self.peers.admit(&header).await?;
        if let Some(leader) = self.leader_elsewhere() {
            return Ok(self.peers.reply(pb::RegisterReply { leader: Some(wire::node_to(&leader)) }));
        }
        let sender = header.and_then(|header| header.sender).ok_or_else(|| Status::invalid_argument("no sender"))?;
        self.bring_up_to_date(node, &wire::node_of(&sender)).await?;
        Ok(self.peers.reply(pb::RegisterReply { leader: None }))
    }

    async fn promote(&self, request: Request<pb::PromoteRequest>) -> Result<Response<pb::PromoteReply>, Status> {
        let node = self.peers.admit(&request.into_inner().header).await?;
        if let Some(leader) = self.leader_elsewhere() {
            let leader = Some(wire::node_to(&leader));
            return Ok(self.peers.reply(pb::PromoteReply { leader, voter: false }));
        }
        let membership = self.raft.metrics().borrow_watched().membership_config.clone();
        let Some(member) = membership.get_node(&node).cloned() else {
            return Err(Status::failed_precondition(format!("node {node} is not a member")));
        };
        if !membership.voter_ids().any(|id| id == node) {
            let caught_up = self.raft.add_learner(node, member, true);
            if tokio::time::timeout(PROMOTE_WAIT, caught_up).await.map_err(unavailable)?.is_err() {
                return Err(Status::unavailable("learner has not caught up"));
            }
            let change = ChangeMembers::AddVoterIds([node].into());
            self.raft.change_membership(change, true).await.map_err(unavailable)?;
            tracing::info!(node, "a master became a voter");
        }
        Ok(self.peers.reply(pb::PromoteReply { leader: None, voter: true }))
    }

    async fn elect(&self, request: Request<pb::ElectRequest>) -> Result<Response<pb::ElectReply>, Status> {
        self.peers.admit(&request.into_inner().header).await?;
        self.raft.trigger().elect(true).await.map_err(unavailable)?;
        Ok(self.peers.reply(pb::ElectReply {}))
    }
}

fn vote_reply(reply: openraft::raft::VoteResponse<TypeConfig>) -> pb::VoteReply {
    pb::VoteReply {
        vote: Some(wire::vote_to(&reply.vote)),
        granted: reply.vote_granted,
        last: reply.last_log_id.as_ref().map(wire::log_id_to),
    }
}
