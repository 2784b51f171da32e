//! The one stream to the leader: heartbeats and reports up, wishes down.
//!
//! Owns the session id. A lost stream is redialled at every known master until a leader answers; meanwhile everything
//! goes on running, for the fence in the target is what keeps two workers apart, not this stream. A session that the
//! leader declares expired ends every subtask of it. Ends with an error only when a person must act: the name is taken,
//! the cluster is another one, the worker was retired.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dm_model::{ClusterId, WorkerName};
use dm_proto::session::{
    self as wire, WorkerMessage, leader_message::Body, rejected::Reason, session_client::SessionClient,
    worker_message::Body as Up,
};
use dm_runtime::{
    Shutdown,
    channel::{self, Dialer},
    clock,
    tls::Tls,
    version,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{debug, info, warn};

use crate::{
    assignment::{self, Assignments},
    metrics::{Operation, ProcessMetrics},
    status::Board,
};

/// Longest wait for a dial or for the first answer on a stream: masters are near.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Shortest pause between rounds of dialling; grows to [`REDIAL_MAX`].
const REDIAL_MIN: Duration = Duration::from_millis(50);
const REDIAL_MAX: Duration = Duration::from_millis(500);
/// Messages waiting to go up. Heartbeats replace each other, so a few are enough.
const OUTBOX: usize = 4;
/// How long a refused name is asked for again before the process gives up: an earlier life of this worker may have to
/// expire first.
const NAME_PATIENCE: Duration = Duration::from_secs(30);

/// Who this worker is.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: WorkerName,
    pub instance_uuid: String,
    pub advertise_addr: String,
    /// How long this worker may be silent before the leader gives its sources to others.
    pub keepalive_ttl: Duration,
}

/// Why the session cannot go on without a person.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("another worker is alive under the name `{name}`: {message}")]
    NameTaken { name: WorkerName, message: String },
    #[error("the masters belong to another cluster: {message}")]
    WrongCluster { message: String },
    #[error("worker `{name}` was taken offline by an operator: {message}")]
    Retired { name: WorkerName, message: String },
}

/// The session service. `run` owns it; the supervisor watches [`Service::wishes`].
#[derive(Debug)]
pub struct Service {
    identity: Identity,
    masters: Vec<String>,
    dialer: Dialer,
    leader_hint: Option<String>,
    board: Board,
    metrics: Arc<ProcessMetrics>,
    session_id: u64,
    cluster_id: Option<ClusterId>,
    secret_key: Vec<u8>,
    wishes: watch::Sender<Option<Assignments>>,
    name_refused_since: Option<Instant>,
    /// Stop all subtasks after this long without a leader; `None` leaves safety to the fence alone.
    self_fence_after: Option<Duration>,
    last_contact: Instant,
}

/// How one stream ended.
enum End {
    /// Dial again.
    Lost,
    /// We said goodbye.
    Left,
    Fatal(Error),
}

impl Service {
    pub fn new(
        identity: Identity,
        masters: Vec<String>,
        tls: Option<Tls>,
        board: Board,
        metrics: Arc<ProcessMetrics>,
        self_fence_after: Option<Duration>,
    ) -> Self {
        Self {
            identity,
            masters,
            dialer: Dialer::new(channel::Limits { connect: ANSWER_LIMIT, ..channel::Limits::default() }, tls),
            leader_hint: None,
            board,
            metrics,
            session_id: 0,
            cluster_id: None,
            secret_key: Vec::new(),
            wishes: watch::Sender::new(None),
            name_refused_since: None,
            self_fence_after,
            last_contact: Instant::now(),
        }
    }

    /// What the leader wants, newest only; `None` until the first welcome.
    pub fn wishes(&self) -> watch::Receiver<Option<Assignments>> {
        self.wishes.subscribe()
    }

