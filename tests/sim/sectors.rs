//! F16, F21, F31: bad sectors cost only what lies in them; missing segments are noticed.

use crate::support::*;
use bulkhead::format::Root;
use bulkhead::io::sim::{Crash, SimConfig, SimDisk};
use bulkhead::{Cause, EngineConfig, Mode, Partition, State, Status};
use std::sync::Arc;
use std::time::Duration;

/// A log over several segments, synced; its process is gone.
fn long_log(mode: Mode, close: bool) -> (SimDisk, u64) {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, mode);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 120, 1, 3000);
    p.sync().unwrap();
    p.set_hard_state(hard(1, 1, 100)).unwrap();
    if close {
        p.close().unwrap();
    }
    (disk.crash(Crash::PowerNothing), 120)
}

/// A file of mode none ends where its last record does. Old kernels answer the direct read behind that with EINVAL: no bad sector, and no
/// reason to refuse the log.
#[test]
fn f16_the_end_of_a_file_is_no_bad_sector_on_an_old_kernel() {
    let disk = SimDisk::with_config(1, SimConfig { checks_alignment_at_end: true, ..SimConfig::default() });
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::None);
    append_each(&p, 1, 10, 1, 397);
    p.set_hard_state(hard(1, 1, 10)).unwrap();
    let report = p.verify().unwrap();
    assert_eq!((report.entries, report.bad_records, p.status().damaged.2), (10, 0, 0));
    p.sync().unwrap();
    p.set_hard_state(hard(2, 1, 10)).unwrap();
    let disk = disk.fork().crash(Crash::Process);
    let second = engine(&disk);
    let p = open(&second, "/p1", 1, Mode::None);
    assert_eq!((state(&p), p.bounds().ok()), (State::ReadWrite, Some((1, 10))), "{:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap(), &entries(1, 10, 1, 397), "after the crash");
    assert_eq!(p.hard_state().unwrap(), hard(2, 1, 10));
}

/// An engine without a read cache: reads go to the disk.
fn cold_engine(disk: &SimDisk) -> bulkhead::Engine {
    let config = EngineConfig { read_cache_bytes: 0, ..config() };
    bulkhead::Engine::with_storage(config, Arc::new(disk.clone())).unwrap()
}

fn place_of(disk: &SimDisk, index: u64, len: usize) -> (String, u64) {
    let data = Payload::Random.bytes(index, 1, len);
    let found = disk.files("/p1").into_iter().find_map(|path| {
        let at = disk.durable_bytes(&path).windows(data.len()).position(|w| w == data)?;
        Some((path, at as u64))
    });
    found.unwrap_or_else(|| panic!("entry {index} is not on the medium"))
}

/// The entries that lie in the block of the bad place: memory pages are read whole.
fn neighbours(disk: &SimDisk, bad: (&str, u64), last: u64) -> Vec<u64> {
    let block = bad.1 / 4096 * 4096;
    let touches = |i: &u64| {
        let (path, at) = place_of(disk, *i, 3000);
        path == bad.0 && at - 56 < block + 4096 && at + 3000 > block
    };
    (1..=last).filter(touches).collect()
}

/// Reads that touch the bad place fail, all others give what was written.
fn assert_only(p: &Partition, bad: &[u64], last: u64, what: &str) {
    let found = read_each(p);
    assert_eq!(found.last().map(|f| f.0), Some(last), "{what}: {:?}", p.status());
    for (index, result) in found {
        match result {
            Ok(e) => assert_same(&[e], &entries(index, index, 1, 3000), what),
            Err(e) => {
                assert!(bad.contains(&index), "{what}: entry {index} fails too: {e}");
                assert!(matches!(e.status, Status::IoError | Status::Damaged), "{what}: {e}");
            }
        }
    }
}

#[test]
fn f16_an_unreadable_sector_fails_only_the_reads_that_touch_it() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = SimDisk::new(2);
        let engine = cold_engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 60, 1, 3000);
        p.sync().unwrap();
        let (path, at) = place_of(&disk, 20, 3000);
        disk.make_unreadable(&path, at + 1024, 1);
        let bad = neighbours(&disk, (&path, at + 1024), 60);
        assert!(p.read(20, 21, u64::MAX).is_err(), "the bad sector cannot be read");
        assert_only(&p, &bad, 60, "a running partition");
        assert_eq!(state(&p), State::ReadWrite, "a read that fails does not stop the writes");
        append_each(&p, 61, 70, 1, 3000);
        assert_only(&p, &bad, 70, "after more appends");
    }
}

#[test]
fn f16_an_open_over_an_unreadable_sector_keeps_the_rest() {
    for (mode, close) in [(Mode::Sync, false), (Mode::Sync, true), (Mode::None, false), (Mode::None, true)] {
        let (disk, last) = long_log(mode, close);
        let (path, at) = place_of(&disk, 20, 3000);
        disk.make_unreadable(&path, at + 1024, 1);
        let bad = neighbours(&disk, (&path, at + 1024), last);
        let engine = cold_engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_only(&p, &bad, last, &format!("{mode:?}, closed: {close}"));
    }
}

