//! A process that has no thread to give: partitions go on with those that are there, an open says what is missing, and what waits for a
//! thread gets it when there are some again. Alone in its program: the limit is the process's, and so is the user.

mod support;

use std::time::Duration;

use bulkhead::io::sim::{OpKind, Rule, SimDisk};
use bulkhead::{Mode, State, Status};
use support::*;

/// Root is not limited.
fn become_somebody() {
    const NOBODY_ELSE: libc::uid_t = 54_321;
    // SAFETY: no memory is involved.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setuid(NOBODY_ELSE), 0);
        }
    }
}

fn allow_threads(allowed: bool) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: limit is valid for the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NPROC, &mut limit), 0);
        limit.rlim_cur = if allowed { limit.rlim_max } else { 1 };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NPROC, &limit), 0);
    }
    assert_eq!(std::thread::Builder::new().spawn(|| ()).is_ok(), allowed, "the limit does not count");
}

#[test]
fn a_process_without_threads_to_give_stalls_no_partition_and_heals_when_there_are_some() {
    become_somebody();
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let partitions = [1, 2].map(|id| open(&engine, &format!("/p{id}"), id, Mode::Sync));
    let other = healing_engine(&disk);
    allow_threads(false);
    for p in &partitions {
        append(p, &entries(1, 3, 1, 100)).unwrap_or_else(|e| panic!("{e}"));
    }
    let refused = try_open(&other, "/other", 3, Mode::Sync).map(|p| p.status()).expect_err("its disk has no thread");
    assert_eq!(refused.status, Status::ResourceExhausted, "{refused}");
    let hook = engine.set_log_hook(Some(Box::new(|_| ()))).expect_err("there is no thread for it");
    assert_eq!(hook.status, Status::ResourceExhausted, "{hook}");
    // A fault that passes: what is to bring the partition back has no thread.
    disk.inject(Rule::errno(libc::EIO).path("/p1/").on(OpKind::Write));
    append(&partitions[0], &entries(4, 4, 1, 100)).expect_err("no write goes through");
    disk.clear_faults();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(state(&partitions[0]), State::Unavailable);
    allow_threads(true);
    wait_for("the partition", Duration::from_secs(3), || state(&partitions[0]) == State::ReadWrite);
    assert_eq!(state(&open(&other, "/other", 3, Mode::Sync)), State::ReadWrite, "the same open, again");
    for p in &partitions {
        let next = p.bounds().unwrap().1 + 1;
        append(p, &entries(next, next, 1, 100)).unwrap();
        assert_eq!(state(p), State::ReadWrite);
    }
}
