//! Import, undo and export of CubeFS directories on the simulated disk: cut short at every operation, the directory is one of the two, whole,
//! or is finished by the next call.

use crate::cubefs_support::*;
use bulkhead::cubefs::{Conversion, Shape};
use bulkhead::io::sim::{Crash, Fault, OpKind, OpRecord, Rule, SimConfig, SimDisk};
use bulkhead::*;
use std::sync::Arc;

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
        // It had been through.
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

/// A power cut or a kill at every single operation.
#[test]
fn a_conversion_cut_short_at_any_operation_leaves_a_whole_log() {
    // Which of the changes that are not synced a power cut leaves follows from the seed.
    for (seed, journalled) in [(11, true), (11, false), (12, false), (13, false), (14, false), (15, false)] {
        for case in CASES {
            let config = SimConfig { journalled, ..SimConfig::default() };
            let disk = (case.disk)(seed, config);
            let from = disk.ops();
            let whole = disk.fork();
            convert(&whole, case.call).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let to = whole.ops();
            check_left(&whole, case, case.name);
            for op in from + 1..=to {
                for how in CRASHES {
                    let cut = disk.fork();
                    cut.crash_at(op);
                    let _ = convert(&cut, case.call);
                    let what = format!(
                        "{} cut at {} of {}, {how:?}, journalled: {journalled}",
                        case.name,
                        op - from,
                        to - from
                    );
                    check_left(&cut.crash(how), case, &what);
                }
            }
            println!("{}: {} operations, journalled: {journalled}", case.name, to - from);
        }
    }
}

/// A disk that says yes and writes nothing, or writes to another place, is found out before the switch.
#[test]
fn a_conversion_onto_a_lying_disk_is_refused_before_the_switch() {
    for (case, path) in [(&CASES[0], "cubefs-import/"), (&CASES[2], "cubefs-export/")] {
        let mut refused = 0;
        let lies = [Fault::Lost, Fault::Misplaced(4096), Fault::Misplaced(-4096)];
        for (lie, skip) in lies.into_iter().flat_map(|lie| (0..40).map(move |skip| (lie.clone(), skip))) {
            let disk = (case.disk)(31, SimConfig::default());
            disk.inject(Rule::new(lie.clone()).on(OpKind::Write).path(path).skip(skip).once());
            let result = convert(&disk, case.call);
            let what = format!("{}, {lie:?}, write {skip}: {:?}", case.name, result.as_ref().map(drop));
            let left = disk.crash(Crash::PowerNothing);
            let is_cubefs = convert(&left, |c| c.shape()) == Ok(Shape::Cubefs);
            assert_eq!(is_cubefs, (case.leaves.0 == Shape::Cubefs) == result.is_ok(), "{what}");
            if let Err(e) = result {
                assert_eq!(e.status, Status::Damaged, "{what}");
                refused += 1;
            }
            let log = if is_cubefs { read(&left, PATH) } else { view(&left) };
            assert_eq!(log, sample(), "{what}");
        }
        println!("{}: {refused} refused", case.name);
        assert!(refused > 0, "{}", case.name);
    }
}

/// The same of a log that is exported to a new directory: CubeFS refuses what is there.
#[test]
fn an_export_elsewhere_onto_a_lying_disk_is_refused() {
    let mut refused = 0;
    let lies = [Fault::Lost, Fault::Misplaced(4096), Fault::Misplaced(-4096)];
    for (lie, skip) in lies.into_iter().flat_map(|lie| (0..6).map(move |skip| (lie.clone(), skip))) {
        let disk = bulkhead_disk(31, SimConfig::default());
        disk.inject(Rule::new(lie.clone()).on(OpKind::Write).path("out/").skip(skip).once());
        let result = convert(&disk, |c| c.export("/out".as_ref()).map(drop));
        let left = disk.crash(Crash::PowerNothing);
        let what = format!("{lie:?}, write {skip}: {result:?}");
        check_target(&left, result.is_ok());
        match result {
            Ok(()) => assert_eq!(read(&left, "/out"), sample(), "{what}"),
            Err(e) => {
                assert_eq!(e.status, Status::Damaged, "{what}");
                assert!(!left.files("/out").iter().any(|f| f == "/out/META"), "{what}: CubeFS opens it");
                refused += 1;
            }
        }
        assert_eq!(view(&left), sample(), "{what}");
    }
    println!("{refused} refused");
    assert!(refused > 0);
}