/// Found by a random history: with blocks of 512 bytes the entries of other flushes in the same 4 KiB were taken for unreadable as well, and
/// cut. And the last entry, in a block of its own that cannot be read, went without a word.
#[test]
fn f16_a_bad_sector_costs_no_other_flush_and_the_last_one_is_reported() {
    let modes = [Mode::Sync, Mode::Interval];
    for (mode, block_bytes, bad) in
        modes.into_iter().flat_map(|m| [(m, 512, 3), (m, 512, 7), (m, 4096, 3), (m, 4096, 7)])
    {
        let disk = SimDisk::with_config(1, SimConfig { block_bytes, ..SimConfig::default() });
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        for index in 1..=7 {
            append(&p, &entries(index, index, 1, 200)).unwrap();
            p.sync().unwrap();
        }
        let left = disk.crash(Crash::Process);
        let (path, at) = place_of(&left, bad, 200);
        left.make_unreadable(&path, at, 1);
        let second = cold_engine(&left);
        let p = reopen(&second, "/p1", 1, mode);
        let what = format!("{mode:?}, blocks of {block_bytes}, entry {bad} of 7 on the bad sector");
        let last = if bad == 7 { 6 } else { 7 };
        for (index, result) in read_each(&p) {
            match result {
                Ok(e) => assert_same(&[e], &entries(index, index, 1, 200), &what),
                Err(e) => assert_eq!((index, e.status), (bad, Status::IoError), "{what}: {e}"),
            }
        }
        let status = p.status();
        assert_eq!((p.bounds().unwrap(), state(&p)), ((1, last), State::ReadWrite), "{what}: {status:?}");
        let (damaged, maybe) = if bad == 7 { ((0, 0, 0), (7, 7)) } else { ((3, 3, 1), (0, 0)) };
        assert_eq!((status.damaged, status.maybe_acknowledged), (damaged, maybe), "{what}");
    }
}

/// The header takes one sector of its block, and is read where another one of it is bad.
#[test]
fn f16_a_segment_opens_over_a_bad_sector_beside_its_header() {
    let disk = SimDisk::with_config(1, SimConfig { block_bytes: 512, ..SimConfig::default() });
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 5, 1, 200)).unwrap();
    let left = disk.crash(Crash::Process);
    left.make_unreadable(&place_of(&left, 1, 200).0, 1024, 1);
    let second = cold_engine(&left);
    let p = reopen(&second, "/p1", 1, Mode::Sync);
    assert_same(&read_all(&p).unwrap(), &entries(1, 5, 1, 200), "beside the header");
}

/// What an end cuts off is copied for people only: a bad sector in it is no reason not to open.
#[test]
fn f16_a_bad_sector_in_what_an_end_cuts_off_costs_nothing() {
    for mode in [Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        append(&p, &entries(1, 3, 1, 3000)).unwrap();
        p.sync().unwrap();
        // The root that names the spare says what was durable.
        wait_for("a spare", Duration::from_secs(2), || disk.exists("/p1/seg-0000000000000002"));
        std::thread::sleep(Duration::from_millis(50));
        // A flush whose first block did not reach the medium.
        append(&p, &entries(4, 17, 1, 3000)).unwrap();
        p.sync().unwrap();
        let left = disk.crash(Crash::Process);
        let (path, at) = place_of(&left, 4, 3000);
        left.overwrite(&path, at - 56, &[0; 2000]);
        left.make_unreadable(&path, place_of(&left, 11, 3000).1 + 1024, 1);
        let second = cold_engine(&left);
        let p = reopen(&second, "/p1", 1, mode);
        let status = p.status();
        assert_eq!((p.bounds().unwrap(), status.maybe_acknowledged), ((1, 3), (4, 17)), "{mode:?}: {status:?}");
        p.close().unwrap();
        let kept = left.files("/p1/kept");
        let bytes = left.durable_bytes(&kept[0]);
        for index in (5..=17).filter(|i| !(10..=12).contains(i)) {
            let data = Payload::Random.bytes(index, 1, 3000);
            assert!(bytes.windows(3000).any(|w| w == data), "{mode:?}: entry {index} is in {kept:?}");
        }
    }
}

#[test]
fn f16_compaction_removes_a_damaged_range() {
    let (disk, last) = long_log(Mode::Sync, false);
    let (path, at) = place_of(&disk, 20, 3000);
    disk.flip_bit(&path, at + 5, 0);
    let engine = cold_engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    assert!(p.read(20, 21, u64::MAX).is_err(), "the flipped bit is found by the read");
    assert_eq!(
        (state(&p), p.status().damaged),
        (State::ReadWrite, (20, 20, 1)),
        "an isolated bad record leaves the partition ReadWrite"
    );
    append_each(&p, last + 1, last + 1, 1, 3000);
    p.compact(30).unwrap();
    assert_eq!(p.status().damaged, (0, 0, 0));
    assert_eq!(read_all(&p).unwrap().len() as u64, last + 1 - 30);
}

