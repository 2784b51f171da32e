//! `operate-source create|stop|show`, and the sample of a source file.

use anyhow::{Result, bail};
use dm_proto::pb::{OperateSourceRequest, SourceOp};

use super::{Answer, connect, rpc};
use crate::{
    app::{Globals, OperateSource},
    files,
};

pub(super) async fn run(globals: &Globals, args: OperateSource) -> Result<Answer> {
    if args.print_sample_config {
        return Ok(Answer::text(dm_config::source::SAMPLE.trim_end()));
    }
    let Some(operation) = args.operation else {
        bail!("operate-source needs an operation: create, stop or show");
    };
    let mut request = OperateSourceRequest { worker_name: args.worker, ..OperateSourceRequest::default() };
    match operation.as_str() {
        "create" => {
            if args.arguments.is_empty() {
                bail!("operate-source create should specify config-file(s)");
            }
            if !request.worker_name.is_empty() && args.arguments.len() > 1 {
                bail!("operate-source create with -w takes only one config-file");
            }
            request.set_op(SourceOp::StartSource);
            for file in &args.arguments {
                request.config.push(files::read_config(file)?);
            }
        }
        "update" => bail!("operate-source update is not supported by dm-ha now"),
        "stop" => {
            if args.arguments.is_empty() {
                bail!("operate-source stop should specify config-file(s) or source-id(s)");
            }
            request.set_op(SourceOp::StopSource);
            for argument in &args.arguments {
                if std::path::Path::new(argument).is_file() {
                    request.config.push(files::read_config(argument)?);
                } else {
                    request.source_id.push(argument.clone());
                }
            }
        }
        "show" => request.set_op(SourceOp::ShowSource),
        other => bail!("invalid operate '{other}' on worker"),
    }
    let response = rpc(connect(globals).await?.operate_source(request).await)?;
    Answer::json(&response, "pb.OperateSourceResponse", response.result)
}
