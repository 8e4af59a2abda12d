//! F9: on a completely full filesystem open, read, vote, compact, close and recover work.

use std::sync::Arc;

use crate::support::field::*;
use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Op, Partition, State, Status};

/// A log of several segments with a vote, all durable, on a disk that has no block left.
fn full(mode: Mode, direct_io: bool, close: bool, how: Crash) -> SimDisk {
    let disk = disk_of(1, direct_io);
    let (_engine, p) = start(&disk, mode);
    for first in (6..60).step_by(3) {
        append_durably(&p, &entries(first, first + 2, 1, 3000)).unwrap();
    }
    if close {
        p.close().unwrap();
    }
    let disk = disk.crash(how);
    disk.set_free(0);
    disk
}

fn log() -> Vec<bulkhead::Entry> {
    [entries(1, 5, 1, 300), entries(6, 59, 1, 3000)].concat()
}

/// An open that writes anew what it cannot know to be on the medium: that takes a segment.
fn rescues(direct_io: bool, close: bool) -> bool {
    !direct_io && !close
}

fn each_full_disk(mut test: impl FnMut(Mode, SimDisk, &str)) {
    for (mode, direct_io) in modes_and_paths() {
        for (close, how) in [true, false].into_iter().flat_map(|c| CRASHES.map(|h| (c, h))) {
            if rescues(direct_io, close) {
                continue;
            }
            let what = format!("{mode:?}, direct {direct_io}, closed {close}, {how:?}");
            test(mode, full(mode, direct_io, close, how), &what);
        }
    }
}

/// Appends until it is refused: the first append of an opening needs a segment.
fn fill(p: &Arc<Partition>, what: &str) -> u64 {
    for _ in 0..200 {
        let last = p.bounds().unwrap().1;
        if let Err(e) = append_durably(p, &entries(last + 1, last + 1, 2, 3000)) {
            assert_eq!(e.status, Status::NoSpace, "{what}: {e}");
            return p.bounds().unwrap().1;
        }
    }
    panic!("{what}: the disk is not full");
}

#[test]
fn f09_a_log_on_a_full_disk_opens_reads_votes_compacts_and_closes() {
    each_full_disk(|mode, disk, what| {
        for round in 0..2u64 {
            let (engine, p) = assert_opens_with(&disk, mode, &log()[round as usize * 10..], what);
            for term in 1..=5 {
                let vote = hard(2 + round * 10 + term, term, 0);
                p.set_hard_state(hard(vote.term, vote.vote, p.hard_state().unwrap().commit))
                    .unwrap_or_else(|e| panic!("{what}: a vote needs space: {e}"));
            }
            p.compact(round * 10 + 10).unwrap_or_else(|e| panic!("{what}: compaction needs space: {e}"));
            disk.set_free(0); // what compaction has freed is gone to somebody else
            assert_same(&read_all(&p).unwrap(), &log()[round as usize * 10 + 10..], what);
            assert_eq!(p.term(40).unwrap(), 1, "{what}");
            p.verify().unwrap_or_else(|e| panic!("{what}: verify needs space: {e}"));
            p.close().unwrap_or_else(|e| panic!("{what}: close needs space: {e}"));
            engine.close().unwrap();
            disk.set_free(0);
        }
        let after = disk.crash(Crash::PowerNothing);
        after.set_free(0);
        let (_engine, p) = assert_opens_with(&after, mode, &log()[20..], what);
        let stored = p.hard_state().unwrap();
        assert_eq!((stored.term, stored.vote), (17, 5), "{what}: a vote given on a full disk is durable");
    });
}

#[test]
fn f09_a_refused_append_takes_nothing_else_with_it() {
    each_full_disk(|mode, disk, what| {
        let engine = engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        let last = fill(&p, what);
        let writable = mode == Mode::Interval; // its flush had acknowledged entries at stake
        if !writable {
            assert_eq!(state(&p), State::ReadOnly, "{what}: {:?}", p.last_fault());
            p.set_hard_state(hard(9, 3, 0)).unwrap_or_else(|e| panic!("{what}: a vote needs space: {e}"));
            p.compact(30).unwrap_or_else(|e| panic!("{what}: compaction needs space: {e}"));
        }
        disk.set_free(0);
        assert_same(&read_all(&p).unwrap()[..20], &log()[p.bounds().unwrap().0 as usize - 1..][..20], what);
        let before = state(&p);
        let recovered = p.recover();
        if let Err(e) = &recovered {
            assert_eq!((e.status, state(&p)), (Status::NoSpace, before), "{what}: {e}");
        }
        disk.set_free(20 << 20);
        resume(&p);
        assert_eq!(p.bounds().unwrap().1, last, "{what}");
        append_durably(&p, &entries(last + 1, last + 3, 9, 3000)).unwrap();
        if !writable {
            let kept = [&log()[30..], &entries(60, last, 2, 3000), &entries(last + 1, last + 3, 9, 3000)].concat();
            assert_survives(&disk, mode, &kept, what);
        }
    });
}

