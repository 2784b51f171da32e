//! A client that writes to the control plane and remembers what was acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use dm_proto::meta::{GetRequest, PutRequest, meta_client::MetaClient};
use dm_tests::wait;
use tokio::{task::JoinHandle, time::timeout};

use super::bench::{Bench, SOON};

const KEY: &str = "acknowledged";

/// Writes a growing number under one key until it is stopped; keeps the last one that was acknowledged.
pub(crate) struct Writes {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Writes {
    pub(crate) fn start(bench: &Bench, first: u64) -> Self {
        let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(first)));
        let writer = tokio::spawn(write(bench.cluster.master_addrs(), Arc::clone(&stop), Arc::clone(&acked)));
        Self { stop, acked, writer }
    }

    pub(crate) async fn go_on(&self, n_more: u64) -> Result<()> {
        let goal = self.acked.load(Ordering::Relaxed) + n_more;
        wait::until("acknowledged writes", SOON, || async {
            Ok((self.acked.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .await
    }

    /// The number that must be there at least.
    pub(crate) async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.await?;
        Ok(self.acked.load(Ordering::Relaxed))
    }
}

async fn write(addrs: Vec<String>, stop: Arc<AtomicBool>, acked: Arc<AtomicU64>) {
    let client = format!("writer-{}", acked.load(Ordering::Relaxed));
    let mut at = 0;
    let mut next = acked.load(Ordering::Relaxed) + 1;
    while !stop.load(Ordering::Relaxed) {
        let addr = format!("http://{}", addrs[at % addrs.len()]);
        let put = async {
            let mut meta = MetaClient::connect(addr).await.ok()?;
            while !stop.load(Ordering::Relaxed) {
                let request =
                    PutRequest { key: KEY.into(), value: next.to_string(), client: client.clone(), seq: next };
                timeout(Duration::from_secs(3), meta.put(request)).await.ok()?.ok()?;
                acked.store(next, Ordering::Relaxed);
                next += 1;
            }
            Some(())
        };
        // whoever did not answer may have written it: the same number is sent again, elsewhere
        if put.await.is_none() {
            at += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What every master reads is at least what was acknowledged.
pub(crate) async fn nothing_lost(bench: &Bench, acked: u64) -> Result<()> {
    for addr in bench.cluster.master_addrs() {
        let value = wait::until(&format!("a read at {addr}"), SOON, || async {
            let Ok(mut meta) = MetaClient::connect(format!("http://{addr}")).await else { return Ok(None) };
            let Ok(answer) = meta.get(GetRequest { key: KEY.into(), ..GetRequest::default() }).await else {
                return Ok(None);
            };
            Ok(answer.into_inner().value)
        })
        .await?;
        let found: u64 = value.parse().context("a number")?;
        ensure!(found >= acked && found <= acked + 1, "{addr} reads {found}, acknowledged was {acked}");
    }
    Ok(())
}
