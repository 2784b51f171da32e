//! Where cells run: two servers of each kind, and for each stream of cells a master of its own.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use dm_fence::{UnitNumber, Window};
use dm_mysql::{facts, schema};
use dm_tests::{
    Server, ServerKind, ServerOptions,
    cluster::{Cluster, Options},
    rows::read::{TableAt, keyless},
    wait,
};
use mysql_async::{Conn, Row, prelude::Queryable};
use tempfile::TempDir;

/// How long the target may need to have it all on a busy machine: an unregistered connection's locks last 10 s.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Sources and targets, shared by all streams.
pub(crate) struct Servers {
    sources: [Server; 2],
    targets: [Server; 2],
    _scratch: TempDir,
}

impl Servers {
    pub(crate) async fn start() -> Result<Arc<Self>> {
        let scratch = tempfile::Builder::new().prefix("dm-matrix-scratch-").tempdir()?;
        // temporary tables of its own: servers that share a folder have been seen to miss theirs
        let server = |kind, id: u32| {
            let options = ServerOptions::default().with_server_id(id);
            let folder = scratch.path().join(id.to_string());
            async move {
                std::fs::create_dir_all(&folder)?;
                Server::start(kind, options.with(format!("--tmpdir={}", folder.display()))).await
            }
        };
        let (a, b, c, d) = tokio::try_join!(
            server(ServerKind::MariaDb, 1),
            server(ServerKind::MySql, 2),
            server(ServerKind::MariaDb, 3),
            server(ServerKind::MySql, 4)
        )?;
        Ok(Arc::new(Self { sources: [a, b], targets: [c, d], _scratch: scratch }))
    }

    pub(crate) fn source(&self, kind: ServerKind) -> &Server {
        of(&self.sources, kind)
    }

    pub(crate) fn target(&self, kind: ServerKind) -> &Server {
        of(&self.targets, kind)
    }
}

fn of(servers: &[Server; 2], kind: ServerKind) -> &Server {
    match kind {
        ServerKind::MariaDb => &servers[0],
        ServerKind::MySql => &servers[1],
    }
}

/// A stream of cells: one after the other under one master.
pub(crate) struct Stream {
    pub(crate) servers: Arc<Servers>,
    pub(crate) cluster: Cluster,
    _folder: TempDir,
}

impl Stream {
    pub(crate) async fn start(servers: Arc<Servers>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dm-matrix-").tempdir()?;
        let options = Options { n_masters: 1, n_workers: 0, ..Options::default() };
        let cluster = Cluster::start(folder.path(), options).await?;
        Ok(Self { servers, cluster, _folder: folder })
    }

