//! F10, F31: every fault that may pass is probed; files with bad blocks are set aside and do not stay.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Op, Partition, State, Status};

const SOON: Duration = Duration::from_secs(5);

/// Nothing is healed inside the call, so that each fault latches.
fn start(disk: &SimDisk, mode: Mode) -> (Engine, Arc<Partition>) {
    let config = EngineConfig { probe_ms: 20, stall_limit_ms: 200, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, mode);
    append_each(&p, 1, 10, 1, 400);
    p.sync().unwrap();
    // The next fault is to meet what the test does, not the making of a spare.
    wait_for("the spare", SOON, || disk.files("/p1").iter().filter(|f| f.contains("/seg-")).count() >= 2);
    std::thread::sleep(Duration::from_millis(50));
    (engine, p)
}

fn assert_comes_back(p: &Partition, what: &str) {
    wait_for(what, SOON, || state(p) == State::ReadWrite);
    assert_eq!((p.status().cause, p.last_fault().is_none()), (Cause::None, true), "{what}");
    let last = p.bounds().unwrap().1;
    append(p, &entries(last + 1, last + 1, 1, 400)).unwrap_or_else(|e| panic!("{what}: {e}"));
    p.sync().unwrap();
    assert_same(&read_all(p).unwrap(), &entries(1, last + 1, 1, 400), what);
}

#[test]
fn each_cause_that_may_pass_is_probed() {
    let causes = [
        (libc::EIO, Cause::IoError),
        (libc::EROFS, Cause::ReadOnlyFilesystem),
        (libc::ENOSPC, Cause::NoSpace),
        (libc::ENOMEM, Cause::Resource),
    ];
    for (mode, (errno, cause)) in
        [Mode::None, Mode::Sync, Mode::Interval].into_iter().flat_map(|m| causes.map(|c| (m, c)))
    {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(errno).on(OpKind::Write).on(OpKind::Sync).on(OpKind::Create));
        let failed = append(&p, &entries(11, 11, 1, 400)).and_then(|()| p.sync()).expect_err("the disk fails");
        assert_eq!((failed.cause(), p.status().cause), (cause, cause), "{mode:?}");
        std::thread::sleep(Duration::from_millis(60));
        assert_ne!(state(&p), State::ReadWrite, "{mode:?} {cause:?}: the fault is still there");
        disk.clear_faults();
        assert_comes_back(&p, &format!("{mode:?} after {cause:?}"));
    }
}

/// The probes of a ReadOnly partition counted for the doubling: the first fault that one of them met was looked at again after 64 s.
#[test]
fn f10_a_fault_behind_many_probes_for_space_is_probed_soon() {
    let disk = SimDisk::new(1);
    let (_engine, p) = start(&disk, Mode::Sync);
    disk.set_free(0);
    for index in 11.. {
        if append(&p, &entries(index, index, 1, 400)).is_err() {
            break;
        }
    }
    assert_eq!((state(&p), p.status().cause), (State::ReadOnly, Cause::NoSpace));
    // More than eight probes.
    std::thread::sleep(Duration::from_millis(500));
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Create));
    wait_for("a probe that meets the fault", SOON, || state(&p) == State::Unavailable);
    disk.clear_faults();
    disk.set_free(20 << 20);
    let began = Instant::now();
    assert_comes_back(&p, "after both");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?} after the disk was well again", began.elapsed());
}

#[test]
fn a_panic_is_probed() {
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, mode);
        engine.events(100);
        disk.inject(Rule::new(Fault::Panic).on(OpKind::Write).path("/seg-").once());
        let tried = catch_unwind(AssertUnwindSafe(|| append(&p, &entries(11, 11, 1, 400)).and_then(|()| p.sync())));
        if tried.is_err() {
            p.latch_panic(Op::Append); // as the boundary does
        }
        // A background thread may be the one that panics. Where printing the panic takes seconds the watchdog is first.
        let told = || engine.events(100).iter().any(|e| matches!(e.cause, Cause::Panic | Cause::Stalled));
        wait_for("the owner to be told", Duration::from_secs(2), told);
        assert_comes_back(&p, &format!("{mode:?} after a panic"));
    }
}

