//! A small key-value space: labels, templates, registers of tests.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Change;
use crate::{Rejection, Reply, state::MetaValue};

pub const MAX_KEY_BYTES: usize = 512;
pub const MAX_VALUE_BYTES: usize = 64 << 10;
pub const MAX_KEYS: usize = 65_536;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutMeta {
    pub key: String,
    pub value: Vec<u8>,
}

/// Writes only if the present value is `expect`; `None` is "no such key". Refused with the present value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CasMeta {
    pub key: String,
    pub expect: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

/// A key that is not there: `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMeta {
    pub key: String,
}

impl PutMeta {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        change.write_meta(self.key, self.value)
    }
}

impl CasMeta {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        let present = change.state.meta(&self.key);
        if present.map(|present| &present.value) != self.expect.as_ref() {
            return Err(Rejection::MetaDiffers { present: present.map(|present| present.revision) });
        }
        change.write_meta(self.key, self.value)
    }
}

impl DeleteMeta {
    pub(super) fn apply(self, change: &mut Change<'_>) -> Result<Reply, Rejection> {
        if change.state.meta.contains_key(&self.key) {
            Arc::make_mut(&mut change.state.meta).remove(&self.key);
            change.touched.meta_keys.insert(self.key);
        }
        Ok(Reply::Done)
    }
}

impl Change<'_> {
    fn write_meta(&mut self, key: String, value: Vec<u8>) -> Result<Reply, Rejection> {
        for (what, n_bytes, max_bytes) in [("key", key.len(), MAX_KEY_BYTES), ("value", value.len(), MAX_VALUE_BYTES)] {
            if n_bytes > max_bytes {
                let (n_bytes, max_bytes) = (n_bytes as u64, max_bytes as u64);
                return Err(Rejection::TooLarge { what: what.to_owned(), n_bytes, max_bytes });
            }
        }
        let n_keys = self.state.meta.len();
        if n_keys >= MAX_KEYS && !self.state.meta.contains_key(&key) {
            return Err(Rejection::TooMany { what: "key-value space".to_owned(), present: n_keys as u64 });
        }
        let revision = self.index();
        self.touched.meta_keys.insert(key.clone());
        Arc::make_mut(&mut self.state.meta).insert(key, MetaValue { value, revision });
        Ok(Reply::Done)
    }
}
