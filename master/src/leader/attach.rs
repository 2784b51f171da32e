//! One worker's stream: hello, welcome, then heartbeats up and acknowledgements and assignments down.
//!
//! The session outlives the stream: a worker that comes back shows its session id and goes on, here or at the next
//! leader. A stream that ends without a goodbye is noted, and the worker's address is dialled to see if it is alive.

use std::{sync::Arc, time::Duration};

use dm_model::{SessionId, WorkerName, error::Chain};
use dm_proto::session::{
    self as wire, LeaderMessage, WorkerMessage, leader_message::Body as Down, rejected::Reason,
    worker_message::Body as Up,
};
use dm_state::{
    Command, Rejection, Reply, State,
    apply::session::Takeover,
    command::{CloseSession, OpenSession, RegisterWorker},
    scheduler::Redial,
};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::{Leading, assignments, now, reports, sessions::Stream};
use crate::{context::Context, error::Error};

/// Time for the first message of a stream.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// Heartbeats that the worker is asked for.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// Messages waiting to go down; acknowledgements are left out when it is full.
pub const OUTBOX: usize = 16;
/// Longest wait for a worker that does not read.
const SEND_LIMIT: Duration = Duration::from_secs(3);
/// Time for an answer when a worker is dialled after its stream broke.
const REDIAL_LIMIT: Duration = Duration::from_millis(500);
const REDIAL_PAUSE: Duration = Duration::from_millis(50);
/// As long as a broken stream is given before it counts by itself.
const REDIALS: u32 = 20;

pub type Outbox = mpsc::Sender<Result<LeaderMessage, Status>>;

/// How a conversation ended.
enum End {
    /// The worker said goodbye.
    Goodbye(String),
    /// Stream over, for whatever reason.
    Broken,
    /// The session is not alive any more.
    Expired,
    /// A newer stream carries the session, or this leadership is over.
    LetGo,
}

/// A refusal as the worker sees it.
pub fn rejected(context: &Context, reason: Reason, message: impl Into<String>) -> LeaderMessage {
    let rejected = wire::Rejected {
        reason: reason.into(),
        message: message.into(),
        leader_addr: context.cluster.leader().map(|leader| leader.api_addr).unwrap_or_default(),
        master_addrs: context.cluster.client_addresses(),
    };
    LeaderMessage { body: Some(Down::Rejected(rejected)) }
}

/// Serves a stream at the leader until it ends.
pub async fn serve(context: Context, leading: Arc<Leading>, mut inbox: Streaming<WorkerMessage>, outbox: Outbox) {
    let hello = match timeout(HELLO_LIMIT, inbox.message()).await {
        Ok(Ok(Some(WorkerMessage { body: Some(Up::Hello(hello)) }))) => hello,
        Ok(Ok(_)) => {
            let _ = outbox.send(Err(Status::invalid_argument("first message is not a hello"))).await;
            return;
        }
        Ok(Err(_)) | Err(_) => return,
    };
    let (session, worker) = match admit(&leading, &hello).await {
        Ok(admitted) => admitted,
        Err((reason, message)) => {
            info!(worker = hello.worker, reason = reason.as_str_name(), message, "session refused");
            context.metrics.session_rejected(reason.as_str_name());
            let _ = outbox.send(Ok(rejected(&context, reason, message))).await;
            return;
        }
    };
    let stream = leading.sessions.attach(session, now());
    info!(%worker, %session, addr = hello.advertise_addr, "worker attached");
    let end = converse(&context, &leading, &stream, &mut inbox, &outbox).await;
    finish(&context, &leading, &stream, &worker, &hello.advertise_addr, &outbox, end).await;
}

