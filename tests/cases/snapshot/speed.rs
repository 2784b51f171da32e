//! How fast rows are copied, on request (`DM_MEASURE=1`): 4 tables of 250 000 rows, as sysbench makes them, beside a dump into a client.

use std::{process::Stdio, time::Instant};

use anyhow::{Result, ensure};
use dm_tests::ServerKind;
use tokio::process::Command;

use super::pair::{Pair, execute};

#[tokio::test(flavor = "multi_thread")]
async fn rows_a_second() -> Result<()> {
    if std::env::var_os("DM_MEASURE").is_none() {
        return Ok(());
    }
    let pair = Pair::start(ServerKind::MariaDb).await?;
    let mut statements = vec!["SET SESSION sql_log_bin = 0".to_owned(), "CREATE DATABASE sb".to_owned()];
    for n in 1..=4 {
        statements.push(format!(
            "CREATE TABLE sb.sbtest{n} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL \
             DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY k_{n} (k)) ENGINE=InnoDB"
        ));
        statements.push(format!(
            "INSERT INTO sb.sbtest{n} SELECT seq, 1 + FLOOR(RAND(seq) * 250000), CONCAT(REPEAT(LPAD(seq, 11, '3'), 10), seq % 10), \
             REPEAT(LPAD(seq, 11, '7'), 5) FROM sb.seq_1_to_250000"
        ));
        statements.push(format!("ANALYZE TABLE sb.sbtest{n}"));
    }
    execute(&pair.source, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for round in 1..=3 {
        let begun = Instant::now();
        let run = pair.run("sb", round, "threads: 4")?;
        pair.until_sync(&run).await?;
        let ours = begun.elapsed();
        run.drain().await?;
        execute(&pair.target, &["DROP DATABASE sb", "DROP DATABASE dm_meta"]).await?;
        execute(&pair.target, &["CREATE DATABASE sb"]).await?;
        let begun = Instant::now();
        let pipe = format!(
            "mariadb-dump -h127.0.0.1 -P{} -udm -pdm --skip-ssl --single-transaction --master-data=2 sb | \
             mariadb -h127.0.0.1 -P{} -udm -pdm --skip-ssl sb",
            pair.source.port(),
            pair.target.port()
        );
        let status = Command::new("sh").arg("-c").arg(&pipe).stderr(Stdio::inherit()).status().await?;
        ensure!(status.success());
        let theirs = begun.elapsed();
        execute(&pair.target, &["DROP DATABASE sb"]).await?;
        println!(
            "round {round}: ours {:.2} s ({:.0} k rows/s), mariadb-dump | mariadb {:.2} s ({:.0} k rows/s), ratio {:.2}",
            ours.as_secs_f64(),
            1000.0 / ours.as_secs_f64(),
            theirs.as_secs_f64(),
            1000.0 / theirs.as_secs_f64(),
            theirs.as_secs_f64() / ours.as_secs_f64()
        );
    }
    Ok(())
}
