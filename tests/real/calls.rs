//! Bad calls on real files: each a distinct status with a message, nothing lost, nothing changed. F29 for the Rust API.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::support::*;
use bulkhead::{Disposition, Engine, EngineConfig, Error, Mode, Partition, PartitionConfig, State, Status};

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];

struct Fixture {
    partition: Arc<Partition>,
    engine: Engine,
    dir: tempfile::TempDir,
    mode: Mode,
}

/// Entries 6 to 10 of terms 2 and 3, compacted at 5, hard state (3, 1, 7).
fn fixture(mode: Mode) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineConfig { max_entry_bytes: 1 << 20, ..EngineConfig::default() }).unwrap();
    let partition =
        engine.open_partition(PartitionConfig { mode, ..PartitionConfig::new(dir.path().join("p"), 1) }).unwrap();
    append(&partition, &entries(1, 8, 2, 100)).unwrap();
    append(&partition, &entries(9, 10, 3, 100)).unwrap();
    partition.set_hard_state(hard(3, 1, 7)).unwrap();
    partition.compact(5).unwrap();
    Fixture { partition, engine, dir, mode }
}

fn log() -> Vec<bulkhead::Entry> {
    [entries(6, 8, 2, 100), entries(9, 10, 3, 100)].concat()
}

impl Fixture {
    /// Nothing changed, in memory or on disk.
    fn assert_untouched(self) {
        let check = |p: &Partition| {
            assert_eq!((state(p), p.bounds().unwrap()), (State::ReadWrite, (6, 10)), "{:?}", self.mode);
            assert_same(&read_all(p).unwrap(), &log(), "after refused calls");
            let stored = p.hard_state().unwrap();
            assert_eq!((stored.term, stored.vote), (3, 1));
        };
        check(&self.partition);
        self.partition.close().unwrap();
        let path = self.dir.path().join("p");
        let again = PartitionConfig {
            mode: self.mode,
            disposition: Disposition::OpenExisting,
            ..PartitionConfig::new(path, 1)
        };
        check(&self.engine.open_partition(again).unwrap());
    }
}

fn assert_status<T: std::fmt::Debug>(result: Result<T, Error>, status: Status, what: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.status, status, "{what}: {error}");
    assert!(error.message.len() > 10, "{what}: the message says too little: {error}");
    assert_eq!(error.errno, 0, "{what}: no system call failed");
}

#[test]
fn appends_that_make_no_sense_have_a_status_each() {
    for mode in MODES {
        let f = fixture(mode);
        let p = &f.partition;
        let gap_inside = [entries(11, 11, 3, 1), entries(13, 13, 3, 1)].concat();
        let backwards = [entries(11, 11, 3, 1), entries(10, 10, 3, 1)].concat();
        let twice = [entries(11, 11, 3, 1), entries(11, 11, 3, 1)].concat();
        let term_back = [entries(11, 11, 4, 1), entries(12, 12, 3, 1)].concat();
        assert_status(append(p, &[]), Status::NoEntries, "no entries");
        assert_status(append(p, &gap_inside), Status::OutOfOrder, "a gap inside the batch");
        assert_status(append(p, &backwards), Status::OutOfOrder, "backwards");
        assert_status(append(p, &twice), Status::OutOfOrder, "an index twice");
        assert_status(append(p, &entries(12, 12, 3, 1)), Status::Gap, "a gap after the last");
        assert_status(append(p, &entries(u64::MAX, u64::MAX, 3, 1)), Status::Gap, "the last index there is");
        assert_status(append(p, &entries(5, 5, 3, 1)), Status::Compacted, "the compaction point");
        assert_status(append(p, &entries(1, 12, 3, 1)), Status::Compacted, "below the compaction point");
        assert_status(append(p, &entries(0, 0, 3, 1)), Status::Compacted, "index 0");
        assert_status(append(p, &term_back), Status::TermRegression, "a term going back inside the batch");
        assert_status(append(p, &entries(11, 11, 2, 1)), Status::TermRegression, "a term below the last entry's");
        assert_status(
            append(p, &entries(9, 9, 1, 1)),
            Status::TermRegression,
            "a term below the entry's before a replaced suffix",
        );
        assert_status(append(p, &entries(11, 11, 3, (1 << 20) + 1)), Status::EntryTooLarge, "an entry over the limit");
        let many = [entries(11, 11, 3, 10), entries(12, 12, 3, (1 << 20) + 1)].concat();
        assert_status(append(p, &many), Status::EntryTooLarge, "one entry of a batch over the limit: none is taken");
        assert_status(p.submit(&[], 5), Status::NoEntries, "submit of nothing");
        assert!(f.engine.completions(10).is_empty(), "a refused submit completes nothing");
        f.assert_untouched();
    }
}

#[test]
fn an_entry_of_exactly_the_limit_fits() {
    for mode in MODES {
        let f = fixture(mode);
        append(&f.partition, &entries(11, 11, 3, 1 << 20)).unwrap();
        assert_eq!(f.partition.read(11, 12, 1).unwrap()[0].data.len(), 1 << 20);
    }
}

