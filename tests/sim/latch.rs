//! F1, F4, F6: a fault latches one partition, says what it was, and spares the others.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Error, Mode, Op, Partition, State, Status};

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];
/// The segment that `start` has begun: others are made ahead in the background.
const TAIL: &str = "/p1/seg-0000000000000001";

/// Every change is refused with the error that came first.
fn assert_latched(partition: &Partition, first: &Error, what: &str) {
    let last = partition.bounds().unwrap().1;
    let attempts = [
        ("append", append(partition, &entries(last + 1, last + 1, 9, 10))),
        ("truncating append", append(partition, &entries(last.max(1), last.max(1), 9, 10))),
        ("vote", partition.set_hard_state(hard(9, 2, 0))),
        ("compaction", partition.compact(2)),
        ("reset", partition.reset(50, 9)),
        ("sync", partition.sync()),
    ];
    for (name, result) in attempts {
        let error = result.err().unwrap_or_else(|| panic!("{what}: {name} was accepted after {first}"));
        assert_eq!(
            (error.status, error.errno, error.op),
            (first.status, first.errno, first.op),
            "{what}: {name} must repeat the first error"
        );
    }
    assert_eq!(partition.last_fault().map(|e| (e.status, e.errno)), Some((first.status, first.errno)), "{what}");
    assert_eq!(state(partition), State::Unavailable, "{what}");
}

fn start(disk: &SimDisk, mode: Mode) -> (bulkhead::Engine, std::sync::Arc<Partition>) {
    let engine = engine(disk);
    let partition = open(&engine, "/p1", 1, mode);
    partition.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&partition, 1, 5, 1, 300);
    partition.sync().unwrap();
    (engine, partition)
}

#[test]
fn f01_a_failed_write_latches_and_recover_brings_everything_back() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(TAIL).once());
        let tried = append(&p, &entries(6, 6, 1, 300));
        let first = tried.and_then(|()| p.sync()).expect_err("the write failed");
        assert_eq!((first.status, first.errno), (Status::IoError, libc::EIO));
        assert_latched(&p, &first, &format!("{mode:?}"));
        assert_same(&p.read(1, 6, u64::MAX).unwrap(), &entries(1, 5, 1, 300), "what was acknowledged stays readable");
        p.recover().unwrap();
        assert_eq!(state(&p), State::ReadWrite);
        let last = p.bounds().unwrap().1;
        assert!((5..=6).contains(&last));
        append_each(&p, last + 1, 9, 1, 300);
        assert_same(&read_all(&p).unwrap(), &entries(1, 9, 1, 300), "after recovery");
    }
}

#[test]
fn f01_a_failed_sync_latches_although_the_next_one_would_succeed() {
    for mode in MODES {
        let disk = SimDisk::with_config(2, SimConfig { direct_io: false, ..SimConfig::default() });
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path(TAIL).once());
        let tried = append(&p, &entries(6, 6, 1, 300));
        let first = tried.and_then(|()| p.sync()).expect_err("the sync failed");
        assert_eq!((first.status, first.errno), (Status::IoError, libc::EIO));
        assert_latched(&p, &first, &format!("{mode:?}"));
    }
}

