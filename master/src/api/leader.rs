//! `transfer-leader`: the drill. The gap it answers is measured with writes of its own, not taken from Raft's word.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_model::{MasterName, error::Coded};
use dm_proto::{
    meta::{PutRequest, meta_client::MetaClient},
    pb::{LeaderOp, OperateLeaderRequest, OperateLeaderResponse, TransferLeaderRequest, TransferLeaderResponse},
};
use dm_raft::node::{SlowDisk, TransferError};
use dm_state::{
    Command, Rejection,
    command::{DeleteMeta, PutMeta},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::marked;
use crate::{context::Context, error::Error, evict, leader::Leading};

/// Pause between two probe writes.
const PROBE_PERIOD: Duration = Duration::from_millis(2);
/// A probe that got no answer by then is given up and written again.
const PROBE_LIMIT: Duration = Duration::from_millis(100);
/// Probing before and after, so that the gap has two sides.
const MARGIN: Duration = Duration::from_millis(100);
/// How long the new leader may take to accept a write.
const AFTER_LIMIT: Duration = Duration::from_secs(5);
const PROBE_KEY: &str = "dm/leader-probe";

pub(super) async fn transfer(
    context: &Context,
    leading: &Arc<Leading>,
    request: TransferLeaderRequest,
) -> TransferLeaderResponse {
    match try_transfer(context, leading, &request.name).await {
        Ok(response) => response,
        Err(error) => TransferLeaderResponse {
            result: false,
            msg: error.text(),
            old_leader: context.name.to_string(),
            ..TransferLeaderResponse::default()
        },
    }
}

/// `operate-leader evict` and `cancel-evict`.
pub(super) async fn operate(
    _context: &Context,
    leading: &Arc<Leading>,
    request: OperateLeaderRequest,
) -> OperateLeaderResponse {
    match try_operate(leading, &request).await {
        Ok(()) => OperateLeaderResponse { result: true, msg: String::new() },
        Err(error) => OperateLeaderResponse { result: false, msg: error.text() },
    }
}

async fn try_operate(leading: &Leading, request: &OperateLeaderRequest) -> Result<(), Error> {
    let name = request.name.clone();
    let name =
        MasterName::parse(name.clone()).map_err(|_| Error::BadArgument { what: "dm-master name", text: name })?;
    if leading.cluster.member_named(&name).is_none() {
        return Err(Rejection::MasterUnknown { name }.into());
    }
    let key = evict::key(&name);
    let command = match request.op() {
        LeaderOp::EvictLeaderOp => Command::PutMeta(PutMeta { key, value: b"1".to_vec() }),
        LeaderOp::CancelEvictLeaderOp => Command::DeleteMeta(DeleteMeta { key }),
        LeaderOp::InvalidLeaderOp => {
            let op = request.op().as_str_name().to_owned();
            return Err(Error::BadOperation { op, expected: "evict, cancel-evict" });
        }
    };
    leading.propose(command).await?;
    Ok(())
}

async fn try_transfer(context: &Context, leading: &Leading, name: &str) -> Result<TransferLeaderResponse, Error> {
    let name =
        MasterName::parse(name).map_err(|_| Error::BadArgument { what: "dm-master name", text: name.to_owned() })?;
    if evict::is_evicted(&leading.read().await?, &name) {
        return Err(Error::Evicted { name });
    }
    let to = leading.cluster.member_named(&name).ok_or(Rejection::MasterUnknown { name })?;
    let probe = Probe::start(context);
    probe.wait_for_success(Instant::now(), MARGIN * 10).await;
    sleep(MARGIN).await;
    info!(to, "transferring leadership");
    let begun = Instant::now();
    let mut note = String::new();
    let mut transferred = leading.cluster.node().transfer_leader(to, SlowDisk::Refuse).await;
    if let Err(slow @ TransferError::SlowDisk { .. }) = &transferred {
        // an operator who asks for it gets it, and is told what the figure is worth
        note = slow.to_string();
        transferred = leading.cluster.node().transfer_leader(to, SlowDisk::Accept).await;
    }
    let (transfer, wrote) = match transferred {
        Ok(transfer) => {
            let wrote = probe.wait_for_success(Instant::now(), AFTER_LIMIT).await;
            sleep(MARGIN).await;
            (transfer, wrote)
        }
        Err(error) => {
            probe.stop().await;
            info!(code = error.code().number, "transfer refused");
            return Err(error.into());
        }
    };
    let gap = probe.stop().await.longest_gap(begun);
    let new_leader = context
        .cluster
        .node()
        .members()
        .into_iter()
        .find(|member| member.node == transfer.leader)
        .map(|member| member.master.name)
        .unwrap_or_default();
    info!(new_leader, ?gap, raft_gap = ?transfer.gap, "leadership transferred");
    let msg = if !wrote {
        format!("no write succeeded within {} s after the transfer", AFTER_LIMIT.as_secs())
    } else if transfer.leader != to {
        "another dm-master than the asked one was elected".to_owned()
    } else {
        String::new()
    };
    Ok(TransferLeaderResponse {
        result: msg.is_empty(),
        msg: if msg.is_empty() { note } else { msg },
        old_leader: context.name.to_string(),
        new_leader,
        write_gap_ms: gap.as_secs_f64() * 1000.0,
    })
}

/// When probe writes succeeded.
#[derive(Debug, Default, Clone)]
struct Successes(Vec<Instant>);

impl Successes {
    /// The longest time between two successes in a row, of which the later is after `from`.
    fn longest_gap(&self, from: Instant) -> Duration {
        self.0
            .windows(2)
            .filter(|pair| pair[1] >= from)
            .map(|pair| pair[1].duration_since(pair[0]))
            .max()
            .unwrap_or(Duration::ZERO)
    }
}

/// Writes until it is stopped, at whoever leads.
struct Probe {
    successes: Arc<Mutex<Successes>>,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<()>,
}

impl Probe {
    fn start(context: &Context) -> Self {
        let successes = Arc::new(Mutex::new(Successes::default()));
        let stop = CancellationToken::new();
        let done = context.tasks.spawn("leader probe", run(context.clone(), Arc::clone(&successes), stop.clone()));
        Self { successes, stop, done }
    }

    /// Whether a write succeeded after `from` within the limit.
    async fn wait_for_success(&self, from: Instant, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if self.read().0.last().is_some_and(|at| *at >= from) {
                return true;
            }
            sleep(PROBE_PERIOD).await;
        }
        false
    }

    async fn stop(self) -> Successes {
        self.stop.cancel();
        // it was cancelled or has panicked; what it saw counts either way
        let _ = self.done.await;
        self.successes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self) -> Successes {
        self.successes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn run(context: Context, successes: Arc<Mutex<Successes>>, stop: CancellationToken) {
    loop {
        let wrote = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            wrote = timeout(PROBE_LIMIT, write(&context)) => wrote.unwrap_or(false),
        };
        if wrote {
            successes.lock().unwrap_or_else(PoisonError::into_inner).0.push(Instant::now());
        }
        sleep(PROBE_PERIOD).await;
    }
}

async fn write(context: &Context) -> bool {
    let Some(leader) = context.cluster.leader() else { return false };
    if leader.node == context.cluster.node().node_id() {
        let command = PutMeta { key: PROBE_KEY.to_owned(), value: Vec::new() };
        return context.cluster.propose_for(None, Command::PutMeta(command)).await.is_ok();
    }
    let Ok(channel) = context.channel(&leader.api_addr) else { return false };
    let request = PutRequest { key: PROBE_KEY.to_owned(), ..PutRequest::default() };
    MetaClient::new(channel).put(marked(request)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_pause_that_ends_after_the_start() {
        let at = |ms| Instant::now() + Duration::from_millis(ms);
        let base = at(0);
        let ms = |n| base + Duration::from_millis(n);
        let successes = Successes(vec![ms(0), ms(50), ms(52), ms(70), ms(72)]);
        assert_eq!(successes.longest_gap(ms(51)), Duration::from_millis(18));
        assert_eq!(Successes::default().longest_gap(base), Duration::ZERO);
    }
}
