//! One file per group of commands; this one only says which.

mod binlog;
mod check_task;
mod config;
mod encrypt;
mod list_member;
mod offline_member;
mod operate_leader;
mod operate_source;
mod operate_task;
mod query_status;
mod start_task;
mod transfer_leader;

use anyhow::{Context, Result, bail};
use dm_proto::pb::{TaskOp, master_client::MasterClient};
use prost::Message;
use tonic::transport::Channel;

use crate::{
    app::{Command, Globals},
    client, json,
};

/// What a command has to say.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The answer's own `result`.
    pub(crate) ok: bool,
    pub(crate) text: String,
}

impl Answer {
    /// A response as JSON; `name` is its protobuf name.
    fn json<M: Message>(message: &M, name: &str, ok: bool) -> Result<Self> {
        Ok(Self { ok, text: json::render(message, name)? })
    }

    fn text(text: impl Into<String>) -> Self {
        Self { ok: true, text: text.into() }
    }
}

/// DM's commands that this version does not have, and in whose place nothing else is done.
const NOT_BUILT: [&str; 19] = [
    "update-task",
    "transfer-source",
    "start-relay",
    "stop-relay",
    "pause-relay",
    "resume-relay",
    "purge-relay",
    "shard-ddl-lock",
    "show-ddl-locks",
    "unlock-ddl-lock",
    "binlog-schema",
    "operate-schema",
    "handle-error",
    "validation",
    "get-config",
    "get-task-config",
    "drain-worker",
    "backup",
    "decrypt",
];

/// Carries a command out.
///
/// # Errors
/// It could not be: bad arguments, no master, a file that cannot be read, an RPC that failed.
pub(crate) async fn run(globals: &Globals, command: Command) -> Result<Answer> {
    match command {
        Command::StartTask(args) => start_task::run(globals, args).await,
        Command::StopTask(args) => operate_task::run(globals, TaskOp::Delete, args).await,
        Command::PauseTask(args) => operate_task::run(globals, TaskOp::Pause, args).await,
        Command::ResumeTask(args) => operate_task::run(globals, TaskOp::Resume, args).await,
        Command::CheckTask(args) => check_task::run(globals, args).await,
        Command::QueryStatus(args) => query_status::run(globals, args).await,
        Command::OperateSource(args) => operate_source::run(globals, args).await,
        Command::ListMember(args) => list_member::run(globals, args).await,
        Command::OfflineMember(args) => offline_member::run(globals, args).await,
        Command::Config(command) => config::run(globals, command).await,
        Command::Binlog(command) => binlog::run(globals, command).await,
        Command::Encrypt { plaintext } => encrypt::run(globals, plaintext).await,
        Command::OperateLeader(command) => operate_leader::run(globals, command).await,
        Command::TransferLeader { name } => transfer_leader::run(globals, name).await,
        Command::Other(words) => refuse(&words),
    }
}

fn refuse(words: &[String]) -> Result<Answer> {
    let name = words.first().map_or("", String::as_str);
    if NOT_BUILT.contains(&name) {
        bail!("command `{name}` is not built yet in this version");
    }
    bail!("unknown command \"{name}\" for \"dmctl\"\nRun 'dmctl --help' for usage.")
}

async fn connect(globals: &Globals) -> Result<MasterClient<Channel>> {
    client::connect(&globals.master_addrs, globals.tls.clone(), globals.rpc_timeout).await
}

/// The part of a status that a person can use.
fn rpc<T>(answer: std::result::Result<tonic::Response<T>, tonic::Status>) -> Result<T> {
    match answer {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => {
            Err(anyhow::anyhow!("{} (rpc: {:?})", status.message(), status.code())).context("request failed")
        }
    }
}
