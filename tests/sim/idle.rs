//! F1, F5, F7, F23, F28, F31: a disk that fails while nobody writes to it is known to its owners all the same, each by its own file; where
//! nothing is wrong nobody notices that it was looked.

mod compact;
mod file;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::field::*;
use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, OpRecord, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Event, Limit, LimitChange, Mode, Op, Partition, State, Status};

const CHECKED: [Mode; 2] = [Mode::Sync, Mode::Interval];
/// What a late machine may take longer.
const MARGIN: Duration = Duration::from_millis(1500);
const IDLE_CHECK_MS: u32 = 100;

/// Partitions of these modes that have written once, until all is quiet. Nobody looks yet.
fn idle(disk: &SimDisk, limits: EngineConfig, modes: &[Mode]) -> (Engine, Vec<Arc<Partition>>) {
    let limits = EngineConfig { idle_check_ms: 0, ..limits };
    let engine = Engine::with_storage(limits, Arc::new(disk.clone())).unwrap();
    let all: Vec<_> = modes.iter().zip(1..).map(|(mode, id)| open(&engine, &format!("/p{id}"), id, *mode)).collect();
    all.iter().for_each(|p| append_each(p, 1, 5, 1, 300));
    all.iter().for_each(|p| p.sync().unwrap());
    // The last mark of an idle log, and spares.
    std::thread::sleep(Duration::from_millis(2500));
    wait_for_quiet(disk);
    engine.events(1000);
    (engine, all)
}

fn one(disk: &SimDisk, limits: EngineConfig, mode: Mode) -> (Engine, Arc<Partition>) {
    let (engine, mut all) = idle(disk, limits, &[mode]);
    (engine, all.remove(0))
}

fn check_every(engine: &Engine, ms: u32) {
    engine.set_limits(&[LimitChange { limit: Limit::IdleCheckMs, value: Some(ms.into()) }]).unwrap();
}

/// Beside each other: most of their time they wait.
fn in_checked_modes(test: impl Fn(Mode) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for mode in CHECKED {
            scope.spawn(move || test(mode));
        }
    });
}

/// What the engine has told, but for limits that were set.
fn told(engine: &Engine) -> Vec<Event> {
    engine.events(1000).into_iter().filter(|e| e.op != Op::SetLimits).collect()
}

/// The operations since the disk had done so many.
fn since(disk: &SimDisk, ops: u64) -> Vec<OpRecord> {
    disk.log().into_iter().filter(|op| op.number > ops).collect()
}

/// Also those whose turn would come a minute later: each failure has two others look.
#[test]
fn f07_a_disk_that_dies_while_nobody_writes_is_known_to_all_its_partitions() {
    let disk = SimDisk::new(1);
    disk.make_dirs("/other");
    disk.set_device("/other", 7);
    let modes = MODES.repeat(100);
    let (engine, all) = idle(&disk, config(), &modes);
    let elsewhere = open(&engine, "/other/q", 1000, Mode::Sync);
    append_each(&elsewhere, 1, 5, 1, 300);
    wait_for_quiet(&disk);
    check_every(&engine, 250);
    std::thread::sleep(Duration::from_millis(1500));
    let died = Instant::now();
    disk.inject(Rule::errno(libc::EIO).on_changes().path("/p"));
    let wanted = |mode: &Mode| if *mode == Mode::None { State::ReadWrite } else { State::Unavailable };
    let known = || all.iter().zip(&modes).all(|(p, mode)| state(p) == wanted(mode));
    wait_for("all of them", Duration::from_millis(250) + MARGIN, known);
    println!("known to all after {:?}", died.elapsed());
    for event in told(&engine) {
        let what = (event.to, event.cause, event.op, event.errno);
        assert_eq!(what, (State::Unavailable, Cause::IoError, Op::Append, libc::EIO), "{event:?}");
        assert!(event.note.contains("checking an idle log"), "{event:?}");
    }
    assert_eq!(state(&elsewhere), State::ReadWrite);
    append(&elsewhere, &entries(6, 6, 1, 300)).unwrap();
    disk.clear_faults();
    all.iter().for_each(|p| resume(p));
    for p in &all {
        append_durably(p, &entries(6, 6, 1, 300)).unwrap();
        assert_same(&read_all(p).unwrap(), &entries(1, 6, 1, 300), "back");
    }
}