    /// Keeps a stream until `leave` resolves (all subtasks are drained), then says goodbye.
    ///
    /// # Errors
    /// A person must act; see [`Error`].
    pub async fn run(mut self, leave: impl Future<Output = ()>, shutdown: Shutdown) -> Result<(), Error> {
        let mut leave = std::pin::pin!(leave);
        let mut pause = REDIAL_MIN;
        loop {
            self.self_fence();
            for addr in self.candidates() {
                let attached = tokio::select! {
                    biased;
                    () = shutdown.kill.cancelled() => return Ok(()),
                    () = &mut leave => return Ok(()),
                    attached = self.attach(&addr) => attached,
                };
                let Some((outbox, stream)) = attached? else { continue };
                pause = REDIAL_MIN;
                self.leader_hint = Some(addr);
                match self.converse(outbox, stream, &mut leave, &shutdown).await {
                    End::Lost => break,
                    End::Left => return Ok(()),
                    End::Fatal(error) => return Err(error),
                }
            }
            tokio::select! {
                () = shutdown.kill.cancelled() => return Ok(()),
                () = &mut leave => return Ok(()),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(REDIAL_MAX);
        }
    }

    /// The last known leader first, then every master.
    fn candidates(&self) -> Vec<String> {
        let mut all: Vec<String> = self.leader_hint.iter().cloned().collect();
        all.extend(self.masters.iter().filter(|addr| Some(*addr) != self.leader_hint.as_ref()).cloned());
        all
    }

    fn learn_masters(&mut self, addrs: Vec<String>) {
        if !addrs.is_empty() && addrs != self.masters {
            debug!(?addrs, "masters changed");
            self.masters = addrs;
        }
    }

    /// One try at one master. `None`: try the next.
    #[allow(clippy::type_complexity)]
    async fn attach(
        &mut self,
        addr: &str,
    ) -> Result<Option<(mpsc::Sender<WorkerMessage>, Streaming<wire::LeaderMessage>)>, Error> {
        let channel = match timeout(ANSWER_LIMIT, self.dialer.connect(addr)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => {
                debug!(addr, error = %dm_model::error::Chain(&error), "master does not answer");
                return Ok(None);
            }
            Err(_) => {
                debug!(addr, "master does not answer");
                return Ok(None);
            }
        };
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let hello = wire::Hello {
            worker: self.identity.name.to_string(),
            instance_uuid: self.identity.instance_uuid.clone(),
            advertise_addr: self.identity.advertise_addr.clone(),
            version: version::VERSION.to_owned(),
            session_id: self.session_id,
            cluster_id: self.cluster_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            keepalive_ttl_ms: u32::try_from(self.identity.keepalive_ttl.as_millis()).unwrap_or(u32::MAX),
        };
        if outbox.send(WorkerMessage { body: Some(Up::Hello(hello)) }).await.is_err() {
            return Ok(None);
        }
        let mut client = SessionClient::new(channel)
            .max_decoding_message_size(dm_proto::MAX_MESSAGE_BYTES)
            .max_encoding_message_size(dm_proto::MAX_MESSAGE_BYTES);
        let answer = timeout(ANSWER_LIMIT, async {
            let mut stream = client.attach(ReceiverStream::new(queue)).await?.into_inner();
            let first = stream.message().await?;
            Ok::<_, tonic::Status>((first, stream))
        });
        let (first, stream) = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => {
                debug!(addr, %status, "attach failed");
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        match first.and_then(|message| message.body) {
            Some(Body::Welcome(welcome)) => {
                self.on_welcome(welcome);
                Ok(Some((outbox, stream)))
            }
            Some(Body::Rejected(rejected)) => self.on_rejected(addr, rejected).map(|()| None),
            Some(Body::Ack(_) | Body::Assignments(_)) | None => Ok(None),
        }
    }

    fn on_welcome(&mut self, welcome: wire::Welcome) {
        if self.session_id != welcome.session_id {
            info!(session = welcome.session_id, leader = %welcome.leader_name, term = welcome.term, "session opened");
        } else {
            info!(session = welcome.session_id, leader = %welcome.leader_name, term = welcome.term, "session continued");
        }
        self.session_id = welcome.session_id;
        self.cluster_id = Some(ClusterId(welcome.cluster_id));
        self.secret_key = welcome.secret_key.to_vec();
        self.name_refused_since = None;
        self.learn_masters(welcome.master_addrs);
    }

    fn on_rejected(&mut self, addr: &str, rejected: wire::Rejected) -> Result<(), Error> {
        let message = rejected.message;
        self.learn_masters(rejected.master_addrs);
        match Reason::try_from(rejected.reason).unwrap_or(Reason::Unspecified) {
            Reason::NotLeader => {
                self.leader_hint = Some(rejected.leader_addr).filter(|addr| !addr.is_empty());
            }
            Reason::NotReady | Reason::Unspecified => debug!(addr, %message, "master is not ready"),
            Reason::SessionExpired => self.on_expired(&message),
            Reason::NameTaken => {
                let since = *self.name_refused_since.get_or_insert_with(Instant::now);
                warn!(addr, %message, "the name of this worker is taken");
                if since.elapsed() > NAME_PATIENCE {
                    return Err(Error::NameTaken { name: self.identity.name.clone(), message });
                }
            }
            Reason::WrongCluster => return Err(Error::WrongCluster { message }),
            Reason::Retired => return Err(Error::Retired { name: self.identity.name.clone(), message }),
        }
        Ok(())
    }

    /// The leader has given our subtasks to others: end them all and come back as a new session.
    fn on_expired(&mut self, message: &str) {
        warn!(session = self.session_id, message, "session expired, ending its subtasks");
        self.session_id = 0;
        self.wishes.send_modify(|wishes| {
            if let Some(wishes) = wishes {
                wishes.subtasks = BTreeMap::new();
                wishes.revision = 0;
            }
        });
    }

    /// With `self-fence-after`: ends every subtask when no leader was heard for that long.
    fn self_fence(&mut self) {
        let Some(limit) = self.self_fence_after else { return };
        if self.last_contact.elapsed() <= limit {
            return;
        }
        self.wishes.send_if_modified(|wishes| match wishes {
            Some(wishes) if !wishes.subtasks.is_empty() => {
                warn!(?limit, "no leader was heard for too long, ending all subtasks");
                wishes.subtasks = BTreeMap::new();
                // the same assignments, sent again, count as news
                wishes.revision = 0;
                true
            }
            Some(_) | None => false,
        });
    }

    /// Speaks on an open stream until it is lost or this worker leaves.
    async fn converse(
        &mut self,
        outbox: mpsc::Sender<WorkerMessage>,
        mut stream: Streaming<wire::LeaderMessage>,
        leave: &mut (impl Future<Output = ()> + Unpin),
        shutdown: &Shutdown,
    ) -> End {
        let mut seq = 0;
        let mut beat = interval(Duration::from_millis(500));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A leader that neither answers heartbeats nor closes the stream is as good as gone.
        let silence_limit = Duration::from_secs(3);
        let mut last_heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = shutdown.kill.cancelled() => return End::Left,
                () = &mut *leave => {
                    let goodbye = WorkerMessage { body: Some(Up::Goodbye(wire::Goodbye { reason: "drained".into() })) };
                    let _ = timeout(ANSWER_LIMIT, async {
                        // the last reports first, so that nothing drained has to be read again
                        let _ = outbox.send(self.heartbeat(seq + 1)).await;
                        let _ = outbox.send(goodbye).await;
                        drop(outbox);
                        while let Ok(Some(_)) = stream.message().await {}
                    })
                    .await;
                    return End::Left;
                }
                // `message` is cancel safe: a partly received message stays in the stream
                message = stream.message() => match message {
                    Ok(Some(message)) => {
                        last_heard = Instant::now();
                        match message.body {
                            Some(Body::Ack(ack)) => {
                                // an ex-leader cut off from its quorum must not keep a worker content
                                if ack.quorum_lease_valid {
                                    self.last_contact = Instant::now();
                                }
                                self.learn_masters(ack.master_addrs);
                            }
                            Some(Body::Assignments(assignments)) => self.on_assignments(assignments),
                            Some(Body::Rejected(rejected)) => {
                                return match self.on_rejected("leader", rejected) {
                                    Ok(()) => End::Lost,
                                    Err(error) => End::Fatal(error),
                                };
                            }
                            Some(Body::Welcome(_)) | None => {}
                        }
                    }
                    Ok(None) => { info!("the leader closed the stream"); return End::Lost; }
                    Err(status) => { info!(%status, "the stream to the leader broke"); return End::Lost; }
                },
                () = self.board.announced() => {
                    seq += 1;
                    if outbox.try_send(self.heartbeat(seq)).is_err() { debug!("outbox is full, the next heartbeat tells"); }
                }
                _ = beat.tick() => {
                    self.self_fence();
                    if last_heard.elapsed() > silence_limit {
                        info!("the leader is silent");
                        return End::Lost;
                    }
                    seq += 1;
                    crate::fail_point::pass("report");
                    if outbox.try_send(self.heartbeat(seq)).is_err() { debug!("outbox is full, heartbeat left out"); }
                    crate::fail_point::pass("reported");
                }
            }
        }
    }

