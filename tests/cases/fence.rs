//! The fence on real servers: every experiment of docs/operations/fence-on-servers.md as a test, on MariaDB 10.11 and
//! on MySQL 9.7.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use dm_fence::{Breach, Consistency, DdlEffect, LaneRow, Progress, Slicing, Stop, UnitNumber};
use dm_model::{
    BinlogPosition, ClusterId, Epoch, Flavor, Location, SourceId, SubtaskId, TableName, TaskName, error::Coded,
};
use dm_mysql::{
    Connector, Error, Purpose, facts,
    fence::{
        DdlPiece, DdlSettings, FenceTarget, Lane, LaneOutcome, Statement, TakeoverOptions, TakeoverReport, remove_meta,
        take_over,
    },
};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    server::{Loss, LossyProxy},
};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};

const SLICING: Slicing = Slicing { consistency: Consistency::Transaction, slice_rows: 10_000 };
const OPTIONS: TakeoverOptions = TakeoverOptions { n_lanes: 2, slicing: SLICING, from_foreign_cluster: false };

/// A server with a table `app.t (id, v)`, and the words to speak about a subtask.
struct Bench {
    server: Server,
}

impl Bench {
    async fn start(kind: ServerKind) -> Result<Self> {
        let server = Server::start(kind, ServerOptions::default()).await?;
        let mut conn = server.connect().await?;
        conn.query_drop("CREATE DATABASE app").await?;
        conn.query_drop("CREATE TABLE app.t (id INT PRIMARY KEY, v INT)").await?;
        conn.disconnect().await?;
        Ok(Self { server })
    }

    fn target(&self, epoch: u64) -> FenceTarget {
        self.target_at(self.server.port(), epoch, "cluster-a")
    }

    fn target_at(&self, port: u16, epoch: u64, cluster: &str) -> FenceTarget {
        let config = dm_config::db::DbConfig { port, ..self.server.config() };
        FenceTarget::new(
            &Connector::new(&config, Purpose::TargetWrite),
            "dm_meta",
            SubtaskId::new(TaskName::parse("task").expect("a name"), SourceId::parse("source").expect("a name")),
            ClusterId(cluster.to_owned()),
            Epoch(epoch),
            "00000000-0000-0000-0000-000000000001",
            Flavor::MySql,
        )
    }

    async fn own(&self, epoch: u64) -> Result<Owner> {
        Owner::take(self.target(epoch)).await
    }

    async fn count(&self) -> Result<u64> {
        let mut conn = self.server.connect().await?;
        let count = conn.query_first("SELECT COUNT(*) FROM app.t").await?.context("a count")?;
        conn.disconnect().await?;
        Ok(count)
    }
}

/// An owner with one lane, and the lane's row as it knows it.
struct Owner {
    lane: Lane,
    row: LaneRow,
    report: TakeoverReport,
}

impl Owner {
    async fn take(target: FenceTarget) -> Result<Self> {
        let report = take_over(&target, OPTIONS).await?;
        let lane = Lane::new(Arc::new(target), 0, &report);
        let row = report.taken.rows[0].clone();
        Ok(Self { lane, row, report })
    }

    /// Applies a unit that inserts the row of its number.
    async fn insert(&mut self, unit: u64) -> LaneOutcome {
        self.apply(unit, &[format!("INSERT INTO app.t VALUES ({unit}, 0)")]).await
    }

    async fn apply(&mut self, unit: u64, statements: &[String]) -> LaneOutcome {
        let update = self.row.advance(progress(&self.row, &[unit])).expect("a unit that is not done");
        let statements: Vec<Statement> = statements.iter().map(|sql| Statement::new(sql.as_str())).collect();
        let outcome = self.lane.execute(&update, &statements).await;
        if let LaneOutcome::Committed { batch_crc, .. } = &outcome {
            self.row.apply(&update, Some(*batch_crc));
        }
        outcome
    }
}

