//! The whole system: masters, workers and dmctl as their own processes, real servers on both ends.
//!
//! One test per theme; its cases run one after the other on one cluster and its servers, with names of their own, and all
//! failures are reported together. `DM_CASES=word` runs only cases whose name has the word. The binaries must be built
//! (`make build`).

#[path = "cluster/availability.rs"]
mod availability;
#[path = "cluster/bench.rs"]
mod bench;
#[path = "cluster/cases.rs"]
mod cases;
#[path = "cluster/commands.rs"]
mod commands;
#[path = "cluster/durability.rs"]
mod durability;
#[path = "cluster/histories.rs"]
mod histories;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/operators.rs"]
mod operators;
#[path = "cluster/refusals.rs"]
mod refusals;
#[path = "cluster/stopping.rs"]
mod stopping;
#[path = "cluster/stores.rs"]
mod stores;
#[path = "cluster/tasks.rs"]
mod tasks;
#[path = "cluster/tls.rs"]
mod tls;
#[path = "cluster/writes.rs"]
mod writes;
