//! What faulted partitions of mode interval are closed with is kept in memory, up to 256 MiB. What has to go beyond that is told, and the
//! next open says which entries are lost.

use std::sync::Arc;

use crate::support::*;
use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Entry, Mode, State, Status};

const MIB: usize = 1 << 20;
/// Five of them are more than 256 MiB, four are less.
const ENTRIES: u64 = 60;

fn big(first: u64) -> Vec<Entry> {
    entries_of(Payload::Zeros, first, first + ENTRIES - 1, 1, MIB)
}

#[test]
fn what_was_left_behind_says_nothing_of_a_log_that_another_process_has_opened_since() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { interval_ms: 60_000, ..config() };
    let ours = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&ours, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 10, 1, 300);
    p.sync().unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Create).path("/p1/seg-"));
    append(&p, &entries(11, 15, 1, 300)).unwrap();
    p.sync().unwrap_err();
    p.close().unwrap_err();
    disk.clear_faults();
    let theirs = engine(&disk);
    let p = reopen(&theirs, "/p1", 1, Mode::Interval);
    append(&p, &entries(9, 12, 2, 300)).unwrap();
    p.close().unwrap();
    drop(p);
    let p = reopen(&ours, "/p1", 1, Mode::Interval);
    assert_eq!(state(&p), State::ReadWrite, "{:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap(), &[entries(1, 8, 1, 300), entries(9, 12, 2, 300)].concat(), "theirs");
}

/// The same where a close got no further than the first step of a clean root in a new file: such a root, too, says whose it is.
#[test]
fn what_was_left_behind_is_not_taken_for_that_of_another_close_that_failed() {
    for theirs_came in [false, true] {
        let disk = SimDisk::new(1);
        let config = EngineConfig { interval_ms: 60_000, ..healing_config() };
        let ours = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&ours, "/p1", 1, Mode::Interval);
        append_each(&p, 1, 10, 1, 300);
        close_into_a_new_file(&disk, &p);
        let p = reopen(&ours, "/p1", 1, Mode::Interval);
        wait_for_quiet(&disk);
        disk.inject(Rule::errno(libc::EIO).on_changes());
        append(&p, &entries(11, 15, 1, 300)).unwrap();
        p.sync().unwrap_err();
        p.close().unwrap_err();
        disk.clear_faults();
        let mut wanted = entries(1, 15, 1, 300);
        if theirs_came {
            let theirs = healing_engine(&disk);
            let p = reopen(&theirs, "/p1", 1, Mode::Interval);
            append(&p, &entries(9, 12, 2, 300)).unwrap();
            p.sync().unwrap();
            close_into_a_new_file(&disk, &p);
            wanted = [entries(1, 8, 1, 300), entries(9, 12, 2, 300)].concat();
        }
        let p = reopen(&ours, "/p1", 1, Mode::Interval);
        assert_eq!(state(&p), State::ReadWrite, "{theirs_came}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &wanted, if theirs_came { "theirs" } else { "ours" });
    }
}

#[test]
fn what_memory_cannot_keep_is_told_and_the_next_open_says_what_is_lost() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { interval_ms: 60_000, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    for id in 1..=5 {
        let p = open(&engine, &format!("/p{id}"), id, Mode::Interval);
        p.set_tag(100 + id);
        append_each(&p, 1, 5, 1, 300);
        p.sync().unwrap();
        let rule = Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Create);
        disk.inject(rule.path(&format!("/p{id}/seg-")));
        append(&p, &big(6)).unwrap();
        p.sync().expect_err("the flush fails");
        engine.events(100);
        p.close().expect_err("acknowledged entries are in memory only");
        let told = engine.events(100);
        let lost: Vec<_> = told.iter().filter(|e| e.cause == Cause::LostEntries).collect();
        if id < 5 {
            assert_eq!(lost, Vec::<&bulkhead::Event>::new(), "there is room for {id}");
            continue;
        }
        let what: Vec<_> = lost.iter().map(|e| (e.partition_id, e.tag, e.range, e.to)).collect();
        assert_eq!(what, [(1, 101, (6, 5 + ENTRIES), State::Closed)], "the oldest goes, and its owner hears it");
    }
    disk.clear_faults();
    for _ in 0..2 {
        let p = reopen(&engine, "/p1", 1, Mode::Interval);
        let status = p.status();
        assert_eq!((status.state, status.cause), (State::Unavailable, Cause::LostEntries), "{:?}", p.last_fault());
        assert_eq!(status.lost, (6, 5 + ENTRIES));
        assert_same(&read_all(&p).unwrap(), &entries(1, 5, 1, 300), "the rest can be read");
        p.close().unwrap();
    }
    for id in 2..=5 {
        let p = reopen(&engine, &format!("/p{id}"), id, Mode::Interval);
        assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 5 + ENTRIES)), "{:?}", p.last_fault());
        p.close().unwrap();
    }
}

/// Found by a random history: on a full disk an open accepted as none what a closed partition had left, all of it compacted since by a root
/// write whose caller had heard an error. The last index became 2^64 - 1.
#[test]
fn what_was_left_behind_and_is_compacted_leaves_the_log_empty_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let engine = Engine::stepped(EngineConfig { interval_ms: 60_000, ..config() }, &disk, 1).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    append_each(&p, 6, 8, 1, 300);
    disk.inject(Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::Write).path("/p1/root").once());
    p.compact(8).expect_err("the root was written, and the write said that it was not");
    p.close().expect_err("entries 6 to 8 are in memory only");
    drop(p);
    disk.set_free(0);
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_eq!(p.last_fault().map(|e| e.status), Some(Status::NoSpace));
    assert_eq!(p.bounds().unwrap(), (9, 8));
    disk.set_free(20 << 20);
    p.recover().unwrap();
    assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (9, 8)));
    append_each(&p, 9, 10, 1, 300);
    assert_same(&read_all(&p).unwrap(), &entries(9, 10, 1, 300), "the log goes on behind the compaction point");
}