fn progress(row: &LaneRow, units: &[u64]) -> Progress {
    Progress {
        units: units.iter().copied().map(UnitNumber).collect(),
        low: row.low,
        low_location: Location::new(BinlogPosition::new("mysql-bin.000001", 4), None),
        done_gtid: None,
        source_uuid: "source-server".to_owned(),
        src_ts: None,
    }
}

/// What an old worker holds when it is frozen: a transaction with the fence's update and a row, not committed.
async fn frozen_transaction(bench: &Bench, epoch: u64, settings: &[&str], registered: bool) -> Result<Conn> {
    let mut conn = bench.server.connect().await?;
    for sql in settings {
        conn.query_drop(*sql).await?;
    }
    if registered {
        let facts = facts(&mut conn).await?;
        let run = facts.run();
        conn.query_drop(format!(
            "INSERT INTO dm_meta.dm_fence_session (task, source, server_uuid, conn_id, server_start, epoch, lane) \
             VALUES ('task', 'source', '{}', {}, {}, {epoch}, 0)",
            run.uuid, facts.connection_id, run.start
        ))
        .await?;
    }
    conn.query_drop("BEGIN").await?;
    conn.query_drop(format!("UPDATE dm_meta.dm_fence_lane SET seq = seq + 1 WHERE lane = 0 AND epoch = {epoch}"))
        .await?;
    ensure!(conn.affected_rows() == 1, "the old worker holds its fence");
    conn.query_drop("INSERT INTO app.t VALUES (1, 0)").await?;
    Ok(conn)
}

async fn an_idle_owner_is_fenced_by_its_successor(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let mut old = bench.own(1).await?;
    assert!(old.report.taken.resume.is_fresh());
    assert!(old.insert(1).await.is_committed());
    assert!(old.insert(3).await.is_committed());

    let mut new = bench.own(2).await?;
    assert_eq!(new.report.taken.resume.done.to_string(), "1,3");
    let outcome = old.insert(4).await;
    // Its registered connection was killed; on the next one it reads who owns the row.
    let outcome = if let LaneOutcome::NotCommitted { .. } = outcome { old.insert(4).await } else { outcome };
    assert!(matches!(outcome, LaneOutcome::Fenced { owner: Epoch(2) }), "{outcome:?}");
    assert!(new.insert(2).await.is_committed());
    assert_eq!(bench.count().await?, 3);
    Ok(())
}

async fn a_registered_owner_frozen_in_a_transaction_is_killed(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    bench.own(1).await?;
    let mut frozen = frozen_transaction(&bench, 1, &[], true).await?;
    let mut new = bench.own(2).await?;
    assert!(new.report.taken.n_killed >= 1);
    frozen.query_drop("COMMIT").await.expect_err("the frozen owner is gone");
    assert_eq!(bench.count().await?, 0);
    assert!(new.insert(1).await.is_committed());
    assert_eq!(bench.count().await?, 1);
    Ok(())
}

async fn an_unregistered_owner_blocks_until_its_own_session_timeout(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    bench.own(1).await?;
    let timeout = match kind {
        ServerKind::MariaDb => "SET SESSION idle_write_transaction_timeout = 5",
        ServerKind::MySql => "SET SESSION wait_timeout = 5",
    };
    let mut frozen = frozen_transaction(&bench, 1, &[timeout], false).await?;
    let target = bench.target(2);
    let mut taking = Box::pin(take_over(&target, OPTIONS));
    tokio::time::timeout(Duration::from_secs(2), &mut taking)
        .await
        .expect_err("nobody can see whom to kill, so the takeover waits");
    taking.await?;
    frozen.query_drop("COMMIT").await.expect_err("the server ended the frozen owner");
    assert_eq!(bench.count().await?, 0);
    Ok(())
}

async fn an_update_that_changes_nothing_counts_no_row_and_proves_nothing(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    bench.own(1).await?;
    let same = "UPDATE dm_meta.dm_fence_lane SET epoch = epoch WHERE lane = 0 AND epoch = 1";
    let mut conn = bench.server.connect().await?;
    conn.query_drop(same).await?;
    assert_eq!(conn.affected_rows(), 0);
    let found_rows = OptsBuilder::from_opts(bench.server.opts_as("dm", Server::DM_PASSWORD)).client_found_rows(true);
    let mut conn = Conn::new(found_rows).await?;
    conn.query_drop(same).await?;
    assert_eq!(conn.affected_rows(), 1);
    Ok(())
}

