//! The machine's monotonic clock as a number, so that moments taken in different processes can be compared.

use rustix::time::{ClockId, Timespec, clock_gettime};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the machine started; the same clock in every process.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// User and system time that this process has used so far, all threads together.
pub(crate) fn own_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a benchmark's seconds need no more than 52 bits")]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_SECOND as f64
}

fn nanoseconds(time: Timespec) -> u64 {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * NS_PER_SECOND + part(time.tv_nsec)
}
