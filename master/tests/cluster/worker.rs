//! A worker that speaks the session and says of everything it is given that it runs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use dm_proto::{
    pb,
    session::{
        Assignment, Assignments, Goodbye, Heartbeat, Hello, Progress, SubtaskReport, WorkerMessage,
        leader_message::Body as Down, rejected::Reason, session_client::SessionClient, worker_message::Body as Up,
    },
};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(20);
const BEAT: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Seen {
    session: u64,
    leader: String,
    assignments: Vec<Assignments>,
    rejected: Option<String>,
}

pub(crate) struct Worker {
    seen: Arc<Mutex<Seen>>,
    leave: CancellationToken,
    done: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(name: &str, masters: Vec<String>) -> Self {
        // nobody listens there, so a broken stream is a dead process
        Self::start_at(name, "127.0.0.1:1", masters)
    }

    pub(crate) fn start_at(name: &str, addr: &str, masters: Vec<String>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let leave = CancellationToken::new();
        let hello = Hello {
            worker: name.to_owned(),
            instance_uuid: format!("{name}-{addr}"),
            advertise_addr: addr.to_owned(),
            ..Hello::default()
        };
        let done = tokio::spawn(run(hello, masters, Arc::clone(&seen), leave.clone()));
        Self { seen, leave, done }
    }

    pub(crate) fn session(&self) -> u64 {
        self.seen.lock().unwrap().session
    }

    async fn wait<T>(&self, look: impl Fn(&Seen) -> Option<T>) -> T {
        loop {
            if let Some(found) = look(&self.seen.lock().unwrap()) {
                return found;
            }
            sleep(LOOK).await;
        }
    }

    pub(crate) async fn wait_assigned(&self, task: &str, source: &str) -> Assignment {
        self.wait(|seen| {
            let subtasks = &seen.assignments.last()?.subtasks;
            subtasks.iter().find(|one| one.task == task && one.source == source).cloned()
        })
        .await
    }

    /// Sources it carries now.
    pub(crate) fn assigned(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let newest = seen.assignments.last();
        newest.map(|newest| newest.subtasks.iter().map(|one| one.source.clone()).collect()).unwrap_or_default()
    }

    pub(crate) async fn wait_welcomed(&self) {
        self.wait(|seen| (seen.session != 0).then_some(())).await;
    }

    pub(crate) async fn wait_welcomed_by(&self, leader: &str) {
        self.wait(|seen| (seen.leader == leader).then_some(())).await;
    }

    pub(crate) async fn wait_rejected(&self) -> String {
        self.wait(|seen| seen.rejected.clone()).await
    }

    /// Every epoch it was ever given for a subtask, in order.
    pub(crate) fn epochs_seen(&self, task: &str, source: &str) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        let mut epochs: Vec<u64> = seen
            .assignments
            .iter()
            .flat_map(|assignments| &assignments.subtasks)
            .filter(|one| one.task == task && one.source == source)
            .map(|one| one.epoch)
            .collect();
        epochs.dedup();
        epochs
    }

    /// Gone without a word, as a process that was killed.
    pub(crate) async fn vanish(self) {
        self.done.abort();
        let _ = self.done.await;
    }

    pub(crate) async fn leave(self) {
        self.leave.cancel();
        self.done.await.unwrap();
    }
}

async fn run(mut hello: Hello, masters: Vec<String>, seen: Arc<Mutex<Seen>>, leave: CancellationToken) {
    loop {
        for addr in &masters {
            if attach(&mut hello, addr, &seen, &leave).await {
                return;
            }
        }
        sleep(LOOK).await;
    }
}

/// True when it has said goodbye.
async fn attach(hello: &mut Hello, addr: &str, seen: &Mutex<Seen>, leave: &CancellationToken) -> bool {
    let Ok(mut client) = SessionClient::connect(format!("http://{addr}")).await else { return false };
    let (outbox, queue) = mpsc::channel(4);
    let up = |body| WorkerMessage { body: Some(body) };
    outbox.send(up(Up::Hello(hello.clone()))).await.unwrap();
    let Ok(stream) = client.attach(ReceiverStream::new(queue)).await else { return false };
    let mut stream = stream.into_inner();
    let mut beat = tokio::time::interval(BEAT);
    let mut seq = 0;
    loop {
        tokio::select! {
            message = stream.message() => match message.ok().flatten().and_then(|message| message.body) {
                Some(Down::Welcome(welcome)) => {
                    hello.session_id = welcome.session_id;
                    let mut seen = seen.lock().unwrap();
                    seen.session = welcome.session_id;
                    seen.leader = welcome.leader_name;
                }
                Some(Down::Assignments(assignments)) => seen.lock().unwrap().assignments.push(assignments),
                Some(Down::Rejected(rejected)) => {
                    if rejected.reason() == Reason::SessionExpired {
                        hello.session_id = 0;
                    }
                    if !matches!(rejected.reason(), Reason::NotLeader | Reason::NotReady) {
                        seen.lock().unwrap().rejected = Some(rejected.message);
                    }
                    return false;
                }
                Some(Down::Ack(_)) => {}
                None => return false,
            },
            _ = beat.tick() => {
                seq += 1;
                let heartbeat = heartbeat(seq, &seen.lock().unwrap());
                let _ = outbox.try_send(up(Up::Heartbeat(heartbeat)));
            }
            () = leave.cancelled() => {
                outbox.send(up(Up::Goodbye(Goodbye { reason: "drained".into() }))).await.unwrap();
                drop(outbox);
                while let Ok(Some(_)) = stream.message().await {}
                return true;
            }
        }
    }
}

fn heartbeat(seq: u64, seen: &Seen) -> Heartbeat {
    let Some(assignments) = seen.assignments.last() else { return Heartbeat { seq, ..Heartbeat::default() } };
    let report = |one: &Assignment| SubtaskReport {
        task: one.task.clone(),
        source: one.source.clone(),
        epoch: one.epoch,
        status: Some(pb::SubTaskStatus {
            name: one.task.clone(),
            stage: pb::Stage::Running.into(),
            unit: pb::UnitType::Sync.into(),
            ..pb::SubTaskStatus::default()
        }),
        progress: Some(Progress { low: seq, ..Progress::default() }),
        wanted_revision: one.wanted_revision,
        ..SubtaskReport::default()
    };
    Heartbeat {
        seq,
        revision: assignments.revision,
        subtasks: assignments.subtasks.iter().map(report).collect(),
        sources: Vec::new(),
    }
}
