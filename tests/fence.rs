//! Fencing by hand: an operator's word holds, whatever the disk, probes and recover do, and costs nothing that was acknowledged.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Op, State, Status};
use support::field::*;
use support::*;

#[test]
fn a_fenced_partition_refuses_with_the_reason_until_it_is_released() {
    for (mode, to) in MODES.into_iter().flat_map(|m| [(m, State::ReadOnly), (m, State::Unavailable)]) {
        let what = format!("{mode:?}, {to:?}");
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, mode);
        append(&p, &entries(6, 9, 1, 100)).unwrap();
        engine.events(100);
        p.fence(to, "the disk is to be replaced").unwrap();
        let status = p.status();
        assert_eq!((status.state, status.cause, status.op), (to, Cause::Fenced, Op::Fence), "{what}");
        let refused = append(&p, &entries(10, 10, 1, 10)).expect_err("it is fenced");
        assert_eq!(refused.status, Status::Fenced, "{what}");
        assert!(refused.message.contains("the disk is to be replaced"), "{what}: {}", refused.message);
        assert_eq!(p.set_hard_state(hard(2, 1, 0)).is_ok(), to == State::ReadOnly, "{what}: votes");
        assert_same(&read_all(&p).unwrap(), &[entries(1, 5, 1, 300), entries(6, 9, 1, 100)].concat(), &what);
        assert_eq!(p.recover().map_err(|e| e.status), Err(Status::Fenced), "{what}: recover is not release");
        let event = engine.events(100).pop().expect("an event");
        assert_eq!(
            (event.from, event.to, event.cause, event.op),
            (State::ReadWrite, to, Cause::Fenced, Op::Fence),
            "{what}"
        );
        assert_eq!(p.status().counters.errors, 0, "{what}: nothing failed");
        p.release().unwrap();
        assert_eq!(state(&p), State::ReadWrite, "{what}");
        assert_eq!(engine.events(100).pop().map(|e| e.to), Some(State::ReadWrite), "{what}");
        append_durably(&p, &entries(10, 12, 2, 10)).unwrap();
        let all = [entries(1, 5, 1, 300), entries(6, 9, 1, 100), entries(10, 12, 2, 10)].concat();
        assert_survives(&disk, mode, &all, &what);
        p.release().unwrap();
    }
}

#[test]
fn what_was_accepted_before_a_fence_is_durable() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        append(&p, &entries(6, 9, 1, 100)).unwrap();
        p.fence(State::Unavailable, "").unwrap();
        assert_survives(&disk, mode, &[entries(1, 5, 1, 300), entries(6, 9, 1, 100)].concat(), "fenced");
    }
}

/// Mode interval has acknowledged them: the fence holds, they stay in memory, and the status says that they are not durable yet.
#[test]
fn a_fence_on_a_full_disk_takes_nothing_of_what_was_accepted() {
    for to in [State::ReadOnly, State::Unavailable] {
        let disk = SimDisk::new(1);
        let engine = healing_engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Interval);
        append_each(&p, 1, 5, 1, 300);
        p.sync().unwrap();
        disk.set_free(0);
        let mut last = 5;
        while append(&p, &entries(last + 1, last + 1, 1, 2000)).is_ok() {
            last += 1;
            assert!(last < 5_000, "{to:?}: the disk is full");
        }
        p.fence(to, "full").unwrap();
        assert_eq!((state(&p), p.bounds().unwrap()), (to, (1, last)), "{to:?}");
        assert!(p.status().durable_index < last, "{to:?}: the test does not test");
        disk.set_free(20 << 20);
        if to == State::ReadOnly {
            // The fault is there still, and heals.
            wait_for("the fence behind the fault", Duration::from_secs(3), || p.status().cause == Cause::Fenced);
            assert_eq!(p.status().durable_index, last);
        }
        assert_eq!(
            append(&p, &entries(last + 1, last + 1, 1, 10)).map_err(|e| e.status),
            Err(Status::Fenced),
            "{to:?}"
        );
        p.release().unwrap();
        assert_eq!((state(&p), p.status().durable_index), (State::ReadWrite, last), "{to:?}");
        let all = [entries(1, 5, 1, 300), entries(6, last, 1, 2000)].concat();
        assert_survives(&disk, Mode::Interval, &all, &format!("{to:?}"));
    }
}

