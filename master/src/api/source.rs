//! `operate-source create|stop|show`.

use std::{sync::Arc, time::Duration};

use dm_config::SourceConfig;
use dm_model::{Flavor, SourceId, WorkerName};
use dm_mysql::{Connector, Purpose, ServerFacts, facts};
use dm_proto::pb::{self, CommonWorkerResponse, SourceOp};
use dm_state::{
    Command, Rejection, State,
    command::{BeginMove, DeleteSource, Expect, PutSource},
    record::ConfigText,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::View;
use crate::{context::Context, error::Error, leader::Leading};

/// Connecting to a source and looking at it.
const VERIFY_LIMIT: Duration = Duration::from_secs(30);
/// How long the answer waits for the source to be placed on a worker.
const PLACE_LIMIT: Duration = Duration::from_secs(2);

type Answer = Result<Vec<CommonWorkerResponse>, Error>;

pub(super) async fn operate(
    context: &Context,
    leading: &Arc<Leading>,
    request: pb::OperateSourceRequest,
) -> pb::OperateSourceResponse {
    let done = match request.op() {
        SourceOp::StartSource => create(context, leading, &request).await,
        SourceOp::StopSource => stop(leading, &request).await,
        op @ (SourceOp::UpdateSource | SourceOp::ShowSource | SourceOp::InvalidSourceOp) => {
            Err(Error::BadOperation { op: op.as_str_name().to_owned(), expected: "create, stop, show" })
        }
    };
    match done {
        Ok(sources) => pb::OperateSourceResponse { result: true, msg: String::new(), sources },
        Err(error) => pb::OperateSourceResponse { result: false, msg: error.text(), sources: Vec::new() },
    }
}

pub(super) fn show(_context: &Context, view: &View, request: pb::OperateSourceRequest) -> pb::OperateSourceResponse {
    let state = view.state();
    let named = |id: &SourceId| request.source_id.is_empty() || request.source_id.iter().any(|one| one == id.as_str());
    let sources =
        state.sources().filter(|source| named(&source.id)).map(|source| element(state, &source.id, "")).collect();
    pb::OperateSourceResponse { result: true, msg: view.note(), sources }
}

fn element(state: &State, id: &SourceId, msg: &str) -> CommonWorkerResponse {
    let worker = state.worker_of(id).map(|worker| worker.name.to_string()).unwrap_or_default();
    CommonWorkerResponse { result: true, msg: msg.to_owned(), source: id.to_string(), worker }
}

/// Verifies all sources, then stores them; what was stored is taken back when a later one fails.
async fn create(context: &Context, leading: &Arc<Leading>, request: &pb::OperateSourceRequest) -> Answer {
    let state = leading.read().await?;
    let worker = match request.worker_name.as_str() {
        "" => None,
        name => {
            let name = WorkerName::parse(name)
                .map_err(|_| Error::BadArgument { what: "worker name", text: name.to_owned() })?;
            if state.session_of(&name).is_none() {
                return Err(Rejection::WorkerUnknown { name }.into());
            }
            Some(name)
        }
    };
    let mut verified = Vec::new();
    for text in &request.config {
        let (source, warnings) = SourceConfig::parse(text)?;
        for warning in warnings {
            warn!(source = %source.source_id, %warning, "source file");
        }
        if state.source(&source.source_id).is_some() {
            return Err(Rejection::SourceExists { source_id: source.source_id }.into());
        }
        let facts = verify(context, &source).await?;
        verified.push((source.source_id.clone(), fill(text, &source, &facts)));
    }
    let mut created: Vec<SourceId> = Vec::new();
    for (id, text) in verified {
        let put = PutSource { source: id.clone(), config: ConfigText::new(text), expect: Expect::Absent };
        match leading.propose(Command::PutSource(put)).await {
            Ok(_) => created.push(id),
            Err(error) => {
                take_back(leading, created).await;
                return Err(error);
            }
        }
    }
    info!(sources = ?created, "sources created");
    Ok(placed(leading, &created, worker).await)
}

async fn take_back(leading: &Leading, created: Vec<SourceId>) {
    for source in created {
        if let Err(error) = leading.propose(Command::DeleteSource(DeleteSource { source: source.clone() })).await {
            warn!(%source, error = error.text(), "cannot take the source back");
        }
    }
}

/// Waits a moment for the sources to find their workers; a source without one stays unbound, and the element says so.
async fn placed(leading: &Leading, created: &[SourceId], worker: Option<WorkerName>) -> Vec<CommonWorkerResponse> {
    let until = Instant::now() + PLACE_LIMIT;
    loop {
        let state = leading.cluster.local();
        let is_placed = created.iter().all(|id| state.worker_of(id).is_some());
        if is_placed || Instant::now() >= until || state.sessions().len() == 0 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    if let Some(worker) = worker {
        for source in created {
            let begin = BeginMove { source: source.clone(), to: Some(worker.clone()) };
            if let Err(error) = leading.propose(Command::BeginMove(begin)).await {
                warn!(%source, error = error.text(), "source stays where it was placed");
            }
        }
        let until = Instant::now() + PLACE_LIMIT;
        while Instant::now() < until {
            let state = leading.cluster.local();
            if created.iter().all(|id| state.worker_of(id).is_some_and(|on| on.name == worker)) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    let state = leading.cluster.local();
    created
        .iter()
        .map(|id| {
            let msg =
                if state.worker_of(id).is_none() { "source is added but there is no free worker to bound" } else { "" };
            element(&state, id, msg)
        })
        .collect()
}

async fn stop(leading: &Arc<Leading>, request: &pb::OperateSourceRequest) -> Answer {
    let state = leading.read().await?;
    let mut ids = Vec::new();
    for id in &request.source_id {
        let id = SourceId::parse(id.clone()).map_err(|_| Error::BadArgument { what: "source-id", text: id.clone() })?;
        ids.push(id);
    }
    for text in &request.config {
        ids.push(SourceConfig::parse(text)?.0.source_id);
    }
    let mut elements = Vec::new();
    for id in ids {
        let before = element(&state, &id, "");
        leading.propose(Command::DeleteSource(DeleteSource { source: id })).await?;
        elements.push(before);
    }
    Ok(elements)
}

/// Connects and checks what makes replication impossible at all.
async fn verify(context: &Context, source: &SourceConfig) -> Result<ServerFacts, Error> {
    let db = source.database(context.secret_key.as_ref())?;
    let looked = async {
        let mut conn = Connector::new(&db, Purpose::Check).connect().await?;
        let found = facts(&mut conn).await;
        // a connection that does not close is the server's to end
        let _ = conn.disconnect().await;
        found
    };
    let facts = timeout(VERIFY_LIMIT, looked)
        .await
        .map_err(|_| Error::SourceSilent { source_id: source.source_id.clone(), seconds: VERIFY_LIMIT.as_secs() })??;
    judge(source, &facts)?;
    Ok(facts)
}

fn judge(source: &SourceConfig, facts: &ServerFacts) -> Result<(), Error> {
    if let Some(flavor) = source.flavor
        && flavor != facts.flavor
    {
        let (given, found) = (flavor_name(flavor), flavor_name(facts.flavor));
        return Err(Error::OtherFlavor { source_id: source.source_id.clone(), given, found });
    }
    if source.enable_gtid && !facts.has_gtid() {
        return Err(Error::GtidOff { mode: facts.gtid_mode.clone().unwrap_or_else(|| "unknown".to_owned()) });
    }
    if !facts.log_bin {
        return Err(Error::BinlogOff { source_id: source.source_id.clone() });
    }
    if facts.binlog_format.eq_ignore_ascii_case("STATEMENT") {
        return Err(Error::BinlogFormat { source_id: source.source_id.clone(), format: facts.binlog_format.clone() });
    }
    Ok(())
}

/// The user's text with the flavor and a server id in it, if it had none. Comments and order stay.
fn fill(text: &str, source: &SourceConfig, facts: &ServerFacts) -> String {
    let mut filled = text.to_owned();
    if source.flavor.is_none() {
        filled = with_key(&filled, "flavor", flavor_name(facts.flavor));
    }
    if source.server_id == 0 {
        // the range DM picks from: far from what people give their servers
        let server_id = 429_000_000 + rand::random::<u32>() % 3_800_000_000;
        filled = with_key(&filled, "server-id", &server_id.to_string());
    }
    // a text of another shape (one flow mapping) stays as it is; the worker finds both out by itself
    match SourceConfig::parse(&filled) {
        Ok(_) => filled,
        Err(_) => text.to_owned(),
    }
}

fn flavor_name(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "mysql",
        Flavor::MariaDb => "mariadb",
    }
}

fn with_key(text: &str, key: &str, value: &str) -> String {
    let is_key = |line: &&str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    let mut filled: String = text.split_inclusive('\n').filter(|line| !is_key(line)).collect();
    if !filled.ends_with('\n') {
        filled.push('\n');
    }
    filled.push_str(&format!("{key}: {value}\n"));
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_added_and_the_rest_stays() {
        let text = "# mine\nsource-id: a\nflavor: \"\"\nfrom:\n  host: h";
        let filled = with_key(text, "flavor", "mysql");
        assert_eq!(filled, "# mine\nsource-id: a\nfrom:\n  host: h\nflavor: mysql\n");
    }
}
