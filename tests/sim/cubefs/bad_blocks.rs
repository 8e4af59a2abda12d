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
        let bad_disk = || {
            let disk = disk.fork(); // which takes no rules along
            disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path(w.files).once());
            disk
        };
        let whole = bad_disk();
        convert(&whole, case.call).expect("it writes around it");
        assert_eq!(whole.faults_fired(), 1);
        for op in disk.ops() + 1..=whole.ops() {
            for how in [Crash::Process, Crash::PowerRandom] {
                let cut = bad_disk();
                cut.crash_at(op);
                let _ = convert(&cut, case.call);
                let left = cut.crash(how);
                left.clear_faults();
                check_left(&left, case, &format!("{}, cut at {} by {how:?}", case.name, op - disk.ops()));
            }
        }
    }
}

/// A file beside the segments and log files: the conversion of `WRITING` that makes it, and how many of its writes or reads go well before
/// some in a row fail.
struct Small {
    writing: usize,
    file: &'static str,
    kinds: &'static [OpKind],
    good: u64,
    bad: u64,
    /// Files that keep their blocks until a partition is opened, or the original discarded.
    aside: usize,
}

const fn small(writing: usize, file: &'static str, kinds: &'static [OpKind], counts: (u64, u64, usize)) -> Small {
    Small { writing, file, kinds, good: counts.0, bad: counts.1, aside: counts.2 }
}

const SMALL: [Small; 12] = [
    small(0, "cubefs-import/root", &[OpKind::Write, OpKind::Read], (0, 1, 1)),
    small(0, "cubefs-import/root", &[OpKind::Write, OpKind::Read], (0, 2, 2)),
    // In its place, to say that it is clean; then, when META has been exchanged, to say that it moves.
    small(0, "cubefs-import/root", &[OpKind::Write], (1, 1, 1)),
    small(0, "cubefs-import/root", &[OpKind::Write], (2, 1, 0)),
    small(0, "cubefs-import/root", &[OpKind::Write], (2, 2, 0)),
    // To say that it has moved: in its place, and in another file.
    small(0, "wal_7/root", &[OpKind::Write], (0, 1, 0)),
    small(0, "wal_7/root", &[OpKind::Write], (0, 2, 1)),
    small(0, "imported-root", &[OpKind::Write, OpKind::Read], (0, 1, 1)),
    small(0, "imported-root", &[OpKind::Write, OpKind::Read], (0, 2, 2)),
    small(1, "cubefs-export/META", &[OpKind::Write, OpKind::Sync, OpKind::Read], (0, 1, 0)),
    small(1, "cubefs-export/META", &[OpKind::Write, OpKind::Sync, OpKind::Read], (0, 2, 0)),
    small(2, "out/META.new", &[OpKind::Write, OpKind::Sync, OpKind::Read], (0, 2, 0)),
];

/// Each row with each of its kinds: what it is, its disk, and the faults.
fn small_ones() -> impl Iterator<Item = (String, &'static Small, SimDisk, Rule)> {
    SMALL.iter().flat_map(|small| small.kinds.iter().map(move |kind| (small, *kind))).map(|(small, kind)| {
        let Small { writing, file, good, bad, .. } = small;
        let what = format!("{}, {bad} times {kind:?} of {file} after {good}", WRITING[*writing].name);
        let rule = Rule::errno(libc::EIO).on(kind).path(file).skip(*good);
        (what, small, (WRITING[*writing].disk)(1, SimConfig::default()), rule)
    })
}

#[test]
fn f31_a_conversion_writes_a_root_its_copy_and_meta_around_a_bad_block() {
    for (what, small, disk, rule) in small_ones() {
        let w = &WRITING[small.writing];
        disk.inject(rule.times(small.bad));
        convert(&disk, w.call).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((disk.faults_fired(), bad_files(&disk)), (small.bad, small.aside), "{what}");
        let left = disk.crash(Crash::PowerNothing);
        assert_eq!(shown(&left, w.name), sample(), "{what}");
    }
}

/// Given up, cut short in the midst of that, or cut short behind it.
#[test]
fn a_conversion_may_be_cut_short_beside_a_bad_block_under_a_small_file() {
    for (what, small, disk, rule) in small_ones() {
        let w = &WRITING[small.writing];
        for times in [small.bad, u64::MAX] {
            let broken = || {
                let disk = disk.fork();
                disk.inject(rule.clone().times(times));
                disk
            };
            let whole = broken();
            let done = convert(&whole, w.call);
            assert_eq!(
                done.map_err(|e| e.status),
                if times == u64::MAX { Err(Status::IoError) } else { Ok(()) },
                "{what}"
            );
            for (op, how) in
                (disk.ops() + 1..=whole.ops() + 1).flat_map(|op| [(op, Crash::Process), (op, Crash::PowerRandom)])
            {
                let cut = broken();
                cut.crash_at(op);
                let done = convert(&cut, w.call).is_ok();
                let left = cut.crash(how);
                left.clear_faults();
                let what = format!("{what}, {times} times, cut at {} by {how:?}", op - disk.ops());
                match small.writing {
                    0 => check_left(&left, &CASES[0], &what),
                    1 => check_left(&left, &CASES[2], &what),
                    _ => check_target(&left, done),
                }
            }
        }
    }
}
