//! Bugs that others had with syncs that fail, and with data that was never synced: each as it happened there, and what holds here.

use crate::support::driver::Driver;
use crate::support::field::*;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Mode, State, Status};

/// CockroachDB 37102: a sync of the WAL failed once, the next one succeeded, and writes behind the lost one were acknowledged; recovery
/// stopped at the hole and lost them all. Here nothing is acknowledged after the failure, however well the disk works again, until
/// recovery has put a new segment in the place of the failed one.
#[test]
fn cockroachdb_37102_a_sync_that_fails_once_leaves_no_hole() {
    for (seed, (mode, direct_io)) in (0..4).flat_map(|s| modes_and_paths().map(move |m| (s, m))) {
        let what = format!("direct {direct_io}, seed {seed}");
        let disk = disk_of(seed, direct_io);
        let (_engine, p) = start(&disk, mode);
        let flush = if direct_io && mode != Mode::None { OpKind::Write } else { OpKind::Sync };
        disk.inject(Rule::errno(libc::EIO).on(flush).path(TAIL).once());
        let first = append_durably(&p, &entries(6, 6, 1, 300)).expect_err("the flush failed");
        assert_eq!((first.status, first.errno), (Status::IoError, libc::EIO), "{what}, {mode:?}");
        for attempt in 0..4 {
            let next = p.bounds().unwrap().1 + 1;
            let again = append_durably(&p, &entries(next, next, 1, 300));
            assert!(again.is_err(), "{what}, {mode:?}: attempt {attempt} was acknowledged behind a hole");
            assert!(p.sync().is_err(), "{what}, {mode:?}: a second sync says that what the first one lost is durable");
        }
        let recovered = p.recover();
        if mode == Mode::None && recovered.as_ref().is_err_and(|e| e.status == Status::LostEntries) {
            // The pages never reached the disk, and the owner hears which entries were in them.
            assert_eq!((p.status().lost, state(&p)), ((6, 6), State::Unavailable), "{what}");
            continue;
        }
        recovered.unwrap();
        let last = p.bounds().unwrap().1;
        assert!(mode == Mode::Sync || last == 6, "{what}, {mode:?}: entry 6 was acknowledged");
        append_each(&p, last + 1, 12, 1, 300);
        p.sync().unwrap();
        assert_survives(&disk, mode, &entries(1, 12, 1, 300), &what);
    }
}

/// fjall 304: a batch whose write to the journal failed was published in memory all the same, and the sync after it succeeded: the
/// data seemed durable until the next start. Here an entry that was refused is not in the log, and one that mode interval accepted
/// is durable after recovery or the sync says no.
#[test]
fn fjall_304_a_write_that_failed_is_not_published_nor_synced() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(TAIL).once());
        let appended = append(&p, &entries(6, 8, 1, 300));
        let synced = p.sync();
        assert!(synced.is_err(), "{mode:?}: the sync knows nothing of the write that failed");
        if appended.is_err() {
            assert_eq!(p.bounds().unwrap(), (1, 5), "{mode:?}: a refused entry is in the log");
            assert!(p.read(6, 7, 1 << 20).is_err(), "{mode:?}: a refused entry can be read");
        }
        p.recover().unwrap();
        p.sync().unwrap();
        let wanted = entries(1, if appended.is_ok() { 8 } else { 5 }, 1, 300);
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, after recovery"));
        assert_survives(&disk, mode, &wanted, "what a sync has confirmed");
    }
}

/// Kafka 8812 (KAFKA-10101): recovery after a crash of the process found records that were only in the page cache, took them for
/// recovered without syncing them, and moved its recovery point past them; a power cut then lost what readers had seen. Here an open
/// that finds such records makes them durable before it gives out any.
#[test]
fn kafka_8812_what_an_open_has_shown_survives_the_next_power_cut() {
    for (mode, direct_io) in modes_and_paths() {
        for lost_sync in [false, true] {
            let disk = disk_of(7, direct_io);
            let (_engine, p) = start(&disk, mode);
            if lost_sync {
                // The kernel calls pages clean that never reached the disk.
                disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path(TAIL).once());
            }
            let _ = append(&p, &entries(6, 40, 1, 3000));
            let _ = p.sync();
            let disk = disk.crash(Crash::Process);
            let engine = engine(&disk);
            let p = reopen(&engine, "/p1", 1, mode);
            assert_eq!(state(&p), State::ReadWrite, "{mode:?}: {:?}", p.last_fault());
            let seen = read_all(&p).unwrap();
            let what = format!("direct {direct_io}, lost sync {lost_sync}, {} entries seen", seen.len());
            assert_survives(&disk, mode, &seen, &what);
        }
    }
}

/// RocksDB 12489: a newer WAL file was synced in the background and an older one was not; after a power cut recovery went on with
/// the newer file, past the hole. Here the log ends at the first hole that nothing durable lies behind.
#[test]
fn rocksdb_12489_a_newer_segment_on_disk_does_not_hide_the_loss_of_an_older_one() {
    let mut shorter = 0;
    for seed in 0..60u64 {
        // The other modes do not begin a segment before the one below it is durable.
        let mut d = Driver::new(disk_of(seed, seed % 3 != 0), &[Mode::None]);
        let run = |d: &mut Driver| -> Result<bool, String> {
            d.open(0, After::Close)?;
            // Housekeeping cannot sync what is filled: the newest segments may be written back before the older ones.
            for number in 1..40 {
                // The first sync of a segment is the one that makes it.
                let path = format!("seg-{number:016x}");
                d.disk.inject(Rule::new(Fault::Hang).on(OpKind::Sync).path(&path).skip(1));
            }
            for first in (1..120).step_by(4) {
                d.append(0, &entries(first, first + 3, 1, 3000))?;
            }
            let after = d.crash(Crash::PowerRandom);
            d.open(0, after)?;
            Ok(d.parts[0].model.last() < 120)
        };
        let cut = run(&mut d).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", d.story()));
        shorter += u64::from(cut);
    }
    assert!(shorter > 10, "the power cuts took nothing: this test tests nothing");
}

/// Kafka 10405 (KAFKA-3968): a new segment file was synced, its entry in the directory was not; a power cut took the whole file.
/// Here a segment counts only when its directory entry is durable.
#[test]
fn kafka_10405_a_new_segment_is_there_after_a_power_cut() {
    for (mode, journalled) in MODES.into_iter().flat_map(|m| [(m, true), (m, false)]) {
        let disk = SimDisk::with_config(1, SimConfig { journalled, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        for round in 0..12 {
            append_durably(&p, &entries(round * 10 + 1, round * 10 + 10, 1, 3000)).unwrap();
            let wanted = entries(1, round * 10 + 10, 1, 3000);
            let after = disk.fork().crash(Crash::PowerNothing);
            assert_opens_with(&after, mode, &wanted, &format!("{mode:?}, journalled {journalled}, round {round}"));
        }
        let segments = disk.files("/p1").into_iter().filter(|f| f.contains("seg-")).count();
        assert!(segments > 2, "{mode:?}: no segment was begun");
    }
}
