//! Bugs that others had when they opened what a crash or a bad disk had left: each as it happened there, and what holds here.

use std::time::{Duration, Instant};

use crate::support::field::*;
use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Disposition, PartitionConfig, State, Status};

/// Bytes of a record's header, and where its length is in it, as docs/format.md has it.
const HEADER_BYTES: u64 = 56;
const LENGTH_AT: u64 = 8;

/// etcd 14098: writes that were never synced went, a record's length became a number of 13 PB, and etcd did not start again; in
/// older versions it was the size of an allocation. Here a length is believed after its checksum only: a bad one costs its own record,
/// the sound ones behind it are found, and no more is read than the file holds.
#[test]
fn etcd_14098_a_hostile_length_costs_one_record() {
    let lengths = [0u32, 1, 299, 301, 4096, 1 << 20, 64 << 20, (64 << 20) + 1, u32::MAX - 7, u32::MAX];
    for ((mode, close), length) in
        MODES.into_iter().flat_map(|m| [(m, true), (m, false)]).flat_map(|m| lengths.map(|l| (m, l)))
    {
        let what = format!("{mode:?}, closed {close}, length {length}");
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        append_durably(&p, &entries(6, 9, 1, 300)).unwrap();
        append_durably(&p, &entries(10, 12, 1, 300)).unwrap();
        if close {
            p.close().unwrap();
        }
        let disk = disk.crash(Crash::PowerNothing);
        let (path, at) = find_data(&disk, "/p1", &Payload::Random.bytes(7, 1, 300));
        disk.overwrite(&path, at - HEADER_BYTES + LENGTH_AT, &length.to_le_bytes());
        let began = Instant::now();
        let engine = engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        let found = read_each(&p);
        assert!(began.elapsed() < Duration::from_secs(1), "{what}: took {:?}", began.elapsed());
        let longest = disk.log().iter().filter(|r| r.kind == OpKind::Read).map(|r| r.len).max().unwrap();
        assert!(longest <= 1 << 20, "{what}: a read of {longest} bytes");
        assert_eq!(found.len(), 12, "{what}: durable entries behind the bad one are cut: {:?}", p.status());
        for (index, result) in found {
            match result {
                Ok(e) => assert_same(&[e], &entries(index, index, 1, 300), &what),
                Err(e) => assert_eq!((index, e.status), (7, Status::Damaged), "{what}"),
            }
        }
        assert_eq!(p.status().damaged, (7, 7, 1), "{what}");
    }
}

/// etcd 10688: the creation of a WAL failed half-way (the filesystem had no fsync for directories); the next start took what was there
/// for an existing member's log and ran without its peers. Here a directory is a partition or it is none: a creation that failed or
/// crashed at any step is begun anew.
#[test]
fn etcd_10688_a_half_created_log_is_created_again() {
    for (mode, direct_io) in modes_and_paths() {
        for (step, crash) in
            (0..40).flat_map(|s| [None, Some(Crash::Process), Some(Crash::PowerRandom)].map(|c| (s, c)))
        {
            let what = format!("{mode:?}, direct {direct_io}, step {step}, {crash:?}");
            let disk = disk_of(step, direct_io);
            let engine = engine(&disk);
            match crash {
                None => disk.inject(Rule::errno(libc::EINVAL).on_changes().skip(step).once()),
                Some(_) => disk.crash_at(step + 1),
            }
            let created = try_open(&engine, "/p1", 1, mode).is_ok_and(|p| state(&p) == State::ReadWrite);
            drop(engine);
            disk.clear_faults();
            let disk = disk.crash(crash.unwrap_or(Crash::Process));
            let engine = crate::support::engine(&disk);
            let existing =
                PartitionConfig { disposition: Disposition::OpenExisting, ..partition_config("/p1", 1, mode) };
            // Whoever expects a log must not get an empty one that nobody ever finished, unless all of it is there.
            if let Ok(p) = engine.open_partition(existing) {
                assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 0)), "{what}");
                drop(p);
            } else {
                assert!(!created || crash == Some(Crash::PowerRandom), "{what}: created, and not there");
            }
            let p = open(&engine, "/p1", 1, mode);
            assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
            p.set_hard_state(hard(3, 2, 0)).unwrap();
            append_durably(&p, &entries(1, 5, 3, 300)).unwrap();
            drop((p, engine));
            let (_engine, p) = assert_opens_with(&disk.crash(Crash::PowerNothing), mode, &entries(1, 5, 3, 300), &what);
            assert_eq!((p.hard_state().unwrap().term, p.hard_state().unwrap().vote), (3, 2), "{what}");
        }
    }
}