async fn a_plain_read_of_the_epoch_lets_a_stale_write_through(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    bench.own(1).await?;
    let mut stale = bench.server.connect().await?;
    stale.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    stale.query_drop("BEGIN").await?;
    let read = "SELECT epoch FROM dm_meta.dm_fence_lane WHERE lane = 0";
    assert_eq!(stale.query_first::<u64, _>(read).await?, Some(1));

    bench.own(2).await?;
    assert_eq!(stale.query_first::<u64, _>(read).await?, Some(1), "the snapshot shows the old epoch still");
    stale.query_drop("INSERT INTO app.t VALUES (1, 0)").await?;
    stale.query_drop("UPDATE dm_meta.dm_fence_lane SET seq = seq + 1 WHERE lane = 0 AND epoch = 1").await?;
    assert_eq!(stale.affected_rows(), 0, "an UPDATE sees what is there");
    stale.query_drop("COMMIT").await?;
    assert_eq!(bench.count().await?, 1, "which is why a read is no fence");
    Ok(())
}

async fn a_lost_commit_is_resolved_both_ways(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let proxy = LossyProxy::start(bench.server.port()).await?;
    let mut owner = Owner::take(bench.target_at(proxy.port(), 1, "cluster-a")).await?;
    assert!(owner.insert(1).await.is_committed());

    proxy.play("COMMIT", [Loss::Answer]);
    let outcome = owner.insert(2).await;
    assert!(matches!(outcome, LaneOutcome::Committed { resolved: true, .. }), "{outcome:?}");
    proxy.play("COMMIT", [Loss::Statement]);
    let outcome = owner.insert(3).await;
    assert!(matches!(outcome, LaneOutcome::NotCommitted { .. }), "{outcome:?}");
    assert!(owner.insert(3).await.is_committed());

    // The fold's COMMIT, then the registration's, then the probe's, each lost either way.
    let fates = [Loss::Statement, Loss::Answer];
    let mut unit = 3;
    for fold in fates {
        for register in fates {
            for probe in fates {
                unit += 1;
                proxy.play("COMMIT", [fold, register, Loss::Pass, probe, Loss::Pass, probe]);
                match owner.insert(unit).await {
                    LaneOutcome::Committed { resolved: true, .. } => assert_eq!(fold, Loss::Answer),
                    LaneOutcome::NotCommitted { .. } => {
                        assert_eq!(fold, Loss::Statement);
                        assert!(owner.insert(unit).await.is_committed());
                    }
                    outcome => panic!("{outcome:?}"),
                }
                assert_eq!(proxy.n_left(), 0, "every loss was met");
                assert_eq!(bench.count().await?, unit, "each unit once");
            }
        }
    }
    let next = bench.own(2).await?;
    assert_eq!(next.report.taken.resume.done.to_string(), format!("1-{unit}"));
    Ok(())
}

async fn of_two_first_owners_the_later_epoch_wins(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let mut conn = bench.server.connect().await?;
    for _ in 0..8 {
        conn.query_drop("DROP DATABASE IF EXISTS dm_meta").await?;
        let (older, newer) = tokio::join!(bench.own(1), bench.own(2));
        let mut newer = newer.context("the later owner takes over")?;
        match older {
            Ok(mut older) => {
                let outcome = older.insert(99).await;
                assert!(matches!(outcome, LaneOutcome::Fenced { owner: Epoch(2) }), "{outcome:?}");
            }
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::Takeover(Stop::Superseded { seen: Epoch(2) })) => {}
                Some(_) | None => return Err(error),
            },
        }
        assert!(newer.apply(1, &["REPLACE INTO app.t VALUES (1, 0)".to_owned()]).await.is_committed());
        let epochs: Vec<u64> = conn.query("SELECT epoch FROM dm_meta.dm_fence_lane ORDER BY lane").await?;
        assert_eq!(epochs, [2, 2]);
    }
    assert_eq!(bench.count().await?, 1);
    Ok(())
}

