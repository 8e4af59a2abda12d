//! F23, F28: a disk that hangs. The partition says so in time, nobody waits longer than the stall limit, others notice nothing, and what
//! comes back late changes nothing.

use std::collections::HashSet;
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Entry, Error, Event, Mode, Op, Partition, State, Status};

const STALL: Duration = Duration::from_millis(500);
const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];
/// The segment that `start` has begun.
const TAIL: &str = "/p1/seg-0000000000000001";

fn stall_config() -> EngineConfig {
    EngineConfig { stall_limit_ms: STALL.as_millis() as u32, slow_disk_ms: 200, flush_threads_per_disk: 2, ..config() }
}

fn stall_engine(disk: &SimDisk) -> Arc<Engine> {
    Arc::new(Engine::with_storage(stall_config(), Arc::new(disk.clone())).unwrap())
}

/// Five entries, durable.
fn start(disk: &SimDisk, mode: Mode) -> (Arc<Engine>, Arc<Partition>) {
    let engine = stall_engine(disk);
    let p = open(&engine, "/p1", 1, mode);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    wait_for("a spare segment", Duration::from_secs(5), || disk.log().iter().any(|r| r.path.ends_with("02")));
    std::thread::sleep(Duration::from_millis(20));
    engine.events(100);
    (engine, p)
}

fn spawn<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> (Receiver<(T, Duration)>, JoinHandle<()>) {
    let (send, receive) = channel();
    let thread = std::thread::spawn(move || {
        let begun = Instant::now();
        let result = call();
        let _ = send.send((result, begun.elapsed()));
    });
    (receive, thread)
}

fn result<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(Duration::from_secs(20)).expect("the call never returns")
}

/// Waits for the event of the stall. It comes within the stall limit and 100 ms; a loaded machine gets some more. Not before the limit is
/// over since `call`, when nothing hung yet.
fn stall_in_time(engine: &Engine, call: Instant, what: &str) -> Event {
    let hung = Instant::now();
    let event = stall_event(engine);
    assert!(call.elapsed() >= STALL, "{what}: {:?} is before the stall limit", call.elapsed());
    assert!(
        hung.elapsed() <= STALL + Duration::from_millis(100) + slack(),
        "{what}: the event came after {:?}",
        hung.elapsed()
    );
    event
}

fn stall_event(engine: &Engine) -> Event {
    let mut found = None;
    wait_for("the event of the stall", Duration::from_secs(10), || {
        found = engine.events(100).into_iter().find(|e| e.to == State::Unavailable);
        found.is_some()
    });
    let event = found.unwrap();
    assert_eq!(event.cause, Cause::Stalled);
    event
}

fn slack() -> Duration {
    Duration::from_millis(env_number("BULKHEAD_SLACK_MS").unwrap_or(150))
}

/// After the kernel let go, the partition recovers, holds what was acknowledged, also behind a power cut, and takes appends.
fn assert_recovers(disk: &SimDisk, p: &Arc<Partition>, acknowledged: &[Entry], what: &str) {
    let busy = p.recover().expect_err("there must not be a second attempt beside the first");
    assert_eq!(busy.status, Status::Busy, "{what}: {busy}");
    assert_eq!(state(p), State::Unavailable, "{what}");
    disk.clear_faults();
    disk.release();
    wait_for("the kernel to let go", Duration::from_secs(5), || p.recover().is_ok());
    assert_eq!(state(p), State::ReadWrite, "{what}: {:?}", p.last_fault());
    let next = p.bounds().unwrap().1 + 1;
    assert!(next > acknowledged.len() as u64, "{what}: {next}");
    assert_same(&read_all(p).unwrap()[..acknowledged.len()], acknowledged, what);
    let more = entries(next, next + 3, 2, 200);
    append(p, &more).unwrap();
    p.sync().unwrap();
    // What was abandoned may be written a second time by nobody: the disk as a power cut leaves it agrees.
    std::thread::sleep(Duration::from_millis(30));
    let whole = read_all(p).unwrap();
    for crash in [Crash::PowerNothing, Crash::Process] {
        let after = disk.fork().crash(crash);
        let engine = stall_engine(&after);
        let again = reopen(&engine, "/p1", 1, p.status().mode);
        assert_eq!(state(&again), State::ReadWrite, "{what}, {crash:?}: {:?}", again.last_fault());
        assert_same(&read_all(&again).unwrap(), &whole, &format!("{what}, {crash:?}"));
        assert_eq!(again.hard_state().unwrap().vote, p.hard_state().unwrap().vote, "{what}, {crash:?}");
    }
}