#[test]
fn a_fence_outlives_a_fault_and_its_healing() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    p.fence(State::ReadOnly, "drained").unwrap();
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p1/root").times(8));
    p.set_hard_state(hard(2, 1, 0)).expect_err("the root cannot be written");
    assert_eq!((state(&p), p.status().cause), (State::Unavailable, Cause::IoError), "the graver fault shows");
    disk.clear_faults();
    assert_eq!(p.recover().map_err(|e| e.status), Err(Status::Fenced));
    assert_eq!((state(&p), p.status().cause), (State::ReadOnly, Cause::Fenced), "healed, and fenced as before");
    p.release().unwrap();
    append_durably(&p, &entries(6, 6, 1, 10)).unwrap();
    // The other way round: a fence over a fault.
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p1").once());
    append(&p, &entries(7, 7, 1, 10)).expect_err("healing is off");
    engine.events(100);
    p.fence(State::Unavailable, "looked at").unwrap();
    assert_eq!(p.status().cause, Cause::IoError, "the fault stays what it is");
    assert_eq!(engine.events(100).pop().map(|e| e.cause), Some(Cause::Fenced), "the action is an event");
    assert_eq!(p.recover().map_err(|e| e.status), Err(Status::Fenced));
    p.release().unwrap();
    append_durably(&p, &entries(7, 7, 1, 10)).unwrap();
}

#[test]
fn no_probe_ends_a_fence() {
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 3, 1, 10)).unwrap();
    p.fence(State::ReadOnly, "").unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(p.status().cause, Cause::Fenced);
}

#[test]
fn bad_fences_are_refused_and_change_nothing() {
    let disk = SimDisk::new(1);
    let (_engine, p) = start(&disk, Mode::Sync);
    for state in [State::ReadWrite, State::Recovering, State::Closed] {
        assert_eq!(p.fence(state, "").map_err(|e| e.status), Err(Status::InvalidArgument), "{state:?}");
    }
    append_durably(&p, &entries(6, 6, 1, 10)).unwrap();
    p.fence(State::Unavailable, "").unwrap();
    assert_eq!(p.fence(State::ReadOnly, "").map_err(|e| e.status), Err(Status::Fenced));
    p.close().unwrap();
    assert_eq!(p.fence(State::Unavailable, "").map_err(|e| e.status), Err(Status::Closed));
}

/// Found by a random history: it said Fenced, and what to do about that.
#[test]
fn a_release_that_fails_says_what_failed_this_time() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { heal_limit_ms: 0, probe_ms: 0, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 3, 1, 100)).unwrap();
    p.fence(State::Unavailable, "for a test").unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/root"));
    assert_eq!(p.release().map_err(|e| (e.status, e.errno)), Err((Status::IoError, libc::EIO)));
    assert_eq!(p.status().cause, Cause::Fenced, "it stays fenced");
    disk.clear_faults();
    p.release().unwrap();
    assert_eq!(state(&p), State::ReadWrite);
}

#[test]
fn what_is_accepted_while_a_fence_syncs_is_made_durable_too_or_refused() {
    let disk = SimDisk::new(1);
    let (_engine, p) = start(&disk, Mode::None);
    append_each(&p, 6, 7, 1, 300);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Sync).path("/seg-").once());
    let fencing = p.clone();
    let fence = std::thread::spawn(move || fencing.fence(State::ReadOnly, "for a test"));
    assert!(disk.wait_hung(1, Duration::from_secs(5)));
    let beside = append(&p, &entries(8, 8, 1, 300));
    disk.release();
    fence.join().unwrap().unwrap();
    assert_eq!(beside.map_err(|e| e.status), Err(Status::Fenced));
    assert_eq!((p.status().durable_index, p.bounds().unwrap().1), (7, 7));
}
