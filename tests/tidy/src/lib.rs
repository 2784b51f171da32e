//! The house rules as tests: who may depend on whom, and what no file may hold. The figures about file and function
//! sizes are printed, not judged.

pub mod laws;
pub mod sizes;
pub mod tree;
