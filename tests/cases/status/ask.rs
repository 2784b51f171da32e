//! Questions with their time, and numbers in answers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dm_tests::cluster::Dmctl;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What status has to be answered within.
const LIMIT: Duration = Duration::from_secs(1);
/// A busy machine may be slow once; what waits for something that hangs is slow each time.
const N_TRIES: usize = 5;

/// The answer of the quickest of a few tries, which took less than the limit.
pub(crate) async fn in_time(dmctl: &Dmctl, args: &[&str]) -> Result<Value> {
    let mut slowest = Duration::ZERO;
    for _ in 0..N_TRIES {
        let begun = Instant::now();
        let answer = dmctl.json(args).await?;
        let took = begun.elapsed();
        if took < LIMIT {
            return Ok(answer);
        }
        slowest = slowest.max(took);
    }
    anyhow::bail!("dmctl {args:?} took {slowest:?}, and more than {LIMIT:?} each time")
}

/// The text of `/metrics`, as in [`in_time`].
pub(crate) async fn metrics_in_time(addr: &str) -> Result<String> {
    for _ in 0..N_TRIES {
        let begun = Instant::now();
        let text = metrics(addr).await?;
        if begun.elapsed() < LIMIT {
            return Ok(text);
        }
    }
    anyhow::bail!("/metrics of {addr} took more than {LIMIT:?} each time")
}

pub(crate) async fn metrics(addr: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, anyhow::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.context("ask for /metrics")??;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

/// The value of the first sample of a metric that has all of these labels.
pub(crate) fn sample(text: &str, name: &str, labels: &[&str]) -> Result<f64> {
    let line = text
        .lines()
        .find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .with_context(|| format!("{name} {labels:?} in:\n{text}"))?;
    let value = line.rsplit(' ').next().unwrap_or_default();
    value.parse().with_context(|| line.to_owned())
}

/// A 64-bit number, which is text in JSON.
pub(crate) fn number(value: &Value, field: &str) -> Result<i64> {
    let text = value[field].as_str().with_context(|| format!("{field} in {value:#}"))?;
    text.parse().with_context(|| format!("{field} is a number: {text}"))
}
