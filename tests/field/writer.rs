//! Bugs by which others' writers got stuck or lost track after a failure: each as it happened there, and what holds here.

use std::time::{Duration, Instant};

use crate::support::field::*;
use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Disposition, Entry, Mode, PartitionConfig, State, Status};

/// hashicorp raft-wal 32: after an append that failed, its entries stayed in the writer's index, and every retry of the same index was
/// refused as not monotonic until the restart. Here the retry is what the log takes, in the same process, whatever failed and however.
#[test]
fn raft_wal_32_a_failed_append_can_be_tried_again() {
    let faults = [
        Fault::Errno(libc::EIO),
        Fault::Errno(libc::ENOSPC),
        Fault::ErrnoAfter(libc::EIO),
        Fault::Short(0),
        Fault::Panic,
    ];
    let cases = modes_and_paths().flat_map(|m| faults.clone().map(|f| (m, f)));
    for (((mode, direct_io), fault), skip) in cases.flat_map(|c| [0, 1, 2].map(|skip| (c.clone(), skip))) {
        let what = format!("{mode:?}, direct {direct_io}, {fault:?} after {skip} writes");
        let disk = disk_of(1, direct_io);
        let (_engine, p) = start(&disk, mode);
        let mut wanted = entries(1, 5, 1, 300);
        for round in 0..3u64 {
            disk.inject(Rule::new(fault.clone()).on(OpKind::Write).path("/p1/seg").skip(skip).once());
            // From the second round on the batch replaces the last entry: a refused one leaves that where it was.
            let first = 6 + round * 2;
            let batch = entries(first, first + 2, round + 2, 900);
            let call = || append_durably(&p, &batch);
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
            if tried.is_err() {
                p.latch_panic(bulkhead::Op::Append); // as the boundary of the library does
            }
            disk.clear_faults();
            resume(&p);
            if p.bounds().unwrap().1 < first + 2 {
                // After a panic in the middle of a replacement in mode none it is open whether the suffix was cut.
                if fault != Fault::Panic || mode != Mode::None {
                    assert_same(&read_all(&p).unwrap(), &wanted, &format!("{what}, round {round}, refused"));
                }
                append_durably(&p, &batch).unwrap_or_else(|e| panic!("{what}, round {round}: stuck: {e}"));
            }
            wanted.truncate(first as usize - 1);
            wanted.extend(batch);
            assert_same(&read_all(&p).unwrap(), &wanted, &what);
        }
        if p.sync().is_err() {
            // A background thread met the fault, and tells of it only now.
            resume(&p);
            p.sync().unwrap();
        }
        assert_survives(&disk, mode, &wanted, &what);
    }
}

/// hashicorp raft-wal 31: a truncation of the suffix marked its segment as sealed without writing the segment's index; the next start
/// panicked on the first read. Here a truncation ends a segment anywhere, by the next one's begin record alone.
#[test]
fn raft_wal_31_a_log_cut_anywhere_opens_again_and_can_be_read() {
    // 60 entries of 3000 bytes are several segments: cuts at their first and last entries are among these.
    for (mode, cut) in MODES.into_iter().flat_map(|m| (1..=60).step_by(3).chain([60]).map(move |c| (m, c))) {
        let disk = SimDisk::new(cut);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        for first in (1..60).step_by(5) {
            append(&p, &entries(first, first + 4, 1, 3000)).unwrap();
        }
        append_durably(&p, &entries(cut, cut, 2, 100)).unwrap();
        let wanted = [entries(1, cut - 1, 1, 3000), entries(cut, cut, 2, 100)].concat();
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, cut at {cut}, running"));
        assert_survives(&disk, mode, &wanted, &format!("cut at {cut}"));
        p.close().unwrap();
        let (_engine, p) = assert_opens_with(&disk, mode, &wanted, &format!("{mode:?}, cut at {cut}, closed"));
        assert_eq!(p.term(1.max(cut - 1)).unwrap(), if cut == 1 { 2 } else { 1 });
    }
}

/// canonical raft 466 (dqlite): a segment write failed and the appends queued behind it went on as if it had not, so that entries were
/// missing in the middle of the log. Here everything queued behind the failure fails with it (mode sync) or waits in its order for
/// recovery (mode interval).
#[test]
fn canonical_raft_466_appends_queued_behind_a_failed_one_do_not_pass_it() {
    for (mode, seed) in [Mode::Sync, Mode::Interval].into_iter().flat_map(|m| (0..5).map(move |s| (m, s))) {
        let disk = disk_of(seed, true);
        let (engine, p) = start(&disk, mode);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
        for token in 0..6u64 {
            let first = 6 + token * 2;
            p.submit(&refs(&entries(first, first + 1, 1, 400)), token).unwrap();
            // The first write is under way, and will meet a bad block; the others wait for it.
            assert!(token > 0 || disk.wait_hung(1, Duration::from_secs(5)), "{mode:?}: nothing was written");
        }
        disk.make_unwritable(TAIL, 4096, 60 << 10);
        disk.release();
        let mut done = Vec::new();
        wait_for("all completions", Duration::from_secs(5), || {
            done.extend(engine.completions(10));
            done.len() == 6
        });
        wait_for("the fault", Duration::from_secs(5), || state(&p) == State::Unavailable);
        let last = p.bounds().unwrap().1;
        if mode == Mode::Sync {
            assert!(done.iter().all(|c| c.status == Status::IoError), "{done:?}");
            assert_eq!(last, 5, "an entry behind the failed one is in the log");
        }
        p.recover().unwrap();
        let found = p.bounds().unwrap().1;
        assert_eq!(found, if mode == Mode::Sync { 5 } else { 17 }, "{mode:?}");
        let wanted = [entries(1, 5, 1, 300), entries(6, found, 1, 400)].concat();
        assert_survives(&disk, mode, &wanted, &format!("seed {seed}"));
    }
}

