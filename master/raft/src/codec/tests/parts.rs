//! A state's parts with every field of every record given. They need not make a state.

use std::collections::BTreeMap;

use dm_model::{ClusterId, Epoch, Incarnation, NodeId, Revision, SessionId, Stage, UnitKind, UnixMillis};
use dm_state::{
    ClientId, Rejection, Reply,
    record::{
        Chunks, Cluster, ConfigText, Master, Operator, OperatorId, Ownership, Placement, Progress, Session, Source,
        Subtask, Task, Wanted, Watermark, Worker,
    },
    reply::{Expired, Grant, Opened, TaskCreated},
    state::{Client, MetaValue, Parts},
};

use super::{
    Fill,
    commands::{actions, addresses, locations, master, places, source, start, subtask, task, worker},
};

pub(super) fn full(fill: &Fill) -> Parts {
    let text = || fill.text.clone();
    let revision = Revision(fill.number);
    let session = SessionId(fill.number);
    let time = UnixMillis(fill.number.cast_signed());
    let config = ConfigText::new(text());
    Parts {
        applied: revision,
        cluster: Cluster {
            id: Some(ClusterId(text())),
            version: 3,
            incarnation: Incarnation(fill.number),
            bootstrapped_at: time,
        },
        masters: vec![Master {
            name: master(1),
            node: NodeId(fill.number),
            store_uuid: Some(text()),
            addresses: addresses(fill),
        }],
        retired_stores: vec![text()],
        workers: vec![Worker { name: worker(1), addr: text(), registered: revision, session: Some(session) }],
        sessions: vec![Session {
            id: session,
            worker: worker(1),
            instance_uuid: text(),
            addr: text(),
            version: text(),
            opened_at: time,
            keepalive_ms: fill.number,
        }],
        sources: vec![Source {
            id: source(1),
            config: config.clone(),
            config_revision: revision,
            created_at: time,
            placement: Some(Placement { session, since: revision }),
            last_worker: Some(worker(1)),
            moving_to: Some(worker(2)),
        }],
        tasks: vec![Task { name: task(), config: config.clone(), config_revision: revision, created_at: time }],
        subtasks: Wanted::ALL.into_iter().map(|wanted| full_subtask(fill, wanted)).collect(),
        meta: vec![("key".into(), MetaValue { value: fill.bytes.clone(), revision })],
        clients: vec![Client {
            id: ClientId(text()),
            last_seen: revision,
            forgotten: fill.number,
            answers: (1..).zip(replies(fill)).collect(),
        }],
    }
}

fn full_subtask(fill: &Fill, wanted: Wanted) -> Subtask {
    let epoch = Epoch(fill.number);
    let [location, ..] = locations(fill);
    let operators =
        places(fill).into_iter().flat_map(|at| actions(fill).map(|action| Operator { at: at.clone(), action }));
    let operators: BTreeMap<_, _> = (1..).map(|id| OperatorId(Revision(id))).zip(operators).collect();
    Subtask {
        id: subtask(1),
        config: ConfigText::new(fill.text.clone()),
        config_revision: Revision(fill.number),
        wanted,
        wanted_revision: Revision(fill.number),
        owner: Some(Ownership { epoch, session: SessionId(fill.number) }),
        last_epoch: epoch,
        unfenced: Some(epoch),
        progress: Some(Progress {
            epoch,
            stage: Stage::Paused,
            unit: UnitKind::Load,
            low: Some(Watermark { unit: fill.number, location }),
            chunks: Chunks { done: fill.number, total: fill.number },
            reported_at: UnixMillis(fill.number.cast_signed()),
        }),
        finished: true,
        start: Some(start()),
        operators,
    }
}

fn replies(fill: &Fill) -> Vec<Reply> {
    let session = SessionId(fill.number);
    let id = OperatorId(Revision(fill.number));
    let granted = vec![Grant { subtask: subtask(1), epoch: Epoch(fill.number) }];
    let mut replies = vec![
        Reply::Done,
        Reply::MasterRegistered(NodeId(fill.number)),
        Reply::SessionOpened { session, opened: Opened::New },
        Reply::SessionOpened { session, opened: Opened::Resumed },
        Reply::Assigned(granted.clone()),
        Reply::Expired(Expired { sessions: vec![session], granted: granted.clone(), not_placed: vec![source(1)] }),
        Reply::TaskCreated(TaskCreated { created: vec![subtask(1)], existed: vec![subtask(2)], granted }),
        Reply::SubtasksDeleted(vec![subtask(1)]),
        Reply::ProgressTaken { n_taken: fill.number, n_ignored: fill.number },
        Reply::OperatorPut(id),
        Reply::OperatorsRemoved(vec![id]),
    ];
    replies.extend(rejections(fill).into_iter().map(Reply::Rejected));
    replies
}

pub(super) fn rejections(fill: &Fill) -> Vec<Rejection> {
    let text = || fill.text.clone();
    let number = fill.number;
    let (index, applied, session) = (Revision(number), Revision(number), SessionId(number));
    let (expected, present) = (Revision(number), Revision(8));
    let store_uuid = text();
    let source_id = source(1);
    let sources = vec![source(1), source(2)];
    vec![
        Rejection::IndexNotAbove { index, applied },
        Rejection::NotBootstrapped,
        Rejection::AlreadyBootstrapped { cluster_id: ClusterId(text()) },
        Rejection::ClusterVersionFalls { asked: 1, present: 2 },
        Rejection::ClusterVersionTooLow { needed: 3, present: 2 },
        Rejection::IncarnationsUsedUp,
        Rejection::MasterStoreDiffers { name: master(1), known: text(), shown: text() },
        Rejection::MasterStoreRetired { store_uuid: store_uuid.clone() },
        Rejection::MasterStoreTaken { store_uuid, name: master(1) },
        Rejection::MasterUnknown { name: master(1) },
        Rejection::MasterIsLast { name: master(1) },
        Rejection::WorkerExists { name: worker(1), addr: text() },
        Rejection::WorkerUnknown { name: worker(1) },
        Rejection::WorkerOnline { name: worker(1) },
        Rejection::SessionOfOtherInstance { worker: worker(1), session },
        Rejection::SessionNotLive { session },
        Rejection::SourceExists { source_id: source_id.clone() },
        Rejection::SourceUnknown { source_id: source_id.clone() },
        Rejection::SourceChanged { source_id: source_id.clone(), expected, present },
        Rejection::SourceHasTasks { source_id: source_id.clone(), tasks: vec![task()] },
        Rejection::SourcesNotBound { sources: sources.clone() },
        Rejection::PlacementChanged { source_id: source_id.clone(), present: Some(session) },
        Rejection::SourceNotPlaced { source_id },
        Rejection::SubtasksExist { task: task(), sources: sources.clone() },
        Rejection::TaskUnknown { task: task() },
        Rejection::SubtasksUnknown { task: task(), sources: sources.clone() },
        Rejection::NoSources { task: task() },
        Rejection::TaskRunning { task: task(), sources },
        Rejection::TaskChanged { task: task(), expected, present },
        Rejection::EpochNotPresent { subtask: subtask(1), shown: Epoch(number), present: Some(Epoch(9)) },
        Rejection::NoOperator { subtask: subtask(1) },
        Rejection::OperatorWithoutStatement { subtask: subtask(1) },
        Rejection::MetaDiffers { present: Some(present) },
        Rejection::TooLarge { what: text(), n_bytes: number, max_bytes: number },
        Rejection::TooMany { what: text(), present: number },
        Rejection::RequestForgotten { client: text(), seq: number },
    ]
}
