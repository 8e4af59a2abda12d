//! The life of a log on a real filesystem, in every mode.

use bulkhead::{Engine, EngineConfig, EntryRef, HardState, Mode, Partition, PartitionConfig, State};
use std::sync::Arc;

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];

fn data(index: u64, term: u64) -> Vec<u8> {
    let size = (index * 37 % 5000) as usize;
    (0..size).map(|i| (i as u64 * 31 + index * 7 + term) as u8).collect()
}

fn append(p: &Partition, first: u64, last: u64, term: u64) {
    let payloads: Vec<_> = (first..=last).map(|i| data(i, term)).collect();
    let entries: Vec<_> =
        (first..=last).zip(&payloads).map(|(index, d)| EntryRef { index, term, kind: 0, data: d }).collect();
    p.append(&entries).unwrap();
}

fn check(p: &Partition, lo: u64, hi: u64, term: impl Fn(u64) -> u64) {
    let mut next = lo;
    while next < hi {
        let entries = p.read(next, hi, 1 << 20).unwrap();
        assert!(!entries.is_empty());
        for e in entries {
            assert_eq!((e.index, e.term), (next, term(next)));
            assert_eq!(e.data, data(next, term(next)), "entry {next}");
            assert_eq!(p.term(next).unwrap(), e.term);
            next += 1;
        }
    }
}

fn open(engine: &Engine, path: &std::path::Path, mode: Mode) -> Arc<Partition> {
    let p = engine.open_partition(PartitionConfig { mode, ..PartitionConfig::new(path, 7) }).unwrap();
    assert_eq!(p.status().state, State::ReadWrite, "{:?}", p.last_fault());
    p
}

#[test]
fn life_of_a_log() {
    for mode in MODES {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("wal_7");
        let engine = Engine::open(EngineConfig::default()).unwrap();
        let p = open(&engine, &path, mode);
        assert_eq!(p.bounds().unwrap(), (1, 0));
        for batch in 0..100 {
            append(&p, batch * 10 + 1, batch * 10 + 10, 1);
        }
        check(&p, 1, 1001, |_| 1);
        append(&p, 901, 950, 2);
        let term = |i: u64| if i > 900 { 2 } else { 1 };
        check(&p, 1, 951, term);
        p.set_hard_state(HardState { term: 3, vote: 2, commit: 940 }).unwrap();
        p.compact(500).unwrap();
        assert_eq!(p.bounds().unwrap(), (501, 950));
        p.close().unwrap();
        let p = open(&engine, &path, mode);
        assert_eq!(p.hard_state().unwrap(), HardState { term: 3, vote: 2, commit: 940 });
        assert_eq!(p.bounds().unwrap(), (501, 950));
        check(&p, 501, 951, term);
        append(&p, 951, 1000, 3);
        append(&p, 990, 1010, 4);
        p.reset(2000, 4).unwrap();
        assert_eq!(p.bounds().unwrap(), (2001, 2000));
        append(&p, 2001, 2100, 5);
        drop(p);
        drop(engine);
        let engine = Engine::open(EngineConfig::default()).unwrap();
        let p = open(&engine, &path, mode);
        assert_eq!(p.bounds().unwrap(), (2001, 2100));
        check(&p, 2001, 2101, |_| 5);
        assert_eq!(p.verify().unwrap().entries, 100);
        assert_eq!(p.term(2000).unwrap(), 4);
        engine.close().unwrap();
    }
}

/// The README's Rust program is the one that is compiled as the library's own example.
#[test]
fn the_readme_has_the_example_that_is_compiled() {
    let between = |text: &str, begin: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim_start_matches("//!").to_string());
        lines.skip_while(|line| line.trim() != begin).skip(1).take_while(|line| line.trim() != "```").collect()
    };
    let example = between(include_str!("../src/lib.rs"), "```no_run").into_iter();
    let example: Vec<_> = example.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_string()).collect();
    assert!(example.len() > 5);
    assert_eq!(between(include_str!("../README.md"), "```rust"), example);
}
