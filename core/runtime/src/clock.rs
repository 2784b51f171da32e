//! The clocks. Cores get time as an argument; this is where a shell takes it from.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dm_model::UnixMillis;

/// Wall-clock time, for display and for lag against a source's timestamps. Never used to decide who owns what.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Monotonic milliseconds since the first call in this process: what timers of leases are measured with.
pub fn monotonic_ms() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