    /// Writes a file into the stream's folder; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.cluster.folder().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

/// Where a server's log ends: file, offset, GTID set.
pub(crate) async fn end_of_log(server: &Server) -> Result<(String, u64, String)> {
    let mut conn = server.connect().await?;
    let found = facts(&mut conn).await?;
    // MySQL shows a position that is ahead of its GTID set while others commit
    conn.query_drop("FLUSH TABLES WITH READ LOCK").await?;
    let end = schema::binlog_status(&mut conn, &found).await;
    conn.query_drop("UNLOCK TABLES").await?;
    let end = end?.context("the server's position")?;
    conn.disconnect().await?;
    let gtid = end.gtid.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok((end.position.file.clone(), end.position.offset, gtid))
}

/// The first column of all rows, as text.
pub(crate) async fn column(server: &Server, sql: &str) -> Result<Vec<String>> {
    let mut conn: Conn = server.connect().await?;
    let found = conn.query(sql).await.with_context(|| sql.to_owned())?;
    conn.disconnect().await?;
    Ok(found)
}

pub(crate) async fn execute(server: &Server, sql: &str) -> Result<()> {
    let mut conn = server.root().await?;
    conn.query_drop(sql).await.with_context(|| sql.to_owned())?;
    conn.disconnect().await?;
    Ok(())
}

/// The newest epoch in the lane rows; 0 while there are none.
pub(crate) async fn newest_epoch(target: &Server, meta: &str) -> Result<u64> {
    match column(target, &format!("SELECT COALESCE(MAX(epoch), 0) FROM {meta}.dm_fence_lane")).await {
        Ok(found) => Ok(found.first().and_then(|text| text.parse().ok()).unwrap_or_default()),
        Err(error) if is_absent(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<mysql_async::Error>(), Some(mysql_async::Error::Server(error)) if matches!(error.code, 1146 | 1049))
}

/// Waits until every table of the schema is the same on both sides. Nobody may write to the source meanwhile.
pub(crate) async fn settle(source: &Server, target: &Server, schema: &str) -> Result<()> {
    let last = format!("SELECT CONCAT(COUNT(*), '/', COALESCE(MAX(id), 0)) FROM {schema}.log");
    let wanted = column(source, &last).await?;
    let mut difference = String::new();
    let waited = wait::until("equal rows", SETTLE_LIMIT, || {
        let (last, wanted) = (last.clone(), wanted.clone());
        async move {
            match column(target, &last).await {
                Ok(found) if found == wanted => {}
                Ok(_) => return Ok(None),
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
            Ok(difference_of(source, target, schema).await?.is_none().then_some(()))
        }
    })
    .await;
    if let Err(error) = waited {
        if let Ok(Some(found)) = difference_of(source, target, schema).await {
            difference = found;
        }
        bail!("not equal: {error:#}: {difference}");
    }
    Ok(())
}

/// What differs between the schema's tables, in every column.
pub(crate) async fn difference_of(source: &Server, target: &Server, schema: &str) -> Result<Option<String>> {
    let tables = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}' AND table_type = 'BASE TABLE' ORDER BY 1"
    );
    let (there, here) = (column(source, &tables).await?, column(target, &tables).await?);
    if there != here {
        return Ok(Some(format!("tables {there:?}, in the target {here:?}")));
    }
    for table in &there {
        let at = |server: &Server| TableAt::new(server.root_opts(), schema, table);
        // other columns are a difference and no failure
        match keyless(&[at(source)], &at(target)).await {
            Ok(found) if found.is_equal() => {}
            Ok(found) => return Ok(Some(format!("rows of {schema}.{table}: {found:?}"))),
            Err(error) => return Ok(Some(format!("{error:#}"))),
        }
    }
    Ok(None)
}

/// That the fence's own rows fit together: one epoch, windows above their watermark, no DDL left open.
pub(crate) async fn check_lane_rows(target: &Server, meta: &str) -> Result<()> {
    let mut conn = target.connect().await?;
    let rows: Vec<Row> =
        conn.query(format!("SELECT lane, epoch, seq, low, done FROM {meta}.dm_fence_lane ORDER BY lane")).await?;
    let n_open: Option<u64> =
        conn.query_first(format!("SELECT COUNT(*) FROM {meta}.dm_ddl_intent WHERE state = 'intent'")).await?;
    conn.disconnect().await?;
    ensure!(!rows.is_empty(), "no lane rows");
    ensure!(n_open == Some(0), "{n_open:?} DDLs are left open");
    let mut epochs = std::collections::BTreeSet::new();
    for row in &rows {
        let get = |at: usize| row.get::<u64, usize>(at).context("a number in a lane row");
        epochs.insert(get(1)?);
        ensure!(get(2)? > 0, "a lane row's seq is 0");
        let low = UnitNumber(get(3)?);
        let done = row.get::<Vec<u8>, usize>(4).context("a window")?;
        let window = Window::decode(&done, low).context("read a window")?;
        ensure!(window.fits(low), "a window does not fit its watermark");
    }
    ensure!(epochs.len() == 1, "lane rows of several epochs: {epochs:?}");
    Ok(())
}
