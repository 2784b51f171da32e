//! `check-task`.

use anyhow::Result;
use dm_proto::pb::CheckTaskRequest;

use super::{Answer, connect, rpc};
use crate::{
    app::{CheckTask, Globals},
    files,
};

pub(super) async fn run(globals: &Globals, args: CheckTask) -> Result<Answer> {
    let request = CheckTaskRequest {
        task: files::read_config(&args.config_file)?,
        err_cnt: args.errors,
        warn_cnt: args.warns,
        start_time: args.start_time,
    };
    let response = rpc(connect(globals).await?.check_task(request).await)?;
    Answer::json(&response, "pb.CheckTaskResponse", response.result)
}
