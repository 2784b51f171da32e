//! The exhaustive model of the data plane under faults: every interleaving of a small world.
//!
//! Two workers, one or two lanes each, a handful of units, a target, a leader. The decisions are production's: the fence's
//! (`dm-fence`: takeover, verdicts, windows, intents) and the core's (`dm-sync-core`: graph, folds, lanes, watermark). The
//! model owns what is around them: a target that locks, commits, dies and forgets, connections that break, processes
//! that stop. It checks S1 to S8 of the control plane's design in every reachable state, and that a run can always end.
//! docs/proofs.md says which rule is checked where.

pub mod explore;
mod invariants;
pub mod lane;
mod leader;
pub mod rules;
pub mod scenario;
pub mod taking;
pub mod target;
pub mod task;
pub mod worker;
pub mod world;