async fn rows_behind_a_failed_fence_in_one_packet_are_not_committed(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let mut old = bench.own(1).await?;
    bench.own(2).await?;
    let outcome = old.insert(1).await;
    assert!(matches!(outcome, LaneOutcome::Fenced { owner: Epoch(2) }), "{outcome:?}");
    assert_eq!(bench.count().await?, 0);

    // A client that put COMMIT into the packet would have committed them: the server does not look at the count.
    let mut conn = bench.server.connect().await?;
    conn.query_drop(
        "BEGIN; UPDATE dm_meta.dm_fence_lane SET seq = seq + 1 WHERE lane = 0 AND epoch = 1; \
         INSERT INTO app.t VALUES (1, 0); COMMIT",
    )
    .await?;
    assert_eq!(bench.count().await?, 1);
    Ok(())
}

async fn a_refused_statement_is_named_and_nothing_of_its_fold_stays(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let mut owner = bench.own(1).await?;
    let insert = |id: u64| format!("INSERT INTO app.t VALUES ({id}, 0)");
    assert!(owner.insert(1).await.is_committed());
    let outcome = owner.apply(2, &[insert(5), insert(1), insert(6)]).await;
    assert!(matches!(outcome, LaneOutcome::Data { number: 1062, statement: 1, .. }), "{outcome:?}");
    assert_eq!(bench.count().await?, 1);
    match owner.apply(2, &[insert(5), "UPDATE app.t SET v = v + 1".to_owned()]).await {
        LaneOutcome::Committed { affected, resolved: false, .. } => assert_eq!(affected, [1, 2]),
        outcome => panic!("{outcome:?}"),
    }
    owner.lane.close().await;
    let mut conn = bench.server.connect().await?;
    let n_sessions: Option<u64> = conn.query_first("SELECT COUNT(*) FROM dm_meta.dm_fence_session").await?;
    assert_eq!(n_sessions, Some(0), "a closed lane leaves nothing to kill");
    Ok(())
}

async fn a_restarted_target_ends_the_incarnation(kind: ServerKind) -> Result<()> {
    let mut bench = Bench::start(kind).await?;
    let mut owner = bench.own(1).await?;
    assert!(owner.insert(1).await.is_committed());
    bench.server.kill();
    bench.server.start_again().await?;
    let outcome = owner.insert(2).await;
    assert!(matches!(outcome, LaneOutcome::NotCommitted { .. }), "the connection broke: {outcome:?}");
    let outcome = owner.insert(2).await;
    assert!(matches!(outcome, LaneOutcome::TargetChanged { .. }), "{outcome:?}");
    assert!(outcome.ends_incarnation());
    let mut again = bench.own(1).await?;
    assert_eq!(again.report.taken.resume.done.to_string(), "1");
    assert!(again.insert(2).await.is_committed());
    Ok(())
}

async fn rows_of_another_cluster_are_not_taken_and_name_their_owner(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let mut theirs = bench.own(5).await?;
    let target = bench.target_at(bench.server.port(), 9, "cluster-b");
    let error = take_over(&target, OPTIONS).await.expect_err("the rows are cluster-a's");
    assert_eq!(error.code().number, 60001);
    assert!(matches!(&error, Error::Takeover(Stop::ForeignCluster { owner }) if owner.as_str() == "cluster-a"));
    assert!(theirs.insert(1).await.is_committed());

    take_over(&target, TakeoverOptions { from_foreign_cluster: true, ..OPTIONS }).await?;
    let mut outcome = theirs.insert(2).await;
    if let LaneOutcome::NotCommitted { .. } = outcome {
        outcome = theirs.insert(2).await;
    }
    assert!(matches!(outcome, LaneOutcome::Broken(Breach::ForeignCluster { .. })), "{outcome:?}");
    Ok(())
}

