//! Names of column families and keys of the store. Big-endian, so that order of keys is order of indexes.

pub(crate) const CF_LOG: &str = "raft_log";
pub(crate) const CF_META: &str = "raft_meta";

pub(crate) const MARKER: &[u8] = b"store";
pub(crate) const VOTE: &[u8] = b"vote";
pub(crate) const COMMITTED: &[u8] = b"committed";
pub(crate) const PURGED: &[u8] = b"purged";

const PEER_PREFIX: &[u8] = b"peer/";

pub(crate) fn entry(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// `None` for a key that is not an index.
pub(crate) fn index(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// Where the store that a peer was first seen with is kept.
pub(crate) fn peer(node: u64) -> Vec<u8> {
    [PEER_PREFIX, &node.to_be_bytes()].concat()
}

/// The node of a key made by [`peer`].
pub(crate) fn peer_node(key: &[u8]) -> Option<u64> {
    index(key.strip_prefix(PEER_PREFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_indexes_do_and_read_back() {
        assert!(entry(255) < entry(256));
        assert_eq!(index(&entry(7)), Some(7));
        assert_eq!(index(b"short"), None);
        assert_eq!(peer_node(&peer(1007)), Some(1007));
        assert_eq!(peer_node(VOTE), None);
    }
}
