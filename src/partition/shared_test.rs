//! Which groups are lent to a flush that others share; tests/sim/shared.rs has what becomes of them.

use super::*;
use crate::io::sim::SimDisk;
use crate::partition::test_host::TestHost;
use crate::partition::{EntryRef, SegmentFrom};
use std::sync::atomic::{AtomicBool, Ordering};

fn submit(p: &Partition, index: u64, bytes: usize) {
    p.submit(&[EntryRef { index, term: 1, kind: 0, data: &vec![7; bytes] }], index).unwrap();
}

/// Lends its group and writes it, or flushes it by itself. True if it was lent.
fn flush(p: &Partition) -> bool {
    let lent = p.lend();
    let was_lent = lent.is_some();
    match lent {
        Some(lent) => {
            let written = lent.write_alone(0);
            p.give_back(lent, written);
        }
        None => p.work(),
    }
    p.maintain();
    was_lent
}

/// A call that waits for a worker.
fn with_worker(p: &Partition, call: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                p.work();
                std::thread::yield_now();
            }
        });
        call();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn only_small_groups_of_mode_sync_share_a_flush() {
    let disk = SimDisk::new(1);
    let host = Arc::new(TestHost::default());
    let p = host.open(&disk, "/p", 1, Mode::Sync);
    submit(&p, 1, 100);
    assert!(!flush(&p), "its segment is not there yet");
    submit(&p, 2, 100);
    assert!(flush(&p));
    assert_eq!(p.bounds().unwrap(), (1, 2));
    submit(&p, 3, SHARED_MAX_BYTES);
    assert!(!flush(&p), "too large");
    submit(&p, 4, 100);
    let lent = p.lend().expect("a small one");
    assert!(p.lend().is_none(), "one at a time");
    let written = lent.write_alone(0);
    p.give_back(lent, written);
    let q = host.open(&disk, "/q", 2, Mode::Interval);
    q.append(&[EntryRef { index: 1, term: 1, kind: 0, data: b"data" }]).unwrap();
    assert!(q.lend().is_none());
}

/// A directory that was copied may have holes where zeros were: a write there changes more of the file than its bytes.
#[test]
fn a_file_from_before_this_opening_shares_no_flush() {
    let disk = SimDisk::new(1);
    let host = Arc::new(TestHost::default());
    let p = host.open(&disk, "/p", 1, Mode::Sync);
    for index in 1..=60 {
        submit(&p, index, 12_000);
        flush(&p);
    }
    assert!(p.status().segments > 2);
    with_worker(&p, || p.close().unwrap());
    let p = host.open(&disk, "/p", 1, Mode::Sync);
    submit(&p, 61, 100);
    assert!(!flush(&p));
    with_worker(&p, || p.compact(60).unwrap());
    let recycled = || p.disk_counts.segments(SegmentFrom::Recycled);
    let (before, mut alone, mut shared) = (recycled(), 0, 0);
    for index in 62..=400 {
        submit(&p, index, 12_000);
        let written = p.log.lock().groups.front().is_some_and(|g| g.segment.is_written());
        let file = p.log.lock().groups.front().is_some_and(|g| g.segment.file().is_some());
        let lent = flush(&p);
        assert!(!file || lent == written, "entry {index}");
        *if lent { &mut shared } else { &mut alone } += 1;
        with_worker(&p, || p.compact(index - 1).unwrap());
    }
    assert!(recycled() > before + 2, "files are used again");
    assert!(alone > 20, "those from before: {alone}");
    assert!(shared > 100, "new ones, and those that are used again since: {shared}");
}

/// A turn may end before a look that is wanted, and what is left of it be lent: the flush has said more than the look would, and nobody waits
/// for that one any more.
#[test]
fn a_look_that_is_wanted_ends_with_a_flush_that_others_share() {
    let disk = SimDisk::new(1);
    let host = Arc::new(TestHost::default());
    let p = host.open(&disk, "/p", 1, Mode::Sync);
    for index in 1..3 {
        submit(&p, index, 100);
        flush(&p);
    }
    assert!(p.check_idle() && p.is_checking());
    submit(&p, 3, 100);
    assert!(flush(&p), "lent");
    assert!(!p.is_checking());
    assert!(p.check_idle(), "idle again");
}
