//! The threads that all partitions share: none does I/O for one of them, and none is lost to a panic over one of them.

use super::*;
use crate::io::sim::{Fault, OpKind, Rule};
use crate::io::Calls;
use crate::partition::test_host::{test_limits, TestHost};
use crate::partition::{EntryRef, Mode, State};
use crate::{Limit, LimitChange};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const DATA: EntryRef<'static> = EntryRef { index: 1, term: 1, kind: 0, data: b"data" };

/// Names of threads that did I/O and must not.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn note_thread() {
    let name = std::thread::current().name().unwrap_or_default().to_string();
    if ["disks", "limits", "bulkhead-timer", "bulkhead-watch"].contains(&name.as_str()) {
        SEEN.lock().insert(name);
    }
}

fn config() -> EngineConfig {
    EngineConfig { segment_min_bytes: 64 << 10, segment_max_bytes: 64 << 10, ..EngineConfig::default() }
}

fn wait_for(what: &str, met: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !met() {
        assert!(Instant::now() < end, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The owner drops partitions without a close while others look at all of them: whoever holds one last closes it, and that is I/O.
#[test]
fn f05_who_looks_at_all_partitions_closes_none() {
    let disk = SimDisk::new(1);
    let engine = Engine::with_storage(config(), Arc::new(disk.clone())).unwrap();
    let over = AtomicBool::new(false);
    disk.set_hook(Some(note_thread));
    std::thread::scope(|scope| {
        let again = |name: &str, look: fn(&Engine)| {
            let (engine, over) = (&engine, &over);
            let looks = move || {
                while !over.load(Ordering::Relaxed) {
                    look(engine);
                }
            };
            std::thread::Builder::new().name(name.into()).spawn_scoped(scope, looks).unwrap();
        };
        again("disks", |engine| drop(engine.disks()));
        again("limits", |engine| {
            engine.set_limits(&[LimitChange { limit: Limit::IntervalMs, value: Some(50) }]).unwrap();
        });
        for round in 0..8 {
            let open = |i: u64| {
                let config = PartitionConfig { mode: Mode::Sync, ..PartitionConfig::new(format!("/p{round}-{i}"), i) };
                engine.open_partition(config).unwrap()
            };
            let partitions: Vec<_> = (1..=32).map(open).collect();
            partitions.iter().for_each(|p| p.submit(&[DATA], 1).unwrap());
            drop(partitions);
        }
        over.store(true, Ordering::Relaxed);
    });
    engine.close().unwrap();
    assert_eq!(*SEEN.lock(), BTreeSet::new());
}

/// A partition whose telling panics is seen first; the one behind it hangs as well, and the next look comes.
#[test]
fn f04_a_panic_over_one_partition_does_not_end_the_watchdog() {
    let disk = SimDisk::new(1);
    let hosts = [(); 3].map(|()| Arc::new(TestHost::default()));
    let partitions: Vec<_> =
        (1..).zip(&hosts).map(|(id, host)| host.open(&disk, &format!("/p{id}"), id, Mode::None)).collect();
    hosts[0].panics.store(true, Ordering::Relaxed);
    let watchdog = Watchdog::default();
    std::thread::scope(|scope| {
        scope.spawn(|| watchdog.run());
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-"));
        let hang = |p: &Arc<Partition>| {
            let p = p.clone();
            scope.spawn(move || p.append(&[DATA]));
        };
        partitions[..2].iter().for_each(hang);
        assert!(disk.wait_hung(2, Duration::from_secs(5)));
        partitions.iter().for_each(|p| watchdog.add(p));
        let latched = |i: usize| partitions[i].status().state == State::Unavailable;
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the one that panics", || latched(0));
            wait_for("the one behind it", || latched(1));
            hang(&partitions[2]);
            wait_for("one that hangs later", || latched(2));
        }));
        watchdog.stop();
        disk.clear_faults();
        disk.release();
        seen.unwrap();
    });
    hosts[0].panics.store(false, Ordering::Relaxed);
}

/// What the watchdog has seen hanging comes back, and the partition recovers, before it gets to tell.
#[test]
fn f23_a_call_that_has_come_back_latches_nothing() {
    let disk = SimDisk::new(1);
    let p = Arc::new(TestHost::default()).open(&disk, "/p1", 1, Mode::None);
    std::thread::scope(|scope| {
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-"));
        let append = scope.spawn(|| p.append(&[DATA]));
        assert!(disk.wait_hung(1, Duration::from_secs(5)));
        let seen = p.calls().look();
        let tell = || seen.iter().enumerate().filter(|(_, call)| Calls::code(**call).is_some());
        assert_eq!(tell().count(), 1);
        // In time, it is what latches.
        assert!(tell().all(|(at, call)| p.call_hangs(at, *call)));
        assert_eq!(p.status().state, State::Unavailable);
        disk.clear_faults();
        disk.release();
        append.join().unwrap().unwrap_err();
        p.recover().unwrap();
        assert!(tell().all(|(at, call)| p.call_hangs(at, *call)));
        assert_eq!(p.status().state, State::ReadWrite, "latched by a call that has long come back");
        p.append(&[DATA]).unwrap();
    });
}

/// A partition whose housekeeping panics, and the latching of that too: the ticks go on, and so do delayed flushes.
#[test]
fn f04_a_panic_over_one_partition_does_not_end_the_timer() {
    let storage = SimDisk::new(1);
    let shared = Engine::shared(EngineConfig::default()).unwrap();
    let disk = Disk::start(shared, Arc::new(storage.clone()), 1, Path::new("/"), &test_limits()).unwrap();
    let [bad, good] = [(); 2].map(|()| Arc::new(TestHost::default()));
    let panics = bad.open(&storage, "/panics", 1, Mode::None);
    let works = good.open(&storage, "/works", 2, Mode::None);
    for p in [&panics, &works] {
        p.append(&[DATA]).unwrap();
        p.sync().unwrap();
        disk.add(p, Path::new("/"));
    }
    let told = bad.told.load(Ordering::Relaxed);
    bad.panics.store(true, Ordering::Relaxed);
    // A mark is due at the third tick.
    wait_for("a tick that panics", || bad.told.load(Ordering::Relaxed) > told);
    std::thread::sleep(Duration::from_millis(100));
    let waits = Arc::downgrade(&works);
    DiskHost(disk.clone()).flush_later(works, Duration::ZERO);
    wait_for("the timer", || waits.strong_count() == 0);
    bad.panics.store(false, Ordering::Relaxed);
    drop(panics);
    disk.stop();
}
