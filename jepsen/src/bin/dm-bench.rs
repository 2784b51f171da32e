//! `dm-bench`: ratios measured side by side in one run. See `dm_jepsen::bench`.

use anyhow::Result;

fn main() -> Result<()> {
    dm_jepsen::bench::run(&mut std::io::stdout().lock())
}
