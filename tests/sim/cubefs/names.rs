//! What a conversion moves has a durable name before it is believed.

use super::*;

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
