//! Masters on loopback ports, each with a folder of its own.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use dm_config::master::Membership;
use dm_master::{Error, Master, Options, context::Context};
use dm_model::MasterName;
use dm_proto::{
    meta::meta_client::MetaClient,
    pb::{self, master_client::MasterClient},
};
use dm_raft::node::Profile;
use dm_runtime::Shutdown;
use dm_state::Command;
use tokio::{task::JoinHandle, time::sleep};
use tonic::transport::Channel;

const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Masters {
    running: BTreeMap<String, Running>,
    _folder: tempfile::TempDir,
}

struct Running {
    addr: String,
    context: Context,
    shutdown: Shutdown,
    done: JoinHandle<Result<(), Error>>,
}

/// Ports that were free a moment ago.
fn free_addr() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Masters {
    pub(crate) async fn start(n: usize, session_ttl: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = |at: usize| MasterName::parse(format!("m{at}")).unwrap();
        let peers: BTreeMap<MasterName, Vec<String>> =
            (1..=n).map(|at| (name(at), vec![format!("http://{}", free_addr())])).collect();
        let mut running = BTreeMap::new();
        for (name, urls) in &peers {
            let (api, peer) = (free_addr(), urls[0].trim_start_matches("http://").to_owned());
            let options = Options {
                name: name.clone(),
                master_addr: api.clone(),
                advertise_addr: api.clone(),
                peer_addr: peer.clone(),
                advertise_peer_addr: peer,
                data_dir: folder.path().join(name.as_str()),
                membership: Membership::Bootstrap(peers.clone()),
                // a busy machine must not elect by itself
                profile: Profile::Wan,
                secret_key: None,
                session_ttl,
                tls: None,
            };
            let shutdown = Shutdown::new();
            let master = Master::start(options, shutdown.clone()).await.unwrap();
            let context = master.context().clone();
            let done = tokio::spawn(master.run());
            running.insert(name.to_string(), Running { addr: api, context, shutdown, done });
        }
        Self { running, _folder: folder }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.running.values().map(|running| running.addr.clone()).collect()
    }

    fn leader(&self) -> Option<(&String, &Running)> {
        self.running.iter().find(|(_, running)| running.context.leading.borrow().is_some())
    }

    pub(crate) async fn wait_leader(&self) {
        while self.leader().is_none() {
            sleep(LOOK).await;
        }
    }

    pub(crate) async fn propose(&self, command: Command) {
        let leading = self.leader().and_then(|(_, running)| running.context.leading.borrow().clone()).unwrap();
        leading.propose(command).await.unwrap();
    }

    pub(crate) async fn client(&self, addr: &str) -> MasterClient<Channel> {
        let channel = Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
        MasterClient::new(channel).max_encoding_message_size(8 << 20)
    }

    pub(crate) async fn meta(&self, addr: &str) -> MetaClient<Channel> {
        MetaClient::connect(format!("http://{addr}")).await.unwrap()
    }

    pub(crate) async fn query_status(&self, task: &str) -> pb::QueryStatusListResponse {
        let request = pb::QueryStatusListRequest { name: task.to_owned(), sources: Vec::new() };
        let addr = self.addresses().pop().unwrap();
        loop {
            let answer = self.client(&addr).await.query_status(request.clone()).await.unwrap().into_inner();
            let is_running = |source: &pb::QueryStatusResponse| {
                source.sub_task_status.iter().all(|subtask| subtask.stage() == pb::Stage::Running)
            };
            if answer.sources.iter().all(is_running) {
                return answer;
            }
            sleep(LOOK).await;
        }
    }

    /// Asks a master that is neither the old nor the new leader, as a client does.
    pub(crate) async fn transfer_to_another(&self) -> pb::TransferLeaderResponse {
        let (leader, _) = self.leader().unwrap();
        let mut others = self.running.iter().filter(|(name, _)| *name != leader);
        let (to, _) = others.next().unwrap();
        let (_, via) = others.next().unwrap();
        let request = pb::TransferLeaderRequest { name: to.clone() };
        self.client(&via.addr).await.transfer_leader(request).await.unwrap().into_inner()
    }

    pub(crate) async fn stop(&mut self, name: &str) {
        let running = self.running.remove(name).unwrap();
        running.shutdown.drain.cancel();
        running.done.await.unwrap().unwrap();
        drop(running.context);
        assert!(TcpListener::bind(&running.addr).is_ok(), "the port is free");
    }

    pub(crate) async fn stop_all(&mut self) {
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            self.stop(&name).await;
        }
    }

    pub(crate) async fn wait_offline(&self, worker: &str) {
        let worker = dm_model::WorkerName::parse(worker).unwrap();
        loop {
            let state = self.running.values().next().unwrap().context.cluster.local();
            if state.session_of(&worker).is_none() {
                return;
            }
            sleep(LOOK).await;
        }
    }
}
