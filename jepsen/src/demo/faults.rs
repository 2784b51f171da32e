//! What the demo does to its cluster, and how long each of it was felt.
//!
//! Every fault is aimed at one process by its id, is undone at the end (the process starts again), and has its gap
//! measured from outside. Fails when the cluster does not recover in time.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dm_tests::wait;

use super::{
    lanes,
    place::Place,
    probe::Prober,
    shop::{self},
};

/// How long recovery may take.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Acknowledged writes that end a fault: more than can be on their way.
const N_CALM_ACKS: usize = 60;

/// One fault.
#[derive(Debug, Clone)]
pub struct Fault {
    pub what: String,
    pub gap: Duration,
    /// What the gap is, and further figures.
    pub note: String,
}

/// All faults of a run in order.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub list: Vec<Fault>,
    /// Subtasks that got another epoch while the leadership moved; `None` where that could not be seen.
    pub n_restarts: Option<u64>,
}

impl Faults {
    pub fn last_line(&self) -> String {
        self.list
            .last()
            .map(|fault| format!("{}: gap {} ms ({})", fault.what, ms(fault.gap), fault.note))
            .unwrap_or_default()
    }

    /// Moves the leadership to another master, as an operator does.
    ///
    /// # Errors
    /// dmctl is refused, or writes do not go on.
    pub async fn transfer_leader(&mut self, place: &mut Place, prober: &Prober) -> Result<()> {
        let epochs = lanes::epochs(place).await?;
        let leader = place.cluster()?.wait_leader(RECOVERY_LIMIT).await?;
        let others: Vec<String> = place.cluster()?.master_names().into_iter().filter(|name| *name != leader).collect();
        let dmctl = place.dmctl()?;
        // A master that is a moment behind is refused as the next leader: as an operator would, try the other one.
        let tries = RefCell::new(others.iter().cycle());
        let begun = Instant::now();
        let (next, answer) = wait::until("the leadership to move", RECOVERY_LIMIT, || async {
            let Some(next) = tries.borrow_mut().next() else { bail!("there is only one master") };
            let answer = dmctl.ok(&["transfer-leader", next]).await.context("transfer the leadership")?;
            Ok(Some((next, answer)))
        })
        .await?;
        prober.wait_acks(N_CALM_ACKS, RECOVERY_LIMIT).await?;
        let own = answer["writeGapMs"].as_f64().unwrap_or_default();
        self.list.push(Fault {
            what: format!("leadership moved {leader} → {next} during the snapshot"),
            gap: prober.longest_gap(begun),
            note: format!("no write acknowledged; the leader's own measure {own:.1} ms"),
        });
        self.count_restarts(place, &epochs).await
    }

    /// SIGKILL of the leader; it is started again when another leads.
    ///
    /// # Errors
    /// Nobody leads in time.
    pub async fn kill_leader(&mut self, place: &mut Place, prober: &Prober) -> Result<()> {
        let epochs = lanes::epochs(place).await?;
        let leader = place.cluster()?.wait_leader(RECOVERY_LIMIT).await?;
        let begun = Instant::now();
        place.cluster()?.process(&leader)?.kill()?;
        let dmctl = place.dmctl()?;
        let next = wait::until("another leader", RECOVERY_LIMIT, || async {
            let answer = dmctl.json(&["list-member", "--leader"]).await?;
            let name = answer["members"][0]["leader"]["name"].as_str().unwrap_or_default();
            Ok(Some(name.to_owned()).filter(|name| !name.is_empty() && *name != leader))
        })
        .await?;
        prober.wait_acks(N_CALM_ACKS, RECOVERY_LIMIT).await?;
        let gap = prober.longest_gap(begun);
        place.cluster()?.start_master(&leader)?;
        let what = format!("leader {leader} killed, {next} leads");
        self.list.push(Fault { what, gap, note: "no write acknowledged; the killed master is back".to_owned() });
        self.count_restarts(place, &epochs).await
    }

    /// SIGKILL of the worker that carries a source; it is started again when another carries on.
    ///
    /// # Errors
    /// Nobody carries on in time.
    pub async fn kill_worker(&mut self, place: &mut Place, source: &str) -> Result<()> {
        let worker = place.worker_of(source).await?;
        let mut conn = shop::connect(place.target().root_opts()).await?;
        let before = lanes::read(&mut conn, source).await?.context("find lane rows")?;
        let begun = Instant::now();
        place.cluster()?.process(&worker)?.kill()?;
        let mut taken_over = None;
        let gap = loop {
            let lanes = lanes::read(&mut conn, source).await?.context("find lane rows")?;
            if lanes.epoch > before.epoch {
                let (at, n_transactions) = *taken_over.get_or_insert((begun.elapsed(), lanes.n_transactions));
                if lanes.n_transactions > n_transactions {
                    break (begun.elapsed(), at);
                }
            }
            if begun.elapsed() > RECOVERY_LIMIT {
                bail!(
                    "nobody applies changes of {source} {RECOVERY_LIMIT:?} after {worker} was killed; lanes: {lanes:?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        conn.disconnect().await?;
        let next = place.worker_of(source).await.unwrap_or_else(|_| "another".to_owned());
        place.cluster()?.start_worker(&worker)?;
        self.list.push(Fault {
            what: format!("{worker}, which carried {source}, killed; {next} carries on"),
            gap: gap.0,
            note: format!("until the first transaction of the new owner; target taken over after {} ms", ms(gap.1)),
        });
        Ok(())
    }

    async fn count_restarts(&mut self, place: &Place, before: &[Option<u64>]) -> Result<()> {
        let after = lanes::epochs(place).await?;
        let seen: Vec<_> =
            before.iter().zip(&after).filter_map(|(before, after)| Some(((*before)?, (*after)?))).collect();
        if !seen.is_empty() {
            let n = seen.iter().filter(|(before, after)| before != after).count() as u64;
            self.n_restarts = Some(self.n_restarts.unwrap_or(0) + n);
        }
        Ok(())
    }
}

/// Milliseconds with one digit.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}
