//! Shared by the tests: short ways to make disks, engines, partitions and entries.
#![allow(dead_code)] // each test binary uses its own part

pub mod alloc;
pub mod driver;
pub mod field;
pub mod judge;
pub mod model;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead::io::sim::{mix, Crash, OpKind, Rule, SimDisk};
use bulkhead::{
    Disposition, Engine, EngineConfig, Entry, EntryRef, Error, HardState, MetricValue, Mode, Partition,
    PartitionConfig, State,
};

/// Small segments, so that a short test crosses several; a short stall limit, so that a hang is found soon.
pub fn config() -> EngineConfig {
    EngineConfig {
        segment_min_bytes: 64 << 10,
        segment_max_bytes: 256 << 10,
        interval_ms: 10,
        stall_limit_ms: 2_000,
        // What a fault does is seen best where nothing heals it.
        heal_limit_ms: 0,
        space_wait_ms: 0,
        probe_ms: 0,
        // Nor is it to write, and fail, at moments of its own.
        idle_check_ms: 0,
        ..EngineConfig::default()
    }
}

/// The same with everything that heals by itself.
pub fn healing_config() -> EngineConfig {
    let defaults = EngineConfig::default();
    EngineConfig {
        heal_limit_ms: defaults.heal_limit_ms,
        space_wait_ms: defaults.space_wait_ms,
        probe_ms: defaults.probe_ms,
        ..config()
    }
}

pub fn healing_engine(disk: &SimDisk) -> Engine {
    Engine::with_storage(healing_config(), Arc::new(disk.clone())).expect("an engine opens without touching a disk")
}

pub fn engine(disk: &SimDisk) -> Engine {
    Engine::with_storage(config(), Arc::new(disk.clone())).expect("an engine opens without touching a disk")
}

pub fn partition_config(path: &str, id: u64, mode: Mode) -> PartitionConfig {
    PartitionConfig { mode, ..PartitionConfig::new(PathBuf::from(path), id) }
}

pub fn try_open(engine: &Engine, path: &str, id: u64, mode: Mode) -> Result<Arc<Partition>, Error> {
    engine.open_partition(partition_config(path, id, mode))
}

pub fn open(engine: &Engine, path: &str, id: u64, mode: Mode) -> Arc<Partition> {
    try_open(engine, path, id, mode).unwrap_or_else(|e| panic!("open of {path} failed: {e}"))
}

/// Opens what must be there already.
pub fn reopen(engine: &Engine, path: &str, id: u64, mode: Mode) -> Arc<Partition> {
    let config = PartitionConfig { disposition: Disposition::OpenExisting, ..partition_config(path, id, mode) };
    engine.open_partition(config).unwrap_or_else(|e| panic!("open of {path} failed: {e}"))
}

/// What a payload looks like: verdicts must not depend on it (F13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    Zeros,
    /// Bytes like those of record headers, segment headers and roots.
    Records,
    Random,
}

impl Payload {
    pub const ALL: [Payload; 3] = [Payload::Zeros, Payload::Records, Payload::Random];

    pub fn bytes(self, index: u64, term: u64, len: usize) -> Vec<u8> {
        match self {
            Payload::Zeros => vec![0; len],
            Payload::Records => {
                // Type, kind, lsn, index and term where a record header has them, and the magics of the other structures.
                let mut unit = [0u8; 64];
                unit[8..16].copy_from_slice(&[40, 0, 0, 0, 1, 0, 0, 0]);
                unit[16..24].copy_from_slice(&(index + 1).to_le_bytes());
                unit[24..32].copy_from_slice(&index.to_le_bytes());
                unit[32..40].copy_from_slice(&term.to_le_bytes());
                unit[40..48].copy_from_slice(&index.to_le_bytes());
                unit[56..].copy_from_slice(if index % 2 == 0 { b"BLKHSEGM" } else { b"BLKHROOT" });
                unit.iter().copied().cycle().take(len).collect()
            }
            Payload::Random => {
                let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
                while bytes.len() < len {
                    bytes.extend(mix(&[index, term, bytes.len() as u64 / 8]).to_le_bytes());
                }
                bytes.truncate(len);
                bytes
            }
        }
    }
}

/// Owned entries `first ..= last` of one term.
pub fn entries(first: u64, last: u64, term: u64, len: usize) -> Vec<Entry> {
    entries_of(Payload::Random, first, last, term, len)
}

pub fn entries_of(payload: Payload, first: u64, last: u64, term: u64, len: usize) -> Vec<Entry> {
    (first..=last)
        .map(|index| Entry { index, term, kind: (index % 3) as u8, data: payload.bytes(index, term, len) })
        .collect()
}

pub fn refs(entries: &[Entry]) -> Vec<EntryRef<'_>> {
    entries.iter().map(|e| EntryRef { index: e.index, term: e.term, kind: e.kind, data: &e.data }).collect()
}

