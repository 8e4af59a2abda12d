//! A conversion that is cut short, and the call after it as well, where each directory becomes durable for itself: what the first one moved and
//! did not make durable is moved on, and a power cut brings some of it back.

use super::*;

/// How the first call ends. The names that it has changed stay in the cache.
#[derive(Clone, Copy, Debug)]
enum First {
    /// The process is killed at the operation.
    Killed,
    /// The directory's sync fails, and those behind it.
    SyncsFail,
    /// The sync fails, and nothing can be taken back.
    Fails,
}

fn first(disk: &SimDisk, call: fn(&Conversion<'_>) -> Result<()>, op: u64, how: First) -> SimDisk {
    let left = disk.fork();
    match how {
        First::Killed => left.crash_at(op),
        First::SyncsFail => left.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).from_op(op)),
        First::Fails => left.inject(Rule::errno(libc::EIO).from_op(op).on_changes()),
    }
    let _ = convert(&left, call);
    left.clear_faults();
    match how {
        First::Killed => left.crash(Crash::Process),
        _ => left.fork(),
    }
}

/// The operations of a call that move names, remove or sync them.
fn changes(disk: &SimDisk, call: fn(&Conversion<'_>) -> Result<()>) -> Vec<u64> {
    let whole = disk.fork();
    whole.keep_log(1 << 20);
    let _ = convert(&whole, call);
    let kinds = [OpKind::Rename, OpKind::Unlink, OpKind::SyncDir];
    let log = whole.log().into_iter().filter(|r| r.number > disk.ops() && kinds.contains(&r.kind));
    log.map(|r| r.number).chain([whole.ops() + 1]).collect()
}

/// Power cuts of one moment, each of which leaves another part of the names that are not durable.
fn cuts(disk: &SimDisk) -> impl Iterator<Item = SimDisk> {
    let mut disk = disk.crash(Crash::Process);
    (0..3).map(move |_| {
        let left = disk.crash(Crash::PowerRandom);
        disk = disk.crash(Crash::Process);
        left
    })
}

#[test]
fn f20_a_conversion_cut_short_twice_leaves_a_whole_log() {
    let back: fn(&Conversion<'_>) -> Result<()> = |c| c.import().map(drop);
    for case in CASES {
        let disk = (case.disk)(1, SimConfig { journalled: false, ..SimConfig::default() });
        let mut looked_at = 0;
        for op in changes(&disk, case.call) {
            for how in [First::Killed, First::SyncsFail, First::Fails] {
                let once = first(&disk, case.call, op, how);
                for second in changes(&once, back) {
                    let syncs_fail = second % 2 == 0;
                    let twice = once.fork();
                    if syncs_fail {
                        twice.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir));
                    }
                    twice.crash_at(second);
                    let _ = convert(&twice, back);
                    for (n, left) in cuts(&twice).enumerate() {
                        let (at, then) = (op - disk.ops(), second - once.ops());
                        let what =
                            format!("{}: {how:?} at {at}, cut at {then}, syncs fail: {syncs_fail}, {n}", case.name);
                        check_left(&left, case, &what);
                        looked_at += 1;
                    }
                }
            }
        }
        println!("{}: {looked_at} looked at", case.name);
    }
}

/// What a call leaves that a power cut stops at any operation, where everything happened to be written back before.
fn left_by(case: &Case, journalled: bool) -> Vec<SimDisk> {
    let disk = (case.disk)(1, SimConfig { journalled, ..SimConfig::default() });
    let left = changes(&disk, case.call).into_iter().map(|op| {
        let cut = disk.fork();
        cut.crash_at(op);
        let _ = convert(&cut, case.call);
        cut.crash(Crash::PowerEverything)
    });
    left.collect()
}

fn shape(disk: &SimDisk) -> Shape {
    convert(&disk.fork(), |c| c.shape()).expect("it can be looked at")
}

/// The root's old name is back, and those of the segments are not: a sync that made them durable had failed before. Who opens the log without an
/// import is told to make one; it was called damaged, and the next conversion removed the segments.
#[test]
fn f20_a_root_that_comes_back_alone_does_not_cost_its_segments() {
    let mut lacked = 0;
    for (case, away) in [("undo", "cubefs-import"), ("export", "bulkhead-original")] {
        let case = CASES.iter().find(|c| c.name == case).expect("it is one");
        let left = left_by(case, true).into_iter().filter(|d| matches!(shape(d), Shape::Importing | Shape::Exporting));
        for (n, disk) in left.enumerate() {
            let dir = disk.open_dir(PATH.as_ref()).expect("it is there");
            dir.rename(&format!("{away}/root"), "root").expect("it lies there");
            drop(dir);
            let lacks = disk.files(&format!("{PATH}/{away}")).iter().any(|f| f.contains("seg-"));
            let refused = open(&disk.fork()).err().map(|e| e.status);
            assert!(refused == lacks.then_some(Status::NeedsImport), "{} {n}: {refused:?}", case.name);
            check_left(&disk, case, &format!("{} {n}", case.name));
            lacked += usize::from(lacks);
        }
    }
    assert!(lacked > 4, "{lacked}");
}

