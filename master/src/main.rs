//! The dm-master program: command line, logging, one master until a signal ends it.

use std::process::ExitCode;

use dm_config::logging::{LogFormat, LogOptions, LogRotate};
use dm_master::{
    Error, Master, Options,
    flags::{self, Asked, Command},
};
use dm_model::error::Chain;
use dm_runtime::{Shutdown, telemetry};
use tracing::{error, info, warn};

fn main() -> ExitCode {
    let command = match flags::parse(std::env::args().collect()) {
        Ok(Asked::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(command)) => command,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(*command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(error = %Chain(&failure), "dm-master ends");
            eprintln!("{}", failure.text());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Error> {
    let file = match &command.config_file {
        Some(path) => {
            Some(std::fs::read_to_string(path).map_err(|source| Error::ReadFile { path: path.clone(), source })?)
        }
        None => None,
    };
    // a machine that does not tell its name gives the default name none
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let (config, warnings) = command.resolve(file.as_deref(), hostname.trim())?;
    telemetry::start(&log_options(&config.log)).map_err(|error| Error::Fatal { reason: error.to_string() })?;
    for warning in warnings {
        warn!(%warning, "configuration");
    }
    info!(version = dm_runtime::version::VERSION, name = %config.name, "dm-master starts");
    let shutdown = Shutdown::on_signals().map_err(|error| Error::Fatal { reason: error.to_string() })?;
    let master = Master::start(Options::of_config(config)?, shutdown).await?;
    master.run().await
}

fn log_options(log: &LogOptions) -> telemetry::LogOptions {
    telemetry::LogOptions {
        level: log.level.as_str().to_owned(),
        file: log.file.clone().unwrap_or_default(),
        format: match log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
        .to_owned(),
        rotate: match log.rotate {
            LogRotate::Hour => "hour",
            LogRotate::Day => "day",
            LogRotate::Never => "never",
        }
        .to_owned(),
    }
}