async fn ddl_is_executed_once_whichever_answer_is_lost(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let proxy = LossyProxy::start(bench.server.port()).await?;
    let mut owner = Owner::take(bench.target_at(proxy.port(), 1, "cluster-a")).await?;
    let mut conn = bench.server.connect().await?;
    for (unit, fate) in [(1, Loss::Pass), (2, Loss::Answer), (3, Loss::Statement)] {
        let piece = DdlPiece {
            unit: UnitNumber(unit),
            piece: 0,
            statement: format!("ALTER TABLE t ADD COLUMN c{unit} INT DEFAULT 7"),
            target: TableName::new("app", "t"),
            effect: DdlEffect::Structure,
            position: BinlogPosition::new("mysql-bin.000001", 4),
            settings: DdlSettings { default_schema: Some("app".to_owned()), ..DdlSettings::default() },
        };
        // The announcement has the statement's text as well.
        proxy.play("ALTER TABLE t", [Loss::Pass, fate]);
        let finish = owner.row.advance(progress(&owner.row, &[unit])).expect("a new unit");
        let outcome = owner.lane.execute_ddl(&piece, None, &finish, &[]).await;
        let LaneOutcome::Committed { batch_crc, .. } = outcome else { panic!("{fate:?}: {outcome:?}") };
        owner.row.apply(&finish, Some(batch_crc));
        let columns: Option<u64> = conn
            .query_first(format!(
                "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'app' AND column_name = 'c{unit}'"
            ))
            .await?;
        assert_eq!(columns, Some(1));
    }
    let states: Vec<String> = conn.query("SELECT state FROM dm_meta.dm_ddl_intent ORDER BY unit").await?;
    assert_eq!(states, ["done", "done", "done"]);
    assert!(owner.apply(4, &["INSERT INTO app.t (id) VALUES (4)".to_owned()]).await.is_committed());
    assert_eq!(bench.own(2).await?.report.taken.resume.done.to_string(), "1-4");
    Ok(())
}

async fn removed_meta_leaves_a_zombie_nothing_to_write_through(kind: ServerKind) -> Result<()> {
    let bench = Bench::start(kind).await?;
    let mut old = bench.own(1).await?;
    assert!(old.insert(1).await.is_committed());
    take_over(&bench.target(2), OPTIONS).await?;
    let error = remove_meta(&bench.target(1)).await.expect_err("an older epoch may not remove");
    assert!(matches!(error, Error::Takeover(Stop::Superseded { seen: Epoch(2) })));
    remove_meta(&bench.target(2)).await?;
    let mut outcome = old.insert(2).await;
    if let LaneOutcome::NotCommitted { .. } = outcome {
        outcome = old.insert(2).await;
    }
    assert!(matches!(outcome, LaneOutcome::RowMissing), "{outcome:?}");
    assert_eq!(bench.count().await?, 1);
    Ok(())
}

macro_rules! on_both_servers {
    ($($name:ident),* $(,)?) => {
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                super::$name(dm_tests::ServerKind::MariaDb).await
            })*
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                super::$name(dm_tests::ServerKind::MySql).await
            })*
        }
    };
}

on_both_servers!(
    an_idle_owner_is_fenced_by_its_successor,
    a_registered_owner_frozen_in_a_transaction_is_killed,
    an_unregistered_owner_blocks_until_its_own_session_timeout,
    an_update_that_changes_nothing_counts_no_row_and_proves_nothing,
    a_plain_read_of_the_epoch_lets_a_stale_write_through,
    a_lost_commit_is_resolved_both_ways,
    of_two_first_owners_the_later_epoch_wins,
    rows_behind_a_failed_fence_in_one_packet_are_not_committed,
    a_refused_statement_is_named_and_nothing_of_its_fold_stays,
    a_restarted_target_ends_the_incarnation,
    rows_of_another_cluster_are_not_taken_and_name_their_owner,
    ddl_is_executed_once_whichever_answer_is_lost,
    removed_meta_leaves_a_zombie_nothing_to_write_through,
);
