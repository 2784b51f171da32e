//! Examples of every kind of command: one with every field given, and one per choice inside it. In an order in which
//! most of them are carried out.

use dm_model::{
    BinlogPosition, ClusterId, Epoch, Flavor, GtidSet, Incarnation, Location, MasterName, Revision, SessionId,
    SourceId, Stage, SubtaskId, TaskName, UnitKind, WorkerName,
};
use dm_state::{
    Command,
    apply::{
        member::{Founder, RestoredTasks},
        session::Takeover,
    },
    command::*,
    record::{
        Chunks, ConfigText, MasterAddresses, OperatorAction, OperatorAt, OperatorId, StartArguments, Wanted, Watermark,
    },
};

use super::Fill;

pub(super) fn source(n: u32) -> SourceId {
    SourceId::parse(format!("source-{n}")).unwrap()
}

pub(super) fn task() -> TaskName {
    TaskName::parse("task é").unwrap()
}

pub(super) fn worker(n: u32) -> WorkerName {
    WorkerName::parse(format!("worker-{n}")).unwrap()
}

pub(super) fn master(n: u32) -> MasterName {
    MasterName::parse(format!("master-{n}")).unwrap()
}

pub(super) fn subtask(n: u32) -> SubtaskId {
    SubtaskId::new(task(), source(n))
}

pub(super) fn addresses(fill: &Fill) -> MasterAddresses {
    MasterAddresses { peer: fill.text.clone(), client: "client".into() }
}

pub(super) fn start() -> StartArguments {
    StartArguments { start_time: Some("2026-01-02 03:04:05".into()), safe_mode_duration: Some("1s".into()) }
}

pub(super) fn locations(fill: &Fill) -> [Location; 3] {
    let position = BinlogPosition::new(fill.text.clone(), fill.number);
    let mysql = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7:tag:1-3,4e11fa47-71ca-11e1-9e33-c80aa9429562:9";
    let [mysql, mariadb] = [(Flavor::MySql, mysql), (Flavor::MariaDb, "0-1-5,7-2-9")]
        .map(|(flavor, text)| Some(GtidSet::parse(flavor, text).unwrap()));
    [mysql, mariadb, None].map(|gtid| Location::new(position.clone(), gtid))
}

pub(super) fn places(fill: &Fill) -> [OperatorAt; 2] {
    [OperatorAt::Position(BinlogPosition::new(fill.text.clone(), fill.number)), OperatorAt::CurrentError]
}

pub(super) fn actions(fill: &Fill) -> [OperatorAction; 3] {
    let texts = vec![fill.text.clone(), "alter table t".into()];
    [OperatorAction::Replace(texts.clone()), OperatorAction::Inject(texts), OperatorAction::Skip]
}

