//! Runs one cell: owners die at their points while an application writes, a last one finishes, the servers are compared.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dm_tests::{
    Server,
    binlog_text::{self, Since, Tail, Verdict},
    cluster::Dmctl,
    server::{Loss, LossyProxy},
    wait,
};
use nix::sys::signal::Signal;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    cell::{Action, Cell, Scenario, Trap},
    life::Life,
    load::{self, Load},
    place::{self, Stream},
    texts::{self, Texts},
};

const SOON: Duration = Duration::from_secs(40);

/// What is known of a cell that ran.
pub(crate) struct Done {
    /// Traps that struck.
    pub(crate) hits: Vec<Trap>,
    pub(crate) took: Duration,
    pub(crate) result: Result<()>,
}

/// Runs a cell; whatever comes of it, nothing of it runs on.
pub(crate) async fn run(stream: &Stream, cell: &Cell) -> Done {
    let begun = Instant::now();
    let mut run = Run::new(stream, cell);
    let result = run.all().await;
    let result = match (result, run.tidy().await) {
        (Ok(()), tidied) => tidied.context("tidy up"),
        (Err(error), _) => Err(run.explain(error)),
    };
    Done { hits: run.hits, took: begun.elapsed(), result }
}

struct Run<'a> {
    stream: &'a Stream,
    cell: &'a Cell,
    source: &'a Server,
    target: &'a Server,
    dmctl: Dmctl,
    schema: String,
    meta: String,
    source_id: String,
    lives: Vec<Life>,
    hits: Vec<Trap>,
    proxy: Option<LossyProxy>,
    texts: Texts,
}

impl<'a> Run<'a> {
    fn new(stream: &'a Stream, cell: &'a Cell) -> Self {
        let n = cell.number;
        Self {
            stream,
            cell,
            source: stream.servers.source(cell.source),
            target: stream.servers.target(cell.target),
            dmctl: stream.cluster.dmctl(),
            schema: format!("c{n}"),
            meta: format!("meta{n}"),
            source_id: format!("s{n}"),
            lives: Vec::new(),
            hits: Vec::new(),
            proxy: None,
            texts: Texts::default(),
        }
    }

    async fn all(&mut self) -> Result<()> {
        let scenario = self.cell.row.scenario;
        let is_copy = scenario == Scenario::Copy;
        let opts = self.source.root_opts();
        let since = (Since::now(self.source).await?, Since::now(self.target).await?);
        let from = place::end_of_log(self.source).await?;
        load::create(&opts, &self.schema, is_copy).await.context("make the schema")?;
        if matches!(scenario, Scenario::LostCommit | Scenario::LostDdl) {
            self.proxy = Some(LossyProxy::start(self.target.port()).await?);
        }
        let load = Load::start(&opts, &self.schema, self.cell.seed, !is_copy);
        let armed = self.cell.lives();
        self.begin_life(armed[0].clone())?;
        self.begin_task(&from).await?;
        self.provoke(&load).await?;
        let last_epoch = self.die_in_turn(&armed).await?;
        self.wait_owner(last_epoch).await?;
        for life in &mut self.lives {
            life.wake()?;
        }
        if is_copy {
            // tables that change while they are copied are snapshot.rs's
            self.wait_sync().await?;
        }
        load.finish().await.context("the application")?;
        place::settle(self.source, self.target, &self.schema).await?;
        self.end_former().await?;
        if let Some(difference) = place::difference_of(self.source, self.target, &self.schema).await? {
            bail!("equal at first, then not: {difference}");
        }
        place::check_lane_rows(self.target, &self.meta).await?;
        let source = (self.texts.source.as_str(), since.0);
        let verdict = binlog_text::prove(&self.texts.task, [source], since.1, Tail::Settled).await.context("prove")?;
        let is_mixed = is_copy && is_only_mixed_copy(&verdict, &self.schema);
        ensure!(verdict.is_proven() || is_mixed, "equal rows, but not proven: {verdict}");
        Ok(())
    }

    fn begin_life(&mut self, traps: Vec<Trap>) -> Result<()> {
        let name = format!("w{}-{}", self.cell.number, self.lives.len());
        self.lives.push(Life::start(&self.stream.cluster, &name, traps, "")?);
        Ok(())
    }

    /// The trap of a life has struck.
    async fn hit(&mut self, life: usize) -> Result<Action> {
        let traps = self.cell.lives().get(life).cloned().unwrap_or_default();
        let action = self.lives[life].hit().await?;
        self.hits.extend(traps);
        Ok(action)
    }

    /// Each armed life ends or freezes; the next begins. Gives the newest epoch when the last began.
    async fn die_in_turn(&mut self, armed: &[Vec<Trap>]) -> Result<u64> {
        let mut epoch = 0;
        for (idx, _) in armed.iter().enumerate() {
            self.hit(idx).await?;
            epoch = place::newest_epoch(self.target, &self.meta).await?;
            self.begin_life(armed.get(idx + 1).cloned().unwrap_or_default())?;
        }
        Ok(epoch)
    }

