//! What all disks of an engine share.

use super::metrics::EngineLevels;
use super::orphans::Orphans;
use super::queue::{CompletionQueue, EventQueue};
use super::watchdog::Watchdog;
use crate::error::Op;
use crate::partition::{EngineConfig, Orphan, Partition};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

pub struct Shared {
    pub config: EngineConfig,
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
        EngineLevels {
            cache_bytes: self.cached_bytes.load(Ordering::Relaxed) as u64,
            cache_limit_bytes: self.config.read_cache_bytes,
            orphan_bytes: self.orphans.bytes(),
            events,
            events_waiting,
        }
    }

    pub fn cache_taken(&self, bytes: usize) -> bool {
        let held = self.cached_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        held as u64 > self.config.read_cache_bytes
    }

    pub fn keep_orphan(&self, orphan: Orphan) {
        for (event, tag) in self.orphans.keep(orphan) {
            self.events.push(event, tag);
        }
    }

    pub fn cache_released(&self, bytes: usize) -> bool {
        let held = self.cached_bytes.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        held as u64 > self.config.read_cache_bytes
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
