//! F32: a disk that reports success and drops or misplaces a write is found out at the next read, verify or open, and what it
//! put in the wrong place never replays as good.

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{EngineConfig, Mode, Partition, State};
use std::sync::Arc;

fn cold(disk: &SimDisk) -> bulkhead::Engine {
    let config = EngineConfig { read_cache_bytes: 0, ..config() };
    bulkhead::Engine::with_storage(config, Arc::new(disk.clone())).unwrap()
}

fn is_told(p: &Partition) -> bool {
    let status = p.status();
    status.state != State::ReadWrite
        || status.damaged.2 > 0
        || status.lost != (0, 0)
        || status.maybe_acknowledged != (0, 0)
}

/// Every entry that reads must be one that was written; a missing one must be reported.
fn assert_never_replayed_as_good(p: &Partition, last: u64, what: &str) {
    for index in 1..=last {
        match p.read(index, index + 1, u64::MAX) {
            Ok(found) => assert_same(&found, &entries(index, index, 1, 3000), what),
            Err(e) => assert!(is_told(p), "{what}: entry {index} cannot be read and the status is fine: {e}"),
        }
    }
    assert!(p.bounds().map_or(true, |b| b.1 <= last), "{what}: entries that nobody wrote");
}

fn lies() -> Vec<Fault> {
    let shifts = [4096, -4096, 8192, 16 << 10, -(16 << 10), 64 << 10];
    let mut lies: Vec<Fault> = shifts.map(Fault::Misplaced).to_vec();
    lies.push(Fault::Lost);
    lies.push(Fault::Misdirected("/p2/seg-0000000000000001".into(), 8192));
    lies.push(Fault::Misdirected("/p1/root".into(), 0));
    lies
}

#[test]
fn f32_a_lost_or_misplaced_write_is_found_and_never_replayed() {
    for (lie, skip) in lies().into_iter().flat_map(|l| (0..10).map(move |s| (l.clone(), s))) {
        let disk = SimDisk::new(skip);
        let engine = cold(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        let other = open(&engine, "/p2", 2, Mode::Sync);
        append_each(&other, 1, 10, 1, 3000);
        p.set_hard_state(hard(1, 1, 0)).unwrap();
        append_each(&p, 1, 4, 1, 3000);
        disk.inject(Rule::new(lie.clone()).on(OpKind::Write).path("/p1/seg-0000000000000001").skip(skip).once());
        append_each(&p, 5, 30, 1, 3000);
        let what = format!("{lie:?}, write {skip}");
        let bad =
            (1..=30).filter(|i| p.read(*i, i + 1, u64::MAX).map_or(true, |f| f != entries(*i, *i, 1, 3000))).count();
        for i in 1..=30 {
            if let Ok(found) = p.read(i, i + 1, u64::MAX) {
                assert_same(&found, &entries(i, i, 1, 3000), &what);
            }
        }
        let verified = p.verify().map(|r| r.bad_records);
        assert!(
            bad == 0 || !matches!(verified, Ok(0)),
            "{what}: {bad} entries cannot be read and verify finds nothing"
        );
        assert_never_replayed_as_good(&other, 10, &what);
        // After a clean close the root knows where the log ends; after a crash the marks know all but the last flush.
        for clean in [true, false] {
            let fork = disk.fork();
            let left = if clean {
                let engine = cold(&fork);
                let _ = reopen(&engine, "/p1", 1, Mode::Sync).close();
                fork.crash(Crash::PowerNothing)
            } else {
                fork.crash(Crash::PowerNothing)
            };
            let engine = cold(&left);
            if let Ok(p) = try_open(&engine, "/p1", 1, Mode::Sync) {
                assert_never_replayed_as_good(&p, 30, &format!("{what}, clean: {clean}"));
            }
            if let Ok(p) = try_open(&engine, "/p2", 2, Mode::Sync) {
                assert_never_replayed_as_good(&p, 10, &format!("{what}, the other partition"));
            }
        }
    }
}

#[test]
fn f32_a_last_write_that_was_lost_is_found_after_a_clean_close() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = SimDisk::new(1);
        let engine = cold(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 4, 1, 3000);
        disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).path("/p1/seg-0000000000000001").once());
        append_each(&p, 5, 5, 1, 3000);
        let _ = p.close();
        let left = disk.crash(Crash::PowerNothing);
        let engine = cold(&left);
        if let Ok(p) = try_open(&engine, "/p1", 1, mode) {
            // Nothing is scanned after a clean close: the first read finds it.
            assert_never_replayed_as_good(&p, 5, "the entries before it");
            assert!(is_told(&p), "{mode:?}: the last entry is gone and nobody says so");
        }
    }
}

