//! What a close leaves in the root, and how often the host hears of it; tests/sim/close.rs looks from outside.

use super::*;
use crate::io::sim::SimDisk;
use crate::partition::test_host::TestHost;
use crate::partition::EntryRef;
use std::sync::atomic::Ordering;
use std::sync::Arc;

fn entry(index: u64) -> EntryRef<'static> {
    EntryRef { index, term: 1, kind: 0, data: b"data" }
}

/// The disk counts its open partitions by it: one too many, and what it holds for them goes while others are open.
#[test]
fn f23_the_host_hears_once_that_the_directory_is_free() {
    let disk = SimDisk::new(1);
    let host = Arc::new(TestHost::default());
    let p = host.open(&disk, "/p", 1, Mode::None);
    p.close().unwrap();
    p.close().unwrap();
    assert!(p.let_go());
    drop(p);
    assert_eq!(host.closed.load(Ordering::Relaxed), 1);
}

/// A flush that never ended, whoever lost it: a clean root would say that the log ends before its entries, and the next open believe it.
#[test]
fn f18_a_drop_says_nothing_of_the_end_while_a_flush_is_under_way() {
    let disk = SimDisk::new(1);
    let host = Arc::new(TestHost::default());
    let p = host.open(&disk, "/p", 1, Mode::Sync);
    p.submit(&[entry(1)], 1).unwrap();
    p.work();
    p.submit(&[entry(2)], 2).unwrap();
    {
        let mut log = p.log.lock();
        let group = log.groups.pop_front().map(Arc::new);
        log.in_flight = group;
    }
    let before = disk.cached_bytes("/p/root");
    drop(p);
    assert_eq!(host.closed.load(Ordering::Relaxed), 1, "it is closed");
    assert!(disk.cached_bytes("/p/root") == before, "the root was written");
}
