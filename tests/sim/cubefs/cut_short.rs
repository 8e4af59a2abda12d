//! A conversion that is cut short, or whose operations fail, at every single one.

use super::*;

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

/// An import whose root is in its place when it is cut short, and a second one, which writes that root anew first, as well: the root that is
/// left says that nothing has changed since, so that the third can be undone.
#[test]
fn an_import_cut_short_twice_can_be_undone() {
    let disk = cubefs_disk(1, SimConfig::default(), &sample());
    let arrived = |left: &SimDisk| {
        let left = left.fork();
        left.exists("/wal_7/cubefs-import") && convert(&left, |c| c.shape()) == Ok(Shape::Bulkhead)
    };
    let whole = disk.fork();
    convert(&whole, |c| c.import()).expect("an import");
    let cut = |disk: &SimDisk, op: u64, how| {
        let cut = disk.fork();
        cut.crash_at(op);
        let _ = convert(&cut, |c| c.import());
        cut.crash(how)
    };
    let once: Vec<_> =
        (disk.ops() + 1..=whole.ops()).map(|op| cut(&disk, op, Crash::PowerEverything)).filter(arrived).collect();
    assert!(!once.is_empty());
    for (n, once) in once.iter().enumerate() {
        let whole = once.fork();
        convert(&whole, |c| c.import()).expect("an import");
        for op in once.ops() + 1..=whole.ops() {
            for how in CRASHES {
                let what = format!("left {n}, cut at {}, {how:?}", op - once.ops());
                let twice = cut(once, op, how);
                let found = convert(&twice, |c| c.import()).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(found.undoable, "{what}");
                convert(&twice, |c| c.undo_import()).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(read(&twice, PATH), sample(), "{what}");
            }
        }
    }
}
