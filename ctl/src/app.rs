//! The command line: DM's commands, flags and spellings.

use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use dm_config::{flags::normalize_args, server_tls::RawTls};
use dm_runtime::tls::{self, Tls};

/// What every command gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    pub(crate) master_addrs: Vec<String>,
    pub(crate) rpc_timeout: Duration,
    pub(crate) strict_exit: bool,
    /// Values of the global `-s`.
    pub(crate) sources: Vec<String>,
    pub(crate) tls: Option<Tls>,
}

/// What the words of a command line ask for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Once(Globals, Command),
    /// No command: read commands from standard input.
    Prompt(Globals),
    /// Help or version: to standard output, exit 0.
    Print(String),
    /// To standard error, exit 1.
    Refused(String),
}

#[derive(Debug, Parser)]
#[command(name = "dmctl", about = "DM control", disable_version_flag = true, subcommand_required = false)]
struct App {
    /// master API server addresses, comma separated; tried in order
    #[arg(long, env = "DM_MASTER_ADDR", value_delimiter = ',', global = true)]
    master_addr: Vec<String>,
    /// longest wait for an answer
    #[arg(long, default_value = "10m", global = true)]
    rpc_timeout: String,
    /// path to config file
    #[arg(long, global = true)]
    config: Option<String>,
    /// path of file that contains list of trusted SSL CAs for connection
    #[arg(long, global = true)]
    ssl_ca: Option<String>,
    /// path of file that contains X509 certificate in PEM format for connection
    #[arg(long, global = true)]
    ssl_cert: Option<String>,
    /// path of file that contains X509 key in PEM format for connection
    #[arg(long, global = true)]
    ssl_key: Option<String>,
    /// sources to act on; may be repeated or comma separated
    #[arg(short = 's', long = "source", value_delimiter = ',', global = true)]
    source: Vec<String>,
    /// exit with 1 when the answer says `"result": false`
    #[arg(long, global = true)]
    strict_exit: bool,
    /// prints version and exit
    #[arg(short = 'V', long = "version")]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a task as defined in the configuration file
    StartTask(StartTask),
    /// Stops a specified task or all tasks bound to a source
    StopTask(TaskArgs),
    /// Pauses a specified running task or all running tasks bound to a source
    PauseTask(TaskArgs),
    /// Resumes a specified paused task or all paused tasks bound to a source
    ResumeTask(TaskArgs),
    /// Checks the configuration file of the task
    CheckTask(CheckTask),
    /// Queries task status
    QueryStatus(QueryStatus),
    /// `create`/`stop`/`show` upstream MySQL/MariaDB source
    OperateSource(OperateSource),
    /// Lists member information
    ListMember(ListMember),
    /// Offlines member which has been closed
    OfflineMember(OfflineMember),
    /// Manages config operations
    #[command(subcommand)]
    Config(Config),
    /// Manages or shows binlog operations
    #[command(subcommand)]
    Binlog(Binlog),
    /// Encrypts plaintext to ciphertext
    Encrypt { plaintext: String },
    /// `evict`/`cancel-evict` the leader
    #[command(subcommand)]
    OperateLeader(OperateLeader),
    /// Makes another master the leader and prints how long writes stood still
    TransferLeader { name: String },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperateLeader {
    /// A master gives up leading and does not stand for election until `cancel-evict`
    Evict {
        /// which master; the one that is asked when it is left out
        name: Option<String>,
    },
    /// It may lead again
    CancelEvict { name: Option<String> },
}

#[derive(Debug, Args)]
pub(crate) struct StartTask {
    /// whether to remove task's meta data
    #[arg(long)]
    pub(crate) remove_meta: bool,
    /// the binlog time to start at, e.g. '2021-10-21 00:01:00'
    #[arg(long, default_value = "")]
    pub(crate) start_time: String,
    /// start above rows that another cluster left in the target's meta schema
    #[arg(long)]
    pub(crate) take_over: bool,
    pub(crate) config_file: String,
}

#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// how many tasks of one source are operated on at a time
    #[arg(long, default_value_t = 5)]
    pub(crate) batch_size: usize,
    /// task name or task file; without it all tasks of the one source given by -s
    pub(crate) task: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckTask {
    /// max count of errors to display
    #[arg(short = 'e', long = "error", default_value_t = 10)]
    pub(crate) errors: i64,
    /// max count of warns to display
    #[arg(short = 'w', long = "warn", default_value_t = 10)]
    pub(crate) warns: i64,
    #[arg(long, default_value = "")]
    pub(crate) start_time: String,
    pub(crate) config_file: String,
}

#[derive(Debug, Args)]
pub(crate) struct QueryStatus {
    /// task name or task file
    pub(crate) task: Option<String>,
    /// whether to print the detailed task information
    #[arg(long)]
    pub(crate) more: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OperateSource {
    /// create, update, stop or show
    pub(crate) operation: Option<String>,
    /// source files, or source ids for stop
    pub(crate) arguments: Vec<String>,
    /// specify bound worker for created source
    #[arg(short = 'w', long, default_value = "")]
    pub(crate) worker: String,
    /// print sample config file of source
    #[arg(short = 'p', long)]
    pub(crate) print_sample_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListMember {
    /// only to list leader information
    #[arg(short = 'l', long)]
    pub(crate) leader: bool,
    /// only to list master information
    #[arg(short = 'm', long)]
    pub(crate) master: bool,
    /// only to list worker information
    #[arg(short = 'w', long)]
    pub(crate) worker: bool,
    /// names to list; may be repeated or comma separated
    #[arg(short = 'n', long, value_delimiter = ',')]
    pub(crate) name: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OfflineMember {
    /// to offline a master
    #[arg(long)]
    pub(crate) master: bool,
    /// to offline a worker
    #[arg(long)]
    pub(crate) worker: bool,
    /// specify member name for choosing
    #[arg(short = 'n', long)]
    pub(crate) name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Shows the task configuration
    Task(ConfigArgs),
    /// Shows the source configuration
    Source(ConfigArgs),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    pub(crate) name: Option<String>,
    /// write the config file to this path
    #[arg(short = 'p', long)]
    pub(crate) path: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Binlog {
    /// Skips the current error event or a specific binlog position (binlog-pos) event
    Skip(BinlogArgs),
    /// Replaces the current error event or a specific binlog position (binlog-pos) with some ddls
    Replace(BinlogArgs),
    /// Reverts the current binlog operation or a specific binlog position (binlog-pos) operation
    Revert(BinlogArgs),
    /// Injects the current error event or a specific binlog position (binlog-pos) with some ddls
    Inject(BinlogArgs),
    /// Lists error handle command at binlog position (binlog-pos) or after binlog position (binlog-pos)
    List(BinlogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BinlogArgs {
    /// position of the event, e.g. mysql-bin.000003:1234
    #[arg(short = 'b', long, default_value = "")]
    pub(crate) binlog_pos: String,
    pub(crate) task: String,
    /// statements, each may hold several separated by `;`
    pub(crate) sqls: Vec<String>,
}

/// Options that DM's users write with one dash.
const LONG_OPTIONS: [&str; 21] = [
    "master-addr",
    "rpc-timeout",
    "config",
    "source",
    "version",
    "help",
    "remove-meta",
    "start-time",
    "take-over",
    "batch-size",
    "error",
    "warn",
    "more",
    "worker",
    "master",
    "leader",
    "name",
    "path",
    "binlog-pos",
    "print-sample-config",
    "strict-exit",
];

/// Reads the words after the program's name.
pub(crate) fn parse(words: Vec<String>) -> Parsed {
    parse_words(words, None)
}

/// Reads a line typed at the prompt: options given at the start of the program stay in force.
pub(crate) fn parse_line(globals: &Globals, words: Vec<String>) -> Parsed {
    parse_words(words, Some(globals))
}

fn parse_words(words: Vec<String>, inherited: Option<&Globals>) -> Parsed {
    let words = std::iter::once("dmctl".to_owned()).chain(words).collect();
    let matches = App::command().try_get_matches_from(normalize_args(words, &LONG_OPTIONS));
    let app = match matches.and_then(|matches| App::from_arg_matches(&matches)) {
        Ok(app) => app,
        Err(error) => return refused(&error),
    };
    if app.version {
        return Parsed::Print(dm_runtime::version::text());
    }
    let globals = match globals(&app, inherited) {
        Ok(globals) => globals,
        Err(text) => return Parsed::Refused(text),
    };
    match app.command {
        Some(command) => Parsed::Once(globals, command),
        None => Parsed::Prompt(globals),
    }
}

fn refused(error: &clap::Error) -> Parsed {
    let text = error.render().to_string();
    if error.use_stderr() { Parsed::Refused(text.replacen("error: ", "Error: ", 1)) } else { Parsed::Print(text) }
}

fn globals(app: &App, inherited: Option<&Globals>) -> Result<Globals, String> {
    let mut globals = match inherited {
        Some(globals) => globals.clone(),
        None => first(app)?,
    };
    if !app.master_addr.is_empty() {
        globals.master_addrs.clone_from(&app.master_addr);
    }
    if inherited.is_none() && globals.rpc_timeout.is_zero() {
        globals.rpc_timeout = duration(&app.rpc_timeout)?;
    }
    globals.sources.clone_from(&app.source);
    globals.strict_exit |= app.strict_exit;
    let asks_nobody = matches!(&app.command, Some(Command::OperateSource(args)) if args.print_sample_config);
    if globals.master_addrs.is_empty() && !asks_nobody {
        return Err(
            "Error: --master-addr not provided, this parameter is required when interacting with the dm-master, \
                    you can also use environment variable 'DM_MASTER_ADDR' to specify the value\n"
                .to_owned(),
        );
    }
    Ok(globals)
}

/// From the file that `--config` names and the flags that stay for all commands of a prompt.
fn first(app: &App) -> Result<Globals, String> {
    let (mut globals, mut raw) = from_file(app.config.as_deref())?;
    raw.merge(RawTls {
        ssl_ca: app.ssl_ca.clone(),
        ssl_cert: app.ssl_cert.clone(),
        ssl_key: app.ssl_key.clone(),
        cert_allowed_cn: None,
    });
    // whom to let in is a server's question
    raw.cert_allowed_cn = None;
    if let Some(paths) = raw.finish().map_err(|error| format!("Error: {error}\n"))? {
        let files = tls::Files { ca: paths.ca, cert: paths.cert, key: paths.key, allowed_cn: Vec::new() };
        let tls = Tls::load(files).map_err(|error| format!("Error: {}\n", dm_model::error::Chain(&error)))?;
        globals.tls = Some(tls);
    }
    Ok(globals)
}

fn from_file(path: Option<&str>) -> Result<(Globals, RawTls), String> {
    let Some(path) = path else { return Ok((Globals::default(), RawTls::default())) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("Error: can't read config {path}: {error}\n"))?;
    let (config, _warnings) = dm_config::ctl::Config::from_toml(&text).map_err(|error| format!("Error: {error}\n"))?;
    let tls = config.tls.clone();
    let resolved = config.finish().map_err(|error| format!("Error: {error}\n"))?;
    let globals =
        Globals { master_addrs: resolved.master_addr, rpc_timeout: resolved.rpc_timeout, ..Globals::default() };
    Ok((globals, tls))
}

fn duration(text: &str) -> Result<Duration, String> {
    dm_config::duration::GoDuration::parse(text)
        .map(|duration| duration.0)
        .ok_or_else(|| format!("Error: --rpc-timeout: `{text}` is not a duration such as 30s or 10m\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn single_dash_long_options_are_taken() {
        match parse(words("-master-addr 127.0.0.1:8261 start-task -remove-meta task.yaml")) {
            Parsed::Once(globals, Command::StartTask(start)) => {
                assert_eq!(globals.master_addrs, ["127.0.0.1:8261"]);
                assert!(start.remove_meta);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sources_may_be_repeated_or_comma_separated_and_stand_anywhere() {
        match parse(words("--master-addr=a:1,b:2 pause-task -s s1,s2 shop -s s3")) {
            Parsed::Once(globals, Command::PauseTask(args)) => {
                assert_eq!(globals.master_addrs, ["a:1", "b:2"]);
                assert_eq!(globals.sources, ["s1", "s2", "s3"]);
                assert_eq!(args.task.as_deref(), Some("shop"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_argument_is_an_error_with_usage() {
        match parse(words("--master-addr a:1 start-task")) {
            Parsed::Refused(text) => {
                assert!(text.starts_with("Error: "), "{text}");
                assert!(text.contains("Usage: dmctl start-task"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sample_is_printed_without_a_master() {
        if std::env::var_os("DM_MASTER_ADDR").is_none() {
            assert!(matches!(parse(words("operate-source -p")), Parsed::Once(..)));
            assert!(matches!(parse(words("operate-source show")), Parsed::Refused(_)));
        }
    }

    #[test]
    fn without_a_command_commands_are_read() {
        assert!(matches!(parse(words("--master-addr a:1")), Parsed::Prompt(_)));
        assert!(matches!(parse(words("-V")), Parsed::Print(text) if text.starts_with("Release Version: v")));
    }
}
