//! F19: a compaction beside a look.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Mode interval: the look is at a segment that entries of a newer term have replaced, and they wait behind it. The compaction waits, too: the
/// root that it wrote would have to keep that segment, and after a crash before the entries the old ones would follow its compaction point.
#[test]
fn f19_a_compaction_waits_for_a_look_at_what_was_replaced() {
    let compacted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (how, n) in [Crash::Process, Crash::PowerNothing].into_iter().flat_map(|how| (6..20).map(move |n| (how, n)))
        {
            let compacted = &compacted;
            scope.spawn(move || {
                let (first, last, terms) = compact_beside_a_look(how, n);
                if first == 5 {
                    compacted.fetch_add(1, Ordering::Relaxed);
                    assert_eq!((last, &terms[..]), (4, &[][..]), "{how:?} {n}");
                }
            });
        }
    });
    assert!(compacted.load(Ordering::Relaxed) >= 4, "{compacted:?}");
}

/// Crashes at the n-th operation after the look has begun. What is there then: its bounds, the terms of its entries.
fn compact_beside_a_look(how: Crash, n: u64) -> (u64, u64, Vec<u64>) {
    let disk = SimDisk::new(1);
    let (engine, p) = one(&disk, EngineConfig { interval_ms: 10, ..config() }, Mode::Interval);
    p.set_hard_state(hard(2, 1, 2)).unwrap();
    // Until the commit is in a last mark.
    std::thread::sleep(Duration::from_millis(3500));
    wait_for_quiet(&disk);
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(800))).on(OpKind::Write).path(TAIL).once());
    check_every(&engine, IDLE_CHECK_MS);
    wait_for("a look", Duration::from_secs(5), || disk.faults_fired() > 0);
    check_every(&engine, 0);
    append(&p, &entries(3, 4, 2, 300)).unwrap();
    p.set_hard_state(hard(2, 1, 4)).unwrap();
    disk.crash_at(disk.ops() + n);
    let _ = p.compact(4).and_then(|()| p.sync());
    let next = disk.crash(how);
    let engine = Engine::with_storage(config(), Arc::new(next.clone())).unwrap();
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_eq!(state(&p), State::ReadWrite, "{how:?} {n}: {:?}", p.last_fault());
    let (first, last) = p.bounds().unwrap();
    (first, last, read_all(&p).unwrap().iter().map(|e| e.term).collect())
}
