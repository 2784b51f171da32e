//! `stop-task`, `pause-task` and `resume-task`: by task name, task file, or all tasks of one source.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use dm_proto::pb::{
    CommonWorkerResponse, OperateTaskRequest, OperateTaskResponse, QueryStatusListRequest, TaskOp,
    master_client::MasterClient,
};
use serde::Serialize;
use tonic::transport::Channel;

use super::{Answer, connect, rpc};
use crate::{
    app::{Globals, TaskArgs},
    files,
};

pub(super) async fn run(globals: &Globals, op: TaskOp, args: TaskArgs) -> Result<Answer> {
    let mut client = connect(globals).await?;
    match args.task {
        Some(task) => {
            let response = operate(&mut client, op, files::task_name(&task)?, globals.sources.clone()).await?;
            Answer::json(&response, "pb.OperateTaskResponse", response.result)
        }
        None => match globals.sources.as_slice() {
            [source] => of_source(&mut client, op, source, args.batch_size.max(1)).await,
            _ => bail!("can only give one source by -s/--source when no task name is specified"),
        },
    }
}

async fn operate(
    client: &mut MasterClient<Channel>,
    op: TaskOp,
    name: String,
    sources: Vec<String>,
) -> Result<OperateTaskResponse> {
    rpc(client.operate_task(OperateTaskRequest { op: op.into(), name, sources }).await)
}

/// All tasks of a source, in plain JSON sorted by task.
#[derive(Debug, Serialize)]
struct OfSource {
    result: bool,
    msg: String,
    tasks: Vec<OneTask>,
}

#[derive(Debug, Serialize)]
struct OneTask {
    task: String,
    op: &'static str,
    result: bool,
    msg: String,
    sources: Vec<OneSource>,
}

#[derive(Debug, Serialize)]
struct OneSource {
    result: bool,
    msg: String,
    source: String,
    worker: String,
}

impl From<CommonWorkerResponse> for OneSource {
    fn from(one: CommonWorkerResponse) -> Self {
        Self { result: one.result, msg: one.msg, source: one.source, worker: one.worker }
    }
}

async fn of_source(client: &mut MasterClient<Channel>, op: TaskOp, source: &str, batch_size: usize) -> Result<Answer> {
    let request = QueryStatusListRequest { name: String::new(), sources: vec![source.to_owned()] };
    let status = rpc(client.query_status(request).await)?;
    let names: BTreeSet<String> = status
        .sources
        .iter()
        .flat_map(|s| &s.sub_task_status)
        .map(|subtask| subtask.name.clone())
        .filter(|name| !name.is_empty())
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    let mut tasks = Vec::with_capacity(names.len());
    for batch in names.chunks(batch_size) {
        let mut running = Vec::with_capacity(batch.len());
        for name in batch {
            let (mut client, name, source) = (client.clone(), name.clone(), source.to_owned());
            running.push(tokio::spawn(async move {
                let answer = operate(&mut client, op, name.clone(), vec![source]).await;
                (name, answer)
            }));
        }
        for one in running {
            let (task, answer) = one.await?;
            let answer = answer?;
            tasks.push(OneTask {
                task,
                op: op.as_str_name(),
                result: answer.result,
                msg: answer.msg,
                sources: answer.sources.into_iter().map(OneSource::from).collect(),
            });
        }
    }
    let result = tasks.iter().all(|task| task.result);
    let answer = OfSource { result, msg: String::new(), tasks };
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    answer.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    Ok(Answer { ok: result, text: String::from_utf8(out)? })
}
