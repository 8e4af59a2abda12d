//! Each sync of a conversion is there for something.

use super::*;

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

/// Syncs without which nothing is wrong after a cut, which of those of the same directories, and why they are there.
const NOT_MISSED: [(&str, &str, usize); 5] = [
    // Its files are moved before META is exchanged, and synced where they go. An export to a new directory needs the same one.
    ("export", "sync_dir /wal_7/cubefs-export", 0),
    // An exchange of META that is lost makes the export go back, as one that was never reached. An undo needs the same two.
    ("export", "sync_dir /wal_7, sync_dir /wal_7/cubefs-export", 0),
    // A root that comes before its segments, or stays when they have gone: the open is refused all the same, for an import makes it whole. So it
    // does where these have failed (`twice`).
    ("import", "sync_dir /wal_7/cubefs-original, sync_dir /wal_7", 0),
    ("undo", "sync_dir /wal_7/cubefs-import, sync_dir /wal_7", 1),
    ("export", "sync_dir /wal_7/bulkhead-original, sync_dir /wal_7", 1),
];

/// Each sync of a conversion is there for something: without it some power cut leaves half a log, or takes back what was done.
#[test]
fn every_sync_of_a_conversion_is_missed() {
    let mut not_missed = Vec::new();
    let mut look = |name: &'static str, cut: &Cut<'_>| {
        let syncs = cut.syncs();
        for (n, (first, last, what)) in syncs.iter().enumerate() {
            let nth = syncs[..n].iter().filter(|s| s.2 == *what).count();
            // Of the partition that an import writes to: the partition's tests have those.
            // What an export would lose, its reading back finds.
            let found = what.starts_with("sync /wal_7/cubefs-export/") || what.starts_with("sync /out/");
            // CubeFS's own files are synced here already: `undo` has those that are not.
            let source = what.starts_with("sync /wal_7/") && (what.ends_with(".log") || what.ends_with("META"));
            let known =
                found || source || what == "sync_dir /wal_7/cubefs-import" || NOT_MISSED.contains(&(name, what, nth));
            println!("{name}: {what}{}", if known { ": not looked at" } else { "" });
            if !known && !cut.is_missed(*first, *last) {
                not_missed.push((name, what.clone(), nth));
            }
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
    assert_eq!(not_missed, [], "nothing is wrong without them");
}