pub(super) fn examples(fill: &Fill) -> Vec<Command> {
    let text = || fill.text.clone();
    let config = || ConfigText::new(text());
    let session = SessionId(fill.number);
    let epoch = Epoch::new(Incarnation(1), Revision(3));
    let founder = |n| Founder { name: master(n), addresses: addresses(fill) };
    let mut all = vec![
        Command::Bootstrap(Bootstrap { cluster_id: ClusterId("c".into()), founders: vec![founder(1), founder(2)] }),
        Command::SetClusterVersion(SetClusterVersion { version: 1 }),
        Command::RegisterMaster(RegisterMaster {
            name: master(1),
            store_uuid: "store".into(),
            addresses: addresses(fill),
        }),
        Command::RegisterWorker(RegisterWorker { name: worker(1), addr: text() }),
    ];
    for takeover in [Takeover::Refuse, Takeover::EndOther] {
        let (instance_uuid, addr, version) = ("i".into(), text(), text());
        let keepalive_ms = if takeover == Takeover::Refuse { 0 } else { fill.number };
        let open = OpenSession { worker: worker(1), instance_uuid, addr, version, takeover, keepalive_ms };
        all.push(Command::OpenSession(open));
    }
    for expect in [Expect::Absent, Expect::Present, Expect::Any, Expect::ChangedAt(Revision(7))] {
        all.push(Command::PutSource(PutSource { source: source(1), config: config(), expect }));
    }
    all.push(Command::PutSource(PutSource { source: source(2), config: config(), expect: Expect::Any }));
    for expect in [None, Some(session)] {
        all.push(Command::Assign(Assign { source: source(1), session: SessionId(5), expect }));
    }
    let subtasks = vec![
        NewSubtask { source: source(1), start: Some(start()) },
        NewSubtask { source: source(2), start: Some(start()) },
    ];
    all.push(Command::CreateTask(CreateTask { task: task(), config: config(), subtasks, wanted: Wanted::Running }));
    let subtasks = vec![
        NewSubtask { source: source(1), start: None },
        NewSubtask { source: source(2), start: Some(StartArguments::default()) },
    ];
    all.push(Command::CreateTask(CreateTask { task: task(), config: config(), subtasks, wanted: Wanted::Paused }));
    for wanted in Wanted::ALL {
        all.push(Command::SetWanted(SetWanted { task: task(), sources: vec![source(1), source(2)], wanted }));
    }
    for expect in [None, Some(Revision(fill.number))] {
        all.push(Command::UpdateTask(UpdateTask { task: task(), config: config(), expect }));
    }
    all.push(Command::ReportProgress(ReportProgress { reports: reports(fill, epoch) }));
    for at in places(fill) {
        for action in actions(fill) {
            all.push(Command::PutOperator(PutOperator { subtask: subtask(1), at: at.clone(), action }));
        }
        let selection = Selection::At(at);
        all.push(Command::RemoveOperators(RemoveOperators { subtask: subtask(2), selection }));
    }
    let from = BinlogPosition::new("mysql-bin.000001", fill.number);
    for selection in [Selection::From(from), Selection::All] {
        all.push(Command::RemoveOperators(RemoveOperators { subtask: subtask(2), selection }));
    }
    let ids = vec![OperatorId(Revision(fill.number)), OperatorId(Revision(1))];
    all.push(Command::ConsumeOperators(ConsumeOperators { subtask: subtask(1), epoch, ids }));
    all.push(Command::ClearStartTime(ClearStartTime { subtask: subtask(1), epoch }));
    for to in [Some(worker(1)), None] {
        all.push(Command::BeginMove(BeginMove { source: source(1), to }));
    }
    all.push(Command::Release(Release { subtask: subtask(2), epoch }));
    all.push(Command::FenceOff(FenceOff { subtasks: vec![subtask(2)] }));
    all.push(Command::ConfirmFence(ConfirmFence { subtask: subtask(2), epoch }));
    for expect in [Some(fill.bytes.clone()), None, Some(Vec::new())] {
        all.push(Command::CasMeta(CasMeta { key: "cas".into(), expect, value: fill.bytes.clone() }));
    }
    all.push(Command::PutMeta(PutMeta { key: "k".into(), value: fill.bytes.clone() }));
    all.push(Command::DeleteMeta(DeleteMeta { key: "gone".into() }));
    all.push(Command::DeleteSubtasks(DeleteSubtasks { task: task(), sources: vec![source(2)] }));
    all.push(Command::DeleteSource(DeleteSource { source: source(2) }));
    let places = vec![Place { source: source(1), session }];
    all.push(Command::ExpireAndAssign(ExpireAndAssign { sessions: vec![session], places, reason: text() }));
    all.push(Command::ExpireSessions(ExpireSessions { sessions: vec![session, SessionId(6)], reason: text() }));
    all.push(Command::CloseSession(CloseSession { session }));
    all.push(Command::RetireWorker(RetireWorker { name: worker(2) }));
    all.push(Command::RetireMaster(RetireMaster { name: master(2) }));
    for tasks in [RestoredTasks::Keep, RestoredTasks::Pause] {
        all.push(Command::BumpIncarnation(BumpIncarnation { tasks }));
    }
    all
}

fn reports(fill: &Fill, epoch: Epoch) -> Vec<ProgressReport> {
    let report = |stage, unit, location| ProgressReport {
        subtask: subtask(1),
        epoch,
        stage,
        unit,
        low: Some(Watermark { unit: fill.number, location }),
        chunks: Chunks { done: fill.number, total: 9 },
        finished: true,
    };
    let [location, ..] = locations(fill);
    let units = [UnitKind::Check, UnitKind::Dump, UnitKind::Load, UnitKind::Sync, UnitKind::Relay];
    let mut reports: Vec<_> = units.map(|unit| report(Stage::Running, unit, location.clone())).into();
    reports.extend(Stage::ALL.map(|stage| report(stage, UnitKind::Sync, location.clone())));
    reports
}
