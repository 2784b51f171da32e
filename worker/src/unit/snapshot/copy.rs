//! Copies chunks: one source connection and one lane, joined by a channel of a few transactions.
//!
//! Owns the sizes that bound memory and transactions. The marker of a chunk is in the transaction of its rows, so that at every
//! moment the target says exactly what it holds. A chunk is read once; whatever ends it early leaves it half copied.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_model::{Location, TableName};
use dm_mysql::{
    error_number,
    fence::{
        FenceTarget, Lane, Statement,
        chunk::{self as marker, ChunkState},
    },
};
use dm_sync_core::{
    chunk::copy::{Copy, Verb},
    sqlgen,
};
use mysql_async::{Conn, Row, prelude::Queryable};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{
    error::Error,
    identity::{self, Identity},
    ledger::{Job, Ledger},
    source::{MAX_KEY_BYTES, values},
    view,
    writer::Writer,
};
use crate::unit::{Leave, Stop};

/// A transaction is full at so many bytes of statements …
const TRANSACTION_BYTES: usize = 4 << 20;
/// … or so many rows.
const TRANSACTION_ROWS: usize = 10_000;
/// A table without a key cannot be gone on with, so a drain waits this long for its end: shorter than what a drain is given.
const KEYLESS_GRACE: Duration = Duration::from_secs(8);
/// Transactions that are read and not yet written, per pair.
const QUEUE: usize = 2;

/// How one table's rows are written.
#[derive(Debug)]
pub(super) struct TableCopy {
    pub(super) copy: Copy,
    /// As the list of tables has it.
    pub(super) identity: Identity,
    pub(super) verb: Verb,
}

/// What the pairs of a round share.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) target: Arc<FenceTarget>,
    pub(super) stop: Stop,
    pub(super) filter: Option<String>,
    /// The view that all readers have.
    pub(super) location: Location,
    pub(super) tables: BTreeMap<TableName, TableCopy>,
    pub(super) statement_bytes: usize,
    pub(super) jobs: Mutex<VecDeque<Job>>,
    /// Tables whose structure is not the plan's any more.
    pub(super) changed: Mutex<BTreeSet<TableName>>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

/// How a pair ended.
#[derive(Debug)]
pub(super) enum PairEnd {
    /// No chunk is left to begin.
    Done,
    Drained,
    /// The source's connection is gone, and with it the view.
    ReaderLost(mysql_async::Error),
    Left(Leave),
}

/// Rows of one target transaction.
#[derive(Debug)]
struct Batch {
    statements: Vec<Statement>,
    n_rows: u64,
    n_bytes: u64,
    /// The key of its last row, where that can be stored.
    last_key: Option<Vec<u8>>,
    is_last: bool,
}

enum ReadEnd {
    Complete,
    /// The writer ended first.
    NotWanted,
    Changed,
    Lost(mysql_async::Error),
    Failed(Error),
}

enum WriteEnd {
    Complete,
    /// The reader ended first.
    Cut,
    Drained,
    Left(Leave),
}

/// A lock that only guards short copies.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies chunks until none is left or something ends it.
pub(super) async fn pair(round: Arc<Round>, mut reader: Conn, mut writer: Writer) -> (Writer, PairEnd) {
    let end = loop {
        if round.stop.is_requested() {
            break PairEnd::Drained;
        }
        let Some(job) = locked(&round.jobs).pop_front() else { break PairEnd::Done };
        let Some(table) = round.tables.get(&job.row.table) else { continue };
        if locked(&round.changed).contains(&job.row.table) {
            continue;
        }
        debug!(table = %job.row.table, chunk = job.row.chunk, "copying a chunk");
        match chunk_pair(&round, table, job, &mut reader, &mut writer).await {
            None => {}
            Some(end) => break end,
        }
    };
    // It may be in the middle of an answer.
    drop(reader);
    (writer, end)
}

