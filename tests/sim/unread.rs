//! F28: a segment that has to be read for the term of an entry, on a disk that does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Error, Mode, Op, Partition, State, Status};

const STALL: Duration = Duration::from_millis(500);

type Trigger = fn(&Partition) -> Result<(), Error>;

/// A log of entries 21 to 100 that was closed: nothing of it has been read.
fn reopened(disk: &SimDisk, mode: Mode) -> (Engine, Arc<Partition>) {
    let config = EngineConfig {
        stall_limit_ms: STALL.as_millis() as u32,
        flush_threads_per_disk: 1,
        probe_ms: 0,
        ..healing_config()
    };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, mode);
    append_each(&p, 1, 100, 1, 300);
    p.compact(20).unwrap();
    p.close().unwrap();
    let p = reopen(&engine, "/p1", 1, mode);
    (engine, p)
}

/// The first call after an opening that needs an older entry's term reads a segment for it.
#[test]
fn f28_a_call_does_not_wait_for_ever_for_a_segment_that_it_has_to_read() {
    for mode in [Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let (engine, p) = reopened(&disk, mode);
        engine.events(100);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Read).path("/p1/seg"));
        let refused = append(&p, &entries(20, 20, 2, 100)).unwrap_err();
        assert_eq!(refused.status, Status::Compacted, "{mode:?}: nothing is read for it");
        let calls: [Trigger; 3] = [
            |p| append(p, &entries(50, 50, 2, 100)),
            |p| p.submit(&refs(&entries(50, 50, 2, 100)), 1),
            |p| p.compact(50),
        ];
        for (number, call) in calls.into_iter().enumerate() {
            let called = p.clone();
            let begun = Instant::now();
            let error = std::thread::spawn(move || call(&called)).join().unwrap().unwrap_err();
            let took = begun.elapsed();
            assert_eq!((error.status, error.op), (Status::Stalled, Op::Read), "{mode:?}, {number}: {error}");
            assert!(took >= STALL && took <= 3 * STALL, "{mode:?}, {number}: {took:?}");
            assert_eq!(
                (state(&p), p.bounds().unwrap()),
                (State::ReadWrite, (21, 100)),
                "nothing is latched, or changed"
            );
            assert!(
                engine.events(100).iter().any(|e| e.cause == Cause::Stalled),
                "{mode:?}, {number}: nobody was told"
            );
        }
        disk.clear_faults();
        disk.release();
        for call in calls {
            call(&p).unwrap();
            p.sync().unwrap();
        }
        assert_eq!(p.bounds().unwrap(), (51, 50), "{mode:?}");
    }
}

/// Who heals needs the term of the entry before. While that hangs, the disk's only thread for flushes is the others'.
#[test]
fn f05_a_heal_that_has_to_read_keeps_no_thread_of_the_disk() {
    let disk = SimDisk::new(1);
    let (engine, p) = reopened(&disk, Mode::Sync);
    let q = open(&engine, "/p2", 2, Mode::Sync);
    append_each(&q, 1, 3, 1, 100);
    wait_for_quiet(&disk);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-"));
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Read).path("/p1/seg-"));
    append(&p, &entries(101, 101, 1, 400)).unwrap_err();
    assert!(disk.wait_hung(1, Duration::from_secs(5)), "the heal reads");
    std::thread::sleep(2 * STALL);
    // It may have waited behind that heal.
    let _ = q.recover();
    append_each(&q, 4, 10, 1, 100);
    disk.clear_faults();
    disk.release();
}
