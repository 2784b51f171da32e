//! Fault runs and measurements on real processes: what `dm-demo` and `dm-bench` are made of.
//!
//! Black box: everything here speaks with masters, workers and servers as users do, and judges by the rows in the servers. May
//! depend on anything; nothing depends on it.

pub mod bench;
pub mod demo;
