//! F2, F3, F7, F31: a fault that passes costs time and nothing else; its owner hears of it at once.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, OpRecord, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, HardState, Mode, Op, Partition, State};

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];

fn start(disk: &SimDisk, mode: Mode) -> (Engine, Arc<Partition>) {
    let engine = healing_engine(disk);
    let p = open(&engine, "/p1", 1, mode);
    append_each(&p, 1, 10, 1, 400);
    p.sync().unwrap();
    wait_for_quiet(disk);
    (engine, p)
}

/// The log holds entries 1 to `last`, in this process and after each kind of crash.
fn assert_whole(disk: &SimDisk, p: &Partition, mode: Mode, last: u64) {
    assert_same(&read_all(p).unwrap(), &entries(1, last, 1, 400), "after healing");
    for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom] {
        let next = disk.fork().crash(how);
        next.clear_faults();
        let engine = engine(&next);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?} after {how:?}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &entries(1, last, 1, 400), "after a crash");
    }
}

fn poll(fd: RawFd, limit: Duration) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut poll, 1, limit.as_millis() as i32) == 1 }
}

#[test]
fn f31_a_write_that_fails_once_is_a_success_for_its_caller() {
    for (mode, errno) in MODES.into_iter().flat_map(|m| [libc::EIO, libc::ENOSPC, libc::ENOMEM].map(|e| (m, e))) {
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, mode);
        engine.events(100);
        disk.inject(Rule::errno(errno).on(OpKind::Write).on(OpKind::Sync).path("/seg-").once());
        append(&p, &entries(11, 11, 1, 400)).unwrap_or_else(|e| panic!("{mode:?} {errno}: {e}"));
        append(&p, &entries(12, 12, 1, 400)).unwrap();
        p.sync().unwrap();
        assert_eq!(disk.faults_fired(), 1);
        assert!(p.status().counters.heals >= 1, "{mode:?}: counted");
        let told = engine.events(100);
        assert!(told.iter().any(|e| e.errno == errno), "{mode:?} {errno}: the operator is told: {told:?}");
        assert_eq!(told.last().map(|e| (e.to, e.cause, e.op)), Some((State::ReadWrite, Cause::None, Op::Recover)));
        assert_whole(&disk, &p, mode, 12);
    }
}

#[test]
fn f31_bad_blocks_under_the_segment_and_under_its_spare() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        // Every file there is, as far as it is not written yet: only a new one lies elsewhere.
        for file in disk.files("/p1").into_iter().filter(|f| f.contains("/seg-")) {
            disk.make_unwritable(&file, 8192, 1 << 20);
        }
        for index in 11..=60 {
            append(&p, &entries(index, index, 1, 400)).unwrap_or_else(|e| panic!("{mode:?}, entry {index}: {e}"));
        }
        p.sync().unwrap();
        assert_eq!(state(&p), State::ReadWrite);
        assert_whole(&disk, &p, mode, 60);
    }
}

#[test]
fn f02_the_failed_file_is_left_alone_and_the_new_one_is_read_back() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        append(&p, &entries(11, 11, 1, 400)).unwrap();
        let kind = if mode == Mode::None { OpKind::Sync } else { OpKind::Write };
        disk.inject(Rule::errno(libc::EIO).on(kind).path("/seg-").once());
        append(&p, &entries(12, 12, 1, 400)).unwrap();
        p.sync().unwrap();
        append(&p, &entries(13, 20, 1, 400)).unwrap();
        p.sync().unwrap();
        let log = disk.log();
        let failed = log.iter().position(|r| !r.injected.is_empty()).expect("the fault was met");
        let (file, behind) = (&log[failed].path, &log[failed + 1..]);
        let touched = behind.iter().find(|r| r.path == *file && matches!(r.kind, OpKind::Write | OpKind::Sync));
        assert_eq!(touched.map(|r| r.number), None, "{mode:?}: {file} is written or synced again");
        let written = behind.iter().find(|r| r.kind == OpKind::Write && r.path.contains("/seg-") && r.path != *file);
        let fresh = &written.expect("a new segment").path;
        assert!(
            behind.iter().any(|r| r.kind == OpKind::Read && r.path == *fresh),
            "{mode:?}: {fresh} is not read back"
        );
    }
}

#[test]
fn f02_a_new_segment_that_reads_back_differently_is_not_taken() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-").once());
        // The disk says it wrote, and did not.
        disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).on(OpKind::Sync).path("/seg-").times(40));
        match append(&p, &entries(11, 11, 1, 400)) {
            // On a later try the disk did what it said.
            Ok(()) if mode == Mode::Sync => assert_whole(&disk, &p, mode, 11),
            Ok(()) => {}
            Err(_) => {
                let found = read_all(&p).unwrap();
                assert_same(&found[..10], &entries(1, 10, 1, 400), "what was acknowledged");
            }
        }
    }
}

