//! Waiting on a predicate with a deadline: never a sleep that hopes.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Asks every `pause` until the answer is `Some`, at most until `limit`.
///
/// # Errors
/// The deadline; the text says what was waited for and what was seen last.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut ask: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut last_error = None;
    loop {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last_error = Some(error),
        }
        if start.elapsed() > limit {
            match last_error {
                Some(error) => bail!("waited {limit:?} for {what}; last error: {error:#}"),
                None => bail!("waited {limit:?} for {what}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
