//! Backup on the simulated disk: a copy of one moment, of an open partition too; cut short at any operation it is whole or cannot be opened.

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, OpRecord, Rule, SimConfig, SimDisk};
use bulkhead::io::Storage;
use bulkhead::*;
use std::path::Path;
use std::sync::Arc;

const SOURCE: &str = "/p1";
const TARGET: &str = "/copy";

fn backup(engine: &Engine) -> Result<Backup> {
    engine.backup(Path::new(SOURCE), Path::new(TARGET), &|_, _| {})
}

fn stepped(disk: &SimDisk) -> Engine {
    Engine::stepped(config(), disk, disk.ops() + 1).expect("an engine")
}

fn view(disk: &SimDisk, path: &str) -> (HardState, (u64, u64), Vec<Entry>) {
    let engine = stepped(disk);
    let p = reopen(&engine, path, 1, Mode::Sync);
    assert_eq!(state(&p), State::ReadWrite, "{:?}", p.last_fault());
    let found = (p.hard_state().unwrap(), p.bounds().unwrap(), read_all(&p).unwrap());
    p.close().unwrap();
    found
}

#[test]
fn a_backup_is_the_log_of_one_moment_and_goes_on_by_itself() {
    for (mode, close) in [(Mode::Sync, true), (Mode::Sync, false), (Mode::None, false), (Mode::Interval, true)] {
        let (disk, log, hard_state) = small_log(mode, close);
        let done = backup(&stepped(&disk)).unwrap();
        assert_eq!((done.first_index, done.last_index, done.entries), (3, 16, 14));
        assert_eq!((done.hard_state, done.closed), (hard_state, close));
        let copy = disk.crash(Crash::PowerNothing);
        assert_eq!(view(&copy, TARGET), (hard_state, (3, 16), log.clone()), "{mode:?}: the copy");
        assert_eq!(view(&copy, SOURCE), (hard_state, (3, 16), log), "{mode:?}: the source");
        let engine = stepped(&copy);
        let (a, b) = (reopen(&engine, SOURCE, 1, Mode::Sync), reopen(&engine, TARGET, 1, Mode::Sync));
        assert_ne!(a.status().incarnation, b.status().incarnation, "what one leaves in memory is the other's");
        append(&b, &entries(17, 18, 4, 40)).unwrap();
    }
}

/// CubeFS's raft stores the entries of a new term before the hard state with that term; a crash, a stop or a backup may come in between.
#[test]
fn a_log_whose_entries_are_of_a_later_term_than_its_hard_state_is_copied() {
    for (mode, compaction) in [(Mode::Sync, 0), (Mode::Sync, 4), (Mode::Sync, 8), (Mode::None, 0)] {
        let what = format!("{mode:?}, compacted to {compaction}");
        let disk = SimDisk::new(8);
        let engine = stepped(&disk);
        let p = open(&engine, SOURCE, 1, mode);
        p.set_hard_state(hard(1, 1, 0)).unwrap();
        append_each(&p, 1, 6, 1, 100);
        p.set_hard_state(hard(1, 1, 5)).unwrap();
        append_each(&p, 7, 10, 2, 100);
        if compaction > 0 {
            p.compact(compaction).unwrap();
        }
        p.sync().unwrap();
        let other = stepped(&disk);
        backup(&other).unwrap_or_else(|e| panic!("{what}, open: {e}"));
        let wanted = (p.hard_state().unwrap(), p.bounds().unwrap(), read_all(&p).unwrap());
        p.close().unwrap();
        let closed = other.backup(Path::new(SOURCE), Path::new("/second"), &|_, _| {});
        closed.unwrap_or_else(|e| panic!("{what}, closed: {e}"));
        engine.close().unwrap();
        assert_eq!(view(&disk, "/second"), wanted, "{what}");
        let copy = view(&disk, TARGET);
        assert_eq!((copy.0.term, copy.0.vote, copy.1, copy.2), (1, 1, wanted.1, wanted.2), "{what}");
    }
}

#[test]
fn an_open_partition_is_copied_and_not_disturbed() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = SimDisk::new(5);
        let engine = stepped(&disk);
        let p = open(&engine, SOURCE, 1, mode);
        append_each(&p, 1, 20, 1, 400);
        // Housekeeping has done what it had to do.
        engine.pass_time(std::time::Duration::from_secs(5));
        let changes = disk.log().len();
        let other = stepped(&disk);
        let done = backup(&other).unwrap();
        assert_eq!(done.last_index, 20);
        let touched = disk.log().iter().skip(changes).any(|r| r.kind.is_change() && r.path.starts_with("/p1/"));
        assert!(!touched, "{mode:?}: a file of the source was changed");
        append_each(&p, 21, 25, 1, 400);
        assert_eq!(backup(&other).map_err(|e| e.status), Err(Status::AlreadyExists));
        p.close().unwrap();
        engine.close().unwrap();
        assert_eq!(view(&disk, TARGET).1, (1, 20), "{mode:?}");
        assert_eq!(view(&disk, SOURCE).1, (1, 25), "{mode:?}");
    }
}

