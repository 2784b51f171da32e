//! The gRPC services of a master: any master takes any request, the leader carries it out.
//!
//! A request that cannot be carried out because nobody leads is refused with a coded status, except reads of status,
//! which are answered from this master's own state and say so. Everything a handler refuses comes back as DM's coded
//! text in the response.

pub mod binlog;
pub mod config;
pub mod encrypt;
pub mod leader;
pub mod member;
pub mod meta;
pub mod session;
pub mod source;
pub mod start_task;
pub mod status;
pub mod task;
pub mod wait;

use std::{sync::Arc, time::Duration};

use dm_proto::{
    meta::{meta_client::MetaClient, meta_server::MetaServer},
    pb::{self, master_client::MasterClient, master_server::MasterServer},
    session::session_server::SessionServer,
};
use dm_state::State;
use prost::Message;
use tonic::{
    Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
    service::Routes,
    transport::Channel,
};

use crate::{
    context::Context,
    error::Error,
    forward::{self, FORWARDED, LEADER_WAIT, Route},
    leader::Leading,
};

/// The largest request. Configs are kept in the log, whose entries are limited to the same.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// All services of a master as one router.
pub fn routes(context: &Context) -> axum::Router {
    let service = Service { context: context.clone() };
    let master = MasterServer::new(service.clone())
        .max_decoding_message_size(2 * MAX_REQUEST_BYTES)
        .max_encoding_message_size(dm_proto::MAX_MESSAGE_BYTES);
    let meta = MetaServer::new(service.clone()).max_decoding_message_size(2 * MAX_REQUEST_BYTES);
    let session = SessionServer::new(service)
        .max_decoding_message_size(dm_proto::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(dm_proto::MAX_MESSAGE_BYTES);
    Routes::new(master).add_service(meta).add_service(session).into_axum_router()
}

/// A request that reads is answered within a second: after this long, from what this master knows by itself.
const READ_LIMIT: Duration = Duration::from_millis(600);

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) context: Context,
}

/// Where a reading request gets its state from.
pub(crate) enum View {
    /// The leader's, holding everything committed before the request.
    Fresh { state: State, leading: Arc<Leading> },
    /// This master's own; `note` says since when it may be old. `leading`: it leads, as far as it knows.
    Stale { state: State, note: String, leading: Option<Arc<Leading>> },
}

impl View {
    pub(crate) fn state(&self) -> &State {
        match self {
            Self::Fresh { state, .. } | Self::Stale { state, .. } => state,
        }
    }

    pub(crate) fn note(&self) -> String {
        match self {
            Self::Fresh { .. } => String::new(),
            Self::Stale { note, .. } => note.clone(),
        }
    }

    pub(crate) fn leading(&self) -> Option<&Arc<Leading>> {
        match self {
            Self::Fresh { leading, .. } => Some(leading),
            Self::Stale { leading, .. } => leading.as_ref(),
        }
    }
}

/// How a request that reads comes by its answer.
enum Found<T> {
    View(View),
    /// The leader's.
    Answer(Result<Response<T>, Status>),
}

pub(crate) fn check_size(request: &impl Message) -> Result<(), Status> {
    let n_bytes = request.encoded_len();
    if n_bytes > MAX_REQUEST_BYTES {
        return Err(Error::RequestTooLarge { n_bytes, max_bytes: MAX_REQUEST_BYTES }.status());
    }
    Ok(())
}

/// The leader is gone, or is none any more.
fn is_unreachable(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::FailedPrecondition)
}

fn no_leader() -> Status {
    Error::NoLeader { waited_ms: u64::try_from(LEADER_WAIT.as_millis()).unwrap_or(u64::MAX) }.status()
}

/// A request marked as passed on.
pub(crate) fn marked<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
    request
}

impl Service {
    pub(crate) async fn route(&self, metadata: &MetadataMap) -> Result<Route, Status> {
        forward::route(&self.context, forward::was_forwarded(metadata)).await.map_err(|error| error.status())
    }

    pub(crate) fn master_at(&self, addr: &str) -> Result<MasterClient<Channel>, Status> {
        let channel = self.context.channel(addr).map_err(|error| error.status())?;
        Ok(MasterClient::new(channel).max_decoding_message_size(dm_proto::MAX_MESSAGE_BYTES))
    }

    pub(crate) fn meta_at(&self, addr: &str) -> Result<MetaClient<Channel>, Status> {
        Ok(MetaClient::new(self.context.channel(addr).map_err(|error| error.status())?))
    }

    async fn fresh(&self, leading: Arc<Leading>) -> View {
        match leading.read().await {
            Ok(state) => View::Fresh { state, leading },
            Err(_) => self.stale(dm_runtime::clock::wall()),
        }
    }

    /// The last resort of a request that reads: what this master knows by itself.

    fn stale(&self, since: dm_model::UnixMillis) -> View {
        let note = format!(
            "no leader can be reached since {} ms ago: this is what {} knew then, it may be stale",
            dm_runtime::clock::wall().0.saturating_sub(since.0),
            self.context.name
        );
        let leading = self.context.leading.borrow().clone();
        View::Stale { state: self.context.cluster.local(), note, leading }
    }
}

