//! Measures three masters in one process over loopback: writes per second by number of clients, latency of reads, and
//! the gap writers see when leadership is handed over.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use dm_model::{ClusterId, UnixMillis};
use dm_raft::{
    Node,
    node::{InitialCluster, Leadership, Listen, Options, SlowDisk, Start},
};
use dm_state::{
    Command, Entry,
    command::{Bootstrap, PutMeta},
};

fn put(key: String) -> Entry {
    Entry::new(UnixMillis(0), Command::PutMeta(PutMeta { key, value: vec![7; 200] }))
}

async fn leader(nodes: &[Node]) -> Node {
    let waiting = nodes.iter().map(|node| {
        Box::pin(async move {
            let mut leadership = node.leadership();
            let _ = leadership.wait_for(Leadership::is_leader).await;
            node.clone()
        })
    });
    futures::future::select_all(waiting).await.0
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let listeners: Vec<_> = (1..=3)
        .map(|n| Ok((format!("m{n}"), std::net::TcpListener::bind("127.0.0.1:0")?)))
        .collect::<anyhow::Result<_>>()?;
    let addrs: Vec<_> = listeners
        .iter()
        .map(|(name, l)| Ok((name.clone(), l.local_addr()?.to_string())))
        .collect::<anyhow::Result<_>>()?;
    let initial = InitialCluster::new(addrs.clone());
    let opening = listeners.into_iter().zip(addrs).map(|((name, listener), (_, addr))| {
        let mut options = Options::new(&name, dir.path().join(&name), addr, Start::Bootstrap(initial.clone()));
        options.listen = Listen::Bound(listener);
        Node::open(options)
    });
    let nodes = futures::future::try_join_all(opening).await?;
    let founders = Bootstrap { cluster_id: ClusterId("measure".into()), founders: Vec::new() };
    leader(&nodes).await.propose(Entry::new(UnixMillis(0), Command::Bootstrap(founders))).await?;

    for n_clients in [1usize, 32, 128] {
        let node = leader(&nodes).await;
        let started = Instant::now();
        // Collected: an iterator would start each client when the one before has ended.
        let clients: Vec<_> = (0..n_clients)
            .map(|client| {
                let node = node.clone();
                tokio::spawn(async move {
                    let mut n_done = 0u64;
                    while started.elapsed() < Duration::from_secs(3) {
                        n_done += u64::from(node.propose(put(format!("k{client}"))).await.is_ok());
                    }
                    n_done
                })
            })
            .collect();
        let mut n_done = 0;
        for client in clients {
            n_done += client.await?;
        }
        let writes = node.figures().writes;
        println!(
            "{n_clients:4} clients: {:.0} writes/s (synced batch p50 {:?}, p99 {:?})",
            n_done as f64 / started.elapsed().as_secs_f64(),
            writes.p50,
            writes.p99
        );
    }
    let node = leader(&nodes).await;
    let started = Instant::now();
    for _ in 0..500 {
        node.read().await?;
    }
    println!("linearizable read on the leader: {:?}", started.elapsed() / 500);

    let mut gaps = Vec::new();
    for _ in 0..20 {
        let node = leader(&nodes).await;
        let Some(to) = node.best_successor(&BTreeSet::new()) else { continue };
        let started = Instant::now();
        if let Err(error) = node.transfer_leader(to, SlowDisk::Accept).await {
            println!("no transfer: {error}");
            continue;
        }
        while leader(&nodes).await.propose(put("gap".into())).await.is_err() {}
        gaps.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    gaps.sort_unstable();
    println!(
        "hand-over, request to next write: n {} p50 {:?} max {:?}",
        gaps.len(),
        gaps.get(gaps.len() / 2),
        gaps.last()
    );
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}