/// The block that the next append would have met: the log is elsewhere before that, and nobody else is concerned.
#[test]
fn f31_a_block_that_goes_bad_under_an_idle_log_is_healed_before_anyone_writes() {
    in_checked_modes(|mode| {
        let disk = SimDisk::new(1);
        let (engine, p) = one(&disk, healing_config(), mode);
        let others: Vec<_> = (2..10).map(|id| open(&engine, &format!("/p{id}"), id, mode)).collect();
        others.iter().for_each(|p| append_each(p, 1, 5, 1, 300));
        wait_for_quiet(&disk);
        engine.events(1000);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path(TAIL));
        check_every(&engine, IDLE_CHECK_MS);
        wait_for("the heal", Duration::from_secs(2), || p.status().counters.heals > 0);
        assert!(disk.faults_fired() >= 1);
        check_every(&engine, 0);
        std::thread::sleep(Duration::from_millis(300));
        let fired = disk.faults_fired();
        append_durably(&p, &entries(6, 8, 1, 300)).unwrap();
        assert_eq!(disk.faults_fired(), fired, "{mode:?}: the bad file is left alone");
        let told: Vec<_> = told(&engine).iter().map(|e| (e.partition_id, e.to, e.cause)).collect();
        assert_eq!(told[..2], [(1, State::ReadWrite, Cause::IoError), (1, State::ReadWrite, Cause::None)], "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(others.iter().all(|p| state(p) == State::ReadWrite && p.status().counters.errors == 0));
        for how in CRASHES {
            let next = disk.fork().crash(how);
            next.clear_faults();
            assert_opens_with(&next, mode, &entries(1, 8, 1, 300), &format!("{mode:?} {how:?}"));
        }
    });
}

/// Looked at a hundred times, a log takes no more room, says the same, and continues where it ended; a power cut beside a look costs nothing.
#[test]
fn f20_a_look_leaves_nothing_behind() {
    in_checked_modes(|mode| {
        let disk = SimDisk::new(1);
        let (engine, p) = one(&disk, config(), mode);
        let (files, before, bytes) = (disk.files("/p1"), p.status(), disk.durable_bytes(TAIL));
        disk.keep_log(10_000);
        let began = disk.ops();
        check_every(&engine, 1);
        wait_for("a hundred looks", Duration::from_secs(20), || since(&disk, began).len() >= 100);
        for how in CRASHES {
            let next = disk.fork().crash(how);
            assert_opens_with(&next, mode, &entries(1, 5, 1, 300), &format!("{mode:?} {how:?}, beside a look"));
        }
        check_every(&engine, 0);
        wait_for_quiet(&disk);
        let wrong = since(&disk, began).into_iter().find(|op| op.path != TAIL);
        assert!(wrong.is_none(), "{wrong:?}");
        assert!(disk.durable_bytes(TAIL) == bytes, "{mode:?}: zeros where there were zeros");
        let after = p.status();
        assert_eq!(
            (disk.files("/p1"), after.durable_index, after.counters),
            (files, before.durable_index, before.counters)
        );
        append_durably(&p, &entries(6, 9, 1, 300)).unwrap();
        for how in CRASHES {
            let next = disk.fork().crash(how);
            assert_opens_with(&next, mode, &entries(1, 9, 1, 300), &format!("{mode:?} {how:?}"));
        }
    });
}

