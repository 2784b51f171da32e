//! The side of a connection that asks: what Raft sends to one peer.
#![allow(clippy::result_large_err, reason = "the error types of these answers are openraft's")]

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dm_proto::raft as pb;
use futures::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RPCTypes, RaftNetworkFactory,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption},
    raft::{
        AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tonic::{Code, Status};

use super::{Client, Lane, Peers};
use crate::{
    entry_codec,
    types::{LogId, MasterNode, Snapshot, TypeConfig, Vote},
    wire,
};

/// Time to start a stream of entries. Only replication to this peer waits.
const STREAM_START: Duration = Duration::from_secs(1);
/// Time a peer may take to answer the oldest entry it was sent.
const STREAM_IDLE: Duration = Duration::from_secs(2);
/// Bytes of a snapshot in one message.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Makes connections for Raft.
pub(crate) struct Factory {
    pub(crate) peers: Arc<Peers>,
}

impl Factory {
    fn peer(&self, target: u64, node: &MasterNode, lane: Lane) -> Peer {
        Peer { peers: Arc::clone(&self.peers), target, addr: node.raft_addr.clone(), lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &MasterNode) -> Peer {
        self.peer(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MasterNode) -> Peer {
        self.peer(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &MasterNode) -> Peer {
        self.peer(target, node, Lane::Snapshot)
    }
}

/// One peer, as Raft addresses it.
pub(crate) struct Peer {
    peers: Arc<Peers>,
    target: u64,
    addr: String,
    lane: Lane,
}

impl Peer {
    fn client(&self, lane: Lane) -> Result<Client, Status> {
        self.peers.client(&self.addr, lane).map_err(|error| Status::internal(error.to_string()))
    }

    /// Runs a call within its time and checks who answered.
    async fn call<T>(
        &self,
        action: RPCTypes,
        limit: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, RPCError<TypeConfig>> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => {
                self.peers.check_reply(self.target, response.metadata()).await.map_err(failed)?;
                Ok(response.into_inner())
            }
            Ok(Err(status)) => Err(failed(status)),
            Err(_) => Err(self.late(action, limit)),
        }
    }

    fn late(&self, action: RPCTypes, timeout: Duration) -> RPCError<TypeConfig> {
        let id = self.peers.marker().node_id;
        RPCError::Timeout(Timeout { action, id, target: self.target, timeout })
    }

    async fn heartbeat(
        &self,
        request: AppendEntriesRequest<TypeConfig>,
        limit: Duration,
    ) -> Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
        let sent = sent(&request);
        let mut message = append_to(request);
        message.header = Some(self.peers.header(self.target));
        let mut client = self.client(Lane::Control).map_err(failed)?;
        let reply = self.call(RPCTypes::AppendEntries, limit, client.append(message)).await?;
        append_result(reply, sent)
    }

    async fn stream<S>(
        &self,
        input: S,
    ) -> Result<BoxStream<'static, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let mut client = self.client(self.lane).map_err(failed)?;
        let waiting = Arc::new(AtomicU64::new(0));
        let opening = pb::AppendRequest { header: Some(self.peers.header(self.target)), ..Default::default() };
        let counter = Arc::clone(&waiting);
        let requests = stream::once(async { opening }).chain(input.map(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            append_to(request)
        }));
        let replies = self.call(RPCTypes::AppendEntries, STREAM_START, client.append_stream(requests)).await?;
        let late = (self.peers.marker().node_id, self.target);
        let output = stream::unfold(Some(replies), move |replies| {
            let waiting = Arc::clone(&waiting);
            async move {
                let mut replies = replies?;
                loop {
                    let before = waiting.load(Ordering::Relaxed);
                    match tokio::time::timeout(STREAM_IDLE, replies.message()).await {
                        Ok(Ok(Some(reply))) => {
                            waiting.fetch_sub(1, Ordering::Relaxed);
                            let result = append_result(reply, None);
                            let rest = matches!(result, Ok(Ok(_))).then_some(replies);
                            return Some((result, rest));
                        }
                        Ok(Ok(None)) => return None,
                        Ok(Err(status)) => return Some((Err(failed(status)), None)),
                        // Nothing was asked: an idle stream.
                        Err(_) if before == 0 => {}
                        Err(_) => {
                            let (id, target) = late;
                            let action = RPCTypes::AppendEntries;
                            let error = Timeout { action, id, target, timeout: STREAM_IDLE };
                            return Some((Err(RPCError::Timeout(error)), None));
                        }
                    }
                }
            }
        });
        Ok(Box::pin(output))
    }
}