/// Without a reserve (it is made a second after the first open) nothing can be made: recover says so, at once, and costs nothing.
#[test]
fn f09_recover_on_a_full_disk_answers_and_takes_nothing() {
    each_full_disk(|mode, disk, what| {
        let engine = engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        p.recover().unwrap_or_else(|e| panic!("{what}: nothing is wrong right after the open: {e}"));
        p.set_hard_state(hard(7, 2, 0)).unwrap_or_else(|e| panic!("{what}: a vote before any append: {e}"));
        let last = fill(&p, what);
        disk.set_free(0);
        let used = disk.used_bytes();
        for _ in 0..3 {
            assert_eq!(p.recover().map_err(|e| e.status), Err(Status::NoSpace), "{what}");
            assert_eq!(disk.used_bytes(), used, "{what}: what failed takes space");
        }
        // Also where a flush had acknowledged entries at stake: they are in memory, and only space is missing.
        assert_eq!(state(&p), State::ReadOnly, "{what}: {:?}", p.last_fault());
        assert_eq!(p.bounds().unwrap(), (1, last), "{what}");
        assert_same(&read_all(&p).unwrap()[..59], &log(), what);
        p.set_hard_state(hard(8, 3, 0)).unwrap_or_else(|e| panic!("{what}: a vote in ReadOnly: {e}"));
        p.compact(30).unwrap_or_else(|e| panic!("{what}: a compaction in ReadOnly: {e}"));
        p.reset(100, 8).unwrap_or_else(|e| panic!("{what}: a truncation to a snapshot in ReadOnly: {e}"));
        assert_eq!(p.bounds().unwrap(), (101, 100), "{what}");
        let _ = p.close();
        disk.set_free(20 << 20);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!((p.bounds().unwrap(), p.hard_state().unwrap().vote), ((101, 100), 3), "{what}");
        append_durably(&p, &entries(101, 103, 8, 300)).unwrap();
    });
}

/// An open that has to write anew what only the page cache may have needs a segment. It waits for that, and serves all else.
#[test]
fn f09_an_unclean_end_opens_on_a_full_disk_and_waits_for_space() {
    let without_direct_io = MODES.into_iter().flat_map(|m| CRASHES.map(|h| (m, full(m, false, false, h), log(), h)));
    let disk = disk_of(1, true);
    let (_engine, p) = start(&disk, Mode::None);
    append(&p, &entries(6, 9, 1, 3000)).unwrap();
    let disk = disk.crash(Crash::Process);
    disk.set_free(0);
    let cached = [entries(1, 5, 1, 300), entries(6, 9, 1, 3000)].concat();
    for (mode, disk, log, how) in without_direct_io.chain([(Mode::None, disk, cached, Crash::Process)]) {
        let what = format!("{mode:?}, {how:?}");
        let engine = engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        // A spare that the crash left behind makes room for one.
        let waits = state(&p) != State::ReadWrite;
        if waits {
            assert_eq!((state(&p), p.status().cause), (State::ReadOnly, Cause::NoSpace), "{what}");
        }
        assert_same(&read_all(&p).unwrap(), &log, &what);
        p.set_hard_state(hard(9, 3, 0)).unwrap_or_else(|e| panic!("{what}: a vote: {e}"));
        p.compact(3).unwrap_or_else(|e| panic!("{what}: a compaction: {e}"));
        // What housekeeping lets go of meanwhile may be room enough.
        let recovered = p.recover().map_err(|e| e.status);
        assert!(recovered.is_ok() || waits && recovered == Err(Status::NoSpace), "{what}: {recovered:?}");
        p.close().unwrap_or_else(|e| panic!("{what}: close: {e}"));
        disk.set_free(0);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(p.hard_state().unwrap().vote, 3, "{what}: a vote given on a full disk");
        disk.set_free(20 << 20);
        p.recover().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_survives(&disk, mode, &log[3..], &what);
    }
}

