//! What earlier repairs keep from happening again: each was found by a simulation or a review.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::support::field::{start, TAIL};
use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, EngineConfig, Mode, Op, State, Status};

/// The kernel reports a failed write-back once. Two syncs at the same time: one would hear of it, the other would say that all is durable.
#[test]
fn mode_none_syncs_one_at_a_time() {
    let disk = SimDisk::new(1);
    let (_engine, p) = start(&disk, Mode::None);
    append(&p, &entries(6, 6, 1, 300)).unwrap();
    let syncs = |d: &SimDisk| d.log().iter().filter(|r| r.kind == OpKind::Sync && r.path == TAIL).count();
    let before = syncs(&disk);
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(300))).on(OpKind::Sync).path(TAIL));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let own = p.clone();
            std::thread::spawn(move || own.sync())
        })
        .collect();
    callers.into_iter().for_each(|c| c.join().unwrap().unwrap());
    assert_eq!(syncs(&disk) - before, 1, "who waited finds everything durable");
}

/// A vote waits for its root while the partition is ReadOnly; a recovery by call fails and leaves it Unavailable. The caller is told that the vote
/// failed, so it must not be stored by a later root.
#[test]
fn a_vote_that_waited_when_read_only_became_unavailable_is_never_stored() {
    let disk = SimDisk::new(2);
    let config = EngineConfig { flush_threads_per_disk: 1, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    let other = open(&engine, "/p2", 2, Mode::Sync);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 5, 1, 300);
    append_each(&other, 1, 5, 1, 300);
    // ReadOnly: the tail is full and there is no space for the next segment.
    std::thread::sleep(Duration::from_millis(50));
    disk.set_free(0);
    let mut last = 5;
    while append(&p, &entries(last + 1, last + 1, 1, 3000)).is_ok() {
        last += 1;
    }
    assert_eq!(state(&p), State::ReadOnly, "{:?}", p.last_fault());
    // The only worker hangs with another partition, so the vote stays in the queue.
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/p2/seg-").once());
    let own = other.clone();
    let hanging = std::thread::spawn(move || append(&own, &entries(6, 6, 1, 300)));
    assert!(disk.wait_hung(1, Duration::from_secs(5)));
    let own = p.clone();
    let vote = std::thread::spawn(move || own.set_hard_state(hard(7, 7, 0)));
    std::thread::sleep(Duration::from_millis(100));
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Create).path("/p1/seg-").once());
    p.recover().expect_err("no segment can be made");
    assert_eq!(state(&p), State::Unavailable);
    assert_eq!(vote.join().unwrap().map_err(|e| e.status), Err(Status::IoError), "the vote was refused");
    disk.release();
    hanging.join().unwrap().unwrap();
    disk.set_free(20 << 20);
    p.recover().unwrap();
    append(&p, &entries(last + 1, last + 1, 1, 300)).unwrap();
    p.compact(2).unwrap();
    assert_eq!(p.hard_state().unwrap().term, 1, "a refused vote was stored");
    let after = disk.crash(Crash::PowerNothing);
    let engine = crate::support::engine(&after);
    assert_eq!(reopen(&engine, "/p1", 1, Mode::Sync).hard_state().unwrap().vote, 1, "a refused vote was stored");
}

/// A panic in the middle of a reset: appends are not kept away for ever.
#[test]
fn a_reset_that_panicked_ends_with_the_recovery() {
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(3);
        let (_engine, p) = start(&disk, mode);
        wait_for_quiet(&disk);
        disk.inject(Rule::new(Fault::Panic).on(OpKind::Write).path("/p1/root").once());
        match catch_unwind(AssertUnwindSafe(|| p.reset(9, 2))) {
            Ok(result) => assert_eq!(result.map_err(|e| e.status), Err(Status::Panic), "{mode:?}"),
            // On the caller's own thread: the boundary catches it and latches.
            Err(_) => p.latch_panic(Op::Reset),
        }
        p.recover().unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        assert_same(&read_all(&p).unwrap(), &entries(1, 5, 1, 300), "the reset did not happen");
        append(&p, &entries(6, 6, 1, 300)).unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        p.reset(9, 2).unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        append(&p, &entries(10, 10, 2, 300)).unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        p.close().unwrap();
    }
}