/// A call that makes the partition do one kind of operation.
type Trigger = fn(&Partition) -> Result<(), Error>;

fn append_six(p: &Partition) -> Result<(), Error> {
    append(p, &entries(6, 6, 1, 300)).and_then(|()| if p.status().mode == Mode::Interval { p.sync() } else { Ok(()) })
}

/// Fills segments, so that some are made and sealed.
fn fill(p: &Partition) -> Result<(), Error> {
    for index in 6..200 {
        append(p, &entries(index, index, 1, 3000))?;
    }
    // What runs in the background is heard of later.
    std::thread::sleep(STALL * 3);
    append(p, &entries(200, 200, 1, 10))
}

fn vote(p: &Partition) -> Result<(), Error> {
    p.set_hard_state(hard(2, 2, 0))
}

/// One operation hangs. The owner hears of it in time whether anybody waits or not, the partition is Busy until the kernel lets go, and
/// nothing that was acknowledged is lost.
fn hang_one(mode: Mode, rule: Rule, trigger: Trigger, config: SimConfig, op: Option<Op>, background: bool, what: &str) {
    let disk = SimDisk::with_config(11, config);
    let (engine, p) = start(&disk, mode);
    disk.inject(rule.once());
    let own = p.clone();
    let call = Instant::now();
    let (outcome, thread) = spawn(move || trigger(&own));
    assert!(disk.wait_hung(1, Duration::from_secs(10)), "{what}: nothing hangs");
    let event = stall_in_time(&engine, call, what);
    if let Some(op) = op {
        assert_eq!(event.op, op, "{what}");
    }
    assert_eq!((p.status().state, p.status().cause), (State::Unavailable, Cause::Stalled), "{what}");
    assert!(p.status().counters.slow_operations >= 1, "{what}: a stall is slow first");
    if mode != Mode::None {
        let (result, _) = result(&outcome);
        assert_eq!(result.expect_err("it hangs").status, Status::Stalled, "{what}");
    }
    let refused =
        append(&p, &entries(p.bounds().unwrap().1 + 1, p.bounds().unwrap().1 + 1, 9, 10)).expect_err("latched");
    assert_eq!(refused.status, Status::Stalled, "{what}");
    let acknowledged = match p.bounds().unwrap().0 {
        1 => entries(1, 5, 1, 300),
        _ => Vec::new(),
    };
    assert_recovers(&disk, &p, &acknowledged, what);
    let (result, _) = match mode {
        Mode::None => result(&outcome),
        _ => (Ok(()), STALL),
    };
    // What hung in the background is no part of a call.
    assert!(mode != Mode::None || background || result.is_err(), "{what}: nobody may be told that it succeeded");
    thread.join().unwrap();
}

#[test]
fn f23_a_flush_that_hangs() {
    for mode in [Mode::Sync, Mode::Interval] {
        let direct = SimConfig::default();
        let hang = || Rule::new(Fault::Hang).path(TAIL);
        hang_one(
            mode,
            hang().on(OpKind::Write),
            append_six,
            direct,
            Some(Op::Append),
            false,
            &format!("{mode:?}, O_DSYNC"),
        );
        let buffered = SimConfig { direct_io: false, ..SimConfig::default() };
        hang_one(mode, hang().on(OpKind::Sync), append_six, buffered, None, false, &format!("{mode:?}, fdatasync"));
    }
}

#[test]
fn f23_a_root_write_that_hangs() {
    for mode in MODES {
        let rule = Rule::new(Fault::Hang).on(OpKind::Write).path("/p1/root");
        hang_one(mode, rule, vote, SimConfig::default(), Some(Op::HardState), false, &format!("root write, {mode:?}"));
    }
}

#[test]
fn f23_a_segment_whose_creation_hangs() {
    for mode in MODES {
        for kind in [OpKind::Create, OpKind::SyncDir] {
            let rule = Rule::new(Fault::Hang).on(kind).path("/p1");
            hang_one(mode, rule, fill, SimConfig::default(), None, true, &format!("{kind:?}, {mode:?}"));
        }
    }
}

