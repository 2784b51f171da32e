//! A rule of the fence is switched off, and the proof has to notice; the same history with the rule on is proven.
//!
//! Each history also says whether equal rows would have noticed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dm_mysql::fail_point::Mutant;
use dm_tests::{
    Server, ServerKind,
    binlog_text::{self, Since, Tail, Verdict},
    server::{Loss, LossyProxy},
    wait,
};
use mysql_async::{Conn, prelude::Queryable};
use nix::sys::signal::Signal;

use crate::{
    life::Life,
    place::{self, Stream},
    texts::{self, Texts},
};

const SOON: Duration = Duration::from_secs(20);

/// Runs the mutant's history twice: with the rule, and without.
pub(crate) async fn is_caught(stream: &Stream, mutant: Mutant) -> Result<()> {
    let (verdict, difference) = history(stream, mutant, false).await.context("with the rule")?;
    ensure!(verdict.is_proven() && difference.is_none(), "not proven with the rule: {difference:?} {verdict}");
    let (verdict, difference) = history(stream, mutant, true).await.context("without the rule")?;
    let violation = verdict.violations.first().cloned().unwrap_or_default();
    println!(
        "mutant {}: {} violations, rows {}: {violation}",
        mutant.as_str(),
        verdict.n_violations,
        if difference.is_some() { "differ" } else { "are equal" }
    );
    ensure!(!verdict.is_proven(), "the proof does not notice {}: {verdict}", mutant.as_str());
    // a stale write that a later one covers is seen by nobody else
    ensure!(mutant != Mutant::NoFenceCheck || difference.is_none(), "rows were expected to be equal: {difference:?}");
    Ok(())
}

async fn history(stream: &Stream, mutant: Mutant, is_on: bool) -> Result<(Verdict, Option<String>)> {
    let schema = format!("{}{}", mutant.as_str().replace('-', "_"), u8::from(is_on));
    let target = stream.servers.target(ServerKind::MariaDb);
    let proxy = LossyProxy::start(target.port()).await?;
    let mut trial = Trial::begin(stream, schema, if is_on { mutant.as_str() } else { "" }, proxy.port()).await?;
    let ran = match mutant {
        Mutant::NoFenceCheck => trial.an_owner_sleeps().await,
        Mutant::ResumeWithoutWindows => trial.units_wait_above_the_watermark().await,
        Mutant::UnknownCommitIsFailure => trial.an_answer_is_lost(&proxy).await,
        Mutant::WindowsNotInherited => trial.two_owners_die_above_the_watermark().await,
    };
    let logs: String = trial.lives.iter().map(Life::log_tail).collect();
    let outcome = match ran {
        Ok(()) => trial.outcome().await,
        // without the rule a target may refuse what comes twice: then nothing goes on, and the log up to there is judged
        Err(_) if is_on => trial.stopped().await,
        Err(error) => Err(error),
    };
    trial.tidy().await.context("tidy up")?;
    outcome.context(logs)
}

/// One history between two servers.
struct Trial<'a> {
    stream: &'a Stream,
    source: &'a Server,
    target: &'a Server,
    schema: String,
    source_id: String,
    meta: String,
    texts: Texts,
    mutant: &'static str,
    lives: Vec<Life>,
    since: (Since<'a>, Since<'a>),
}

