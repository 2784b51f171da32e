//! The version text of `-V`, `/status` and the session's hello.

/// The version of this build, as in `v0.1.0`.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Several lines, as DM prints them for `-V`.
pub fn text() -> String {
    format!(
        "Release Version: {VERSION}\nGit Commit Hash: {}\nRust Version: {}\n",
        option_env!("DM_GIT_COMMIT").unwrap_or("unknown"),
        env!("CARGO_PKG_RUST_VERSION"),
    )
}