pub fn append(partition: &Partition, entries: &[Entry]) -> Result<(), Error> {
    partition.append(&refs(entries))
}

/// Appends `first ..= last` one by one.
pub fn append_each(partition: &Partition, first: u64, last: u64, term: u64, len: usize) {
    for entry in entries(first, last, term, len) {
        append(partition, &[entry]).unwrap();
    }
}

pub fn hard(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

/// All entries that the partition says it has, one read each, so that one bad entry fails alone.
pub fn read_each(partition: &Partition) -> Vec<(u64, Result<Entry, Error>)> {
    // Where nothing is known of the log, nothing can be read either.
    let Ok((first, last)) = partition.bounds() else { return Vec::new() };
    let one = |i| partition.read(i, i + 1, u64::MAX).map(|mut v| v.remove(0));
    (first..=last).map(|i| (i, one(i))).collect()
}

/// All entries, or the first error.
pub fn read_all(partition: &Partition) -> Result<Vec<Entry>, Error> {
    let (first, last) = partition.bounds()?;
    let mut all = Vec::new();
    while first + (all.len() as u64) <= last {
        all.extend(partition.read(first + all.len() as u64, last + 1, 64 << 10)?);
    }
    Ok(all)
}

pub fn assert_same(found: &[Entry], wanted: &[Entry], what: &str) {
    let key = |e: &Entry| (e.index, e.term, e.kind);
    assert_eq!(found.iter().map(key).collect::<Vec<_>>(), wanted.iter().map(key).collect::<Vec<_>>(), "{what}");
    for (f, w) in found.iter().zip(wanted) {
        assert!(f.data == w.data, "{what}: the data of entry {} differs", f.index);
    }
}

/// A close that fails behind the first step of a clean root in a new file, with everything that heals.
pub fn close_into_a_new_file(disk: &SimDisk, p: &Partition) {
    wait_for_quiet(disk);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/root").once());
    disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).path("/p1"));
    p.close().expect_err("the root's name is not durable");
    disk.clear_faults();
}

/// Waits until nothing is done to the disk any more: a fault is to meet what the test does, not the spares that are still being made.
pub fn wait_for_quiet(disk: &SimDisk) {
    let mut before = 0;
    while std::mem::replace(&mut before, disk.ops()) != before {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for a condition that another thread brings about.
pub fn wait_for(what: &str, limit: Duration, mut met: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !met() {
        assert!(Instant::now() < end, "waited {limit:?} for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn state(partition: &Partition) -> State {
    partition.status().state
}

/// Groups that flushes of the disks have made durable for many partitions together.
pub fn shared_flush_groups(engine: &Engine) -> u64 {
    let sum = |value: &MetricValue| if let MetricValue::Histogram { sum, .. } = value { *sum as u64 } else { 0 };
    let families = engine.metrics();
    let family =
        families.iter().find(|f| f.info.name == "bulkhead_shared_flush_groups").expect("a metric of this name");
    family.samples.iter().map(|s| sum(&s.value)).sum()
}

/// A number from the environment, 0x allowed.
pub fn env_number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    Some(parsed.unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// The last operations of a disk that changed something or went wrong, for the message of a failure.
pub fn tail_of_log(disk: &SimDisk) -> String {
    let mut log = disk.log();
    log.retain(|r| r.kind.is_change() || !r.injected.is_empty() || r.kind == OpKind::OpenDir);
    let line = |r: &bulkhead::io::sim::OpRecord| {
        format!("{:6} {:?} {} {}+{} {}\n", r.number, r.kind, r.path, r.offset, r.len, r.injected)
    };
    log[log.len().saturating_sub(story_lines())..].iter().map(line).collect()
}

/// Lines of each part of a failure's story; `BULKHEAD_STORY` asks for more.
pub fn story_lines() -> usize {
    env_number("BULKHEAD_STORY").unwrap_or(60) as usize
}

/// A small log with a compaction, a replaced suffix, a vote and more than one segment.
pub fn small_log(mode: Mode, close: bool) -> (SimDisk, Vec<Entry>, HardState) {
    small_log_on(&SimDisk::new(3), mode, close)
}

pub fn small_log_on(disk: &SimDisk, mode: Mode, close: bool) -> (SimDisk, Vec<Entry>, HardState) {
    let engine = engine(disk);
    let p = open(&engine, "/p1", 1, mode);
    p.set_hard_state(hard(2, 3, 0)).unwrap();
    append(&p, &entries(1, 8, 1, 40)).unwrap();
    append(&p, &entries(6, 12, 2, 40)).unwrap();
    p.compact(2).unwrap();
    append_each(&p, 13, 16, 2, 40);
    p.sync().unwrap();
    p.set_hard_state(hard(3, 1, 10)).unwrap();
    let log = [entries(3, 5, 1, 40), entries(6, 16, 2, 40)].concat();
    if close {
        p.close().unwrap();
    }
    (disk.crash(Crash::PowerNothing), log, hard(3, 1, 10))
}
