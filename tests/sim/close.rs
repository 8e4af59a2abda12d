//! F18, F20: what a close leaves is what the calls before it were told.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Engine, EngineConfig, EntryRef, Mode, State, Status};

/// A vote beside a close, while the disk is busy with the root: it has a write of its own, or is refused. In the write of the clean root it
/// would be shown by the next open, also if that write has failed and a power cut takes it.
#[test]
fn f18_a_clean_root_holds_no_vote_that_was_refused() {
    let cases = [(Mode::None, false), (Mode::None, true), (Mode::Sync, false), (Mode::Sync, true)];
    // What of a failed flush is durable all the same is left to chance.
    for ((mode, close_first), seed) in cases.into_iter().flat_map(|case| (1..13).map(move |seed| (case, seed))) {
        let what = format!("{mode:?}, close first: {close_first}, seed {seed}");
        let disk = SimDisk::with_config(seed, SimConfig { direct_io: false, ..SimConfig::default() });
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        p.sync().unwrap();
        wait_for_quiet(&disk);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/p1/root").once());
        // Its bytes can be read all the same.
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/p1/root").skip(1));
        let (voted, late) = std::thread::scope(|scope| {
            let before = scope.spawn(|| p.set_hard_state(hard(2, 2, 0)));
            assert!(disk.wait_hung(1, Duration::from_secs(5)));
            let close = || scope.spawn(|| p.close());
            let vote = || scope.spawn(|| p.set_hard_state(hard(3, 3, 0)));
            let pause = || std::thread::sleep(Duration::from_millis(60));
            let (late, closing) = if close_first {
                let closing = close();
                pause();
                (vote(), closing)
            } else {
                let late = vote();
                pause();
                (late, close())
            };
            pause();
            disk.release();
            let _ = closing.join().unwrap();
            (before.join().unwrap(), late.join().unwrap())
        });
        voted.unwrap_or_else(|e| panic!("{what}: {e}"));
        late.expect_err("a vote that is not durable");
        let left = disk.crash(Crash::Process);
        left.clear_faults();
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
        let shown = p.hard_state().unwrap();
        let third = engine(&left.crash(Crash::PowerNothing));
        assert_eq!(reopen(&third, "/p1", 1, mode).hard_state().unwrap(), shown, "{what}: a power cut took a vote");
    }
}

/// An append beside a close that waits for the disk: the end that the clean root says may be taken.
#[test]
fn f18_an_append_beside_a_close_is_refused_as_closed() {
    for mode in [Mode::None, Mode::Interval, Mode::Sync] {
        let disk = SimDisk::new(3);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        p.sync().unwrap();
        wait_for_quiet(&disk);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/p1/root").once());
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| p.close());
            assert!(disk.wait_hung(1, Duration::from_secs(5)));
            let refused = append(&p, &entries(4, 4, 1, 100)).map_err(|e| e.status);
            disk.release();
            closing.join().unwrap().unwrap();
            assert_eq!(refused, Err(Status::Closed), "{mode:?}: it is being closed");
        });
    }
}

/// The directory is not free while a recovery goes on: it writes the root before it looks whether the log is closed.
#[test]
fn f23_a_close_beside_a_recovery_does_not_say_that_the_directory_is_free() {
    let disk = SimDisk::new(1);
    let limits = |stall_limit_ms| EngineConfig {
        segment_min_bytes: 64 << 20,
        segment_max_bytes: 64 << 20,
        stall_limit_ms,
        slow_disk_ms: 0,
        ..config()
    };
    let engine_of = |disk: &SimDisk, config| Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let first = engine_of(&disk, limits(60_000));
    let p = open(&first, "/p1", 1, Mode::None);
    for batch in 0..100u64 {
        let one = |i: u64| EntryRef { index: batch * 4000 + i, term: 1, kind: 0, data: b"many small ones take long" };
        p.append(&(1..=4000).map(one).collect::<Vec<_>>()).unwrap();
    }
    let left = disk.crash(Crash::Process);
    left.inject(Rule::errno(libc::EIO).on(OpKind::Open).path("/seg-"));
    let second = engine_of(&left, limits(100));
    let p = open(&second, "/p1", 1, Mode::None);
    assert_eq!(state(&p), State::Unavailable);
    left.clear_faults();
    let changes = || [OpKind::Rename, OpKind::Write, OpKind::Sync].map(|kind| left.count(kind));
    std::thread::scope(|scope| {
        let recovery = scope.spawn(|| p.recover());
        wait_for("a recovery", Duration::from_secs(5), || state(&p) == State::Recovering);
        let closed = p.close().map_err(|e| e.status);
        let (over, before) = (recovery.is_finished(), changes());
        let _ = recovery.join().unwrap();
        assert!(closed == Err(Status::Busy) || over || before == changes(), "{closed:?}, and it went on");
        println!("{closed:?}, over: {over}");
    });
    // It is over: the directory is free.
    assert_eq!(state(&open(&second, "/p1", 1, Mode::None)), State::ReadWrite);
}
