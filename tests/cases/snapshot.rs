//! The full copy on real servers: what arrives equals what is there, whatever dies and whatever changes meanwhile.

#[path = "snapshot/altered.rs"]
mod altered;
#[path = "snapshot/bench.rs"]
mod bench;
#[path = "snapshot/copy.rs"]
mod copy;
#[path = "snapshot/odd.rs"]
mod odd;
#[path = "snapshot/pair.rs"]
mod pair;
#[path = "snapshot/process.rs"]
mod process;
#[path = "snapshot/resume.rs"]
mod resume;
#[path = "snapshot/speed.rs"]
mod speed;
#[path = "snapshot/writers.rs"]
mod writers;
