//! Text to typed, checked configuration, once.

pub mod db;
