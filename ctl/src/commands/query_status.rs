//! `query-status`: a summary of all tasks, or everything about one.

use anyhow::Result;
use dm_proto::pb::QueryStatusListRequest;

use super::{Answer, connect, rpc};
use crate::{
    app::{Globals, QueryStatus},
    files, summary,
};

pub(super) async fn run(globals: &Globals, args: QueryStatus) -> Result<Answer> {
    let name = match &args.task {
        Some(task) => files::task_name(task)?,
        None => String::new(),
    };
    let short = name.is_empty() && globals.sources.is_empty() && !args.more;
    let request = QueryStatusListRequest { name, sources: globals.sources.clone() };
    let response = rpc(connect(globals).await?.query_status(request).await)?;
    if short && response.result {
        if let Some(summary) = summary::of(&response) {
            return Ok(Answer { ok: true, text: summary::render(&summary)? });
        }
    }
    Answer::json(&response, "pb.QueryStatusListResponse", response.result)
}
