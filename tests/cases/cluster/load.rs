//! A writer that keeps changing rows of `schema.t` until it is stopped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::Result;
use dm_tests::{Server, wait};
use mysql_async::{Conn, Opts, prelude::Queryable};
use tokio::task::JoinHandle;

use super::bench::SOON;

/// Dropping it ends the writer.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    n_done: Arc<AtomicU64>,
    writer: Option<JoinHandle<Result<()>>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Load {
    /// Ids from `first` upwards belong to this writer.
    pub(crate) fn start(server: &Server, schema: &str, first: u64) -> Self {
        let (stop, n_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer =
            tokio::spawn(write(server.root_opts(), schema.to_owned(), first, Arc::clone(&stop), Arc::clone(&n_done)));
        Self { stop, n_done, writer: Some(writer) }
    }

    /// Waits until it has made this many changes more.
    pub(crate) async fn go_on(&self, n_more: u64) -> Result<()> {
        let goal = self.n_done.load(Ordering::Relaxed) + n_more;
        wait::until("the writer", SOON, || async { Ok((self.n_done.load(Ordering::Relaxed) >= goal).then_some(())) })
            .await
    }

    /// Everything it wrote is committed when this returns.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.writer.take() {
            Some(writer) => writer.await?,
            None => Ok(()),
        }
    }
}

async fn write(opts: Opts, schema: String, first: u64, stop: Arc<AtomicBool>, n_done: Arc<AtomicU64>) -> Result<()> {
    let mut conn = Conn::new(opts).await?;
    let mut id = first;
    while !stop.load(Ordering::Relaxed) {
        conn.query_drop(format!("INSERT INTO {schema}.t VALUES ({id}, 'new'), ({}, 'new')", id + 1)).await?;
        conn.query_drop(format!(
            "UPDATE {schema}.t SET v = CONCAT(v, '+') WHERE id BETWEEN {} AND {id}",
            id.saturating_sub(6).max(first)
        ))
        .await?;
        if id % 10 == 0 {
            conn.query_drop(format!("DELETE FROM {schema}.t WHERE id = {id}")).await?;
        }
        id += 2;
        n_done.fetch_add(1, Ordering::Relaxed);
    }
    conn.disconnect().await?;
    Ok(())
}