#[test]
fn f23_a_write_of_mode_none_that_hangs() {
    let rule = Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL);
    hang_one(Mode::None, rule, append_six, SimConfig::default(), Some(Op::Append), false, "write of mode none");
}

#[test]
fn f23_a_sync_of_mode_none_that_hangs() {
    let rule = || Rule::new(Fault::Hang).on(OpKind::Sync).path(TAIL);
    hang_one(Mode::None, rule(), fill, SimConfig::default(), Some(Op::Sync), true, "sync of a sealed segment");
    let sync: Trigger = |p| append_six(p).and_then(|()| p.sync());
    hang_one(Mode::None, rule(), sync, SimConfig::default(), Some(Op::Sync), false, "sync by call");
}

#[test]
fn f23_an_unlink_that_hangs() {
    for mode in MODES {
        let rule = Rule::new(Fault::Hang).on(OpKind::Unlink).path("/p1/seg");
        let trigger: Trigger = |p| {
            for index in 6..200 {
                append(p, &entries(index, index, 1, 3000))?;
            }
            p.compact(190)?;
            std::thread::sleep(STALL * 3);
            append(p, &entries(200, 200, 1, 10))
        };
        hang_one(mode, rule, trigger, SimConfig::default(), None, true, &format!("unlink, {mode:?}"));
    }
}

#[test]
fn f23_a_recovery_that_hangs() {
    for (mode, kind) in
        MODES.into_iter().flat_map(|m| [OpKind::Create, OpKind::Write, OpKind::Open, OpKind::Read].map(|k| (m, k)))
    {
        let what = format!("{mode:?}, {kind:?}");
        let disk = SimDisk::new(12);
        let (engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(TAIL).once());
        append_six(&p).expect_err("the write failed");
        engine.events(100);
        disk.inject(Rule::new(Fault::Hang).on(kind).path("/p1/seg").once());
        let own = p.clone();
        let call = Instant::now();
        let (outcome, thread) = spawn(move || own.recover());
        assert!(disk.wait_hung(1, Duration::from_secs(5)), "{what}: nothing hangs");
        let event = stall_in_time(&engine, call, &what);
        assert_eq!((event.from, event.op), (State::Recovering, Op::Recover), "{what}");
        assert_recovers(&disk, &p, &entries(1, 5, 1, 300), &what);
        assert!(result(&outcome).0.is_err(), "{what}: the recovery took too long");
        thread.join().unwrap();
    }
}

#[test]
fn f23_what_comes_back_late_does_not_meet_the_next_opening() {
    for (mode, path) in [(Mode::Sync, TAIL), (Mode::Sync, "/p1/root"), (Mode::None, TAIL), (Mode::None, "/p1/root")] {
        let what = format!("{mode:?}, {path}");
        let disk = SimDisk::new(13);
        let (engine, p) = start(&disk, mode);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(path).once());
        let own = p.clone();
        let trigger = if path == TAIL { append_six } else { vote };
        let (outcome, thread) = spawn(move || trigger(&own));
        stall_event(&engine);
        let closed = p.close().expect_err("something hangs");
        assert_eq!(closed.status, Status::Busy, "{what}");
        assert_eq!(p.close().expect_err("it still hangs").status, Status::Busy, "{what}: closed again");
        let refused =
            try_open(&engine, "/p1", 1, mode).map(|_| ()).expect_err("what hangs may still touch the directory");
        assert_eq!(refused.status, Status::Busy, "{what}: {refused}");
        // It was called locked, as if by another process.
        disk.inject(Rule::errno(libc::EIO).on(OpKind::OpenDir).path("/p1").once());
        let unseen = try_open(&engine, "/p1", 1, mode).map(|_| ()).expect_err("what hangs may still touch it");
        assert_eq!(unseen.status, Status::Busy, "{what}, a look at the directory fails: {unseen}");
        disk.release();
        result(&outcome).0.expect_err("it was given up");
        thread.join().unwrap();
        let mut again = None;
        wait_for("the directory to be free", Duration::from_secs(5), || {
            again = try_open(&engine, "/p1", 1, mode).ok();
            again.is_some()
        });
        p.close().expect("nothing hangs any more");
        let again = again.unwrap();
        assert_same(&read_all(&again).unwrap()[..5], &entries(1, 5, 1, 300), &what);
        again.set_hard_state(hard(3, 7, 0)).unwrap();
        let next = again.bounds().unwrap().1 + 1;
        append_each(&again, next, next + 20, 3, 3000);
        again.sync().unwrap();
        let whole = read_all(&again).unwrap();
        let after = disk.fork().crash(Crash::PowerNothing);
        let engine = stall_engine(&after);
        let found = reopen(&engine, "/p1", 1, mode);
        assert_same(&read_all(&found).unwrap(), &whole, &what);
        assert_eq!(found.hard_state().unwrap().vote, 7, "{what}");
    }
}

