//! A binary JSON document, and behind a byte 0xff that ends it, differences to apply.

use dm_binlog::json;

pub fn run(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0xff).unwrap_or(bytes.len());
    let (document, differences) = bytes.split_at(end);
    drop(json::to_text(document));
    drop(json::apply_differences(document, differences.get(1..).unwrap_or_default()));
}
