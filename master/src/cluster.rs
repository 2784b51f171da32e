//! The one place where this process speaks to Raft: reading the state, proposing commands, knowing who leads.
//!
//! Never decides anything. A refused command is an error here, so that callers read replies of success only.

use dm_model::{MasterName, Revision};
use dm_raft::{
    Change, Node,
    node::{LeaderHint, LeaderToken, Leadership, Member},
};
use dm_runtime::clock;
use dm_state::{ClientId, ClientSeq, Command, Entry, Reply, State};
use tokio::sync::{broadcast, watch};

use crate::error::Error;

/// A command that was carried out.
#[derive(Debug, Clone)]
pub struct Done {
    pub revision: Revision,
    pub reply: Reply,
}

/// Where a member answers clients: as it registered, or as it told this node itself. Empty when neither is known.
pub fn client_address(state: &State, member: &Member) -> String {
    let known = MasterName::parse(member.master.name.clone()).ok();
    let known = known.and_then(|name| state.master(&name).map(|master| master.addresses.client.clone()));
    known.filter(|addr| !addr.is_empty()).unwrap_or_else(|| member.master.api_addr.clone())
}

/// Cheap to clone; all clones are one node.
#[derive(Clone)]
pub struct Cluster {
    node: Node,
}

impl Cluster {
    pub fn new(node: Node) -> Self {
        Self { node }
    }

    /// For what concerns Raft itself: members, transfer, figures, shutdown.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The state as applied here; may be behind.
    pub fn local(&self) -> State {
        self.node.state()
    }

    /// The state with everything that was committed before this call.
    pub async fn read(&self) -> Result<State, Error> {
        Ok(self.node.read().await?)
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.node.leadership()
    }

    pub fn leader(&self) -> Option<LeaderHint> {
        self.node.leader_hint()
    }

    /// False: this node's word as a leader is worth nothing to a worker.
    pub fn has_quorum_lease(&self) -> bool {
        self.node.has_quorum_lease()
    }

    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.node.changes()
    }

    /// Under the leadership of `token` only.
    pub async fn propose_as(&self, token: LeaderToken, command: Command) -> Result<Done, Error> {
        self.finish(self.node.propose_as(token, Entry::new(clock::wall(), command)).await)
    }

    /// A client's own request, which the state carries out at most once.
    pub async fn propose_for(&self, client: Option<(String, u64)>, command: Command) -> Result<Done, Error> {
        let client = client.map(|(id, seq)| ClientSeq { client: ClientId(id), seq });
        self.finish(self.node.propose(Entry { time: clock::wall(), client, command }).await)
    }

    fn finish(&self, outcome: Result<dm_raft::node::Committed, dm_raft::ProposeError>) -> Result<Done, Error> {
        let committed = outcome?;
        Ok(Done { revision: committed.revision, reply: committed.reply.into_result()? })
    }

    /// Client addresses of all masters, the leader's first. Workers and clients find the leader by them. Empty while one
    /// of them is not known: half a list would make those who hear it forget the others.
    pub fn client_addresses(&self) -> Vec<String> {
        let leader = self.leader().map(|leader| leader.api_addr).unwrap_or_default();
        let state = self.local();
        let mut addresses: Vec<String> =
            self.node.members().iter().map(|member| client_address(&state, member)).collect();
        if addresses.iter().any(String::is_empty) {
            return Vec::new();
        }
        addresses.sort_by_key(|addr| *addr != leader);
        addresses.dedup();
        addresses
    }

    /// The node id of a member by its name.
    pub fn member_named(&self, name: &MasterName) -> Option<u64> {
        self.node.members().into_iter().find(|member| member.master.name == name.as_str()).map(|member| member.node)
    }
}
