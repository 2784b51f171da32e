//! What a worker process is made of, from configuration to the last task's end.

use std::sync::Arc;

use anyhow::{Context, Result};
use dm_config::{
    logging::{LogFormat, LogRotate},
    server_tls::TlsPaths,
    worker::{Config, Resolved},
};
use dm_runtime::{
    Shutdown, Tasks,
    metrics::Metrics,
    serve, telemetry,
    tls::{self, Tls},
    version,
};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    metrics::ProcessMetrics,
    session::{self, Identity},
    status::Board,
    supervisor,
};

/// Runs a worker until it is told to end.
///
/// # Errors
/// Bad configuration, a taken port, a name that another worker holds, masters of another cluster.
pub fn start(file: Option<String>, flags: Config) -> Result<()> {
    let (config, warnings) = configure(file, flags)?;
    telemetry::start(&log_options(&config)).context("start logging")?;
    for warning in warnings {
        warn!("{warning}");
    }
    let tls = config
        .tls
        .clone()
        .map(|TlsPaths { ca, cert, key, allowed_cn }| Tls::load(tls::Files { ca, cert, key, allowed_cn }));
    let tls = tls.transpose().context("set up TLS")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let ended = runtime.block_on(run(config, tls));
    // blocking calls of libraries must not hold the process
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ended
}

fn configure(file: Option<String>, flags: Config) -> Result<(Resolved, Vec<String>)> {
    let (mut config, warnings) = match &file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read config file {path}"))?;
            let (config, warnings) = Config::from_toml(&text).with_context(|| format!("read config file {path}"))?;
            (config, warnings.iter().map(ToString::to_string).collect())
        }
        None => (Config::default(), Vec::new()),
    };
    config.merge(flags);
    Ok((config.finish().context("check configuration")?, warnings))
}

fn log_options(config: &Resolved) -> telemetry::LogOptions {
    telemetry::LogOptions {
        level: config.log.level.as_str().to_owned(),
        file: config.log.file.clone().unwrap_or_default(),
        format: match config.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
        .to_owned(),
        rotate: match config.log.rotate {
            LogRotate::Hour => "hour",
            LogRotate::Day => "day",
            LogRotate::Never => "never",
        }
        .to_owned(),
    }
}

async fn run(config: Resolved, tls: Option<Tls>) -> Result<()> {
    let shutdown = Shutdown::on_signals().context("listen to signals")?;
    let tasks = Tasks::new();
    let metrics = Metrics::new();
    let board = Board::new();
    let counted = Arc::new(ProcessMetrics::default());
    metrics.register(|registry| {
        crate::metrics::register(registry, config.name.clone(), board.clone(), Arc::clone(&counted));
    });
    let listener = serve::listen(&config.worker_addr).await?;
    info!(name = %config.name, addr = %config.worker_addr, version = version::VERSION, "dm-worker starts");
    let identity = Identity {
        name: config.name.clone(),
        instance_uuid: Uuid::new_v4().to_string(),
        advertise_addr: config.advertise_addr.clone(),
        keepalive_ttl: config.keepalive_ttl,
    };
    let session = session::Service::new(
        identity,
        config.join.clone(),
        tls.clone(),
        board.clone(),
        Arc::clone(&counted),
        config.self_fence_after,
    );
    let supervisor = supervisor::Service::new(session.wishes(), board.clone(), counted, tasks.clone());
    let http = tasks.spawn("http", serve::serve_with(listener, serve::status_routes(metrics), tls, shutdown.clone()));
    let (drained_tx, drained_rx) = tokio::sync::oneshot::channel::<()>();
    let supervise = tasks.spawn("supervisor", {
        let shutdown = shutdown.clone();
        async move {
            supervisor.run(shutdown).await;
            // the session says goodbye only now, so that nobody takes over what still writes
            let _ = drained_tx.send(());
        }
    });
    let leave = async {
        let _ = drained_rx.await;
    };
    let ended = session.run(leave, shutdown.clone()).await;
    shutdown.drain.cancel();
    if ended.is_err() {
        shutdown.kill.cancel();
    }
    for task in [supervise, http] {
        task.await.context("a part of the worker panicked")?;
    }
    tasks.finish().await;
    shutdown.kill.cancel();
    info!("dm-worker ends");
    ended.map_err(anyhow::Error::from)
}
