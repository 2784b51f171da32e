//! What a task and a source of a cell say, and how they are begun.

use anyhow::Result;
use dm_tests::Server;

use crate::place::Stream;

/// source.yaml and task.yaml.
#[derive(Debug, Default, Clone)]
pub(crate) struct Texts {
    pub(crate) source: String,
    pub(crate) task: String,
}

pub(crate) struct Task<'a> {
    pub(crate) schema: &'a str,
    pub(crate) meta: &'a str,
    pub(crate) source_id: &'a str,
    /// File, offset and GTID set to begin with; `None` copies first.
    pub(crate) from: Option<&'a (String, u64, String)>,
    pub(crate) by_gtid: bool,
    pub(crate) target_port: u16,
    pub(crate) chunk_rows: u32,
}

pub(crate) fn source(id: &str, by_gtid: bool, server: &Server) -> String {
    let port = server.port();
    format!(
        "source-id: {id}\nenable-gtid: {by_gtid}\nfrom: {{host: 127.0.0.1, port: {port}, user: dm, password: dm}}\n"
    )
}

/// The task is named as its schema.
pub(crate) fn task(task: &Task<'_>) -> String {
    let Task { schema, meta, source_id, target_port, chunk_rows, .. } = task;
    let mode = if task.from.is_some() { "incremental" } else { "all" };
    let begin = task.from.map_or_else(String::new, |(file, offset, gtid)| {
        let gtid = if task.by_gtid { gtid.replace('\n', "") } else { String::new() };
        format!("    meta: {{binlog-name: {file}, binlog-pos: {offset}, binlog-gtid: \"{gtid}\"}}\n")
    });
    format!(
        "name: {schema}\ntask-mode: {mode}\nmeta-schema: {meta}\nignore-checking-items: [\"all\"]\n\
         target-database: {{host: 127.0.0.1, port: {target_port}, user: dm, password: dm}}\n\
         mysql-instances:\n  - source-id: {source_id}\n    block-allow-list: one\n    mydumper-config-name: d\n    \
         loader-config-name: l\n    syncer-config-name: s\n{begin}block-allow-list: {{one: {{do-dbs: [{schema}]}}}}\n\
         mydumpers: {{d: {{threads: 2, rows: {chunk_rows}}}}}\nloaders: {{l: {{pool-size: 2}}}}\n\
         syncers: {{s: {{worker-count: 4, batch: 20}}}}\n"
    )
}

/// Creates the source and starts the task. The worker may be dead before it hears of the task, so that is tried until the
/// task is there.
pub(crate) async fn begin(stream: &Stream, schema: &str, source_id: &str, texts: &Texts) -> Result<()> {
    let dmctl = stream.cluster.dmctl();
    let source = stream.file(&format!("{source_id}.yaml"), &texts.source)?;
    dmctl.ok(&["operate-source", "create", &source]).await?;
    let task = stream.file(&format!("{schema}.yaml"), &texts.task)?;
    tokio::spawn(async move {
        for _ in 0..5 {
            if dmctl.run(&["start-task", &task]).await.is_ok_and(|output| output.stdout.contains("\"result\": true")) {
                return;
            }
        }
    });
    Ok(())
}
