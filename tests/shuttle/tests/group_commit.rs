//! Group commit under a scheduler that decides at every lock who goes on: appends, submits, votes, a flush that fails, recovery
//! and closing, all at once. Every call returns once, what is acknowledged is durable, and nobody waits for ever.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead::io::sim::{Fault, OpKind, Rule};
use bulkhead::{HardState, Mode, Status};
use shuttle::thread;
use support::{explore, Scenario};

/// Appends of several threads, a submitter among them, share flushes.
fn append_and_submit(mode: Mode) {
    let s = Scenario::new(mode);
    let producers: Vec<_> = (0..2).map(|_| s.spawn(|s| (0..2).for_each(|_| drop(s.append_next())))).collect();
    let submitter = s.spawn(|s| (0..3).for_each(|_| drop(s.submit_next())));
    producers.into_iter().for_each(|p| p.join().unwrap());
    submitter.join().unwrap();
    s.partition.sync().expect("no fault was injected");
    assert_eq!(s.completions(), 3, "one completion for each submit");
    assert_eq!(s.acknowledged().len(), 7);
    s.finish();
}

#[test]
fn appends_and_submits_share_flushes() {
    explore(|| append_and_submit(Mode::Sync));
}

#[test]
fn interval_acknowledges_and_sync_makes_durable() {
    explore(|| append_and_submit(Mode::Interval));
}

/// One flush fails while others wait for it, with it and behind it.
fn one_failed_flush(s: &Arc<Scenario>) -> [Result<(), Status>; 4] {
    s.disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("seg-").skip(1).times(1));
    let twice = |s: &Scenario| [s.append_next(), s.append_next()].map(|r| r.map_err(|e| e.status));
    let producers = [s.spawn(twice), s.spawn(twice)];
    let submitter = s.spawn(|s| (0..2).filter(|_| s.submit_next().is_ok()).count());
    let [first, second] = producers.map(|p| p.join().unwrap());
    let accepted = submitter.join().unwrap();
    // After a fault nothing is under way; without one sync waits for it.
    let _ = s.partition.sync();
    assert_eq!(s.completions(), accepted, "one completion for each accepted submit, fault or not");
    s.finish();
    [first[0], first[1], second[0], second[1]]
}

#[test]
fn a_failed_flush_reaches_every_caller() {
    explore(|| {
        let results = one_failed_flush(&Scenario::new(Mode::Sync));
        assert!(results.iter().all(|r| matches!(r, Ok(()) | Err(Status::IoError | Status::Gap))), "{results:?}");
    });
}

#[test]
fn a_failed_flush_is_healed_for_every_caller() {
    explore(|| {
        let results = one_failed_flush(&Scenario::healing(Mode::Sync));
        assert!(results.iter().all(Result::is_ok), "the disk failed once: {results:?}");
    });
}

fn recover_beside_appends(s: &Arc<Scenario>) {
    s.disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("seg-").skip(1).times(1));
    let producer = s.spawn(|s| (0..3).for_each(|_| drop(s.append_next())));
    let healer = s.spawn(|s| drop(s.partition.recover()));
    let voter = s.spawn(|s| drop(s.vote(2, 0)));
    [producer, healer, voter].into_iter().for_each(|t| t.join().unwrap());
    s.disk.clear_faults();
    // Housekeeping may have met the fault and say so only now.
    let back = (0..2).any(|_| {
        s.partition.recover().expect("the disk writes again");
        s.start_over();
        s.append_next().is_ok()
    });
    assert!(back, "{:?}", s.partition.last_fault());
    s.finish();
}

/// A caller that wakes up only after the recovery must not take the new log's position for its own entry's.
#[test]
fn recovery_beside_appends() {
    explore(|| recover_beside_appends(&Scenario::new(Mode::Sync)));
}

#[test]
fn recovery_beside_healing_appends() {
    explore(|| recover_beside_appends(&Scenario::healing(Mode::Sync)));
}

/// A root write fails under two votes while somebody recovers: a vote that was not stored is not acknowledged.
#[test]
fn recovery_beside_votes() {
    explore(|| {
        let s = Scenario::new(Mode::Sync);
        s.disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p1/root").times(1));
        let voters: Vec<_> = [2, 3].into_iter().map(|term| s.spawn(move |s| drop(s.vote(term, 0)))).collect();
        let healer = s.spawn(|s| drop(s.partition.recover()));
        let producer = s.spawn(|s| drop(s.append_next()));
        voters.into_iter().chain([healer, producer]).for_each(|t| t.join().unwrap());
        s.finish();
    });
}

/// The partition closes while calls are under way: each of them ends, with success or `Closed`, or with `Gap` behind
/// one that was closed.
#[test]
fn closing_a_partition_ends_every_call() {
    explore(|| {
        let s = Scenario::new(Mode::Sync);
        let producers: Vec<_> = (0..2).map(|_| s.spawn(|s| s.append_next())).collect();
        let voter = s.spawn(|s| s.vote(2, 0));
        let closer = s.spawn(|s| s.partition.close());
        for result in producers.into_iter().chain([voter]).map(|t| t.join().unwrap()) {
            let ended = result.map_err(|e| e.status);
            assert!(matches!(ended, Ok(()) | Err(Status::Closed | Status::Busy | Status::Gap)), "{ended:?}");
        }
        closer.join().unwrap().expect("no fault was injected");
        s.finish();
    });
}

#[test]
fn closing_the_engine_ends_every_call() {
    explore(|| {
        let s = Scenario::new(Mode::Sync);
        let producer = s.spawn(|s| (0..2).for_each(|_| drop(s.append_next())));
        let compactor = s.spawn(|s| drop(s.partition.compact(1)));
        let closer = s.spawn(|s| s.engine.close());
        [producer, compactor].into_iter().for_each(|t| t.join().unwrap());
        closer.join().unwrap().expect("no fault was injected");
        s.finish();
    });
}

/// A vote, a suffix that is replaced and a compaction pass through the same worker.
#[test]
fn votes_replacements_and_compaction_beside_appends() {
    explore(|| {
        let s = Scenario::new(Mode::Sync);
        for _ in 0..2 {
            s.append_next().unwrap();
        }
        let producer = s.spawn(|s| (0..2).for_each(|_| drop(s.append_next())));
        let voter = s.spawn(|s| s.vote(5, 1));
        let compactor = s.spawn(|s| s.partition.compact(1));
        producer.join().unwrap();
        voter.join().unwrap().expect("no fault was injected");
        compactor.join().unwrap().expect("no fault was injected");
        assert_eq!(s.partition.hard_state().unwrap(), HardState { term: 5, vote: 1, commit: 1 });
        s.finish();
    });
}

/// Two partitions of one disk share its workers; the fault of one does not hold up the other.
#[test]
fn a_fault_does_not_hold_up_the_neighbour() {
    explore(|| {
        let s = Scenario::new(Mode::Sync);
        let neighbour = s.neighbour(Mode::Sync);
        s.disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p1/seg-"));
        let faulted = s.spawn(|s| drop(s.append_next()));
        let healthy = Arc::clone(&neighbour);
        let other = thread::spawn(move || healthy.append(&support::entry(1, 1)));
        faulted.join().unwrap();
        other.join().unwrap().expect("the neighbour's disk writes");
        let acknowledged: BTreeSet<u64> = s.acknowledged();
        assert!(acknowledged.is_empty(), "acknowledged on a disk that fails: {acknowledged:?}");
        s.finish();
    });
}
