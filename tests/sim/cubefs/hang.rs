//! F28, F23: a conversion on a disk that hangs returns, and what comes back late does nothing more.

use super::*;
use crate::support::wait_for;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const STALL: Duration = Duration::from_millis(100);
/// What a call may take beyond that on a busy machine.
const MARGIN: Duration = Duration::from_millis(850);
const PATIENCE: Duration = Duration::from_secs(10);

fn threaded(disk: &SimDisk, stall: Duration) -> Engine {
    let stall_limit_ms = stall.as_millis() as u32;
    let sizes = EngineConfig { segment_min_bytes: 64 << 10, segment_max_bytes: 64 << 10, ..EngineConfig::default() };
    Engine::with_storage(EngineConfig { stall_limit_ms, ..sizes }, Arc::new(disk.clone())).expect("an engine")
}

type Call = fn(&Conversion<'_>) -> Result<()>;

const ELSEWHERE: Call = |c| c.export("/out".as_ref()).map(drop);

/// All conversions, with how they leave the directory for whoever goes on.
fn calls() -> Vec<(&'static str, SimDisk, Call, Option<&'static Case>)> {
    let made = |case: &'static Case| (case.name, (case.disk)(1, SimConfig::default()), case.call, Some(case));
    let elsewhere = ("export elsewhere", imported(1, SimConfig::default()), ELSEWHERE, None);
    CASES.iter().map(made).chain([elsewhere]).collect()
}

/// Changes of the disk so far; an open that is refused syncs the directory that its own is in.
fn changes(disk: &SimDisk) -> Vec<OpRecord> {
    disk.log().into_iter().filter(|op| op.kind.is_change() && op.path != "/").collect()
}

fn status<T>(result: Result<T>) -> Option<Status> {
    result.err().map(|e| e.status)
}

/// Hangs at one operation.
fn hang_at(name: &str, disk: &SimDisk, op: u64, call: Call, case: Option<&Case>) {
    let what = format!("{name}, hanging at {}", op - disk.ops());
    let disk = disk.fork();
    disk.keep_log(1 << 20);
    disk.inject(Rule::new(Fault::Hang).from_op(op).once());
    let engine = threaded(&disk, STALL);
    let conversion = Conversion::new(&engine, PATH, 7);
    let begun = Instant::now();
    let told = call(&conversion);
    if disk.faults_fired() == 0 {
        return; // with threads it has taken fewer operations
    }
    let e = told.expect_err(&what);
    assert_eq!(e.status, Status::Stalled, "{what}: {e}");
    assert!(e.message.contains("/wal_7") || e.message.contains("/out"), "{what}: it does not say what hangs: {e}");
    assert!(begun.elapsed() < STALL + MARGIN, "{what}: {:?}", begun.elapsed());
    let at_once = Instant::now();
    assert_eq!(status(call(&conversion)), Some(Status::Busy), "{what}: the same call again");
    // Of another partition: it changes nothing when it may.
    let config = PartitionConfig { disposition: Disposition::OpenExisting, ..PartitionConfig::new(PATH, 8) };
    let open = || status(engine.open_partition(config.clone()));
    assert_eq!(open(), Some(Status::Busy), "{what}: an open");
    assert!(at_once.elapsed() < STALL, "{what}: they hang, too");
    let seen = changes(&disk);
    let left = |when: &str| {
        if let Some(case) = case {
            check_left(&disk.fork(), case, &format!("{what}, {when}"));
        }
    };
    left("while it does");
    disk.release();
    wait_for("what hangs to come back", PATIENCE, || open() != Some(Status::Busy));
    assert_eq!(changes(&disk)[seen.len()..], [], "{what}: it went on");
    left("when it has come back");
    disk.clear_faults();
    // The lock is let go a moment later.
    let again = || status(call(&conversion)) != Some(Status::Locked);
    wait_for("the lock", PATIENCE, again);
    engine.close().unwrap_or_else(|e| panic!("{what}: {e}"));
}

#[test]
fn f28_a_conversion_on_a_hung_disk_returns_and_does_nothing_late() {
    for (name, disk, call, case) in calls() {
        let whole = disk.fork();
        let engine = threaded(&whole, STALL);
        call(&Conversion::new(&engine, PATH, 7)).unwrap_or_else(|e| panic!("{name}: {e}"));
        engine.close().expect("nothing hangs");
        let (next, last) = (AtomicU64::new(disk.ops() + 1), whole.ops());
        let points = || loop {
            let op = next.fetch_add(1, Ordering::Relaxed);
            if op > last {
                return;
            }
            hang_at(name, &disk, op, call, case);
        };
        std::thread::scope(|s| {
            (0..16).for_each(|_| drop(s.spawn(points)));
        });
        println!("{name}: {} operations", last - disk.ops());
    }
}

/// The stall limit on a disk that is slow: a machine that pauses is not to be taken for a disk that does.
const SLOW: Duration = Duration::from_millis(1600);

/// One that gets on is not taken for hung, however long it takes; and it tells on its caller's thread how far it is.
#[test]
fn f28_a_conversion_on_a_slow_disk_goes_on() {
    std::thread::scope(|s| {
        for (name, disk, call, _) in calls() {
            s.spawn(move || slow(name, &disk, call));
        }
    });
}

/// Each operation comes back with the next tick.
fn slow(name: &str, disk: &SimDisk, call: Call) {
    disk.inject(Rule::new(Fault::Hang));
    let over = AtomicBool::new(false);
    let tick = || {
        while !over.load(Ordering::Relaxed) {
            std::thread::sleep(SLOW / 40);
            disk.release();
        }
    };
    std::thread::scope(|s| {
        s.spawn(tick);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| converts(name, disk, call)));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn converts(name: &str, disk: &SimDisk, call: Call) {
    let engine = threaded(disk, SLOW);
    let caller = std::thread::current().id();
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |now| {
        assert_eq!(std::thread::current().id(), caller, "{name}: it is told elsewhere");
        told.borrow_mut().push(now);
    };
    let begun = Instant::now();
    call(&Conversion::new(&engine, PATH, 7).progress(&tell)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(begun.elapsed() > SLOW, "{name}: {:?}", begun.elapsed());
    if let ("import" | "export", Some(last)) = (name, told.borrow().last()) {
        assert_eq!(last.done_bytes, last.total_bytes, "{name}");
    }
    assert!(!matches!(name, "import" | "export") || !told.borrow().is_empty(), "{name}: nothing is told");
    engine.close().unwrap_or_else(|e| panic!("{name}: {e}"));
}