#[test]
fn f32_a_sync_that_lies_is_found_by_the_next_open() {
    let disk = SimDisk::with_config(1, bulkhead::io::sim::SimConfig { direct_io: false, ..Default::default() });
    let engine = cold(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 4, 1, 3000);
    disk.inject(Rule::new(Fault::Lost).on(OpKind::Sync).path("/p1/seg-0000000000000001").once());
    append_each(&p, 5, 9, 1, 3000);
    let left = disk.crash(Crash::PowerNothing);
    let engine = cold(&left);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    assert!(is_told(&p), "entry 5 was acknowledged and is gone: {:?}", p.status());
    assert_never_replayed_as_good(&p, 9, "after a sync that did nothing");
}

#[test]
fn f32_misdirected_root_writes_do_not_become_another_partitions_state() {
    for offset in [0, 4096, 8192, 12288] {
        let disk = SimDisk::new(1);
        let engine = cold(&disk);
        let (p, other) = (open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync));
        other.set_hard_state(hard(3, 3, 0)).unwrap();
        disk.inject(Rule::new(Fault::Misdirected("/p2/root".into(), offset)).on(OpKind::Write).path("/p1/root").once());
        p.set_hard_state(hard(9, 1, 0)).unwrap();
        let left = disk.crash(Crash::PowerNothing);
        let engine = cold(&left);
        if let Ok(other) = try_open(&engine, "/p2", 2, Mode::Sync) {
            let found = other.hard_state();
            assert!(found.as_ref().map_or(true, |h| (h.term, h.vote) == (3, 3)), "offset {offset}: {found:?}");
        }
    }
}

/// Only the offset in a record's checksum tells that it is in the wrong place: it is of this segment, and newer than what was there. Taken for
/// what follows, it would make all that lies between seem lost.
#[test]
fn f32_a_misplaced_write_costs_what_it_hit_and_nothing_that_lies_between() {
    let disk = SimDisk::new(1);
    let first = cold(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    // Every flush takes a block: two entries. The tenth is written where the sixth is.
    append(&p, &entries(1, 2, 1, 1000)).unwrap();
    wait_for_quiet(&disk);
    let misplaced = Rule::new(Fault::Misplaced(-(16 << 10))).on(OpKind::Write);
    disk.inject(misplaced.path("/p1/seg-0000000000000001").skip(8).once());
    for index in (3..30).step_by(2) {
        append(&p, &entries(index, index + 1, 1, 1000)).unwrap();
    }
    assert_eq!(disk.lies(), 1);
    let hit = [11, 12, 19, 20];
    let assert_only_hit = |p: &Partition, what: &str| {
        for (index, found) in read_each(p) {
            match found {
                Ok(entry) => assert_same(&[entry], &entries(index, index, 1, 1000), what),
                Err(e) => assert!(hit.contains(&index), "{what}: entry {index}, which is where it was written: {e}"),
            }
        }
    };
    assert_only_hit(&p, "while it runs");
    assert_eq!(p.verify().unwrap().bad_records, 4);
    let left = disk.crash(Crash::PowerNothing);
    let second = cold(&left);
    let p = reopen(&second, "/p1", 1, Mode::Sync);
    assert_eq!((p.bounds().unwrap(), p.status().damaged), ((1, 30), (11, 20, 4)), "{:?}", p.last_fault());
    assert_only_hit(&p, "after an open");
}