/// Segments are read back by threads while others are written: what one of them meets is told before the switch, whenever that is.
#[test]
fn an_import_tells_what_its_readers_met() {
    let log = large_log(8 << 20);
    let disk = cubefs_disk(1, SimConfig::default(), &log);
    let mut refused = 0;
    for (kind, fault, statuses) in [
        (OpKind::Write, Fault::Lost, [Status::Damaged; 2]),
        // The survey reads, too.
        (OpKind::Read, Fault::Errno(libc::EIO), [Status::Damaged, Status::IoError]),
    ] {
        for skip in 0..12 {
            let failing = disk.fork();
            let rule = Rule::new(fault.clone()).on(kind).path("cubefs-import/seg-").skip(skip);
            failing.inject(if kind == OpKind::Write { rule.once() } else { rule });
            let config = EngineConfig { segment_max_bytes: 4 << 20, ..EngineConfig::default() };
            let engine = Engine::with_storage(config, Arc::new(failing.clone())).expect("an engine");
            let result = Conversion::new(&engine, PATH, 7).import();
            engine.close().expect("everything is closed");
            let what = format!("{kind:?} {fault:?} from {skip}: {:?}", result.as_ref().map(drop));
            let is_cubefs = convert(&failing, |c| c.shape()) == Ok(Shape::Cubefs);
            assert_eq!(is_cubefs, result.is_err(), "{what}");
            match result {
                Ok(_) => assert_eq!(view(&failing.crash(Crash::PowerNothing)), log, "{what}"),
                Err(e) => {
                    assert!(statuses.contains(&e.status), "{what}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 0);
}

/// Every operation fails in turn: an error is told, and the directory is as whole as after a crash.
#[test]
fn an_error_at_any_operation_leaves_a_whole_log() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EACCES] {
        for case in CASES {
            let disk = (case.disk)(12, SimConfig::default());
            let from = disk.ops();
            let whole = disk.fork();
            convert(&whole, case.call).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            for op in from + 1..=whole.ops() {
                let failing = disk.fork();
                failing.inject(Rule::errno(errno).from_op(op).once());
                let result = convert(&failing, case.call);
                let what =
                    format!("{}: errno {errno} at {}: {:?}", case.name, op - from, result.err().map(|e| e.status));
                failing.clear_faults();
                check_left(&failing.crash(Crash::Process), case, &what);
            }
        }
    }
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

/// A log that is wanted whole is read once, not a first time to know where its entries are.
#[test]
fn an_export_reads_a_segment_once() {
    const BYTES: u64 = 4 << 20;
    let disk = large_disk(BYTES);
    disk.keep_log(1 << 20);
    let from = disk.ops();
    convert(&disk, |c| c.export("/out".as_ref())).expect("an export");
    let own = |op: &OpRecord| op.number > from && op.kind == OpKind::Read && op.path.contains("seg-");
    let reads = disk.log().into_iter().filter(own);
    let read: u64 = reads.map(|op| op.len).sum();
    println!("{read} bytes are read for a log of {BYTES}");
    // Windows overlap, and an open looks at heads and ends.
    assert!(read < BYTES * 7 / 4, "{read} bytes are read for a log of {BYTES}");
}

/// What stops the thread that writes is what the owner is told, and nobody waits for ever.
#[test]
fn an_export_tells_what_its_thread_met() {
    let faults = [
        (Fault::Errno(libc::ENOSPC), Status::NoSpace),
        (Fault::Errno(libc::EIO), Status::IoError),
        (Fault::Panic, Status::Panic),
    ];
    let disk = large_disk(8 << 20);
    for (fault, status) in faults {
        for (kind, skip) in [(OpKind::Write, 0), (OpKind::Write, 3), (OpKind::Sync, 0)] {
            let failing = disk.fork();
            failing.inject(Rule::new(fault.clone()).on(kind).path("out/").skip(skip).once());
            let config = EngineConfig { segment_min_bytes: 64 << 10, ..EngineConfig::default() };
            let engine = Engine::with_storage(config, Arc::new(failing.clone())).expect("an engine");
            let result = Conversion::new(&engine, PATH, 7).export("/out".as_ref());
            assert_eq!(result.map_err(|e| e.status), Err(status), "{kind:?} {skip}");
            engine.close().expect("everything is closed");
            assert!(!failing.exists("/out/META.new"), "{kind:?} {skip}: it goes on");
            convert(&failing, |c| c.export("/again".as_ref())).expect("the log is as good as before");
        }
    }
}

/// A directory on a disk, a call that is cut short there, and what must be left; `true` if the call had returned.
struct Cut<'a> {
    disk: &'a dyn Fn(u64, SimConfig) -> SimDisk,
    call: fn(&Conversion<'_>) -> Result<()>,
    check: &'a dyn Fn(&SimDisk, bool),
}

impl Cut<'_> {
    /// The syncs of the call, those together that follow each other: a rename is in two directories. First and last number of each
    /// group, and what it is.
    fn syncs(&self) -> Vec<(u64, u64, String)> {
        let disk = (self.disk)(21, SimConfig::default());
        let from = disk.ops();
        disk.keep_log(1 << 20);
        convert(&disk, self.call).expect("nothing fails");
        let own = |path: &str| !path.contains("cubefs-import/") && !path.contains("seg-");
        let syncs = disk.log().into_iter().filter(|op| op.number > from && own(&op.path));
        let syncs: Vec<_> = syncs.filter(|op| matches!(op.kind, OpKind::Sync | OpKind::SyncDir)).collect();
        let groups = syncs.chunk_by(|a, b| a.number + 1 == b.number);
        groups
            .map(|group| {
                let names: Vec<_> = group.iter().map(|op| format!("{} {}", op.kind.name(), op.path)).collect();
                (group[0].number, group[group.len() - 1].number, names.join(", "))
            })
            .collect()
    }

    /// Takes syncs away: they report success and make nothing durable. True if some power cut behind them then leaves what none may.
    fn is_missed(&self, first: u64, last: u64) -> bool {
        (0..40).any(|i| {
            let disk = (self.disk)(20 + i / 2, SimConfig { journalled: i % 2 == 1, ..SimConfig::default() });
            let whole = disk.fork();
            convert(&whole, self.call).expect("nothing fails");
            (last + 1..=whole.ops() + 1).any(|op| {
                [Crash::PowerNothing, Crash::PowerRandom].into_iter().any(|how| {
                    let cut = disk.fork();
                    cut.inject(Rule::new(Fault::Lost).from_op(first).times(last - first + 1));
                    cut.crash_at(op);
                    let done = convert(&cut, self.call).is_ok();
                    let left = cut.crash(how);
                    let check = || (self.check)(&left, done);
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err()
                })
            })
        })
    }
}

/// Syncs without which nothing is wrong after a cut, and why they are there.
const NOT_MISSED: [(&str, &str); 2] = [
    // Its files are moved before META is exchanged, and synced where they go. An export to a new directory needs the same one.
    ("export", "sync_dir /wal_7/cubefs-export"),
    // An exchange of META that is lost makes the export go back, as one that was never reached. An undo needs the same two.
    ("export", "sync_dir /wal_7, sync_dir /wal_7/cubefs-export"),
];

/// Each sync of a conversion is there for something: without it some power cut leaves half a log, or takes back what was done.
#[test]
fn every_sync_of_a_conversion_is_missed() {
    let look = |name: &str, cut: &Cut<'_>| {
        for (first, last, what) in cut.syncs() {
            // Of the partition that an import writes to: the partition's tests have those.
            // What an export would lose, its reading back finds.
            let found = what.starts_with("sync /wal_7/cubefs-export/") || what.starts_with("sync /out/");
            let known = found || what == "sync_dir /wal_7/cubefs-import" || NOT_MISSED.contains(&(name, &what));
            assert!(known || cut.is_missed(first, last), "{name}: nothing is wrong without {what}");
            println!("{name}: {what}{}", if known { ": not looked at" } else { "" });
        }
    };
    for case in CASES {
        let check = |left: &SimDisk, done: bool| {
            check_left(left, case, case.name);
            if done {
                let found = convert(left, |c| c.inspect()).expect("it can be looked at");
                assert_eq!((found.shape, found.cubefs_original), case.leaves, "it had returned");
                let stray = |name: &&str| left.exists(&format!("{PATH}/{name}"));
                assert_eq!(["cubefs-import", "cubefs-export"].into_iter().find(stray), None, "it had returned");
            }
        };
        look(case.name, &Cut { disk: &case.disk, call: case.call, check: &check });
    }
    let call: fn(&Conversion<'_>) -> Result<()> = |c| c.export("/out".as_ref()).map(drop);
    look("export elsewhere", &Cut { disk: &imported, call, check: &check_target });
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

/// A root that a rename put in its place, and whose directory sync failed, is believed by nobody: what the next opening acknowledges would be in
/// a file whose name a power cut takes.
#[test]
fn f20_a_root_that_a_conversion_moves_has_a_durable_name_before_it_is_believed() {
    let config = || SimConfig { failed_dir_syncs_forget: true, ..SimConfig::default() };
    // An export that a crash cut short once the root was away.
    let cut_export = |seed| {
        let disk = bulkhead_disk(seed, SimConfig { failed_dir_syncs_forget: true, ..SimConfig::default() });
        for op in disk.ops() + 1.. {
            let cut = disk.fork();
            cut.crash_at(op);
            let _ = convert(&cut, |c| c.export_in_place());
            let left = cut.crash(Crash::PowerEverything);
            if convert(&left.fork(), |c| c.inspect()).is_ok_and(|found| found.shape == Shape::Exporting) {
                return left;
            }
        }
        unreachable!()
    };
    let import = |seed| cubefs_disk(seed, config(), &sample());
    for (begin, what) in [(&import as &dyn Fn(u64) -> SimDisk, "import"), (&cut_export, "export taken back")] {
        let disk = begin(1);
        let whole = disk.fork();
        convert(&whole, |c| c.import()).expect("it goes through");
        let log = whole.log();
        let moved = |two: &&[OpRecord]| {
            two[0].kind == OpKind::Rename && two[0].path.ends_with("/root") && two[1].number > disk.ops()
        };
        let syncs: Vec<u64> =
            log.windows(2).filter(moved).map(|two| two[1].number).filter(|n| is_sync(&log, *n)).collect();
        assert!(!syncs.is_empty(), "{what}");
        for (op, for_good, again) in
            syncs.into_iter().flat_map(|op| [(op, false, false), (op, false, true), (op, true, true)])
        {
            let failing = disk.fork();
            let rule = Rule::errno(libc::EIO).from_op(op);
            failing.inject(if for_good { rule.on_changes() } else { rule.on(OpKind::SyncDir).once() });
            if convert(&failing, |c| c.import()).is_ok() {
                continue;
            }
            failing.clear_faults();
            let what = format!("{what}, sync at {}, for good: {for_good}, called again: {again}", op - disk.ops());
            if again {
                convert(&failing, |c| c.import()).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            let Ok((_engine, p)) = open(&failing) else {
                assert!(!again, "{what}: it does not open");
                continue;
            };
            assert_eq!(p.status().state, State::ReadWrite, "{what}: {:?}", p.last_fault());
            p.append(&[EntryRef { index: 41, term: 6, kind: 0, data: b"new" }]).unwrap();
            p.set_hard_state(HardState { term: 6, vote: 2, commit: 40 }).unwrap();
            let left = failing.crash(Crash::PowerNothing);
            let log = view(&left);
            assert_eq!((log.hard_state.term, log.hard_state.vote), (6, 2), "{what}");
            assert_eq!(log.entries.last().map(|e| e.0), Some(41), "{what}");
        }
    }
}

fn is_sync(log: &[OpRecord], number: u64) -> bool {
    log.iter().any(|r| r.number == number && r.kind == OpKind::SyncDir)
}
