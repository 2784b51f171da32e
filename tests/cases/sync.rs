//! Replication on real servers, without masters: a subtask is run in this process and the servers' tables are compared.
//!
//! [`bench`] starts servers and runs a subtask under an epoch; each other file is a topic. A test's name begins with the
//! pair of servers it runs on.

#[path = "sync/bench.rs"]
mod bench;
#[path = "sync/ddl.rs"]
mod ddl;
#[path = "sync/dml.rs"]
mod dml;
#[path = "sync/failover.rs"]
mod failover;
#[path = "sync/hostile.rs"]
mod hostile;
#[path = "sync/keys.rs"]
mod keys;
#[path = "sync/large.rs"]
mod large;
#[path = "sync/middleman.rs"]
mod middleman;
#[path = "sync/resume.rs"]
mod resume;
#[path = "sync/rules.rs"]
mod rules;
#[path = "sync/start.rs"]
mod start;
#[path = "sync/types.rs"]
mod types;

/// One case as a test on each of the named pairs (source, target).
macro_rules! on_pairs {
    ($case:ident: $($name:ident = ($source:ident, $target:ident, $gtid:expr)),+ $(,)?) => {
        mod $case {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() -> anyhow::Result<()> {
                    use dm_tests::ServerKind::*;
                    super::$case(crate::bench::Bench::start($source, $target, $gtid).await?).await
                }
            )+
        }
    };
}
pub(crate) use on_pairs;
