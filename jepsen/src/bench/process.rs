//! What the kernel says about processes: CPU time and peak memory, read from /proc.
//!
//! A process that is gone reads as zero.

use std::fs;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// User and system CPU seconds of all threads of a process.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // the name in parentheses may hold anything
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // the kernel reports in USER_HZ, which is 100 on Linux
    (ticks(11) + ticks(12)) / 100.0
}

/// The largest resident size so far, in MB.
pub fn peak_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

/// Makes the current size the peak.
pub fn forget_peak(pid: u32) {
    // only a figure is lost when this is not allowed
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// CPU seconds of all ended and waited-for children of this process.
///
/// # Errors
/// The kernel does not say.
pub fn children_cpu_seconds() -> Result<f64> {
    usage(UsageWho::RUSAGE_CHILDREN)
}

/// CPU seconds of the calling thread.
///
/// # Errors
/// The kernel does not say.
pub fn thread_cpu_seconds() -> Result<f64> {
    usage(UsageWho::RUSAGE_THREAD)
}

fn usage(who: UsageWho) -> Result<f64> {
    let usage = getrusage(who).context("ask for resource usage")?;
    let times = [usage.user_time(), usage.system_time()];
    Ok(times.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum())
}

/// Busy and all CPU seconds of the machine since it started.
pub fn machine_cpu_seconds() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).take(8).filter_map(|text| text.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    ((all - idle) / 100.0, all / 100.0)
}

/// Installs programs that only measurements need, by apt, when one is missing.
///
/// # Errors
/// They cannot be installed: the text says how.
pub fn want_programs(programs: &[(&str, &str)]) -> Result<()> {
    let is_there = |program: &str| {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).is_file()))
    };
    let missing: Vec<&str> =
        programs.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    eprintln!("dm-bench: installing {packages}: measurements compare with them");
    let command = format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && \
         apt-get -qq install -y --no-install-recommends {packages}"
    );
    let output = std::process::Command::new("sh").args(["-c", &command]).output().context("run apt-get")?;
    ensure!(
        output.status.success(),
        "{packages} cannot be installed; as root: apt-get install --no-install-recommends {packages}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_memory_and_some_time() {
        let own = std::process::id();
        assert!(peak_mb(own) > 0.5);
        assert!(cpu_seconds(own) >= 0.0);
        let (busy, all) = machine_cpu_seconds();
        assert!(busy > 0.0 && all >= busy);
        assert_eq!(cpu_seconds(u32::MAX), 0.0);
    }
}
