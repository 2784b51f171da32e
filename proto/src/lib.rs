//! The only place that knows the wire: generated messages and services, and their conversions to the words of
//! `dm-model`.
//!
//! * [`pb`] — what dmctl and other clients speak with a master. Names and field names are DM's: they are the JSON.
//! * [`session`] — a worker's one stream to the leader.
//! * [`meta`] — the replicated key-value space.
//! * [`raft`] — master to master. [`raftlog`] — log entries and snapshots on disk.
//!
//! Compatibility: fields are only ever added, with new numbers; a field that ends is reserved.

pub mod convert;

/// dmctl and masters.
pub mod pb {
    #![allow(unreachable_pub, clippy::all)]
    tonic::include_proto!("pb");
}

/// Packages that are ours alone, nested as their names are so that generated paths resolve.
mod dm {
    /// Workers and the leader.
    pub mod session {
        #![allow(unreachable_pub, clippy::all)]
        tonic::include_proto!("dm.session");
    }

    /// The replicated key-value space.
    pub mod meta {
        #![allow(unreachable_pub, clippy::all)]
        tonic::include_proto!("dm.meta");
    }

    /// Master and master.
    pub mod raft {
        #![allow(unreachable_pub, clippy::all)]
        tonic::include_proto!("dm.raft");
    }

    /// The codec of log entries, commands and snapshots.
    pub mod raftlog {
        #![allow(unreachable_pub, clippy::all)]
        tonic::include_proto!("dm.raftlog");
    }
}

pub use dm::{meta, raft, raftlog, session};

/// Descriptors of all messages, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The largest message a client, a worker or a master may send. Commands are limited to 1 MiB at the API.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