    fn heartbeat(&self, seq: u64) -> WorkerMessage {
        let revision = self.wishes.borrow().as_ref().map_or(0, |wishes| wishes.revision);
        let (subtasks, sources) = (self.board.reports(clock::wall()), self.board.source_reports());
        let heartbeat = wire::Heartbeat { seq, revision, subtasks, sources };
        WorkerMessage { body: Some(Up::Heartbeat(heartbeat)) }
    }

    fn on_assignments(&mut self, wire: wire::Assignments) {
        let Some(cluster_id) = self.cluster_id.clone() else { return };
        let mut subtasks = BTreeMap::new();
        for one in wire.subtasks {
            match assignment::parse(one) {
                Ok((id, assignment)) => {
                    subtasks.insert(id, assignment);
                }
                Err(error) => {
                    self.metrics.failed(Operation::BeforeAnyOp);
                    warn!(%error, "an assignment is not understood and not acted on");
                }
            }
        }
        let next = Assignments { revision: wire.revision, cluster_id, secret_key: self.secret_key.clone(), subtasks };
        self.wishes.send_if_modified(|old| {
            let newer = old.as_ref().is_none_or(|old| old.revision <= next.revision && *old != next);
            if newer {
                *old = Some(next);
            }
            newer
        });
    }
}
