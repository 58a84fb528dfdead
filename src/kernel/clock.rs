//! The clock that Go's runtime and most programs note times by. Knows no time of day.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC now (clock_gettime(2)), as a process in this time namespace sees it.
pub fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
