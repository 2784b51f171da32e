//! The proof of `dm-checker` on real servers: a copy that is interrupted and replication whose owner is killed, read back from the
//! binlogs by the servers' own tools.
//!
//! The subtask runs in this process under one epoch after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use dm_model::{ClusterId, Epoch, SourceId, Stage, SubtaskId, TaskName};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    binlog_text::{self, Tail, Verdict},
    wait,
};
use dm_worker::{
    assignment::Assignment,
    status::{Board, Cell, UnitView},
    unit::{self, Context, Stop, UnitEnd},
};
use mysql_async::{Conn, Opts, prelude::Queryable};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

struct Bench {
    source: Server,
    target: Server,
    epoch: AtomicU64,
}

struct Run {
    stop: Stop,
    ended: JoinHandle<UnitEnd>,
    cell: Cell,
    _wish: watch::Sender<Assignment>,
}

impl Bench {
    async fn start(source: ServerKind, target: ServerKind) -> Result<Self> {
        let (source, target) = tokio::try_join!(
            Server::start(source, ServerOptions::default()),
            Server::start(target, ServerOptions::default().with_server_id(2))
        )?;
        Ok(Self { source, target, epoch: AtomicU64::new(0) })
    }

    fn task_yaml(&self) -> String {
        format!(
            "name: t\ntask-mode: all\nmeta-schema: dm_meta\n\
             target-database: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n\
             mysql-instances:\n  - {{source-id: one, block-allow-list: b, route-rules: [r], mydumper-config-name: d, \
             syncer-config-name: s}}\n\
             block-allow-list: {{b: {{do-dbs: [app]}}}}\n\
             routes: {{r: {{schema-pattern: app, target-schema: there}}}}\n\
             mydumpers: {{d: {{threads: 2, rows: 3000}}}}\n\
             syncers: {{s: {{worker-count: 3, batch: 50}}}}\n",
            self.target.port()
        )
    }

    fn source_yaml(&self) -> String {
        format!(
            "source-id: one\nenable-gtid: true\nfrom: {{host: 127.0.0.1, port: {}, user: dm, password: dm}}\n",
            self.source.port()
        )
    }

    fn run(&self) -> Result<Run> {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        let assignment = Assignment {
            epoch: Epoch(epoch),
            wanted_stage: Stage::Running,
            wanted_revision: 1,
            task_yaml: self.task_yaml(),
            source_yaml: self.source_yaml(),
            start_time: None,
            operators: Vec::new(),
            take_over: false,
        };
        let id = SubtaskId::new(TaskName::parse("t")?, SourceId::parse("one")?);
        let cell = Board::new().open(id.clone(), Epoch(epoch), 1);
        let (wish, receiver) = watch::channel(assignment.clone());
        let context = Context {
            id,
            cluster_id: ClusterId("cluster-a".to_owned()),
            secret_key: Vec::new(),
            assignment,
            wish: receiver,
            cell: cell.clone(),
        };
        let stop = Stop { drain: CancellationToken::new(), kill: CancellationToken::new() };
        let ended = tokio::spawn(unit::run(context, stop.clone()));
        Ok(Run { stop, ended, cell, _wish: wish })
    }

    async fn number(&self, sql: &str) -> Result<u64> {
        let mut conn = self.target.root().await?;
        let number: Option<Option<u64>> = conn.query_first(sql).await?;
        conn.disconnect().await?;
        Ok(number.flatten().unwrap_or_default())
    }

    async fn prove(&self) -> Result<Verdict> {
        binlog_text::prove(
            &self.task_yaml(),
            [(self.source_yaml().as_str(), &self.source)],
            &self.target,
            Tail::Settled,
        )
        .await
    }
}

impl Run {
    async fn kill(self) -> Result<()> {
        self.stop.kill.cancel();
        self.end().await.map(|_| ())
    }

    async fn drain(self) -> Result<()> {
        self.stop.drain.cancel();
        match self.end().await? {
            UnitEnd::Drained => Ok(()),
            end => bail!("ended as {end:#?}"),
        }
    }

    async fn end(self) -> Result<UnitEnd> {
        tokio::time::timeout(LIMIT, self.ended).await.context("the run does not end")?.context("the run panicked")
    }

