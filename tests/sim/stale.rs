//! F22: bytes from before never replay: recycled space, replaced suffixes, other partitions, directories renamed or made anew.

use crate::support::driver::Driver;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::format::{RecordHeader, SegmentHeader, SegmentSalt, SEGMENT_HEADER_BYTES};
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Mode, State, Status};

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];

#[test]
fn f22_recycled_segments_never_show_their_old_entries() {
    for (mode, seed) in MODES.into_iter().flat_map(|m| (0..40u64).map(move |s| (m, s))) {
        let mut d = Driver::new(SimDisk::new(seed), &[mode]);
        let run = |d: &mut Driver| -> Result<(), String> {
            d.open(0, After::Close)?;
            for round in 0..4u64 {
                // Fill segments, compact nearly all of it so that they are recycled, and crash soon after.
                for _ in 0..15 {
                    let first = d.parts[0].model.last() + 1;
                    d.append(0, &entries(first, first + 9, round + 1, 2000))?;
                }
                let last = d.parts[0].model.last();
                d.compact(0, last - 2)?;
                d.disk.crash_at(d.disk.ops() + 1 + (seed * 3 + round) % 25);
                for _ in 0..10 {
                    let first = d.parts[0].model.last() + 1;
                    if !d.append(0, &entries(first, first + 3, round + 1, 2000))? {
                        break;
                    }
                }
                let after = d.crash(if seed % 2 == 0 { Crash::PowerRandom } else { Crash::PowerNothing });
                d.open(0, after)?;
            }
            Ok(())
        };
        run(&mut d).unwrap_or_else(|e| panic!("{mode:?}, seed {seed}: {e}\n{}", d.story()));
    }
}

#[test]
fn f22_a_replaced_suffix_never_comes_back() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append(&p, &entries(1, 30, 1, 500)).unwrap();
        p.sync().unwrap();
        // The new leader's log is shorter: the old entries 21 to 30 lie on the medium right where the log may seem to go on.
        append(&p, &entries(11, 20, 2, 500)).unwrap();
        p.sync().unwrap();
        let wanted = [entries(1, 10, 1, 500), entries(11, 20, 2, 500)].concat();
        let mut disk = disk;
        for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom, Crash::Process] {
            disk = disk.crash(how);
            let engine = crate::support::engine(&disk);
            let p = reopen(&engine, "/p1", 1, mode);
            assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, {how:?}"));
        }
        let engine = crate::support::engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        append(&p, &entries(21, 25, 2, 500)).unwrap();
        p.sync().unwrap();
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        let p = reopen(&engine, "/p1", 1, mode);
        assert_same(
            &read_all(&p).unwrap(),
            &[wanted, entries(21, 25, 2, 500)].concat(),
            "after the log grew over the old suffix",
        );
    }
}

#[test]
fn f22_a_replaced_suffix_shorter_than_a_segment_and_a_bad_byte_do_not_revive_it() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 10, 1, 500)).unwrap();
    append(&p, &entries(6, 7, 2, 500)).unwrap();
    p.close().unwrap();
    let disk = disk.crash(Crash::PowerNothing);
    for path in disk.files("/p1").into_iter().filter(|f| f.contains("seg-")) {
        let needle = Payload::Random.bytes(7, 2, 500);
        let Some(at) = disk.durable_bytes(&path).windows(500).position(|w| w == needle) else { continue };
        disk.flip_bit(&path, at as u64, 0);
    }
    let engine = crate::support::engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    for (index, found) in read_each(&p) {
        if let Ok(e) = found {
            assert_eq!(e.term, if index < 6 { 1 } else { 2 }, "entry {index} of the replaced suffix is back");
        }
    }
}

#[test]
fn f22_other_partitions_files_are_not_taken() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        for id in [1, 2] {
            let p = open(&engine, &format!("/p{id}"), id, mode);
            append(&p, &entries(1, 10, id, 500)).unwrap();
            p.close().unwrap();
        }
        let segment = disk.files("/p1").into_iter().find(|f| f.contains("seg-")).unwrap();
        disk.swap(&segment, &segment.replacen("/p1", "/p2", 1));
        let p = reopen(&engine, "/p1", 1, mode);
        assert!(
            state(&p) == State::Unavailable || p.status().damaged.2 > 0,
            "{mode:?}: a foreign segment must be noticed"
        );
        assert!(read_each(&p).iter().all(|(_, r)| r.is_err()), "{mode:?}: another partition's entries are given out");
        p.close().unwrap();
        let swapped_root = try_open(&engine, "/p2", 1, mode).err().map(|e| e.status);
        assert_eq!(swapped_root, Some(Status::WrongPartition), "{mode:?}");
    }
}

#[test]
fn f22_a_directory_made_anew_knows_nothing_of_the_old_one() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append(&p, &entries(1, 10, 1, 500)).unwrap();
        p.close().unwrap();
        disk.rename("/p1", "/old");
        let p = open(&engine, "/p1", 1, mode);
        assert_eq!(p.bounds().unwrap(), (1, 0));
        append(&p, &entries(1, 3, 2, 500)).unwrap();
        p.close().unwrap();
        // The old incarnation's segment in place of the new one, same partition id, same name.
        let segment = disk.files("/p1").into_iter().find(|f| f.contains("seg-")).unwrap();
        disk.swap(&segment, &segment.replacen("/p1", "/old", 1));
        let p = reopen(&engine, "/p1", 1, mode);
        assert!(
            read_each(&p).iter().all(|(_, r)| r.is_err()),
            "{mode:?}: entries of an earlier incarnation are given out"
        );
        assert!(state(&p) == State::Unavailable || p.status().damaged.2 > 0, "{mode:?}");
        p.close().unwrap();
        disk.swap(&segment, &segment.replacen("/p1", "/old", 1));
        let old = reopen(&engine, "/old", 1, mode);
        assert_same(&read_all(&old).unwrap(), &entries(1, 10, 1, 500), "renamed directories keep their log");
    }
}

