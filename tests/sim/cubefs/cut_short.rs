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