impl<'a> Trial<'a> {
    /// A keyed and a keyless table, and an owner that has them in the target.
    async fn begin(stream: &'a Stream, schema: String, mutant: &'static str, target_port: u16) -> Result<Self> {
        let kind = ServerKind::MariaDb;
        let (source, target) = (stream.servers.source(kind), stream.servers.target(kind));
        // there before the task, so that beginning too early meets nothing that the target would refuse
        for server in [source, target] {
            place::execute(server, &format!("CREATE DATABASE {schema}")).await?;
            place::execute(server, &format!("CREATE TABLE {schema}.k (id INT PRIMARY KEY, v INT)")).await?;
            place::execute(server, &format!("CREATE TABLE {schema}.bag (a INT)")).await?;
            place::execute(server, &format!("INSERT INTO {schema}.k VALUES (1, 0), (2, 0), (3, 0)")).await?;
        }
        let since = (Since::now(source).await?, Since::now(target).await?);
        let from = place::end_of_log(source).await?;
        let (meta, source_id) = (format!("meta_{schema}"), format!("s_{schema}"));
        let texts = Texts {
            source: texts::source(&source_id, true, source),
            task: texts::task(&texts::Task {
                schema: &schema,
                meta: &meta,
                source_id: &source_id,
                from: Some(&from),
                by_gtid: true,
                target_port,
                chunk_rows: 1000,
            }),
        };
        let mut trial =
            Self { stream, source, target, schema, source_id, meta, texts, mutant, lives: Vec::new(), since };
        trial.start()?;
        texts::begin(stream, &trial.schema, &trial.source_id, &trial.texts).await?;
        trial.write("UPDATE k SET v = 5 WHERE id = 3").await?;
        trial.wait_value(3, 5).await?;
        Ok(trial)
    }

    /// Another owner, who will be missed soon.
    fn start(&mut self) -> Result<()> {
        let name = format!("{}-{}", self.schema, self.lives.len());
        self.lives.push(Life::start_with_ttl(&self.stream.cluster, &name, Vec::new(), self.mutant, 1)?);
        Ok(())
    }

    fn last(&mut self) -> Result<&mut Life> {
        self.lives.last_mut().context("an owner")
    }

    async fn write(&self, sql: &str) -> Result<()> {
        let mut conn = self.source.root().await?;
        conn.query_drop(format!("USE {}", self.schema)).await?;
        conn.query_drop(sql).await.with_context(|| sql.to_owned())?;
        conn.disconnect().await?;
        Ok(())
    }

    /// Waits until a question to the target is answered by at least this number.
    async fn wait(&self, sql: &str, at_least: u64) -> Result<()> {
        let what = format!("{sql} to be {at_least}");
        wait::until(&what, SOON, || async {
            let mut conn = self.target.root().await?;
            conn.query_drop(format!("USE {}", self.schema)).await?;
            let found: Option<Option<u64>> = conn.query_first(sql).await?;
            conn.disconnect().await?;
            Ok(found.flatten().filter(|found| *found >= at_least).map(|_| ()))
        })
        .await
    }

    async fn wait_value(&self, id: u32, v: u64) -> Result<()> {
        self.wait(&format!("SELECT v FROM k WHERE id = {id}"), v).await
    }

    /// Someone holds a row in the target, and the owner waits for it with the change of it.
    async fn block(&self) -> Result<Conn> {
        let mut holder = self.target.root().await?;
        holder.query_drop("BEGIN").await?;
        holder.query_drop(format!("SELECT * FROM {}.k WHERE id = 1 FOR UPDATE", self.schema)).await?;
        self.write("UPDATE k SET v = 1 WHERE id = 1").await?;
        self.is_blocked().await?;
        Ok(holder)
    }

    /// By the server's counter: its list of transactions is a copy that is not renewed while it is asked for.
    async fn is_blocked(&self) -> Result<()> {
        let waits = "SELECT variable_value FROM information_schema.global_status \
                     WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'";
        wait::until("an owner to wait for a row", SOON, || async {
            let found = place::column(self.target, waits).await?;
            Ok(found.first().is_some_and(|text| text != "0").then_some(()))
        })
        .await
    }