#[test]
fn reads_and_compactions_out_of_range() {
    for mode in MODES {
        let f = fixture(mode);
        let p = &f.partition;
        assert_status(p.read(5, 8, 100), Status::Compacted, "read at the compaction point");
        assert_status(p.read(0, 8, 100), Status::Compacted, "read at 0");
        assert_status(p.read(11, 12, 100), Status::OutOfRange, "read beyond the last");
        assert_status(p.read(u64::MAX, u64::MAX, 100), Status::OutOfRange, "read of the last index there is");
        assert!(p.read(8, 8, 100).map_or(true, |v| v.is_empty()), "an empty range has no entries");
        assert!(p.read(9, 7, 100).map_or(true, |v| v.is_empty()), "a range that ends before it begins has no entries");
        assert_eq!(p.read(6, u64::MAX, u64::MAX).unwrap().len(), 5, "an end beyond the last is cut");
        assert_eq!(p.read(6, 11, 0).unwrap().len(), 1, "at least one");
        assert_eq!(p.read(6, 11, 150).unwrap().len(), 2, "the entry that goes over the size is included");
        assert_status(p.term(4), Status::Compacted, "term below the compaction point");
        assert_eq!(p.term(5).unwrap(), 2, "the compaction point's term is known");
        assert_status(p.term(11), Status::OutOfRange, "term beyond the last");
        p.compact(5).unwrap();
        p.compact(0).unwrap();
        assert_status(p.compact(11), Status::OutOfRange, "compaction beyond the last");
        assert_status(p.set_hard_state(hard(3, 1, 11)), Status::CommitOutOfRange, "a commit beyond the last");
        assert_status(p.set_hard_state(hard(3, 1, 6)), Status::CommitOutOfRange, "a commit going back");
        assert_status(p.set_hard_state(hard(2, 1, 7)), Status::TermRegression, "a term going back");
        f.assert_untouched();
    }
}

#[test]
fn configurations_out_of_range_name_the_value() {
    let good = EngineConfig::default();
    let rows = [
        ("max_entry_bytes", EngineConfig { max_entry_bytes: 0, ..good.clone() }),
        ("max_entry_bytes", EngineConfig { max_entry_bytes: (64 << 20) + 1, ..good.clone() }),
        ("segment_max_bytes", EngineConfig { segment_max_bytes: (1 << 30) + 1, ..good.clone() }),
        ("segment_max_bytes", EngineConfig { segment_max_bytes: 1 << 10, ..good.clone() }),
        ("segment_min_bytes", EngineConfig { segment_min_bytes: 0, ..good.clone() }),
        ("interval_ms", EngineConfig { interval_ms: 60_001, ..good.clone() }),
        ("stall_limit_ms", EngineConfig { stall_limit_ms: 99, ..good.clone() }),
        ("slow_disk_ms", EngineConfig { slow_disk_ms: 600_001, ..good.clone() }),
        ("flush_threads_per_disk", EngineConfig { flush_threads_per_disk: 65, ..good.clone() }),
        ("idle_check_ms", EngineConfig { idle_check_ms: 60_001, ..good.clone() }),
    ];
    for (name, config) in rows {
        let error = Engine::open(config).err().unwrap_or_else(|| panic!("{name} was accepted"));
        assert!(error.status == Status::InvalidConfig && error.message.contains(name), "{error}");
    }
}

/// Every call of a partition, as a status.
fn every_call(p: &Partition) -> Vec<(&'static str, Result<(), Error>)> {
    vec![
        ("append", append(p, &entries(11, 11, 3, 1))),
        ("submit", p.submit(&refs(&entries(11, 11, 3, 1)), 1)),
        ("read", p.read(6, 7, 10).map(drop)),
        ("term", p.term(6).map(drop)),
        ("bounds", p.bounds().map(drop)),
        ("compact", p.compact(6)),
        ("reset", p.reset(20, 9)),
        ("set_hard_state", p.set_hard_state(hard(4, 1, 7))),
        ("hard_state", p.hard_state().map(drop)),
        ("sync", p.sync()),
        ("recover", p.recover()),
        ("verify", p.verify().map(drop)),
    ]
}

#[test]
fn f29_every_call_on_a_closed_partition_says_closed() {
    for mode in MODES {
        let f = fixture(mode);
        f.partition.close().unwrap();
        for (name, result) in every_call(&f.partition) {
            assert_eq!(result.map_err(|e| e.status), Err(Status::Closed), "{mode:?}: {name}");
        }
        assert_eq!(f.partition.status().state, State::Closed);
        assert!(
            f.partition.close().map_or_else(|e| e.status == Status::Closed, |()| true),
            "closing twice is harmless"
        );
        let path = f.dir.path().join("p");
        let p = f.engine.open_partition(PartitionConfig { mode, ..PartitionConfig::new(path, 1) }).unwrap();
        assert_same(&read_all(&p).unwrap(), &log(), "nothing changed after the close");
        f.engine.close().unwrap();
        assert!(
            every_call(&p).iter().all(|(_, r)| r.as_ref().is_err_and(|e| e.status == Status::Closed)),
            "an engine closes its partitions"
        );
        let config = PartitionConfig::new(f.dir.path().join("q"), 2);
        assert_eq!(f.engine.open_partition(config).err().map(|e| e.status), Some(Status::Closed));
    }
}

#[test]
fn f29_close_while_others_are_inside_a_call_is_safe() {
    for (mode, round) in MODES.into_iter().flat_map(|m| (0..8u64).map(move |r| (m, r))) {
        let f = fixture(mode);
        let stop = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut last = 10;
                while append(&f.partition, &entries(last + 1, last + 1, 3, 200)).is_ok() {
                    last += 1;
                }
                last
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let _ = (f.partition.read(6, 9, 1000), f.partition.status(), f.partition.sync());
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(1 + round * 3));
            f.partition.close().unwrap();
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        let config = PartitionConfig { mode, ..PartitionConfig::new(f.dir.path().join("p"), 1) };
        let p = f.engine.open_partition(config).unwrap();
        let last = p.bounds().unwrap().1;
        assert!(
            last >= acknowledged && last <= acknowledged + 1,
            "{mode:?}: {acknowledged} acknowledged, {last} there"
        );
    }
}
