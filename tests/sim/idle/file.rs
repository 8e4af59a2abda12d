//! F2: the file at which a look failed is left alone, also where something else was under way meanwhile.

use super::*;

/// A look that takes a while and whose sync fails then, once; entries have a sync of their own.
fn failing_look(disk: &SimDisk, engine: &Engine) -> u64 {
    disk.keep_log(10_000);
    let began = disk.ops();
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(300))).on(OpKind::Write).path(TAIL).once());
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path(TAIL).once());
    check_every(engine, IDLE_CHECK_MS);
    wait_for("a look", Duration::from_secs(5), || disk.faults_fired() > 0);
    check_every(engine, 0);
    began
}

/// What was done to the file after the sync that failed; reading and removing it leaves it alone.
fn afterwards(disk: &SimDisk, began: u64) -> Vec<OpKind> {
    let ops: Vec<_> = since(disk, began).into_iter().filter(|op| op.path.contains(TAIL)).collect();
    let failed = ops.iter().position(|op| op.kind == OpKind::Sync && !op.injected.is_empty());
    let later = ops[failed.expect("a sync that failed") + 1..].iter().map(|op| op.kind);
    later.filter(|kind| !matches!(kind, OpKind::Read | OpKind::Len | OpKind::Open | OpKind::Unlink)).collect()
}

#[test]
fn f02_entries_that_fill_the_segment_beside_a_look_that_fails_go_elsewhere() {
    in_checked_modes(|mode| {
        let disk = disk_of(1, false);
        let (engine, p) = one(&disk, healing_config(), mode);
        let began = failing_look(&disk, &engine);
        // As many as the rest of the first segment has room for, and a few more.
        for index in (6..36).step_by(3) {
            p.submit(&refs(&entries(index, index + 2, 1, 3000)), index).unwrap();
        }
        p.sync().unwrap();
        assert_eq!((state(&p), p.status().counters.heals), (State::ReadWrite, 1), "{mode:?}");
        assert_eq!(afterwards(&disk, began), [], "{mode:?}");
    });
}

#[test]
fn f02_a_file_at_which_a_look_failed_beside_a_reset_is_not_used_again() {
    in_checked_modes(|mode| {
        let disk = disk_of(1, false);
        let (engine, p) = one(&disk, healing_config(), mode);
        let began = failing_look(&disk, &engine);
        p.reset(100, 1).unwrap();
        append_each(&p, 101, 400, 1, 3000);
        assert_eq!((state(&p), p.status().counters.heals), (State::ReadWrite, 0), "{mode:?}");
        assert_eq!(afterwards(&disk, began), [], "{mode:?}");
    });
}