#[test]
fn a_disk_that_answers_again_is_probed() {
    for mode in [Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-").once());
        let failed = append(&p, &entries(11, 11, 1, 400)).and_then(|()| p.sync()).expect_err("the disk hangs");
        assert_eq!(failed.cause(), Cause::Stalled, "{mode:?}: {failed}");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(p.status().cause, Cause::Stalled, "{mode:?}: it still hangs");
        disk.release();
        assert_comes_back(&p, &format!("{mode:?} after a stall"));
    }
}

#[test]
fn the_close_of_a_stalled_partition_does_not_wait_for_its_probe() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { probe_ms: 20, stall_limit_ms: 2_000, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-").once());
    append(&p, &entries(11, 11, 1, 400)).expect_err("the disk hangs");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    let _ = p.close();
    let took = began.elapsed();
    disk.release();
    assert!(took < Duration::from_millis(500), "{took:?}: raft goes on with heartbeats until it returns");
}

#[test]
fn the_close_of_a_faulted_partition_does_not_wait_for_a_probe_that_hangs() {
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let config = EngineConfig { probe_ms: 300, stall_limit_ms: 2_000, ..config() };
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 400);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).on(OpKind::Create));
        append(&p, &entries(11, 11, 1, 400)).and_then(|()| p.sync()).expect_err("the disk fails");
        disk.clear_faults();
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).on(OpKind::Sync).on(OpKind::Create));
        let probed = disk.wait_hung(1, SOON);
        let began = Instant::now();
        let closed = p.close();
        let took = began.elapsed();
        disk.clear_faults();
        disk.release();
        assert!(probed, "{mode:?}: it is not probed");
        assert_eq!(
            closed.map_err(|e| e.status),
            Err(Status::Busy),
            "{mode:?}: the probe may still touch the directory"
        );
        assert!(took < Duration::from_secs(1), "{mode:?}: {took:?}, raft goes on with heartbeats until it returns");
    }
}

#[test]
fn files_with_bad_blocks_are_set_aside_until_the_next_open() {
    let set_aside = |disk: &SimDisk| disk.files("/p1").iter().filter(|f| f.contains("/bad-")).count();
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let engine = healing_engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/seg-").times(2));
        append_each(&p, 1, 10, 1, 400);
        p.sync().unwrap();
        assert_eq!((set_aside(&disk), state(&p)), (2, State::ReadWrite), "{mode:?}: {:?}", disk.files("/p1"));
        assert_eq!(p.status().counters.heals, 1, "{mode:?}: one segment was made in the end");
        p.close().unwrap();
        let p = reopen(&engine, "/p1", 1, mode);
        append_each(&p, 11, 20, 1, 400);
        wait_for("the bad files to go", SOON, || set_aside(&disk) == 0);
        assert_same(&read_all(&p).unwrap(), &entries(1, 20, 1, 400), "with bad files set aside");
    }
}

/// A probe finds that nobody has some entries any more: status and event say so, and calls go on to get the error that they got first.
#[test]
fn f01_the_first_error_stays_when_a_probe_finds_entries_lost() {
    let found = (1..20).filter(|seed| finds_loss(*seed)).count();
    assert!(found > 3, "the test does not test: {found}");
}

fn finds_loss(seed: u64) -> bool {
    let disk = SimDisk::new(seed);
    let (engine, p) = start(&disk, Mode::None);
    append_each(&p, 11, 20, 1, 400);
    disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Sync).path("/seg-"));
    let first = p.sync().expect_err("the disk fails").status;
    // The kernel drops what it calls clean.
    disk.drop_caches();
    disk.clear_faults();
    let lost = |p: &Partition| p.status().cause == Cause::LostEntries;
    wait_for("a probe", SOON, || state(&p) == State::ReadWrite || lost(&p));
    if !lost(&p) {
        return false;
    }
    let refused = [append(&p, &entries(21, 21, 1, 400)), p.sync(), p.set_hard_state(hard(3, 1, 0)), p.compact(2)];
    for error in refused {
        assert_eq!(error.map_err(|e| (e.status, e.errno)), Err((first, libc::ENOSPC)));
    }
    assert_eq!((p.status().lost.1, p.last_fault().map(|f| f.status)), (20, Some(first)));
    assert_eq!(engine.events(1000).last().map(|e| e.cause), Some(Cause::LostEntries));
    assert_eq!(p.recover().map_err(|e| e.status), Err(bulkhead::Status::LostEntries), "its owner asks");
    true
}

