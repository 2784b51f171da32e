//! dm-worker's command line. Flags win over the file.

use clap::{CommandFactory, FromArgMatches, Parser};
use dm_config::{
    duration::GoDuration,
    flags::normalize_args,
    logging::RawLog,
    server_tls::RawTls,
    worker::{Config, LONG_FLAGS, SAMPLE},
};

#[derive(Debug, Parser)]
#[command(name = "dm-worker", about = "runs the subtasks that the leader assigns", disable_version_flag = true)]
struct Flags {
    /// path to config file
    #[arg(long)]
    config: Option<String>,
    /// prints version and exit
    #[arg(short = 'V', long = "version")]
    version: bool,
    /// print sample config file of dm-worker
    #[arg(long)]
    print_sample_config: bool,
    /// log level: debug, info, warn, error, fatal
    #[arg(short = 'L', long)]
    log_level: Option<String>,
    /// log file path
    #[arg(long)]
    log_file: Option<String>,
    /// the format of the log, text or json
    #[arg(long)]
    log_format: Option<String>,
    /// log file rotate type, hour or day
    #[arg(long)]
    log_rotate: Option<String>,
    /// human-readable name for this worker
    #[arg(long)]
    name: Option<String>,
    /// listen address for client traffic
    #[arg(long)]
    worker_addr: Option<String>,
    /// advertise address for client traffic
    #[arg(long)]
    advertise_addr: Option<String>,
    /// join to an existing cluster: client addresses of masters, comma separated
    #[arg(long)]
    join: Option<String>,
    /// seconds this worker may be silent before its sources are given to others
    #[arg(long)]
    keepalive_ttl: Option<u64>,
    /// accepted as DM's, and without effect
    #[arg(long)]
    relay_keepalive_ttl: Option<u64>,
    /// stop the subtasks after this long without a word of a leader, e.g. 30s; unset: never
    #[arg(long)]
    self_fence_after: Option<String>,
    /// the directory for relay logs
    #[arg(long)]
    relay_dir: Option<String>,
    /// hide row data in logs; it never appears there anyway
    #[arg(long)]
    redact_info_log: bool,
    /// path of file that contains list of trusted SSL CAs
    #[arg(long)]
    ssl_ca: Option<String>,
    /// path of file that contains X509 certificate in PEM format
    #[arg(long)]
    ssl_cert: Option<String>,
    /// path of file that contains X509 key in PEM format
    #[arg(long)]
    ssl_key: Option<String>,
    /// the trusted common name that is allowed to visit
    #[arg(long, value_delimiter = ',')]
    cert_allowed_cn: Option<Vec<String>>,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// The file named by `--config`, if any, and the flags over it.
    Run { file: Option<String>, flags: Box<Config> },
    /// To standard output, exit 0.
    Print(String),
    /// To standard error, exit 2.
    Refused(String),
}

/// Reads a command line, the program's name first.
pub fn parse(args: Vec<String>) -> Parsed {
    let matches = Flags::command().try_get_matches_from(normalize_args(args, LONG_FLAGS));
    let flags = match matches.and_then(|matches| Flags::from_arg_matches(&matches)) {
        Ok(flags) => flags,
        Err(error) if error.use_stderr() => return Parsed::Refused(error.render().to_string()),
        Err(error) => return Parsed::Print(error.render().to_string()),
    };
    if flags.version {
        return Parsed::Print(dm_runtime::version::text());
    }
    if flags.print_sample_config {
        return Parsed::Print(SAMPLE.to_owned());
    }
    let self_fence_after = match flags.self_fence_after.as_deref().map(|text| (text, GoDuration::parse(text))) {
        Some((text, None)) => {
            return Parsed::Refused(format!("--self-fence-after: `{text}` is not a duration such as 30s\n"));
        }
        Some((_, Some(duration))) => Some(duration),
        None => None,
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
        worker_addr: flags.worker_addr,
        advertise_addr: flags.advertise_addr,
        join: flags.join,
        keepalive_ttl: flags.keepalive_ttl,
        self_fence_after,
        relay_dir: flags.relay_dir,
        redact_info_log: flags.redact_info_log.then_some(true),
    };
    Parsed::Run { file: flags.config, flags: Box::new(config) }
}