/// unistore 567: damage in the first of two WAL files was taken for its end, and the second one was replayed on top, over a hole. Here
/// damage below records that are known durable is damage: every entry keeps its index, and the bad one is an error.
#[test]
fn unistore_567_damage_in_the_first_segment_is_not_its_end() {
    for (mode, close) in MODES.into_iter().flat_map(|m| [(m, true), (m, false)]) {
        for damage in 0..4 {
            let what = format!("{mode:?}, closed {close}, damage {damage}");
            let disk = SimDisk::new(1);
            let engine = engine(&disk);
            let p = open(&engine, "/p1", 1, mode);
            for first in (1..90).step_by(3) {
                append_durably(&p, &entries(first, first + 2, 1, 3000)).unwrap();
            }
            if close {
                p.close().unwrap();
            }
            let disk = disk.crash(Crash::PowerNothing);
            let (path, at) = find_data(&disk, "/p1", &Payload::Random.bytes(8, 1, 3000));
            assert_eq!(path, TAIL, "{what}: entry 8 is not in the first segment");
            match damage {
                0 => disk.flip_bit(&path, at + 1500, 2),
                1 => disk.overwrite(&path, at - HEADER_BYTES, &[0; 512]),
                2 => disk.set_len(&path, at + 100),
                _ => disk.make_unreadable(&path, at, 512),
            }
            let engine = crate::support::engine(&disk);
            let p = reopen(&engine, "/p1", 1, mode);
            let found = read_each(&p);
            let status = p.status();
            let told = status.damaged.2 > 0 || status.counters.errors > 0 && damage == 3;
            assert!(told || status.cause == Cause::Damage, "{what}: nobody is told: {status:?}");
            for (index, result) in &found {
                match result {
                    Ok(e) => assert_same(std::slice::from_ref(e), &entries(*index, *index, 1, 3000), &what),
                    // A segment cut short is refused as a whole, and a bad sector costs its block of 4096 bytes.
                    Err(_) => {
                        assert!(*index >= 8 || damage == 2 || damage == 3 && *index == 7, "{what}: entry {index}")
                    }
                }
            }
            assert!(!found.iter().any(|(i, r)| *i == 8 && r.is_ok()), "{what}: entry 8 is damaged");
            // With the first segment cut short nothing tells how much of it was there: then nothing is written either.
            let whole = p.bounds().is_ok_and(|b| b == (1, 90));
            assert!(whole || status.state == State::Unavailable, "{what}: bounds {:?}", p.bounds());
        }
    }
}

/// Zeebe 10451: one corrupt partition kept the whole node from starting. Here its open gives a partition that is Unavailable with the
/// reason; the others open and work, and so does closing.
#[test]
fn zeebe_10451_a_corrupt_partition_does_not_block_the_node() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let maker = engine(&disk);
        for id in 1..=8u64 {
            let p = open(&maker, &format!("/p{id}"), id, mode);
            append_durably(&p, &entries(1, 6, 1, 300)).unwrap();
            if id % 2 == 0 {
                p.close().unwrap();
            }
        }
        let disk = disk.crash(Crash::PowerNothing);
        let segment = |id: u64| format!("/p{id}/seg-0000000000000001");
        disk.overwrite("/p1/root", 0, &[0xA5; 16 << 10]);
        disk.remove("/p2/root");
        disk.remove(&segment(3));
        disk.overwrite(&segment(4), 0, &[0; 4096]);
        disk.set_len(&segment(5), 0);
        disk.inject(Rule::errno(libc::EIO).path("/p6/"));
        let engine = engine(&disk);
        for id in 1..=8u64 {
            let p = open(&engine, &format!("/p{id}"), id, mode);
            let what = format!("{mode:?}, partition {id}: {:?}", p.last_fault());
            if id <= 6 {
                assert_eq!(state(&p), State::Unavailable, "{what}");
                assert!(p.last_fault().is_some() && append(&p, &entries(7, 7, 1, 10)).is_err(), "{what}");
                continue;
            }
            assert_same(&read_all(&p).unwrap(), &entries(1, 6, 1, 300), &what);
            append_durably(&p, &entries(7, 9, 1, 300)).unwrap_or_else(|e| panic!("{what}: {e}"));
            p.close().unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        engine.close().unwrap_or_else(|e| panic!("{mode:?}: {e}"));
    }
}

