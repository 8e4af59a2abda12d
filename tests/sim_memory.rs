//! Memory that a rescue and a verify take, alone in their program: nothing else asks for any.

mod support;

use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, EngineConfig, Mode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use support::*;

#[global_allocator]
static MEMORY: support::alloc::Counting = support::alloc::Counting::new();

const MIB: usize = 1 << 20;

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Reads of 128 KiB by O_DIRECT, one after the other, reached half of what `cat` did.
#[test]
fn verify_reads_in_windows_of_1_mib() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = SimDisk::new(1);
    let config = EngineConfig { segment_min_bytes: 8 << 20, segment_max_bytes: 8 << 20, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 1536, 1, 4096)).unwrap();
    wait_for("a spare", Duration::from_secs(5), || disk.exists("/p1/seg-0000000000000002"));
    std::thread::sleep(Duration::from_millis(50));
    MEMORY.take_largest();
    let before = disk.count(OpKind::Read);
    assert_eq!(p.verify().unwrap().entries, 1536);
    let (reads, largest) = (disk.count(OpKind::Read) - before, MEMORY.take_largest());
    // 128, 256 and 512 KiB, then 1 MiB; a record that a window ends in is read again.
    assert!(reads <= 10, "{reads} reads for 6 MiB");
    // A window that grows is one huge page.
    assert!(largest <= 2 * MIB, "{largest} bytes at once");
    // A window that cannot be read costs a small one's blocks, not its own 256.
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Read).path("/p1/seg-0000000000000001").skip(4).once());
    let before = disk.count(OpKind::Read);
    assert_eq!(p.verify().unwrap().bad_records, 0, "the second try reads it");
    let reads = disk.count(OpKind::Read) - before;
    assert!(reads <= 60, "{reads} reads for 6 MiB with a window that fails");
}

#[test]
fn a_rescue_of_mode_none_takes_a_piece_of_memory_and_not_all_of_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    let unsynced = entries(6, 205, 1, 100_000);
    // A batch is never divided: it goes into the second segment as a whole.
    append(&p, &unsynced).unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-0000000000000002").once());
    p.sync().expect_err("the sync fails");
    MEMORY.take_largest();
    p.recover().unwrap();
    let largest = MEMORY.take_largest();
    // A buffer doubles when it grows.
    assert!(largest <= 2 * MIB + 8192, "{largest} bytes at once for a rescue of {} MiB", 200 * 100_000 / MIB);
    assert_same(&read_all(&p).unwrap()[5..], &unsynced, "rescued");
}

/// Its buffer was the next group's, so that each took more than a partition's share of the cache, and none was kept.
#[test]
fn a_large_batch_leaves_the_read_cache_as_it_was_and_no_memory_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 100);
    append(&p, &entries(11, 12, 1, 3 << 20)).unwrap();
    append(&p, &entries(13, 13, 1, 6 << 20)).unwrap();
    append_each(&p, 14, 30, 1, 100);
    let before = disk.count(OpKind::Read);
    for i in 14..=30 {
        p.read(i, i + 1, 1 << 20).unwrap();
    }
    assert_eq!(disk.count(OpKind::Read) - before, 0, "read from the disk, not from memory");
}

/// The rest of the group was copied, under the lock, for each small read of it.
#[test]
fn a_read_of_what_waits_for_a_flush_takes_no_more_memory_than_it_returns() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = SimDisk::new(1);
    let engine =
        Engine::with_storage(EngineConfig { stall_limit_ms: 60_000, ..config() }, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 2, 1, 100);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-").once());
    p.submit(&refs(&entries(3, 3, 1, 100)), 1).unwrap();
    assert!(disk.wait_hung(1, Duration::from_secs(2)));
    p.submit(&refs(&entries(4, 43, 1, 50_000)), 2).unwrap();
    for (max_bytes, wanted) in [(0, 1), (1, 1), (100_000, 3), (u64::MAX, 40)] {
        let before = MEMORY.held();
        let (mut taken, mut most) = (0, 0);
        p.read_into(4, 44, max_bytes, &mut |_, _, _, _| {
            taken += 1;
            most = most.max(MEMORY.held().saturating_sub(before));
            true
        })
        .unwrap();
        assert_eq!(taken, wanted);
        assert!(most <= wanted * 50_000 + 64 * 1024, "{most} bytes for {wanted} entries");
    }
    disk.release();
}