/// Nobody looks where entries are flushed all the time, nor where nobody is to look, nor into a log in mode none.
#[test]
fn f05_a_disk_that_is_written_to_is_left_alone() {
    let disk = SimDisk::new(1);
    let (engine, all) = idle(&disk, config(), &[Mode::None, Mode::Sync, Mode::Sync, Mode::Sync, Mode::Interval]);
    let quiet = disk.ops();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(disk.ops(), quiet, "never");
    disk.keep_log(10_000);
    check_every(&engine, 50);
    wait_for("twenty looks", Duration::from_secs(20), || since(&disk, quiet).len() >= 20);
    assert!(since(&disk, quiet).iter().all(|op| !op.path.starts_with("/p1/")), "mode none");
    check_every(&engine, 500);
    let began = disk.ops();
    for entry in entries(6, 605, 1, 300) {
        append(&all[1], &[entry]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    // A machine may stand still for longer than that once or twice; there is time for six.
    let looks: Vec<_> = since(&disk, began).into_iter().filter(|op| !op.path.starts_with("/p2")).collect();
    assert!(looks.len() <= 2, "{looks:?}");
}

/// One thread waits with it, a caller no longer than the stall limit, other partitions not at all; what comes back late is only zeros behind
/// what was the end.
#[test]
fn f28_a_look_that_hangs_is_a_stall_of_its_partition_alone() {
    in_checked_modes(|mode| {
        let disk = SimDisk::new(1);
        let limits = EngineConfig { stall_limit_ms: 1500, flush_threads_per_disk: 2, ..config() };
        let (engine, p) = one(&disk, limits, mode);
        let other = open(&engine, "/p2", 2, mode);
        append_each(&other, 1, 5, 1, 300);
        wait_for_quiet(&disk);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
        check_every(&engine, 50);
        assert!(disk.wait_hung(1, Duration::from_secs(5)));
        let hung = disk.ops();
        std::thread::sleep(Duration::from_millis(500));
        assert!(disk.ops() <= hung + 1, "{mode:?}: nobody else looks as long as one hangs");
        append_durably(&other, &entries(6, 6, 1, 300)).unwrap();
        let began = Instant::now();
        let late = append_durably(&p, &entries(6, 6, 1, 300)).expect_err("its worker hangs");
        assert_eq!((late.status, state(&p)), (Status::Stalled, State::Unavailable), "{mode:?}");
        assert!(began.elapsed() < Duration::from_millis(1500) + MARGIN);
        assert_eq!(p.recover().map_err(|e| e.status), Err(Status::Busy), "{mode:?}");
        check_every(&engine, 0);
        disk.release();
        wait_for("recovery", Duration::from_secs(5), || p.recover().is_ok());
        let last = p.bounds().unwrap().1;
        append_durably(&p, &entries(last + 1, last + 3, 1, 300)).unwrap();
        assert_eq!(last, if mode == Mode::Sync { 5 } else { 6 });
        for how in CRASHES {
            let next = disk.fork().crash(how);
            assert_opens_with(&next, mode, &entries(1, last + 3, 1, 300), &format!("{mode:?} {how:?}"));
        }
    });
}

/// Files that hang, of many partitions, beside others that do not: the threads stay for those.
#[test]
fn f28_looks_that_hang_do_not_take_all_threads() {
    let disk = SimDisk::new(1);
    let limits = EngineConfig { stall_limit_ms: 300, flush_threads_per_disk: 2, ..config() };
    let (engine, _hit) = idle(&disk, limits, &[Mode::Sync; 20]);
    let healthy = open(&engine, "/q", 100, Mode::Sync);
    append_each(&healthy, 1, 5, 1, 300);
    wait_for_quiet(&disk);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/p"));
    check_every(&engine, 50);
    for index in 6..12 {
        append(&healthy, &entries(index, index, 1, 300)).unwrap_or_else(|e| panic!("entry {index}: {e}"));
        std::thread::sleep(Duration::from_millis(700));
    }
    disk.release();
    disk.clear_faults();
    disk.release();
}

/// A bad block that is read again and again asks hundreds of times, on a disk that takes its time.
#[test]
fn f05_errors_of_one_partition_do_not_keep_the_disk_busy() {
    let disk = SimDisk::new(1);
    let limits = EngineConfig { stall_limit_ms: 1000, read_cache_bytes: 0, flush_threads_per_disk: 2, ..config() };
    let (engine, all) = idle(&disk, limits, &[Mode::Sync; 300]);
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(20))).on(OpKind::Write));
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Read).path("/p1/seg"));
    check_every(&engine, 250);
    let writes = disk.count(OpKind::Write);
    let began = Instant::now();
    for _ in 0..400 {
        all[0].read(1, 2, 1000).unwrap_err();
    }
    for p in &all[290..] {
        append(p, &entries(6, 6, 1, 300)).unwrap();
    }
    let looks = disk.count(OpKind::Write) - writes - 10;
    let most = 4 + 2 * began.elapsed().as_millis() as u64 / 20;
    assert!(looks <= most.min(60), "{looks} looks in {:?}", began.elapsed());
    assert!(all.iter().all(|p| state(p) == State::ReadWrite));
}