    /// Waits until replication is at the end of what the source has.
    async fn synced(&self, source: &Server) -> Result<()> {
        let mut conn = source.root().await?;
        let facts = dm_mysql::facts(&mut conn).await?;
        let end = dm_mysql::schema::binlog_status(&mut conn, &facts).await?.context("the source's position")?;
        conn.disconnect().await?;
        wait::until("the target has it all", LIMIT, || async {
            ensure!(!self.ended.is_finished(), "the run ended: {:#?}", self.cell.read());
            Ok(match &self.cell.read().unit_view {
                UnitView::Sync(view) if view.synced.position >= end.position => Some(()),
                _ => None,
            })
        })
        .await
    }
}

const TABLES: [&str; 6] = [
    "CREATE DATABASE app",
    "CREATE TABLE app.k (id INT PRIMARY KEY, v INT, u INT, txt VARCHAR(60), UNIQUE KEY u (u))",
    "CREATE TABLE app.bag (a INT, b VARCHAR(20))",
    "CREATE TABLE app.log (id INT AUTO_INCREMENT PRIMARY KEY, n INT, at DATETIME(6), f FLOAT, b BLOB)",
    "CREATE TABLE app.pair (a VARCHAR(10), b INT, v DECIMAL(10,2), PRIMARY KEY (a, b))",
    "CREATE TABLE app.big (id INT PRIMARY KEY, v INT, note VARCHAR(30))",
];

async fn fill(opts: Opts) -> Result<()> {
    let mut conn = Conn::new(opts).await?;
    for sql in TABLES {
        conn.query_drop(sql).await?;
    }
    let rows: Vec<String> = (0..200).map(|n| format!("({n}, {n}, {n}, 'row {n} \\'\\\\ ä\\n')")).collect();
    conn.query_drop(format!("INSERT INTO app.k VALUES {}", rows.join(","))).await?;
    conn.query_drop("INSERT INTO app.bag VALUES (1, 'x'), (1, 'x'), (2, NULL)").await?;
    for part in 0..20 {
        let rows: Vec<String> =
            (part * 1000..(part + 1) * 1000).map(|n| format!("({n}, {}, 'note {n}')", n % 7)).collect();
        conn.query_drop(format!("INSERT INTO app.big VALUES {}", rows.join(","))).await?;
    }
    conn.query_drop("DELETE FROM app.big WHERE id % 100 = 3").await?;
    conn.query_drop("UPDATE app.big SET v = v + 1 WHERE id % 10 = 1").await?;
    conn.disconnect().await?;
    Ok(())
}

