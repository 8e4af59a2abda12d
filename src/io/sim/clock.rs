//! The time of a simulation without threads: it passes when the simulation says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clones of a disk, and what crashes leave of it, share one. Thread-safe.
pub struct SimClock {
    start: Instant,
    nanos: AtomicU64,
}

impl SimClock {
    pub fn new() -> SimClock {
        SimClock { start: Instant::now(), nanos: AtomicU64::new(0) }
    }

    /// Only differences of it mean something.
    pub fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    /// Since the disk was made.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    pub fn pass(&self, time: Duration) {
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Passes the time that is left until then.
    pub fn pass_until(&self, then: Instant) {
        self.pass(then.saturating_duration_since(self.now()));
    }
}

impl Default for SimClock {
    fn default() -> SimClock {
        SimClock::new()
    }
}