    /// An owner freezes inside a transaction; its successor goes on; it wakes up and wants to finish.
    async fn an_owner_sleeps(&mut self) -> Result<()> {
        let mut holder = self.block().await?;
        let epoch = place::newest_epoch(self.target, &self.meta).await?;
        self.last()?.process.signal(Signal::SIGSTOP)?;
        self.start()?;
        wait::until("a successor", SOON, || async {
            Ok((place::newest_epoch(self.target, &self.meta).await? > epoch).then_some(()))
        })
        .await?;
        holder.query_drop("ROLLBACK").await?;
        self.wait_value(1, 1).await?;
        self.write("UPDATE k SET v = 2 WHERE id = 1").await?;
        self.wait_value(1, 2).await?;
        let sleeper = &mut self.lives[0];
        sleeper.process.signal(Signal::SIGCONT)?;
        sleeper.has_ended_its_work().await?;
        // it finishes what it has in hand before it ends
        sleeper.process.terminate(Duration::from_secs(20))?;
        self.write("UPDATE k SET v = 3 WHERE id = 1").await
    }

    /// An owner dies with units in the target that are above its watermark.
    async fn units_wait_above_the_watermark(&mut self) -> Result<()> {
        let mut holder = self.block().await?;
        self.write("UPDATE k SET v = 10 WHERE id = 2").await?;
        self.write("UPDATE k SET v = 20 WHERE id = 2").await?;
        self.wait_value(2, 20).await?;
        self.last()?.process.kill()?;
        holder.query_drop("ROLLBACK").await?;
        self.start()?;
        self.wait_value(1, 1).await
    }

    /// The same, and so does its successor, who has committed more through the same lane.
    async fn two_owners_die_above_the_watermark(&mut self) -> Result<()> {
        let mut holder = self.block().await?;
        self.write("INSERT INTO bag VALUES (1), (2)").await?;
        self.wait("SELECT COUNT(*) FROM bag", 2).await?;
        let epoch = place::newest_epoch(self.target, &self.meta).await?;
        self.last()?.process.kill()?;
        self.start()?;
        wait::until("a successor", SOON, || async {
            Ok((place::newest_epoch(self.target, &self.meta).await? > epoch).then_some(()))
        })
        .await?;
        self.is_blocked().await?;
        self.write("INSERT INTO bag VALUES (3)").await?;
        self.wait("SELECT COUNT(*) FROM bag", 3).await?;
        self.last()?.process.kill()?;
        holder.query_drop("ROLLBACK").await?;
        self.start()?;
        self.wait_value(1, 1).await
    }

    /// A COMMIT is executed and its answer lost.
    async fn an_answer_is_lost(&mut self, proxy: &LossyProxy) -> Result<()> {
        proxy.play("COMMIT", [Loss::Answer]);
        self.write("INSERT INTO bag VALUES (1), (2)").await?;
        self.wait("SELECT COUNT(*) FROM bag", 2).await
    }

    /// The owner finishes what it has read and ends; then both sides are compared in both ways.
    async fn outcome(&mut self) -> Result<(Verdict, Option<String>)> {
        self.write("UPDATE k SET v = 99 WHERE id = 3").await?;
        self.wait_value(3, 99).await?;
        self.last()?.process.terminate(Duration::from_secs(20))?;
        self.compare(Tail::Settled).await
    }

    /// Nothing goes on any more: both sides as they are.
    async fn stopped(&mut self) -> Result<(Verdict, Option<String>)> {
        for life in &mut self.lives {
            life.process.kill()?;
        }
        self.compare(Tail::Open).await
    }

    async fn compare(&self, tail: Tail) -> Result<(Verdict, Option<String>)> {
        let difference = place::difference_of(self.source, self.target, &self.schema).await?;
        let source = (self.texts.source.as_str(), self.since.0.clone());
        let verdict = binlog_text::prove(&self.texts.task, [source], self.since.1.clone(), tail).await?;
        Ok((verdict, difference))
    }

    async fn tidy(&mut self) -> Result<()> {
        let dmctl = self.stream.cluster.dmctl();
        dmctl.run(&["stop-task", &self.schema]).await?;
        dmctl.run(&["operate-source", "stop", &self.source_id]).await?;
        for life in &mut self.lives {
            life.process.kill()?;
        }
        Ok(())
    }
}