#[test]
fn f22_what_an_earlier_opening_left_behind_its_end_does_not_replay() {
    // A write that failed in one opening may be on the medium, behind the end that the next opening finds.
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append(&p, &entries(1, 5, 1, 500)).unwrap();
        disk.inject(Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::Write).path("/p1/seg-0000000000000001").once());
        append(&p, &entries(6, 6, 1, 500)).expect_err("the write reported an error");
        p.recover().unwrap();
        let last = p.bounds().unwrap().1;
        append(&p, &entries(last + 1, last + 1, 7, 500)).unwrap();
        let after = disk.crash(Crash::PowerRandom);
        let engine = crate::support::engine(&after);
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_eq!(p.bounds().unwrap(), (1, last + 1), "seed {seed}");
        assert_eq!(
            p.term(last + 1).unwrap(),
            7,
            "seed {seed}: the refused entry came back in place of the acknowledged one"
        );
    }
}

/// A write of the root may name a segment although it failed. A file of that number is not made again: a crash on the way would leave a root
/// that names what is not there.
#[test]
fn f22_a_number_that_a_failed_root_may_have_named_is_not_used_again() {
    for at in 1..30 {
        let disk = SimDisk::new(at);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, Mode::Sync);
        disk.inject(Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::Write).path("/p1/root").once());
        append(&p, &entries(1, 1, 1, 500)).unwrap_err();
        disk.crash_at(disk.ops() + at);
        let acknowledged = p.recover().and_then(|()| append(&p, &entries(1, 3, 1, 500))).is_ok();
        let left = disk.crash(Crash::PowerEverything);
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, Mode::Sync);
        assert_eq!(state(&p), State::ReadWrite, "power cut at operation {at}: {:?}", p.last_fault());
        assert!(!acknowledged || p.bounds().unwrap() == (1, 3), "power cut at operation {at}");
    }
}

/// The lsns of all sound records in the segments, and their indexes.
fn lsns(disk: &SimDisk) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for path in disk.files("/p1").into_iter().filter(|f| f.contains("seg-")) {
        let bytes = disk.cached_bytes(&path);
        // A spare is just being made, perhaps.
        let header = bytes.get(..SEGMENT_HEADER_BYTES).and_then(|bytes| SegmentHeader::decode(bytes).ok());
        let Some(header) = header else { continue };
        let salt = SegmentSalt::new(header.salt);
        let records = (0..bytes.len()).step_by(8).filter_map(|at| RecordHeader::decode(&bytes[at..], &salt, at as u64));
        all.extend(records.map(|r| (r.lsn, r.index)));
    }
    all
}

/// Rule R3: what a power cut took had lsns, which records and marks elsewhere may still refer to.
#[test]
fn f22_an_lsn_is_never_used_twice() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::None);
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    append_each(&p, 6, 20, 1, 300);
    let before = lsns(&disk).into_iter().map(|r| r.0).max().unwrap();
    let disk = disk.crash(Crash::PowerNothing);
    let second = engine(&disk);
    let p = reopen(&second, "/p1", 1, Mode::None);
    assert_eq!(p.bounds().unwrap(), (1, 5));
    append_each(&p, 6, 10, 2, 300);
    let after: Vec<_> = lsns(&disk).into_iter().filter(|r| r.1 > 5).collect();
    assert!(!after.is_empty() && after.iter().all(|r| r.0 > before), "{after:?} after {before}");
}

/// Numbers of segments far apart are valid: a compaction neither counts them all nor looks for a file of each.
#[test]
fn f15_a_compaction_over_numbers_far_apart_costs_what_is_there() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 10, 1, 400);
        p.close().unwrap();
    }
    let far = 1u64 << 17;
    let root = bulkhead::format::Root::decode_file(&disk.durable_bytes("/p1/root")).unwrap();
    let mut segment = disk.durable_bytes("/p1/seg-0000000000000001");
    let header = SegmentHeader::decode(&segment).unwrap();
    segment[..SEGMENT_HEADER_BYTES].copy_from_slice(&SegmentHeader { sequence: far, ..header }.encode());
    let end = bulkhead::format::LogEnd { segment: far, ..root.end };
    disk.put_file(&format!("/p1/seg-{far:016x}"), &segment);
    disk.put_file("/p1/root", &bulkhead::format::Root { last_segment: far, end, ..root }.encode_file());
    disk.sync_all();
    let engine = engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 11, 12, 1, 400);
    p.compact(11).unwrap();
    wait_for_quiet(&disk);
    let unlinks = disk.count(OpKind::Unlink);
    assert!(unlinks < 5_000, "{unlinks} files looked for");
    assert_same(&read_all(&p).unwrap(), &entries(12, 12, 1, 400), "what counts");
}