#[test]
fn f28_calls_return_within_the_stall_limit() {
    let calls: [(&str, Trigger); 6] = [
        ("append", append_six),
        ("vote", vote),
        ("sync", |p| append(p, &entries(6, 6, 1, 10)).and_then(|()| p.sync())),
        ("compact", |p| p.compact(3)),
        ("reset", |p| p.reset(9, 2)),
        ("close", |p| append(p, &entries(6, 6, 1, 10)).and_then(|()| p.close())),
    ];
    for (mode, (name, call)) in [Mode::Sync, Mode::Interval].into_iter().flat_map(|m| calls.map(|c| (m, c))) {
        let disk = SimDisk::new(14);
        let (_engine, p) = start(&disk, mode);
        disk.inject(Rule::new(Fault::Hang).path("/p1"));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let own = p.clone();
                spawn(move || call(&own))
            })
            .collect();
        for (outcome, thread) in callers {
            let (result, took) = result(&outcome);
            thread.join().unwrap();
            let error = result.expect_err("the disk hangs");
            let expected = [Status::Stalled, Status::Busy, Status::OutOfOrder, Status::Gap, Status::Closed];
            assert!(expected.contains(&error.status), "{mode:?} {name}: {error}");
            let limit = if name == "close" { STALL * 2 } else { STALL };
            assert!(took <= limit * 6 / 5 + slack(), "{mode:?} {name}: returned after {took:?}");
        }
        disk.clear_faults();
        disk.release();
    }
}

#[test]
fn f28_nothing_waits_behind_an_operation_on_the_whole_log_that_hangs() {
    for mode in MODES {
        let disk = SimDisk::new(15);
        let (engine, p) = start(&disk, mode);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(TAIL).once());
        append_six(&p).expect_err("the write failed");
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Create).path("/p1/seg").once());
        let own = p.clone();
        let (hanging, thread) = spawn(move || own.recover());
        assert!(disk.wait_hung(1, Duration::from_secs(5)));
        let calls: [(&str, Trigger); 6] = [
            ("compact", |p| p.compact(3)),
            ("reset", |p| p.reset(9, 2)),
            ("recover", |p| p.recover()),
            ("sync", |p| p.sync()),
            ("append", |p| append(p, &entries(6, 6, 1, 10))),
            ("close", |p| p.close()),
        ];
        for (name, call) in calls {
            let own = p.clone();
            let (outcome, waiter) = spawn(move || call(&own));
            let (result, took) = result(&outcome);
            waiter.join().unwrap();
            assert!(result.is_err(), "{mode:?} {name}");
            assert!(took <= STALL * 6 / 5 + slack(), "{mode:?} {name}: returned after {took:?}");
        }
        disk.release();
        assert!(result(&hanging).0.is_err(), "closed meanwhile");
        thread.join().unwrap();
        assert_eq!(state(&p), State::Closed, "a recovery that comes back late opens nothing");
        drop(engine);
    }
}

#[test]
fn f28_mode_none_answers_while_a_write_hangs() {
    let disk = SimDisk::new(16);
    let (engine, p) = start(&disk, Mode::None);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
    let own = p.clone();
    // It replaces a suffix: until it has come back the old one is there.
    let (outcome, thread) = spawn(move || append(&own, &entries(6, 6, 1, 300)));
    assert!(disk.wait_hung(1, Duration::from_secs(5)));
    let begun = Instant::now();
    assert_eq!(p.status().last_index, 5);
    assert_eq!(p.bounds().unwrap(), (1, 5));
    assert_eq!(p.hard_state().unwrap().vote, 1);
    assert_same(&read_all(&p).unwrap(), &entries(1, 5, 1, 300), "while a write hangs");
    assert!(begun.elapsed() < STALL / 2, "took {:?}", begun.elapsed());
    let own = p.clone();
    let (second, waiter) = spawn(move || append(&own, &entries(6, 6, 1, 300)));
    let (refused, took) = result(&second);
    assert_eq!(refused.expect_err("one write at a time").status, Status::Stalled);
    assert!(took <= STALL * 6 / 5 + slack(), "an append behind one that hangs returned after {took:?}");
    waiter.join().unwrap();
    assert!(!engine.events(10).is_empty());
    disk.release();
    assert_eq!(result(&outcome).0.expect_err("given up").status, Status::Stalled);
    thread.join().unwrap();
    assert_eq!(p.status().last_index, 5, "a late write changes nothing");
}

