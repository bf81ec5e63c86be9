//! The monotonic clock.

/// Nanoseconds since some moment in the past. Async-signal-safe.
#[cfg_attr(rungroup_model, allow(dead_code))]
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec. This clock does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