/// A look and a flush take longer than the stall limit only together.
#[test]
fn f28_who_waits_behind_a_look_has_the_whole_limit() {
    for vote in [false, true] {
        let disk = SimDisk::new(1);
        let (engine, p) = one(&disk, EngineConfig { stall_limit_ms: 2000, ..config() }, Mode::Sync);
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(1300))).on(OpKind::Write));
        check_every(&engine, 50);
        wait_for("a look", Duration::from_secs(5), || disk.faults_fired() > 0);
        let done = if vote { p.set_hard_state(hard(3, 1, 0)) } else { append(&p, &entries(6, 6, 1, 300)) };
        done.unwrap();
        assert_eq!(state(&p), State::ReadWrite);
    }
}

#[test]
fn f04_a_panic_in_a_look_stays_in_its_partition() {
    in_checked_modes(|mode| {
        let disk = SimDisk::new(1);
        let (engine, all) = idle(&disk, config(), &[mode; 2]);
        disk.inject(Rule::new(Fault::Panic).on(OpKind::Write).path(TAIL).once());
        check_every(&engine, 20);
        wait_for("the panic", Duration::from_secs(5), || state(&all[0]) == State::Unavailable);
        assert_eq!(all[0].last_fault().map(|e| e.status), Some(Status::Panic));
        all[0].recover().unwrap();
        for p in &all {
            append_durably(p, &entries(6, 8, 1, 300)).unwrap();
            p.close().unwrap();
        }
        assert_opens_with(&disk, mode, &entries(1, 8, 1, 300), &format!("{mode:?}"));
    });
}

/// What is accepted while a look is under way that fails goes to the new segment with it, and nobody hears of it.
#[test]
fn f31_entries_that_come_beside_a_look_that_fails_are_healed() {
    in_checked_modes(|mode| {
        let disk = disk_of(1, false);
        let (engine, p) = one(&disk, healing_config(), mode);
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(300))).on(OpKind::Write).path(TAIL).once());
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path(TAIL));
        check_every(&engine, IDLE_CHECK_MS);
        wait_for("a look", Duration::from_secs(5), || disk.faults_fired() > 0);
        append_durably(&p, &entries(6, 8, 1, 300)).unwrap();
        assert_eq!((state(&p), disk.faults_fired(), p.status().counters.heals), (State::ReadWrite, 2, 1), "{mode:?}");
        check_every(&engine, 0);
        for how in [Crash::Process, Crash::PowerNothing] {
            let next = disk.fork().crash(how);
            next.clear_faults();
            assert_opens_with(&next, mode, &entries(1, 8, 1, 300), &format!("{mode:?} {how:?}"));
        }
    });
}

/// Mode interval: what a look that failed leaves in memory are no entries, and none go with a close.
#[test]
fn f01_a_close_after_a_look_that_failed_loses_no_entries() {
    let disk = SimDisk::new(1);
    let (engine, p) = one(&disk, config(), Mode::Interval);
    disk.inject(Rule::errno(libc::EIO).on_changes().path(TAIL));
    check_every(&engine, 20);
    wait_for("the fault", Duration::from_secs(5), || state(&p) == State::Unavailable);
    p.close().unwrap();
    disk.clear_faults();
    assert!(told(&engine).iter().all(|e| e.cause != Cause::LostEntries));
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_same(&read_all(&p).unwrap(), &entries(1, 5, 1, 300), "all of them");
}

/// On a disk that is full nobody is blamed for what nobody asked for; an owner's close, reset or removal is not in its way.
#[test]
fn f09_no_space_for_a_look_is_no_fault() {
    let disk = SimDisk::new(1);
    let (engine, p) = one(&disk, config(), Mode::Sync);
    disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Write).path(TAIL));
    check_every(&engine, 20);
    wait_for("some looks", Duration::from_secs(5), || disk.faults_fired() > 3);
    assert_eq!((state(&p), p.status().counters.errors), (State::ReadWrite, 0));
    assert!(told(&engine).is_empty());
    disk.clear_faults();
    for n in 0..50u64 {
        p.reset(100 * n + 100, 1).unwrap();
        append_durably(&p, &entries(100 * n + 101, 100 * n + 103, 1, 300)).unwrap();
        std::thread::sleep(Duration::from_millis(n % 25));
    }
    p.close().unwrap();
    let ops = disk.ops();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(disk.ops(), ops, "a closed log is not looked at");
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    assert_same(&read_all(&p).unwrap(), &entries(5001, 5003, 1, 300), "after it");
}