#[test]
fn f01_a_failed_root_write_latches() {
    for mode in MODES {
        let disk = SimDisk::new(3);
        let (engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/p1/root").once());
        let first = p.set_hard_state(hard(2, 3, 0)).expect_err("the vote could not be stored");
        assert_eq!((first.status, first.errno, first.op), (Status::IoError, libc::EIO, Op::HardState));
        assert_latched(&p, &first, &format!("{mode:?}"));
        assert_eq!(
            engine.events(10).iter().filter(|e| e.to == State::Unavailable && e.cause == Cause::IoError).count(),
            1
        );
        p.recover().unwrap();
        assert_eq!(p.hard_state().unwrap().term, 1, "a vote that was refused was never given");
        p.set_hard_state(hard(2, 4, 0)).unwrap();
        let after = disk.crash(Crash::PowerNothing);
        let engine = crate::support::engine(&after);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(
            (p.hard_state().unwrap().term, p.hard_state().unwrap().vote),
            (2, 4),
            "the refused vote must not come back"
        );
    }
}

#[test]
fn f01_a_failed_directory_sync_latches_or_costs_nothing() {
    for (mode, skip) in MODES.into_iter().flat_map(|m| (0..4).map(move |s| (m, s))) {
        let disk = SimDisk::new(4);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).path("/p1").skip(skip).once());
        let (mut last, mut first_error) = (5, None);
        while last < 300 && first_error.is_none() {
            match append(&p, &entries(last + 1, last + 1, 1, 3000)) {
                Ok(()) => last += 1,
                Err(e) => first_error = Some(e),
            }
        }
        first_error = first_error.or_else(|| p.sync().err());
        if let Some(first) = &first_error {
            assert_latched(&p, first, &format!("{mode:?}, directory sync {skip}"));
        }
        // Whatever it did: a file whose entry was never made durable must not hold anything acknowledged as durable.
        if mode == Mode::Sync || first_error.is_none() {
            let after = disk.crash(Crash::PowerNothing);
            let engine = engine(&after);
            let p = reopen(&engine, "/p1", 1, mode);
            assert_eq!(state(&p), State::ReadWrite, "{:?}", p.last_fault());
            let found = read_all(&p).unwrap();
            assert!(
                found.len() as u64 >= last,
                "{mode:?}, directory sync {skip}: {} of {last} entries survive",
                found.len()
            );
        }
    }
}

#[test]
fn f04_a_panic_in_a_background_thread_latches_its_partition_only() {
    for (mode, kind) in [
        (Mode::Sync, OpKind::Write),
        (Mode::Interval, OpKind::Write),
        (Mode::Interval, OpKind::Sync),
        (Mode::None, OpKind::Write),
    ] {
        // Durable writes need no sync where there is direct I/O.
        let config = SimConfig { direct_io: kind != OpKind::Sync, ..SimConfig::default() };
        let disk = SimDisk::with_config(5, config);
        let (engine, p) = start(&disk, mode);
        let other = open(&engine, "/p2", 2, mode);
        disk.inject(Rule::new(Fault::Panic).on(kind).path(TAIL).once());
        let tried = catch_unwind(AssertUnwindSafe(|| append(&p, &entries(6, 6, 1, 300)).and_then(|()| p.sync())));
        match tried {
            Ok(result) => {
                let error = result.expect_err("the panic must not be swallowed");
                assert_eq!((error.status, error.cause()), (Status::Panic, Cause::Panic), "{mode:?} {kind:?}");
            }
            // On the caller's own thread: the boundary catches it and latches.
            Err(_) => p.latch_panic(Op::Append),
        }
        assert_eq!(p.status().cause, Cause::Panic, "{mode:?} {kind:?}");
        let refused = append(&p, &entries(6, 6, 1, 300)).expect_err("latched");
        assert_eq!(refused.status, Status::Panic);
        append_each(&other, 1, 20, 1, 300);
        other.sync().unwrap();
        assert_eq!(
            (state(&other), other.status().durable_index),
            (State::ReadWrite, 20),
            "the other partition goes on"
        );
        p.recover().unwrap();
        append_each(&p, p.bounds().unwrap().1 + 1, 10, 1, 300);
        assert_same(&read_all(&p).unwrap(), &entries(1, 10, 1, 300), "after recovery");
    }
}

/// In mode none the write runs on the caller's thread, and a panic in it goes to the caller. Whoever catches it, or does not: the partition is
/// latched by then, and nobody waits for a write that never ends.
#[test]
fn f04_a_panic_in_a_write_of_mode_none_latches_before_it_leaves_the_library() {
    // A batch that is copied together, and one that is written from where it is.
    for len in [300, 20_000] {
        let disk = SimDisk::new(5);
        let (engine, p) = start(&disk, Mode::None);
        let other = open(&engine, "/p2", 2, Mode::None);
        wait_for_quiet(&disk);
        engine.events(100);
        disk.inject(Rule::new(Fault::Panic).on(OpKind::Write).path(TAIL).once());
        let own = p.clone();
        let thread = std::thread::spawn(move || append(&own, &entries(6, 6, 1, len)));
        assert!(thread.join().is_err(), "the panic ends the thread that called");
        assert_eq!((p.status().state, p.status().cause), (State::Unavailable, Cause::Panic));
        let told = engine.events(100);
        assert!(
            told.iter().any(|e| (e.partition_id, e.to, e.cause) == (1, State::Unavailable, Cause::Panic)),
            "{told:?}"
        );
        let began = std::time::Instant::now();
        assert_latched(&p, &p.last_fault().unwrap(), "after the panic");
        assert!(began.elapsed() < Duration::from_secs(1), "somebody waited for the write: {:?}", began.elapsed());
        assert_eq!(p.last_fault().map(|e| e.status), Some(Status::Panic));
        append_each(&other, 1, 20, 1, len);
        assert_eq!(state(&other), State::ReadWrite, "the other partition goes on");
        p.recover().unwrap();
        assert_same(&read_all(&p).unwrap(), &entries(1, 5, 1, 300), "what was acknowledged, without what was not");
        append_each(&p, 6, 10, 1, 300);
        assert_same(&read_all(&p).unwrap(), &entries(1, 10, 1, 300), "after recovery");
    }
}