/// Compaction goes on while the log is copied: the copy is one of the logs that were there, without a hole.
#[test]
fn a_log_that_is_compacted_meanwhile_is_copied_whole() {
    let disk = SimDisk::new(6);
    let engine = engine(&disk);
    let p = open(&engine, SOURCE, 1, Mode::Sync);
    append_each(&p, 1, 100, 1, 5000);
    let own = p.clone();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ends = stop.clone();
    let writer = std::thread::spawn(move || {
        let mut last = 100;
        while !ends.load(std::sync::atomic::Ordering::Relaxed) && last < 2000 {
            append_each(&own, last + 1, last + 10, 1, 5000);
            own.compact(last - 80).unwrap();
            last += 10;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    // On a busy machine it may be compacted more quickly than it is copied, until the writer is done.
    let done = loop {
        match backup(&engine) {
            Err(e) if e.status == Status::Busy && !writer.is_finished() => {}
            done => break done,
        }
    };
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    let done = done.unwrap();
    p.close().unwrap();
    engine.close().unwrap();
    let (_, bounds, log) = view(&disk, TARGET);
    assert_eq!(bounds, (done.first_index, done.last_index));
    assert_same(&log, &entries(done.first_index, done.last_index, 1, 5000), "the copy");
}

/// A new leader replaces a suffix while it is copied, and the segments that held it are gone: that is no damage, the copy is begun anew.
#[test]
fn a_log_whose_suffix_is_replaced_meanwhile_is_copied_whole() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = SimDisk::new(7);
        let engine = stepped(&disk);
        let p = open(&engine, SOURCE, 1, mode);
        append_each(&p, 1, 100, 1, 100_000);
        let replaced = std::cell::Cell::new(false);
        let other = stepped(&disk);
        let done = other.backup(Path::new(SOURCE), Path::new(TARGET), &|_, _| {
            if !replaced.replace(true) {
                let before = disk.files(SOURCE);
                append_each(&p, 60, 130, 2, 100_000);
                p.sync().unwrap();
                p.compact(65).unwrap();
                engine.pass_time(std::time::Duration::from_secs(5));
                let gone = before.iter().filter(|f| !disk.files(SOURCE).contains(f)).count();
                assert!(gone > 0, "{mode:?}: nothing was given back: {before:?}");
            }
        });
        let done = done.unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        assert!(replaced.get());
        assert_eq!((done.first_index, done.last_index, done.last_term), (66, 130, 2), "{mode:?}");
        p.close().unwrap();
        let (_, _, log) = view(&disk, TARGET);
        assert_same(&log, &entries(66, 130, 2, 100_000), "replaced");
    }
}

#[test]
fn a_damaged_log_is_not_copied() {
    let (disk, _, _) = small_log(Mode::Sync, true);
    let (file, at) = field::find_data(&disk, SOURCE, &entries(10, 10, 2, 40).remove(0).data);
    disk.flip_bit(&file, at + 3, 1);
    let refused = backup(&stepped(&disk)).expect_err("an entry is damaged");
    assert_eq!((refused.status, refused.range), (Status::Damaged, (10, 10)));
    assert_eq!(disk.files(TARGET), Vec::<String>::new(), "what was begun stays");
}

#[test]
fn a_backup_cut_short_at_any_operation_is_whole_or_refused() {
    let (disk, log, hard_state) = small_log(Mode::Sync, true);
    let whole = disk.fork();
    let from = disk.ops();
    backup(&stepped(&whole)).unwrap();
    println!("{} operations", whole.ops() - from);
    for op in from + 1..=whole.ops() {
        for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything] {
            let cut = disk.fork();
            cut.crash_at(op);
            let _ = backup(&stepped(&cut));
            let left = cut.crash(how);
            let what = format!("cut at {} of {}, {how:?}", op - from, whole.ops() - from);
            check_left(&left, &log, hard_state, &what);
        }
    }
    for errno in [libc::EIO, libc::ENOSPC] {
        for op in from + 1..=whole.ops() {
            let failing = disk.fork();
            failing.inject(Rule::errno(errno).from_op(op).once());
            let done = backup(&stepped(&failing));
            failing.clear_faults();
            let what = format!("errno {errno} at {}: {:?}", op - from, done.as_ref().err().map(|e| e.status));
            if done.is_ok() {
                assert_eq!(view(&failing, TARGET).2, log, "{what}");
            }
            check_left(&failing.crash(Crash::Process), &log, hard_state, &what);
        }
    }
}

