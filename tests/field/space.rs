//! Bugs that others had when a disk filled up: each as it happened there, and what holds here.

use crate::support::driver::Driver;
use crate::support::field::*;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{mix, Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Mode, State, Status};
use std::time::Duration;

/// CockroachDB 32631: a disk was filled and freed again; RocksDB's FlushWAL had swallowed the error meanwhile, so that writes counted
/// as done that were nowhere, and the raft log ended below its commit. Here every append meanwhile is refused (or, in mode interval,
/// kept in memory), and whatever was acknowledged before, during and after is there.
#[test]
fn cockroachdb_32631_a_filled_disk_freed_again_has_all_that_was_acknowledged() {
    for (mode, direct_io) in modes_and_paths() {
        let disk = disk_of(1, direct_io);
        let (_engine, p) = start(&disk, mode);
        let (mut last, mut refused) = (5, 0);
        for round in 0..300 {
            match round {
                10 | 160 => disk.set_free(120 << 10),
                150 | 280 => {
                    disk.set_free(50 << 20);
                    resume(&p);
                    last = p.bounds().unwrap().1;
                }
                _ => {}
            }
            // Two entries of a size that does not divide a block: the write that fails may have begun.
            match append(&p, &entries(last + 1, last + 2, 1, 2500)) {
                Ok(()) => last += 2,
                Err(e) => {
                    assert_eq!(e.status, Status::NoSpace, "{mode:?}: {e}");
                    refused += 1;
                    last = p.bounds().unwrap().1;
                }
            }
            if mode == Mode::Interval {
                std::thread::sleep(Duration::from_millis(1)); // its flush meets the full disk
            }
        }
        assert!(refused > 0, "{mode:?}: the disk was never full");
        p.sync().unwrap();
        let wanted = [entries(1, 5, 1, 300), entries(6, last, 1, 2500)].concat();
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, running"));
        assert_survives(&disk, mode, &wanted, &format!("direct {direct_io}"));
    }
}

/// Timeplus proton 1229: a write cut short by a full disk left part of a record at the tail, and recovery went into a crash loop.
/// HarperFast rocksdb-js 751: the same, and the next good records were appended behind the torn one, out of every reader's reach.
/// Here nothing is ever written behind bytes of a write that failed: however many of them there are, the log goes on elsewhere.
#[test]
fn proton_1229_rocksdb_js_751_good_records_never_follow_a_partial_one() {
    let cuts = [0, 1, 55, 56, 57, 512, 4095, 4096, 4097, 8192, 10_000, 16_384];
    for (mode, direct_io, cut) in modes_and_paths().flat_map(|(m, d)| cuts.map(|c| (m, d, c))) {
        let what = format!("direct {direct_io}, {cut} bytes written");
        let disk = disk_of(cut as u64, direct_io);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::new(Fault::Short(cut)).on(OpKind::Write).path(TAIL).once());
        disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Write).path(TAIL).once());
        let tried = append_durably(&p, &entries(6, 9, 1, 5000));
        assert!(tried.is_err(), "{what}, {mode:?}: a write cut short was acknowledged");
        // Crash loop: what is there now has to open as well as what comes later.
        let torn = disk.fork();
        for how in CRASHES {
            let after = torn.fork().crash(how);
            let engine = engine(&after);
            let p = reopen(&engine, "/p1", 1, mode);
            assert_eq!(state(&p), State::ReadWrite, "{what}, {mode:?}, {how:?}: {:?}", p.last_fault());
            assert_same(&read_all(&p).unwrap()[..5], &entries(1, 5, 1, 300), &what);
        }
        disk.clear_faults();
        resume(&p);
        let last = p.bounds().unwrap().1;
        let mut wanted = entries(1, 5, 1, 300);
        wanted.extend(entries(6, last, 1, 5000));
        wanted.extend(entries(last + 1, last + 6, 2, 700));
        append_each(&p, last + 1, last + 6, 2, 700);
        p.sync().unwrap();
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{what}, {mode:?}, running"));
        assert_survives(&disk, mode, &wanted, &what);
    }
}

/// RabbitMQ ra 578: on a disk that went back and forth between full and not full, entries were written to a segment although those
/// before them had not been; the server could not start with holes in its index. Here the indexes are without a hole at any time.
#[test]
fn rabbitmq_ra_578_no_hole_in_the_index_after_a_disk_was_full_for_moments() {
    let (mut full, mut went_on) = (0, 0);
    for seed in 0..80u64 {
        let config = SimConfig { direct_io: seed % 4 != 3, can_allocate: seed % 5 != 0, ..SimConfig::default() };
        let mut d = Driver::new(SimDisk::with_config(seed, config), &MODES);
        let mut run = |d: &mut Driver| -> Result<(), String> {
            for n in 0..3 {
                d.open(n, After::Close)?;
            }
            for round in 0..90u64 {
                let roll = mix(&[seed, round]);
                let n = roll as usize % 3;
                if round % 4 == 0 {
                    d.disk.set_free(if roll & 64 == 0 { 20 << 20 } else { roll >> 8 & 0x3FFFF });
                }
                if d.parts[n].fault.is_some() {
                    full += 1;
                    d.disk.set_free(20 << 20);
                    went_on += u64::from(d.recover(n)?);
                }
                if d.parts[n].fault.is_none() {
                    let first = d.parts[n].model.last() + 1;
                    d.append(n, &entries(first, first + roll % 4, 1, 1 + (roll >> 20) as usize % 6000))?;
                    d.check(n)?;
                }
            }
            d.disk.set_free(20 << 20);
            let after = d.crash(if seed % 2 == 0 { Crash::Process } else { Crash::PowerRandom });
            for n in 0..3 {
                d.open(n, after)?;
                d.check(n)?;
            }
            Ok(())
        };
        run(&mut d).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", d.story()));
    }
    assert!(full > 50 && went_on > 50, "full {full} times, went on {went_on} times: this test tests nothing");
}

/// Redpanda 12917: a roll to a new segment failed for want of space and left an empty one of the same base offset; the retry hit an
/// assertion and killed the node. Here a segment whose making failed at any step is made again, and the leftover does not count.
#[test]
fn redpanda_12917_a_segment_whose_making_failed_for_space_is_made_again() {
    let kinds = [OpKind::Create, OpKind::Allocate, OpKind::Write, OpKind::Sync, OpKind::SyncDir];
    for (mode, direct_io, kind) in modes_and_paths().flat_map(|(m, d)| kinds.map(|k| (m, d, k))) {
        let what = format!("{mode:?}, direct {direct_io}, {kind:?}");
        let disk = disk_of(1, direct_io);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        // Each new segment is refused twice: the first attempt leaves its file behind.
        for number in 1..8 {
            disk.inject(Rule::errno(libc::ENOSPC).on(kind).path(&format!("seg-{number:016x}")).times(2));
        }
        if kind == OpKind::SyncDir {
            disk.inject(Rule::errno(libc::ENOSPC).on(kind).path("/p1").times(3));
        }
        for round in 0..400u64 {
            let last = p.bounds().unwrap().1;
            if last >= 150 {
                break;
            }
            if append(&p, &entries(last + 1, last + 3, 1, 3000)).is_err() {
                // Only a disk that is full again may refuse.
                let _ = p.recover();
            }
            assert!(round < 399, "{what}: the log does not get beyond {last}: {:?}", p.last_fault());
        }
        disk.clear_faults();
        if state(&p) != State::ReadWrite {
            resume(&p);
        }
        p.sync().unwrap();
        let last = p.bounds().unwrap().1;
        assert_survives(&disk, mode, &entries(1, last, 1, 3000), &what);
    }
}
