//! `offline-member --master|--worker -n name`.

use anyhow::{Result, bail};
use dm_proto::pb::OfflineMemberRequest;

use super::{Answer, connect, rpc};
use crate::app::{Globals, OfflineMember};

pub(super) async fn run(globals: &Globals, args: OfflineMember) -> Result<Answer> {
    let kind = match (args.master, args.worker) {
        (true, false) => "master",
        (false, true) => "worker",
        (true, true) => bail!("should give only one of --master and --worker"),
        (false, false) => bail!("should give one of --master and --worker"),
    };
    let request = OfflineMemberRequest { r#type: kind.to_owned(), name: args.name };
    let response = rpc(connect(globals).await?.offline_member(request).await)?;
    Answer::json(&response, "pb.OfflineMemberResponse", response.result)
}
