//! A host for tests of what the host's threads do with a partition: nothing is done by itself, what is asked for is counted, and a call
//! panics if the test says so.

use super::{
    open_dir, Completion, DiskCounts, Event, Host, Limits, Mode, Orphan, Partition, PartitionConfig, Place, Reserved,
};
use crate::format::Root;
use crate::io::sim::SimDisk;
use crate::io::File;
use crate::EngineConfig;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

#[derive(Default)]
pub struct TestHost {
    /// Partitions that have let go of their directory.
    pub closed: AtomicUsize,
    /// Events that were told, those that ended in a panic included.
    pub told: AtomicUsize,
    /// Completions that were told.
    pub completed: AtomicUsize,
    /// From now on whoever tells an event, or asks for housekeeping or a flush, panics.
    pub panics: AtomicBool,
    counts: Arc<DiskCounts>,
}

impl TestHost {
    pub fn open(self: &Arc<Self>, disk: &SimDisk, path: &str, id: u64, mode: Mode) -> Arc<Partition> {
        let config = PartitionConfig { mode, ..PartitionConfig::new(path, id) };
        let dir = open_dir(disk, &config).unwrap();
        Partition::open(dir, &config, Arc::new(test_limits()), self.clone()).unwrap()
    }

    fn asked(&self) {
        if self.panics.load(Ordering::Relaxed) {
            panic!("asked for by a test");
        }
    }
}

/// A short stall limit, segments of one size, and nothing heals.
pub fn test_limits() -> Limits {
    let config = EngineConfig {
        stall_limit_ms: 100,
        slow_disk_ms: 0,
        heal_limit_ms: 0,
        space_wait_ms: 0,
        probe_ms: 0,
        idle_check_ms: 0,
        segment_max_bytes: EngineConfig::default().segment_min_bytes,
        ..EngineConfig::default()
    };
    Limits::opened_with(&config)
}

impl Host for TestHost {
    fn flush_soon(&self, _: Arc<Partition>, _: bool) {
        self.asked();
    }

    fn flush_later(&self, _: Arc<Partition>, _: Duration) {}

    fn probe_later(&self, _: Weak<Partition>, _: Duration) {}

    fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    fn reserved(&self, _: Reserved, _: u64) -> Option<Arc<dyn File>> {
        None
    }

    fn keep_orphan(&self, _: Orphan) {}

    fn orphan(&self, _: &Root, _: Place) -> Option<Orphan> {
        None
    }

    fn orphan_first(&self, _: &Root, _: Place, _: u64) -> Option<u64> {
        None
    }

    fn maintain_soon(&self, _: Arc<Partition>) {
        self.asked();
    }

    fn emit(&self, _: Event, _: &Arc<AtomicU64>) {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.asked();
    }

    fn complete(&self, done: &[Completion]) {
        self.completed.fetch_add(done.len(), Ordering::Relaxed);
    }

    fn cache_taken(&self, _: usize) -> bool {
        false
    }

    fn cache_released(&self, _: usize) -> bool {
        false
    }

    fn counts(&self) -> Arc<DiskCounts> {
        self.counts.clone()
    }
}
