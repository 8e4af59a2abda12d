//! F8: no space is a state that passes, not a failure that stays, and leaves nothing half written in the log.

use std::time::Duration;

use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Mode, Partition, State, Status};

/// Appends until the disk is full; returns the last index that was acknowledged.
fn fill(p: &Partition, disk: &SimDisk, from: u64) -> u64 {
    disk.set_free(200 << 10);
    let mut last = from;
    loop {
        match append(p, &entries(last + 1, last + 3, 1, 2000)) {
            Ok(()) => last += 3,
            Err(e) => {
                assert_eq!(e.status, Status::NoSpace, "{e}");
                return last;
            }
        }
        assert!(last < 10_000, "the disk never gets full");
    }
}

/// Space is back: the partition resumes by itself or by call.
fn resume(p: &Partition) {
    let end = std::time::Instant::now() + Duration::from_millis(100);
    while state(p) != State::ReadWrite && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    if state(p) != State::ReadWrite {
        p.recover().unwrap();
    }
}

#[test]
fn f08_a_full_disk_is_read_only_readable_and_retryable() {
    for (mode, full_errno) in
        [(Mode::None, libc::ENOSPC), (Mode::Sync, libc::ENOSPC), (Mode::None, libc::EDQUOT), (Mode::Sync, libc::EDQUOT)]
    {
        let disk = SimDisk::with_config(1, SimConfig { full_errno, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 2000);
        let last = fill(&p, &disk, 10);
        assert_eq!(
            (p.status().state, p.status().cause, p.status().errno),
            (State::ReadOnly, Cause::NoSpace, full_errno)
        );
        assert_eq!(p.bounds().unwrap(), (1, last));
        assert_same(&read_all(&p).unwrap(), &entries(1, last, 1, 2000), "a full disk can be read");
        let again = append(&p, &entries(last + 1, last + 1, 1, 2000)).expect_err("still full");
        assert_eq!(again.status, Status::NoSpace);

        disk.set_free(10 << 20);
        resume(&p);
        append(&p, &entries(last + 1, last + 3, 1, 2000)).unwrap();
        p.sync().unwrap();
        assert_same(&read_all(&p).unwrap(), &entries(1, last + 3, 1, 2000), "after space came back");
        for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom] {
            let after = disk.fork().crash(how);
            let engine = crate::support::engine(&after);
            let p = reopen(&engine, "/p1", 1, mode);
            assert_eq!(
                (state(&p), p.status().damaged),
                (State::ReadWrite, (0, 0, 0)),
                "partial bytes stand before good ones: {:?}",
                p.last_fault()
            );
            assert_same(&read_all(&p).unwrap(), &entries(1, last + 3, 1, 2000), "after a crash");
        }
    }
}

/// What would replace a suffix needs the term before it, which nobody has read since the open: the reason comes first.
#[test]
fn f08_an_append_to_a_full_disk_is_told_so_without_a_read() {
    for mode in [Mode::None, Mode::Sync] {
        let disk = SimDisk::new(7);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 2000);
        p.close().unwrap();
        let p = reopen(&engine, "/p1", 1, mode);
        let last = fill(&p, &disk, 10);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Open).on(OpKind::Read).path("/seg-"));
        let refused = append(&p, &entries(5, 5, 1, 2000)).expect_err("still full");
        assert_eq!(refused.status, Status::NoSpace, "{mode:?}: {refused}");
        assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadOnly, (1, last)));
    }
}

#[test]
fn f08_a_partial_append_never_precedes_good_entries() {
    // The write that fails has left bytes behind: of one record, of several, of none.
    for (mode, short) in [Mode::None, Mode::Sync].into_iter().flat_map(|m| [0, 10, 56, 512, 4096, 5000].map(|s| (m, s)))
    {
        let disk = SimDisk::new(2);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 100);
        disk.inject(
            Rule::new(bulkhead::io::sim::Fault::Short(short)).on(OpKind::Write).path("/p1/seg-0000000000000001").once(),
        );
        disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Write).path("/p1/seg-0000000000000001").once());
        let tried = append(&p, &entries(11, 14, 1, 2000));
        disk.clear_faults();
        let mut wanted = entries(1, 10, 1, 100);
        if tried.is_err() {
            resume(&p);
            append(&p, &entries(11, 12, 2, 50)).unwrap();
            wanted.extend(entries(11, 12, 2, 50));
        } else {
            wanted.extend(entries(11, 14, 1, 2000));
        }
        p.sync().unwrap();
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, {short} bytes written"));
        let after = disk.crash(Crash::PowerNothing);
        let engine = crate::support::engine(&after);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?}, {short}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &wanted, &format!("{mode:?}, {short} bytes written, after a power cut"));
    }
}

#[test]
fn f08_votes_and_compaction_work_on_a_full_disk() {
    for mode in [Mode::None, Mode::Sync] {
        let disk = SimDisk::new(3);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        p.set_hard_state(hard(1, 1, 0)).unwrap();
        append_each(&p, 1, 10, 1, 2000);
        let last = fill(&p, &disk, 10);
        disk.set_free(0);
        p.set_hard_state(hard(5, 2, 8)).unwrap();
        p.compact(last - 2).unwrap();
        assert_eq!(p.bounds().unwrap(), (last - 1, last));
        let after = disk.fork().crash(Crash::PowerNothing);
        after.set_free(0);
        let engine = crate::support::engine(&after);
        let p = reopen(&engine, "/p1", 1, mode);
        let stored = p.hard_state().unwrap();
        assert_eq!((stored.term, stored.vote), (5, 2), "a vote given on a full disk is durable, {:?}", p.last_fault());
    }
}

#[test]
fn f08_no_space_from_a_flush_is_a_failed_flush() {
    let disk = SimDisk::with_config(4, SimConfig { direct_io: false, ..SimConfig::default() });
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 5, 1, 100);
    disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Sync).path("/p1/seg-0000000000000001").once());
    append(&p, &entries(6, 6, 1, 100)).expect_err("the flush failed");
    assert_eq!(state(&p), State::Unavailable, "data was at stake: this is not the milder case");
    assert!(append(&p, &entries(6, 6, 1, 100)).is_err());
}

#[test]
fn f08_a_close_that_drops_acknowledged_entries_says_so() {
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(5);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 3, 1, 100);
        p.sync().unwrap();
        disk.set_free(0);
        let mut last = 3;
        while last < 500 && append(&p, &entries(last + 1, last + 1, 1, 2000)).is_ok() {
            last += 1;
            if mode == Mode::Interval {
                std::thread::sleep(Duration::from_millis(1)); // its flush meets the full disk
            }
        }
        assert!(last < 500, "{mode:?}: the disk never gets full");
        let closed = p.close();
        disk.set_free(10 << 20);
        let p = reopen(&engine, "/p1", 1, mode);
        let found = p.bounds().unwrap().1;
        assert!(found == last || closed.is_err(), "{mode:?}: close was fine, {last} acknowledged, {found} there");
        assert_same(&read_all(&p).unwrap()[3..], &entries(4, found, 1, 2000), "what is there");
    }
}
