//! What can be wrong with a configuration, with DM's codes.
//!
//! Numbers below 60000 are DM's; 60010 and up are for checks DM does not have.

use std::fmt;

use dm_model::error::{Class, Code, Coded, Level, Scope};

/// Something odd in a configuration that does not stop it from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! errors {
    ($(
        $number:literal $class:ident $level:ident $variant:ident
        { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? } $message:literal, $workaround:literal;
    )*) => {
        /// Why a configuration is refused. Every variant has one code, except wrapped errors of rules.
        #[derive(Debug, thiserror::Error)]
        pub enum Error {
            $(#[error($message)] $variant { $($(#[$attribute])* $field: $type),* },)*
            /// A rule that does not compile; the code is the rule's own.
            #[error(transparent)]
            Rules(#[from] dm_rules::Error),
        }

        impl Coded for Error {
            fn code(&self) -> Code {
                match self {
                    $(Self::$variant { .. } =>
                        Code::new($number, Class::$class, Scope::Internal, Level::$level, $workaround),)*
                    Self::Rules(error) => error.code(),
                }
            }
        }
    };
}

errors! {
    11009 Functional High RelayGtid { text: String } "`relay-binlog-gtid` `{text}` is not a GTID set",
        "Please check `relay-binlog-gtid` and `flavor` in the source file.";
    20001 Config Medium CheckingItem { item: String, known: String }
        "`ignore-checking-items` has the unknown item `{item}`; known are {known}",
        "Please check `ignore-checking-items` in the task file.";
    20002 Config Medium Toml { #[source] source: Box<toml::de::Error> } "the configuration file is not valid TOML",
        "Please check that the configuration file is correct TOML.";
    20002 Config Medium CtlUnknown { keys: String } "the configuration has unknown keys: {keys}",
        "Please check dmctl's configuration file.";
    20003 Config Medium Yaml { line: u64, column: u64, problem: String } "line {line}, column {column}: {problem}",
        "Please check that the configuration file is correct YAML and has known keys only.";
    20005 Config Medium InstanceSourceIdEmpty { index: usize } "mysql-instances[{index}] has no `source-id`",
        "Please check `source-id` in the task file.";
    20006 Config Medium InstanceSourceId { index: usize, #[source] source: dm_model::name::NameError }
        "mysql-instances[{index}] has a bad `source-id`",
        "Please check `source-id` in the task file; it has at most 32 bytes.";
    20007 Config Medium OnlineDdlScheme { scheme: String } "`online-ddl-scheme` `{scheme}` is not `gh-ost` or `pt`",
        "Please remove `online-ddl-scheme` from the task file; `online-ddl` handles both tools.";
    20008 Config Medium Timezone { text: String } "`{text}` is not a time zone",
        "Please check `timezone` in the task file: an IANA name, or an offset from -12:59 to +14:00.";
    20011 Config Medium Meta { index: usize } "the `meta` of mysql-instances[{index}] has neither `binlog-name` nor `binlog-gtid`",
        "Please check `meta` in the task file.";
    20012 Config Medium EmptyInstance { index: usize } "mysql-instances[{index}] is empty",
        "Please check `mysql-instances` in the task file.";
    20013 Config Medium NoInstance {} "`mysql-instances` has no entry",
        "Please check `mysql-instances` in the task file.";
    20014 Config Medium SameSource { first: usize, second: usize, source_id: String }
        "mysql-instances[{first}] and mysql-instances[{second}] have the same source-id `{source_id}`",
        "Please check `mysql-instances` in the task file.";
    20015 Config Medium DumpTwice { index: usize } "mysql-instances[{index}] has both `mydumper-config-name` and `mydumper`",
        "Please keep one of `mydumper-config-name` and `mydumper`.";
    20016 Config Medium LoadTwice { index: usize } "mysql-instances[{index}] has both `loader-config-name` and `loader`",
        "Please keep one of `loader-config-name` and `loader`.";
    20017 Config Medium SyncTwice { index: usize } "mysql-instances[{index}] has both `syncer-config-name` and `syncer`",
        "Please keep one of `syncer-config-name` and `syncer`.";
    20019 Config Medium TaskName { #[source] source: dm_model::name::NameError } "the task has no valid `name`",
        "Please check `name` in the task file.";
    20020 Config Medium TaskMode { mode: String } "`task-mode` `{mode}` is not one of all, full, incremental, dump, load, load&sync",
        "Please check `task-mode` in the task file.";
    20021 Config Medium NoTarget {} "the task has no `target-database`",
        "Please check `target-database` in the task file.";
    20023 Config Medium NoRoute { index: usize, name: String } "mysql-instances[{index}] names the route rule `{name}`, which `routes` does not have",
        "Please check `route-rules` in the task file.";
    20024 Config Medium NoFilter { index: usize, name: String } "mysql-instances[{index}] names the filter rule `{name}`, which `filters` does not have",
        "Please check `filter-rules` in the task file.";
    20025 Config Medium NoColumnMapping { index: usize, name: String } "mysql-instances[{index}] names the column mapping `{name}`, which does not exist",
        "Please remove `column-mapping-rules` from the task file.";
    20026 Config Medium NoBlockAllow { index: usize, name: String } "mysql-instances[{index}] names the list `{name}`, which `block-allow-list` does not have",
        "Please check `block-allow-list` in the task file.";
    20027 Config Medium NoDump { index: usize, name: String } "mysql-instances[{index}] names the section `{name}`, which `mydumpers` does not have",
        "Please check `mydumper-config-name` in the task file.";
    20028 Config Medium DumpPath { index: usize } "mysql-instances[{index}] has an empty `mydumper-path`",
        "Please remove `mydumper-path` from the task file.";
    20029 Config Medium NoLoad { index: usize, name: String } "mysql-instances[{index}] names the section `{name}`, which `loaders` does not have",
        "Please check `loader-config-name` in the task file.";
    20030 Config Medium NoSync { index: usize, name: String } "mysql-instances[{index}] names the section `{name}`, which `syncers` does not have",
        "Please check `syncer-config-name` in the task file.";
    20031 Config Medium NoSource { source_id: String } "the source `{source_id}` does not exist",
        "Please create the source with `operate-source create`.";
    20032 Config Medium NamedTwice { items: String } "an instance names the same rule more than once: {items}",
        "Please remove the repeated names from `mysql-instances`.";
    20033 Config Medium ShardMode { mode: String } "`shard-mode` `{mode}` is not `pessimistic` or `optimistic`",
        "Please check `shard-mode` in the task file.";
    20038 Config High Unused { names: String } "no instance uses these sections: {names}",
        "Please remove the sections, or name them in `mysql-instances`.";
    20039 Config High ExpressionKinds { name: String, keys: String } "the expression filter `{name}` has more than one kind of expression: {keys}",
        "Please write one filter for each of insert, update and delete.";
    20040 Config High NoExpression { index: usize, name: String } "mysql-instances[{index}] names the filter `{name}`, which `expression-filter` does not have",
        "Please check `expression-filters` in the task file.";
    20041 Config High ExpressionGrammar { name: String, sql: String, reason: String } "the expression filter `{name}` has the malformed expression `{sql}`: {reason}",
        "Please check `expression-filter` in the task file.";
    20042 Config High ExpressionEmpty { name: String, key: &'static str } "the expression filter `{name}` has no `{key}`",
        "Please check `expression-filter` in the task file.";
    20043 Config High Backoff { max: String, min: String } "`backoff-max` {max} is less than `backoff-min` {min}",
        "Please raise `backoff-max` in the source file.";
    20047 Config High ChunkFilesize { text: String } "`chunk-filesize` `{text}` is not a size",
        "Please check `chunk-filesize` in the task file.";
    20048 Config High OnlineDdlRegex { key: &'static str, pattern: String, reason: String } "`{key}` has the bad pattern `{pattern}`: {reason}",
        "Please give each pattern exactly one capture group.";
    20052 Config Medium Collation { text: String } "`collation_compatible` `{text}` is not `loose` or `strict`",
        "Please check `collation_compatible` in the task file.";
    20053 Config Medium ImportMode { text: String } "`import-mode` `{text}` is not possible",
        "Please use one of logical, physical, import-into, the same for all instances.";
    20054 Config Medium OnDuplicate { text: String } "`on-duplicate-logical` `{text}` is not one of replace, error, ignore",
        "Please check `on-duplicate-logical` in the task file.";
    20055 Config High ValidationMode { text: String } "the validation `mode` `{text}` is not one of none, fast, full",
        "Please check `validators` in the task file.";
    20056 Config Medium NoValidator { index: usize, name: String } "mysql-instances[{index}] names the section `{name}`, which `validators` does not have",
        "Please check `validator-config-name` in the task file.";
    20058 Config High LoadDir { dir: String } "the loader's `dir` `{dir}` is not valid",
        "Please check `dir` in the task file.";
    20059 Config High LoadDirS3 { dir: String } "the loader's `dir` `{dir}` is on S3, which `import-mode: loader` cannot read",
        "Please set `import-mode` to `logical`.";
    20060 Config Medium SafeModeDuration { text: String } "`safe-mode-duration` `{text}` is not a duration",
        "Please write a duration such as \"60s\".";
    20061 Config Low SafeModeConflict {} "`safe-mode` is on, but `safe-mode-duration` is 0",
        "Please set `safe-mode-duration` above 0, or `safe-mode` to false.";
    20062 Config Medium OnDuplicatePhysical { text: String } "`on-duplicate-physical` `{text}` is not `none` or `manual`",
        "Please check `on-duplicate-physical` in the task file.";
    20063 Config Medium Checksum { text: String } "`checksum-physical` `{text}` is not one of required, optional, off",
        "Please check `checksum-physical` in the task file.";
    20064 Config High ColumnMapping {} "`column-mappings` is not supported any more",
        "Please use `extract-table`, `extract-schema` and `extract-source` of `routes`.";
    20065 Config Medium Analyze { text: String } "`analyze` `{text}` is not one of required, optional, off",
        "Please check `analyze` in the task file.";
    20066 Config Medium StrictShardMode {} "`strict-optimistic-shard-mode` needs `shard-mode: optimistic`",
        "Please set `shard-mode` to `optimistic`, or remove `strict-optimistic-shard-mode`.";
    20067 Config High SecretKey { reason: String } "the secret key is not valid: {reason}",
        "Please write 64 hexadecimal characters into the file that `secret-key-path` names.";
    20068 Config Medium ImportInto {} "`import-mode: import-into` works with one source and without `shard-mode` only",
        "Please use `import-mode: logical`.";
    20069 Config Medium ImportIntoDir { dir: String } "`import-mode: import-into` needs a `dir` on shared storage, not `{dir}`",
        "Please set `dir` to an `s3://` address.";
    20070 Config Medium ForeignKeys { key: &'static str } "`{key}` cannot be used while the target's session has `foreign_key_checks` on",
        "Please switch `compact` and `multiple-rows` off, or remove `foreign_key_checks` from `target-database.session`.";
    38011 DmMaster Medium MasterUnknown { keys: String } "the master's configuration has unknown keys: {keys}",
        "Please check the master's configuration file.";
    38013 DmMaster Medium MasterToml { #[source] source: Box<toml::de::Error> } "the master's configuration file is not valid",
        "Please check that the configuration file is correct TOML.";
    38035 DmMaster High MasterAddr { key: &'static str, text: String } "`{key}` `{text}` is not host:port",
        "Please check the addresses in the master's configuration.";
    38037 DmMaster High MasterCluster { key: &'static str, reason: String } "`{key}` is not valid: {reason}",
        "Please check `initial-cluster`, `initial-cluster-state` and `join` in the master's configuration.";
    38039 DmMaster High MasterUrl { key: &'static str, text: String } "`{key}` `{text}` is not a list of http(s) URLs with host and port",
        "Please check the URLs in the master's configuration.";
    38042 DmMaster High MasterAdvertise { text: String } "the `advertise-addr` `{text}` has no host that others can reach",
        "Please set `advertise-addr` to an address with a host.";
    38050 DmMaster High MasterAdvertisePeer { text: String } "the `advertise-peer-urls` `{text}` have no host that others can reach",
        "Please set `advertise-peer-urls` to URLs with a host.";
    38051 DmMaster High MasterTls { reason: &'static str } "the TLS configuration is not valid: {reason}",
        "Please check `ssl-ca`, `ssl-cert` and `ssl-key`.";
    40003 DmWorker Medium WorkerToml { #[source] source: Box<toml::de::Error> } "the worker's configuration file is not valid",
        "Please check that the configuration file is correct TOML.";
    40004 DmWorker Medium WorkerUnknown { keys: String } "the worker's configuration has unknown keys: {keys}",
        "Please check the worker's configuration file.";
    40005 DmWorker Medium SourceIdEmpty {} "the source has no `source-id`",
        "Please set `source-id` in the source file.";
    40006 DmWorker Medium SourceId { #[source] source: dm_model::name::NameError } "the source's `source-id` is not valid",
        "Please use at most 32 bytes for `source-id`.";
    40007 DmWorker Medium RelayBinlogName { text: String } "`relay-binlog-name` `{text}` is not a binlog file name",
        "Please write it as `mysql-bin.000001`.";
    40069 DmWorker High WorkerAddr { key: &'static str, text: String } "`{key}` `{text}` is not host:port",
        "Please check the addresses in the worker's configuration.";
    60010 Config Medium NotSupportedYet { key: &'static str, what: String, way_out: &'static str } "not supported yet: {what}; {way_out}",
        "Please change the task or source file as the message says.";
    60011 Config Medium StartTime { text: String } "`{text}` is not a start time",
        "Please write it as `2006-01-02 15:04:05` or `2006-01-02T15:04:05`, if need be with `Z` or `+08:00` at the end.";
    60012 Config Medium Database { key: &'static str, problem: String } "`{key}`: {problem}",
        "Please check the connection settings.";
    60013 Config Medium Value { key: &'static str, text: String, expected: &'static str } "`{key}` is `{text}`, which is not {expected}",
        "Please correct the value.";
    60014 Config Medium Missing { key: &'static str } "`{key}` is required",
        "Please set it in the configuration file or on the command line.";
}
