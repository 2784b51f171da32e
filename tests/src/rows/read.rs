//! Rows of tables on servers as streams: every column as the bytes the text protocol shows in a UTC session.
//!
//! Rows flow through bounded channels to a thread that compares; no table is held in memory, except keyless ones as counts.
//! Fails when a server does, when columns differ, or when a key is no integer.

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, Opts, Row, Value, prelude::Queryable};
use tokio::sync::mpsc;

use super::{Differences, KeyedRow, RowImage, compare_keyed, compare_keyless};

const BATCH_ROWS: usize = 512;
const QUEUE_BATCHES: usize = 8;

/// A table on a server.
#[derive(Debug, Clone)]
pub struct TableAt {
    pub opts: Opts,
    pub schema: String,
    pub table: String,
}

impl TableAt {
    pub fn new(opts: Opts, schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { opts, schema: schema.into(), table: table.into() }
    }

    fn name(&self) -> String {
        format!("`{}`.`{}`", self.schema, self.table)
    }

    async fn connect(&self) -> Result<Conn> {
        let mut conn =
            Conn::new(self.opts.clone()).await.with_context(|| format!("connect to read {}", self.name()))?;
        // A stream that waits for its turn must not be cut off by the server.
        conn.query_drop("SET NAMES utf8mb4, time_zone = '+00:00', net_write_timeout = 600").await?;
        Ok(conn)
    }

    /// Names of the columns in order.
    async fn columns(&self) -> Result<Vec<String>> {
        let mut conn = self.connect().await?;
        let result = conn.query_iter(format!("SELECT * FROM {} LIMIT 0", self.name())).await?;
        let columns = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        result.drop_result().await?;
        conn.disconnect().await?;
        Ok(columns)
    }
}

/// Compares tables with an integer key: all rows of all sources against all rows of the target.
///
/// # Errors
/// A server fails, columns differ, or the key is no integer.
pub async fn keyed(sources: &[TableAt], target: &TableAt, key: &str) -> Result<Differences> {
    let columns = same_columns(sources, target).await?;
    let key_column = columns.iter().position(|name| name == key).with_context(|| format!("find column {key}"))?;
    let sql = |table: &TableAt| format!("SELECT {} FROM {} ORDER BY `{key}`", list(&columns), table.name());
    let to_row = move |row: Row| {
        let text = match row.as_ref(key_column) {
            Some(Value::Bytes(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        let key = text.and_then(|text| text.parse().ok()).context("read an integer key")?;
        Ok(KeyedRow { key, image: image(&row)? })
    };
    let sources = sources.iter().map(|table| stream(table.clone(), sql(table), to_row)).collect();
    let target = stream(target.clone(), sql(target), to_row);
    tokio::task::spawn_blocking(move || compare_keyed(sources, target)).await.context("compare rows")?
}

/// Compares tables without a key as multisets.
///
/// # Errors
/// A server fails or columns differ.
pub async fn keyless(sources: &[TableAt], target: &TableAt) -> Result<Differences> {
    let columns = same_columns(sources, target).await?;
    let sql = |table: &TableAt| format!("SELECT {} FROM {}", list(&columns), table.name());
    let to_row = |row: Row| image(&row);
    let sources: Vec<_> = sources.iter().map(|table| stream(table.clone(), sql(table), to_row)).collect();
    let target = stream(target.clone(), sql(target), to_row);
    tokio::task::spawn_blocking(move || compare_keyless(sources.into_iter().flatten(), target))
        .await
        .context("compare rows")?
}

/// The columns of all tables, in the target's order; sources may have them in another.
async fn same_columns(sources: &[TableAt], target: &TableAt) -> Result<Vec<String>> {
    let columns = target.columns().await?;
    let sorted = |columns: &[String]| {
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted
    };
    for source in sources {
        let found = source.columns().await?;
        if sorted(&found) != sorted(&columns) {
            bail!("{} has columns {found:?}, the target {} {columns:?}", source.name(), target.name());
        }
    }
    Ok(columns)
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn image(row: &Row) -> Result<RowImage> {
    let mut image = RowImage::default();
    for column in 0..row.len() {
        match row.as_ref(column) {
            Some(Value::NULL) => image.push(None),
            Some(Value::Bytes(bytes)) => image.push(Some(bytes)),
            other => bail!("the text protocol gave {other:?}"),
        }
    }
    Ok(image)
}

/// Rows on their way from the task that reads to the thread that compares.
struct Stream<T> {
    batches: mpsc::Receiver<Result<Vec<T>>>,
    batch: std::vec::IntoIter<T>,
}

impl<T> Iterator for Stream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(Ok(row));
            }
            match self.batches.blocking_recv()? {
                Ok(batch) => self.batch = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Starts to read. Reading stops when the stream is dropped.
fn stream<T, F>(table: TableAt, sql: String, to_row: F) -> Stream<T>
where
    T: Send + 'static,
    F: Fn(Row) -> Result<T> + Send + 'static,
{
    let (tx, batches) = mpsc::channel(QUEUE_BATCHES);
    tokio::spawn(async move {
        if let Err(error) = read(&table, sql, to_row, &tx).await {
            // Nobody left to tell means that nobody asks.
            let _dropped = tx.send(Err(error.context(format!("read {}", table.name())))).await;
        }
    });
    Stream { batches, batch: Vec::new().into_iter() }
}

async fn read<T, F>(table: &TableAt, sql: String, to_row: F, tx: &mpsc::Sender<Result<Vec<T>>>) -> Result<()>
where
    F: Fn(Row) -> Result<T>,
{
    let mut conn = table.connect().await?;
    let mut result = conn.query_iter(sql).await?;
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    while let Some(row) = result.next().await? {
        batch.push(to_row(row)?);
        if batch.len() == BATCH_ROWS {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS));
            if tx.send(Ok(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    drop(result);
    if !batch.is_empty() {
        let _dropped = tx.send(Ok(batch)).await;
    }
    conn.disconnect().await?;
    Ok(())
}