/// Entries 1 to 3 are durable, 4 to 9 were left in memory. `aside`, if any, is a copy of the directory as it was before 2 and 3.
fn left_behind(disk: &SimDisk, aside: Option<&str>) -> Engine {
    let engine = interval_engine(disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 1, 1, 300);
    p.close().unwrap();
    if let Some(path) = aside {
        disk.copy_dir("/p1", path);
    }
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 2, 3, 1, 300);
    p.sync().unwrap();
    wait_for_quiet(disk);
    fail_with(disk, "/p1", &p, 4, 1);
    engine
}

fn interval_engine(disk: &SimDisk) -> Engine {
    let config = EngineConfig { interval_ms: 60_000, ..config() };
    Engine::with_storage(config, Arc::new(disk.clone())).unwrap()
}

fn fail_with(disk: &SimDisk, path: &str, p: &bulkhead::Partition, first: u64, term: u64) {
    // Of a write that fails like this nothing comes to the disk.
    disk.inject(Rule::errno(libc::EROFS).on(OpKind::Write).path(&format!("{path}/seg-")));
    append_each(p, first, 9, term, 300);
    p.sync().unwrap_err();
    p.close().expect_err("entries are in memory only");
    disk.clear_faults();
}

fn assert_opens(engine: &Engine, path: &str, wanted: &[Entry]) {
    let p = reopen(engine, path, 1, Mode::Interval);
    assert_eq!(state(&p), State::ReadWrite, "{path}: {:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap(), wanted, path);
    p.close().unwrap();
}

/// One copy of a directory has what was left behind; another one says that it is lost, and no copy takes it away for nothing.
#[test]
fn what_was_left_behind_is_taken_in_once_and_what_another_copy_lacks_is_told() {
    let disk = SimDisk::new(1);
    let engine = left_behind(&disk, None);
    disk.copy_dir("/p1", "/copy");
    assert_opens(&engine, "/copy", &entries(1, 9, 1, 300));
    for _ in 0..2 {
        let p = reopen(&engine, "/p1", 1, Mode::Interval);
        let status = p.status();
        assert_eq!((status.state, status.cause, status.lost), (State::Unavailable, Cause::LostEntries, (4, 9)));
        assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 300), "the rest can be read");
        p.close().unwrap();
    }
    assert_opens(&engine, "/copy", &entries(1, 9, 1, 300));
}

#[test]
fn what_was_left_behind_stays_while_an_older_copy_is_opened_and_leaves_something_itself() {
    let disk = SimDisk::new(1);
    let engine = left_behind(&disk, Some("/older"));
    assert_opens(&engine, "/older", &entries(1, 1, 1, 300));
    let older = reopen(&engine, "/older", 1, Mode::Interval);
    fail_with(&disk, "/older", &older, 2, 2);
    assert_opens(&engine, "/p1", &entries(1, 9, 1, 300));
    assert_opens(&engine, "/older", &[entries(1, 1, 1, 300), entries(2, 9, 2, 300)].concat());
}

#[test]
fn what_was_left_behind_is_taken_in_under_another_name_and_then_nothing_is_lost_under_the_old_one() {
    let disk = SimDisk::new(1);
    let engine = left_behind(&disk, None);
    disk.rename("/p1", "/moved");
    assert_opens(&engine, "/moved", &entries(1, 9, 1, 300));
    disk.rename("/moved", "/p1");
    assert_opens(&engine, "/p1", &entries(1, 9, 1, 300));
}

/// It reaches less far: what memory has does not follow what it has.
#[test]
fn what_was_left_behind_stays_while_an_older_copy_of_the_same_opening_is_opened() {
    let disk = SimDisk::new(1);
    let engine = left_behind_since(&disk, |disk| disk.copy_dir("/p1", "/older"));
    let older = reopen(&engine, "/older", 1, Mode::Interval);
    assert_eq!((state(&older), older.status().cause), (State::Unavailable, Cause::LostEntries));
    older.close().unwrap();
    assert_opens(&engine, "/p1", &entries(1, 9, 1, 300));
}

#[test]
fn what_was_left_behind_stays_while_a_copy_cannot_write_it() {
    let disk = SimDisk::new(1);
    let engine = left_behind_since(&disk, |_| ());
    disk.copy_dir("/p1", "/copy");
    disk.inject(Rule::errno(libc::EROFS).on(OpKind::Write).path("/copy/seg-"));
    let copy = reopen(&engine, "/copy", 1, Mode::Interval);
    assert_eq!(state(&copy), State::Unavailable);
    let _ = copy.close();
    drop(copy);
    assert_opens(&engine, "/p1", &entries(1, 9, 1, 300));
    disk.clear_faults();
    assert_opens(&engine, "/copy", &entries(1, 9, 1, 300));
}

/// Two entries are durable and, after `between`, a third; six more are in memory.
fn left_behind_since(disk: &SimDisk, between: impl Fn(&SimDisk)) -> Engine {
    let engine = interval_engine(disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 2, 1, 300);
    p.sync().unwrap();
    wait_for_quiet(disk);
    between(disk);
    append_each(&p, 3, 3, 1, 300);
    p.sync().unwrap();
    wait_for_quiet(disk);
    fail_with(disk, "/p1", &p, 4, 1);
    engine
}