/// CubeFS 3605: the index in META was out of the range of the log's files, and raft did not start. Here the stored commit is never
/// above what is durable, wherever the power goes between the entries, the commit and the vote.
#[test]
fn cubefs_3605_the_stored_commit_is_never_beyond_the_log() {
    for (mode, direct_io) in modes_and_paths() {
        for step in 1..30 {
            let what = format!("{mode:?}, direct {direct_io}, step {step}");
            let disk = disk_of(step, direct_io);
            let (_engine, p) = start(&disk, mode);
            disk.crash_at(disk.ops() + step);
            let _ = append(&p, &entries(6, 20, 1, 1000));
            let _ = p.set_hard_state(hard(2, 1, 20));
            let _ = p.compact(18);
            for how in [Crash::PowerNothing, Crash::PowerRandom] {
                let after = disk.fork().crash(how);
                let engine = engine(&after);
                let p = reopen(&engine, "/p1", 1, mode);
                assert_eq!(state(&p), State::ReadWrite, "{what}, {how:?}: {:?}", p.last_fault());
                let ((first, last), hard) = (p.bounds().unwrap(), p.hard_state().unwrap());
                assert!(
                    hard.commit <= last && hard.commit + 1 >= first,
                    "{what}, {how:?}: {hard:?}, {first} to {last}"
                );
                assert!(last >= 5 && read_all(&p).unwrap().len() as u64 == last + 1 - first, "{what}, {how:?}");
            }
        }
    }
}

/// RabbitMQ ra 170, NebulaGraph 5884: after a power cut the newest WAL file was blank, and the node did not start. Here a segment counts
/// when its header is durable, and a blank leftover of its name is removed.
#[test]
fn rabbitmq_ra_170_a_blank_newest_segment_is_no_obstacle() {
    for mode in MODES {
        for step in 1..40 {
            let what = format!("{mode:?}, step {step}");
            let disk = SimDisk::new(step);
            let (_engine, p) = start(&disk, mode);
            disk.crash_at(disk.ops() + step);
            let mut last = 5;
            while append_durably(&p, &entries(last + 1, last + 4, 1, 6000)).is_ok() && last < 60 {
                last += 4;
            }
            let disk = disk.crash([Crash::PowerNothing, Crash::PowerEverything][step as usize % 2]);
            let newest = disk.files("/p1").into_iter().filter(|f| f.contains("seg-")).count() as u64;
            for number in newest + 1..newest + 6 {
                let blank = vec![0; [0, 1, 4096, 64 << 10][step as usize % 4]];
                disk.put_file(&format!("/p1/seg-{number:016x}"), &blank);
            }
            let engine = engine(&disk);
            let p = reopen(&engine, "/p1", 1, mode);
            assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
            let found = p.bounds().unwrap().1;
            assert!(found >= last, "{what}: {last} were durable, {found} are there");
            append_durably(&p, &entries(found + 1, found + 40, 1, 6000)).unwrap();
            let wanted = [entries(1, 5, 1, 300), entries(6, found + 40, 1, 6000)].concat();
            assert_opens_with(&disk.fork().crash(Crash::PowerNothing), mode, &wanted, &what);
        }
    }
}
