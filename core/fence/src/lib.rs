//! The fence's rules: lane rows, windows, and what their outcomes mean.

pub mod window;

pub use window::{UnitNumber, Window};
