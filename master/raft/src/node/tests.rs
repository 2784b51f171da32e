//! Three masters in one process, over real connections on loopback.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use dm_model::{ClusterId, UnixMillis};
use dm_proto::raft as pb;
use dm_state::{
    Command, Entry, Reply,
    command::{Bootstrap, PutMeta},
};
use tokio::time::timeout;

use super::*;
use crate::network::Lane;

const LIMIT: Duration = Duration::from_secs(60);

/// Names, addresses and folders of a cluster; its nodes come and go.
struct Cluster {
    dir: tempfile::TempDir,
    listeners: BTreeMap<String, TcpListener>,
    initial: InitialCluster,
    snapshots: SnapshotLimits,
    nodes: BTreeMap<String, Node>,
}

impl Cluster {
    fn new(names: &[&str]) -> Self {
        let listeners: BTreeMap<_, _> =
            names.iter().map(|name| ((*name).to_owned(), TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let initial = InitialCluster::new(
            listeners.iter().map(|(name, listener)| (name.clone(), listener.local_addr().unwrap().to_string())),
        );
        let dir = tempfile::tempdir().unwrap();
        Self { dir, listeners, initial, snapshots: SnapshotLimits::default(), nodes: BTreeMap::new() }
    }

    async fn started(names: &[&str]) -> Self {
        let mut cluster = Self::new(names);
        cluster.start_all().await;
        let leader = cluster.leader().await;
        leader.propose(bootstrap()).await.unwrap();
        cluster
    }

    async fn start_all(&mut self) {
        let names: Vec<_> = self.initial.members.keys().cloned().collect();
        let opening = names.iter().map(|name| self.open(name));
        for (name, node) in names.iter().zip(futures::future::join_all(opening).await) {
            self.nodes.insert(name.clone(), node.unwrap());
        }
    }

    fn options(&self, name: &str, start: Start) -> Options {
        let listener = &self.listeners[name];
        let addr = listener.local_addr().unwrap().to_string();
        let mut options = Options::new(name, self.dir.path().join(name), addr.clone(), start);
        options.api_addr = format!("api-of-{name}");
        options.listen = Listen::Bound(listener.try_clone().unwrap());
        options.snapshots = self.snapshots;
        options.disk = DiskLimits { reserve_bytes: 0, refuse_below_bytes: 0 };
        options
    }

    async fn open(&self, name: &str) -> Result<Node, Error> {
        Node::open(self.options(name, Start::Bootstrap(self.initial.clone()))).await
    }

    async fn start(&mut self, name: &str) {
        let node = self.open(name).await.unwrap();
        self.nodes.insert(name.to_owned(), node);
    }

    async fn stop(&mut self, name: &str) {
        self.nodes.remove(name).unwrap().shutdown().await;
    }

    /// The node that shows itself as leader, once one does.
    async fn leader(&self) -> Node {
        let waiting = self.nodes.values().map(|node| {
            let node = node.clone();
            Box::pin(async move {
                node.leadership().wait_for(Leadership::is_leader).await.unwrap();
                node
            })
        });
        timeout(LIMIT, futures::future::select_all(waiting)).await.unwrap().0
    }

    fn name_of(&self, node: &Node) -> String {
        self.nodes.iter().find(|(_, other)| other.node_id() == node.node_id()).unwrap().0.clone()
    }

    fn followers(&self, leader: &Node) -> Vec<Node> {
        self.nodes.values().filter(|node| node.node_id() != leader.node_id()).cloned().collect()
    }

    async fn shut_down(mut self) {
        for (_, node) in std::mem::take(&mut self.nodes) {
            node.shutdown().await;
        }
    }
}

fn bootstrap() -> Entry {
    let cluster_id = ClusterId("00000000-0000-0000-0000-000000000001".into());
    entry(Command::Bootstrap(Bootstrap { cluster_id, founders: Vec::new() }))
}

fn entry(command: Command) -> Entry {
    Entry::new(UnixMillis(1), command)
}

fn put(key: &str, value: &str) -> Entry {
    entry(Command::PutMeta(PutMeta { key: key.into(), value: value.as_bytes().to_vec() }))
}

/// Proposes until a leader takes it. For tests in which the leader changes.
async fn put_somewhere(cluster: &Cluster, key: &str, value: &str) -> Committed {
    timeout(LIMIT, async {
        loop {
            let leader = cluster.leader().await;
            match leader.propose(put(key, value)).await {
                Ok(committed) => return committed,
                Err(error) => assert!(!matches!(error, ProposeError::Fatal(_)), "{error}"),
            }
        }
    })
    .await
    .unwrap()
}

fn value(state: &State, key: &str) -> Option<String> {
    state.meta(key).map(|value| String::from_utf8(value.value.clone()).unwrap())
}

async fn applied(node: &Node, revision: Revision) {
    let mut applied = node.revision();
    timeout(LIMIT, applied.wait_for(|applied| *applied >= revision)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leader_commits_is_read_everywhere() {
    let cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    let leader = cluster.leader().await;
    let mut changes = leader.changes();
    let committed = leader.propose(put("k", "v")).await.unwrap();
    assert_eq!(committed.reply, Reply::Done);
    assert_eq!(changes.recv().await.unwrap().revision(), committed.revision);
    for node in cluster.nodes.values() {
        assert_eq!(value(&node.read().await.unwrap(), "k").as_deref(), Some("v"));
    }
    let follower = &cluster.followers(&leader)[0];
    let refused = follower.propose(put("k", "w")).await.unwrap_err();
    assert!(refused.is_before_append());
    assert_eq!(refused.leader().unwrap().api_addr, format!("api-of-{}", cluster.name_of(&leader)));
    let stale = LeaderToken { term: 0, node: leader.node_id() };
    assert!(leader.propose_as(stale, put("k", "w")).await.unwrap_err().is_before_append());
    let token = leader.leadership().borrow().token().unwrap();
    leader.propose_as(token, put("k", "w")).await.unwrap();
    assert!(leader.has_quorum_lease() && !follower.has_quorum_lease());
    assert_eq!(leader.figures().n_voters_alive, 3);
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_and_refused_to_who_cannot_take_it() {
    let cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    let leader = cluster.leader().await;
    put_somewhere(&cluster, "k", "v").await;
    assert!(matches!(
        leader.transfer_leader(leader.node_id(), SlowDisk::Accept).await,
        Err(TransferError::AlreadyLeader(_))
    ));
    assert!(matches!(leader.transfer_leader(77, SlowDisk::Accept).await, Err(TransferError::NotAVoter(77))));
    let follower = cluster.followers(&leader).remove(0);
    assert!(matches!(
        follower.transfer_leader(leader.node_id(), SlowDisk::Accept).await,
        Err(TransferError::NotLeader)
    ));
    let outcome = timeout(LIMIT, async {
        loop {
            let leader = cluster.leader().await;
            let to = cluster.followers(&leader)[0].node_id();
            match leader.transfer_leader(to, SlowDisk::Accept).await {
                Ok(transfer) => return (leader, transfer),
                // A busy machine: the checks say so, and nothing has happened.
                Err(
                    TransferError::Silent { .. } | TransferError::Lagging { .. } | TransferError::Unreachable { .. },
                ) => {
                    let mut revision = leader.revision();
                    put_somewhere(&cluster, "k", "again").await;
                    revision.changed().await.unwrap();
                }
                Err(TransferError::NotLeader | TransferError::NobodyLeads { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    let (old, transfer) = outcome.await.unwrap();
    assert_ne!(transfer.leader, old.node_id());
    put_somewhere(&cluster, "k", "w").await;
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_comes_back_from_its_disk() {
    let mut cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    put_somewhere(&cluster, "before", "1").await;
    let leader = cluster.leader().await;
    let name = cluster.name_of(&leader);
    let identity = leader.identity().clone();
    drop(leader);
    cluster.stop(&name).await;
    put_somewhere(&cluster, "after", "2").await;

    cluster.start(&name).await;
    assert_eq!(*cluster.nodes[&name].identity(), identity);
    let last = put_somewhere(&cluster, "last", "3").await;
    let back = &cluster.nodes[&name];
    applied(back, last.revision).await;
    let state = back.state();
    assert_eq!(["before", "after", "last"].map(|key| value(&state, key).unwrap()), ["1", "2", "3"].map(str::to_owned));
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lags_far_gets_a_snapshot() {
    let mut cluster = Cluster::new(&["m1", "m2", "m3"]);
    cluster.snapshots = SnapshotLimits { every: 40, keep: 5, lag: 60 };
    cluster.start_all().await;
    cluster.leader().await.propose(bootstrap()).await.unwrap();
    let leader = cluster.leader().await;
    let follower = cluster.name_of(&cluster.followers(&leader)[0]);
    drop(leader);
    cluster.stop(&follower).await;
    let mut last = None;
    for n in 0..300 {
        last = Some(put_somewhere(&cluster, &format!("k{}", n % 10), &n.to_string()).await);
    }
    cluster.start(&follower).await;
    let node = &cluster.nodes[&follower];
    applied(node, last.unwrap().revision).await;
    assert_eq!(value(&node.state(), "k9").as_deref(), Some("299"));
    assert!(node.figures().snapshot.is_some());
    assert_eq!(node.read().await.unwrap(), cluster.leader().await.read().await.unwrap());

    // And what came by snapshot is there after a restart.
    cluster.stop(&follower).await;
    cluster.start(&follower).await;
    let last = put_somewhere(&cluster, "end", "1").await;
    applied(&cluster.nodes[&follower], last.revision).await;
    assert_eq!(value(&cluster.nodes[&follower].state(), "k8").as_deref(), Some("298"));

    // But not without it: the log alone is not the state.
    cluster.stop(&follower).await;
    let snapshots = cluster.dir.path().join(&follower).join("raft/snapshots");
    let file = std::fs::read_dir(&snapshots).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(cluster.open(&follower).await, Err(Error::Damaged { what: "snapshot", .. })));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(cluster.open(&follower).await, Err(Error::LostSnapshot { snapshot: None, .. })));
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pre_vote_against_a_live_leader_is_refused_and_changes_no_term() {
    let cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    let leader = cluster.leader().await;
    let [asking, asked] = <[Node; 2]>::try_from(cluster.followers(&leader)).ok().unwrap();
    applied(&asked, leader.state().applied()).await;
    let term = leader.figures().term;
    let mut client = asking.shared.peers.client(&asked.peer_addr().to_string(), Lane::Control).unwrap();
    let request = pb::VoteRequest {
        header: Some(asking.shared.peers.header(asked.node_id())),
        vote: Some(dm_proto::raftlog::Vote { term: term + 1, node: asking.node_id(), committed: false }),
        last: Some(dm_proto::raftlog::LogId { term: term + 1, node: asking.node_id(), index: 1_000_000 }),
        leadership_transfer: false,
    };
    let reply = client.pre_vote(request).await.unwrap().into_inner();
    assert!(!reply.granted);
    assert_eq!(asked.figures().term, term);
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_are_refused() {
    let cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    let leader = cluster.leader().await;
    let follower = &cluster.followers(&leader)[0];
    let good = leader.shared.peers.header(follower.node_id());
    let mut other_cluster = good.clone();
    other_cluster.cluster_id = "another".into();
    let mut other_node = good.clone();
    other_node.to = 99;
    let mut other_store = good.clone();
    other_store.sender.as_mut().unwrap().store_uuid = "wiped".into();
    let mut client = leader.shared.peers.client(&follower.peer_addr().to_string(), Lane::Control).unwrap();
    assert!(client.ping(pb::PingRequest { header: Some(good) }).await.is_ok());
    for bad in [other_cluster, other_node, other_store] {
        let status = client.ping(pb::PingRequest { header: Some(bad) }).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
    }
    assert!(client.ping(pb::PingRequest { header: None }).await.is_err());
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_store_is_refused_and_so_is_an_unknown_founder() {
    let mut cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    let last = put_somewhere(&cluster, "k", "v").await;
    let leader = cluster.leader().await;
    let name = cluster.name_of(&cluster.followers(&leader)[0]);
    applied(&cluster.nodes[&name], last.revision).await;
    drop(leader);
    cluster.stop(&name).await;
    std::fs::remove_dir_all(cluster.dir.path().join(&name)).unwrap();
    let error = cluster.open(&name).await.err().unwrap();
    assert!(matches!(error, Error::StoreWasLost { .. }), "{error}");

    let mut stranger = Cluster::new(&["m9"]);
    stranger.initial.members.extend(cluster.initial.members.clone());
    let error = stranger.open("m9").await.err().unwrap();
    assert!(matches!(error, Error::ClusterExists { .. }), "{error}");
    let error = stranger.open_as_absent().await;
    assert!(matches!(error, Error::NotInInitialCluster { .. }), "{error}");
    cluster.shut_down().await;
}

impl Cluster {
    async fn open_as_absent(&self) -> Error {
        let founders = InitialCluster::new([("x".to_owned(), "127.0.0.1:1".to_owned())]);
        let mut options = self.options("m9", Start::Bootstrap(founders));
        options.data_dir = self.dir.path().join("absent");
        Node::open(options).await.err().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_joins_votes_and_is_removed() {
    let mut cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    put_somewhere(&cluster, "k", "v").await;
    cluster.listeners.insert("m4".into(), TcpListener::bind("127.0.0.1:0").unwrap());
    let peers = cluster.initial.members.values().cloned().collect();
    let joined = timeout(LIMIT, Node::open(cluster.options("m4", Start::Join(peers)))).await.unwrap().unwrap();
    joined.wait_voter(LIMIT).await.unwrap();
    assert!(joined.node_id() > 1000);
    assert_eq!(value(&joined.read().await.unwrap(), "k").as_deref(), Some("v"));
    let id = joined.node_id();
    cluster.nodes.insert("m4".into(), joined);

    // It stays what it is over a restart.
    cluster.stop("m4").await;
    let again = Node::open(cluster.options("m4", Start::Join(Vec::new()))).await.unwrap();
    assert_eq!(again.node_id(), id);
    again.shutdown().await;

    timeout(LIMIT, async {
        loop {
            let leader = cluster.leader().await;
            if leader.remove_member(id).await.is_ok() {
                assert_eq!(leader.members().len(), 3);
                return;
            }
        }
    })
    .await
    .unwrap();
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_promised() {
    let mut cluster = Cluster::started(&["m1", "m2", "m3"]).await;
    let leader = cluster.leader().await;
    for follower in cluster.followers(&leader) {
        let name = cluster.name_of(&follower);
        drop(follower);
        cluster.stop(&name).await;
    }
    let mut leadership = leader.leadership();
    timeout(LIMIT, leadership.wait_for(|leadership| !leadership.is_leader())).await.unwrap().unwrap();
    let error = leader.propose(put("k", "v")).await.unwrap_err();
    assert!(error.is_before_append(), "{error}");
    assert!(leader.read().await.is_err());
    assert!(!leader.has_quorum_lease());
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_adds_and_takes_what_keeps_things_running() {
    let cluster = Cluster::new(&["m1"]);
    let mut options = cluster.options("m1", Start::Bootstrap(cluster.initial.clone()));
    options.disk = DiskLimits { reserve_bytes: 0, refuse_below_bytes: u64::MAX };
    let node = Node::open(options).await.unwrap();
    timeout(LIMIT, node.leadership().wait_for(Leadership::is_leader)).await.unwrap().unwrap();
    node.propose(bootstrap()).await.unwrap();
    let refused = node.propose(put("k", "v")).await.unwrap_err();
    assert!(matches!(refused, ProposeError::DiskFull { .. }) && refused.is_before_append());
    node.shutdown().await;
}