/// Grafana Pyroscope 5307: a write to hashicorp's raft-wal took longer than raft waited, completed all the same, and the retry of its
/// index was refused for ever; the follower never caught up. Here the late write is abandoned with its segment: what is written in
/// its place counts, now and after a restart.
#[test]
fn pyroscope_5307_a_write_that_completes_after_its_timeout_is_not_in_the_way() {
    for (direct_io, seed) in [(true, 1), (true, 2), (false, 3), (false, 4)] {
        let disk = disk_of(seed, direct_io);
        let engine = engine_with_stall_limit(&disk, 150);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 5, 1, 300);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
        let late = append(&p, &entries(6, 9, 1, 2000)).expect_err("the write hangs");
        assert_eq!(late.status, Status::Stalled);
        assert_eq!(p.recover().map_err(|e| e.status), Err(Status::Busy), "never a second attempt beside the first");
        disk.release();
        wait_for("recovery", Duration::from_secs(5), || p.recover().is_ok());
        assert_eq!(p.bounds().unwrap(), (1, 5), "the late write is in the log");
        append(&p, &entries(6, 7, 2, 100)).unwrap();
        let wanted = [entries(1, 5, 1, 300), entries(6, 7, 2, 100)].concat();
        assert_survives(&disk, Mode::Sync, &wanted, &format!("direct {direct_io}"));
    }
}

/// NATS 8386 (8231): a block's lock was not given back after a write error; the stream hung until the restart. Here every call returns
/// after every failure, with the fault or with its result, and after recovery the partition works.
#[test]
fn nats_8386_every_call_returns_after_a_failed_write() {
    let kinds = [OpKind::Write, OpKind::Sync, OpKind::Create, OpKind::Allocate, OpKind::SyncDir, OpKind::Open];
    for ((mode, direct_io), kind) in modes_and_paths().flat_map(|m| kinds.map(|k| (m, k))) {
        let what = format!("{mode:?}, direct {direct_io}, {kind:?}");
        let disk = disk_of(1, direct_io);
        let (engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(kind).path("/p1"));
        let (q, d) = (p.clone(), disk.clone());
        let calls = move || {
            let began = Instant::now();
            for first in (6..120).step_by(3) {
                let _ = append_durably(&q, &entries(first, first + 2, 1, 3000));
            }
            let _ = (q.set_hard_state(hard(5, 1, 0)), q.compact(2), q.read(1, 5, 1 << 20), q.bounds(), q.verify());
            let _ = (q.recover(), q.status(), q.hard_state(), q.term(3), q.reset(1000, 9), q.sync());
            d.clear_faults();
            resume(&q);
            let last = q.bounds().map_or(0, |b| b.1);
            append_durably(&q, &entries(last + 1, last + 3, 9, 500)).map(|()| began.elapsed())
        };
        let done = returns_within(Duration::from_secs(10), &what, calls);
        let took = done.unwrap_or_else(|e| panic!("{what}: the writer is stuck: {e}"));
        assert!(took < Duration::from_millis(1_500), "{what}: took {took:?}, something waited for its limit");
        p.close().unwrap();
        engine.close().unwrap();
    }
}

/// etcd 14025: an entry larger than the limit of the decoder was accepted, acknowledged, and made every later start fail. Here the
/// limit of reading is a constant of the format above every configured one: a lowered `max_entry_bytes` refuses new entries only.
#[test]
fn etcd_14025_what_was_accepted_can_be_read_whatever_the_limit_is_now() {
    for (mode, close) in MODES.into_iter().flat_map(|m| [(m, true), (m, false)]) {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        let large: Vec<Entry> = entries(6, 6, 1, 15 << 20);
        append_durably(&p, &large).unwrap();
        if close {
            p.close().unwrap();
        }
        let disk = disk.crash(Crash::PowerNothing);
        let limits = bulkhead::EngineConfig { max_entry_bytes: 1 << 20, ..config() };
        let engine = bulkhead::Engine::with_storage(limits, std::sync::Arc::new(disk.clone())).unwrap();
        let config = PartitionConfig { disposition: Disposition::OpenExisting, ..partition_config("/p1", 1, mode) };
        let p = engine.open_partition(config).unwrap();
        let wanted = [entries(1, 5, 1, 300), large].concat();
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, closed {close}"));
        let refused = append(&p, &entries(7, 7, 1, 2 << 20)).map_err(|e| e.status);
        assert_eq!((refused, state(&p)), (Err(Status::EntryTooLarge), State::ReadWrite), "{mode:?}");
        append_durably(&p, &entries(7, 7, 1, 1 << 20)).unwrap();
    }
}
