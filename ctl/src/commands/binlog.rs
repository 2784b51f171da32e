//! `binlog skip|replace|revert|inject|list`.

use anyhow::{Result, bail};
use dm_proto::pb::{ErrorOp, HandleErrorRequest};

use super::{Answer, connect, rpc};
use crate::{
    app::{Binlog, BinlogArgs, Globals},
    files,
};

pub(super) async fn run(globals: &Globals, command: Binlog) -> Result<Answer> {
    let (op, args) = match command {
        Binlog::Skip(args) => (ErrorOp::Skip, args),
        Binlog::Replace(args) => (ErrorOp::Replace, args),
        Binlog::Revert(args) => (ErrorOp::Revert, args),
        Binlog::Inject(args) => (ErrorOp::Inject, args),
        Binlog::List(args) => (ErrorOp::List, args),
    };
    check(op, &args)?;
    let request = HandleErrorRequest {
        op: op.into(),
        task: files::task_name(&args.task)?,
        sources: globals.sources.clone(),
        binlog_pos: args.binlog_pos,
        sqls: args.sqls,
    };
    let response = rpc(connect(globals).await?.handle_error(request).await)?;
    Answer::json(&response, "pb.HandleErrorResponse", response.result)
}

fn check(op: ErrorOp, args: &BinlogArgs) -> Result<()> {
    match op {
        ErrorOp::Replace | ErrorOp::Inject if args.sqls.is_empty() => {
            bail!("must specify the replace sqls for {} operation", op.as_str_name())
        }
        ErrorOp::Skip | ErrorOp::Revert | ErrorOp::List if !args.sqls.is_empty() => {
            bail!("{} takes no statements", op.as_str_name().to_lowercase())
        }
        ErrorOp::Skip
        | ErrorOp::Replace
        | ErrorOp::Revert
        | ErrorOp::Inject
        | ErrorOp::List
        | ErrorOp::InvalidErrorOp => Ok(()),
    }
}