/// Writes until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    /// Structures change from now on.
    alters: Arc<AtomicBool>,
    n_done: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Load {
    fn start(opts: Opts) -> Self {
        let (stop, n_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let alters = Arc::new(AtomicBool::new(false));
        let (told, counted, may_alter) = (Arc::clone(&stop), Arc::clone(&n_done), Arc::clone(&alters));
        let task = tokio::spawn(async move {
            let mut conn = Conn::new(opts).await?;
            let (mut n, mut n_alters) = (1_000_u64, 0_u64);
            while !told.load(Ordering::Relaxed) {
                n += 1;
                for sql in transaction(n) {
                    conn.query_drop(&sql).await.with_context(|| sql.clone())?;
                }
                if may_alter.load(Ordering::Relaxed) {
                    n_alters += 1;
                    for sql in ddl(n_alters) {
                        conn.query_drop(sql).await.context(sql)?;
                    }
                }
                counted.fetch_add(1, Ordering::Relaxed);
                // two cores are shared with both servers and the worker
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            conn.disconnect().await?;
            Ok(())
        });
        Self { stop, alters, n_done, task }
    }

    async fn more(&self, n: u64) -> Result<()> {
        let wanted = self.n_done.load(Ordering::Relaxed) + n;
        wait::until("the source's load", LIMIT, || async {
            ensure!(!self.task.is_finished(), "the load ended");
            Ok((self.n_done.load(Ordering::Relaxed) >= wanted).then_some(()))
        })
        .await
    }

    async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

fn transaction(n: u64) -> Vec<String> {
    let k = n % 50;
    let mut sql = vec![
        "BEGIN".to_owned(),
        format!("INSERT INTO app.k VALUES ({k}, {n}, {n}, 'again') ON DUPLICATE KEY UPDATE v = v + 1, u = {n}"),
        format!("INSERT INTO app.log (n, at, f, b) VALUES ({n}, NOW(6), {n} / 3, x'00ff{:04x}27')", n % 65536),
        format!("UPDATE app.big SET v = {n} WHERE id BETWEEN {} AND {}", n * 37 % 20000, n * 37 % 20000 + 3),
    ];
    sql.push(match n % 6 {
        0 => format!("DELETE FROM app.bag WHERE a = {} LIMIT 1", k % 7),
        1 => format!("INSERT INTO app.bag VALUES ({}, 'n'), ({}, 'n')", k % 7, k % 7),
        2 => format!("DELETE FROM app.k WHERE id = {k}"),
        3 => format!("UPDATE app.k SET id = {} WHERE id = {k}", 100_000 + n),
        4 => format!("REPLACE INTO app.pair (a, b, v) VALUES ('p{}', {}, {n} / 100)", k % 5, k % 3),
        _ => format!("UPDATE app.bag SET b = '{n}' WHERE a = {} LIMIT 1", k % 7),
    });
    sql.push("COMMIT".to_owned());
    sql
}

fn ddl(n: u64) -> Vec<&'static str> {
    match n % 60 {
        20 => vec!["ALTER TABLE app.pair ADD COLUMN c INT DEFAULT 5"],
        40 => vec!["TRUNCATE TABLE app.log"],
        50 => vec!["ALTER TABLE app.pair DROP COLUMN c"],
        _ => Vec::new(),
    }
}

async fn an_interrupted_copy_and_killed_owners_are_proven(source: ServerKind, target: ServerKind) -> Result<()> {
    let bench = Bench::start(source, target).await?;
    fill(bench.source.root_opts()).await?;
    let load = Load::start(bench.source.root_opts());
    load.more(20).await?;
    let run = bench.run()?;
    wait::until("a chunk in the target", LIMIT, || async {
        ensure!(!run.ended.is_finished(), "the run ended: {:#?}", run.cell.read());
        let n = bench.number("SELECT COUNT(*) FROM dm_meta.dm_snapshot_chunk WHERE state = 'done'").await;
        Ok(n.ok().filter(|n| *n > 0))
    })
    .await?;
    run.kill().await?;
    load.more(30).await?;
    let run = bench.run()?;
    run.synced(&bench.source).await?;
    load.alters.store(true, Ordering::Relaxed);
    load.more(150).await?;
    run.kill().await?;
    let run = bench.run()?;
    load.more(150).await?;
    load.end().await?;
    run.synced(&bench.source).await?;
    run.drain().await?;
    let verdict = bench.prove().await?;
    println!("{source:?} to {target:?}: {verdict}\n{verdict:#?}");
    ensure!(verdict.is_proven(), "{verdict}");
    ensure!(verdict.n_units > 300 && verdict.n_changes > 1000, "too little was seen: {verdict:#?}");
    ensure!(verdict.n_ddls >= 6, "DDLs were seen: {verdict:#?}");
    ensure!(verdict.n_takeovers >= 3 && verdict.n_chunks > 5, "owners and chunks were seen: {verdict:#?}");
    ensure!(verdict.n_confirmed > 19_000, "copied rows are confirmed: {verdict:#?}");
    Ok(())
}

macro_rules! on_pairs {
    ($case:ident: $($name:ident = ($source:ident, $target:ident)),+ $(,)?) => {
        mod $case {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() -> anyhow::Result<()> {
                    super::$case(dm_tests::ServerKind::$source, dm_tests::ServerKind::$target).await
                }
            )+
        }
    };
}

on_pairs!(an_interrupted_copy_and_killed_owners_are_proven:
    mariadb_to_mariadb = (MariaDb, MariaDb),
    mysql_to_mysql = (MySql, MySql),
    mariadb_to_mysql = (MariaDb, MySql),
);
