//! How long the masters take no writes: a stream of small linearizable writes, one every few milliseconds, through all masters in
//! turn, whether or not earlier ones were answered.
//!
//! Owns the times of acknowledgement. A gap is the longest time between two of them, so it is never shorter than what a client
//! saw. A write that fails is not repeated: the next one is on its way.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use dm_proto::meta::{PutRequest, meta_client::MetaClient};
use dm_tests::wait;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::MissedTickBehavior,
};
use tonic::transport::{Channel, Endpoint};

const PACE: Duration = Duration::from_millis(5);
const PUT_LIMIT: Duration = Duration::from_secs(2);
/// Writes on their way at most.
const MAX_IN_FLIGHT: usize = 128;

#[derive(Debug)]
pub struct Prober {
    acks: Arc<Mutex<Vec<Instant>>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Prober {
    /// Starts to write. Masters that do not answer are tried again and again.
    ///
    /// # Errors
    /// An address is none.
    pub fn start(master_addrs: Vec<String>) -> Result<Self> {
        let mut clients = Vec::new();
        for addr in master_addrs {
            let endpoint = Endpoint::from_shared(format!("http://{addr}")).context("read a master's address")?;
            clients.push(MetaClient::new(endpoint.connect_timeout(PUT_LIMIT).connect_lazy()));
        }
        let acks = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(probe(clients, Arc::clone(&acks), stopped));
        Ok(Self { acks, stop, task })
    }

    /// Acknowledged writes so far.
    pub fn n_acks(&self) -> usize {
        self.acks.lock().map_or(0, |acks| acks.len())
    }

    /// Waits until `n` more writes are acknowledged.
    ///
    /// # Errors
    /// They are not within `limit`.
    pub async fn wait_acks(&self, n: usize, limit: Duration) -> Result<()> {
        let before = self.n_acks();
        wait::until("acknowledged writes", limit, || async { Ok((self.n_acks() >= before + n).then_some(())) }).await
    }

    /// The longest time without an acknowledged write since `from`, counted from the last one before.
    pub fn longest_gap(&self, from: Instant) -> Duration {
        self.acks.lock().map_or(Duration::ZERO, |acks| longest_gap(&acks, from, Instant::now()))
    }

    /// Ends it and gives the number of acknowledged writes.
    pub async fn stop(self) -> usize {
        let _ended_already = self.stop.send(true);
        let _result = self.task.await;
        self.acks.lock().map_or(0, |acks| acks.len())
    }
}

fn longest_gap(acks: &[Instant], from: Instant, to: Instant) -> Duration {
    let mut last = acks.iter().rev().find(|ack| **ack <= from).copied().unwrap_or(from);
    let mut longest = Duration::ZERO;
    for ack in acks.iter().filter(|ack| **ack > from).chain([&to]) {
        longest = longest.max(ack.saturating_duration_since(last));
        last = *ack;
    }
    longest
}

async fn probe(clients: Vec<MetaClient<Channel>>, acks: Arc<Mutex<Vec<Instant>>>, stopped: watch::Receiver<bool>) {
    let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (n, client) in clients.iter().cycle().enumerate() {
        pace.tick().await;
        if *stopped.borrow() {
            return;
        }
        let Ok(permit) = Arc::clone(&in_flight).try_acquire_owned() else { continue };
        let (mut client, acks) = (client.clone(), Arc::clone(&acks));
        tokio::spawn(async move {
            let _permit = permit;
            let request = PutRequest {
                key: format!("demo/probe/{}", n % 8),
                value: n.to_string(),
                client: String::new(),
                seq: 0,
            };
            if let Ok(Ok(_)) = tokio::time::timeout(PUT_LIMIT, client.put(request)).await
                && let Ok(mut acks) = acks.lock()
            {
                acks.push(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_the_last_write_before_the_fault() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let acks = [at(0), at(5), at(10), at(210), at(215)];
        assert_eq!(longest_gap(&acks, at(12), at(216)), Duration::from_millis(200));
        assert_eq!(longest_gap(&acks, at(212), at(220)), Duration::from_millis(5));
    }

    #[test]
    fn no_write_since_is_a_gap_until_now() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(longest_gap(&[at(0)], at(10), at(500)), Duration::from_millis(500));
        assert_eq!(longest_gap(&[], at(10), at(500)), Duration::from_millis(490));
    }
}
