//! Three masters in one process on loopback, with workers that only speak the session.

mod cluster {
    pub(crate) mod masters;
    pub(crate) mod worker;
}

use std::time::Duration;

use dm_model::{SourceId, TaskName};
use dm_proto::{
    meta::{CasRequest, GetRequest, PutRequest},
    pb,
};
use dm_state::{
    Command,
    command::{CreateTask, Expect, NewSubtask, PutSource},
    record::{ConfigText, Wanted},
};

use crate::cluster::{masters::Masters, worker::Worker};

/// Far above what anything here takes, for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn source(name: &str) -> SourceId {
    SourceId::parse(name).unwrap()
}

/// A source and a task on it, put into the state beside the API, which would want databases.
async fn put_task(masters: &Masters, source_id: &str) {
    let put = PutSource {
        source: source(source_id),
        config: ConfigText::new(format!("source-id: {source_id}\nfrom: {{host: 127.0.0.1, password: hush}}\n")),
        expect: Expect::Absent,
    };
    masters.propose(Command::PutSource(put)).await;
    let create = CreateTask {
        task: TaskName::parse("t").unwrap(),
        config: ConfigText::new("name: t\n"),
        subtasks: vec![NewSubtask { source: source(source_id), start: None }],
        wanted: Wanted::Running,
    };
    masters.propose(Command::CreateTask(create)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_worker_gets_its_share_after_the_old_one_has_drained_it() {
    let work = async {
        let mut masters = Masters::start(1, Duration::from_secs(5)).await;
        masters.wait_leader().await;
        let first = Worker::start("w1", masters.addresses());
        for source_id in ["s1", "s2", "s3"] {
            put_task(&masters, source_id).await;
        }
        let old = first.wait_assigned("t", "s1").await;
        first.wait_assigned("t", "s3").await;
        let second = Worker::start("w2", masters.addresses());
        let moved = second.wait_assigned("t", "s1").await;
        assert!(moved.epoch > old.epoch);
        assert_eq!(first.assigned(), ["s2", "s3"]);

        // a stop ends the subtask at its worker before it is answered
        let stop =
            pb::OperateTaskRequest { op: pb::TaskOp::Delete.into(), name: "t".into(), sources: vec!["s2".into()] };
        let addr = masters.addresses()[0].clone();
        let answer = masters.client(&addr).await.operate_task(stop).await.unwrap().into_inner();
        assert!(answer.result && answer.sources[0].result, "{answer:?}");
        assert_eq!(first.assigned(), ["s3"]);
        masters.stop_all().await;
    };
    tokio::time::timeout(LIMIT, work).await.expect("within the limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_change_moves_nothing_and_a_lost_worker_is_replaced_under_a_higher_epoch() {
    let work = async {
        let mut masters = Masters::start(3, Duration::from_secs(2)).await;
        masters.wait_leader().await;
        put_task(&masters, "s1").await;
        let first = Worker::start("w1", masters.addresses());
        let assigned = first.wait_assigned("t", "s1").await;
        let session = first.session();

        // any master answers for the leader
        for addr in masters.addresses() {
            let members = masters.client(&addr).await.list_member(pb::ListMemberRequest::default()).await.unwrap();
            let members = members.into_inner();
            assert!(members.result && members.msg.is_empty(), "{members:?}");
            assert_eq!(members.members.len(), 3);
        }
        let status = masters.query_status("t").await;
        assert_eq!(status.sources[0].sub_task_status[0].stage(), pb::Stage::Running);
        assert_eq!(status.sources[0].source_status.as_ref().unwrap().worker, "w1");

        let answer = masters.transfer_to_another().await;
        assert!(answer.result, "{answer:?}");
        assert_ne!(answer.old_leader, answer.new_leader);
        first.wait_welcomed_by(&answer.new_leader).await;
        masters.stop(&answer.old_leader).await;
        masters.wait_leader().await;
        let second = Worker::start("w2", masters.addresses());
        second.wait_welcomed().await;
        assert_eq!(first.session(), session, "the session goes on at the new leader");
        assert_eq!(first.epochs_seen("t", "s1"), [assigned.epoch], "nothing was assigned anew");

        first.vanish().await;
        let taken = second.wait_assigned("t", "s1").await;
        assert!(taken.epoch > assigned.epoch, "{} > {}", taken.epoch, assigned.epoch);
        second.leave().await;
        masters.wait_offline("w2").await;
        masters.stop_all().await;
    };
    tokio::time::timeout(LIMIT, work).await.expect("within the limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_kept_apart_and_the_key_value_space_is_one() {
    let work = async {
        let mut masters = Masters::start(1, Duration::from_secs(5)).await;
        masters.wait_leader().await;
        let addr = masters.addresses()[0].clone();
        let mut meta = masters.meta(&addr).await;
        let put = PutRequest { key: "k".into(), value: "1".into(), client: "c".into(), seq: 1 };
        let first = meta.put(put.clone()).await.unwrap().into_inner();
        meta.put(PutRequest { value: "2".into(), seq: 2, ..put.clone() }).await.unwrap();
        meta.put(put).await.unwrap();
        let get = meta.get(GetRequest { key: "k".into() }).await.unwrap().into_inner();
        assert_eq!(get.value.as_deref(), Some("2"), "a repeated request changes nothing");
        assert!(get.revision > first.revision);
        let cas = |expect: Option<&str>| CasRequest {
            key: "k".into(),
            expect: expect.map(str::to_owned),
            value: "3".into(),
            ..CasRequest::default()
        };
        let refused = meta.cas(cas(None)).await.unwrap().into_inner();
        assert_eq!((refused.swapped, refused.current.as_deref()), (false, Some("2")));
        assert!(meta.cas(cas(Some("2"))).await.unwrap().into_inner().swapped);

        let worker = Worker::start("w1", masters.addresses());
        worker.wait_welcomed().await;
        let impostor = Worker::start_at("w1", "127.0.0.1:2", masters.addresses());
        assert!(impostor.wait_rejected().await.contains("[code=46003"));

        let mut client = masters.client(&addr).await;
        for request in [pb::OperateTaskRequest { op: pb::TaskOp::Pause.into(), name: "nope".into(), sources: vec![] }] {
            let answer = client.operate_task(request).await.unwrap().into_inner();
            assert_eq!(answer.msg, "task nope has no source or not exist, please check the task name and status");
        }
        let bad = pb::StartTaskRequest { task: "{".into(), ..pb::StartTaskRequest::default() };
        assert!(client.start_task(bad).await.unwrap().into_inner().msg.starts_with("[code=20003"));
        let large = pb::StartTaskRequest { task: "x".repeat(1 << 20), ..pb::StartTaskRequest::default() };
        let status = client.start_task(large).await.unwrap_err();
        assert!(status.message().starts_with("[code=60302"), "{status}");
        let online = pb::OfflineMemberRequest { r#type: "worker".into(), name: "w1".into() };
        assert!(client.offline_member(online).await.unwrap().into_inner().msg.starts_with("[code=46005"));

        put_task(&masters, "s1").await;
        let show = pb::GetCfgRequest { r#type: pb::CfgType::SourceType.into(), name: "s1".into() };
        let cfg = client.get_cfg(show).await.unwrap().into_inner().cfg;
        assert!(cfg.contains("source-id: s1") && !cfg.contains("hush"), "{cfg}");
        masters.stop_all().await;
    };
    tokio::time::timeout(LIMIT, work).await.expect("within the limit");
}