/// Decides on a hello and opens or continues the session.
async fn admit(leading: &Leading, hello: &wire::Hello) -> Result<(SessionId, WorkerName), (Reason, String)> {
    let not_ready = |error: Error| (Reason::NotReady, error.text());
    let worker = WorkerName::parse(hello.worker.clone()).map_err(|error| (Reason::NameTaken, error.to_string()))?;
    let state = leading.read().await.map_err(not_ready)?;
    let Some(cluster_id) = state.cluster_id() else {
        return Err((Reason::NotReady, "cluster is not bootstrapped".to_owned()));
    };
    if !hello.cluster_id.is_empty() && hello.cluster_id != cluster_id.as_str() {
        return Err((Reason::WrongCluster, format!("this is cluster {cluster_id}, not {}", hello.cluster_id)));
    }
    if hello.session_id != 0 {
        let session = SessionId(hello.session_id);
        return match state.session(session) {
            Some(known) if known.worker == worker && known.instance_uuid == hello.instance_uuid => {
                Ok((session, worker))
            }
            Some(_) | None => Err((Reason::SessionExpired, format!("session {session} is not alive"))),
        };
    }
    let register = RegisterWorker { name: worker.clone(), addr: hello.advertise_addr.clone() };
    if state.worker(&worker).is_none_or(|known| known.addr != hello.advertise_addr) {
        match leading.propose(Command::RegisterWorker(register)).await {
            Ok(_) => {}
            Err(Error::Rejected(rejection @ Rejection::WorkerExists { .. })) => {
                return Err((Reason::NameTaken, Error::Rejected(rejection).text()));
            }
            Err(error) => return Err(not_ready(error)),
        }
    }
    // The address was found equal, and a machine has one process per address: the old one is dead.
    let open = OpenSession {
        worker: worker.clone(),
        instance_uuid: hello.instance_uuid.clone(),
        addr: hello.advertise_addr.clone(),
        version: hello.version.clone(),
        takeover: Takeover::EndOther,
        keepalive_ms: u64::from(hello.keepalive_ttl_ms),
    };
    match leading.propose(Command::OpenSession(open)).await {
        Ok(done) => match done.reply {
            Reply::SessionOpened { session, opened } => {
                info!(%worker, %session, ?opened, "session opened");
                Ok((session, worker))
            }
            other => Err((Reason::NotReady, format!("unexpected reply {other:?}"))),
        },
        Err(error) => Err(not_ready(error)),
    }
}

async fn converse(
    context: &Context,
    leading: &Arc<Leading>,
    stream: &Stream,
    inbox: &mut Streaming<WorkerMessage>,
    outbox: &Outbox,
) -> End {
    let state = leading.cluster.local();
    if !send(outbox, welcome(context, leading, &state, stream.session)).await {
        return End::Broken;
    }
    let mut sent: Option<wire::Assignments> = None;
    stream.wake.notify_one();
    loop {
        tokio::select! {
            biased;
            () = leading.cancel.cancelled() => return End::LetGo,
            () = stream.wake.notified() => {
                if !leading.sessions.is_current(stream) && leading.cluster.local().session(stream.session).is_some() {
                    return End::LetGo;
                }
                let state = leading.cluster.local();
                if state.session(stream.session).is_none() {
                    return End::Expired;
                }
                let next = assignments::for_session(&state, stream.session);
                leading.sessions.told(&state, stream.session, next.revision);
                // the revision goes down even if nothing else is new: it shows what the worker has seen
                if sent.as_ref().is_none_or(|sent| *sent != next) {
                    let message = LeaderMessage { body: Some(Down::Assignments(next.clone())) };
                    if !send(outbox, message).await {
                        return End::Broken;
                    }
                    sent = Some(next);
                }
            }
            // cancel safe: a partly received message stays in the stream
            message = inbox.message() => match message {
                Ok(Some(WorkerMessage { body: Some(Up::Heartbeat(heartbeat)) })) => {
                    leading.sessions.heard(stream, now());
                    let ack = take_heartbeat(context, leading, stream.session, &heartbeat);
                    // a full outbox means older answers are still on their way
                    if let Err(mpsc::error::TrySendError::Closed(_)) = outbox.try_send(Ok(ack)) {
                        return End::Broken;
                    }
                }
                Ok(Some(WorkerMessage { body: Some(Up::Goodbye(goodbye)) })) => return End::Goodbye(goodbye.reason),
                Ok(Some(WorkerMessage { body: Some(Up::Hello(_)) | None })) => {
                    debug!(session = %stream.session, "message of an unknown kind");
                }
                Ok(None) => return End::Broken,
                Err(status) => {
                    debug!(session = %stream.session, %status, "stream ended");
                    return End::Broken;
                }
            },
        }
    }
}