#[test]
fn f03_pages_that_the_kernel_only_calls_clean_are_not_trusted() {
    for (mode, direct_io) in MODES.into_iter().flat_map(|m| [true, false].map(|d| (m, d))) {
        let disk = SimDisk::with_config(1, SimConfig { direct_io, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 400);
        p.sync().unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/seg-"));
        let _ = append(&p, &entries(11, 11, 1, 400));
        let failed = p.sync().is_err();
        assert!(failed, "{mode:?} direct {direct_io}");
        let _ = p.close();
        disk.clear_faults();
        // Opened in the same boot, with the page cache as the failed sync left it; then the power goes.
        let engine = crate::support::engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        if state(&p) != State::ReadWrite {
            assert_eq!(p.status().cause, Cause::LostEntries, "{mode:?} direct {direct_io}: {:?}", p.last_fault());
            continue;
        }
        let last = p.bounds().unwrap().1;
        append(&p, &entries(last + 1, last + 1, 1, 400)).unwrap();
        p.sync().unwrap();
        let next = disk.crash(Crash::PowerNothing);
        let engine = crate::support::engine(&next);
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?} direct {direct_io}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &entries(1, last + 1, 1, 400), "what was synced after the open");
    }
}

/// A log in mode none of which entries 11 to 15 are in the page cache alone, after a kill: a sync failed.
fn cached_only() -> SimDisk {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::None);
    append_each(&p, 1, 10, 1, 400);
    p.sync().unwrap();
    append_each(&p, 11, 15, 1, 400);
    wait_for_quiet(&disk);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-").once());
    p.sync().unwrap_err();
    disk.crash(Crash::Process)
}

/// A kill costs mode none nothing, and what the next open shows is there after a power cut, although only the page cache had it.
#[test]
fn f03_what_only_the_page_cache_holds_survives_a_kill_and_then_a_power_cut() {
    let disk = cached_only();
    let second = engine(&disk);
    let p = reopen(&second, "/p1", 1, Mode::None);
    assert_same(&read_all(&p).unwrap(), &entries(1, 15, 1, 400), "after the kill");
    let disk = disk.crash(Crash::PowerNothing);
    let third = engine(&disk);
    assert_same(
        &read_all(&reopen(&third, "/p1", 1, Mode::None)).unwrap(),
        &entries(1, 15, 1, 400),
        "after the power cut",
    );
}

/// The same, and at the open one file cannot be opened at the first try: what the page cache holds is not dropped for that.
#[test]
fn f03_a_file_that_cannot_be_opened_for_a_moment_hides_nothing_that_only_the_page_cache_holds() {
    let disk = cached_only();
    for n in 0.. {
        let disk = disk.fork();
        disk.inject(Rule::errno(libc::EMFILE).on(OpKind::Open).path("/seg-").skip(n).once());
        let second = engine(&disk);
        let p = reopen(&second, "/p1", 1, Mode::None);
        let fired = disk.faults_fired() > 0;
        disk.clear_faults();
        p.recover().unwrap_or_else(|e| panic!("open {n}: {e}"));
        assert_same(&read_all(&p).unwrap(), &entries(1, 15, 1, 400), &format!("open {n}"));
        if !fired {
            assert!(n >= 4, "{n} opens");
            return;
        }
    }
}

#[test]
fn f07_the_owner_hears_within_10_ms() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, mode);
        engine.events(100);
        while poll(engine.event_fd(), Duration::ZERO) {
            engine.events(100);
        }
        // For good: healing works on it, and the owner knows meanwhile.
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/seg-"));
        let p2 = p.clone();
        let began = Instant::now();
        let caller = std::thread::spawn(move || {
            let _ = append(&p2, &entries(11, 11, 1, 400));
            let _ = p2.sync();
        });
        assert!(poll(engine.event_fd(), Duration::from_secs(5)), "{mode:?}: nobody is told");
        // The fault is met within the first call; interval flushes 10 ms later.
        let limit = Duration::from_millis(if mode == Mode::Interval { 20 } else { 10 });
        let took = began.elapsed();
        caller.join().unwrap();
        assert!(took < limit * 5, "{mode:?}: {took:?}");
        println!("{mode:?}: the owner heard after {took:?}");
        let told = engine.events(1);
        assert_eq!((told[0].cause, told[0].errno), (Cause::IoError, libc::EIO));
    }
}

