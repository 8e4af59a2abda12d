//! What all disks of an engine share.

use super::limits::EngineLimits;
use super::metrics::EngineLevels;
use super::orphans::Orphans;
use super::queue::{CompletionQueue, EventQueue};
use super::watchdog::Watchdog;
use crate::error::Op;
use crate::partition::{Orphan, Partition};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

pub struct Shared {
    pub limits: EngineLimits,
    pub events: EventQueue,
    pub completions: CompletionQueue,
    pub watchdog: Watchdog,
    /// Bytes that partitions keep for reading.
    pub cached_bytes: AtomicUsize,
    pub orphans: Orphans,
}

impl Shared {
    pub fn levels(&self) -> EngineLevels {
        let (events, events_waiting) = self.events.levels();
        let (log_lines, log_lines_left_out) = self.events.log.counts();
        EngineLevels {
            cache_bytes: self.cached_bytes.load(Ordering::Relaxed) as u64,
            cache_limit_bytes: self.limits.read_cache_bytes.load(Ordering::Relaxed),
            orphan_bytes: self.orphans.bytes(),
            events,
            events_waiting,
            log_lines,
            log_lines_left_out,
        }
    }

    pub fn cache_taken(&self, bytes: usize) -> bool {
        let held = self.cached_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        held as u64 > self.limits.read_cache_bytes.load(Ordering::Relaxed)
    }

    pub fn cache_is_over(&self) -> bool {
        self.cached_bytes.load(Ordering::Relaxed) as u64 > self.limits.read_cache_bytes.load(Ordering::Relaxed)
    }

    /// So full that what one partition keeps is at the cost of others.
    pub fn cache_is_scarce(&self) -> bool {
        let held = self.cached_bytes.load(Ordering::Relaxed) as u64;
        held >= self.limits.read_cache_bytes.load(Ordering::Relaxed) / 4 * 3
    }

    pub fn keep_orphan(&self, orphan: Orphan) {
        for (event, tag) in self.orphans.keep(orphan) {
            self.events.push(event, tag);
        }
    }

    pub fn cache_released(&self, bytes: usize) -> bool {
        let held = self.cached_bytes.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        held as u64 > self.limits.read_cache_bytes.load(Ordering::Relaxed)
    }
}

/// Flushes a partition. A panic latches it, nothing else.
pub fn run_flush(partition: &Arc<Partition>) {
    if catch_unwind(AssertUnwindSafe(|| partition.work())).is_err() {
        partition.worker_panicked();
    }
}

/// Housekeeping or a probe for a partition. A panic latches it, nothing else.
pub fn run_chore(partition: &Arc<Partition>, op: Op, chore: fn(&Partition)) {
    if catch_unwind(AssertUnwindSafe(|| chore(partition))).is_err() {
        partition.latch_panic(op);
    }
}
