//! `list-member`.

use anyhow::Result;
use dm_proto::pb::ListMemberRequest;

use super::{Answer, connect, rpc};
use crate::app::{Globals, ListMember};

pub(super) async fn run(globals: &Globals, args: ListMember) -> Result<Answer> {
    let all = !args.leader && !args.master && !args.worker;
    let request = ListMemberRequest {
        leader: all || args.leader,
        master: all || args.master,
        worker: all || args.worker,
        names: args.name,
    };
    let response = rpc(connect(globals).await?.list_member(request).await)?;
    Answer::json(&response, "pb.ListMemberResponse", response.result)
}