#[test]
fn f07_the_owner_hears_before_another_file_is_tried() {
    const LAST: u64 = 300; // several segments
    let segment = ((OpKind::Create, "/seg-"), (OpKind::Create, "/seg-"));
    let root = ((OpKind::Write, "/root"), (OpKind::Create, "/root.new"));
    for ((fails, waits), mode) in [segment, root].into_iter().flat_map(|c| MODES.map(|m| (c, m))) {
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, mode);
        while poll(engine.event_fd(), Duration::ZERO) {
            engine.events(100);
        }
        disk.inject(Rule::errno(libc::EIO).on(fails.0).path(fails.1).once());
        // Below what makes a slow event of it.
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(300))).on(waits.0).path(waits.1).once());
        let p2 = p.clone();
        let caller = std::thread::spawn(move || {
            p2.set_hard_state(HardState { term: 5, vote: 1, commit: 0 }).unwrap();
            append_each(&p2, 11, LAST, 1, 400);
        });
        assert!(poll(engine.event_fd(), Duration::from_secs(5)), "{mode:?} {fails:?}: nobody is told");
        let told = engine.events(100);
        caller.join().unwrap();
        assert!(told.iter().all(|e| e.errno == libc::EIO), "{mode:?} {fails:?}: {told:?}");
        assert!(poll(engine.event_fd(), Duration::from_secs(5)), "{mode:?} {fails:?}: the end is not told");
        let after = engine.events(100);
        let end = after.iter().find(|e| e.cause == Cause::None).map(|e| (e.to, e.op));
        assert_eq!(end, Some((State::ReadWrite, Op::Recover)), "{mode:?} {fails:?}: {after:?}");
        p.sync().unwrap();
        assert_whole(&disk, &p, mode, LAST);
    }
}

/// A flush may be the last one of its worker's turn. What fails in it is made good before others have theirs, or its time would run out in the line.
#[test]
fn f31_a_flush_that_fails_at_the_end_of_a_turn_does_not_wait_for_the_neighbours() {
    let disk = SimDisk::new(1);
    let config = EngineConfig {
        flush_threads_per_disk: 1,
        segment_min_bytes: 4 << 20,
        segment_max_bytes: 4 << 20,
        ..healing_config()
    };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let parts: Vec<_> = (1..=3).map(|n| open(&engine, &format!("/p{n}"), n, Mode::Sync)).collect();
    parts.iter().for_each(|p| append(p, &entries(1, 1, 1, 100)).unwrap());
    wait_for_quiet(&disk);
    // The first keeps the worker until the others are in line; the third would keep it for longer than a fault is healed.
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(300))).on(OpKind::Write).path("/p1/").once());
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(1500))).on(OpKind::Write).path("/p3/").once());
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p2/seg-").once());
    let took = std::thread::scope(|scope| {
        let calls: Vec<_> = parts
            .iter()
            .map(|p| {
                let began = Instant::now();
                // Of the second: more than a turn's bytes.
                let len = if p.status().partition_id == 2 { 300_000 } else { 100 };
                let call = scope.spawn(move || append(p, &entries(2, 5, 1, len)).map(|()| began.elapsed()));
                std::thread::sleep(Duration::from_millis(30));
                call
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(disk.faults_fired(), 3);
    assert!(took[1] < Duration::from_millis(1200) && took[2] > Duration::from_millis(1500), "{took:?}");
}

/// The file whose sync failed keeps what of it is durable, and is written or synced no more, not even for another segment.
#[test]
fn f02_a_filled_segment_whose_sync_failed_is_not_used_again() {
    for by_call in [false, true] {
        let disk = SimDisk::new(1);
        let engine = Engine::stepped(EngineConfig { segment_max_bytes: 64 << 10, ..config() }, &disk, 7).unwrap();
        let p = open(&engine, "/p1", 1, Mode::None);
        append_each(&p, 1, 5, 1, 300);
        engine.pass_time(Duration::from_secs(2));
        p.sync().unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-0000000000000001").once());
        let mut last = 5;
        while p.status().segments < 2 {
            last += 1;
            append(&p, &entries(last, last, 1, 3000)).unwrap();
        }
        if by_call {
            p.sync().unwrap_err();
        } else {
            engine.pass_time(Duration::from_secs(2));
        }
        assert_eq!(state(&p), State::Unavailable, "{by_call}");
        p.recover().unwrap();
        append_each(&p, last + 1, last + 1, 1, 300);
        p.sync().unwrap();
        p.compact(last).unwrap();
        for index in last + 2..last + 60 {
            append(&p, &entries(index, index, 1, 3000)).unwrap();
            engine.pass_time(Duration::from_millis(20));
        }
        let renamed = |r: &OpRecord| r.kind == OpKind::Rename && r.path.contains("seg-0000000000000001");
        assert!(!disk.log().iter().any(renamed), "{by_call}: it is used again");
    }
}
