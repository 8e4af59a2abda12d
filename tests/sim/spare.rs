//! A segment that cannot be made ahead of time, for good: nothing relies on it, so the partition goes on as long as its tail has room, the
//! owner is told, and it is tried again, ever more rarely. Only who needs the segment latches.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use bulkhead::io::sim::{OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Op, Partition, State};

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];
/// What fails, and with what.
const FAULTS: [(OpKind, i32, Cause); 6] = [
    (OpKind::Create, libc::EIO, Cause::IoError),
    (OpKind::Create, libc::EROFS, Cause::ReadOnlyFilesystem),
    (OpKind::Create, libc::ENOSPC, Cause::NoSpace),
    (OpKind::Create, libc::EMFILE, Cause::Resource),
    (OpKind::Write, libc::EIO, Cause::IoError),
    (OpKind::SyncDir, libc::EIO, Cause::IoError),
];

fn each(test: impl Fn(Mode, bool, (OpKind, i32, Cause), &str)) {
    for (mode, fault) in MODES.into_iter().flat_map(|m| FAULTS.map(|f| (m, f))) {
        for heals in [true, false] {
            test(mode, heals, fault, &format!("{mode:?}, {fault:?}, heals {heals}"));
        }
    }
}

/// The third segment is the first that fails; the second has just become the tail. Returns the last entry.
fn start(disk: &SimDisk, mode: Mode, heals: bool, kind: OpKind, errno: i32) -> (Engine, Arc<Partition>, u64) {
    let config = EngineConfig { probe_ms: 0, ..if heals { healing_config() } else { config() } };
    let engine = Engine::stepped(config, disk, 7).unwrap();
    let p = open(&engine, "/p1", 1, mode);
    append(&p, &entries(1, 1, 1, 2000)).unwrap();
    engine.pass_time(Duration::from_millis(500));
    engine.events(100);
    let path = if kind == OpKind::SyncDir { "/p1" } else { "/p1/seg-0000000000000003" };
    disk.inject(Rule::errno(errno).on(kind).path(path));
    let mut last = 1;
    while p.status().segments < 2 {
        last += 1;
        append(&p, &entries(last, last, 1, 2000)).unwrap();
        engine.pass_time(Duration::from_millis(20));
    }
    (engine, p, last)
}

