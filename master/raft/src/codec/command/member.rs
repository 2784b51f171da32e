//! Commands on the cluster and its masters.

use dm_state::apply::member::{
    Bootstrap, BumpIncarnation, Founder, RegisterMaster, RestoredTasks, RetireMaster, SetClusterVersion,
};

use crate::codec::convert::{names, records};

records! {
    Bootstrap { cluster_id: value, founders: list }
    Founder { name: value, addresses: message }
    SetClusterVersion { version: value }
    BumpIncarnation { tasks: value }
    RegisterMaster { name: value, store_uuid: value, addresses: message }
    RetireMaster { name: value }
}

names! { RestoredTasks { Pause, Keep } }