    /// What the scenario needs besides points: lost packets, or an order to end.
    async fn provoke(&mut self, load: &Load) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(self.cell.seed);
        match self.cell.row.scenario {
            Scenario::LostCommit | Scenario::LostDdl => {
                self.wait_rows().await?;
                let Some(proxy) = &self.proxy else { return Ok(()) };
                let loss = if rng.random_bool(0.7) { Loss::Answer } else { Loss::Statement };
                if self.cell.row.scenario == Scenario::LostCommit {
                    // a connection that is being registered may meet the first
                    let script = [loss, Loss::Pass, Loss::Pass, loss, Loss::Pass, Loss::Pass, loss];
                    proxy.play("COMMIT", script);
                } else {
                    // the command itself and not the intent that quotes it
                    proxy.play("\u{3}ALTER TABLE", [loss]);
                }
            }
            Scenario::Drain => {
                self.wait_rows().await?;
                let n_done = load.n_done();
                wait::until("a few transactions more", SOON, || async {
                    Ok((load.n_done() > n_done + 5).then_some(()))
                })
                .await?;
                self.lives[0].process.signal(Signal::SIGTERM)?;
            }
            Scenario::Sync | Scenario::Copy | Scenario::Takeover | Scenario::TakeoverIntent | Scenario::Blocked => {}
        }
        Ok(())
    }

    /// Waits until replication flows.
    async fn wait_rows(&self) -> Result<()> {
        let sql = format!("SELECT COUNT(*) FROM {}.log", self.schema);
        wait::until("rows in the target", SOON, || async {
            let n_rows =
                place::column(self.target, &sql).await.ok().and_then(|found| found.first()?.parse::<u64>().ok());
            Ok(n_rows.filter(|n| *n > 5))
        })
        .await?;
        Ok(())
    }

    /// Waits until the copy is over.
    async fn wait_sync(&self) -> Result<()> {
        let sql = format!("SELECT COALESCE(MAX(low_file), '') FROM {}.dm_fence_lane", self.meta);
        wait::until("the end of the copy", SOON, || async {
            let found = place::column(self.target, &sql).await?;
            Ok(found.first().is_some_and(|file| !file.is_empty()).then_some(()))
        })
        .await
    }

    /// Waits until the target belongs to a newer epoch than `epoch`.
    async fn wait_owner(&self, epoch: u64) -> Result<()> {
        wait::until("a new owner of the target", SOON, || async {
            Ok((place::newest_epoch(self.target, &self.meta).await? > epoch).then_some(()))
        })
        .await
    }

    async fn begin_task(&mut self, from: &(String, u64, String)) -> Result<()> {
        let by_gtid = self.cell.by_gtid;
        self.texts = Texts {
            source: texts::source(&self.source_id, by_gtid, self.source),
            task: texts::task(&texts::Task {
                schema: &self.schema,
                meta: &self.meta,
                source_id: &self.source_id,
                from: (self.cell.row.scenario != Scenario::Copy).then_some(from),
                by_gtid,
                target_port: self.proxy.as_ref().map_or(self.target.port(), LossyProxy::port),
                chunk_rows: if self.cell.row.point.starts_with("chunk") { 100_000 } else { 12_000 },
            }),
        };
        texts::begin(self.stream, &self.schema, &self.source_id, &self.texts).await
    }

    /// Those that woke up have heard that they own nothing; then all but the last are ended.
    async fn end_former(&mut self) -> Result<()> {
        let last = self.lives.len().saturating_sub(1);
        for (idx, life) in self.lives.iter_mut().enumerate() {
            if idx == last {
                continue;
            }
            if life.was_frozen && life.process.is_running() {
                life.wake()?;
                life.has_ended_its_work().await?;
            }
            life.process.kill()?;
        }
        Ok(())
    }

    async fn tidy(&mut self) -> Result<()> {
        let stopped = self.dmctl.ok(&["stop-task", &self.schema]).await;
        let removed = self.dmctl.ok(&["operate-source", "stop", &self.source_id]).await;
        for life in &mut self.lives {
            life.process.kill()?;
        }
        for server in [self.source, self.target] {
            place::execute(server, &format!("DROP DATABASE IF EXISTS {}", self.schema)).await?;
        }
        place::execute(self.target, &format!("DROP DATABASE IF EXISTS {}", self.meta)).await?;
        stopped.context("stop the task")?;
        removed.context("remove the source")?;
        Ok(())
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let logs: String = self.lives.iter().map(Life::log_tail).collect();
        error.context(format!("{logs}{}", self.stream.cluster.log_tails()))
    }
}

/// A table with a second unique key that two owners copied at two moments runs in safe mode until it is past the later one
/// (data-plane.md 4.1, rule 11): older units write rows that the copy had newer. The proof tells each of them.
fn is_only_mixed_copy(verdict: &Verdict, schema: &str) -> bool {
    let table = format!("of `{schema}`.`k` after the later unit");
    usize::try_from(verdict.n_violations).is_ok_and(|n| n == verdict.violations.len())
        && verdict.n_fenced > 0
        && verdict.violations.iter().all(|text| text.contains(&table))
}
