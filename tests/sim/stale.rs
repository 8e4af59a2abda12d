//! F22: bytes from before never replay: recycled space, replaced suffixes, other partitions, directories renamed or made anew.

use crate::support::driver::Driver;
use crate::support::judge::After;
use crate::support::*;
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