/// A request that changes something: at the leader or not at all.
macro_rules! write {
    ($self:ident, $request:ident, $method:ident, $handler:path) => {{
        let (metadata, _, request) = $request.into_parts();
        check_size(&request)?;
        match $self.route(&metadata).await? {
            Route::Here(leading) => {
                // not in the request's own future: what was begun is brought to its end when the client goes away
                let context = $self.context.clone();
                let work = async move { $handler(&context, &leading, request).await };
                match $self.context.tasks.spawn(stringify!($method), work).await {
                    Ok(response) => Ok(Response::new(response)),
                    Err(error) => Err(Error::Fatal { reason: error.to_string() }.status()),
                }
            }
            Route::There(leader) => $self.master_at(&leader.api_addr)?.$method(marked(request)).await,
            Route::Nowhere { .. } => Err(no_leader()),
        }
    }};
}

/// A request that only reads: from the leader, or from here when nobody leads.
macro_rules! read {
    ($self:ident, $request:ident, $method:ident, $handler:path) => {{
        let (metadata, _, request) = $request.into_parts();
        check_size(&request)?;
        let asked = dm_runtime::clock::wall();
        let found = async {
            Ok::<_, Status>(match $self.route(&metadata).await? {
                Route::Here(leading) => Found::View($self.fresh(leading).await),
                Route::There(leader) => {
                    let mut client = $self.master_at(&leader.api_addr)?;
                    match client.$method(marked(request.clone())).await {
                        Err(status) if is_unreachable(&status) => Found::View($self.stale(asked)),
                        answer => Found::Answer(answer),
                    }
                }
                Route::Nowhere { since } => Found::View($self.stale(since)),
            })
        };
        let view = match tokio::time::timeout(READ_LIMIT, found).await {
            Ok(Ok(Found::View(view))) => view,
            Ok(Ok(Found::Answer(answer))) => return answer,
            Ok(Err(status)) => return Err(status),
            Err(_) => $self.stale(asked.min(forward::leaderless_since(&$self.context.cluster.leadership().borrow()))),
        };
        Ok(Response::new($handler(&$self.context, &view, request)))
    }};
}

#[tonic::async_trait]
impl pb::master_server::Master for Service {
    async fn start_task(
        &self,
        request: Request<pb::StartTaskRequest>,
    ) -> Result<Response<pb::StartTaskResponse>, Status> {
        write!(self, request, start_task, start_task::start)
    }

    async fn operate_task(
        &self,
        request: Request<pb::OperateTaskRequest>,
    ) -> Result<Response<pb::OperateTaskResponse>, Status> {
        write!(self, request, operate_task, task::operate)
    }

    async fn query_status(
        &self,
        request: Request<pb::QueryStatusListRequest>,
    ) -> Result<Response<pb::QueryStatusListResponse>, Status> {
        read!(self, request, query_status, status::query)
    }

    async fn check_task(
        &self,
        request: Request<pb::CheckTaskRequest>,
    ) -> Result<Response<pb::CheckTaskResponse>, Status> {
        write!(self, request, check_task, start_task::check)
    }

    async fn operate_source(
        &self,
        request: Request<pb::OperateSourceRequest>,
    ) -> Result<Response<pb::OperateSourceResponse>, Status> {
        if request.get_ref().op() == pb::SourceOp::ShowSource {
            return read!(self, request, operate_source, source::show);
        }
        write!(self, request, operate_source, source::operate)
    }

    async fn offline_member(
        &self,
        request: Request<pb::OfflineMemberRequest>,
    ) -> Result<Response<pb::OfflineMemberResponse>, Status> {
        write!(self, request, offline_member, member::offline)
    }

    async fn list_member(
        &self,
        request: Request<pb::ListMemberRequest>,
    ) -> Result<Response<pb::ListMemberResponse>, Status> {
        read!(self, request, list_member, member::list)
    }

    async fn get_cfg(&self, request: Request<pb::GetCfgRequest>) -> Result<Response<pb::GetCfgResponse>, Status> {
        read!(self, request, get_cfg, config::get)
    }

    async fn handle_error(
        &self,
        request: Request<pb::HandleErrorRequest>,
    ) -> Result<Response<pb::HandleErrorResponse>, Status> {
        write!(self, request, handle_error, binlog::handle)
    }

    async fn encrypt(&self, request: Request<pb::EncryptRequest>) -> Result<Response<pb::EncryptResponse>, Status> {
        check_size(request.get_ref())?;
        Ok(Response::new(encrypt::encrypt(&self.context, &request.into_inner())))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        write!(self, request, transfer_leader, leader::transfer)
    }

    async fn operate_leader(
        &self,
        mut request: Request<pb::OperateLeaderRequest>,
    ) -> Result<Response<pb::OperateLeaderResponse>, Status> {
        if request.get_ref().name.is_empty() {
            request.get_mut().name = self.context.name.to_string();
        }
        write!(self, request, operate_leader, leader::operate)
    }
}
