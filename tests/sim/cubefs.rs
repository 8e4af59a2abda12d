//! Import, undo and export of CubeFS directories on the simulated disk: cut short at every operation, the directory is one of the two, whole,
//! or is finished by the next call.

use crate::cubefs_support::*;
use bulkhead::cubefs::{Conversion, Shape};
use bulkhead::io::sim::{Crash, Fault, OpKind, OpRecord, Rule, SimConfig, SimDisk};
use bulkhead::io::Storage;
use bulkhead::*;
use std::sync::Arc;

mod bad_blocks;
mod cut_short;
mod damage;
mod export;
mod flips;
mod hang;
mod hostile;
mod names;
mod older;
mod read_back;
mod room;
mod syncs;
mod twice;
mod undo;

const PATH: &str = "/wal_7";

fn engine(disk: &SimDisk) -> Engine {
    let config = EngineConfig { segment_min_bytes: 64 << 10, segment_max_bytes: 64 << 10, ..EngineConfig::default() };
    Engine::stepped(config, disk, disk.ops() + 1).expect("an engine")
}

fn convert<T>(disk: &SimDisk, work: impl FnOnce(&Conversion<'_>) -> Result<T>) -> Result<T> {
    let engine = engine(disk);
    let result = work(&Conversion::new(&engine, PATH, 7));
    let _ = engine.close();
    result
}

fn open(disk: &SimDisk) -> Result<(Engine, Arc<Partition>)> {
    let engine = engine(disk);
    let config = PartitionConfig { disposition: Disposition::OpenExisting, ..PartitionConfig::new(PATH, 7) };
    let partition = engine.open_partition(config)?;
    Ok((engine, partition))
}

/// What a partition shows of a log.
fn view(disk: &SimDisk) -> Log {
    let (_engine, p) = open(disk).expect("it opens");
    assert_eq!(p.status().state, State::ReadWrite, "{:?}", p.last_fault());
    let (first, last) = p.bounds().unwrap();
    let entries = if first <= last { p.read(first, last + 1, u64::MAX).unwrap() } else { Vec::new() };
    let status = p.status();
    Log {
        hard_state: p.hard_state().unwrap(),
        compaction: (status.compaction_index, status.compaction_term),
        entries: entries.into_iter().map(|e| (e.index, e.term, e.kind, e.data)).collect(),
    }
}

fn sample() -> Log {
    Log {
        hard_state: HardState { term: 5, vote: 3, commit: 38 },
        compaction: (10, 2),
        entries: (11..=40)
            .map(|i| (i, 2 + i / 15, (i % 7 == 0) as u8, vec![i as u8; (i * 37 % 900) as usize]))
            .collect(),
    }
}

fn cubefs_disk(seed: u64, config: SimConfig, log: &Log) -> SimDisk {
    let disk = SimDisk::with_config(seed, config);
    put(&disk, PATH, log, 3);
    disk.crash(Crash::PowerNothing)
}

#[test]
fn a_cubefs_log_is_imported_undone_and_exported_unchanged() {
    let log = sample();
    let disk = cubefs_disk(1, SimConfig::default(), &log);
    let before = snapshot(&disk, PATH);
    let refused = open(&disk).err().map(|e| e.status);
    assert_eq!(refused, Some(Status::NeedsImport), "a second log beside CubeFS's");
    let found = convert(&disk, |c| c.import()).expect("an import");
    assert_eq!((found.shape, found.undoable, found.report.entries), (Shape::Bulkhead, true, 30));
    assert_eq!(view(&disk), log);
    convert(&disk, |c| c.undo_import()).expect("an undo");
    assert_eq!(snapshot(&disk, PATH), before);
    convert(&disk, |c| c.import()).expect("an import");
    let exported = convert(&disk, |c| c.export_in_place()).expect("an export");
    assert_eq!((exported.entries, exported.first_index, exported.last_index), (30, 11, 40));
    assert_eq!(convert(&disk, |c| c.inspect()).unwrap().report.findings, []);
    assert_eq!(read(&disk, PATH), log);
    let found = convert(&disk, |c| c.import()).expect("an import");
    assert!(found.bulkhead_original);
    assert_eq!(view(&disk), log);
}

const CRASHES: [Crash; 4] = [Crash::Process, Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything];

/// A directory that is to be converted, and the call that does it.
struct Case {
    name: &'static str,
    disk: fn(u64, SimConfig) -> SimDisk,
    call: fn(&Conversion<'_>) -> Result<()>,
    /// What the directory is afterwards, and whether CubeFS's original is kept.
    leaves: (Shape, bool),
    /// Whenever it is cut short, an import that is made next can be undone.
    keeps_undo: bool,
}

fn imported(seed: u64, config: SimConfig) -> SimDisk {
    let disk = cubefs_disk(seed, config, &sample());
    convert(&disk, |c| c.import()).expect("an import");
    disk.crash(Crash::PowerNothing)
}

/// Imported, and written to since: without the original that makes no difference to the log.
fn bulkhead_disk(seed: u64, config: SimConfig) -> SimDisk {
    let mut log = sample();
    let last = log.entries.pop().unwrap();
    let disk = cubefs_disk(seed, config, &log);
    convert(&disk, |c| c.import()).expect("an import");
    let (engine, p) = open(&disk).unwrap();
    p.append(&[EntryRef { index: last.0, term: last.1, kind: last.2, data: &last.3 }]).unwrap();
    p.close().unwrap();
    engine.close().unwrap();
    disk.crash(Crash::PowerNothing)
}

const CASES: &[Case] = &[
    Case {
        name: "import",
        disk: |s, c| cubefs_disk(s, c, &sample()),
        call: |c| c.import().map(drop),
        leaves: (Shape::Bulkhead, true),
        keeps_undo: true,
    },
    Case { name: "undo", disk: imported, call: |c| c.undo_import(), leaves: (Shape::Cubefs, false), keeps_undo: true },
    Case {
        name: "export",
        disk: bulkhead_disk,
        call: |c| c.export_in_place().map(drop),
        leaves: (Shape::Cubefs, false),
        keeps_undo: false,
    },
    Case {
        name: "discard",
        disk: imported,
        call: |c| c.discard_original(),
        leaves: (Shape::Bulkhead, false),
        keeps_undo: false,
    },
];

/// Whatever cut a conversion short: the log is there as a whole for whoever opens the directory, or the directory is refused.
fn check_left(disk: &SimDisk, case: &Case, what: &str) {
    let stock_opens = disk.exists(&format!("{PATH}/META")) && disk.fork().files(PATH).contains(&format!("{PATH}/META"));
    if stock_opens {
        assert_eq!(read(disk, PATH), sample(), "{what}: CubeFS opens something else");
    } else {
        assert!(disk.exists(&format!("{PATH}/META")), "{what}: CubeFS would make a META without a vote");
    }
    let before = snapshot(disk, PATH);
    let shape = convert(&disk.fork(), |c| c.inspect()).unwrap_or_else(|e| panic!("{what}: {e}")).shape;
    assert_eq!(snapshot(disk, PATH), before, "{what}: inspect changes something");
    let opened = disk.fork();
    match open(&opened).map(drop) {
        Ok(()) => {
            assert!(!stock_opens && shape == Shape::Bulkhead, "{what}: both open it");
            assert_eq!(view(&opened), sample(), "{what}: the partition has something else");
        }
        Err(e) => assert_eq!(e.status, Status::NeedsImport, "{what}: {e}"),
    }
    let repeated = disk.fork();
    match convert(&repeated, case.call) {
        Ok(()) => {}
        // It had been through, or the export that was has been imported again.
        Err(e) if e.status == Status::AlreadyExists => {
            assert!(disk.exists("/wal_7/bulkhead-original/root"), "{what}: {e}")
        }
        Err(e) => assert_eq!(e.status, Status::NotFound, "{what}: the same call again: {e}"),
    }
    match convert(&repeated, |c| c.inspect()).unwrap().shape {
        Shape::Bulkhead => assert_eq!(view(&repeated), sample(), "{what}: after the same call again"),
        Shape::Cubefs => assert_eq!(read(&repeated, PATH), sample(), "{what}: after the same call again"),
        other => panic!("{what}: {other:?} after the same call again"),
    }
    let undone = disk.fork();
    match convert(&undone, |c| c.undo_import()) {
        Ok(()) => assert_eq!(read(&undone, PATH), sample(), "{what}: after an undo"),
        Err(e) => assert!(matches!(e.status, Status::NotFound | Status::OutOfOrder), "{what}: an undo: {e}"),
    }
    let again = disk.fork();
    let found = convert(&again, |c| c.import()).unwrap_or_else(|e| panic!("{what}: the next import: {e}"));
    assert!(found.undoable || !case.keeps_undo, "{what}: the next import cannot be undone");
    assert_eq!(view(&again), sample(), "{what}: after the next import");
    let stray: Vec<String> =
        again.files(PATH).into_iter().filter(|f| f.contains("cubefs-import") || f.contains("cubefs-export")).collect();
    assert_eq!(stray, Vec::<String>::new(), "{what}: left behind");
}

/// A log of `bytes` in entries of 64 KiB.
fn large_log(bytes: u64) -> Log {
    let count = bytes >> 16;
    Log {
        hard_state: HardState { term: 1, vote: 1, commit: count },
        compaction: (0, 0),
        entries: (1..=count).map(|i| (i, 1, 0, vec![i as u8; 64 << 10])).collect(),
    }
}

/// The same, Bulkhead's, in segments of 1 MiB.
fn large_disk(bytes: u64) -> SimDisk {
    let disk = cubefs_disk(1, SimConfig::default(), &large_log(bytes));
    let config = EngineConfig { segment_max_bytes: 1 << 20, ..EngineConfig::default() };
    let engine = Engine::stepped(config, &disk, disk.ops() + 1).expect("an engine");
    Conversion::new(&engine, PATH, 7).import().expect("an import");
    engine.close().expect("everything is closed");
    disk
}

/// A directory that a log was exported to: a stock CubeFS opens it whole or not at all.
fn check_target(disk: &SimDisk, done: bool) {
    let files = disk.files("/out");
    if files.iter().any(|f| f == "/out/META") {
        assert_eq!(read(disk, "/out"), sample());
    } else {
        assert!(!done && (disk.exists("/out/META") || files.is_empty()), "CubeFS would make a META without a vote");
    }
    assert!(!done || !disk.exists("/out/META.new"), "it had returned");
}
