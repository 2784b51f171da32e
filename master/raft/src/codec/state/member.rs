//! The cluster and its masters.

use dm_state::record::{Cluster, Master, MasterAddresses};

use crate::codec::convert::records;

records! {
    Cluster { id: option, version: value, incarnation: value, bootstrapped_at: value }
    Master { name: value, node: value, store_uuid: option, addresses: message }
    MasterAddresses { peer: value, client: value }
}