impl NetStreamAppend<TypeConfig> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.lane != Lane::Control {
                let output: BoxStream<'s, _> = self.stream(input).await?;
                return Ok(output);
            }
            // A heartbeat is one request: no stream for it.
            let Some(request) = input.next().await else {
                let nothing: BoxStream<'s, _> = Box::pin(stream::empty());
                return Ok(nothing);
            };
            let result = self.heartbeat(request, option.hard_ttl()).await?;
            let output: BoxStream<'s, _> = Box::pin(stream::once(async { Ok(result) }));
            Ok(output)
        })
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Control).map_err(failed)?;
        let message = vote_to(&request, self.peers.header(self.target));
        vote_result(self.call(RPCTypes::Vote, option.hard_ttl(), client.vote(message)).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Control).map_err(failed)?;
        let message = vote_to(&request, self.peers.header(self.target));
        vote_result(self.call(RPCTypes::Vote, option.hard_ttl(), client.pre_vote(message)).await?)
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = Bytes;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut client = self.client(Lane::Snapshot).map_err(failed)?;
        let first = pb::SnapshotChunk {
            header: Some(self.peers.header(self.target)),
            vote: Some(wire::vote_to(&vote)),
            meta: Some(wire::snapshot_meta_to(&snapshot.meta)),
            data: Bytes::new(),
        };
        let data = snapshot.snapshot;
        // One more allowance of time per 8 MiB, so that a large state is not cut off at a slow link.
        let limit = option.hard_ttl() * (1 + u32::try_from(data.len() / (8 << 20)).unwrap_or(u32::MAX - 1));
        let chunks = (0..data.len()).step_by(CHUNK_BYTES).map(move |at| pb::SnapshotChunk {
            data: data.slice(at..data.len().min(at + CHUNK_BYTES)),
            ..Default::default()
        });
        let call = client.snapshot(stream::iter(std::iter::once(first).chain(chunks)));
        let reply = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            reply = self.call(RPCTypes::InstallSnapshot, limit, call) => reply?,
        };
        Ok(SnapshotResponse::new(wire::vote_required(&reply.vote).map_err(malformed)?))
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Control).map_err(failed)?;
        let message = pb::TransferRequest {
            header: Some(self.peers.header(self.target)),
            from_leader: Some(wire::vote_to(request.from_leader())),
            target: *request.to_node_id(),
            last: request.last_log_id().map(wire::log_id_to),
        };
        let reply = self.call(RPCTypes::TransferLeader, option.hard_ttl(), client.transfer_leader(message)).await?;
        match reply.result {
            Some(pb::transfer_reply::Result::Accepted(_)) => Ok(Ok(())),
            Some(pb::transfer_reply::Result::VoteChanged(votes)) => Ok(Err(TransferLeaderError::VoteChanged {
                expected: wire::vote_required(&votes.expected).map_err(malformed)?,
                actual: wire::vote_required(&votes.actual).map_err(malformed)?,
            })),
            Some(pb::transfer_reply::Result::LogNotFlushed(ids)) => Ok(Err(TransferLeaderError::LogNotFlushed {
                expected: ids.expected.as_ref().map(wire::log_id_of),
                actual: ids.actual.as_ref().map(wire::log_id_of),
            })),
            None => Err(RPCError::Network(NetworkError::from_string("empty answer to a transfer"))),
        }
    }
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

fn failed(status: Status) -> RPCError<TypeConfig> {
    match status.code() {
        // Not there, or not ours: Raft waits before it asks again.
        Code::Unavailable | Code::FailedPrecondition | Code::Internal => {
            RPCError::Unreachable(Unreachable::from_string(status))
        }
        _ => RPCError::Network(NetworkError::from_string(status)),
    }
}

fn malformed(error: crate::error::Corrupt) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::from_string(error))
}

/// The last entry of a request, or what comes before it.
fn sent(request: &AppendEntriesRequest<TypeConfig>) -> Option<LogId> {
    request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id)
}

fn append_to(request: AppendEntriesRequest<TypeConfig>) -> pb::AppendRequest {
    pb::AppendRequest {
        header: None,
        vote: Some(wire::vote_to(&request.vote)),
        prev: request.prev_log_id.as_ref().map(wire::log_id_to),
        entries: request.entries.iter().map(entry_codec::encode).collect(),
        committed: request.leader_commit.as_ref().map(wire::log_id_to),
    }
}

fn append_result(
    reply: pb::AppendReply,
    matched: Option<LogId>,
) -> Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
    match reply.result {
        Some(pb::append_reply::Result::Matched(found)) => {
            Ok(Ok(found.log_id.as_ref().map(wire::log_id_of).or(matched)))
        }
        Some(pb::append_reply::Result::Conflict(id)) => Ok(Err(StreamAppendError::Conflict(wire::log_id_of(&id)))),
        Some(pb::append_reply::Result::HigherVote(vote)) => {
            Ok(Err(StreamAppendError::HigherVote(wire::vote_of(&vote))))
        }
        None => Err(RPCError::Network(NetworkError::from_string("empty answer to entries"))),
    }
}

fn vote_to(request: &VoteRequest<TypeConfig>, header: pb::Header) -> pb::VoteRequest {
    pb::VoteRequest {
        header: Some(header),
        vote: Some(wire::vote_to(&request.vote)),
        last: request.last_log_id.as_ref().map(wire::log_id_to),
        leadership_transfer: request.leadership_transfer,
    }
}

fn vote_result(reply: pb::VoteReply) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
    let vote = wire::vote_required(&reply.vote).map_err(malformed)?;
    Ok(VoteResponse::new(vote, reply.last.as_ref().map(wire::log_id_of), reply.granted))
}
