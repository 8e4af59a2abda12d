//! Who shares flushes, and who has one of its own.

use super::field::*;
use crate::support::*;
use bulkhead::io::sim::{Fault, SimConfig, SimDisk};
use bulkhead::io::Filesystem;
use bulkhead::Mode;
use std::time::Duration;

#[test]
fn a_large_group_has_a_flush_of_its_own() {
    let mut field = Field::new(config());
    let before = field.shared();
    field.hold_the_threads();
    (3..PARTITIONS).for_each(|at| field.submit(at, 65 << 10));
    field.sharers_succeed(3..PARTITIONS);
    assert_eq!(field.shared(), before);
    (3..PARTITIONS).for_each(|at| field.submit(at, 60 << 10));
    field.sharers_succeed(3..PARTITIONS);
    field.assert_shares(before, "small ones share");
    field.release();
}

#[test]
fn f18_a_vote_is_written_before_what_would_share_a_flush() {
    let mut field = Field::new(config());
    field.hold_the_threads();
    // One group hangs, and another waits behind it, that would hang as well.
    field.disk.inject(writes_of(Fault::Hang, SICK));
    field.submit(SICK, 700);
    assert!(field.disk.wait_hung(4, Duration::from_secs(10)));
    field.submit(SICK, 700);
    let p = field.all[SICK].clone();
    let vote = std::thread::spawn(move || p.set_hard_state(hard(3, 2, 0)));
    std::thread::sleep(Duration::from_millis(100));
    field.disk.release();
    vote.join().unwrap().expect("the vote does not wait for the entries behind the first");
    field.disk.clear_faults();
    field.disk.release();
    wait_for("the entries", Duration::from_secs(10), || field.all[SICK].status().durable_index == field.index(SICK));
    field.hold_the_threads();
    // Not earlier: the last that was shared is counted after it is acknowledged.
    let before = field.shared();
    (3..PARTITIONS).for_each(|at| field.all[at].set_hard_state(hard(4, 1, 0)).unwrap());
    assert_eq!(field.shared(), before, "a vote needs no flush of the disk");
    field.release();
}

#[test]
fn only_mode_sync_shares_flushes() {
    let mut modes = [Mode::Sync; 3 + 9];
    modes[9..].copy_from_slice(&[Mode::Interval, Mode::Interval, Mode::None]);
    let mut field = Field::on(SimDisk::new(6), config(), &modes);
    field.until_shared();
    let before = field.shared();
    for _ in 0..3 {
        field.hold_the_threads();
        (9..12).for_each(|at| field.submit(at, 700));
        for at in 9..12 {
            field.all[at].sync().unwrap();
        }
        field.sharers_succeed(9..12);
        field.release();
    }
    assert_eq!(field.shared(), before);
}

/// Written blocks of btrfs may move where no flush of another file takes note of it, and without O_DIRECT writes are the page cache's.
#[test]
fn f20_btrfs_and_files_without_direct_io_never_share_flushes() {
    let kinds = [(Filesystem::Btrfs, true), (Filesystem::Ext4, false), (Filesystem::Xfs, false)];
    let run = |(filesystem, direct_io)| {
        let disk = SimDisk::with_config(7, SimConfig { filesystem, direct_io, ..SimConfig::default() });
        let engine = std::sync::Arc::new(healing_engine(&disk));
        let all: Vec<_> = (0..9).map(|at| open(&engine, &path(at), at as u64 + 1, Mode::Sync)).collect();
        // Delays: they come while others are under way.
        let file_op = if direct_io { bulkhead::io::sim::OpKind::Write } else { bulkhead::io::sim::OpKind::Sync };
        disk.inject(bulkhead::io::sim::Rule::new(Fault::Delay(Duration::from_millis(2))).on(file_op).path("/seg-"));
        let end = std::time::Instant::now() + Duration::from_millis(3500);
        for index in 1.. {
            all.iter().for_each(|p| p.submit(&refs(&entries(index, index, 1, 700)), 1).unwrap());
            wait_for("them", Duration::from_secs(20), || all.iter().all(|p| p.status().durable_index == index));
            if std::time::Instant::now() > end {
                break;
            }
        }
        assert!(!disk.seen().contains(&("shared flush", "a write")), "{filesystem:?}, {direct_io}");
        assert_eq!(shared_flush_groups(&engine), 0);
    };
    std::thread::scope(|scope| kinds.into_iter().for_each(|kind| _ = scope.spawn(move || run(kind))));
}