#[test]
fn f16_verify_names_the_bad_entries() {
    let (disk, last) = long_log(Mode::Sync, true);
    let engine = cold_engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    let report = p.verify().unwrap();
    assert_eq!((report.entries, report.bad_records, report.bad), (last, 0, (0, 0)));
    for index in [30, 31] {
        let (path, at) = place_of(&disk, index, 3000);
        disk.flip_bit(&path, at + 5, 0);
    }
    let report = p.verify().unwrap();
    assert_eq!((report.bad_records, report.bad), (2, (30, 31)));
    assert_eq!(p.status().damaged, (30, 31, 2));
    // Known ones do not count again, and one between them does: it did not.
    for (index, damaged) in [(50, (30, 50, 3)), (40, (30, 50, 4)), (41, (30, 50, 5))] {
        let (path, at) = place_of(&disk, index, 3000);
        disk.flip_bit(&path, at + 5, 0);
        p.verify().unwrap();
        assert_eq!(p.status().damaged, damaged, "entry {index}");
    }
    p.compact(35).unwrap();
    assert_eq!(p.status().damaged, (40, 50, 3), "what is compacted is not there to be damaged");
}

#[test]
fn f21_a_missing_segment_is_noticed() {
    for (mode, close) in [(Mode::Sync, false), (Mode::Sync, true), (Mode::None, false), (Mode::None, true)] {
        let (disk, last) = long_log(mode, close);
        // Files of the range that hold entries: one allocated ahead may go without harm.
        let mut used: Vec<String> = (1..=last).map(|i| place_of(&disk, i, 3000).0).collect();
        used.dedup();
        assert!(used.len() >= 3, "the log is too short for this test: {used:?}");
        for path in &used {
            let fork = disk.fork();
            fork.remove(path);
            let engine = cold_engine(&fork);
            let p = reopen(&engine, "/p1", 1, mode);
            let status = p.status();
            let what = format!("{mode:?}, closed: {close}, {path} of {used:?} removed");
            let noticed = status.state == State::Unavailable && status.cause == Cause::Damage || status.damaged.2 > 0;
            assert!(noticed, "{what}: {status:?}");
            let _ = p.bounds().map(|(first, last)| {
                for i in first..=last {
                    if let Ok(found) = p.read(i, i + 1, u64::MAX) {
                        assert_same(&found, &entries(i, i, 1, 3000), &what);
                    }
                }
            });
        }
    }
}

#[test]
fn f21_a_chain_that_begins_too_late_is_noticed() {
    let (disk, last) = long_log(Mode::Sync, true);
    let root = Root::decode_file(&disk.durable_bytes("/p1/root")).unwrap();
    assert!(root.end.segment > root.first_segment, "the log is too short for this test");
    // As if an older root had come back that knows less of a compaction than of its segments.
    let late = Root { first_segment: root.end.segment, ..root };
    disk.overwrite("/p1/root", 0, &late.encode_file());
    let engine = cold_engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    let status = p.status();
    assert_eq!((status.state, status.cause), (State::Unavailable, Cause::Damage), "{last} entries: {status:?}");
}

#[test]
fn f21_a_missing_root_is_not_an_empty_log() {
    let (disk, _) = long_log(Mode::Sync, true);
    disk.remove("/p1/root");
    let files = disk.files("/p1");
    let engine = engine(&disk);
    match try_open(&engine, "/p1", 1, Mode::Sync) {
        Err(e) => assert!(matches!(e.status, Status::Damaged | Status::Foreign), "{e}"),
        Ok(p) => {
            assert_eq!((state(&p), p.status().cause), (State::Unavailable, Cause::Damage));
            assert!(p.hard_state().is_err(), "no root, no term: never term 0");
            p.close().unwrap();
        }
    }
    assert_eq!(disk.files("/p1"), files, "a refused open changes nothing");
}

#[test]
fn f31_a_bad_block_under_the_next_append_loses_nothing() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = SimDisk::new(4);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 5, 1, 3000);
        p.sync().unwrap();
        let (path, at) = place_of(&disk, 5, 3000);
        disk.make_unwritable(&path, at + 4096, 64 << 10);
        let result = append(&p, &entries(6, 6, 1, 3000)).and_then(|()| p.sync());
        if result.is_err() {
            assert_eq!(state(&p), State::Unavailable);
            p.recover().unwrap();
        }
        assert_eq!(state(&p), State::ReadWrite);
        append_each(&p, p.bounds().unwrap().1 + 1, 10, 1, 3000);
        p.sync().unwrap();
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        assert_same(
            &read_all(&reopen(&engine, "/p1", 1, mode)).unwrap(),
            &entries(1, 10, 1, 3000),
            "written on other blocks",
        );
    }
}