#[test]
fn f04_a_panic_while_space_is_allocated_ahead_spares_the_others() {
    for kind in [OpKind::Create, OpKind::Allocate, OpKind::Rename, OpKind::SyncDir, OpKind::Unlink] {
        let disk = SimDisk::new(6);
        let (engine, p) = start(&disk, Mode::Sync);
        // Its flushes are started by the thread that panics.
        let other = open(&engine, "/p2", 2, Mode::Interval);
        disk.inject(Rule::new(Fault::Panic).on(kind).path("/p1").once());
        let mut last = 5;
        let crossed = catch_unwind(AssertUnwindSafe(|| {
            while last < 200 && append(&p, &entries(last + 1, last + 1, 1, 3000)).is_ok() {
                last += 1;
                if last % 20 == 0 && p.compact(last - 10).is_err() {
                    break;
                }
            }
        }));
        if crossed.is_err() {
            p.latch_panic(Op::Append);
        }
        append_each(&other, 1, 100, 1, 3000);
        wait_for("the other partition's interval", Duration::from_secs(2), || other.status().durable_index == 100);
        assert_eq!(state(&other), State::ReadWrite, "{kind:?}");
        drop(p);
        engine.close().unwrap();
    }
}

#[test]
fn f06_causes_are_typed() {
    let rows = [
        (libc::EIO, Status::IoError, Cause::IoError, State::Unavailable),
        (libc::EROFS, Status::ReadOnlyFilesystem, Cause::ReadOnlyFilesystem, State::Unavailable),
        (libc::ENOSPC, Status::NoSpace, Cause::NoSpace, State::ReadOnly),
        (libc::EDQUOT, Status::NoSpace, Cause::NoSpace, State::ReadOnly),
        (libc::EMFILE, Status::ResourceExhausted, Cause::Resource, State::Unavailable),
        (libc::ENOMEM, Status::ResourceExhausted, Cause::Resource, State::Unavailable),
        (libc::ENODEV, Status::IoError, Cause::IoError, State::Unavailable),
    ];
    for (errno, status, cause, state) in rows {
        let disk = SimDisk::new(7);
        let (engine, p) = start(&disk, if cause == Cause::NoSpace { Mode::None } else { Mode::Sync });
        engine.events(100);
        disk.inject(Rule::errno(errno).on(OpKind::Write).path(TAIL));
        let error = append(&p, &entries(6, 6, 1, 10)).expect_err("the write failed");
        assert_eq!((error.status, error.errno, error.partition_id), (status, errno, 1));
        let now = p.status();
        assert_eq!((now.state, now.cause, now.errno, now.op), (state, cause, errno, error.op));
        let events = engine.events(100);
        let event = events.last().unwrap_or_else(|| panic!("errno {errno}: no event"));
        assert_eq!(
            (event.partition_id, event.from, event.to, event.cause, event.errno),
            (1, State::ReadWrite, state, cause, errno)
        );
    }
}

#[test]
fn f06_an_interrupted_call_is_tried_again() {
    for mode in MODES {
        let disk = SimDisk::new(8);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EINTR).on(OpKind::Write).times(3));
        append(&p, &entries(6, 6, 1, 10)).unwrap();
        wait_for("the write to be tried again", Duration::from_secs(2), || {
            p.sync().is_ok() && disk.faults_fired() == 3
        });
        assert_eq!(state(&p), State::ReadWrite);
    }
}