/// Whatever fails, once: the target is as empty as it was, so the same call again goes through.
#[test]
fn what_a_failed_backup_has_begun_is_removed() {
    for direct_io in [true, false] {
        let config = SimConfig { direct_io, ..SimConfig::default() };
        let (disk, log, hard_state) = small_log_on(&SimDisk::with_config(1, config), Mode::Sync, true);
        let whole = disk.fork();
        backup(&stepped(&whole)).unwrap();
        let mut failed = 0;
        for op in disk.ops() + 1..=whole.ops() {
            let failing = disk.fork();
            failing.inject(Rule::errno(libc::EIO).from_op(op).once());
            let Err(e) = backup(&stepped(&failing)) else { continue };
            failed += 1;
            failing.clear_faults();
            let what = format!("operation {}: {e}", op - disk.ops());
            assert_eq!(failing.files(TARGET), Vec::<String>::new(), "{what}: what was begun stays");
            backup(&stepped(&failing)).unwrap_or_else(|again| panic!("{what}, again: {again}"));
            assert_eq!(view(&failing.crash(Crash::PowerNothing), TARGET), (hard_state, (3, 16), log.clone()), "{what}");
        }
        println!("{failed} failed");
        assert!(failed > 30);
    }
}

/// The target was made by somebody who has not synced its name, and a backup is not to go with it.
#[test]
fn f20_a_target_that_is_there_has_a_durable_name_when_the_backup_has_returned() {
    let config = SimConfig { journalled: false, ..SimConfig::default() };
    let (disk, log, hard_state) = small_log_on(&SimDisk::with_config(3, config), Mode::Sync, true);
    disk.create_dir(Path::new(TARGET)).unwrap();
    backup(&stepped(&disk)).unwrap();
    let left = disk.crash(Crash::PowerNothing);
    assert!(left.exists(TARGET), "a power cut took the target");
    assert_eq!(view(&left, TARGET), (hard_state, (3, 16), log));
}

/// Where there is no O_DIRECT the page cache shows a root that the disk has dropped without a word: the copy is read back past it.
#[test]
fn f32_a_backup_whose_root_is_in_the_page_cache_alone_is_none() {
    let config = SimConfig { direct_io: false, ..SimConfig::default() };
    let (disk, ..) = small_log_on(&SimDisk::with_config(1, config), Mode::Sync, true);
    disk.inject(Rule::new(Fault::Lost).on(OpKind::Sync).path("/copy/backup-unfinished/root"));
    let refused = backup(&stepped(&disk)).expect_err("a power cut takes the root");
    assert!(refused.message.contains("reads back differently"), "{refused}");
}

fn check_left(disk: &SimDisk, log: &[Entry], hard_state: HardState, what: &str) {
    assert_eq!(view(&disk.fork(), SOURCE).2, log, "{what}: the source");
    let engine = stepped(disk);
    let config = PartitionConfig { disposition: Disposition::OpenExisting, ..partition_config(TARGET, 1, Mode::Sync) };
    let opened = engine.open_partition(config).map(|p| (state(&p), p.close().is_ok()));
    drop(engine);
    match opened {
        Ok((State::ReadWrite, _)) => {
            assert_eq!(view(disk, TARGET), (hard_state, (3, 16), log.to_vec()), "{what}: the copy");
        }
        // Without a root: what a plain open finds is no log.
        Ok((State::Unavailable, _)) => {}
        Ok(other) => panic!("{what}: {other:?}"),
        Err(e) => assert!(matches!(e.status, Status::NotFound | Status::Foreign | Status::Damaged), "{what}: {e}"),
    }
}

/// A copy whose root has no durable name is no copy: what its opening acknowledges would be in a file whose name a power cut takes.
#[test]
fn f20_the_root_of_a_backup_has_a_durable_name_before_it_is_believed() {
    let config = SimConfig { failed_dir_syncs_forget: true, ..SimConfig::default() };
    let (disk, _, _) = small_log_on(&SimDisk::with_config(3, config), Mode::Sync, true);
    let whole = disk.fork();
    backup(&stepped(&whole)).unwrap();
    let is_sync = |r: &&OpRecord| r.kind == OpKind::SyncDir && r.number > disk.ops();
    let syncs: Vec<u64> = whole.log().iter().filter(is_sync).map(|r| r.number).collect();
    for (op, for_good) in syncs.into_iter().flat_map(|op| [(op, false), (op, true)]) {
        let failing = disk.fork();
        let rule = Rule::errno(libc::EIO).from_op(op);
        failing.inject(if for_good { rule.on_changes() } else { rule.on(OpKind::SyncDir).once() });
        let done = backup(&stepped(&failing));
        failing.clear_faults();
        let what = format!("sync at {}, for good: {for_good}: {:?}", op - disk.ops(), done.as_ref().map(drop));
        if done.is_err_and(|e| e.message.contains("moving the root")) && !for_good {
            assert!(!failing.exists("/copy/root"), "{what}: it can be opened");
        }
        let engine = stepped(&failing);
        let config =
            PartitionConfig { disposition: Disposition::OpenExisting, ..partition_config(TARGET, 1, Mode::Sync) };
        let Some(p) = engine.open_partition(config).ok().filter(|p| state(p) == State::ReadWrite) else { continue };
        append(&p, &entries(17, 18, 4, 40)).unwrap();
        assert_eq!(view(&failing.crash(Crash::PowerNothing), TARGET).1, (3, 18), "{what}");
    }
}
