//! What the fuzz targets do with bytes. Also compiled into `worker/binlog/tests/corpus.rs`, which replays the corpus.

pub mod ddl;
pub mod events;
pub mod json;
pub mod window;
