//! What a process has used.

use std::{fs, time::Duration};

/// How long all its threads have run so far.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanos = tasks.map(|task| {
        // One that has ended meanwhile ran for no time that matters.
        let times = fs::read_to_string(task.unwrap().path().join("schedstat"));
        let times = times.unwrap_or_default();
        times.split(' ').next().and_then(|ran| ran.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanos.sum())
}

/// How much memory it has now, in bytes.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
