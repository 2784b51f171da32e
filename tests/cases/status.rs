//! What people see of a running system: `query-status`, `list-member` and `/metrics`, in every state and with parts that hang.
//!
//! Real servers, masters, workers and dmctl. The binaries must be built (`make build`).

#[path = "status/ask.rs"]
mod ask;
#[path = "cluster/bench.rs"]
#[allow(dead_code, reason = "shared with the cluster's cases, which need more of it")]
mod bench;
#[path = "cluster/cases.rs"]
#[allow(dead_code, reason = "shared with the cluster's cases, which need more of it")]
mod cases;
#[path = "status/fields.rs"]
mod fields;
#[path = "status/hung.rs"]
mod hung;
