//! One log entry as bytes: `[version u8][kind u8][crc32 u32 little-endian][payload]`, on disk and on the wire.
//!
//! The checksum covers version, kind and payload and is checked on every read. A version or kind this program does not
//! know is an error: it was written by a newer one.

use bytes::Bytes;
use dm_proto::raftlog as pb;
use openraft::EntryPayload;
use prost::Message;

use crate::{
    error::Corrupt,
    types::{Entry, Proposal},
    wire,
};

const VERSION: u8 = 1;
const HEADER: usize = 6;

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

pub(crate) fn encode(entry: &Entry) -> Bytes {
    let mut message = pb::Entry { log_id: Some(wire::log_id_to(&entry.log_id)), ..Default::default() };
    let kind = match &entry.payload {
        EntryPayload::Blank => KIND_BLANK,
        EntryPayload::Normal(proposal) => {
            message.command = proposal.0.clone();
            KIND_COMMAND
        }
        EntryPayload::Membership(membership) => {
            message.membership = Some(wire::membership_to(membership));
            KIND_MEMBERSHIP
        }
    };
    let mut bytes = Vec::with_capacity(HEADER + message.encoded_len());
    bytes.extend_from_slice(&[VERSION, kind, 0, 0, 0, 0]);
    message.encode_raw(&mut bytes);
    let crc = checksum(&bytes);
    bytes[2..HEADER].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

pub(crate) fn decode(bytes: &Bytes) -> Result<Entry, Corrupt> {
    let Some((header, _)) = bytes.split_at_checked(HEADER) else {
        return Err(Corrupt::Short);
    };
    let stored = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    let actual = checksum(bytes);
    if stored != actual {
        return Err(Corrupt::Checksum { stored, actual });
    }
    if header[0] != VERSION {
        return Err(Corrupt::Version(header[0]));
    }
    let message = pb::Entry::decode(bytes.slice(HEADER..))?;
    let log_id = wire::log_id_of(message.log_id.as_ref().ok_or(Corrupt::Missing("log id"))?);
    let payload = match header[1] {
        KIND_BLANK => EntryPayload::Blank,
        KIND_COMMAND => EntryPayload::Normal(Proposal(message.command)),
        KIND_MEMBERSHIP => {
            let membership = message.membership.as_ref().ok_or(Corrupt::Missing("membership"))?;
            EntryPayload::Membership(wire::membership_of(membership)?)
        }
        kind => return Err(Corrupt::Kind(kind)),
    };
    Ok(Entry { log_id, payload })
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..2]);
    hasher.update(&bytes[HEADER..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::types::{LeaderId, LogId, MasterNode, Membership};

    fn entries() -> Vec<Entry> {
        let id = |index| LogId::new(LeaderId::new(3, 1), index);
        let node = MasterNode { name: "m1".into(), raft_addr: "127.0.0.1:8291".into(), ..Default::default() };
        let membership = Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node)])).unwrap();
        vec![
            Entry { log_id: id(7), payload: EntryPayload::Blank },
            Entry { log_id: id(8), payload: EntryPayload::Normal(Proposal(Bytes::from_static(b"command"))) },
            Entry { log_id: id(9), payload: EntryPayload::Membership(membership) },
        ]
    }

    #[test]
    fn entries_read_back_as_written() {
        for entry in entries() {
            assert_eq!(decode(&encode(&entry)).unwrap(), entry);
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        for entry in entries() {
            let good = encode(&entry);
            for at in 0..good.len() {
                let mut bad = good.to_vec();
                bad[at] ^= 0x40;
                assert!(decode(&bad.into()).is_err(), "byte {at}");
            }
            for length in 0..good.len() {
                assert!(decode(&good.slice(..length)).is_err(), "length {length}");
            }
        }
    }
}
