//! `start-task`.

use anyhow::Result;
use dm_proto::pb::StartTaskRequest;

use super::{Answer, connect, rpc};
use crate::{
    app::{Globals, StartTask},
    files,
};

pub(super) async fn run(globals: &Globals, args: StartTask) -> Result<Answer> {
    let request = StartTaskRequest {
        task: files::read_config(&args.config_file)?,
        sources: globals.sources.clone(),
        remove_meta: args.remove_meta,
        start_time: args.start_time,
        take_over: args.take_over,
    };
    let response = rpc(connect(globals).await?.start_task(request).await)?;
    Answer::json(&response, "pb.StartTaskResponse", response.result)
}