#[test]
fn f28_partitions_on_another_disk_notice_nothing() {
    let disk = SimDisk::new(17);
    disk.make_dirs("/other");
    disk.set_device("/other", 77);
    let (engine, p) = start(&disk, Mode::Sync);
    let other = open(&engine, "/other/p2", 2, Mode::Sync);
    append_each(&other, 1, 50, 1, 300);
    disk.inject(Rule::new(Fault::Hang).path("/p1"));
    let own = p.clone();
    let (outcome, thread) = spawn(move || append_six(&own));
    assert!(disk.wait_hung(1, Duration::from_secs(5)));
    let (mut next, mut slowest, begun) = (51, Duration::ZERO, Instant::now());
    while begun.elapsed() < STALL + Duration::from_millis(200) {
        let one = Instant::now();
        append(&other, &entries(next, next, 1, 300)).unwrap();
        slowest = slowest.max(one.elapsed());
        next += 1;
    }
    assert!(slowest < STALL / 2, "an append on another disk took {slowest:?}");
    assert!(result(&outcome).0.is_err());
    assert_eq!(state(&other), State::ReadWrite);
    disk.clear_faults();
    disk.release();
    thread.join().unwrap();
}

#[test]
fn a_slow_disk_is_told_once_per_episode_and_latches_nothing() {
    for mode in MODES {
        let disk = SimDisk::new(18);
        let (engine, p) = start(&disk, mode);
        let before = p.status().counters.slow_operations;
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(350))).on(OpKind::Write).path(TAIL).times(2));
        append(&p, &entries(6, 6, 1, 10)).unwrap();
        append(&p, &entries(7, 7, 1, 10)).unwrap();
        p.sync().unwrap();
        wait_for("both writes", Duration::from_secs(5), || p.status().durable_index == 7);
        let slow: Vec<Event> = engine.events(100);
        assert_eq!(slow.len(), 1, "{mode:?}: {slow:?}");
        assert_eq!((slow[0].from, slow[0].to, slow[0].cause), (State::ReadWrite, State::ReadWrite, Cause::Stalled));
        assert!(p.status().counters.slow_operations > before, "{mode:?}");
        assert_eq!(state(&p), State::ReadWrite);
        std::thread::sleep(Duration::from_millis(700));
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(350))).on(OpKind::Write).path(TAIL).once());
        append(&p, &entries(8, 8, 1, 10)).unwrap();
        p.sync().unwrap();
        assert_eq!(engine.events(100).len(), 1, "{mode:?}: another episode");
        // Looking again at a partition that was left alone for a while.
        std::thread::sleep(Duration::from_millis(1500));
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(350))).on(OpKind::Write).path(TAIL).once());
        append(&p, &entries(9, 9, 1, 10)).unwrap();
        p.sync().unwrap();
        assert_eq!(engine.events(100).len(), 1, "{mode:?}: after a pause");
    }
}

#[test]
fn every_accepted_batch_completes_once_although_the_disk_hangs() {
    let disk = SimDisk::new(19);
    let (engine, p) = start(&disk, Mode::Sync);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
    for token in 0..20u64 {
        p.submit(&refs(&entries(6 + token, 6 + token, 1, 100)), token).unwrap();
    }
    let mut done = Vec::new();
    wait_for("the completions", Duration::from_secs(5), || {
        done.extend(engine.completions(100));
        done.len() >= 20
    });
    assert!(done.iter().all(|c| c.status == Status::Stalled));
    disk.release();
    wait_for("recovery", Duration::from_secs(5), || p.recover().is_ok());
    std::thread::sleep(Duration::from_millis(50));
    done.extend(engine.completions(100));
    assert_eq!(done.iter().map(|c| c.token).collect::<HashSet<_>>().len(), 20);
    assert_eq!(done.len(), 20, "a late completion completes nothing a second time");
}
