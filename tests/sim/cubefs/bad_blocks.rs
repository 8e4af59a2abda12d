//! F31: a bad block under a file that a conversion writes costs time and nothing else.

use super::*;

/// A conversion, the files that it writes, and how often a read must fail for one of them to be unreadable.
struct Writing {
    name: &'static str,
    disk: fn(u64, SimConfig) -> SimDisk,
    call: fn(&Conversion<'_>) -> Result<()>,
    files: &'static str,
    failing_reads: u64,
}

const WRITING: [Writing; 3] = [
    Writing {
        name: "import",
        disk: CASES[0].disk,
        call: CASES[0].call,
        files: "cubefs-import/seg-",
        // A long window, a short one, and then one of its blocks.
        failing_reads: 3,
    },
    Writing { name: "export", disk: CASES[2].disk, call: CASES[2].call, files: "cubefs-export/0", failing_reads: 1 },
    Writing {
        name: "export elsewhere",
        disk: CASES[2].disk,
        call: |c| c.export("/out".as_ref()).map(drop),
        files: "out/0",
        failing_reads: 1,
    },
];

fn shown(disk: &SimDisk, name: &str) -> Log {
    match name {
        "import" => view(disk),
        "export" => read(disk, PATH),
        _ => read(disk, "/out"),
    }
}

fn bad_files(disk: &SimDisk) -> usize {
    let files = disk.files("/wal_7").into_iter().chain(disk.files("/out"));
    files.filter(|f| f.contains("/bad-")).count()
}

#[test]
fn f31_a_conversion_writes_around_a_bad_block() {
    for w in WRITING {
        let faults = [(OpKind::Write, 1), (OpKind::Sync, 1), (OpKind::Read, w.failing_reads)];
        for (kind, times) in faults {
            // Those of one segment that cannot be read are found together.
            for blocks in 1..=if kind == OpKind::Read { 1 } else { 2 } {
                let what = format!("{}, {kind:?}, {blocks} bad blocks", w.name);
                let disk = (w.disk)(1, SimConfig::default());
                for _ in 0..blocks {
                    disk.inject(Rule::errno(libc::EIO).on(kind).path(w.files).times(times));
                }
                convert(&disk, w.call).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(disk.faults_fired(), blocks * times, "{what}");
                // Until then nothing else had their blocks; a partition removes them when it is opened.
                assert_eq!(bad_files(&disk), if w.name == "import" { blocks as usize } else { 0 }, "{what}");
                assert_eq!(shown(&disk.crash(Crash::PowerNothing), w.name), sample(), "{what}");
            }
        }
    }
}

/// A disk that takes nothing is given up, and changes nothing.
#[test]
fn a_conversion_onto_a_disk_that_takes_nothing_changes_nothing() {
    for w in WRITING {
        let disk = (w.disk)(1, SimConfig::default());
        let before = if w.name == "import" { read(&disk, PATH) } else { view(&disk) };
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(w.files));
        let failed = convert(&disk, w.call).map_err(|e| e.status);
        assert_eq!(failed, Err(Status::IoError), "{}", w.name);
        assert_eq!(disk.faults_fired(), 3, "{}: it is tried three times", w.name);
        disk.clear_faults();
        let left = disk.crash(Crash::PowerNothing);
        let after = if w.name == "import" { read(&left, PATH) } else { view(&left) };
        assert_eq!(after, before, "{}", w.name);
    }
}

/// Cut short wherever it is, also between two tries.
#[test]
fn a_conversion_that_meets_a_bad_block_may_be_cut_short() {
    for (w, case) in [(&WRITING[0], &CASES[0]), (&WRITING[1], &CASES[2])] {
        let disk = (case.disk)(1, SimConfig::default());
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(w.files).once());
        let whole = disk.fork();
        convert(&whole, case.call).expect("it writes around it");
        for op in disk.ops() + 1..=whole.ops() {
            for how in [Crash::Process, Crash::PowerRandom] {
                let cut = disk.fork();
                cut.crash_at(op);
                let _ = convert(&cut, case.call);
                let left = cut.crash(how);
                left.clear_faults();
                check_left(&left, case, &format!("{}, cut at {} by {how:?}", case.name, op - disk.ops()));
            }
        }
    }
}