/// A partition whose segments have grown: what healing makes is to be small all the same.
fn grown(disk: &SimDisk) -> (Engine, Arc<Partition>) {
    let sizes = EngineConfig { segment_min_bytes: 64 << 10, segment_max_bytes: 1 << 20, ..config() };
    let engine = Engine::with_storage(EngineConfig { heal_limit_ms: 300, ..sizes }, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 200, 1, 15_000);
    // What housekeeping still makes is no part of what a test looks for.
    wait_for_quiet(disk);
    (engine, p)
}

#[test]
fn f05_a_persistent_fault_is_tried_with_few_writes() {
    let disk = SimDisk::new(1);
    let (_engine, p) = grown(&disk);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-"));
    let before = disk.count(OpKind::Write);
    append(&p, &entries(201, 201, 1, 400)).expect_err("the disk fails");
    let writes = disk.count(OpKind::Write) - before;
    assert!(writes <= 12, "{writes} writes until the fault was told: neighbours wait for each");
}

#[test]
fn f05_healing_writes_a_small_segment() {
    let disk = SimDisk::new(1);
    let (_engine, p) = grown(&disk);
    let known = disk.files("/p1");
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-").once());
    append(&p, &entries(201, 201, 1, 400)).expect("healed inside the call");
    let fresh: Vec<_> = disk.files("/p1").into_iter().filter(|f| f.contains("/seg-") && !known.contains(f)).collect();
    let least = fresh.iter().map(|f| disk.cached_bytes(f).len().max(disk.durable_bytes(f).len())).min();
    assert_eq!(least, Some(64 << 10), "{fresh:?}: neighbours wait while it is filled with zeros");
    append_each(&p, 202, 230, 1, 15_000);
}

/// Found by reading: a begin record, or a last one, in a block that gave EIO when the log was opened was called damage, which nobody looks at
/// again.
#[test]
fn f16_a_block_that_can_be_read_again_was_no_damage() {
    for (mode, first) in [Mode::None, Mode::Sync, Mode::Interval].into_iter().flat_map(|m| [(m, true), (m, false)]) {
        let what = format!("{mode:?}, {}", if first { "the begin record" } else { "the last entry" });
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        // The root says how far the log was durable.
        p.set_hard_state(hard(1, 1, 3)).unwrap();
        let disk = disk.fork().crash(Crash::PowerNothing);
        let data = &entries(10, 10, 1, 400)[0].data;
        let (path, at) =
            if first { ("/p1/seg-0000000000000001".into(), 4096) } else { field::find_data(&disk, "/p1", data) };
        let was = disk.durable_bytes(&path)[at as usize..][..1].to_vec();
        disk.make_unreadable(&path, at, 1);
        let config = EngineConfig { probe_ms: 20, ..config() };
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        std::thread::sleep(Duration::from_millis(60));
        let status = p.status();
        assert_eq!(
            (status.state, status.cause, status.errno),
            (State::Unavailable, Cause::IoError, libc::EIO),
            "{what}: {status:?}"
        );
        // In mode none the one before shares its sector.
        let sound = read_each(&p).iter().filter(|(_, e)| e.is_ok()).count();
        assert!(first || sound >= 8, "{what}: what is sound can be read, not {sound} entries");
        disk.overwrite(&path, at, &was);
        assert_comes_back(&p, &what);
        assert_eq!((p.status().damaged.2, p.bounds().unwrap()), (0, (1, 11)), "{what}");
    }
}