#[test]
fn f01_the_partition_goes_on_while_its_tail_has_room_and_the_owner_is_told_once() {
    each(|mode, heals, (kind, errno, cause), what| {
        let disk = SimDisk::new(1);
        let (engine, p, mut last) = start(&disk, mode, heals, kind, errno);
        let begun = disk.faults_fired();
        for _ in 0..60 {
            engine.pass_time(Duration::from_secs(1));
        }
        let tries = disk.faults_fired() - begun;
        assert!((3..=30).contains(&tries), "{what}: {tries} tries in a minute");
        assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
        for term in 2..5 {
            last += 1;
            append(&p, &entries(last, last, term, 200)).unwrap_or_else(|e| panic!("{what}: {e}"));
            p.sync().unwrap_or_else(|e| panic!("{what}: {e}"));
            p.set_hard_state(hard(term, 1, 0)).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        p.compact(2).unwrap();
        let told = engine.events(100);
        let one: Vec<_> = told.iter().map(|e| (e.from, e.to, e.cause, e.errno, e.op)).collect();
        assert_eq!(one, [(State::ReadWrite, State::ReadWrite, cause, errno, Op::Allocate)], "{what}");
        assert!(p.status().counters.errors >= 1, "{what}");
        // It passes: the spare is made without a call, and the owner hears that, too.
        disk.clear_faults();
        for _ in 0..70 {
            engine.pass_time(Duration::from_secs(1));
        }
        assert!(disk.exists("/p1/seg-0000000000000003"), "{what}: the spare is not made");
        let end: Vec<_> = engine.events(100).iter().map(|e| (e.to, e.cause, e.op)).collect();
        assert_eq!(end, [(State::ReadWrite, Cause::None, Op::Recover)], "{what}");
    });
}

#[test]
fn f01_a_full_tail_and_no_segment_latch_with_that_cause() {
    each(|mode, heals, (kind, errno, cause), what| {
        if kind == OpKind::Write {
            return; // a rule for the writes of all new segments hits the tail as well
        }
        let disk = SimDisk::new(2);
        let (_engine, p, mut last) = start(&disk, mode, heals, kind, errno);
        if kind == OpKind::Create {
            disk.inject(Rule::errno(errno).on(kind).path("/p1/seg-"));
        }
        let error = loop {
            last += 1;
            let appended = append(&p, &entries(last, last, 1, 2000)).and_then(|()| p.sync());
            if let Err(e) = appended {
                break e;
            }
            assert!(last < 500, "{what}: it goes on for ever");
        };
        assert!(last > 25, "{what}: the tail had room at entry {last}: {error}");
        assert_eq!((error.cause(), error.errno), (cause, errno), "{what}: {error}");
        let wanted = if cause == Cause::NoSpace { State::ReadOnly } else { State::Unavailable };
        assert_eq!(state(&p), wanted, "{what}");
        let acknowledged = p.status().durable_index;
        assert_same(&p.read(1, acknowledged + 1, u64::MAX).unwrap(), &entries(1, acknowledged, 1, 2000), what);
        disk.clear_faults();
        p.recover().unwrap_or_else(|e| panic!("{what}: {e}"));
        let next = p.bounds().unwrap().1 + 1;
        append(&p, &entries(next, next, 1, 2000)).unwrap();
    });
}

/// The neighbours wait for what is left: a file that cannot be made whole is not to keep it.
#[test]
fn f08_a_spare_that_the_disk_has_no_space_for_takes_none() {
    for mode in [Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let engine = Engine::stepped(config(), &disk, 7).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        // Six, so that one of them has asked for the file of shared flushes.
        append_each(&p, 1, 6, 1, 2000);
        // The reserve has what it needs.
        engine.pass_time(Duration::from_secs(3));
        disk.set_free(40 << 10);
        let used = disk.used_bytes();
        let mut last = 6;
        while p.status().segments < 2 {
            last += 1;
            append(&p, &entries(last, last, 1, 2000)).unwrap();
            engine.pass_time(Duration::from_millis(20));
        }
        engine.pass_time(Duration::from_secs(5));
        assert_eq!(state(&p), State::ReadWrite, "{mode:?}: {:?}", p.last_fault());
        assert!(engine.events(100).iter().any(|e| e.cause == Cause::NoSpace), "{mode:?}: the spare was tried");
        assert_eq!(disk.used_bytes(), used, "{mode:?}: {:?}", disk.files("/p1"));
    }
}

#[test]
fn at_most_eight_files_with_bad_blocks_are_kept_and_the_next_opening_removes_them() {
    for mode in MODES {
        let disk = SimDisk::new(3);
        let (engine, p, _) = start(&disk, mode, true, OpKind::Write, libc::EIO);
        let bad = || disk.files("/p1").iter().filter(|f| f.contains("/bad-")).count();
        for _ in 0..600 {
            engine.pass_time(Duration::from_secs(1));
        }
        assert!(disk.faults_fired() > 10, "{mode:?}: {}", disk.faults_fired());
        assert_eq!(bad(), 8, "{mode:?}: {:?}", disk.files("/p1"));
        disk.clear_faults();
        p.close().unwrap();
        let p = reopen(&engine, "/p1", 1, mode);
        let next = p.bounds().unwrap().1 + 1;
        append(&p, &entries(next, next, 9, 100)).unwrap();
        engine.pass_time(Duration::from_secs(2));
        assert_eq!(bad(), 0, "{mode:?}: the next opening has other files under way");
    }
}
