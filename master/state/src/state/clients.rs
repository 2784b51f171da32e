//! Which requests of clients were carried out, with their answers, so that a repeated request changes nothing.
//!
//! Bounded: the answers of the last [`MAX_ANSWERS`] requests per client and the last [`MAX_CLIENTS`] clients. A request
//! older than what is kept is refused instead of being carried out twice. A client that was crowded out has lost the
//! protection for requests it still repeats: it must not stay silent between two tries of one request for longer than
//! 1024 other clients need to show up.

use std::collections::{BTreeMap, BTreeSet};

use dm_model::Revision;
use serde::{Deserialize, Serialize};

use crate::{
    Rejection, Reply,
    command::{ClientId, ClientSeq},
};

pub const MAX_CLIENTS: usize = 1024;
pub const MAX_ANSWERS: usize = 32;
pub const MAX_CLIENT_ID_BYTES: usize = 128;

/// A client's recent requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub id: ClientId,
    /// The index of its last request.
    pub last_seen: Revision,
    /// Requests up to this number are no longer known one by one.
    pub forgotten: u64,
    /// Sequence number and answer, ascending.
    pub answers: Vec<(u64, Reply)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Clients {
    by_id: BTreeMap<ClientId, Client>,
    /// The same clients by when they were last seen.
    by_age: BTreeSet<(Revision, ClientId)>,
}

impl Clients {
    /// The answer a request must get without being carried out; `None` for a new request.
    pub(crate) fn known(&self, request: &ClientSeq) -> Option<Reply> {
        let n_bytes = request.client.0.len();
        if n_bytes > MAX_CLIENT_ID_BYTES {
            return Some(Reply::Rejected(Rejection::TooLarge {
                what: "client id".to_owned(),
                n_bytes: n_bytes as u64,
                max_bytes: MAX_CLIENT_ID_BYTES as u64,
            }));
        }
        let client = self.by_id.get(&request.client)?;
        if let Ok(at) = client.answers.binary_search_by_key(&request.seq, |(seq, _)| *seq) {
            return Some(client.answers[at].1.clone());
        }
        (request.seq <= client.forgotten).then(|| {
            Reply::Rejected(Rejection::RequestForgotten { client: request.client.0.clone(), seq: request.seq })
        })
    }

    pub(crate) fn remember(&mut self, request: &ClientSeq, index: Revision, reply: Reply) {
        let id = &request.client;
        let client = self.by_id.entry(id.clone()).or_insert_with(|| Client {
            id: id.clone(),
            last_seen: index,
            forgotten: 0,
            answers: Vec::new(),
        });
        self.by_age.remove(&(client.last_seen, id.clone()));
        client.last_seen = index;
        self.by_age.insert((index, id.clone()));
        match client.answers.binary_search_by_key(&request.seq, |(seq, _)| *seq) {
            Ok(at) => client.answers[at].1 = reply,
            Err(at) => client.answers.insert(at, (request.seq, reply)),
        }
        if client.answers.len() > MAX_ANSWERS {
            let (seq, _) = client.answers.remove(0);
            client.forgotten = client.forgotten.max(seq);
        }
        while self.by_id.len() > MAX_CLIENTS {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.by_id.remove(&oldest);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values()
    }

    pub(crate) fn to_list(&self) -> Vec<Client> {
        self.by_id.values().cloned().collect()
    }

    pub(crate) fn of_list(list: Vec<Client>) -> Self {
        let by_age = list.iter().map(|client| (client.last_seen, client.id.clone())).collect();
        Self { by_age, by_id: list.into_iter().map(|client| (client.id.clone(), client)).collect() }
    }
}