/// Found by a random history: a ReadOnly partition compacts, and reads a segment for that. A read that fails is told as what it is, not as the
/// fault that made it ReadOnly, and nothing latches for it.
#[test]
fn f09_a_compaction_on_a_full_disk_tells_the_read_that_failed() {
    for mode in MODES {
        let disk = full(mode, true, true, Crash::Process);
        let (_engine, p) = assert_opens_with(&disk, mode, &log(), "a full disk");
        let last = fill(&p, "a full disk");
        assert_eq!(state(&p), State::ReadOnly);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Read).path(TAIL));
        let failed = p.compact(10).expect_err("the term of entry 10 is in a segment that was not read yet");
        assert_eq!((failed.status, failed.errno, failed.op), (Status::IoError, libc::EIO, Op::Read), "{mode:?}");
        assert_eq!((state(&p), p.last_fault().map(|e| e.status)), (State::ReadOnly, Some(Status::NoSpace)), "{mode:?}");
        let refused = append(&p, &entries(last + 1, last + 1, 2, 3000)).expect_err("still full");
        assert_eq!(refused.status, Status::NoSpace, "{mode:?}");
        disk.clear_faults();
        p.compact(10).unwrap();
        assert_eq!(p.bounds().unwrap(), (11, last), "{mode:?}");
    }
}

/// A wait for space that is longer than the stall limit: no call hangs, and a disk that is full is not called one that does not answer.
#[test]
fn f09_a_wait_for_space_beyond_the_stall_limit_ends_as_no_space() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { space_wait_ms: 3000, stall_limit_ms: 300, probe_ms: 0, ..healing_config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 3, 1, 100);
    wait_for_quiet(&disk);
    disk.set_free(0);
    let error = (4..).find_map(|n| append(&p, &entries(n, n, 1, 4000)).err()).unwrap();
    assert_eq!((error.status, state(&p)), (Status::NoSpace, State::ReadOnly), "{error}");
    p.set_hard_state(hard(5, 1, 0)).unwrap();
}

/// What only the page cache has waits for space to be written anew. Until then no root says that the log ends behind it.
#[test]
fn f09_a_vote_beside_a_wait_for_space_does_not_vouch_for_the_page_cache() {
    for (mode, direct_io, reopened_in) in
        [(Mode::None, true, Mode::None), (Mode::None, true, Mode::Sync), (Mode::Interval, false, Mode::Interval)]
    {
        for (compacts, how) in [(false, Crash::PowerNothing), (true, Crash::PowerNothing), (false, Crash::Process)] {
            let what = format!("{mode:?}, {reopened_in:?}, compacts: {compacts}, {how:?}");
            let disk = disk_of(1, direct_io);
            let (_engine, p) = start(&disk, mode);
            append(&p, &entries(6, 6, 1, 300)).unwrap();
            wait_for_quiet(&disk);
            append_each(&p, 7, 9, 1, 3000);
            disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/p1/seg-").once());
            p.sync().unwrap_err();
            let durable = p.status().durable_index;
            assert!(durable < 9, "{what}: {durable}");
            let disk = disk.crash(Crash::Process);
            disk.set_free(0);
            disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Create).path("/p1/seg-"));
            let waiting = engine(&disk);
            let p = reopen(&waiting, "/p1", 1, reopened_in);
            assert_eq!((state(&p), p.bounds().unwrap().1), (State::ReadOnly, 9), "{what}");
            match compacts {
                true => p.compact(3).unwrap(),
                false => p.set_hard_state(hard(9, 3, 0)).unwrap(),
            }
            let left = disk.crash(how);
            left.clear_faults();
            left.set_free(20 << 20);
            let again = engine(&left);
            let p = reopen(&again, "/p1", 1, reopened_in);
            // Of a sync that failed a part may be on the medium.
            let may_be = if how == Crash::Process { 9..=9 } else { durable..=8 };
            let last = p.bounds().unwrap().1;
            assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
            assert!(may_be.contains(&last), "{what}: {last}, {may_be:?}");
            assert_eq!(p.status().damaged, Default::default(), "{what}");
            assert_eq!(read_all(&p).unwrap().last().map(|e| e.index), Some(last), "{what}");
            append_durably(&p, &entries(last + 1, last + 3, 9, 300)).unwrap();
        }
    }
}
