//! Commands on the key-value space.

use dm_state::apply::meta_kv::{CasMeta, DeleteMeta, PutMeta};

use crate::codec::convert::records;

records! {
    PutMeta { key: value, value: value }
    CasMeta { key: value, expect: option, value: value }
    DeleteMeta { key: value }
}