async fn chunk_pair(
    round: &Round,
    table: &TableCopy,
    job: Job,
    reader: &mut Conn,
    writer: &mut Writer,
) -> Option<PairEnd> {
    let (name, number) = (job.row.table.clone(), job.row.chunk);
    let (tx, rx) = mpsc::channel(QUEUE);
    let chunk = job.chunk.clone();
    let mut read = pin!(read_chunk(round, table, &chunk, number, reader, tx));
    let mut write = pin!(write_chunk(round, job, table.copy.key().is_some(), writer, rx));
    let (read, write) = tokio::select! {
        biased;
        write = &mut write => match write {
            // The reader has handed over its last batch: it ends by itself.
            WriteEnd::Complete => (Some(read.await), WriteEnd::Complete),
            WriteEnd::Cut => (Some(read.await), WriteEnd::Cut),
            WriteEnd::Drained | WriteEnd::Left(_) => (None, write),
        },
        read = &mut read => (Some(read), write.await),
    };
    match (write, read) {
        (WriteEnd::Left(leave), _) => Some(PairEnd::Left(leave)),
        (WriteEnd::Drained, _) => Some(PairEnd::Drained),
        (_, Some(ReadEnd::Lost(error))) => Some(PairEnd::ReaderLost(error)),
        (_, Some(ReadEnd::Failed(error))) => Some(PairEnd::Left(error.into())),
        (_, Some(ReadEnd::Changed)) => {
            warn!(table = %name, "the structure changed while the table was read; it is copied again");
            locked(&round.changed).insert(name);
            None
        }
        (WriteEnd::Complete | WriteEnd::Cut, Some(ReadEnd::Complete | ReadEnd::NotWanted) | None) => None,
    }
}

async fn read_chunk(
    round: &Round,
    table: &TableCopy,
    chunk: &dm_sync_core::chunk::Chunk,
    number: u32,
    reader: &mut Conn,
    tx: mpsc::Sender<Batch>,
) -> ReadEnd {
    let sql = table.copy.select(chunk, round.filter.as_deref(), table.copy.key().is_some());
    let mut answer = match reader.query_iter(sql).await {
        Ok(answer) => answer,
        Err(error) => return ReadEnd::of(error),
    };
    let mut open = OpenBatch::default();
    loop {
        let row: Option<Row> = match answer.next().await {
            Ok(row) => row,
            Err(error) => return ReadEnd::of(error),
        };
        let Some(row) = row else {
            drop(answer);
            match ends_unchanged(table, reader).await {
                Ok(true) => {}
                Ok(false) => return ReadEnd::Changed,
                Err(error) => return ReadEnd::of(error),
            }
            let batch = open.finish(None, true);
            return if tx.send(batch).await.is_ok() { ReadEnd::Complete } else { ReadEnd::NotWanted };
        };
        let values = values(&row);
        let value_failed =
            || ReadEnd::Failed(Error::Value { table: table.copy.mapping().source().clone(), chunk: number });
        if open.add(&values, table, round.statement_bytes).is_err() {
            return value_failed();
        }
        if open.is_full() {
            let Ok(key) = table.copy.key_of(&values) else { return value_failed() };
            let key = key.map(|key| key.encode()).filter(|key| key.len() <= MAX_KEY_BYTES);
            let batch = std::mem::take(&mut open).finish(key, false);
            if tx.send(batch).await.is_err() {
                return ReadEnd::NotWanted;
            }
        }
    }
}

/// The last look at a table before its chunk counts as read: it is still what it was when the view began. Then lets go of it.
async fn ends_unchanged(table: &TableCopy, reader: &mut Conn) -> Result<bool, mysql_async::Error> {
    let now = identity::created(reader, table.copy.mapping().source()).await?;
    match view::release(reader).await {
        Ok(()) => {}
        Err(Error::Read(error)) => return Err(error),
        // It asks for nothing else.
        Err(_) => return Ok(false),
    }
    Ok(now.is_some_and(|now| now.may_be(&table.identity)))
}