/// What says that an export is on its way had gone when the root came back: it must be there before the root leaves again.
#[test]
fn a_root_that_leaves_again_may_be_cut_short() {
    let back: fn(&Conversion<'_>) -> Result<()> = |c| c.import().map(drop);
    let case = CASES.iter().find(|c| c.name == "export").expect("it is one");
    let mut looked_at = 0;
    for disk in left_by(case, false).into_iter().filter(|d| shape(d) == Shape::Exporting) {
        let dir = disk.open_dir(PATH.as_ref()).expect("it is there");
        dir.rename("bulkhead-original/root", "root").expect("it lies there");
        dir.sync().expect("nothing fails");
        drop(dir);
        disk.remove("/wal_7/cubefs-export");
        for op in changes(&disk, back) {
            let cut = disk.fork();
            cut.crash_at(op);
            let _ = convert(&cut, back);
            for (n, left) in cuts(&cut).enumerate() {
                check_left(&left, case, &format!("cut at {}, {n}", op - disk.ops()));
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 50, "{looked_at}");
}

/// What a discard that was cut short has left of another log is nobody's.
#[test]
fn files_that_a_discard_has_left_do_not_come_back() {
    let disk = bulkhead_disk(1, SimConfig::default());
    convert(&disk, |c| c.export_in_place()).expect("an export");
    convert(&disk, |c| c.import()).expect("an import");
    disk.make_dirs("/wal_7/bulkhead-original/kept");
    for op in changes(&disk, |c| c.discard_original()) {
        let cut = disk.fork();
        cut.crash_at(op);
        let _ = convert(&cut, |c| c.discard_original());
        let cut = cut.crash(Crash::PowerEverything);
        assert_eq!(view(&cut), sample());
        convert(&cut, |c| c.import()).expect("it is Bulkhead's");
        assert_eq!(view(&cut), sample());
        assert!(!cut.exists("/wal_7/kept"), "what the other log's recovery had cut off");
        let root = cut.exists("/wal_7/bulkhead-original/root");
        assert_eq!(cut.exists("/wal_7/bulkhead-original"), root, "what is left of it stays");
    }
}

/// META was given to CubeFS, and its logs lie in the subdirectory still.
#[test]
fn f20_a_meta_that_comes_back_alone_does_not_cost_cubefs_its_log() {
    let mut lacked = 0;
    for (case, away) in [("import", "cubefs-original"), ("undo", "cubefs-original"), ("export", "cubefs-export")] {
        let case = CASES.iter().find(|c| c.name == case).expect("it is one");
        let left = left_by(case, true).into_iter().filter(|d| matches!(shape(d), Shape::Importing | Shape::Exporting));
        // Two originals side by side are refused: an export takes the older one away first.
        let left = left.filter(|d| case.name != "export" || !d.exists("/wal_7/cubefs-original"));
        for (n, disk) in left.enumerate() {
            let dir = disk.open_dir(PATH.as_ref()).expect("it is there");
            dir.exchange("META", &format!("{away}/META")).expect("both are there");
            drop(dir);
            lacked += usize::from(disk.files(&format!("{PATH}/{away}")).iter().any(|f| f.ends_with(".log")));
            convert(&disk, |c| c.import()).unwrap_or_else(|e| panic!("{} {n}: {e}", case.name));
            assert_eq!(view(&disk), sample(), "{} {n}", case.name);
        }
    }
    assert!(lacked > 4, "{lacked}");
}

/// An original without META is none, and a log without the directory META can be exported: not every copy has a directory that is empty.
#[test]
fn what_has_no_meta_is_not_gone_back_to() {
    let disk = imported(1, SimConfig::default());
    let dir = disk.open_dir(PATH.as_ref()).expect("it is there");
    dir.exchange("META", "cubefs-original/META").expect("both are there");
    dir.rename("META", "moved").expect("it is there");
    drop(dir);
    let refused = convert(&disk, |c| c.undo_import()).map_err(|e| e.status);
    assert_eq!(refused, Err(Status::NotFound), "term and vote would be lost");
    convert(&disk, |c| c.export_in_place()).expect("an export");
    assert_eq!(read(&disk, PATH), sample());
}
