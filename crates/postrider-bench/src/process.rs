//! What the kernel knows of another process: processor time and memory, from `/proc`.

use std::collections::HashMap;

use anyhow::Context as _;

use crate::clock;

/// The kernel's unit of the times in `/proc/PID/stat`; fixed towards user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process and all its threads, ended ones included; steps of 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    cpu_of_stat(&read(pid, "stat")?).with_context(|| format!("/proc/{pid}/stat is not as expected"))
}

/// Memory of a process that is in RAM, in MiB.
pub(crate) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    resident_of_status(&read(pid, "status")?)
        .with_context(|| format!("/proc/{pid}/status is not as expected"))
}

/// The running time of each living thread in ns: fine enough for an idle process.
#[derive(Debug, Default)]
pub(crate) struct Threads(HashMap<u32, u64>);

impl Threads {
    pub(crate) fn read(pid: u32) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/task")).context("no such process")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end between the listing and the reading; then it is not counted.
            let Ok(line) = std::fs::read_to_string(format!("/proc/{pid}/task/{id}/schedstat")) else {
                continue;
            };
            let ran = line.split_whitespace().next().and_then(|ns| ns.parse().ok());
            threads.insert(id, ran.context("a thread's schedstat is not as expected")?);
        }
        Ok(Self(threads))
    }

    /// Seconds of processor time since an earlier reading.
    pub(crate) fn seconds_since(&self, earlier: &Self) -> f64 {
        let before = |id| earlier.0.get(id).copied().unwrap_or(0);
        clock::seconds(self.0.iter().map(|(id, ns)| ns.saturating_sub(before(id))).sum())
    }
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("could not read {path}"))
}

/// Fields 14 and 15; the command's name before them may hold spaces and brackets of its own.
fn cpu_of_stat(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_of_status(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_command_name() {
        let stat = "42 (odd) name) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 7 9 20 0 8 0 100 0 0";
        assert_eq!(cpu_of_stat(stat), Some(2.0));
        assert_eq!(cpu_of_stat("42 (cut"), None);
    }

    #[test]
    fn resident_memory_is_read_in_mib() {
        assert_eq!(resident_of_status("Name:\tx\nVmRSS:\t   20480 kB\nThreads: 1\n"), Some(20.0));
        assert_eq!(resident_of_status("Name:\tx\n"), None);
    }

    #[test]
    fn threads_that_are_new_count_from_nothing_and_threads_that_ended_not_at_all() {
        let reading = |threads: &[(u32, u64)]| Threads(threads.iter().copied().collect());
        let (before, after) =
            (reading(&[(1, 500), (2, 900)]), reading(&[(1, 1_000_000_500), (3, 500_000_000)]));
        assert_eq!(after.seconds_since(&before).to_bits(), 1.5_f64.to_bits());
    }

    #[test]
    fn this_process_can_be_read() {
        let own = std::process::id();
        assert!(resident_mib(own).unwrap() > 0.0);
        assert!(cpu_seconds(own).unwrap() >= 0.0);
        assert!(!Threads::read(own).unwrap().0.is_empty());
    }
}