impl ReadEnd {
    fn of(error: mysql_async::Error) -> Self {
        match error_number::number(&error) {
            // The definition changed after the view began; the table or a column is gone.
            Some(1412 | 1146 | 1054 | 1051) => Self::Changed,
            Some(number) if error_number::ends_connection(number) => Self::Lost(error),
            Some(_) => Self::Failed(Error::Read(error)),
            None => Self::Lost(error),
        }
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct OpenBatch {
    statements: Vec<Statement>,
    /// The statement that rows are added to; empty when none is open.
    sql: Vec<u8>,
    n_rows_of_statement: usize,
    n_rows: usize,
    n_bytes: usize,
}

impl OpenBatch {
    fn add(
        &mut self,
        values: &[Option<&[u8]>],
        table: &TableCopy,
        statement_bytes: usize,
    ) -> Result<(), dm_sync_core::chunk::Error> {
        // Literals are longer than values, by quotes mostly: near enough for a limit that is far below the server's.
        let n_expected: usize = values.iter().flatten().map(|value| value.len() + 3).sum();
        if self.n_rows_of_statement >= sqlgen::MAX_ROWS
            || (self.n_rows_of_statement > 0 && self.sql.len() + n_expected > statement_bytes)
        {
            self.close_statement();
        }
        let before = self.sql.len();
        if self.n_rows_of_statement == 0 {
            self.sql = table.copy.insert(table.verb);
            self.sql.reserve(statement_bytes.min(n_expected * sqlgen::MAX_ROWS));
        } else {
            self.sql.push(b',');
        }
        table.copy.row(values, &mut self.sql)?;
        self.n_rows_of_statement += 1;
        self.n_rows += 1;
        self.n_bytes += self.sql.len() - before;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.n_rows >= TRANSACTION_ROWS || self.n_bytes >= TRANSACTION_BYTES
    }

    fn close_statement(&mut self) {
        if std::mem::take(&mut self.n_rows_of_statement) > 0 {
            self.statements.push(Statement::new(std::mem::take(&mut self.sql)));
        }
    }

    fn finish(mut self, last_key: Option<Vec<u8>>, is_last: bool) -> Batch {
        self.close_statement();
        Batch {
            statements: self.statements,
            n_rows: self.n_rows as u64,
            n_bytes: self.n_bytes as u64,
            last_key,
            is_last,
        }
    }
}

async fn write_chunk(
    round: &Round,
    mut job: Job,
    is_resumable: bool,
    writer: &mut Writer,
    mut rx: mpsc::Receiver<Batch>,
) -> WriteEnd {
    let stop = async {
        round.stop.requested().await;
        if !is_resumable {
            tokio::select! {
                () = round.stop.kill.cancelled() => {}
                () = tokio::time::sleep(KEYLESS_GRACE) => {}
            }
        }
    };
    let mut stop = pin!(stop);
    loop {
        let batch = tokio::select! {
            biased;
            () = &mut stop => return WriteEnd::Drained,
            batch = rx.recv() => batch,
            () = tokio::time::sleep(Lane::PING_INTERVAL) => {
                writer.ping().await;
                continue;
            }
        };
        let Some(batch) = batch else { return WriteEnd::Cut };
        let mut row = job.row.clone();
        row.n_rows += batch.n_rows;
        row.n_bytes += batch.n_bytes;
        row.last_key = batch.last_key;
        row.state = if batch.is_last { ChunkState::Done } else { ChunkState::Copying };
        row.snapshot = Some(round.location.clone());
        let mut statements = batch.statements;
        statements.extend(job.split_from.as_ref().map(|split| marker::put(&round.target, split)));
        statements.push(marker::put(&round.target, &row));
        crate::fail_point::pass(if batch.is_last { "marker" } else { "chunk" });
        if let Err(refusal) = writer.write(&statements).await {
            return WriteEnd::Left(refusal.into_leave_of(&row.table, row.chunk));
        }
        crate::fail_point::pass(if batch.is_last { "marker-done" } else { "chunk-done" });
        {
            let mut ledger = locked(&round.ledger);
            job.split_from.take().into_iter().for_each(|split| ledger.put(split));
            ledger.put(row.clone());
        }
        job.row = row;
        if batch.is_last {
            return WriteEnd::Complete;
        }
    }
}