/// Takes a heartbeat in without waiting for anything, and answers it.
fn take_heartbeat(
    context: &Context,
    leading: &Arc<Leading>,
    session: SessionId,
    heartbeat: &wire::Heartbeat,
) -> LeaderMessage {
    let state = leading.cluster.local();
    let reports = reports::parse(heartbeat);
    leading.statuses.take(session, heartbeat, &reports);
    for report in reports::progress(&state, &reports) {
        leading.progress.put(report);
    }
    let commands = {
        let told_to_drain = leading.sessions.told_to_drain();
        reports::commands(&state, session, heartbeat.revision, &reports, &told_to_drain)
    };
    if !commands.is_empty() {
        // beside the stream: a heartbeat must not wait for a disk
        let (context_, leading) = (context.clone(), Arc::clone(leading));
        context.tasks.spawn("heartbeat commands", async move {
            for command in commands {
                if let Err(error) = leading.propose(command).await {
                    context_.metrics.worker_event_failed();
                    debug!(%session, error = %Chain(&error), "a report's command failed, the next heartbeat repeats it");
                    return;
                }
            }
        });
    }
    let ack = wire::Ack {
        seq: heartbeat.seq,
        leader_id: leading.token.node,
        term: leading.token.term,
        quorum_lease_valid: leading.cluster.has_quorum_lease(),
        revision: state.applied().0,
        master_addrs: context.cluster.client_addresses(),
    };
    LeaderMessage { body: Some(Down::Ack(ack)) }
}

fn welcome(context: &Context, leading: &Leading, state: &State, session: SessionId) -> LeaderMessage {
    let ms = |millis: u64| u32::try_from(millis).unwrap_or(u32::MAX);
    let welcome = wire::Welcome {
        session_id: session.0,
        cluster_id: state.cluster_id().map(ToString::to_string).unwrap_or_default(),
        leader_id: leading.token.node,
        term: leading.token.term,
        leader_name: context.name.to_string(),
        ttl_ms: ms(context.session_ttl.0),
        heartbeat_ms: ms(u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX)),
        secret_key: context.secret_key.as_ref().map(|key| key.as_bytes().to_vec()).unwrap_or_default().into(),
        master_addrs: context.cluster.client_addresses(),
    };
    LeaderMessage { body: Some(Down::Welcome(welcome)) }
}

async fn finish(
    context: &Context,
    leading: &Arc<Leading>,
    stream: &Stream,
    worker: &WorkerName,
    addr: &str,
    outbox: &Outbox,
    end: End,
) {
    match end {
        End::Goodbye(reason) => {
            info!(%worker, session = %stream.session, reason, "worker left");
            if let Err(error) = leading.propose(Command::CloseSession(CloseSession { session: stream.session })).await {
                warn!(%worker, error = %Chain(&error), "cannot close the session, it will expire");
            }
            leading.statuses.forget_session(stream.session);
        }
        End::Expired => {
            info!(%worker, session = %stream.session, "session is over, telling the worker");
            send(outbox, rejected(context, Reason::SessionExpired, format!("session {} is over", stream.session)))
                .await;
            leading.statuses.forget_session(stream.session);
        }
        End::LetGo => debug!(%worker, session = %stream.session, "stream let go"),
        End::Broken => {
            if leading.sessions.broken(stream, now()) {
                info!(%worker, session = %stream.session, "stream broke, dialling the worker");
                let (leading, stream, addr) = (Arc::clone(leading), stream.clone(), addr.to_owned());
                context.tasks.spawn("redial", async move {
                    // A killed process may lose its stream before its listening port: one answer proves nothing.
                    for _ in 0..REDIALS {
                        let result = redial(&addr).await;
                        leading.sessions.redialled(&stream, result);
                        if result != Redial::Answered {
                            break;
                        }
                        sleep(REDIAL_PAUSE).await;
                    }
                });
            }
        }
    }
}

/// What a worker's address says: only a refused connection proves that the process is dead.
pub(super) async fn redial(addr: &str) -> Redial {
    match timeout(REDIAL_LIMIT, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => Redial::Answered,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Redial::Refused,
        Ok(Err(_)) | Err(_) => Redial::NoAnswer,
    }
}

async fn send(outbox: &Outbox, message: LeaderMessage) -> bool {
    matches!(timeout(SEND_LIMIT, outbox.send(Ok(message))).await, Ok(Ok(())))
}
