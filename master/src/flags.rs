//! dm-master's command line: DM's long options with one dash, each of which wins over the file's key.

use clap::Parser;
use dm_config::{
    Error, Warning,
    duration::GoDuration,
    flags::normalize_args,
    logging::RawLog,
    master::{Config, LONG_FLAGS, Resolved},
    server_tls::RawTls,
};

/// Flags as clap reads them after [`normalize_args`].
#[derive(Debug, Parser)]
#[command(name = "dm-master", disable_version_flag = true, about = "dm-master of Data Migration")]
struct Flags {
    /// path to config file
    #[arg(long)]
    config: Option<String>,
    /// print sample config file of dm-master
    #[arg(long)]
    print_sample_config: bool,
    /// prints version and exit
    #[arg(short = 'V', long)]
    version: bool,
    /// master API server and status addr
    #[arg(long)]
    master_addr: Option<String>,
    /// advertise address for client traffic
    #[arg(long)]
    advertise_addr: Option<String>,
    /// human-readable name for this DM-master member
    #[arg(long)]
    name: Option<String>,
    /// path to the data directory
    #[arg(long)]
    data_dir: Option<String>,
    /// initial cluster configuration for bootstrapping, e,g. dm-master=http://127.0.0.1:8291
    #[arg(long)]
    initial_cluster: Option<String>,
    /// new or existing
    #[arg(long)]
    initial_cluster_state: Option<String>,
    /// URLs for peer traffic
    #[arg(long)]
    peer_urls: Option<String>,
    /// advertise URLs for peer traffic
    #[arg(long)]
    advertise_peer_urls: Option<String>,
    /// join to an existing cluster (usage: cluster's master-addr list)
    #[arg(long)]
    join: Option<String>,
    /// log level: debug, info, warn, error, fatal
    #[arg(short = 'L', long)]
    log_level: Option<String>,
    /// log file path
    #[arg(long)]
    log_file: Option<String>,
    /// the format of the log, "text" or "json"
    #[arg(long)]
    log_format: Option<String>,
    /// log file rotate type, hour/day
    #[arg(long)]
    log_rotate: Option<String>,
    /// timeout of a request to a worker
    #[arg(long)]
    rpc_timeout: Option<String>,
    #[arg(long)]
    rpc_rate_limit: Option<f64>,
    #[arg(long)]
    rpc_rate_burst: Option<u32>,
    #[arg(long)]
    openapi: bool,
    #[arg(long)]
    v1_sources_path: Option<String>,
    /// path of file that contains list of trusted SSL CAs for connection
    #[arg(long)]
    ssl_ca: Option<String>,
    #[arg(long)]
    ssl_cert: Option<String>,
    #[arg(long)]
    ssl_key: Option<String>,
    #[arg(long, value_delimiter = ',')]
    cert_allowed_cn: Option<Vec<String>>,
    /// path of file that contains the AES-256 key
    #[arg(long)]
    secret_key_path: Option<String>,
    // They tuned the embedded etcd of other versions; accepted so that scripts go on working.
    #[arg(long, hide = true)]
    max_txn_ops: Option<String>,
    #[arg(long, hide = true)]
    max_request_bytes: Option<String>,
    #[arg(long, hide = true)]
    auto_compaction_mode: Option<String>,
    #[arg(long, hide = true)]
    auto_compaction_retention: Option<String>,
    #[arg(long, hide = true)]
    quota_backend_bytes: Option<String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Print this and end well.
    Print(String),
    Run(Box<Command>),
}

#[derive(Debug)]
pub struct Command {
    pub config_file: Option<String>,
    flags: Config,
}

impl Command {
    /// Flags over the file's text, checked. The hostname makes the default name.
    pub fn resolve(self, file: Option<&str>, hostname: &str) -> Result<(Resolved, Vec<Warning>), Error> {
        let (mut config, warnings) = match file {
            Some(text) => Config::from_toml(text)?,
            None => (Config::default(), Vec::new()),
        };
        config.merge(self.flags);
        Ok((config.finish(hostname)?, warnings))
    }
}

/// Reads a command line; the first element is the program. Fails with clap's own text, which is help as well.
pub fn parse(args: Vec<String>) -> Result<Asked, clap::Error> {
    let flags = Flags::try_parse_from(normalize_args(args, LONG_FLAGS))?;
    if flags.version {
        return Ok(Asked::Print(dm_runtime::version::text()));
    }
    if flags.print_sample_config {
        return Ok(Asked::Print(dm_config::master::SAMPLE.to_owned()));
    }
    let rpc_timeout = match flags.rpc_timeout.as_deref().map(GoDuration::parse) {
        None => None,
        Some(Some(timeout)) => Some(timeout),
        Some(None) => {
            return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, "-rpc-timeout is not a duration\n"));
        }
    };
    let config = Config {
        log: RawLog {
            log_level: flags.log_level,
            log_file: flags.log_file,
            log_format: flags.log_format,
            log_rotate: flags.log_rotate,
        },
        tls: RawTls {
            ssl_ca: flags.ssl_ca,
            ssl_cert: flags.ssl_cert,
            ssl_key: flags.ssl_key,
            cert_allowed_cn: flags.cert_allowed_cn,
        },
        name: flags.name,
        master_addr: flags.master_addr,
        advertise_addr: flags.advertise_addr,
        peer_urls: flags.peer_urls,
        advertise_peer_urls: flags.advertise_peer_urls,
        data_dir: flags.data_dir,
        initial_cluster: flags.initial_cluster,
        initial_cluster_state: flags.initial_cluster_state,
        join: flags.join,
        rpc_timeout,
        rpc_rate_limit: flags.rpc_rate_limit,
        rpc_rate_burst: flags.rpc_rate_burst,
        openapi: flags.openapi.then_some(true),
        experimental: None,
        v1_sources_path: flags.v1_sources_path,
        secret_key_path: flags.secret_key_path,
        raft: None,
    };
    Ok(Asked::Run(Box::new(Command { config_file: flags.config, flags: config })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Box<Command> {
        match parse(line.split(' ').map(str::to_owned).collect()).unwrap() {
            Asked::Run(command) => command,
            Asked::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let command = run("dm-master -config x.toml -name m2 --master-addr=127.0.0.1:1 -L debug");
        assert_eq!(command.config_file.as_deref(), Some("x.toml"));
        let file = "name = \"m1\"\nmaster-addr = \"127.0.0.1:2\"\ndata-dir = \"d\"\n";
        let (resolved, _) = command.resolve(Some(file), "host").unwrap();
        assert_eq!((resolved.name.as_str(), resolved.master_addr.as_str()), ("m2", "127.0.0.1:1"));
        assert_eq!(resolved.data_dir, "d");
    }

    #[test]
    fn version_and_sample_are_printed() {
        for line in ["dm-master -V", "dm-master -print-sample-config"] {
            assert!(matches!(parse(line.split(' ').map(str::to_owned).collect()), Ok(Asked::Print(_))), "{line}");
        }
    }
}
